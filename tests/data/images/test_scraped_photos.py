"""Scraped photos: what a file is, its content decides where its name does not tell."""

import csv
from collections import Counter

import pytest
from pictures import picture

from fmkit.config.schema.commands import PredictConfig
from fmkit.config.schema.data import ImageFolderData, ImageTableData, PhotosData
from fmkit.core.errors import DataError
from fmkit.data.formats import file_type
from fmkit.data.images.image_file import is_photo, is_photo_name
from fmkit.data.predict_photos import read_photos
from fmkit.data.recognition.recognise import Request, recognise
from fmkit.data.sources.registry import list_examples

SCRAPED = ["0a1b2c", "x.jpg?w=600&h=400", "download.php", "x.jpg_large", "x.jpg!d", "photo.1"]
OTHERS = {"x.jpg.bak": "JPEG", "0a1b2c~": "JPEG", "raw.dng": "TIFF", "x.txt": "PNG"}


def make_class(folder, seed):
    folder.mkdir(parents=True)
    for number, name in enumerate(SCRAPED):
        picture(seed + number).save(folder / name, "JPEG")
    return folder


@pytest.fixture
def root(tmp_path):
    """Two classes of photos without usual names, beside files that are not photos."""
    for number, name in enumerate(("cats", "dogs")):
        make_class(tmp_path / "scraped" / name, 10 * number)
    for name, kind in OTHERS.items():
        picture(99).save(tmp_path / "scraped" / "cats" / name, kind)
    (tmp_path / "scraped" / "cats" / "page.php").write_text("<html>404</html>")
    (tmp_path / "scraped" / "cats" / "notes").write_text("BMW 3 series, see the other folder")
    return tmp_path / "scraped"


def expected(*classes):
    return sorted(f"{name}/{file}" for name in classes for file in SCRAPED)


@pytest.mark.parametrize("config", [ImageFolderData, PhotosData])
def test_a_folder(config, root):
    examples = list_examples(config(root=str(root)))
    assert sorted(examples.ids) == expected("cats", "dogs")
    counts = Counter(finding.kind for finding in examples.findings)
    assert counts == {"unsupported": 1}
    assert examples.findings[0].count == len(OTHERS) + 2


def test_split_folders_and_loose_photos(tmp_path):
    for split in ("train", "test"):
        make_class(tmp_path / "set" / split / "all" / "cats", 0)
        make_class(tmp_path / "set" / split / "all" / "dogs", 50)
    examples = list_examples(ImageFolderData(root=str(tmp_path / "set")))
    assert (examples.classes, len(examples)) == (("cats", "dogs"), 4 * len(SCRAPED))
    picture(9).save(tmp_path / "set" / "train" / "0f", "JPEG")  # no longer a lone folder
    with pytest.raises(DataError, match=r"1 photo is directly in .*train \(0f\)"):
        list_examples(ImageFolderData(root=str(tmp_path / "set")))


@pytest.mark.parametrize("beside", [True, False], ids=["beside the table", "in a folder"])
def test_a_table(beside, tmp_path):
    folder = tmp_path if beside else tmp_path / "files"
    folder.mkdir(exist_ok=True)
    names = [f"{number:032x}" for number in range(6)]
    for number, name in enumerate(names):
        picture(number).save(folder / name, "JPEG")
    table = tmp_path / "labels.csv"
    with table.open("w") as file:
        csv.writer(file).writerows([["key", "label"], *zip(names, ["cat", "dog"] * 3, strict=True)])
    settings = recognise(Request(str(table)), table).settings
    assert (settings["data"], settings["data.path_column"]) == ("image_table", "key")
    assert ("data.image_root" in settings) is not beside
    config = ImageTableData(
        root=str(table), path_column="key", image_root=None if beside else str(folder)
    )
    assert sorted(list_examples(config).ids) == sorted(names)


def test_a_table_with_addresses_as_names(tmp_path):
    names = [f"{number}.jpg?w=600" for number in range(4)]
    for number, name in enumerate(names):
        picture(number).save(tmp_path / name, "JPEG")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file,label", *(f"{name},{name[0]}x" for name in names)]))
    assert recognise(Request(str(table)), table).settings["data"] == "image_table"


def test_a_path_alone(root):
    assert recognise(Request("scraped"), root).settings["data"] == "image_folder"
    with pytest.raises(DataError, match="is one photo"):
        recognise(Request("photo"), root / "cats" / "0a1b2c")
    with pytest.raises(DataError, match="6 photos and nothing that says what is in them"):
        recognise(Request("dogs"), root / "dogs")


def test_predict(root):
    photos = read_photos(PredictConfig(run="", input=str(root / "dogs")), None)
    assert [name.rpartition("/")[2] for name in photos.names] == sorted(SCRAPED)
    assert not any(photos.errors)
    (root / "empty").mkdir()
    (root / "empty" / "page.php").write_text("<html>404</html>")
    with pytest.raises(DataError, match="has no photo"):
        read_photos(PredictConfig(run="", input=str(root / "empty")), None)


def test_names_are_enough_where_they_tell(tmp_path):
    assert is_photo(tmp_path / "absent.JPG")
    assert is_photo_name("a.png?x=.txt")
    assert not is_photo(tmp_path / "absent")
    assert not is_photo_name("C#.txt")
    assert file_type.image_format(b"BM" + b"W is a brand of cars" * 8) is None
