"""The page at the end of a run: when it is written, and that it never spoils the run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from kept_runs import kept_run

from fmkit.commands.training import run_report
from fmkit.data.content.images import ImageArray
from fmkit.data.examples import Examples
from fmkit.report import samples
from fmkit.train.timing.deadline import TimeLimit


class Run:
    """What the end of a run needs of its writer."""

    def __init__(self, folder, seconds):
        self.folder, self.status, self.logged = folder, {"seconds": seconds}, []

    def log(self, text):
        self.logged.append(text)


class Loader:
    """A loader of photos whose batches are all of one grey."""

    def augmentation(self, preset):
        return None if preset == "none" else SimpleNamespace(describe=lambda: "flips")


def assembly_of(folder):
    ids = [f"{colour}/{n:02d}.png" for colour in ("blue", "green", "red") for n in range(12)]
    pixels = np.zeros((len(ids), 16, 16, 3), np.uint8)
    examples = Examples(ids, np.zeros(len(ids), np.int32), ("a",), ImageArray(pixels))
    phases = [
        SimpleNamespace(name=name, augment=augment, refit_of="", steps=3)
        for name, augment in (("head", "none"), ("full", "light"), ("more", "light"), ("left", "x"))
    ]

    def training_batches(phase, first_step, steps):
        grey = 100 if phase.augment == "none" else 200
        return [(np.full((4, 8, 8, 3), grey, np.uint8), None)]

    return SimpleNamespace(
        phases=phases, skipped={"left": "no reason"}, loader=Loader(), examples=examples,
        objectives=(), training_batches=training_batches, splits={},
        devices=SimpleNamespace(names=[]),
        backbone=SimpleNamespace(image_size=None, tokenizer=None),  # nothing to explain
        spec=SimpleNamespace(classes=("a",), annotations=None),
    )  # fmt: skip


def config_of(report):
    return SimpleNamespace(runtime=SimpleNamespace(report=report, verbose=False))


def test_it_has_the_examples_and_a_batch_of_each_augmentation(tmp_path):
    folder = kept_run("images", tmp_path)
    (folder / "metrics.jsonl").unlink()  # curves take time
    run = Run(folder, 60.0)
    path = run_report.write(config_of("auto"), run, assembly_of(folder))
    assert path == folder / "report.html"
    kept = json.loads((folder / "samples.json").read_text())
    assert {name: row["augment"] for name, row in kept["batch"].items()} == {
        "head": "as they are", "full, more": "flips",
    }  # fmt: skip
    assert all(len(row["images"]) == 4 for row in kept["batch"].values())
    assert kept["batch"]["head"]["images"] != kept["batch"]["full, more"]["images"]
    page = path.read_text()
    assert page.count("data:image/jpeg;base64,") == len(kept["examples"]) + 8
    assert "Phase full, more: flips" in page


@pytest.mark.parametrize(("report", "seconds"), [("false", 60.0), ("auto", 5.0)])
def test_it_is_left_out(report, seconds, tmp_path):
    run = Run(tmp_path, seconds)
    assert run_report.write(config_of(report), run, None) is None
    assert list(tmp_path.iterdir()) == []


def test_it_is_left_out_where_a_time_limit_leaves_no_time(tmp_path):
    run, limit = Run(tmp_path, 60.0), TimeLimit("1 min", deadline=103.0, clock=lambda: 100.0)
    assert run_report.write(config_of("auto"), run, None, limit) is None
    assert "fmkit report" in run.logged[0]
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_a_warning(tmp_path, monkeypatch, capsys):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(samples, "keep", fail)
    run = Run(tmp_path, 60.0)
    assert run_report.write(config_of("true"), run, assembly_of(tmp_path)) is None
    assert "No space left on device" in run.logged[0]
    told = capsys.readouterr().err
    assert told.startswith("warning: the report could not be written")
    assert "fmkit report" in told
