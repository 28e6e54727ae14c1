"""A state dict out of a torch file of the older kind, without torch and without running a pickle.

The file is five pickles (magic number, protocol, machine, objects, storage keys) and then the
bytes of each storage: `torch/serialization.py`, `_legacy_save`. The pickles are read as a list of
opcodes by a stack machine that can build numbers, strings, tuples, lists, dicts and tensors, and
knows nothing else: no import, no call, whatever the file asks for.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core import safe_io
from fmkit.core.errors import ArtifactError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LARGEST_FILE = 2**28  # bytes; EfficientNet-Lite0 has 19 million
_LARGEST_PICKLE = 2**18  # bytes; a state dict names tensors, it does not hold them
_MAX_DIMENSIONS = 8
_STORAGES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch IntStorage": "<i4",
    "torch LongStorage": "<i8",
}
_ORDERED_DICT = "collections OrderedDict"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements, as torch counts


class _Mark:
    pass


class _Refused(Exception):
    """Why a file is refused; becomes an ArtifactError with the file's name."""


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a torch state dict saved before torch 1.6, or with its older format since.

    Returns:
        By name, arrays in the shapes that torch has: convolutions are (out, in, height, width).

    Raises:
        ArtifactError: the file is cut short, is not of this format, or asks for anything beyond
            plain tensors.
    """
    try:
        with safe_io.open_regular(Path(path), _LARGEST_FILE) as stream:
            content = stream.read()
        if content[:4] == b"PK\x03\x04":
            raise _Refused("it is a zip archive, torch's newer format")
        return _read(content)
    except _Refused as refused:
        reason = str(refused)
    except OSError as error:
        reason = error.strerror or str(error)
    raise ArtifactError(
        f"{path} was refused as a torch file of weights: {reason}.",
        "Expected a state dict of plain tensors in torch's older format: "
        "torch.save(model.state_dict(), FILE, _use_new_zipfile_serialization=False).",
    )


def _read(content: bytes) -> dict[str, np.ndarray]:
    stream = BytesIO(content)
    if _interpret(stream) != _MAGIC:
        raise _Refused("it does not begin with torch's magic number")
    if _interpret(stream) != _PROTOCOL:
        raise _Refused("its protocol version is not 1001")
    machine = _interpret(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _Refused("its numbers are not little-endian")
    objects = _interpret(stream)
    keys = _interpret(stream)
    if not isinstance(objects, dict):
        raise _Refused("it holds no state dict")
    wanted = {
        value.storage.key: value.storage for value in objects.values() if isinstance(value, _Tensor)
    }
    storages = _read_storages(memoryview(content)[stream.tell() :], keys, wanted)
    tensors = {}
    for name, value in objects.items():
        if not isinstance(value, _Tensor):
            raise _Refused(f"its entry {name!r} is no tensor")
        if value.storage != wanted[value.storage.key]:
            raise _Refused(f"storage {value.storage.key} is described in two ways")
        tensors[name] = _array(name, value, storages[value.storage.key])
    return tensors


def _read_storages(
    content: memoryview, keys: Any, wanted: dict[str, _Storage]
) -> dict[str, np.ndarray]:
    """Each storage is its count as 8 bytes, then its numbers, in the order of the keys."""
    listed_once = isinstance(keys, list) and all(type(key) is str for key in keys)
    if not listed_once or sorted(keys) != sorted(wanted):
        raise _Refused("its list of storages differs from those its tensors use")
    storages = {}
    position = 0
    for key in keys:
        storage = wanted[key]
        count = int.from_bytes(content[position : position + 8], "little", signed=True)
        size = count * np.dtype(storage.dtype).itemsize
        position += 8
        if count != storage.count or size > len(content) - position:
            raise _Refused(f"storage {key} is cut short or has another size than announced")
        storages[key] = np.frombuffer(content[position : position + size], storage.dtype)
        position += size
    if position != len(content):
        raise _Refused(f"{len(content) - position} bytes follow the last storage")
    return storages


def _array(name: str, tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    """A copy of the tensor's numbers, after a proof that all of them lie inside the storage."""
    numbers = (tensor.offset, *tensor.shape, *tensor.strides)
    if (
        not all(type(each) is int and each >= 0 for each in numbers)
        or len(tensor.shape) != len(tensor.strides)
        or len(tensor.shape) > _MAX_DIMENSIONS
    ):
        raise _Refused(f"tensor {name} has no sensible shape")
    pairs = list(zip(tensor.shape, tensor.strides, strict=True))
    last = tensor.offset + sum((size - 1) * stride for size, stride in pairs)
    count = 1
    for size in tensor.shape:
        count *= size
    # A stride of 0 could blow a few bytes up to any size, so the count is bounded as well.
    if count and (last >= len(storage) or count > len(storage)):
        raise _Refused(f"tensor {name} reaches beyond its storage")
    if not count:
        return np.zeros(tensor.shape, storage.dtype)
    step = storage.dtype.itemsize
    strides = tuple(stride * step for stride in tensor.strides)
    view = np.lib.stride_tricks.as_strided(
        storage[tensor.offset :], tensor.shape, strides, writeable=False
    )
    return np.array(view)


def _interpret(stream: BytesIO) -> Any:
    """The value of the pickle that begins here; the stream is left behind its end."""
    machine = _Machine()
    start = stream.tell()
    try:
        for opcode, argument, position in pickletools.genops(stream):
            if (position or 0) - start > _LARGEST_PICKLE:
                raise _Refused("a pickle in it is too long for a list of tensors")
            if opcode.name == "STOP":
                break
            machine.step(opcode.name, argument)
        if len(machine.stack) != 1:
            raise _Refused("a pickle in it leaves no single value")
        return machine.stack[0]
    except _Refused:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _Refused(f"a pickle in it is damaged ({type(error).__name__})") from error


class _Machine:
    """The few pickle opcodes that a state dict needs."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _ARGUMENTS:
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name != "PROTO":
            raise _Refused(f"it asks for the pickle operation {name}")

    def pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(self.stack[-1], _Mark):
            items.append(self.stack.pop())
        self.stack.pop()
        return items[::-1]

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) != count:
            raise IndexError(count)
        self.stack[-count:] = [items]

    def look_up(self, name: str) -> None:
        if name not in (_ORDERED_DICT, _REBUILD_TENSOR, *_STORAGES):
            raise _Refused(f"it asks for the Python object {name.replace(' ', '.')}")
        self.stack.append(_Global(name))

    def persistent(self) -> None:
        kind, storage, key, _, count, *view = self.stack.pop()
        known = kind == "storage" and type(key) is str and type(count) is int
        if not known or any(each is not None for each in view):
            raise _Refused("it holds a storage of an unknown kind")
        self.stack.append(_Storage(key, _STORAGES[storage.name], count))

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function == _Global(_ORDERED_DICT) and arguments == ():
            self.stack.append({})
        elif function == _Global(_REBUILD_TENSOR):
            storage, offset, shape, strides, *_ = arguments
            if not isinstance(storage, _Storage):
                raise _Refused("a tensor in it has no storage")
            self.stack.append(_Tensor(storage, offset, tuple(shape), tuple(strides)))
        else:
            raise _Refused("it asks for a call that builds no tensor")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        # Names only: hashing a tuple that is nested deep enough overflows the C stack.
        names = all(type(each) is str for each in items[::2])
        if not isinstance(target, dict) or len(items) % 2 or not names:
            raise _Refused("a pickle in it is damaged (items without a dict of names)")
        target.update(zip(items[::2], items[1::2], strict=True))

    def append_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise _Refused("a pickle in it is damaged (items without a list)")
        self.stack[-1].extend(items)

    def build(self) -> None:
        self.stack.pop()  # a state dict's only state is `_metadata`: versions of torch's modules
        if not isinstance(self.stack[-1], dict):
            raise _Refused("it sets the state of something that is no dict")


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "MARK": _Mark,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_ARGUMENTS = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "GLOBAL": lambda machine, argument: machine.look_up(argument),
    "BINPERSID": lambda machine, _: machine.persistent(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.append_items([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append_items(machine.pop_to_mark()),
}
