"""Photos of a new table are those near it, whatever training had by the same names."""

import dataclasses

import pytest
from PIL import Image

from fmkit.config.schema.commands import PredictConfig
from fmkit.config.schema.data import ImageTableData
from fmkit.data.predict_photos import read_photos
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
