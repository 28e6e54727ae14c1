"""Arrays are taken as they are or refused with a reason; nothing is guessed."""

import io
import zipfile

import numpy as np
import pytest

from fmkit.config.schema.data import ArraysData
from fmkit.core.errors import DataError
from fmkit.data.recognition.recognise import Request, recognise
from fmkit.data.sources.npz import read_images
from fmkit.data.sources.registry import list_examples


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "set.npz", **arrays)
    return ArraysData(root=str(tmp_path / "set.npz"))


def images(*shape, dtype=np.uint8):
    return (np.arange(np.prod(shape)).reshape(shape) % 256).astype(dtype)


def test_numbers_and_texts_as_labels(tmp_path):
    config = saved(tmp_path, images=images(30, 4, 4), labels=np.arange(30) % 3 * 5)
    examples = list_examples(config)
    assert examples.classes == ("0", "5", "10")
    assert examples.ids[7] == "row-000007"
    assert examples.content.pixels.dtype == np.uint8
    names = np.array(["b", "a", "c"] * 10)
    examples = list_examples(saved(tmp_path, images=images(30, 4, 4, 3), labels=names))
    assert examples.classes == ("a", "b", "c")
    assert examples.labels[:3].tolist() == [1, 0, 2]


def test_two_spellings_of_a_number_are_told(tmp_path):
    labels = np.array(["0", "0.0", "1", "a"])
    found = list_examples(saved(tmp_path, images=images(16, 8, 8), labels=np.tile(labels, 4)))
    assert [(each.kind, each.where) for each in found.findings] == [
        ("number_twins", "'0' and '0.0'")
    ]


def test_whole_numbers_of_other_types_are_taken(tmp_path):
    labels = np.arange(12) % 2
    config = saved(tmp_path, images=images(12, 4, 4, dtype=np.int64), labels=labels)
    assert np.array_equal(list_examples(config).content.pixels, images(12, 4, 4))
    config = saved(tmp_path, images=images(12, 4, 4) > 9, labels=labels)
    assert set(np.unique(list_examples(config).content.pixels)) == {0, 255}


def of_splits(**sizes):
    """Arrays of images and of labels for each split, as MedMNIST has them."""
    return {
        name: array
        for split, size in sizes.items()
        for name, array in (
            (f"{split}_images", images(size, 4, 4)),
            (f"{split}_labels", np.arange(size).reshape(-1, 1) % 2),
        )
    }


@pytest.mark.parametrize("labels", ["classes", "sets", "numbers"])
def test_arrays_of_splits_are_one_set(labels, tmp_path):
    config = saved(tmp_path, **of_splits(test=2, val=3, train=6))
    config.labels = labels
    examples = list_examples(config)
    assert examples.splits.tolist() == ["train"] * 6 + ["val"] * 3 + ["test"] * 2
    pixels = np.concatenate([images(size, 4, 4) for size in (6, 3, 2)])
    assert np.array_equal(examples.content.pixels, pixels)
    assert np.array_equal(read_images(tmp_path / "set.npz", "images"), pixels)
    if labels == "classes":
        assert examples.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1]
    config.image_key, config.label_key = "train_images", "train_labels"  # one of them alone
    assert len(list_examples(config)) == 6
    assert list_examples(config).splits is None


def test_arrays_are_named_for_splits_as_in_keras_too(tmp_path):
    arrays = {"x_train": images(6, 4, 4), "y_train": np.arange(6) % 2}
    arrays |= {"x_test": images(3, 4, 4), "y_test": np.arange(3) % 2}
    config = saved(tmp_path, **arrays)
    config.image_key, config.label_key = "x", "y"
    assert list_examples(config).splits.tolist() == ["train"] * 6 + ["test"] * 3
    settings = recognise(Request("set.npz"), tmp_path / "set.npz").settings
    assert (settings["data.image_key"], settings["data.label_key"]) == ("x", "y")


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_one_hot_rows_are_classes(dtype, tmp_path):
    labels = np.arange(12) % 3
    config = saved(tmp_path, images=images(12, 4, 4), labels=np.eye(3)[labels].astype(dtype))
    assert list_examples(config).labels.tolist() == labels.tolist()
    settings = recognise(Request("set.npz"), tmp_path / "set.npz").settings
    assert settings.get("task", "classification") == "classification"


def test_the_only_images_of_a_file_are_predicted_whatever_they_are_called(tmp_path):
    saved(tmp_path, photos=images(5, 4, 4), ids=np.arange(5))
    assert np.array_equal(read_images(tmp_path / "set.npz", "images"), images(5, 4, 4))
    saved(tmp_path, x_old=images(5, 4, 4), x_new=images(5, 4, 4))
    with pytest.raises(DataError, match=r"arrays of images") as raised:
        read_images(tmp_path / "set.npz", "images")
    assert "image_key" not in raised.value.hint


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"images": images(6, 4, 4) / 47.5 - 1, "labels": np.arange(6)},
            r"numpy.round\(numpy.interp\(images, \(-1, 1\), \(0, 255\)\)\).astype",
        ),
        ({"images": images(6, 4, 4) / 255.0, "labels": np.arange(6)}, "expected whole numbers"),
        ({"images": images(6, 4, 4) * 2, "labels": np.zeros((6, 3))}, r"shape of labels"),
        ({"images": images(6, 3, 8, 8), "labels": np.arange(6)}, "Channels come last"),
        ({"images": images(6, 4, 4), "labels": np.arange(5)}, "6 rows, labels 5"),
        (
            {**of_splits(train=6, val=3), "train_labels": np.arange(5), "val_labels": np.arange(4)},
            "'train': 6, 'val': 3.*'train': 5, 'val': 4",
        ),
        ({**of_splits(train=6, val=3), "val_images": images(3, 5, 5)}, "different shapes"),
        (
            {"images": images(6, 4, 4).astype(int) + 200, "labels": np.arange(6)},
            "goes from 200 to 295",
        ),
        ({"images": images(6, 4, 4), "labels": np.array(["a", ""] * 3)}, "empty class names"),
        ({"images": images(6, 4, 4), "label": np.arange(6)}, "Did you mean label?"),
        ({"images": images(6, 4, 4), "labels": np.arange(6) / 2}, "type of labels"),
        ({"images": images(6, 4, 4), "labels": np.array([{}] * 6)}, "Python objects"),
        ({"images": images(6, 4, 4), "labels": np.arange(6) - 1}, "1 negative labels"),
        (
            {"images": np.where(images(6, 4, 4) == 20, np.nan, 0), "labels": np.arange(6)},
            "NaN or infinite values in 1 image: row-000001",
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        list_examples(saved(tmp_path, **arrays))


def test_an_array_larger_than_its_file_or_the_memory_is_not_read(tmp_path):
    header = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**20)}
    np.lib.format.write_array_header_1_0(header, facts)
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(99))
        archive.writestr("labels.npy", header.getvalue())
    with pytest.raises(DataError) as caught:
        list_examples(ArraysData(root=str(tmp_path / "set.npz")))
    assert caught.value.message.count("1,099,511,627,776 bytes, and") == 2


def test_no_npz_at_all(tmp_path):
    (tmp_path / "set.npz").write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"is not a readable \.npz file"):
        list_examples(ArraysData(root=str(tmp_path / "set.npz")))
    np.save(tmp_path / "one.npy", images(3, 2, 2))
    with pytest.raises(DataError, match="single array"):
        list_examples(ArraysData(root=str(tmp_path / "one.npy")))
