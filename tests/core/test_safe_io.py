"""Files from outside are regular and of bounded size, or refused before they are read."""

import os
import stat

import pytest

from fmkit.core import safe_io
from fmkit.core.safe_io import RefusedFile


@pytest.mark.parametrize("expected", [OSError, ValueError])
def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path, expected):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(expected, match=r"^it is not a regular file$") as error:
        safe_io.open_regular(tmp_path / "x")
    assert stat.S_ISFIFO(error.value.mode)
    assert error.value.filename == str(tmp_path / "x")


def test_a_folder_and_a_device_are_refused(tmp_path):
    with pytest.raises(RefusedFile, match="it is a folder"):
        safe_io.open_regular(os.fsencode(tmp_path))
    with pytest.raises(RefusedFile, match="not a regular file"):
        safe_io.open_regular("/dev/null")


def test_a_file_is_at_most_as_large_as_allowed(tmp_path):
    (tmp_path / "x").write_bytes(bytes(2000))
    assert len(safe_io.read_bytes(tmp_path / "x", 2000)) == 2000
    with pytest.raises(RefusedFile, match="2,000 bytes; at most 1,999 are allowed"):
        safe_io.read_bytes(tmp_path / "x", 1999)
    with pytest.raises(FileNotFoundError):
        safe_io.read_bytes(tmp_path / "missing", 10)


@pytest.mark.parametrize("size", [1, 10])
def test_a_file_that_reports_no_size_is_bounded_too(size):
    with pytest.raises(ValueError, match="more than"):
        safe_io.read_bytes("/proc/self/status", size)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b"[]," * 200_001, "too many lists and mappings"),
        (b"1," * 2_000_001, "too many values"),
        (b"[1]", "not a JSON object"),
    ],
    ids=["deep", "lists", "values", "a list"],
)
def test_json_is_bounded(tmp_path, content, message):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        safe_io.read_json_object(tmp_path / "x.json", 2**23)


def test_a_torn_last_line_is_left_out_and_another_is_an_error(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": 2}\n{"a":')
    assert list(safe_io.read_json_lines(path)) == [{"a": 1}, {"a": 2}]
    path.write_bytes(b'{"a":\n{"a": 2}\n')
    with pytest.raises(ValueError, match="Expecting"):
        list(safe_io.read_json_lines(path))
