"""The header of a GGUF file, of one written byte by byte."""

import importlib.util
import struct

import numpy as np
import pytest

from fmkit.core.errors import ArtifactError
from fmkit.models.weights.gguf import GgufFile

VALUES = np.arange(12, dtype="<f4").reshape(3, 4)


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def written(path):
    fields = {
        "general.name": struct.pack("<I", 8) + string("tiny é"),
        "tokens": struct.pack("<IIQ", 9, 8, 2) + string("a") + string(""),
        "kinds": struct.pack("<IIQii", 9, 5, 2, -1, 3),
        "eps": struct.pack("<If", 6, 0.5),
        "tied": struct.pack("<I?", 7, True),
    }
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, len(fields))
    header += b"".join(string(key) + value for key, value in fields.items())
    header += string("weight") + struct.pack("<IQQIQ", 2, 4, 3, 0, 0)
    path.write_bytes(header + b"\0" * (-len(header) % 32) + VALUES.tobytes())
    return len(header) + -len(header) % 32


def test_a_header_is_read(tmp_path):
    begin = written(tmp_path / "a.gguf")
    content = GgufFile(tmp_path / "a.gguf")
    assert content.fields == {
        "general.name": "tiny é", "tokens": ["a", ""], "kinds": [-1, 3], "eps": 0.5, "tied": True,
    }  # fmt: skip
    assert content.tensors == {"weight": ((4, 3), 0, begin)}
    if importlib.util.find_spec("gguf"):
        np.testing.assert_array_equal(content.floats("weight"), VALUES)


@pytest.mark.parametrize("damage", [lambda raw: b"GGML" + raw[4:], lambda raw: raw[:60]])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "a.gguf"
    written(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArtifactError, match=r"a\.gguf"):
        GgufFile(path)
