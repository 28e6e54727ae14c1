"""Files of weights that are broken or hostile, each beside its benign twin, and who refuses them.

Every case is made here, read in a child process, and must end in one ArtifactError: within 2
seconds and 200 MB, with nothing executed, nothing connected and nothing written.
"""

import importlib
import json
import marshal
import os
import pickle
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from fmkit.core.errors import ArtifactError
from fmkit.models.weights.formats import open_weights
from fmkit.models.weights.matching import ModelVariable, match
from fmkit.models.weights.torch_pickle import read_state_dict
from hostile.bench import Case, refused_all

KERNEL = np.arange(3 * 3 * 4 * 4, dtype="float32").reshape(3, 3, 4, 4) / 100
BIAS = np.arange(4, dtype="float32")
WANTED = [
    ModelVariable("conv/kernel", KERNEL.shape, "layers/conv2d/vars/0", "conv", 0),
    ModelVariable("conv/bias", BIAS.shape, "layers/conv2d/vars/1", "conv", 1),
]


def read(path: Path) -> None:
    """What `model.weights=PATH` does to a model of one convolution, without building it."""
    with open_weights(path) as arrays:
        fit = match(WANTED, arrays, features=4)
        if fit.missing or fit.unused:
            raise ArtifactError(f"does not fit: {fit.missing} {fit.unused}")
        kernel, bias = (arrays.load(fit.names[each]) for each in (0, 1))
    if not (np.array_equal(kernel, KERNEL) and np.array_equal(bias, BIAS)):
        raise AssertionError("read wrongly")


class _Runs:
    """A pickle of it runs a command: the marker says whether anybody did."""

    def __reduce__(self):
        return os.system, ("touch EXECUTED",)


PICKLE = pickle.dumps({"conv/kernel": _Runs()})


# HDF5


def hdf5(path: Path, change: Callable[[h5py.File], object] | None = None) -> Path:
    """A file as Keras writes it, with one thing changed."""
    with h5py.File(path, "w") as file:
        place = file.create_group("layers/conv2d/vars")
        place.attrs["name"] = "conv"
        place["0"], place["1"] = KERNEL, BIAS
        if change:
            change(file)
    return path


def changed(change: Callable[[h5py.File], object]) -> Callable[[Path], Path]:
    return lambda folder: hdf5(folder / "a.weights.h5", change)


def replaced(**options: object) -> Callable[[Path], Path]:
    """The kernel replaced by another dataset in its place."""

    def change(file: h5py.File) -> None:
        del file["layers/conv2d/vars/0"]
        file.create_dataset("layers/conv2d/vars/0", **options)

    return changed(change)


def external_storage(folder: Path) -> Path:
    (folder / "secret").write_bytes(b"secret" * 200)
    files = [(str(folder / "secret"), 0, KERNEL.nbytes)]
    return replaced(shape=KERNEL.shape, dtype="f4", external=files)(folder)


def virtual_dataset(folder: Path) -> Path:
    hdf5(folder / "other.h5")

    def change(file: h5py.File) -> None:
        del file["layers/conv2d/vars/0"]
        layout = h5py.VirtualLayout(KERNEL.shape, "f4")
        layout[...] = h5py.VirtualSource(str(folder / "other.h5"), "layers/conv2d/vars/0",
                                         shape=KERNEL.shape)  # fmt: skip
        file.create_virtual_dataset("layers/conv2d/vars/0", layout)

    return changed(change)(folder)


def external_link(folder: Path) -> Path:
    hdf5(folder / "other.h5")

    def change(file: h5py.File) -> None:
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")

    return changed(change)(folder)


def soft_link(file: h5py.File) -> None:
    del file["layers/conv2d/vars/0"]
    file["kernel"] = KERNEL
    file["layers/conv2d/vars/0"] = h5py.SoftLink("/kernel")


def loop_of_groups(file: h5py.File) -> None:
    file["layers/conv2d/again"] = file["layers"]


def deep_groups(file: h5py.File) -> None:
    group = file
    for _ in range(300):
        group = group.create_group("g")


def many_groups(count: int) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        for number in range(count):
            file.create_group(f"many/{number % 100}/{number}/vars")
        file["layers/more/vars/0"] = KERNEL

    return change


def inflating_chunk(factor: int) -> Callable[[Path], Path]:
    """A small chunk whose packed bytes unpack to far more than the chunk may hold."""

    def change(file: h5py.File) -> None:
        del file["layers/conv2d/vars/0"]
        place = "layers/conv2d/vars/0"
        data = file.create_dataset(place, KERNEL.shape, "f4", chunks=KERNEL.shape, compression=9)
        data.id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(factor * 2**20), 1))

    return changed(change)


def unknown_filter(file: h5py.File) -> None:
    del file["layers/conv2d/vars/0"]
    space = h5py.h5s.create_simple(KERNEL.shape)
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk(KERNEL.shape)
    settings.set_filter(40000, h5py.h5z.FLAG_OPTIONAL, ())  # would be looked up as a library
    h5py.h5d.create(file.id, b"layers/conv2d/vars/0", h5py.h5t.IEEE_F32LE, space, settings)


def long_attribute(file: h5py.File) -> None:
    for number in range(40):
        names = np.array([b"x" * 60_000])
        file.attrs.create(f"layer_names{number}", names, dtype="S60000")


def references(file: h5py.File) -> None:
    del file["layers/conv2d/vars/0"]
    file.create_dataset("layers/conv2d/vars/0", KERNEL.shape, h5py.ref_dtype)


def broken_at(share: float) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = hdf5(folder / "a.weights.h5")
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return make


TEXT = h5py.string_dtype()
HDF5 = {
    "external storage": external_storage,
    "virtual dataset": virtual_dataset,
    "external link": external_link,
    "soft link": changed(soft_link),
    "shape bomb": replaced(shape=(2**20, 2**20), dtype="f4"),
    "shape bomb, packed": replaced(shape=(2**18, 2**18), dtype="f4", chunks=(64, 64),
                                   compression="gzip"),
    "shape without numbers": replaced(shape=KERNEL.shape, dtype="f4"),
    "zeros packed 1000:1": replaced(data=np.zeros((2048, 2048), "f4"), compression=9),
    "chunk of 1 GB": replaced(shape=KERNEL.shape, dtype="f4", maxshape=(None,) * 4,
                              chunks=(2**28, 1, 1, 1), compression="gzip"),
    "chunk that unpacks to 64 MB": inflating_chunk(64),
    "chunks missing": replaced(shape=KERNEL.shape, dtype="f4", chunks=(1, 1, 4, 4)),
    "filter from a library": changed(unknown_filter),
    "references": changed(references),
    "text": replaced(data=["a"] * 4, dtype=TEXT),
    "records": replaced(data=np.zeros(4, [("a", "f4"), ("b", "i4")])),
    "opaque bytes": replaced(data=np.zeros(4, "V64")),
    "numbers of any length": replaced(shape=(4,), dtype=h5py.vlen_dtype("f4")),
    "groups that contain themselves": changed(loop_of_groups),
    "300 groups deep": changed(deep_groups),
    "3,000 groups": changed(many_groups(1500)),
    "9,000 groups": changed(many_groups(4500)),
    "attributes of 2 MB": changed(long_attribute),
    "another shape": replaced(data=KERNEL[..., :2]),
    "a named type": changed(lambda file: file.__setitem__("kind", np.dtype("f8"))),
    "an array too many": changed(lambda file: file.__setitem__("layers/more/vars/0", KERNEL)),
    "cut at a tenth": broken_at(0.1),
    "cut in the middle": broken_at(0.5),
    "its last bytes missing": broken_at(0.98),
}  # fmt: skip


# zip archives: .keras and .npz


def keras(folder: Path, config: object = None, name: str = "a.keras", **more: bytes) -> Path:
    """A `.keras` file with whatever config, and further members."""
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(config or {"class_name": "Functional"}))
        archive.write(hdf5(folder / "inner.h5"), "model.weights.h5")
        for member, content in more.items():
            archive.writestr(member, content)
    return folder / name


def without_weights(config: object) -> Callable[[Path], Path]:
    """The attack is in the config, so that a reader of arrays has nothing to read."""

    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "a.keras", "w") as archive:
            archive.writestr("config.json", json.dumps(config))
        return folder / "a.keras"

    return make


def keras_of(change: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """A `.keras` file around a hostile HDF5 file."""

    def make(folder: Path) -> Path:
        inner = change(folder)
        with zipfile.ZipFile(folder / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", "{}")
            archive.write(inner, "model.weights.h5")
        return folder / "a.keras"

    return make


def member(name: str, mode: int = stat.S_IFREG | 0o644, content: bytes = b"x") -> Callable:
    def make(folder: Path) -> Path:
        path = keras(folder)
        with zipfile.ZipFile(path, "a") as archive:
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.external_attr = name, mode << 16
            archive.writestr(info, content)
        return path

    return make


def twice(folder: Path) -> Path:
    path = keras(folder)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("model.weights.h5")
        archive.filelist.append(info)  # no warning of Python's own
        archive.writestr(zipfile.ZipInfo("config.json2"), b"")
        archive.filelist[-1].filename = "config.json"
        archive.filelist.remove(info)
    return path


def zip_bomb(name: str, member_name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member_name, bytes(16 * 2**20))
        return folder / name

    return make


def many_members(count: int, name: str) -> Callable[[Path], Path]:
    """Members without content, written by hand, for zipfile takes long."""

    def make(folder: Path) -> Path:
        local, central = bytearray(), bytearray()
        for number in range(count):
            title = b"%06d.npy" % number
            row = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, len(title), 0)
            central += b"PK\1\2" + struct.pack("<H", 20) + row
            central += struct.pack("<HHHII", 0, 0, 0, 0, len(local)) + title
            local += b"PK\3\4" + row + title
        shown = min(count, 65535)
        end = struct.pack("<HHHHIIH", 0, 0, shown, shown, len(central), len(local), 0)
        (folder / name).write_bytes(local + central + b"PK\5\6" + end)
        return folder / name

    return make


def patched(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    """A good file of a format with its bytes changed."""

    def make(folder: Path) -> Path:
        path = BENIGN[name](folder)
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def npy(header: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    padded = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(padded)) + padded + content


def npz(**members: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "a.npz", "w") as archive:
            for name, content in members.items():
                archive.writestr(f"{name}.npy", content)
        return folder / "a.npz"

    return make


def header(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def object_array(folder: Path) -> Path:
    np.savez(folder / "a.npz", kernel=np.array([_Runs()], object))
    return folder / "a.npz"


def _lambda() -> dict:
    code = marshal.dumps(compile("import os; os.system('touch EXECUTED')", "x", "exec"))
    return _layer("Lambda", {"function": {"class_name": "__lambda__",
                                          "config": {"code": code.hex()}}})  # fmt: skip


def _layer(name: str, config: dict, module: str = "keras.layers") -> dict:
    inner = {"module": module, "class_name": name, "config": config, "registered_name": None}
    return {"module": "keras", "class_name": "Sequential", "config": {"layers": [inner]}}


def _function(module: str, name: str) -> dict:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


CONFIGS = {
    "Lambda with bytecode": _lambda(),
    "Lambda of os.system": _layer("Lambda", {"function": _function("os", "system"),
                                             "arguments": {"command": "touch EXECUTED"}}),
    "TFSMLayer": _layer("TFSMLayer", {"filepath": "/tmp/evil"}),  # noqa: S108
    "TorchModuleWrapper": _layer("TorchModuleWrapper", {"module": PICKLE.hex()}),
    "a class of subprocess": _layer("Popen", {"args": ["touch", "EXECUTED"]}, "subprocess"),
    "enable_unsafe_deserialization": _layer(
        "Lambda", {"function": _function("keras.config", "enable_unsafe_deserialization")}
    ),
    "get_file": _layer("Lambda", {"function": _function("keras.utils", "get_file"),
                                  "arguments": {"origin": "http://127.0.0.1:9/x"}}),
    "vocabulary of a secret file": _layer("StringLookup", {"vocabulary": "/etc/passwd"}),
    "a million layers": {"class_name": "Sequential", "config": {"layers": [{}] * 1_000_000}},
}  # fmt: skip

ZIP = {
    **{f"config only: {name}": without_weights(config) for name, config in CONFIGS.items()},
    "around a shape bomb": keras_of(HDF5["shape bomb"]),
    "around an external link": keras_of(external_link),
    "around external storage": keras_of(external_storage),
    "around a cut file": keras_of(broken_at(0.5)),
    "member with ..": member("../../outside"),
    "member with backslashes": member("..\\..\\outside"),
    "absolute member": member("/tmp/outside"),  # noqa: S108
    "member on a drive": member("C:/outside"),
    "symbolic link": member("assets/link", stat.S_IFLNK | 0o777, b"/etc/passwd"),
    "device": member("assets/device", stat.S_IFCHR | 0o666),
    "FIFO": member("assets/fifo", stat.S_IFIFO | 0o666),
    "member there twice": twice,
    "bomb beside the weights": zip_bomb("a.keras", "assets/zeros"),
    "bomb as weights": zip_bomb("a.keras", "model.weights.h5"),
    "100,000 members": many_members(100_000, "a.keras"),
    "2,000 members": many_members(2_000, "a.keras"),
    "100,000 arrays": many_members(100_000, "a.npz"),
    "encrypted": patched("keras", lambda c: c.replace(b"PK\1\2\x14\x03\x14\0\0\0",
                                                      b"PK\1\2\x14\x03\x14\0\1\0")),
    "weights changed": patched("keras", lambda c: c.replace(KERNEL.tobytes(), PICKLE * 9)),
    "cut zip": patched("keras", lambda c: c[: len(c) // 2]),
    "central directory of 4 GB": patched("keras", lambda c: c[:-10] + b"\xff" * 8 + c[-2:]),
    "pickle as .keras": lambda folder: _written(folder / "a.keras", PICKLE),
    "object array": object_array,
    "pickle as .npy": npz(kernel=npy(header("(1,)", "'|O'"), PICKLE)),
    "shape bomb in npz": npz(kernel=npy(header("(1099511627776,)"), b"1234")),
    "negative shape": npz(kernel=npy(header("(-1, 4)"), b"1234")),
    "shape of overflow": npz(kernel=npy(header("(4294967296, 4294967296)"), b"")),
    "header with code": npz(kernel=npy("__import__('os').system('touch EXECUTED')")),
    "header of brackets": npz(kernel=npy("(" * 9000)),
    "records with objects": npz(kernel=npy(header("(1,)", "[('a', '|O')]"), PICKLE)),
    "another version": npz(kernel=npy(header("(1,)"), b"1234", b"\x09\x00")),
    "bomb in npz": zip_bomb("a.npz", "kernel.npy"),
    "script in npz": lambda folder: npz(**{"x": b"#!/bin/sh\ntouch EXECUTED"})(folder),
    "cut npz": patched("npz", lambda c: c[: len(c) // 2]),
    "pickle as .npz": lambda folder: _written(folder / "a.npz", PICKLE),
}  # fmt: skip


# safetensors


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def tensors(rows: object, content: bytes = b"", length: int | None = None) -> Callable:
    text = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    size = struct.pack("<Q", len(text) if length is None else length)
    return lambda folder: _written(folder / "a.safetensors", size + text + content)


def row(shape: list, first: int, last: int, kind: str = "F32") -> dict:
    return {"dtype": kind, "shape": shape, "data_offsets": [first, last]}


SAFETENSORS = {
    "header of 2^60 bytes": tensors({}, length=2**60),
    "header of 2^64 - 1 bytes": tensors({}, length=2**64 - 1),
    "header longer than the file": tensors({}, length=100),
    "header of 100 MB": lambda folder: tensors(bytes(100_000_000))(folder),
    "100,000 lists deep": tensors(b"[" * 100_000 + b"]" * 100_000),
    "500,000 empty mappings": tensors(b"[" + b"{}," * 500_000 + b"{}]"),
    "a name twice": tensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                            b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    "overlap": tensors({"a": row([2], 0, 8), "b": row([2], 4, 12)}, bytes(12)),
    "gap": tensors({"a": row([1], 0, 4), "b": row([1], 8, 12)}, bytes(12)),
    "bytes after the last": tensors({"a": row([1], 0, 4)}, bytes(64)),
    "out of range": tensors({"a": row([100], 0, 400)}, bytes(4)),
    "shape of overflow": tensors({"a": row([2**32, 2**32], 0, 0)}),
    "shape bomb": tensors({"a": row([2**40], 0, 4)}, bytes(4)),
    "negative shape": tensors({"a": row([-1, -4], 0, 16)}, bytes(16)),
    "shape of words": tensors({"a": row(["4"], 0, 16)}, bytes(16)),
    "shape of truth": tensors({"a": row([True], 0, 4)}, bytes(4)),
    "1,000 dimensions": tensors({"a": row([1] * 1000, 0, 4)}, bytes(4)),
    "offsets backwards": tensors({"a": row([1], 4, 0)}, bytes(4)),
    "offset of words": tensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": "ab"}}),
    "unknown type": tensors({"a": row([1], 0, 4, "PYOBJ")}, bytes(4)),
    "type that is a list": tensors({"a": row([1], 0, 4, ["F32"])}, bytes(4)),
    "row that is a number": tensors({"a": 1}),
    "header that is a list": tensors([1, 2]),
    "number of 10,000 digits": tensors(b'{"a":' + b"9" * 10_000 + b"}"),
    "not UTF-8": tensors(b'{"\xff\xfe": 1}'),
    "nothing in it": tensors({}),
    "cut": patched("safetensors", lambda c: c[:-40]),
    "pickle as .safetensors": lambda folder: _written(folder / "a.safetensors", PICKLE),
    "empty file": lambda folder: _written(folder / "a.safetensors", b""),
    "Git LFS pointer": lambda folder: _written(
        folder / "a.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    ),
}  # fmt: skip


# torch files, and paths that are no files


def torch(*pickles: bytes, content: bytes = b"") -> Callable[[Path], Path]:
    begin = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    begin += pickle.dumps({"little_endian": True}, 2)
    return lambda folder: _written(folder / "a.pth", begin + b"".join(pickles) + content)


def torch_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.pth", "w") as archive:
        archive.writestr("archive/data.pkl", PICKLE)
    return folder / "a.pth"


def fifo(folder: Path, name: str) -> Path:
    os.mkfifo(folder / name)
    return folder / name


def sparse(folder: Path, name: str) -> Path:
    path = BENIGN["hdf5" if name.endswith(".h5") else "safetensors"](folder).rename(folder / name)
    with path.open("r+b") as stream:
        stream.truncate(10 * 2**30)
    return path


TORCH = {
    "pickle that runs": torch(PICKLE, pickle.dumps([], 2)),
    "pickle that runs, by INST": torch(b"(S'touch EXECUTED'\nios\nsystem\n."),
    "pickle that runs, by OBJ": torch(b"(cos\nsystem\nS'touch EXECUTED'\no."),
    "pickle that imports": torch(b"\x80\x02cposix\nsystem\n."),
    "pickle by extension": torch(b"\x80\x02\x82\x01."),
    "newer zip with a pickle": torch_zip,
    "dup bomb": torch(b"\x80\x02]" + b"2" * 2_000_000 + b"."),
    "long pickle": torch(b"\x80\x02]" + b"(K\x01e" * 600_000 + b"."),
    "storage of 2^62": torch(pickle.dumps({}, 2), pickle.dumps(["0"], 2),
                             content=struct.pack("<q", 2**62)),
    "number of a million bytes": torch(b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"9" * 10**6),
    "web page": lambda folder: _written(folder / "a.pth", b"<!DOCTYPE html>" * 100),
}  # fmt: skip
PATHS = {
    "FIFO as .h5": lambda folder: fifo(folder, "a.h5"),
    "FIFO as .safetensors": lambda folder: fifo(folder, "a.safetensors"),
    "device as .npz": lambda folder: _link(folder / "a.npz", "/dev/zero"),
    "folder as .keras": lambda folder: _folder(folder / "a.keras"),
    "10 GB of nothing after an .h5": lambda folder: sparse(folder, "a.h5.safetensors"),
    "10 GB of nothing after a .safetensors": lambda folder: sparse(folder, "a.safetensors"),
    "10 GB of nothing as .keras": lambda folder: sparse(folder, "a.keras"),
    "link to itself": lambda folder: _link(folder / "a.h5", "a.h5"),
    "unknown suffix": lambda folder: _written(folder / "a.joblib", PICKLE),
}


def _link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


# benign twins


def legacy(folder: Path) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"input", b"conv"]
        file.create_group("input").attrs["weight_names"] = []
        layer = file.create_group("conv")
        layer.attrs["weight_names"] = [b"conv/kernel:0", b"conv/bias:0"]
        layer["conv/kernel:0"], layer["conv/bias:0"] = KERNEL, BIAS
    return folder / "a.h5"


def packed(folder: Path) -> Path:
    return replaced(data=KERNEL, chunks=(2, 3, 4, 4), compression="gzip", shuffle=True)(folder)


def plain_npz(folder: Path) -> Path:
    np.savez(folder / "a.npz", **{"conv/kernel": np.asfortranarray(KERNEL), "conv/bias": BIAS})
    return folder / "a.npz"


def packed_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "a.npz", KERNEL, BIAS)
    return folder / "a.npz"


def plain_tensors(folder: Path) -> Path:
    rows = {
        "conv/kernel": row(list(KERNEL.shape), 0, KERNEL.nbytes),
        "conv/bias": row([4], KERNEL.nbytes, KERNEL.nbytes + BIAS.nbytes),
        "__metadata__": {"format": "np"},
    }
    return tensors(rows, KERNEL.tobytes() + BIAS.tobytes())(folder)


BENIGN: dict[str, Callable[[Path], Path]] = {
    "hdf5": lambda folder: hdf5(folder / "a.weights.h5"),
    "hdf5, packed": packed,
    "hdf5, with a head": changed(
        lambda file: file.__setitem__("layers/dense/vars/0", np.ones((4, 10), "f4"))
    ),
    "hdf5, with an optimizer": changed(
        lambda file: file.__setitem__("optimizer/vars/0", np.ones(7, "f4"))
    ),
    "hdf5, older": legacy,
    "keras": keras,
    "keras, whatever its config": lambda folder: keras(folder, _lambda()),
    "npz": plain_npz,
    "npz, packed": packed_npz,
    "safetensors": plain_tensors,
}


def cases() -> list[Case]:
    """Every file of weights with who reads it and whether it is to be refused."""
    hostile = {**_titled("hdf5", HDF5), **_titled("zip", ZIP), **_titled("path", PATHS)}
    hostile |= _titled("safetensors", SAFETENSORS)
    rows = [Case(name, make, read, refused=True) for name, make in hostile.items()]
    rows += [
        Case(f"torch: {name}", make, read_state_dict, refused=True) for name, make in TORCH.items()
    ]
    return rows + [Case(f"benign: {name}", make, read, refused=False) for name, make in
                   BENIGN.items()]  # fmt: skip


def _titled(kind: str, rows: dict) -> dict:
    return {f"{kind}: {name}": make for name, make in rows.items()}


def run() -> tuple[int, int]:
    """How many of all cases, weights and run folders, end as they must."""
    total, problems = 0, []
    for name in ("artifacts", "run_folders"):  # the second imports Keras, which makes forks slow
        every = importlib.import_module(f"hostile.{name}").cases()
        with tempfile.TemporaryDirectory() as folder:
            problems += refused_all(every, Path(folder))
        total += len(every)
    for each in problems:
        print(each)
    return total - len(problems), total
