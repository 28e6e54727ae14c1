"""`fmkit doctor`: what this machine has, what does not fit together, what more would bring."""

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from fmkit.commands.options import parse_words
from fmkit.commands.output import json_output
from fmkit.core import console, files, machine, requirements
from fmkit.core.console import escape_markup, stdout
from fmkit.core.errors import ConfigError, plural, received
from fmkit.store import accelerators, array_cache, environment

BRINGS = {
    "demo": "weights and data of the demo, `fmkit finetune` without settings",
    "gpu": "training on an NVIDIA GPU: CUDA for TensorFlow",
    "text": "reading the weights of model=smollm2, a GGUF file",
    "openvino": "frozen features in about half the time on a CPU; fmkit export format=openvino",
    "onnx": "fmkit export format=onnx",
    "litert": "fmkit export format=litert, for phones and small devices",
    "excel": "tables in .xlsx files",
    "heic": "HEIC, the photos of iPhones",
    "mlflow": "runs in MLflow, too: runtime.loggers=[mlflow]",
    "wandb": "runs in Weights & Biases, too: runtime.loggers=[wandb]",
}
"""By extra of fmkit's, what a user gets by it."""

_OLDEST_DRIVER = {"12": (525, 60), "13": (580, 65)}
"""By CUDA's major version, the oldest NVIDIA driver that runs it, by NVIDIA's release notes."""

_LITTLE_DISK, _LITTLE_MEMORY = 2 * 10**9, 4 * 10**9


def doctor(arguments: Sequence[str]) -> None:
    """Run `fmkit doctor`.

    Raises:
        ConfigError: it takes no words.
    """
    words, _ = parse_words("fmkit doctor", arguments, ())
    if words:
        raise ConfigError(received("fmkit doctor", " ".join(words), "nothing after it"))
    content = examine()
    json_output.show("doctor", content, lambda: _print(content))


def examine() -> dict[str, Any]:
    """Facts about the machine and the installation, and the problems among them."""
    facts = environment.current()
    devices = accelerators.accelerators()
    cuda = accelerators.tensorflow_cuda()
    gpus: list[str] | None = []
    if any(device.kind == "nvidia" for device in devices) and cuda:
        console.info("asking TensorFlow for its GPUs")
        gpus = accelerators.tensorflow_gpus()
    extras = {
        name: requirements.missing(rows)
        for name, rows in requirements.extras().items()
        if name not in requirements.FOR_DEVELOPERS
    }
    content = {
        **{"versions": facts["versions"], "platform": facts["platform"]},
        "processor": {"name": facts["processor"], "cores": facts["cores"]},
        "memory": {"limit": machine.memory_limit(), "free": machine.free_memory()},
        "disk": _disks(),
        "accelerators": [dataclasses.asdict(device) for device in devices],
        "tensorflow": {"cuda": cuda, "gpus": gpus},
        "extras": [
            {
                "name": name, "missing": missing, "brings": BRINGS.get(name),
                "install": f"pip install 'fmkit[{name}]'",
            }
            for name, missing in extras.items()
        ],
    }  # fmt: skip
    problems = [*_package_problems(), *_variable_problems(), *_device_problems(content)]
    problems += _space_problems(content)
    rows = [{"message": message, "hint": hint} for message, hint in problems]
    return {**content, "problems": rows}


def _disks() -> list[dict[str, Any]]:
    """Free space where fmkit writes."""
    places = {
        "runs": Path("runs"),
        "feature cache": array_cache.cache_folder(None),
        "temporary files": Path(tempfile.gettempdir()),
    }
    return [
        {"use": use, "folder": files.absolute_path(folder), "free": files.free_bytes(folder)}
        for use, folder in places.items()
    ]


def _package_problems() -> Iterator[tuple[str, str]]:
    for package, requirement, version in requirements.unmet():
        is_here = f"{version} is installed" if version else "it is not installed"
        name = f"{requirement.name}{requirement.specifier}"
        yield f"{package} requires {name}, and {is_here}.", f"pip install '{name}'"
    for package, other in requirements.shadowed():
        yield (
            f"{package} and {other} are both installed, and write into the same module.",
            f"pip uninstall {other}, then pip install --force-reinstall --no-deps {package}",
        )
    versions = environment.versions("tensorflow", "tensorflow-text")
    minors = {str(version).rpartition(".")[0] for version in versions.values() if version}
    if len(minors) > 1:
        yield (
            f"tensorflow-text {versions['tensorflow-text']} is for another TensorFlow than "
            f"{versions['tensorflow']}: its first two numbers must be the same.",
            f"pip install 'tensorflow-text=={str(versions['tensorflow']).rpartition('.')[0]}.*', "
            "or uninstall it: fmkit does not need it.",
        )


def _variable_problems() -> Iterator[tuple[str, str]]:
    if os.environ.get("TF_USE_LEGACY_KERAS", "0") not in ("", "0", "False", "false"):
        yield "TF_USE_LEGACY_KERAS is set: Keras 2 is imported.", "unset TF_USE_LEGACY_KERAS"
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in ("", "tensorflow"):
        hint = "unset KERAS_BACKEND"
        yield f"KERAS_BACKEND={backend}: fmkit is tested with TensorFlow.", hint


def _device_problems(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    cuda, gpus = content["tensorflow"]["cuda"], content["tensorflow"]["gpus"]
    cards = [device for device in content["accelerators"] if device["kind"] == "nvidia"]
    drivers = {device["driver"] for device in cards}
    oldest = _OLDEST_DRIVER.get(str(cuda).partition(".")[0])
    if None in drivers:
        yield "an NVIDIA GPU has no driver.", "Install NVIDIA's driver, then restart the machine."
    for driver in drivers - {None}:
        if oldest and tuple(map(int, driver.split(".")[:2])) < oldest:
            needed = ".".join(map(str, oldest))
            yield (
                f"NVIDIA's driver {driver} is too old for CUDA {cuda}, which TensorFlow uses.",
                f"Install {needed} or newer.",
            )
    if cards and not cuda:
        yield (
            "the installed TensorFlow is built without CUDA, so it uses no GPU.",
            "pip install --force-reinstall 'fmkit[gpu]'",
        )
    elif cards and gpus is None:
        yield (
            "TensorFlow cannot be imported, or does not answer.",
            "python -c 'import tensorflow' shows why.",
        )
    elif cards and not gpus and None not in drivers:
        yield "TensorFlow does not find the GPU.", "pip install 'fmkit[gpu]'"
    for device in content["accelerators"]:
        if device["kind"] != "nvidia":
            yield (
                f"{device['name']}: the TensorFlow that fmkit requires uses NVIDIA's GPUs alone; "
                "training is on the CPU.",
                "",
            )


def _space_problems(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for disk in content["disk"]:
        if disk["free"] < _LITTLE_DISK:
            keys = {"runs": "runs_dir=DIR", "feature cache": "runtime.cache_dir=DIR"}
            hint = keys.get(disk["use"], "the variable TMPDIR")
            free = files.format_bytes(disk["free"])
            yield f"{free} free for {disk['use']} in {disk['folder']}.", f"Another folder: {hint}"
    free = content["memory"]["free"]
    if free is not None and free < _LITTLE_MEMORY:
        yield (
            f"{files.format_bytes(free)} of memory free.",
            "Small models and batches: data.batch_size=8, model.image_size=128.",
        )


def _print(content: dict[str, Any]) -> None:
    versions, processor = content["versions"], content["processor"]
    packages = [f"{name} {version}" for name, version in versions.items() if version]
    memory = [
        f"{files.format_bytes(content['memory'][key])} {words}"
        for key, words in (("limit", "in all"), ("free", "free"))
        if content["memory"][key] is not None
    ]
    cuda, gpus = content["tensorflow"]["cuda"], content["tensorflow"]["gpus"]
    build = f"built for CUDA {cuda}" if cuda else "built without CUDA"
    uses = f", uses {plural(len(gpus), 'GPU')}" if gpus else ""
    lines = [
        ("versions", ", ".join(packages)),
        ("system", content["platform"]),
        ("processor", f"{plural(processor['cores'], 'core')}, {processor['name']}"),
        ("memory", ", ".join(memory) or "unknown"),
        *(("accelerator", _device(device)) for device in content["accelerators"]),
        *([] if content["accelerators"] else [("accelerator", "none: training is on the CPU")]),
        ("tensorflow", f"{build}{uses}"),
    ]
    for disk in content["disk"]:
        lines.append(("disk", f"{files.format_bytes(disk['free'])} free for {_place(disk)}"))
    for extra in content["extras"]:
        state = f"not installed; {extra['install']}" if extra["missing"] else "installed"
        brings = extra["brings"] or "more packages"
        lines.append((f"extra {extra['name']}", f"{brings} ({state})"))
    for problem in content["problems"]:
        lines.append(("problem", " ".join(filter(None, (problem["message"], problem["hint"])))))
    table = Table.grid(padding=(0, 2))
    for name, text in lines:
        style = "yellow" if name == "problem" else ""
        table.add_row(Text(name, style), escape_markup(text))
    stdout.print(table)
    count = len(content["problems"])
    stdout.print(f"\n{plural(count, 'problem')}" if count else "\nno problems found")


def _place(disk: dict[str, Any]) -> str:
    use = disk["use"].replace("feature", "the feature")
    return f"{use}, in {files.display_path(disk['folder'])}"


def _device(device: dict[str, Any]) -> str:
    parts = [device["name"]]
    if device["memory"]:
        parts.append(f"{device['memory'] / 2**30:.0f} GiB")
    if device["kind"] == "nvidia":
        parts.append(f"driver {device['driver'] or 'not installed'}")
    return ", ".join(parts)
