"""Columns for slices come from the data's table, another file, or the sizes of the examples."""

import numpy as np
import pytest
from PIL import Image

from fmkit.config.schema.data import ImageFolderData, ImageTableData, TextTableData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.sources import image_folder, image_table, text_table
from fmkit.evaluation.slices.metadata import columns_of


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.csv"
    rows = [f"text number {n},{'ab'[n % 2]},{['web', 'mail'][n % 2]},{n}" for n in range(6)]
    path.write_text("\n".join(["text,label,channel,age", *rows]))
    config = TextTableData(name="text_table", root=str(path))
    return config, text_table.list_examples(config)


@pytest.fixture
def photos(tmp_path):
    for name in ("red/1.png", "red/2.png", "blue/1.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    return tmp_path


def test_columns_of_the_own_table_by_row(texts):
    config, examples = texts
    part = examples.take(np.array([4, 1]))
    columns = columns_of(config, part, ["channel", "age", "words"], None)
    assert columns == {"channel": ["web", "mail"], "age": ["4", "1"], "words": ["3", "3"]}


def test_an_unknown_column_is_refused_with_those_there_are(texts):
    with pytest.raises(ConfigError, match=r"chanel.*channel.*age"):
        columns_of(*texts, ["chanel"], None)


def test_columns_of_a_table_of_photos_by_path(photos):
    table = photos / "list.csv"
    table.write_text("path,label,site\nred/1.png,r,x\nred/2.png,r,y\nblue/1.png,b,z\n")
    root = str(photos / "photos")
    config = ImageTableData(name="image_table", root=str(table), image_root=root)
    examples = image_table.list_examples(config)
    assert columns_of(config, examples, ["site"], None) == {"site": ["x", "y", "z"]}


def test_a_file_of_metadata_for_a_folder(photos):
    config = ImageFolderData(name="image_folder", root=str(photos / "photos"))
    examples = image_folder.list_examples(config)
    with pytest.raises(ConfigError, match="slices_file=FILE"):
        columns_of(config, examples, ["site"], None)
    meta = photos / "meta.csv"
    meta.write_text("nr,file,site\n1,photos/red/1.png,x\n2,C:\\photos\\red\\2.png,y\n")
    columns = columns_of(config, examples, None, str(meta))
    by_id = dict(zip(examples.ids, columns["site"], strict=True))
    assert by_id == {"red/1.png": "x", "red/2.png": "y", "blue/1.png": ""}
    assert list(columns) == ["nr", "site"]
    assert columns_of(config, examples, ["bytes"], None)["bytes"][0].isdigit()
    meta.write_text("nr,site\n1,x\n2,y\n")
    with pytest.raises(DataError, match=r"no column of meta\.csv names the examples"):
        columns_of(config, examples, None, str(meta))
    with pytest.raises(DataError, match="is not a file"):
        columns_of(config, examples, None, str(photos / "other.csv"))
