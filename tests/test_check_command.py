"""`fmkit check` shows a data set and all that is wrong with it; training refuses the same."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fmkit.data.quality import contact_sheet


def report(folder):
    return json.loads((folder / "data_report.json").read_text())


def test_a_good_folder(fmkit, photos, tmp_path):
    code, out, err = fmkit("check", "data=image_folder", f"data.root={photos}", "output=seen")
    assert code == 0, err
    for told in ("48 examples, all usable, 3 classes", "train", "24", "30", "48 PNG", "█"):
        assert told in out
    assert "0 errors, 0 warnings, 0 notes" in out
    assert report(tmp_path / "seen")["classes"]["red"] == {"train": 12, "val": 2, "test": 2}
    assert not (tmp_path / "seen" / "suspects.png").exists()


def test_a_bad_folder_is_shown_whole_and_refused(fmkit, photos, tmp_path):
    for number in range(12):
        (photos / "red" / f"zero-{number:02d}.jpg").write_bytes(b"")
    (photos / "green" / "copy.png").write_bytes((photos / "green" / "00.png").read_bytes())
    (photos / "green" / "[bold]\x1b[31m.png").write_bytes((photos / "blue" / "00.png").read_bytes())
    code, out, err = fmkit("check", "data=image_folder", f"data.root={photos}")
    assert code == 3
    assert "cannot be trained on" in err
    assert "the file is empty (12)" in out
    assert "and 2 more" in out
    assert "green/[bold]\\x1b[31m.png" in out
    assert "\x1b[31m.png" not in out
    (folder,) = (tmp_path / "checks").iterdir()
    kinds = {each["kind"]: each["count"] for each in report(folder)["findings"]}
    assert kinds == {"empty_file": 12, "two_classes": 2, "leak": 2, "control_characters": 1}
    with Image.open(folder / "suspects.png") as sheet:
        assert sheet.width > 1000
        tile = np.asarray(sheet)[-contact_sheet._TILE - 60 :, 14:100]
    assert tile.std() > 5  # there is a photo on it


def test_data_that_cannot_be_listed_leaves_a_report(fmkit, tmp_path):
    code, _, err = fmkit("check", "data=image_folder", "data.root=nowhere", "output=seen")
    assert (code, "no such folder" in err) == (3, True)
    assert report(tmp_path / "seen")["findings"][0]["kind"] == "unusable"


@pytest.mark.parametrize("words", [["data=digits"], ["data=arrays", "data.root=a.npz"]])
def test_arrays(fmkit, tmp_path, words):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(30) % 3)
    code, out, err = fmkit("check", *words)
    assert code == 0, err
    assert "all are 8 x 8 pixels" in out


def test_a_table_and_what_it_cannot_do(fmkit, photos, tmp_path):
    rows = [f"{each.relative_to(photos)},{each.parent.name}" for each in photos.glob("*/*.png")]
    (photos / "t.csv").write_text("\n".join(["path,label", *rows, "gone.png,red"]))
    words = ["check", "data=image_table", f"data.root={photos / 't.csv'}"]
    assert fmkit(*words)[0] == 3
    assert fmkit(*words, "data.on_bad=skip")[0] == 0
    code, _, err = fmkit("check", "data=digits", "data.on_bad=quarantine")
    assert (code, "data.on_bad=skip" in err) == (2, True)
    (tmp_path / "file").write_text("")
    assert fmkit("check", "output=file/report")[0] == 2


def test_texts(fmkit, tmp_path):
    rows = [f"text \x1b[31m number {index},{'ab'[index % 2]}" for index in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows, "text 0,c"]))
    words = ["check", "data=text_table", f"data.root={tmp_path / 't.csv'}", "output=seen"]
    code, out, err = fmkit(*words)
    assert code == 3
    assert "'c' has 1" in out
    code, out, err = fmkit(*words, "data.limit=30", "data.val_fraction=0", "data.test_fraction=0")
    assert code == 0, err
    assert "photo" not in out + err
    assert "\x1b" not in out
    assert "characters" in out
    found = report(tmp_path / "seen")
    assert found["modality"] == "text"
    assert len(found["samples"]["a"]) == 3
    assert not (tmp_path / "seen" / "suspects.png").exists()
    for name in ("one", "two"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "set" / name / f"{number}.txt").write_text(f"{name} {number}")
    (tmp_path / "set" / "one" / "latin.txt").write_bytes(b"caf\xe9")
    words = ["check", "data=text_folder", f"data.root={tmp_path / 'set'}"]
    code, out, err = fmkit(*words)
    assert (code, "cp1252" in out) == (0, True)  # one file is read as what it is
    for name in ("one", "two"):
        (tmp_path / "old" / name).mkdir(parents=True)
        for number in range(5):
            file = tmp_path / "old" / name / f"{number}.txt"
            file.write_bytes(f"{name} {number} caf\xe9".encode("cp1252"))
    old = ["check", "data=text_folder", f"data.root={tmp_path / 'old'}"]
    code, out, err = fmkit(*old)
    assert (code, "perhaps it is cp1252" in out) == (3, True)
    assert fmkit(*old, "data.encoding=cp1252")[0] == 0
    (tmp_path / "set" / "one" / "empty.txt").touch()
    code, _, err = fmkit(*words, "data.encoding=utf9")
    assert (code, "Did you mean utf-8" in err) == (2, True)
    for name in ("base64", "undefined", "idna"):
        assert fmkit(*words, f"data.encoding={name}")[0] == 2
    assert fmkit(*words, "data.on_bad=quarantine")[0] == 0
    assert (tmp_path / "quarantine" / "set" / "one" / "empty.txt").exists()
    code, _, err = fmkit("check", "data=text_table", f"data.root={tmp_path / 'set'}")
    assert (code, "data=text_folder" in err) == (3, True)


TRAIN = """
import sys
from fmkit.cli import main
code = main(sys.argv[1:])
print(code, "tensorflow" in sys.modules, "keras" in sys.modules)
"""


def test_training_refuses_bad_photos_before_tensorflow_is_imported(photos, tmp_path):
    (photos / "red" / "half.png").write_bytes((photos / "red" / "00.png").read_bytes()[:400])
    os.mkfifo(photos / "red" / "pipe.png")
    told = subprocess.run(
        [sys.executable, "-c", TRAIN, "finetune", "data=image_folder", f"data.root={photos}"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True,
    )  # fmt: skip
    assert told.stdout.split() == ["3", "False", "False"]
    assert "red/half.png: in the chunk IDAT" in told.stderr
    assert "red/pipe.png: a FIFO" in told.stderr
    assert not list(tmp_path.glob("runs/*/*"))


def test_cache_clear_forgets_the_photos(fmkit, photos, tmp_path):
    place = f"runtime.cache_dir={tmp_path / 'kept'}"
    fmkit("check", "data=image_folder", f"data.root={photos}", place, "output=one")
    fmkit("check", "data=image_folder", f"data.root={photos}", place, "output=two")
    assert [report(tmp_path / each)["files_read"] for each in ("one", "two")] == [48, 0]
    assert fmkit("cache", "clear", f"cache_dir={tmp_path / 'kept'}")[0] == 0
    fmkit("check", "data=image_folder", f"data.root={photos}", place, "output=three")
    assert report(tmp_path / "three")["files_read"] == 48


def table(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_sets_of_labels_are_counted(fmkit, tmp_path):
    rows = [f"text {k},{('a', 'b|a', '')[k % 3]}" for k in range(60)]
    root = table(tmp_path / "t.csv", "text,label", rows)
    code, out, err = fmkit("check", "data=text_table", f"data.root={root}", "data.labels=sets",
                           "output=seen")  # fmt: skip
    assert code == 0, err
    assert "2 labels" in out
    assert "█" in out
    assert "examples without labels" in out
    labels = report(tmp_path / "seen")["labels"]
    assert sum(labels["a"].values()) == 40
    assert sum(labels["b"].values()) == 20


def test_numbers_are_shown_by_their_spread(fmkit, tmp_path):
    root = table(tmp_path / "t.csv", "text,y", [f"text {k},{k}" for k in range(60)])
    words = ["data=text_table", f"data.root={root}", "data.labels=numbers", "data.label_column=y"]
    code, out, err = fmkit("check", *words, "output=seen", "data.test_fraction=0",
                           "data.val_fraction=0")  # fmt: skip
    assert code == 0, err
    assert "1 number" in out
    assert "deviation" in out
    found = report(tmp_path / "seen")["numbers"]["y"]["train"]
    assert found["quantiles"] == [0, 2.95, 14.75, 29.5, 44.25, 56.05, 59]
    assert found["mean"] == 29.5
    table(root, "text,y", [*(f"text {k},{k}" for k in range(60)), 'more,"3,5"', "last,"])
    code, out, err = fmkit("check", *words)
    assert (code, "cannot be trained on" in err) == (3, True)
    assert "decimals are separated by a point, not by a comma (line 62)" in out
    assert "no number (line 63)" in out
