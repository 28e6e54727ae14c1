"""Photos inside of parquet files, as Hugging Face's datasets are stored."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from fmkit.cli import main
from fmkit.config.schema.commands import PredictConfig
from fmkit.config.schema.data import ImageTableData, TextTableData
from fmkit.core import files
from fmkit.core.errors import DataError
from fmkit.data.formats import parquet_photos
from fmkit.data.predict_photos import read_photos
from fmkit.data.sources.registry import collect


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def photo(number, kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", (9, 9), (number * 20, 0, 0)).save(stream, kind)
    return {"bytes": stream.getvalue(), "path": f"{number}.png"}


def write(path, numbers, kind="PNG"):
    """As `datasets` writes them: numbered classes, whose names are in the metadata."""
    rows = [photo(number, kind) for number in numbers]
    table = pyarrow.table({"image": rows, "label": [number % 2 for number in numbers],
                           "note": [f"n{number}" for number in numbers]})  # fmt: skip
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


def config(path, **keys):
    return ImageTableData(root=str(path), path_column="image", **keys)


def first_pixels(examples):
    return [int(np.asarray(Image.open(path))[0, 0, 0]) for path in examples.content.paths]


def test_a_file_is_a_data_set(tmp_path):
    path = write(tmp_path / "a.parquet", range(6))
    examples = collect(config(path))
    assert list(examples.ids) == [f"row-{number:06d}" for number in range(6)]
    assert examples.classes == ("cat", "dog")
    assert [examples.classes[k] for k in examples.labels] == ["cat", "dog"] * 3
    assert first_pixels(examples) == [0, 20, 40, 60, 80, 100]
    before = [stat_of(name) for name in examples.content.paths]
    again = collect(config(path))
    assert [stat_of(name) for name in again.content.paths] == before  # not written a second time
    assert again.content.digest() == examples.content.digest()


def stat_of(name):
    status = Path(name).stat()
    return name, status.st_ino, status.st_mtime_ns


def test_a_folder_has_a_file_for_each_split(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data/train-00000-of-00001.parquet", range(4), "JPEG")
    write(tmp_path / "data/test-00000-of-00001.parquet", [4, 5])
    examples = collect(config(tmp_path / "data"))
    assert sorted(zip(examples.splits.tolist(), examples.ids, strict=True)) == [
        *(("test", f"test-00000-of-00001.parquet:row-{number:06d}") for number in range(2)),
        *(("train", f"train-00000-of-00001.parquet:row-{number:06d}") for number in range(4)),
    ]
    assert {name.rpartition(".")[2] for name in examples.content.paths} == {"jpg", "png"}


def test_a_row_without_a_photo_and_a_file_that_has_changed(tmp_path):
    rows = [photo(1), {"bytes": None, "path": "gone.png"}, photo(3)]
    pyarrow_table = pyarrow.table({"image": rows, "label": ["a", "b", "a"]})
    parquet.write_table(pyarrow_table, tmp_path / "a.parquet")
    examples = collect(config(tmp_path / "a.parquet"))
    assert list(examples.ids) == ["row-000000", "row-000002"]
    (finding,) = [row for row in examples.findings if row.kind == "incomplete_row"]
    assert (finding.where, finding.why) == ("row 2", "no photo")
    write(tmp_path / "a.parquet", [7, 8])
    assert first_pixels(collect(config(tmp_path / "a.parquet"))) == [140, 160]


def test_numbers_are_labels_of_such_photos_too(tmp_path):
    table = pyarrow.table({"image": [photo(1), photo(2)], "price": ["$1.50", "$2.50"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    examples = collect(config(tmp_path / "a.parquet", labels="numbers", label_column="price"))
    assert examples.annotations.values.ravel().tolist() == [1.5, 2.5]


def test_predict_reads_them_with_the_other_cells(tmp_path):
    path = write(tmp_path / "a.parquet", [3, 4])
    inputs = read_photos(PredictConfig(run="r", input=str(path)), config(path))
    assert inputs.columns["note"] == ["n3", "n4"]
    assert "image" not in inputs.columns
    assert [int(np.asarray(Image.open(name))[0, 0, 0]) for name in inputs.names] == [60, 80]


def test_such_a_file_is_recognised(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.parquet", range(6))
    assert main(["finetune", "a.parquet", "--cfg", "job"]) == 0
    told = capsys.readouterr()
    assert "name: image_table" in told.out
    assert "path_column: image" in told.out


def test_a_source_of_texts_says_what_they_are(tmp_path):
    path = write(tmp_path / "a.parquet", range(2))
    with pytest.raises(DataError, match="has photos in it, not texts: data=image_table"):
        collect(TextTableData(root=str(path), text_column="image"))


def test_clearing_the_cache_removes_them_unless_a_process_reads_them(tmp_path, fmkit):
    path = write(tmp_path / "train.parquet", range(4))
    paths = collect(config(path)).content.paths
    size = sum(Path(photo).stat().st_size for photo in paths)
    code, out, err = fmkit("cache", "clear", "--json")
    assert json.loads(out)["photos"] == {"removed": 0, "bytes": 0, "in_use": 1}
    assert "the photos of 1 parquet column is in use, not removed" in err
    assert Path(paths[0]).exists()
    parquet_photos._locks.popitem()[1].close()  # as the end of the process does
    code, out, err = fmkit("cache", "clear")
    assert (code, "in use" in err) == (0, False)
    assert f"the photos of 1 parquet column, {files.format_bytes(size)}, removed from" in out
    assert not Path(paths[0]).exists()
    assert first_pixels(collect(config(path))) == [0, 20, 40, 60]  # taken out again
