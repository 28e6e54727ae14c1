"""Facts for a run's environment.json: versions, hardware, git commit of the current folder."""

import contextlib
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from fmkit.core import machine
from fmkit.core.version import VERSION


def versions(*packages: str) -> dict[str, str | None]:
    """The versions of packages by name; None: not installed."""
    installed: dict[str, str | None] = dict.fromkeys(packages)
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed


def current() -> dict[str, Any]:
    """Versions, hardware and the git commit of the current folder."""
    own = {"python": platform.python_version(), "fmkit": VERSION}
    return {
        "versions": own
        | versions(
            "tensorflow", "keras", "keras-hub", "hydra-core", "omegaconf", "numpy", "pillow"
        ),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": machine.available_cores(),
        "git": _git_commit(),
    }


def program_output(command: Sequence[str], seconds: float) -> str:
    """What a program prints, of fixed words; empty where it is not installed, fails or hangs."""
    try:
        return subprocess.run(  # noqa: S603 - constant arguments
            command, capture_output=True, text=True, timeout=seconds, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return ""


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    name = re.search("model name.*?:(.*)", text)
    return name[1].strip() if name else platform.processor()


def _git_commit() -> dict[str, Any] | None:
    def git(*arguments: str) -> str:
        result = subprocess.run(  # noqa: S603 - constant arguments
            ["git", *arguments], capture_output=True, text=True, timeout=5, check=True
        )
        return result.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
