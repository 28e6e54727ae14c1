"""A listing is complete, stable and strict, and says all that is wrong at once."""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fmkit.config.schema.data import ImageFolderData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.sources.registry import list_examples
from fmkit.store import run_dir


def listed(root, **more):
    return list_examples(ImageFolderData(root=str(root), **more))


def test_a_folder_per_class(photos):
    root = photos(dogs=4, cats=5)
    (root / "cats" / "nested").mkdir()
    shutil.copy(root / "cats" / "cats0.png", root / "cats" / "nested" / "deep.PNG")
    (root / "cats" / "._cats0.png").write_bytes(b"resource fork")
    (root / "__MACOSX").mkdir()
    (root / ".cache").mkdir()
    examples = listed(root)
    assert examples.classes == ("cats", "dogs")
    assert "cats/nested/deep.PNG" in examples.ids
    assert np.bincount(examples.labels).tolist() == [6, 4]
    assert examples.splits is None
    for name, path, size in zip(
        examples.ids, examples.content.paths, examples.content.sizes, strict=True
    ):
        assert Path(path) == root / name
        assert Path(path).stat().st_size == size


def test_what_fmkit_writes_beside_the_classes_is_not_a_class(photos):
    root = photos(dogs=4, cats=5)
    photo = root / "cats" / "cats0.png"
    for folder in ("runs/finetune", "my outputs/sweeps", "checks"):
        plots = root / folder / run_dir.new_name() / "plots"
        plots.mkdir(parents=True)
        shutil.copy(photo, plots)
    assert listed(root).classes == ("cats", "dogs")
    (root / "runs" / "finetune").rename(root / "runs" / "marathon")
    with pytest.raises(DataError, match="'runs' has 1"):  # a class of that name
        listed(root)


def test_a_folder_per_split(photos):
    photos("set/Training", cats=4, dogs=3)
    photos("set/valid", cats=1, dogs=2)
    root = photos("set/test", dogs=2).parent
    examples = listed(root)
    assert examples.classes == ("cats", "dogs")
    counts = {name: int((examples.splits == name).sum()) for name in ("train", "val", "test")}
    assert counts == {"train": 7, "val": 3, "test": 2}
    assert "Training/cats/cats0.png" in examples.ids


def test_a_class_may_be_called_test(photos):
    assert listed(photos(test=3, cats=3)).splits is None


def test_splits_without_class_folders_are_refused(photos):
    with pytest.raises(DataError, match="look like splits but hold no class folders"):
        listed(photos(train=3, test=3))


def test_splits_beside_other_folders_are_refused(photos):
    photos("set/train", cats=3, dogs=3)
    root = photos("set/test", cats=3, dogs=3).parent
    photos("set", annotations=3)
    with pytest.raises(DataError, match="test, train look like splits, annotations does not"):
        listed(root)


def test_identity_does_not_depend_on_the_roots_place(photos, tmp_path):
    root = photos(cats=4, dogs=4)
    here = listed(root)
    there = listed(shutil.copytree(root, tmp_path / "elsewhere" / "deep"))
    assert here.ids == there.ids
    assert here.fingerprint == there.fingerprint
    (root / "cats" / "cats0.png").write_bytes((root / "dogs" / "dogs0.png").read_bytes() + b" ")
    assert listed(root).fingerprint != here.fingerprint


def test_a_fingerprint_knows_labels_but_not_the_order(rows):
    examples = rows(9)
    assert examples.take(np.arange(9)[::-1]).fingerprint == examples.fingerprint
    relabelled = rows(9, classes=2)
    assert relabelled.fingerprint != examples.fingerprint


def test_link_loops_end(photos, capsys):
    root = photos(cats=4, dogs=4)
    (root / "cats" / "loop").symlink_to(root)
    (root / "dogs" / "self").symlink_to(root / "dogs")
    examples = listed(root, limit=None)
    assert len(set(examples.content.paths)) == len(examples)
    real = {os.path.realpath(each) for each in examples.content.paths}
    assert len(real) == 8


def test_all_problems_are_told_at_once(photos):
    root = photos(cats=4, dogs=4, empty=0)
    (root / "scans").mkdir()
    (root / "scans" / "scan.dcm").write_bytes(b"DICOM")
    shutil.copy(root / "cats" / "cats0.png", root / "loose.png")
    with pytest.raises(DataError) as caught:
        listed(root)
    message = caught.value.message
    assert "1 photo is directly in" in message
    assert "empty' has no photos" in message
    assert "scans' has no photos; fmkit does not read 1 .dcm" in message
    assert "Save DICOM files as 16-bit PNG or TIFF" in message


def test_unsupported_files_are_told(photos):
    root = photos(cats=3, dogs=3)
    (root / "cats" / "notes.txt").write_text("hello")
    (root / "dogs" / "scan.DCM").write_bytes(b"DICOM")
    examples = listed(root)
    assert len(examples) == 6
    (found,) = examples.findings
    assert (found.kind, found.count) == ("unsupported", 2)
    assert "2 files were left out, since they are not photos that fmkit reads" in found.why
    assert "1 .txt" in found.why
    assert "fmkit reads JPEG, PNG, BMP, GIF, WebP, TIFF, AVIF and HEIC." in found.why
    assert "Save DICOM files as 16-bit PNG or TIFF, for example with pydicom." in found.why
    (root / "dogs" / "scan.DCM").unlink()
    (found,) = listed(root).findings  # notes beside photos are no reason to name all formats
    expected = "1 file was left out, since it is not a photo that fmkit reads: 1 .txt."
    assert found.why == expected


@pytest.mark.parametrize("ending", ["tif", "TIFF", "avif", "heic", "HEIF", "jfif"])
def test_photos_of_every_format_are_listed(photos, ending):
    root = photos(cats=3, dogs=3)
    shutil.copy(root / "cats" / "cats0.png", root / "cats" / f"photo.{ending}")
    examples = listed(root)
    assert f"cats/photo.{ending}" in examples.ids
    assert not examples.findings


def test_a_broken_link_is_told(photos):
    root = photos(cats=3, dogs=3)
    (root / "cats" / "link.png").symlink_to(root / "gone.png")
    with pytest.raises(DataError, match=r"a broken link(.|\n)*cats/link\.png: it leads to"):
        listed(root)


def test_a_missing_folder_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        listed("data/photoss")
    assert str(tmp_path / "data" / "photoss") in str(caught.value)
    assert f"right as far as {tmp_path}" in str(caught.value)
    with pytest.raises(DataError, match="no class folders"):
        listed(tmp_path)
    with pytest.raises(ConfigError, match=r"data\.root is missing"):
        listed("???")


def test_what_cannot_be_learned_is_refused(photos):
    one = photos("one", cats=9)
    with pytest.raises(DataError, match="only one class, 'cats'"):
        listed(one)
    assert len(list_examples(ImageFolderData(root=str(one)), training=False)) == 9
    few = photos("few", cats=9, dogs=2)
    with pytest.raises(DataError, match=r"at least 3 examples.*'dogs' has 2"):
        listed(few)
    assert len(listed(few, test_fraction=0.0)) == 11


def test_a_limit_keeps_the_shares_and_is_stable(photos):
    root = photos(cats=30, dogs=10)
    examples = listed(root, limit=20)
    assert np.bincount(examples.labels).tolist() == [15, 5]
    assert listed(root, limit=20).ids == examples.ids
    assert set(listed(root, limit=12).ids) < set(examples.ids)
    (root / "cats" / "cats0.png").rename(root / "cats" / "other.png")
    assert len(set(listed(root, limit=20).ids) ^ set(examples.ids)) <= 4
    with pytest.raises(ConfigError, match=r"data\.limit: received 1\. Expected at least 2"):
        listed(root, limit=1)


def test_a_name_that_is_not_utf8_is_told(photos):
    root = photos(cats=3, dogs=3)
    shutil.copy(root / "cats" / "cats0.png", os.fsencode(root) + b"/cats/caf\xe9.png")
    with pytest.raises(DataError, match=r"not UTF-8(.|\n)*cats/caf\\xe9.png"):
        listed(root)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train/images", "test/images"),
        ("train", "eval"),
        ("Train Set", "TestSet"),
        ("train", "test1"),
        ("training", "holdout"),
        ("train2017", "val2017"),
        ("TRAIN", "flowers-hold-out"),
    ],
)
def test_a_folder_per_split_by_any_usual_name(photos, train, test):
    photos(f"set/{train}", cats=4, dogs=3)
    photos(f"set/{test}", cats=1, dogs=2)
    examples = listed(photos("set"))
    assert examples.classes == ("cats", "dogs")
    assert not examples.findings
    held_out = "val" if test in ("eval", "val2017") else "test"
    assert {*zip(examples.splits, examples.ids, strict=True)} == {
        *(
            ("train", f"{train}/{name}/{name}{i}.png")
            for name, n in (("cats", 4), ("dogs", 3))
            for i in range(n)
        ),
        *(
            (held_out, f"{test}/{name}/{name}{i}.png")
            for name, n in (("cats", 1), ("dogs", 2))
            for i in range(n)
        ),
    }


def test_splits_in_class_folders(photos):
    photos("set/cats", train=4, test_1=1)
    photos("set/dogs", Training=3, test=2)
    examples = listed(photos("set"))
    assert examples.classes == ("cats", "dogs")
    cells = Counter(zip(examples.splits.tolist(), examples.labels.tolist(), strict=True))
    assert cells == {("train", 0): 4, ("test", 0): 1, ("train", 1): 3, ("test", 1): 2}


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({"train": 3, "test1": 3}, "test1, train look like splits but hold no class folders"),
        ({"my_train_images": 3, "my_test_images": 3}, "look like splits but hold no class folders"),
        (
            {"seg_train/a": 3, "seg_test/a": 3, "seg_more": 3},
            "seg_test, seg_train look like splits, seg_more does not",
        ),
    ],
)
def test_splits_that_cannot_be_read_are_refused(photos, folders, message):
    with pytest.raises(DataError, match=message):
        listed(photos(**folders))


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            {"2020/cats": 3, "2020/dogs": 3, "2021/cats": 3, "2021/dogs": 3},
            "2020, 2021 are read as the classes, and all have the folders cats, dogs",
        ),
        (
            {"train/cats": 3, "train/dogs": 3, "more/cats": 3, "more/dogs": 3},
            "more, train are read as the classes",
        ),
        (
            {"cats/train": 3, "cats/test": 3, "dogs": 3},
            "cats: in a class folder, test, train look like splits, and are not read",
        ),
        (
            {"train": 3, "test": 3, "docs": 3},
            "test, train have names of splits, and are read as classes, as docs is beside them",
        ),
    ],
)
def test_folders_that_may_mean_something_else_are_a_warning(photos, folders, message):
    examples = listed(photos(**folders))
    (finding,) = examples.findings
    assert (finding.kind, examples.splits) == ("unclear_folders", None)
    assert message in finding.why


@pytest.mark.parametrize(
    "folders",
    [
        {"test_tube": 3, "beaker": 3},
        {"dev_board": 3, "test_board": 3},
        {"valid": 3, "invalid": 3},
        {"train/a": 2, "train/b": 1, "tram/c": 2, "tram/d": 1},
        {"left/a": 3, "right/a": 3},
    ],
)
def test_classes_may_have_names_with_a_split_in_them(photos, folders):
    examples = listed(photos(**folders))
    assert examples.classes == tuple(sorted({name.split("/")[0] for name in folders}))
    assert examples.splits is None
    assert not examples.findings


def test_splits_in_the_names_of_files(photos):
    root = photos(cats=4, dogs=4)
    for file in root.rglob("*.png"):
        split = "test" if file.stem.endswith("3") else "train"
        file.rename(file.with_name(f"{split}_{file.name}"))
    examples = listed(root)
    counts = Counter(zip(examples.splits.tolist(), examples.labels.tolist(), strict=True))
    assert counts == {("train", 0): 3, ("test", 0): 1, ("train", 1): 3, ("test", 1): 1}
    (root / "cats" / "test_cats3.png").rename(root / "cats" / "other.png")
    assert listed(root).splits is None


def test_the_folder_above_the_classes_names_them(photos, monkeypatch):
    root = photos(**{"flowers/rose": 4, "flowers/tulip": 4})
    monkeypatch.chdir(root.parent)
    with pytest.raises(DataError, match=r"rose, tulip\) are .*data\.root=photos/flowers"):
        listed(root)
    photos("other", **{"set/train/cats": 4, "set/test/cats": 4})
    with pytest.raises(DataError, match=r"test, train\) are .*data\.root=other/set"):
        listed("other")


def test_classes_in_the_names_of_files_are_mentioned(photos):
    root = photos(train=4, test1=4)
    for file in root.rglob("*.png"):
        number = int(file.stem[-1])
        file.rename(file.with_name(f"{'cat' if number % 2 else 'dog'}.{number}.png"))
    with pytest.raises(DataError, match=r"hold no class folders \(.* begin with cat, dog\): put"):
        listed(root)


def test_a_lone_split_is_one_for_evaluation(photos):
    root = photos(**{"test_set/cats": 2, "test_set/dogs": 2})
    examples = list_examples(ImageFolderData(root=str(root)), training=False)
    assert examples.classes == ("cats", "dogs")
    assert set(examples.splits) == {"test"}
