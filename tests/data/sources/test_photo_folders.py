"""Photos of a new table are those near it, whatever training had by the same names."""

import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from fmkit.config.schema.commands import PredictConfig
from fmkit.config.schema.data import ImageTableData
from fmkit.data.predict_photos import read_photos
from fmkit.data.recognition.recognise import Request, recognise
from fmkit.data.sources.photo_folders import folders_beside, image_root
from fmkit.data.sources.registry import collect

NAMES = ("0.png", "1.png")


def photos(folder, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (4, 4)).save(folder / name)


def table(path, names=NAMES):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "\n".join(["path,label", *(f"{name},{'ab'[k % 2]}" for k, name in enumerate(names))])
    )
    return path


@pytest.fixture
def learned(tmp_path):
    """The data of training: `cars/cars.csv` with photos in `cars/img`."""
    photos(tmp_path / "cars" / "img", ("0.png", "1.png", "2.png"))
    path = table(tmp_path / "cars" / "cars.csv")
    return ImageTableData(root=str(path), image_root=str(path.parent / "img"))


def predicted(path, learned, **keys):
    inputs = read_photos(PredictConfig(run="last", input=str(path), **keys), learned)
    return [name or error for name, error in zip(inputs.names, inputs.errors, strict=True)]


def evaluated(path, learned):
    folder, note = image_root(str(path), "path", learned)
    folder = learned.image_root if folder is None else folder or None
    config = dataclasses.replace(learned, root=str(path), image_root=folder)
    return list(collect(config).content.paths), note


NEAR = {
    "as in training": ["img"],
    "beside the table": ["."],
    "in another folder": ["photos of april"],
    "as in training first": ["img", ".", "other"],
}


@pytest.mark.parametrize("name", NEAR)
def test_photos_near_a_new_table_come_before_those_of_training(name, tmp_path, learned, capsys):
    folders = NEAR[name]
    path = table(tmp_path / "april" / "april.csv")
    for folder in folders:
        photos(path.parent / folder)
    own = path.parent / folders[0]
    expected = [str(own / photo) for photo in NAMES]
    assert predicted(path, learned) == expected
    said = " ".join(capsys.readouterr().err.split())
    assert "2 photos are in" in said
    assert "cars/img of the training data" in said
    assert "image_root=FOLDER" in said
    paths, note = evaluated(path, learned)
    assert paths == expected
    assert "2 photos are in" in note
    assert "data.image_root=FOLDER" in note


def test_other_names_than_in_training_need_no_remark(tmp_path, learned, capsys):
    path = table(tmp_path / "april" / "april.csv", ["7.png", "8.png"])
    photos(path.parent / "img", ["7.png", "8.png"])
    expected = [str(path.parent / "img" / name) for name in ("7.png", "8.png")]
    assert predicted(path, learned) == expected
    assert capsys.readouterr().err == ""
    assert evaluated(path, learned) == (expected, "")


def test_the_folder_of_training_is_read_where_nothing_is_near_the_table(tmp_path, learned, capsys):
    path = table(tmp_path / "april" / "april.csv")
    expected = [str(tmp_path / "cars" / "img" / name) for name in NAMES]
    assert predicted(path, learned) == expected
    assert "2 photos are not near the table: read from" in " ".join(capsys.readouterr().err.split())
    paths, note = evaluated(path, learned)
    assert paths == expected
    assert "2 photos are not near the table" in note


def test_prediction_takes_each_photo_that_is_not_near_the_table_from_training(tmp_path, learned):
    path = table(tmp_path / "april" / "april.csv", ["0.png", "2.png"])
    photos(path.parent / "img", ["0.png"])
    assert predicted(path, learned) == [
        str(path.parent / "img" / "0.png"), str(tmp_path / "cars" / "img" / "2.png"),
    ]  # fmt: skip


def test_absolute_paths_and_a_named_folder_are_as_they_say(tmp_path, learned, capsys):
    names = [str(tmp_path / "cars" / "img" / name) for name in NAMES]
    path = table(tmp_path / "april" / "april.csv", names)
    photos(path.parent / "img")
    assert predicted(path, learned) == names
    path = table(tmp_path / "april" / "april.csv")
    assert predicted(path, learned, image_root=learned.image_root) == names
    assert capsys.readouterr().err == ""


def test_another_table_in_the_folder_of_training_has_the_photos_of_training(tmp_path, learned):
    path = table(tmp_path / "cars" / "new.csv")
    expected = [str(tmp_path / "cars" / "img" / name) for name in NAMES]
    assert predicted(path, learned) == expected
    assert evaluated(path, learned) == (expected, "")


def test_a_folder_with_the_name_of_the_tables_split_comes_first(tmp_path):
    for name in ("test", "train", "a"):
        (tmp_path / name).mkdir()
    named = [folder.name for folder in folders_beside(tmp_path / "train.csv")]
    assert named == ["train", "a", "test"]
    assert [folder.name for folder in folders_beside(tmp_path / "x.csv")] == ["a", "test", "train"]


CASES = {
    "lower in the table": ("Bilder/Tasse_{}.JPG", "bilder/tasse_{}.jpg"),
    "upper in the table": ("bilder/tasse_{}.jpg", "BILDER\\TASSE_{}.JPG"),
    "composed letters": ("Bilder/Gru\u0308n_{}.jpg", "Bilder/Gr\u00fcn_{}.jpg"),
    "without an ending": ("Bilder/Tasse_{}.JPG", "Bilder/tasse_{}"),
    "of a folder beside": ("Bilder/Tasse_{}.JPG", "tasse_{}.jpg"),
}


@pytest.mark.parametrize("name", CASES)
def test_paths_in_another_case_lead_to_their_photos(name, tmp_path, learned):
    file, listed = CASES[name]
    expected = [str(tmp_path / "new" / file.format(k)) for k in range(4)]
    photos(Path(expected[0]).parent, [Path(path).name for path in expected])
    path = table(tmp_path / "new" / "list.csv", [listed.format(k) for k in range(4)])
    assert predicted(path, learned) == expected
    settings = recognise(Request("new", {"path_column": "path"}), path.parent).settings
    keys = {key.removeprefix("data."): value for key, value in settings.items() if "." in key}
    examples = collect(ImageTableData(**keys))
    assert list(examples.content.paths) == expected
    (finding,) = examples.findings
    assert (finding.kind, finding.count) == ("moved_photo", 4)


def test_a_path_that_two_files_fit_in_another_case_is_none(tmp_path):
    photos(tmp_path, ("A.png", "a.PNG", "b.png"))
    examples = collect(ImageTableData(root=str(table(tmp_path / "t.csv", ["a.png", "b.png"]))))
    assert [Path(path).name for path in examples.content.paths] == ["b.png"]
    assert {finding.kind for finding in examples.findings} == {"missing_file"}


@pytest.mark.parametrize("start", ["s3://bucket/a/", "gs://b/", "https://x.org/p/", "hf://d/"])
def test_addresses_in_a_table_are_named_as_such(start, tmp_path, learned):
    path = table(tmp_path / "new" / "list.csv", [f"{start}{k}.png" for k in range(2)])
    with_root = ImageTableData(root=str(path))
    why = {finding.why for finding in collect(with_root).findings}
    assert all("is an address" in text and "data.image_root" in text for text in why)
    inputs = read_photos(PredictConfig(run="last", input=str(path)), learned)
    assert all("is an address" in error for error in inputs.errors)
    photos(tmp_path / "downloaded")
    with_root.image_root = str(tmp_path / "downloaded")
    assert [Path(p).name for p in collect(with_root).content.paths] == list(NAMES)
