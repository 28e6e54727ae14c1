"""After a resume the metrics are those of an uninterrupted run."""

import csv
import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fmkit.core import fault_injection, files, safe_io
from fmkit.core.errors import ArtifactError
from fmkit.store import metrics_log
from fmkit.store.metrics_log import MetricsLog


def rows(steps, loss=0.0):
    """A row a step, and one more at the end of each epoch of two steps."""
    for step in steps:
        row = {"phase": "full", "epoch": (step + 1) // 2, "step": step, "loss": step + loss}
        yield row, False
        if step % 2 == 0:
            yield {**row, "val_loss": step / 2}, True


def train(folder, steps, loss=0.0):
    with MetricsLog(folder) as log:
        for row, is_end in rows(steps, loss):
            log.append(row, is_end)
        return log.sync()


def forms(folder):
    """What the three forms of the numbers hold."""
    accumulator = EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return (
        (folder / "metrics.jsonl").read_bytes(),
        (folder / "metrics.csv").read_bytes(),
        {tag: [(each.step, each.value) for each in events]
         for tag in accumulator.Tags()["scalars"] if (events := accumulator.Scalars(tag))},
    )  # fmt: skip


@pytest.mark.parametrize("torn", ["", '{"phase": "fu', '{"phase": "full", "step": 6}'])
@pytest.mark.parametrize("last", [2, 3])
def test_a_resumed_run_has_the_numbers_of_an_uninterrupted_one(tmp_path, last, torn):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(whole, range(1, 9))
    kept = train(stopped, range(1, last + 1))
    train(stopped, range(last + 1, 6), loss=0.5)  # the way that is not gone in the end
    with (stopped / "metrics.jsonl").open("a") as stream:
        stream.write(torn)
    assert forms(stopped)[2] != forms(whole)[2]
    assert metrics_log.truncate(stopped, kept) == kept
    train(stopped, range(last + 1, 9))
    assert forms(stopped) == forms(whole)


def test_without_truncation_they_would_differ(tmp_path):
    """The control: what was written after the checkpoint stays, and TensorBoard shows it."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(whole, range(1, 9))
    train(stopped, range(1, 6), loss=0.5)
    train(stopped, range(4, 9))
    assert all(one != other for one, other in zip(forms(stopped), forms(whole), strict=True))


def test_nothing_is_kept_where_nothing_had_been_written(tmp_path):
    train(tmp_path, range(1, 4))
    assert metrics_log.truncate(tmp_path, 0) == 0
    assert forms(tmp_path) == (b"", b"\n", {})
    (tmp_path / "empty").mkdir()
    assert metrics_log.truncate(tmp_path / "empty", 0) == 0


def test_rows_that_a_power_failure_took_are_counted(tmp_path):
    train(tmp_path, range(1, 3))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert metrics_log.truncate(tmp_path, 3) == 2
    assert len(list(safe_io.read_json_lines(path))) == 2


@pytest.mark.parametrize("line", ["nonsense", "[1]", "\x00\x00"])
def test_a_damaged_row_is_an_error_and_nothing_is_cut(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl, line 2, is damaged"):
        metrics_log.truncate(tmp_path, 3)
    assert path.read_bytes() == before


def test_a_kill_while_rows_are_taken_back_leaves_all_or_those(tmp_path, monkeypatch):
    train(tmp_path, range(1, 6))
    before = (tmp_path / "metrics.jsonl").read_bytes()
    monkeypatch.setattr(files, "write_bytes", _full)
    with pytest.raises(OSError, match="No space"):
        metrics_log.truncate(tmp_path, 2)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def _full(path, content, fault=""):
    raise OSError(28, "No space left on device")


def test_a_full_disk_tears_no_line(tmp_path, monkeypatch):
    with MetricsLog(tmp_path) as log:
        log.append({"step": 1})
        monkeypatch.setattr(fault_injection, "_passed", {})
        monkeypatch.setenv(fault_injection.VARIABLE, "metrics.mid_line:1:ENOSPC")
        with pytest.raises(OSError, match=r"metrics\.jsonl"):
            log.append({"step": 2})
        log.append({"step": 3})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 3]


def test_the_csv_has_all_columns_there_ever_were(tmp_path):
    train(tmp_path, range(1, 4))
    metrics_log.truncate(tmp_path, 3)
    with (tmp_path / "metrics.csv").open() as stream:
        found = list(csv.DictReader(stream))
    assert [(row["step"], row["val_loss"]) for row in found] == [("1", ""), ("2", ""), ("2", "1.0")]
