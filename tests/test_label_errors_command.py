"""`fmkit check label_errors=true` finds planted errors; what comes back is trained on."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

HEAD = ["model=efficientnet_lite0", "model.image_size=64"]


@pytest.fixture
def folder(tmp_path):
    """Handwritten digits in two classes, 6 of 120 under the wrong one."""
    digits, draw = load_digits(), np.random.default_rng(0)
    wrong = set(draw.choice(120, 6, replace=False).tolist())
    chosen = [k for number in (0, 1) for k in np.flatnonzero(digits.target == number)[:60]]
    for number, k in enumerate(chosen):
        label = digits.target[k] ^ (number in wrong)
        (tmp_path / "photos" / f"digit {label}").mkdir(parents=True, exist_ok=True)
        photo = Image.fromarray((digits.images[k] * 15).astype(np.uint8)).resize((32, 32))
        photo.save(tmp_path / "photos" / f"digit {label}" / f"{number:03d}.png")
    return tmp_path / "photos", wrong


@pytest.mark.slow
def test_planted_errors_are_found_corrected_and_trained_on(fmkit, folder, tmp_path):
    root, wrong = folder
    words = [f"data.root={root}", "data=image_folder", *HEAD]
    code, out, err = fmkit("check", *words, "label_errors=true", "output=seen")
    assert code == 0, err
    assert "likely wrong, of 120" in out
    report = json.loads((tmp_path / "seen" / "data_report.json").read_text())
    errors = report["label_errors"]["errors"]
    first = {int(row["example"][-7:-4]) for row in errors[:6]}
    assert len(first & wrong) >= 5
    assert (tmp_path / "seen" / "suspects.png").exists()
    table = tmp_path / "seen" / "label_errors.csv"
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["example"] for row in rows] == [row["example"] for row in errors]
    code, out, err = fmkit("check", f"{table}")  # fmkit reads it as a table of photos
    assert "data=image_table" in err, err
    for row in rows:
        row["label"] = row["suggested"]
    with table.open("w") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    training = [*words, f"data.relabel={table}", "stage=frozen", "stage.head.solver=gradient",
                "stage.head.epochs=2", "data.refit=false"]  # fmt: skip
    code, out, err = fmkit("pretrain", *training)
    assert code == 0, err
    assert f"{len(rows)} labels were changed and 0 examples were left out" in err
    (run,) = (tmp_path / "runs" / "pretrain").iterdir()
    kinds = {
        finding["kind"]: finding["items"]
        for finding in json.loads((run / "data_report.json").read_text())["findings"]
    }
    assert {item["where"] for item in kinds["relabelled"]} == {row["example"] for row in rows}
    code, out, err = fmkit("resume", str(run), "stage.head.epochs=3")
    assert code == 0, err
    code, out, err = fmkit("eval", "run=last", "data.relabel=null")
    assert code == 0, err
    rows[0]["label"] = "digit 7"
    with table.open("w") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    code, out, err = fmkit("pretrain", *training)
    assert code == 3
    assert "digit 7" in err
    code, out, err = fmkit("resume", str(run), "stage.head.epochs=4")
    assert code == 3


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["data=conll", "data.root=x", "label_errors=true"], "covers classes"),
        (["data=digits", "task=simclr", "label_errors=true"], "task=simclr"),
        (["data=digits", "model=small_cnn"], "model is for label_errors=true"),
        (["data=digits", "model=small_bert", "label_errors=true"], "reads texts"),
    ],
    ids=["tags", "task", "no label_errors", "modality"],
)
def test_what_is_not_covered_is_refused_before_anything_is_read(fmkit, words, part):
    code, _, err = fmkit("check", *words)
    assert code == 2
    assert part in err


def test_a_missing_file_of_labels(fmkit):
    code, _, err = fmkit("check", "data=digits", "data.relabel=nowhere.csv")
    assert (code, "data.relabel" in err) == (3, True)
    assert "no such file" in err
