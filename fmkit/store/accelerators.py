"""The accelerators of this machine and their drivers, found without any framework."""

import ast
import importlib.util
import json
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from fmkit.store import environment

_NVIDIA_PCI, _DISPLAY_CLASS = "0x10de", "0x03"
_COMMAND_SECONDS, _IMPORT_SECONDS = 15, 120
_LIST_DEVICES = (
    "import json, tensorflow as tf\n"
    "print(json.dumps([d.name for d in tf.config.list_physical_devices('GPU')]))"
)


@dataclass(frozen=True)
class Accelerator:
    """One accelerator.

    Attributes:
        kind: `nvidia`, `amd` or `apple`.
        memory: in bytes; None where it is not known.
        driver: its version; None where there is none.
    """

    kind: str
    name: str
    memory: int | None = None
    driver: str | None = None


def accelerators(proc: Path = Path("/proc"), system: Path = Path("/sys")) -> list[Accelerator]:
    """All accelerators that the system or its tools name, those without a driver included."""
    nvidia = _from_nvidia_smi() or _from_driver(proc) or _from_pci(system)
    return [*nvidia, *_amd(system), *_apple()]


def _from_nvidia_smi() -> list[Accelerator]:
    query = "--query-gpu=name,memory.total,driver_version"
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    output = environment.program_output(command, _COMMAND_SECONDS)
    devices = []
    for line in output.splitlines():
        name, memory, driver = (part.strip() for part in (*line.split(","), "", "", "")[:3])
        size = int(memory) * 2**20 if memory.isdigit() else None
        if name and driver:
            devices.append(Accelerator("nvidia", name, size, driver))
    return devices


def _from_driver(proc: Path) -> list[Accelerator]:
    """The cards that the driver's own files name, where its tools are not installed."""
    folder = proc / "driver" / "nvidia"
    version = re.search(r"Kernel Module[^\n]*?\s(\d+\.[\d.]+)", _text(folder / "version"))
    names = [
        match[1].strip()
        for path in sorted(folder.glob("gpus/*/information"))
        if (match := re.search(r"Model:(.*)", _text(path)))
    ]
    return [Accelerator("nvidia", name, None, version and version[1]) for name in names]


def _from_pci(system: Path) -> list[Accelerator]:
    """Cards on the bus that no driver has taken."""
    cards = [
        path.parent.name
        for path in sorted(system.glob("bus/pci/devices/*/vendor"))
        if _text(path).strip() == _NVIDIA_PCI
        and _text(path.with_name("class")).startswith(_DISPLAY_CLASS)
    ]
    return [Accelerator("nvidia", f"NVIDIA card at {card}") for card in cards]


def _amd(system: Path) -> list[Accelerator]:
    nodes = system.glob("class/kfd/kfd/topology/nodes/*/properties")
    is_gpu = re.compile(r"^simd_count [1-9]", re.MULTILINE)
    version = _text(system / "module/amdgpu/version").strip() or None
    return [
        Accelerator("amd", _text(path.with_name("name")).strip() or "AMD GPU", None, version)
        for path in sorted(nodes)
        if is_gpu.search(_text(path))
    ]


def _apple() -> list[Accelerator]:
    is_apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return [Accelerator("apple", platform.processor() or "Apple GPU")] if is_apple else []


def tensorflow_cuda() -> str | None:
    """The version of CUDA that the installed TensorFlow was built for; None: for no GPU."""
    spec = importlib.util.find_spec("tensorflow")
    for folder in (spec and spec.submodule_search_locations) or ():
        # Read, not imported: the import of TensorFlow takes seconds.
        text = _text(Path(folder) / "python" / "platform" / "build_info.py")
        if match := re.search(r"\('cuda_version', ('[^']*')\)", text):
            return str(ast.literal_eval(match[1]))
    return None


def tensorflow_gpus() -> list[str] | None:
    """The GPUs that TensorFlow can use, asked in a process of its own; None: it did not answer."""
    command = [sys.executable, "-c", _LIST_DEVICES]
    output = environment.program_output(command, _IMPORT_SECONDS)
    try:
        names = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        return None
    return [str(name) for name in names]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
