"""The section about labels: from what heads of a run gave for examples that they had not seen."""

import json

import numpy as np
import pandas as pd
import pytest

from fmkit.config.schema.data import TextTableData
from fmkit.data.content.texts import Texts
from fmkit.data.examples import from_names
from fmkit.data.sources import relabel
from fmkit.evaluation.label_quality import forgetting
from fmkit.report import labels
from fmkit.report.record import RunRecord
from fmkit.store import forgetting as store
from fmkit.store import out_of_fold

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def judged(tmp_path):
    """A run's folder and its data, whose example 7 has a wrong label."""
    draw = np.random.default_rng(0)
    truth = np.arange(60) % 2
    logits = np.eye(2)[truth] * 4 + draw.normal(size=(60, 2)) * 0.3
    logits[7, truth[7]] += 1
    given = truth.copy()
    given[7] = 1 - given[7]
    names = ["plain", HOSTILE]
    texts = Texts(tuple(f"text {HOSTILE} {k}" for k in range(60)))
    examples = from_names([f"{HOSTILE} {k}" for k in range(60)], [names[k] for k in given], texts)
    order = [names.index(name) for name in examples.classes]
    status = {"best": {"phase": "head"}, "phases": [{"name": "head"}]}
    environment = {"data": {"classes": list(examples.classes), "fingerprint": examples.fingerprint}}
    (tmp_path / "status.json").write_text(json.dumps(status))
    (tmp_path / "environment.json").write_text(json.dumps(environment))
    out_of_fold.save(tmp_path, np.arange(50), logits[:50, order])
    return tmp_path, examples


class Record(RunRecord):
    """A run whose status is as it was written."""

    @property
    def status(self):
        return json.loads((self.folder / "status.json").read_text())


def test_a_wrong_label_is_in_the_gallery_and_in_the_table(judged):
    folder, examples = judged
    shown = labels.judge(
        Record(folder), examples, {"train": np.arange(40), "val": np.arange(40, 50)}
    )
    assert [row["example"] for row in shown["likely"]] == [examples.ids[7]]
    assert shown["likely"][0]["split"] == "train"
    assert shown["examples"] == 50
    table = pd.read_csv(folder / "label_errors.csv")
    assert table["example"].tolist() == [examples.ids[7]]
    assert len(pd.read_csv(folder / "label_scores.csv")) == 50
    page = str(labels.section(shown, {examples.ids[7]: {"text": examples.content.texts[7]}}))
    assert "Labels that are likely wrong" in page
    assert "Hardest examples" in page
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_what_was_forgotten_is_a_gallery_and_a_table(judged):
    folder, examples = judged
    (folder / "out_of_fold.npz").unlink()
    learned, forgotten = np.ones(30, np.int32), np.zeros(30, np.int32)
    learned[4], forgotten[9], forgotten[5] = 0, 3, 1
    counts = {"seen": np.full(30, 8), "learned": learned, "forgotten": forgotten}
    store.save(folder, np.arange(10, 40), {**counts, "right": np.minimum(learned, 1)})
    line = forgetting.write(folder, examples)
    assert line.startswith("of 30 training examples 1 was never answered right while training, 2 ")
    ids = [examples.ids[k] for k in (14, 19, 15)]
    assert pd.read_csv(folder / "hard_examples.csv")["example"].tolist() == ids
    assert pd.read_csv(folder / "hard_examples.csv")["text"].iloc[0] == examples.content.texts[14]
    lines = (folder / "forgetting.csv").read_text().splitlines()
    assert (lines[1][-11:], lines[2][-12:]) == (",8,,0,wrong", ",8,1,3,right")
    table = pd.read_csv(folder / "forgetting.csv")
    assert (len(table), table["example"].tolist()[:3]) == (30, ids)
    assert table["last"].tolist()[:2] == ["wrong", "right"]
    shown = labels.judge(Record(folder), examples)
    page = str(labels.section(shown, {}))
    assert "Hardest while training" in page
    assert "never right in 8 epochs" in page
    assert "forgotten 3 times in 8 epochs, last right" in page
    assert "1 of 30" in page
    assert HOSTILE not in page
    # What the table says can be corrected and given back.
    corrected = relabel.apply(
        examples, TextTableData(name="text_table", relabel=str(folder / "hard_examples.csv"))
    )
    assert corrected.labels.tolist() == examples.labels.tolist()


def test_data_that_has_changed_and_runs_without_such_outputs_have_no_section(judged):
    folder, examples = judged
    changed = examples.take(np.arange(59))
    assert labels.judge(Record(folder), changed) is None
    (folder / "out_of_fold.npz").unlink()
    assert labels.judge(Record(folder), examples) is None
    assert labels.section({}, {}) is None
