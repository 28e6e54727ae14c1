"""Arrays in an HDF5 file that somebody else may have made.

Only what Keras writes is read: groups, and datasets of plain numbers that are in the file itself.
HDF5 can do more, and each of these has been used against loaders: data in other files (external
storage, virtual datasets, external links), shapes that no data stands behind, chunks that unpack to
any size, filters that are loaded as libraries, references. The HDF5 library says where the
data is; compressed chunks are unpacked here, with a bound, since the library has none.
"""

import itertools
import math
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from fmkit.core import safe_io
from fmkit.core.safe_io import UnsafeContent
from fmkit.core.safe_zip import MAX_RATIO
from fmkit.models.weights.arrays import MAX_ARRAYS, WeightArrays, element_count

_MAGIC = b"\x89HDF\r\n\x1a\n"
_DEEPEST = 32
_MAX_OBJECTS = 8000  # NASNet-Large takes some 4,500
_LARGEST_CHUNK = 2**26  # bytes
_MAX_CHUNKS = 10_000
_MAX_ATTRIBUTE = 2**20  # bytes
_DEFLATE, _SHUFFLE = 1, 2
_NOT_MODEL = ("optimizer", "optimizer_weights")
_LEGACY = "model_weights"


@contextmanager
def open_hdf5(path: Path) -> Iterator[WeightArrays]:
    """The arrays of a file, by their paths in it; an optimizer's are left out.

    Raises:
        UnsafeContent: the file is damaged, or holds what Keras does not write.
        OSError: it cannot be read.
    """
    with safe_io.open_regular(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise UnsafeContent("it does not begin as an HDF5 file does")
    with ExitStack() as stack:
        with _refusing(f"it cannot be read as an HDF5 file of {size:,} bytes"):
            file = stack.enter_context(h5py.File(path, "r"))
            datasets = _walk(file, size)
            layers = _layers(file)

        def load(name: str) -> np.ndarray:
            item = datasets[name]
            with _refusing(f"{name!r} cannot be read"):
                values = np.asarray(item[()]) if item.chunks is None else _join(name, item)
                if _is_bfloat16(item):  # the upper half of a float32
                    values = (values.view("<u2").astype(np.uint32) << 16).view(np.float32)
                return values

        yield WeightArrays(
            {name: dataset.shape for name, dataset in datasets.items()}, load, layers
        )


@contextmanager
def _refusing(failure: str) -> Iterator[None]:
    """h5py's errors on damaged files have many types."""
    try:
        yield
    except UnsafeContent:
        raise
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnsafeContent(f"{failure}: {reason[:200]}") from error


def _walk(file: h5py.File, size: int) -> dict[str, h5py.Dataset]:
    """Every dataset by its path, checked; no link is followed on the way."""
    datasets: dict[str, h5py.Dataset] = {}
    waiting: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    seen = total = 0
    while waiting:
        prefix, group, depth = waiting.pop()
        if depth > _DEEPEST:
            raise UnsafeContent("its groups are nested too deep, or contain themselves")
        seen += len(group)
        if seen > _MAX_OBJECTS:
            raise UnsafeContent(f"it has more than {_MAX_OBJECTS:,} groups and arrays")
        for key in group:
            name = f"{prefix}{key}"
            if not prefix and key in _NOT_MODEL:
                continue
            link = group.id.links.get_info(key.encode("utf-8", "surrogateescape"))
            if link.type != h5py.h5l.TYPE_HARD:
                raise UnsafeContent(f"{name!r} is a link, and Keras writes none")
            item = group[key]
            if isinstance(item, h5py.Group):
                waiting.append((f"{name}/", item, depth + 1))
                continue
            if not isinstance(item, h5py.Dataset):
                raise UnsafeContent(f"{name!r} is neither a group nor an array")
            total += _check(name, item, size)
            datasets[name] = item
    if total > MAX_RATIO * size:
        raise UnsafeContent(f"its arrays unpack to more than {MAX_RATIO} times its size")
    return datasets


def _check(name: str, item: h5py.Dataset, size: int) -> int:
    """Refuse an array that does not lie in the file as a whole; its bytes."""
    if item.shape is None or not (item.dtype.kind in "fiub" or _is_bfloat16(item)):
        raise UnsafeContent(f"{name!r} holds no plain numbers")
    if item.external or item.is_virtual:
        raise UnsafeContent(f"{name!r} keeps its numbers in another file")
    width = item.dtype.itemsize
    stored = item.id.get_storage_size()
    if item.chunks is not None:
        chunk = math.prod(item.chunks) * width
        if chunk > min(_LARGEST_CHUNK, MAX_RATIO * size) or _chunk_count(item) > _MAX_CHUNKS:
            raise UnsafeContent(f"{name!r} is cut into pieces of an unusual size")
        if stored > size or not set(_filters(item)) <= {_DEFLATE, _SHUFFLE}:
            raise UnsafeContent(f"{name!r} is packed in an unusual way")
        return element_count(name, item.shape, MAX_RATIO * stored // width) * width
    total = element_count(name, item.shape, size // width)
    if item.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS and total:
        offset = item.id.get_offset()
        if offset is None or stored != total * width or offset + stored > size:
            raise UnsafeContent(f"{name!r} has another size than its shape needs")
    return total * width


def _is_bfloat16(item: h5py.Dataset) -> bool:
    """Keras stores these as pairs of bytes, for HDF5 has no such type."""
    return item.dtype.kind == "V" and item.dtype.itemsize == 2 and item.dtype.names is None


def _filters(item: h5py.Dataset) -> list[int]:
    plist = item.id.get_create_plist()
    return [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]


def _join(name: str, item: h5py.Dataset) -> np.ndarray:
    """A chunked array, its pieces unpacked one by one."""
    values = np.zeros(item.shape, item.dtype)
    width, size = item.dtype.itemsize, math.prod(item.chunks) * item.dtype.itemsize
    filters = _filters(item)[::-1]
    offsets: list[tuple[int, ...]] = []
    item.id.chunk_iter(lambda chunk: offsets.append(chunk.chunk_offset))
    if len(set(offsets)) != _chunk_count(item):
        raise UnsafeContent(f"{name!r} lacks some of its numbers")
    for offset in offsets:
        skipped, content = item.id.read_direct_chunk(offset)
        if skipped:
            raise UnsafeContent(f"{name!r} is packed in an unusual way")
        for code in filters:
            if code == _DEFLATE:
                try:
                    content = zlib.decompressobj().decompress(content, size + 1)
                except zlib.error as error:
                    raise UnsafeContent(f"{name!r} is damaged") from error
            elif len(content) == size:  # shuffled: first bytes of all numbers, second bytes, ...
                content = np.frombuffer(content, np.uint8).reshape(width, -1).T.tobytes()
        if len(content) != size:
            raise UnsafeContent(f"{name!r} has another size than its shape needs")
        piece = np.frombuffer(content, item.dtype).reshape(item.chunks)
        region = values[tuple(map(slice, offset, np.add(offset, item.chunks)))]
        region[...] = piece[tuple(map(slice, region.shape))]  # the last pieces reach beyond the end
    return values


def _chunk_count(item: h5py.Dataset) -> int:
    return math.prod(-(-a // b) for a, b in zip(item.shape, item.chunks, strict=True))


def _layers(file: h5py.File) -> list[tuple[str, list[str]]]:
    """Layers and their arrays in Keras' older format, which keeps the order in attributes."""
    top, prefix = file, ""
    if "layer_names" not in file.attrs and _LEGACY in file:
        top, prefix = file[_LEGACY], f"{_LEGACY}/"
    rows: list[tuple[str, list[str]]] = []
    for layer in _names(top, "layer_names"):
        if layer not in top or not isinstance(top[layer], h5py.Group):
            raise UnsafeContent(f"it has no group for its layer {layer!r}")
        arrays = [f"{prefix}{layer}/{name}" for name in _names(top[layer], "weight_names")]
        if arrays:
            rows.append((layer, arrays))
    return rows


def _names(group: h5py.Group, key: str) -> list[str]:
    """Names in an attribute, or in its parts `key0`, `key1`, ... where they are many."""
    keys = [key] if key in group.attrs else []
    if not keys:
        numbered = (f"{key}{number}" for number in range(MAX_ARRAYS + 1))
        keys = list(itertools.takewhile(lambda name: name in group.attrs, numbered))
    names: list[str] = []
    for name in keys:
        attribute: Any = group.attrs.get_id(name)
        # An empty list has no type worth the name: Keras leaves it to h5py, which takes floats.
        length = math.prod(attribute.shape) * attribute.dtype.itemsize
        if length > _MAX_ATTRIBUTE or attribute.dtype.kind not in "SOf":
            raise UnsafeContent(f"its attribute {name!r} is too long, or holds no names")
        values = np.atleast_1d(group.attrs[name])
        if values.size:
            names += [x.decode("utf-8") if isinstance(x, bytes) else str(x) for x in values.flat]
    return names
