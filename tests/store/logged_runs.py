"""What tests of loggers share: the folder of a run that has trained, without a training."""

import json
from pathlib import Path

CONFIG = """\
model: {name: small_cnn, image_size: 32}
data: {name: digits, root: "${oc.env:PHOTOS}", api_key: "<redacted>"}
stage: {head: {epochs: "1"}, full: {epochs: "2"}}
runtime: {seed: 0, loggers: [mlflow]}
"""
ROWS = [
    {"phase": "head", "epoch": 1, "step": 10, "loss": 2.0, "val_loss": 1.75, "seconds": 1.5},
    {"phase": "full", "epoch": 1, "step": 20, "loss": 1.0, "val_loss": None},
    {"phase": "full", "epoch": 2, "step": 30, "loss": 0.5, "val_loss": 0.25},
]


def write_rows(folder: Path, rows=ROWS) -> None:
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def write_status(folder: Path, state: str = "done", **changes) -> None:
    status = {
        "state": state, "reason": None, "command": "finetune", "name": None, "fmkit": "0.6.0",
        "started": "2026-11-30T20:00:00+00:00", "ended": "2026-11-30T20:01:00+00:00",
        "seconds": 60.0, "pid": 1, "host": "h", "phase": "full", "epoch": 2, "step": 30,
        "model": "small_cnn", "data": "digits", "data_root": None, "task": "classification",
        "stage": "head+full", "init": "runs/finetune/before", "test": {"n": 9, "accuracy": 0.5},
        "best": {"phase": "full", "epoch": 2, "step": 30, "monitor": "val_loss", "value": 0.25},
    }  # fmt: skip
    (folder / "status.json").write_text(json.dumps(status | changes))


def make_run(folder: Path) -> Path:
    """A run that is done, with two evaluations, a report, a model and a checkpoint."""
    for inner in (".hydra", "eval", "plots", "tokenizer", "checkpoints/step-00000030"):
        (folder / inner).mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / ".hydra/overrides.yaml").write_text("- data=digits\n- name='a b'\n")
    (folder / "environment.json").write_text('{"git": {"commit": "abc123", "dirty": false}}')
    write_status(folder)
    write_rows(folder)
    test = {"n": 9, "accuracy": 0.5, "per_class": {"0": {"f1": 1}}, "ok": True, "worst": None}
    (folder / "eval/test.json").write_text(json.dumps(test))
    for name in ("eval/test.parquet", "report.html", "README.md", "plots/roc.png", "model.keras",
                 "tokenizer/vocabulary.txt", "checkpoints/step-00000030/model.safetensors",
                 "samples.json", "log.txt"):  # fmt: skip
        (folder / name).write_text("x")
    return folder
