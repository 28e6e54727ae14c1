"""The own writer agrees with the package's reader, and hostile files cost nothing."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fmkit.core import machine
from fmkit.models.weights import safetensors as safetensors_file

ARRAYS = {
    "kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "across": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "half": np.array([1, -2], np.float16),
    "counter": np.array(7, np.int64),
    "seed": np.array([1, 2], np.uint32),
    "empty": np.zeros((0, 2), np.int32),
    "flag": np.array([True, False]),
    "größe": np.array([1], np.int8),
    "wide": np.array([1e300]),
}


def write(path, arrays):
    path.write_bytes(b"".join(safetensors_file.serialize(arrays)))
    return path


def test_the_package_reads_what_was_written(tmp_path):
    found = load_file(write(tmp_path / "a", ARRAYS))
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_what_the_package_wrote_is_read(tmp_path):
    save_file({"a": ARRAYS["kernel"]}, tmp_path / "a")
    np.testing.assert_array_equal(safetensors_file.read(tmp_path / "a")["a"], ARRAYS["kernel"])


def test_types_that_numpy_lacks(tmp_path):
    arrays = {"a": np.array([1.5, -2], ml_dtypes.bfloat16)}
    found = safetensors_file.read(write(tmp_path / "a", arrays))["a"]
    assert found.tobytes() == arrays["a"].tobytes()
    with pytest.raises(ValueError, match="a: safetensors files cannot hold complex128"):
        safetensors_file.serialize({"a": np.zeros(1, complex)})


def test_no_array_is_copied():
    array = np.zeros(5, np.float32)
    _, body = safetensors_file.serialize({"a": array})
    array[0] = 1
    assert np.frombuffer(body, np.float32)[0] == 1


def test_numbers_that_are_not_finite_are_named():
    largest = np.full(3, np.finfo(np.float32).max)  # finite, and their sum is not
    arrays = {
        "largest": largest.astype(np.float32),
        "nan": np.array([1, np.nan], np.float32),
        "both": np.array([np.inf, -np.inf], np.float16),
        "half": np.array([np.inf], ml_dtypes.bfloat16),
        "counter": np.array([2**62]),
    }
    with np.errstate(all="raise"):
        assert safetensors_file.not_finite(arrays) == ["nan", "both", "half"]


def header(shape, offsets, kind="F32"):
    text = json.dumps({"a": {"dtype": kind, "shape": shape, "data_offsets": offsets}}).encode()
    return len(text).to_bytes(8, "little") + text


HOSTILE = {
    "empty": b"",
    "no header": b"\x00" * 7,
    "a header longer than the file": (2**60).to_bytes(8, "little") + b"{}",
    "a header that is no JSON": (2).to_bytes(8, "little") + b"{]",
    "a terabyte in 16 bytes": header([2**38], [0, 2**40]) + bytes(16),
    "a shape larger than its bytes": header([2**38], [0, 16]) + bytes(16),
    "a shape that overflows": header([2**62, 2**62], [0, 16]) + bytes(16),
    "bytes before the beginning": header([4], [-16, 0]) + bytes(16),
    "bytes that nobody declared": header([4], [0, 16]) + bytes(17),
    "cut short": header([4], [0, 16]) + bytes(15),
    "an object": header([1], [0, 8], "O") + bytes(8),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_before_anything_is_allocated(tmp_path, kind):
    (tmp_path / "a").write_bytes(HOSTILE[kind])
    before = machine.resident_bytes()
    with pytest.raises(ValueError, match=r"\w"):
        safetensors_file.read(tmp_path / "a")
    assert machine.resident_bytes() - before < 2**26
