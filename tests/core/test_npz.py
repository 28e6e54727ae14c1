"""Arrays come out of a .npz file as NumPy reads them, and nothing else does."""

import zipfile

import numpy as np
import pytest

from fmkit.core.npz import open_npz
from fmkit.core.safe_io import UnsafeContent

ARRAYS = {
    "plain": np.arange(12, dtype=np.float32).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12, dtype=np.int64).reshape(3, 4)),
    "big": np.arange(3, dtype=">i4"),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 5), np.uint8),
    "names": np.array(["a", "größe"]),
    "bytes": np.array([b"a", b"bc"]),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_as_numpy_reads_them(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    with open_npz(tmp_path / "a.npz") as reader:
        assert list(reader.members) == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert reader.header(name).shape == array.shape
            assert reader.header(name).nbytes == array.nbytes
            found = reader.read(name)
            assert found.dtype == array.dtype
            assert found.flags.f_contiguous == array.flags.f_contiguous
            np.testing.assert_array_equal(found, array)


def test_objects_are_refused_by_the_header(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{}], object))
    with open_npz(tmp_path / "a.npz") as reader:
        with pytest.raises(UnsafeContent, match="reading those would run code"):
            reader.header("a")
        with pytest.raises(UnsafeContent, match="'a' is damaged"):
            reader.read("a")


def test_a_member_that_is_not_an_array(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "no array")
    with open_npz(tmp_path / "a.npz") as reader:
        assert list(reader.members) == ["notes.txt"]
        with pytest.raises(UnsafeContent, match=r"does not begin as a \.npy file"):
            reader.header("notes.txt")


def test_zeros_that_were_compressed_a_thousandfold_need_a_bound_of_the_reader(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(2**20, np.uint8))
    with pytest.raises(UnsafeContent, match="would unpack"), open_npz(tmp_path / "a.npz"):
        pass
    with open_npz(tmp_path / "a.npz", max_ratio=None) as reader:
        assert not reader.read("a").any()


def test_content_that_was_changed_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.full(1000, 7, np.uint8))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content.replace(bytes([7] * 1000), bytes([8] * 1000)))
    with open_npz(tmp_path / "a.npz") as reader, pytest.raises(UnsafeContent, match="damaged"):
        reader.read("a")
