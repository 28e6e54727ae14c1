"""Run folders that are broken or made to harm, and who refuses them."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.commands import launch, runs
from fmkit.config import saved_config
from fmkit.core import console, files
from fmkit.evaluation import load_run
from fmkit.store import run_index
from fmkit.store.run_reader import RunReader
from fmkit.train.checkpoints import checkpoint
from hostile.bench import Case

NAME = "2026-01-01_000000-abcdef"
STEP = "step-00000004"
KNOWN = {
    "model.name": ["small_cnn", "hub"],
    "task.name": ["classification"],
    "data.name": ["digits"],
}
CONFIG = {
    "model": {"name": "small_cnn", "weights": "none", "image_size": 32, "hidden": 0},
    "data": {"name": "digits", "split_seed": 1},
    "task": {"name": "classification"},
    "plugins": None,
}
STATUS = {"state": "done", "best": {"step": 4}, "started": "2026-01-01T00:00:00+00:00"}
ENVIRONMENT = {"data": {"classes": list("0123456789"), "fingerprint": "x"}}


def use(folder: Path) -> None:
    """What `fmkit runs` and then `fmkit eval` do with a run before a network is built."""
    with console.stdout.capture(), console.stderr.capture():
        runs.runs(["list", f"runs_dir={folder.parent.parent}"])
        runs.runs(["show", str(folder), f"runs_dir={folder.parent.parent}"])
    run = RunReader(run_index.resolve_trained(str(folder), folder.parent.parent))
    launch.require_plugins(run, ("model", "task"), KNOWN)
    run.classes()
    saved_config.overrides(run.config(), "data", set())
    saved_config.section(run.config(), "data")
    _, _, chosen, _ = load_run.check_run(run)
    checkpoint.read_weights(chosen)


def listed(folder: Path) -> None:
    """`fmkit runs` must show it, as broken, and end well."""
    (run,) = run_index.runs(folder.parent.parent)
    if run.state != run_index.BROKEN or not run.reason:
        raise AssertionError(f"{run.state}: {run.reason}")
    with console.stdout.capture(), console.stderr.capture():
        runs.runs(["list", f"runs_dir={folder.parent.parent}"])


def good(place: Path) -> Path:
    """A run that is whole, as far as it is read before a network is built."""
    folder = place / "runs" / "finetune" / NAME
    (folder / "checkpoints").mkdir(parents=True)
    write(folder, "status.json", STATUS)
    write(folder, "environment.json", ENVIRONMENT)
    write(folder, "config.yaml", CONFIG)  # JSON is YAML
    weights = {"logits/kernel": np.ones((8, 10), "f4"), "logits/bias": np.ones(10, "f4")}
    checkpoint.save(folder / "checkpoints", 4, weights, None, {})
    return folder


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value))


def with_file(name: str, content: bytes | str) -> Callable[[Path], Path]:
    def make(place: Path) -> Path:
        folder = good(place)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return make


def with_config(group: str, **values: Any) -> Callable[[Path], Path]:
    changed = {**CONFIG, group: {**CONFIG[group], **values}}
    return with_file("config.yaml", json.dumps(changed))


def with_change(change: Callable[[Path], Any]) -> Callable[[Path], Path]:
    def make(place: Path) -> Path:
        folder = good(place)
        change(folder)
        return folder

    return make


def replaced(name: str, make_other: Callable[[Path], Any]) -> Callable[[Path], Path]:
    def change(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        make_other(path)

    return with_change(change)


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(10 * 2**30)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def linked_outside(path: Path) -> None:
    """The checkpoint is whole, but lies elsewhere."""
    other = path.parents[4] / "elsewhere"
    good(other)
    path.symlink_to(next(other.glob(f"runs/*/*/checkpoints/{STEP}")))


def manifest(change: Callable[[dict], Any]) -> Callable[[Path], Path]:
    def rewrite(folder: Path) -> None:
        path = folder / "checkpoints" / STEP / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return with_change(rewrite)


def weights(content: bytes) -> Callable[[Path], Path]:
    """Weights that the manifest vouches for."""

    def change(folder: Path) -> None:
        place = folder / "checkpoints" / STEP
        (place / checkpoint.WEIGHTS).write_bytes(content)
        path = place / "manifest.json"
        found = json.loads(path.read_text())
        found["files"][checkpoint.WEIGHTS] = {
            "bytes": len(content),
            "sha256": files.sha256_file(place / checkpoint.WEIGHTS),
        }
        path.write_text(json.dumps(found))

    return with_change(change)


def tensor(shape: list[int], size: int) -> bytes:
    row = {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}
    text = json.dumps({"logits/bias": row}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(min(size, 16))


ALIASES = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
)
STATUSES = {
    "10 GB": replaced("status.json", sparse),
    "a FIFO": replaced("status.json", os.mkfifo),
    "a folder": replaced("status.json", Path.mkdir),
    "a device": replaced("status.json", link_to("/dev/zero")),
    "a link to itself": replaced("status.json", link_to("status.json")),
    "missing": with_change(lambda folder: (folder / "status.json").unlink()),
    "empty": with_file("status.json", ""),
    "cut": with_file("status.json", '{"state": "do'),
    "100,000 lists deep": with_file("status.json", "[" * 100_000),
    "a million mappings": with_file("status.json", "[" + "{}," * 1_000_000 + "{}]"),
    "a list": with_file("status.json", "[]"),
    "a number of 10,000 digits": with_file("status.json", '{"step": ' + "9" * 10_000 + "}"),
    "not UTF-8": with_file("status.json", b"\xff\xfe\x00\x01"),
    "a state of its own": with_file("status.json", '{"state": "rm -rf"}'),
    "state is a list": with_file("status.json", '{"state": ["done"]}'),
    "process 0": with_file("status.json", '{"state": "running", "pid": 0}'),
    "process -1": with_file("status.json", '{"state": "running", "pid": -1}'),
    "step is text": with_file("status.json", '{"state": "done", "step": "x"}'),
    "best is a number": with_file("status.json", '{"state": "done", "best": 4}'),
}
CONFIGS = {
    "missing": with_change(lambda folder: (folder / "config.yaml").unlink()),
    "a FIFO": replaced("config.yaml", os.mkfifo),
    "10 GB": replaced("config.yaml", sparse),
    "a device": replaced("config.yaml", link_to("/dev/zero")),
    "python/object": with_file("config.yaml", "a: !!python/object/apply:os.system ['touch X']"),
    "python/name": with_file("config.yaml", "a: !!python/name:os.system"),
    "aliases that double": with_file("config.yaml", ALIASES),
    "an alias to itself": with_file("config.yaml", "a: &a [*a]"),
    "10,000 lists deep": with_file("config.yaml", "[" * 10_000),
    "10,000 keys": with_file("config.yaml", "".join(f"k{n}: 1\n" for n in range(10_000))),
    "an environment variable": with_config("data", name="${oc.env:AWS_SECRET_ACCESS_KEY}"),
    "interpolations that double": with_config("model", preset="${model.name}${model.name}"),
    "a binary value": with_file("config.yaml", "a: !!binary aGVsbG8="),
    "a list": with_file("config.yaml", "[1, 2]"),
    "not YAML": with_file("config.yaml", "a: [1\nb: }"),
    "not UTF-8": with_file("config.yaml", b"\xff\xfea: 1"),
    "a model of nobody's": with_config("model", name="os:system"),
    "a model by a dotted path": with_config("model", name="os.system"),
    "a target": with_config("model", _target_="os.system"),
    "a model that is a mapping": with_config("model", name={"_target_": "os.system"}),
    "a task from a plugin": with_config("task", name="evil"),
    "no model": with_file("config.yaml", json.dumps({**CONFIG, "model": None})),
    "a size that is text": with_config("model", image_size="huge"),
    "a hidden layer of a trillion": with_config("model", hidden=10**12),
    "an image of a million pixels a side": with_config("model", image_size=10**6),
}
ENVIRONMENTS = {
    "missing": with_change(lambda folder: (folder / "environment.json").unlink()),
    "10 GB": replaced("environment.json", sparse),
    "a FIFO": replaced("environment.json", os.mkfifo),
    "deep": with_file("environment.json", '{"data":' * 50_000),
    "no classes": with_file("environment.json", '{"data": {}}'),
    "classes that are a number": with_file("environment.json", '{"data": {"classes": 3}}'),
    "classes that are lists": with_file("environment.json", '{"data": {"classes": [[], []]}}'),
    "a class twice": with_file("environment.json", '{"data": {"classes": ["a", "a"]}}'),
    "100,000 classes": with_file(
        "environment.json", json.dumps({"data": {"classes": [str(n) for n in range(100_000)]}})
    ),
}
CHECKPOINTS = {
    "none": with_change(lambda folder: shutil.rmtree(folder / "checkpoints" / STEP)),
    "a link to outside": replaced(f"checkpoints/{STEP}", linked_outside),
    "weights that link to outside": replaced(
        f"checkpoints/{STEP}/{checkpoint.WEIGHTS}", link_to("/etc/hostname")
    ),
    "weights that are a FIFO": replaced(f"checkpoints/{STEP}/{checkpoint.WEIGHTS}", os.mkfifo),
    "weights that are a device": replaced(
        f"checkpoints/{STEP}/{checkpoint.WEIGHTS}", link_to("/dev/zero")
    ),
    "weights that are a folder": replaced(f"checkpoints/{STEP}/{checkpoint.WEIGHTS}", Path.mkdir),
    "links in a circle": replaced(f"checkpoints/{STEP}", link_to(STEP)),
    "manifest that is a FIFO": replaced(f"checkpoints/{STEP}/manifest.json", os.mkfifo),
    "manifest of 10 GB": replaced(f"checkpoints/{STEP}/manifest.json", sparse),
    "manifest that is deep": with_file(f"checkpoints/{STEP}/manifest.json", '{"files":' * 50_000),
    "manifest with .. in it": manifest(
        lambda found: found["files"].update({"../../../x": {"bytes": 1, "sha256": "0"}})
    ),
    "manifest with a path": manifest(
        lambda found: found["files"].update({"/etc/passwd": {"bytes": 1, "sha256": "0"}})
    ),
    "manifest without weights": manifest(lambda found: found["files"].clear()),
    "manifest of lists": manifest(lambda found: found.update(files=[1])),
    "manifest with another hash": manifest(
        lambda found: found["files"][checkpoint.WEIGHTS].update(sha256="0" * 64)
    ),
    "weights of 2^60 bytes of header": weights(struct.pack("<Q", 2**60)),
    "weights with a shape bomb": weights(tensor([2**40], 2**42)),
    "weights cut short": weights(tensor([100], 400)),
    "weights that are a pickle": weights(b"\x80\x04cos\nsystem\n."),
    "weights that are empty": weights(b""),
    "best step of nobody's": with_file(
        "status.json", json.dumps({**STATUS, "best": {"step": 10**9}})
    ),
}


def _odd(place: Path) -> Path:
    """Odd values where nothing depends on them: huge numbers, NaN, names with control bytes."""
    folder = good(place)
    test = {"accuracy": float("nan"), "loss": 10**400, "n": 1e308}
    write(folder, "status.json", {**STATUS, "test": test, "name": "\x1b]0;x\x07", "seconds": 1e308})
    (folder / "metrics.jsonl").write_text('{"phase": "a", "epoch": 1, "loss": NaN}\n{"pha')
    return folder


def cases() -> list[Case]:
    """Every run folder with who reads it and whether it is to be refused."""
    parts = {
        "status": STATUSES,
        "config": CONFIGS,
        "environment": ENVIRONMENTS,
        "checkpoint": CHECKPOINTS,
    }
    rows = [
        Case(f"run, {part}: {name}", make, use, refused=True)
        for part, each in parts.items()
        for name, make in each.items()
        if part != "status"
    ]
    rows += [
        Case(f"run, status: {name}", make, listed, refused=False) for name, make in STATUSES.items()
    ]
    rows.append(Case("benign: run", good, use, refused=False))
    rows.append(Case("benign: run with odd values", _odd, use, refused=False))
    return rows
