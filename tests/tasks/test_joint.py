"""Objectives of texts on one backbone, and what a joint task makes of its parts."""

import json

import numpy as np
import pandas as pd
import pytest
from whole_runs import only_run

from fmkit.cli import main
from fmkit.core import safe_io

SMALL = ("model=small_bert", "model.max_length=32", "runtime.verbose=false")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Hidden bytes are found, and short texts are told apart, by one small BERT."""
    root = tmp_path_factory.mktemp("texts")
    random = np.random.default_rng(0)
    words = {"fruit": ["apple", "pear", "plum"], "metal": ["iron", "zinc", "lead"]}
    (root / "labelled").mkdir()
    for name, known in words.items():
        lines = {" ".join(random.choice(known, 5)) + f" {number}" for number in range(30)}
        (root / "labelled" / f"{name}.txt").write_text("\n".join(sorted(lines)))
    plain = [" ".join(random.choice([*words["fruit"], *words["metal"]], 12)) for _ in range(60)]
    (root / "plain").mkdir()
    (root / "plain" / "all.txt").write_text("\n".join(plain))
    code = main(
        [
            "pretrain", *SMALL, "stage=unfrozen", "stage.full.epochs=2",
            f"runs_dir={root / 'runs'}",
            "data=text_folder", f"data.root={root / 'labelled'}", "data.batch_size=8",
            "task=joint", "task.alpha=0.5", "task.objectives.pretrain.task=masked_lm",
            "task.objectives.pretrain.data.name=text_lines",
            f"task.objectives.pretrain.data.root={root / 'plain'}",
            "task.objectives.pretrain.data.test_fraction=0.2",
            "task.objectives.pretrain.batch_size=4", "task.objectives.finetune={}",
            "task.monitor=val_finetune_loss",
        ]
    )  # fmt: skip
    assert code == 0
    return root, only_run(root, "pretrain")


def rows(folder):
    return list(safe_io.read_json_lines(folder / "metrics.jsonl"))


def test_both_are_learned_and_judged(finished):
    _, folder = finished
    first, last = rows(folder)
    assert last["val_finetune_loss"] < first["val_finetune_loss"]
    assert last["pretrain_loss"] < first["pretrain_loss"]
    assert last["val_pretrain_perplexity"] == pytest.approx(
        np.exp(last["val_pretrain_loss"]), rel=1e-4
    )
    assert (folder / "eval" / "test.json").is_file()
    assert (folder / "eval" / "test-pretrain.json").is_file()


@pytest.mark.parametrize("objective", ["finetune", "pretrain"])
def test_each_is_evaluated_again(finished, objective, capsys):
    root, folder = finished
    name = "test" if objective == "finetune" else "test-pretrain"
    before = json.loads((folder / "eval" / f"{name}.json").read_text())
    words = ["eval", f"run={folder}", f"objective={objective}", f"runs_dir={root / 'runs'}"]
    assert main(words) == 0, capsys.readouterr().err
    after = json.loads((folder / "eval" / f"{name}.json").read_text())
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-5)


def test_a_text_is_classified(finished, tmp_path):
    _, folder = finished
    (tmp_path / "new.txt").write_text("plum pear apple")
    output = tmp_path / "found.csv"
    assert main(["predict", f"run={folder}", f"input={tmp_path}", f"output={output}"]) == 0
    assert set(pd.read_csv(output)["prediction"]) <= {"fruit", "metal"}
