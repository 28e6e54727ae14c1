"""Facts for a run's environment.json: versions, hardware, git commit of the current folder."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from fmkit.core import machine
from fmkit.core.version import VERSION


def current() -> dict[str, Any]:
    """Versions, hardware and the git commit of the current folder."""
    packages = ("tensorflow", "keras", "keras-hub", "hydra-core", "omegaconf", "numpy", "pillow")
    versions: dict[str, str | None] = {
        "python": platform.python_version(),
        "fmkit": VERSION,
    }
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "versions": versions,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": machine.available_cores(),
        "git": _git_commit(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


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
