"""A state dict out of a torch file of the older kind, without torch and without running code.

The file is five pickles (magic number, protocol, machine, objects, storage keys) and then the
bytes of each storage: `torch/serialization.py`, `_legacy_save`. No other file of fmkit may import
`pickle`. The unpickler here has the opcodes of a state dict and no others, and what a file asks for
by name is one of our stand-ins, of which two can be called; nothing is ever imported.
"""

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core import safe_io
from fmkit.core.errors import ArtifactError
from fmkit.core.safe_io import UnsafeContent
from fmkit.models.weights.arrays import MAX_DIMENSIONS

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LARGEST_FILE = 2**28  # bytes; EfficientNet-Lite0 has 19 million
_LARGEST_PICKLE = 2**18  # bytes; a state dict names tensors, it does not hold them


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements, as torch counts


class _NamedItems(dict[str, Any]):
    """A dict whose keys are texts: to hash a tuple that is nested deep enough overflows the stack.

    Without arguments, so that a pickle can fill it by `__setitem__` only.
    """

    def __init__(self) -> None:
        super().__init__()

    def __setitem__(self, key: str, value: Any) -> None:
        if type(key) is not str:
            raise UnsafeContent("a dict in it has a key that is not a name")
        super().__setitem__(key, value)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_unused: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise UnsafeContent("a tensor in it has no storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _NamedItems,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "DoubleStorage"): np.dtype("<f8"),
    ("torch", "HalfStorage"): np.dtype("<f2"),
    ("torch", "IntStorage"): np.dtype("<i4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}
"""By the module and name that a file asks for, what it gets."""

_OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINUNICODE),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
    *(pickle.GLOBAL, pickle.BINPERSID, pickle.REDUCE),
)
"""What torch writes into a state dict."""


class _Opcodes(dict[int, Callable[..., None]]):
    def __missing__(self, code: int) -> Callable[..., None]:
        raise UnsafeContent(f"it asks for the pickle operation {chr(code)!r}")


class _StateDictUnpickler(pickle._Unpickler):
    """Python's unpickler, less all that a state dict does not need.

    `pickle._Unpickler` is the one that is written in Python. `pickle.Unpickler`, in C, has no table
    of opcodes that could be shortened, and allocates by numbers in the file (LONG_BINPUT).
    """

    stack: list[Any]
    dispatch = _Opcodes({code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES})

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in; nothing is imported."""
        if (module, name) not in _GLOBALS:
            raise UnsafeContent(f"it asks for the Python object {module[:80]}.{name[:80]}")
        return _GLOBALS[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage: its kind, type, key, device, count and, from older versions, a view."""
        kind, storage, key, _, count, *view = pid
        is_storage = kind == "storage" and isinstance(storage, np.dtype)
        is_plain = type(key) is str and type(count) is int and view in ([], [None])
        if not (is_storage and is_plain):
            raise UnsafeContent("it holds a storage of an unknown kind")
        return _Storage(key, storage, count)

    def load_empty_dict(self) -> None:
        """A dict of names; Python's own takes keys of any kind."""
        self.stack.append(_NamedItems())

    def load_build(self) -> None:
        """Drop the state: Python's own would set attributes, of the stand-ins too.

        The only state in a state dict is `_metadata`, the versions of torch's modules.
        """
        self.stack.pop()
        if not isinstance(self.stack[-1], _NamedItems):
            raise UnsafeContent("it sets the state of something that is not a dict")

    dispatch[pickle.EMPTY_DICT[0]] = load_empty_dict
    dispatch[pickle.BUILD[0]] = load_build


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
            raise UnsafeContent("it is a zip archive, torch's newer format")
        return _read(content)
    except (UnsafeContent, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise ArtifactError(
        f"{path} was refused as a torch file of weights: {reason}.",
        "Expected a state dict of plain tensors in torch's older format: "
        "torch.save(model.state_dict(), FILE, _use_new_zipfile_serialization=False).",
    )


def _read(content: bytes) -> dict[str, np.ndarray]:
    stream = BytesIO(content)
    if _unpickle(stream) != _MAGIC:
        raise UnsafeContent("it does not begin with torch's magic number")
    if _unpickle(stream) != _PROTOCOL:
        raise UnsafeContent("its protocol version is not 1001")
    machine = _unpickle(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise UnsafeContent("its numbers are not little-endian")
    objects, keys = _unpickle(stream), _unpickle(stream)
    if not isinstance(objects, dict):
        raise UnsafeContent("it holds no state dict")
    used = {
        value.storage.key: value.storage for value in objects.values() if isinstance(value, _Tensor)
    }
    storages = _read_storages(memoryview(content)[stream.tell() :], keys, used)
    tensors = {}
    for name, value in objects.items():
        if not isinstance(value, _Tensor):
            raise UnsafeContent(f"its entry {name!r} is not a tensor")
        if value.storage != used[value.storage.key]:
            raise UnsafeContent(f"storage {value.storage.key} is described in two ways")
        tensors[name] = _array(name, value, storages[value.storage.key])
    return tensors


def _read_storages(
    content: memoryview, keys: Any, used: dict[str, _Storage]
) -> dict[str, np.ndarray]:
    """Each storage is its count as 8 bytes, then its numbers, in the order of the keys."""
    listed_once = isinstance(keys, list) and all(type(key) is str for key in keys)
    if not listed_once or sorted(keys) != sorted(used):
        raise UnsafeContent("its list of storages differs from those its tensors use")
    storages = {}
    for key in keys:
        storage = used[key]
        count = int.from_bytes(content[:8], "little", signed=True)
        end = 8 + count * storage.dtype.itemsize
        if count != storage.count or end > len(content):
            raise UnsafeContent(f"storage {key} is cut short or has another size than announced")
        storages[key] = np.frombuffer(content[8:end], storage.dtype)
        content = content[end:]
    if len(content):
        raise UnsafeContent(f"{len(content)} bytes follow the last storage")
    return storages


def _array(name: str, tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    """A copy of the tensor's numbers, after a proof that all of them lie inside the storage."""
    numbers = (tensor.offset, *tensor.shape, *tensor.strides)
    if (
        not all(type(number) is int and number >= 0 for number in numbers)
        or len(tensor.shape) != len(tensor.strides)
        or len(tensor.shape) > MAX_DIMENSIONS
    ):
        raise UnsafeContent(f"tensor {name} has no sensible shape")
    pairs = list(zip(tensor.shape, tensor.strides, strict=True))
    last = tensor.offset + sum((size - 1) * stride for size, stride in pairs)
    count = math.prod(tensor.shape)
    # A stride of 0 could blow a few bytes up to any size, so the count is bounded as well.
    if count and (last >= len(storage) or count > len(storage)):
        raise UnsafeContent(f"tensor {name} reaches beyond its storage")
    if not count:
        return np.zeros(tensor.shape, storage.dtype)
    step = storage.dtype.itemsize
    strides = tuple(stride * step for stride in tensor.strides)
    view = np.lib.stride_tricks.as_strided(
        storage[tensor.offset :], tensor.shape, strides, writeable=False
    )
    return np.array(view)


def _unpickle(stream: BytesIO) -> Any:
    """The value of the pickle that begins here; the stream is left behind its end."""
    start = stream.tell()
    bounded = BytesIO(stream.read(_LARGEST_PICKLE))
    try:
        value = _StateDictUnpickler(bounded).load()
    except UnsafeContent:
        raise
    except Exception as error:  # damaged pickles end in errors of a dozen kinds
        if bounded.tell() == _LARGEST_PICKLE:
            raise UnsafeContent("a pickle in it is too long for a list of tensors") from error
        raise UnsafeContent(f"a pickle in it is damaged ({type(error).__name__})") from error
    stream.seek(start + bounded.tell())
    return value
