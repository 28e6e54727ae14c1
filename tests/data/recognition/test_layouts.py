"""Layouts that public data sets and people's own folders have, from a bare path."""

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from fmkit.config.registry import config_class
from fmkit.config.schema.commands import PredictConfig
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.predict_photos import read_photos
from fmkit.data.recognition.recognise import Request, recognise
from fmkit.data.sources.registry import collect


def photos(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / path)


def listed(settings):
    """The examples that a path was taken for."""
    keys = {key.removeprefix("data."): value for key, value in settings.items() if "." in key}
    return collect(config_class("data", settings["data"])(**keys))


PARTS = {
    "numbers": ("images_part_1", "images_part_2"),
    "months": ("2026-01", "2026-02"),
    "cameras": ("100CANON", "101CANON"),
}


@pytest.fixture(params=PARTS)
def parts(request, tmp_path):
    """Photos in two folders, the first of which has the first 210 rows of a table."""
    names = [f"a{number:03d}.png" for number in range(240)]
    photos(tmp_path, *(f"{PARTS[request.param][k >= 210]}/{name}" for k, name in enumerate(names)))
    kinds = {"kind": ["cup", "plate"] * 120, "place": ["hall", "yard", "attic"] * 80}
    pd.DataFrame({"file": names, **kinds}).to_csv(tmp_path / "list.csv", index=False)
    return tmp_path


def test_photos_in_several_folders_are_those_of_one_table(parts):
    settings = recognise(Request("data", {"label_column": "kind"}), parts).settings
    assert (settings["data"], settings.get("data.image_root")) == ("image_table", None)
    keys = {key.removeprefix("data."): value for key, value in settings.items() if "." in key}
    assert len(listed(settings)) == 240
    for image_root in (None, str(parts)):
        learned = config_class("data", "image_table")(**keys, image_root=image_root)
        inputs = read_photos(PredictConfig(run="", input=str(parts / "list.csv")), learned)
        assert not any(inputs.errors)


@pytest.mark.parametrize("command", ["finetune", "check"])
def test_folders_of_parts_are_not_classes_where_a_table_asks(command, parts):
    request = Request("data", needs_labels=command == "finetune", line=f"fmkit {command} data")
    with pytest.raises(ConfigError, match="kind or place") as caught:
        recognise(request, parts)
    assert caught.value.hint == f"Say which: fmkit {command} data data.label_column=kind"


def test_folders_of_parts_without_a_table(parts):
    (parts / "list.csv").unlink()
    request = Request("data", needs_labels=False, line="fmkit pretrain data")
    assert recognise(request, parts).settings["data"] == "photos"
    examples = collect(config_class("data", "image_folder")(root=str(parts)))
    (finding,) = examples.findings
    assert finding.kind == "unclear_folders"
    assert "have names of parts" in finding.why


@pytest.mark.parametrize(
    "names", [("c0", "c1"), ("1990", "1995"), ("n01440764", "n01443537"), ("0", "1")]
)
def test_numbered_classes_are_classes(names, tmp_path):
    photos(tmp_path, *(f"{name}/{k}.png" for name in names for k in range(3)))
    examples = collect(config_class("data", "image_folder")(root=str(tmp_path)))
    assert examples.classes == names
    assert not examples.findings


CLASSES = ("n01", "n02", "n03")


def texts(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"some text of {path}")


def finding_of(examples, kind):
    """The text of the only finding of a kind."""
    (finding,) = (finding for finding in examples.findings if finding.kind == kind)
    return finding.why


LISTS = {
    "Tiny-ImageNet": (
        "val/images/{}.JPEG",
        "val/val_annotations.txt",
        "{}.JPEG\t{}\t0\t32\t44\t62",
    ),
    "ImageNet of Kaggle": ("val/{}.JPEG", "LOC_val_solution.csv", "{},{} 85 1 499 272 "),
    "a list with folders": ("val/{}.JPEG", "val.txt", "val/{}.JPEG {}"),
}


@pytest.mark.parametrize("name", LISTS)
def test_the_classes_of_a_split_may_be_in_a_list(name, tmp_path):
    photo, file, row = LISTS[name]
    photos(tmp_path, *(f"train/{c}/images/{c}_{k}.JPEG" for c in CLASSES for k in range(4)))
    photos(tmp_path, *(photo.format(k) for k in range(6)), "test/images/7.JPEG")
    rows = [row.format(k, CLASSES[k % 3]) for k in range(6)]
    (tmp_path / file).write_text("\n".join(["ImageId,PredictionString", *rows]))
    settings = recognise(Request("data"), tmp_path).settings
    assert settings["data"] == "image_folder"
    examples = collect(config_class("data", "image_folder")(root=str(tmp_path)))
    assert not any(finding.is_error for finding in examples.findings)
    assert examples.classes == CLASSES
    held_out = {
        examples.ids[k]: examples.classes[examples.labels[k]]
        for k in range(len(examples.ids))
        if examples.splits[k] == "val"
    }
    assert held_out == {photo.format(k): CLASSES[k % 3] for k in range(6)}
    assert "6 examples have their classes from" in finding_of(examples, "listed_classes")
    why = finding_of(examples, "unlabelled_folder")
    assert "test has 1 photo and no class folders (7.JPEG)" in why
    assert "fmkit predict run=last input=" in why


def test_a_photo_that_a_list_lacks_is_an_error(tmp_path):
    photos(tmp_path, *(f"train/{c}/{k}.png" for c in CLASSES for k in range(3)))
    photos(tmp_path, *(f"val/v{k}.png" for k in range(4)))
    (tmp_path / "val.txt").write_text("".join(f"v{k}.png n01\n" for k in range(3)))
    examples = collect(config_class("data", "image_folder")(root=str(tmp_path)))
    (finding,) = (finding for finding in examples.findings if finding.kind == "incomplete_row")
    assert (finding.where, "no class in" in finding.why) == ("val/v3.png", True)


@pytest.mark.parametrize(("source", "make", "ending"), [
    ("image_folder", photos, "png"), ("text_folder", texts, "txt"),
])  # fmt: skip
@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("seg_pred/seg_pred", "seg_pred has no labels, by its name"),
        ("unlabeled", "unlabeled has no labels, by its name"),
        ("seg_train/seg_train/unsup", "unsup has no labels, by its name"),
        ("holdout", "holdout has 3"),
    ],
)
def test_folders_without_labels_are_left_out(folder, why, source, make, ending, tmp_path):
    for name in ("seg_train/seg_train", "seg_test/seg_test"):
        inside = name if "unsup" in folder or "seg_pred" in folder else name.partition("/")[0]
        make(tmp_path, *(f"{inside}/{c}/{k}.{ending}" for c in CLASSES for k in range(3)))
    folder = folder if "unsup" in folder or "seg_pred" in folder else folder.partition("/")[0]
    make(tmp_path, *(f"{folder}/x{k}.{ending}" for k in range(3)))
    examples = collect(config_class("data", source)(root=str(tmp_path)))
    assert examples.classes == CLASSES
    assert len(examples.ids) == 18
    assert not any(finding.is_error for finding in examples.findings)
    assert why in finding_of(examples, "unlabelled_folder")


def test_a_copy_of_a_data_set_in_itself_is_left_out(tmp_path):
    for folder in ("", "xray/"):
        photos(tmp_path, *(f"{folder}{s}/{c}/{s}{k}.png" for s in ("train", "test", "val")
                           for c in CLASSES for k in range(2)))  # fmt: skip
    examples = collect(config_class("data", "image_folder")(root=str(tmp_path)))
    assert (examples.classes, len(examples.ids)) == (CLASSES, 18)
    assert "has the same folders" in finding_of(examples, "unlabelled_folder")


@pytest.mark.parametrize("split", ["train", "both"])
def test_a_class_of_all_splits_is_one_whatever_its_name(split, tmp_path):
    splits = ("train", "test")
    photos(tmp_path, *(f"{s}/{c}/{k}.png" for s in splits for c in ("a", "b") for k in range(3)))
    photos(tmp_path, *(f"{s}/unlabeled/{k}.png" for s in splits[: 1 + (split == "both")]
                       for k in range(3)))  # fmt: skip
    examples = collect(config_class("data", "image_folder")(root=str(tmp_path)))
    assert ("unlabeled" in examples.classes) == (split == "both")


@pytest.mark.parametrize("count", [2, 3])
def test_a_few_files_beside_class_folders_are_left_out(count, tmp_path):
    texts(tmp_path, *(f"{split}/{c}/{k}.txt" for split in ("train", "test")
                      for c in ("neg", "pos") for k in range(20)))  # fmt: skip
    texts(tmp_path, *(f"train/urls_{k}.txt" for k in range(count)), "test/urls.txt", "imdb.txt")
    examples = collect(config_class("data", "text_folder")(root=str(tmp_path)))
    kinds = {finding.kind for finding in examples.findings}
    assert kinds == {"stray_files" if count == 2 else "loose_texts"}
    assert examples.classes == ("neg", "pos")


def mat(path, **arrays):
    savemat(path, arrays)


def cells(names):
    """Names as MATLAB writes a cell array of texts, (N, 1)."""
    array = np.empty((len(names), 1), object)
    array[:, 0] = names
    return array


def cub(root):
    names = [f"{c}.Bird/{c}_{k}.png" for c in (1, 2) for k in range(6)]
    photos(root / "images", *names)
    lists = {
        "images": names, "image_class_labels": [1] * 6 + [2] * 6,
        "train_test_split": [1, 1, 1, 1, 0, 0] * 2, "bounding_boxes": ["60.0 27.0 325.0 4.0"] * 12,
    }  # fmt: skip
    for name, values in lists.items():
        text = "".join(f"{number} {value}\n" for number, value in enumerate(values, start=1))
        (root / f"{name}.txt").write_text(text)
    (root / "classes.txt").write_text("1 1.Bird\n2 2.Great Bird\n")
    return {f"images/{n}": ("1.Bird" if n[0] == "1" else "2.Great Bird",
                            "train" if int(n[-5]) < 4 else "test") for n in names}  # fmt: skip


def pets(root):
    names = [f"{c}_{k}" for c in ("Sphynx", "basset_hound") for k in range(1, 7)]
    photos(root / "images", *(f"{name}.jpg" for name in names))
    photos(root / "annotations" / "trimaps", "Sphynx_1.png")
    rows = {name: f"{name} {1 + (name[0] == 'b')} {1 + (name[0] == 'b')} 1\n" for name in names}
    (root / "annotations" / "list.txt").write_text(
        "#Image CLASS-ID SPECIES\n" + "".join(rows.values())
    )
    for file, is_held_out in (("trainval", False), ("test", True)):
        part = [row for name, row in rows.items() if (int(name[-1]) > 4) == is_held_out]
        (root / "annotations" / f"{file}.txt").write_text("".join(part))
    return {f"images/{n}.jpg": (n[:-2], "test" if int(n[-1]) > 4 else "train") for n in names}


def flowers(root):
    photos(root / "jpg", *(f"image_{number:05d}.jpg" for number in range(1, 13)))
    mat(root / "imagelabels.mat", labels=np.array([[1, 2] * 6], np.uint8))
    ids = {"trnid": [1, 2, 3, 4], "valid": [5, 6, 7, 8], "tstid": [9, 10, 11, 12]}
    mat(root / "setid.mat", **{name: np.array([numbers]) for name, numbers in ids.items()})
    return {f"jpg/image_{n:05d}.jpg": (str(2 - n % 2), ("train", "val", "test")[(n - 1) // 4])
            for n in range(1, 13)}  # fmt: skip


def dogs(root):
    names = [f"n0{c}-Dog/n0{c}_{k}.jpg" for c in (1, 2) for k in range(6)]
    photos(root / "Images", *names)
    parts = {"file": names, "train": names[:4] + names[6:10], "test": names[4:6] + names[10:]}
    for name, part in parts.items():
        mat(root / f"{name}_list.mat", file_list=cells(part), labels=np.ones((len(part), 1)))
    return {f"Images/{n}": (n.partition("/")[0], "train" if n in parts["train"] else "test")
            for n in names}  # fmt: skip


@pytest.mark.parametrize("make", [cub, pets, flowers, dogs], ids=lambda make: make.__name__)
def test_a_public_data_set_is_read_by_its_lists(make, tmp_path):
    expected = make(tmp_path)
    settings = recognise(Request("data"), tmp_path).settings
    examples = listed(settings)
    assert {
        Path(path).relative_to(tmp_path).as_posix(): (examples.classes[label], split)
        for path, label, split in zip(
            examples.content.paths, examples.labels, examples.splits, strict=True
        )
    } == expected
    assert not examples.findings
    file = Path(settings["data.root"])
    assert recognise(Request("data"), file).settings == settings
    assert listed(settings | {"data.root": str(tmp_path)}).fingerprint == examples.fingerprint


CELEBA = {
    "Kaggle": ("list_attr_celeba.csv", "list_eval_partition.csv", "img_align/img_align"),
    "texts": ("list_attr_celeba.txt", "list_eval_partition.txt", "img_align"),
    "original": ("Anno/list_attr_celeba.txt", "Eval/list_eval_partition.txt", "Img/img_align"),
}


@pytest.fixture(params=CELEBA)
def celeba(request, tmp_path):
    """The layout with 12 photos, 40 attributes of 1 and -1 and a partition of 0, 1 and 2."""
    attributes, partition, folder = CELEBA[request.param]
    names = [f"{number:06d}.jpg" for number in range(1, 13)]
    photos(tmp_path / folder, *names)
    values = np.where((np.arange(480) * 7 % 5 < 2).reshape(12, 40), 1, -1)
    numbers = [0] * 6 + [1] * 3 + [2] * 3
    columns = [f"Attribute_{k}" for k in range(40)]
    for file in (attributes, partition):
        (tmp_path / file).parent.mkdir(exist_ok=True)
    rows = [[name, *map(str, row)] for name, row in zip(names, values, strict=True)]
    parts = [[name, str(number)] for name, number in zip(names, numbers, strict=True)]
    if attributes.endswith(".csv"):
        lines = [["image_id", *columns], *rows]
        parts = [["image_id", "partition"], *parts]
        (tmp_path / attributes).write_text("\n".join(map(",".join, lines)))
        (tmp_path / partition).write_text("\n".join(map(",".join, parts)))
    else:
        (tmp_path / attributes).write_text("\n".join(["12", *map("  ".join, [columns, *rows])]))
        (tmp_path / partition).write_text("\n".join(map(" ".join, parts)))
    return tmp_path, values, partition


def test_celeba_has_40_labels_and_its_own_splits(celeba):
    root, values, _ = celeba
    settings = recognise(Request("data"), root).settings
    assert settings["task"] == "multi_label"
    keys = {key.removeprefix("data."): value for key, value in settings.items() if "." in key}
    examples = collect(config_class("data", "image_table")(**keys, labels="sets"))
    assert examples.annotations.names == tuple(f"Attribute_{k}" for k in range(40))
    assert np.array_equal(examples.annotations.indicators, values == 1)
    assert [*examples.splits] == ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    one = recognise(Request("data", {"label_column": "Attribute_7"}), root).settings
    one = listed(one | {"data.label_column": "Attribute_7"})
    assert [one.classes[k] for k in one.labels] == [*map(str, values[:, 7])]


def test_a_table_of_splits_alone_says_where_the_labels_are(celeba):
    root, _, partition = celeba
    if partition.endswith(".csv"):
        with pytest.raises(
            DataError, match=r"the split of each \(partition\), and no labels"
        ) as caught:
            recognise(Request("data", line="fmkit check data"), root / partition)
        assert "list_attr_celeba.csv" in caught.value.hint
        (root / "list_attr_celeba.csv").unlink()
        with pytest.raises(DataError, match="no labels") as caught:
            recognise(Request("data"), root / partition)
        assert "join both by image_id" in caught.value.hint


@pytest.mark.parametrize("source", ["image_table", "text_table"])
def test_splits_by_number_are_used_where_most_rows_are_0(source, tmp_path):
    names = [f"{k}.png" for k in range(300)]
    for name in names if source == "image_table" else ():
        (tmp_path / name).touch()
    numbers = [0] * 250 + [1] * 20 + [2] * 30  # the first rows are all of training
    texts = [f"some text with number {k}" for k in range(300)]
    content = {"image_table": ("file", names), "text_table": ("text", texts)}
    column, values = content[source]
    frame = pd.DataFrame({column: values, "kind": [*"abc"] * 100, "partition": numbers})
    frame.to_csv(tmp_path / "list.csv", index=False)
    result = recognise(Request("data"), tmp_path / "list.csv")
    assert "partition: 0 is train, 1 is val, 2 is test" in result.reason
    assert result.settings["data"] == source
    examples = listed(result.settings)
    assert [*examples.splits] == ["train"] * 250 + ["val"] * 20 + ["test"] * 30


def test_splits_by_number_beside_labels_are_named(tmp_path):
    names = [f"{k}.png" for k in range(9)]
    photos(tmp_path, *names)
    frame = pd.DataFrame({"file": names, "kind": [*"abc"] * 3, "partition": [0, 1, 2] * 3})
    frame.to_csv(tmp_path / "list.csv", index=False)
    result = recognise(Request("data"), tmp_path)
    assert result.settings["data.label_column"] == "kind"
    assert "partition numbers splits, and is not read" in result.reason


def test_a_column_of_1_and_minus_1_is_one_of_yes_and_no_alone(tmp_path):
    names = [f"{k}.png" for k in range(4)]
    photos(tmp_path, *names)
    frame = pd.DataFrame({"path": names, "a": [1, -1, 1, -1], "b": [1, 0, 1, 0]})
    frame.to_csv(tmp_path / "list.csv", index=False)
    make = config_class("data", "image_table")
    config = make(root=str(tmp_path / "list.csv"), label_columns=["a", "b"], labels="sets")
    assert collect(config).annotations.indicators.tolist() == [[True] * 2, [False] * 2] * 2
    frame.assign(b=[1, 0, -1, 0]).to_csv(tmp_path / "list.csv", index=False)
    (finding,) = collect(config).findings
    assert "'b' is '-1', neither 1 nor 0" in finding.why


def test_links_to_class_folders_are_followed_where_the_user_allows_it(tmp_path):
    for name in ("cup", "mug"):
        photos(tmp_path / "elsewhere" / name, *(f"{name}{k}.png" for k in range(3)))
    (tmp_path / "elsewhere" / "mug" / "loop").symlink_to(tmp_path / "elsewhere")
    data = tmp_path / "data"
    data.mkdir()
    for name in ("cup", "mug"):
        (data / name).symlink_to(tmp_path / "elsewhere" / name)
    with pytest.raises(DataError, match="links to folders, which are not followed: cup") as caught:
        recognise(Request("data", line="fmkit check data"), data)
    assert "fmkit check data data.outside_links=true" in caught.value.hint
    settings = recognise(Request("data", {"outside_links": True}), data).settings
    config = config_class("data", settings["data"])(root=str(data), outside_links=True)
    assert collect(config).classes == ("cup", "mug")


MAIL = """\
From - Mon Nov  2 10:00:00 2026
From: a@example.com
Subject: {0} {1}
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: base64

{2}

"""


@pytest.mark.parametrize("ending", ["", ".mbox"])
def test_mailboxes_are_refused_with_the_lines_that_make_texts_of_them(ending, tmp_path):
    for box in ("Inbox", "Junk"):
        mails = [MAIL.format(box, k, b64encode(f"grüße {k}".encode()).decode()) for k in range(3)]
        (tmp_path / f"{box}{ending}").write_text("".join(mails))
        (tmp_path / f"{box}.msf").write_text("// <mdb:mork:z>")
    for path in (tmp_path, tmp_path / f"Inbox{ending}"):
        with pytest.raises(DataError, match=r"mailbox.*\(mbox\)") as caught:
            recognise(Request("mail"), path)
    with pytest.raises(DataError) as caught:
        recognise(Request("mail"), tmp_path)
    code = caught.value.hint.partition("\n")[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    examples = listed(recognise(Request("mails"), tmp_path / "mails").settings)
    assert examples.classes == ("Inbox", "Junk")
    assert len(examples) == 6
    assert (tmp_path / "mails/Inbox/000001.txt").read_text().split() == ["Inbox", "1", "grüße", "1"]


def food(root):
    names = [f"{c}/{k}" for c in ("apple_pie", "baklava") for k in range(4)]
    photos(root / "images", *(f"{name}.jpg" for name in names))
    lists = {
        "classes": ["apple_pie", "baklava"],
        "labels": ["Apple pie", "Baklava"],
        "train": [n for n in names if n[-1] < "3"],
        "test": [n for n in names if n[-1] == "3"],
    }
    (root / "meta").mkdir()
    for name, values in lists.items():
        (root / "meta" / f"{name}.txt").write_text("\n".join(values))
    return {f"images/{n}.jpg": (n[:-2], "test" if n[-1] == "3" else "train") for n in names}


def aircraft(root):
    parts = {"train": range(6), "val": range(6, 9), "test": range(9, 12)}
    (root / "data" / "images").mkdir(parents=True)
    (root / "data" / "variants.txt").write_text("707-320\nA300 B4\n")
    for split, ids in parts.items():
        photos(root / "data" / "images", *(f"{k:07d}.jpg" for k in ids))
        for kind, names in (("variant", ("707-320", "A300 B4")), ("family", ("Boeing", "Airbus"))):
            rows = [f"{k:07d} {names[k % 2]}\n" for k in ids]
            (root / "data" / f"images_{kind}_{split}.txt").write_text("".join(rows))
    return {f"data/images/{k:07d}.jpg": (("707-320", "A300 B4")[k % 2], split)
            for split, ids in parts.items() for k in ids}  # fmt: skip


def gtsrb(root):
    """Two tables of splits, numbers of classes that are names of photos, and a third table."""
    photos(root, "Meta/0.png", "Meta/1.png")
    expected = {}
    for split, folder in (("train", "Train"), ("test", "Test")):
        names = [f"{folder}/{k % 2}/{k:05d}.png" for k in range(6)]
        photos(root, *names)
        frame = pd.DataFrame({"Width": range(30, 36), "ClassId": [0, 1] * 3, "Path": names})
        frame.to_csv(root / f"{folder}.csv", index=False)
        expected |= {name: (name.split("/")[1], split) for name in names}
    frame = pd.DataFrame({"Path": ["Meta/0.png", "Meta/1.png"], "ClassId": [0, 1], "Kind": [1, 2]})
    frame.to_csv(root / "Meta.csv", index=False)
    return expected


@pytest.mark.parametrize("make", [food, aircraft, gtsrb], ids=lambda make: make.__name__)
def test_other_public_data_sets(make, tmp_path):
    expected = make(tmp_path)
    examples = listed(recognise(Request("data"), tmp_path).settings)
    rows = zip(examples.content.paths, examples.labels, examples.splits, strict=True)
    assert {
        Path(path).relative_to(tmp_path).as_posix(): (examples.classes[label], split)
        for path, label, split in rows
    } == expected
    if make is gtsrb:
        assert "Meta.csv has no name of a split" in finding_of(examples, "unlabelled_table")


def test_what_lies_beside_splits_without_data_is_left_out(tmp_path):
    photos(tmp_path, *(f"{s}/{c}/{k}.png" for s in ("Training", "Test") for c in CLASSES
                       for k in range(3)), "test-multiple/9.png")  # fmt: skip
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "a.pdf").write_bytes(b"%PDF")
    examples = collect(config_class("data", "image_folder")(root=str(tmp_path)))
    assert (examples.classes, len(examples)) == (CLASSES, 18)
    why = [f.why for f in examples.findings if f.kind == "unlabelled_folder"]
    assert "papers has no file of the data" in why[0]
    assert "test-multiple has 1 photo and no class folders" in why[1]


def test_photos_of_a_table_that_are_in_folders_of_classes(tmp_path):
    names = [f"img_{c}{k}.png" for c in range(3) for k in range(4)]
    photos(tmp_path / "imgs", *(f"train/c{name[4]}/{name}" for name in names), "test/x.png")
    frame = pd.DataFrame(
        {"subject": [1, 2] * 6, "classname": [f"c{n[4]}" for n in names], "f": names}
    )
    frame.to_csv(tmp_path / "list.csv", index=False)
    examples = listed(recognise(Request("data"), tmp_path).settings)
    assert (examples.classes, len(examples)) == (("c0", "c1", "c2"), 12)


def test_classes_in_the_names_of_photos_come_with_the_command_that_makes_a_table(tmp_path):
    photos(tmp_path / "train", *(f"{c}.{k}.jpg" for c in ("cat", "dog") for k in range(4)))
    photos(tmp_path, *(f"test1/{k}.jpg" for k in range(3)))
    examples = collect(config_class("data", "image_folder")(root=str(tmp_path)))
    assert f"fmkit finetune {tmp_path}/train" in finding_of(examples, "mixed_layout")
    with pytest.raises(DataError) as caught:
        recognise(Request("train"), tmp_path / "train")
    assert "begin with cat, dog" in caught.value.hint
    check = Request("train", needs_labels=False)
    assert "fmkit finetune" in recognise(check, tmp_path / "train").reason
    subprocess.run(["bash", "-c", caught.value.hint.splitlines()[1]], check=True, cwd=tmp_path)
    examples = listed(recognise(Request("train"), tmp_path / "train").settings)
    assert (examples.classes, np.bincount(examples.labels).tolist()) == (("cat", "dog"), [4, 4])


@pytest.mark.parametrize("stem", ["IMG_{}", "{}", "a{}"])
def test_names_of_photos_by_number_are_not_classes(stem, tmp_path):
    photos(tmp_path, *(f"{stem.format(k)}.jpg" for k in range(4)))
    with pytest.raises(DataError) as caught:
        recognise(Request("train"), tmp_path)
    assert caught.value.hint.startswith("Put the photos of each class")


def words_in(folder, columns, name="train.conllu"):
    """A file of numbered words with more columns."""
    rows = ["\t".join([str(k), f"word{k}", *columns]) for k in (1, 2, 3)]
    text = "\n".join(["# sent_id = 1", *rows, "", *rows, "", ""])
    (folder / name).write_text(text)
    return folder / name


CONLL_U = {
    "universal": (["w", "NOUN", "NN", "_", "0", "root", "_", "_"], 4),
    "of_the_language": (["w", "_", "NN", "_", "0", "root", "_", "SpaceAfter=No"], 5),
}


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("name", CONLL_U)
def test_words_and_parts_of_speech_of_conll_u(name, is_folder, tmp_path):
    columns, tag = CONLL_U[name]
    path = words_in(tmp_path, columns)
    words_in(tmp_path, columns, "dev.conllu")
    settings = recognise(Request("data"), tmp_path if is_folder else path).settings
    assert (settings["data.word_column"], settings["data.tag_column"]) == (2, tag)
    assert [*listed(settings).annotations.names] == [columns[tag - 3]]


@pytest.mark.parametrize("columns", [["O", "B-PER"], ["w", "N", "A", "_"]], ids=len)
def test_numbered_words_with_several_columns_are_a_question(columns, tmp_path):
    path = words_in(tmp_path, columns, "words.tsv" if len(columns) == 2 else "words.conll")
    request = Request("data", line="fmkit finetune data")
    with pytest.raises(ConfigError, match=r"column 1 numbers the words\. .* 2: word1, ") as caught:
        recognise(request, path)
    assert caught.value.hint.endswith("data data.word_column=2 data.tag_column=3")
    chosen = {"word_column": 2, "tag_column": 3}
    assert "data.word_column" not in recognise(Request("data", chosen), path).settings


def test_numbered_words_with_one_tag_are_column_2(tmp_path):
    settings = recognise(Request("data"), words_in(tmp_path, ["B-PER"], "words.conll")).settings
    assert settings["data.word_column"] == 2
    assert "data.tag_column" not in settings


def test_an_empty_last_column_is_not_taken_for_tags(tmp_path):
    (tmp_path / "words.conll").write_text("Anna NNP _\nlives VBZ _\n\nhere RB _\n\n")
    with pytest.raises(ConfigError, match=r"column 3 is empty\. Which has the tags") as caught:
        recognise(Request("data"), tmp_path / "words.conll")
    assert caught.value.hint.endswith("data.word_column=1 data.tag_column=2")


def run_line_of(hint, folder):
    """Run the line that a message says to type, in a folder."""
    code = hint.partition('python -c "')[2].partition('"\n')[0]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)


WRITERS = {
    "billing.csv": lambda frame, path: frame.to_csv(path, index=False),
    "billing.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "billing_semicolons.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "billing.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "billing.parquet": lambda frame, path: frame.to_parquet(path),
}


@pytest.mark.parametrize("command", ["finetune", "check"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_table_for_each_class_is_a_question_with_the_line_that_joins_them(
    name, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for topic in (Path(name).stem, "shipping"):
        rows = {"message": [f"some words on {topic} {k}" for k in range(8)], "day": ["today"] * 8}
        Path("data").mkdir(exist_ok=True)
        WRITERS[name](pd.DataFrame(rows), Path("data", name).with_stem(topic))
    request = Request("data", needs_labels=command == "finetune", line=f"fmkit {command} data")
    with pytest.raises(ConfigError, match="may be a class") as caught:
        recognise(request, Path("data"))
    run_line_of(caught.value.hint, tmp_path)
    assert f"name it: fmkit {command} data_labels.csv" in caught.value.hint
    assert caught.value.hint.endswith("Without labels: fmkit pretrain data")
    settings = recognise(request, Path("data_labels.csv")).settings
    assert settings["data.label_column"] == "label"
    assert sorted(listed(settings).classes) == sorted([Path(name).stem, "shipping"])
    pretrain = Request("data", needs_labels=False, line="fmkit pretrain data")
    assert recognise(pretrain, Path("data")).settings["data"] == "text_lines"


@pytest.mark.parametrize("names", [("2026-01", "2026-02"), ("part_1", "part_2"), ("train", "test")])
def test_parts_of_a_set_without_labels_are_not_classes(names, tmp_path):
    for name in names:
        rows = {"message": [f"some words of {name} {k}" for k in range(8)]}
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
    assert recognise(Request("data"), tmp_path).settings["data"] == "text_lines"


def test_classes_in_names_of_texts_are_refused_with_the_line_that_makes_a_table(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    texts(Path("data"), *(f"{name}_{k}.txt" for name in ("billing", "other") for k in range(4)))
    with pytest.raises(DataError, match="nothing but their names") as caught:
        recognise(Request("data", line="fmkit finetune data"), Path("data"))
    run_line_of(caught.value.hint, tmp_path)
    assert listed(recognise(Request("data"), Path("data_labels.csv")).settings).classes == (
        "billing",
        "other",
    )
    check = Request("data", needs_labels=False, line="fmkit check data")
    assert "if their names say what they are" in recognise(check, Path("data")).reason


SENDERS = {
    "author.name": [
        {"content": f"well then, {k}", "author": {"name": "ab"[k % 2]}} for k in range(9)
    ],
    "from": [{"date": "2026-11-01", "from": "ab"[k % 2], "text": f"well {k}"} for k in range(9)],
    "Author": [{"Date": "1.2.26", "Author": "ab"[k % 2], "Content": f"so {k}"} for k in range(9)],
}


@pytest.mark.parametrize("name", SENDERS)
def test_who_wrote_a_message_is_a_label_only_where_the_user_says_so(name, tmp_path):
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"messages": SENDERS[name]}))
    with pytest.raises(ConfigError, match="may be who wrote each message") as caught:
        recognise(Request("chat.json", line="fmkit check chat.json"), path)
    assert caught.value.hint.endswith(f"fmkit check chat.json data.label_column={name}")
    settings = recognise(Request("chat.json", {"label_column": name}), path).settings
    assert settings["data.label_column"] == name


def test_authors_of_texts_without_times_are_labels(tmp_path):
    rows = {
        "text": [f"some words {k}" for k in range(9)],
        "author": ["ab"[k % 2] for k in range(9)],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    settings = recognise(Request("a.csv"), tmp_path / "a.csv").settings
    assert settings["data.label_column"] == "author"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_comments_above_a_header_are_not_the_header(separator, tmp_path):
    rows = [separator.join([f"some words {k}", "ab"[k % 2]]) for k in range(8)]
    text = "\n".join(
        ["# exported 2026-11-30", "# by ana", separator.join(["text", "label"]), *rows]
    )
    (tmp_path / "a.csv").write_text(text)
    settings = recognise(Request("a.csv"), tmp_path / "a.csv").settings
    assert (settings["data.text_column"], settings["data.label_column"]) == ("text", "label")
    assert len(listed(settings)) == 8


def test_a_header_may_begin_with_a_number_sign(tmp_path):
    rows = [f"{k},some words {k},{'ab'[k % 2]}" for k in range(8)]
    (tmp_path / "a.csv").write_text("\n".join(["#id,text,label", *rows]))
    settings = recognise(Request("a.csv"), tmp_path / "a.csv").settings
    assert settings["data.label_column"] == "label"
    assert len(listed(settings)) == 8


def test_columns_of_one_name_are_counted_with_what_to_do(tmp_path):
    rows = [f"some words {k},{'ab'[k % 2]},x,y" for k in range(8)]
    (tmp_path / "a.csv").write_text("\n".join(["text,Labels,Labels,Labels", *rows]))
    settings = recognise(Request("a.csv"), tmp_path / "a.csv").settings
    with pytest.raises(DataError, match="it has 3 columns 'Labels'") as caught:
        listed(settings)
    assert caught.value.hint.startswith("Rename all but one of them in the header")
