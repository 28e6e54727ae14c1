"""T3: the newest checkpoint is damaged. That is seen, told, and the one before it is used."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from fmkit.core import atomic_dir
from fmkit.core.errors import ArtifactError
from fmkit.train.checkpoints import checkpoint
from torture.saves import state
from torture.suite import Result, Suite, Trial, collect

_OLD, _NEW = 7, 14


def _make(parent: Path) -> Path:
    """Two small checkpoints; the folder of the newer one."""
    for step in (_OLD, _NEW):
        draws = np.random.default_rng(step)
        kernel = {"kernel": draws.normal(size=(8, 8)).astype(np.float32)}
        slots = {"optimizer/m": draws.normal(size=(8, 8)).astype(np.float32)}
        checkpoint.save(parent, step, kernel, slots, state(step))
    return parent / checkpoint.folder_name(_NEW)


def _truncate(folder: Path, draws: random.Random) -> None:
    path = draws.choice(_files(folder))
    os.truncate(path, draws.randrange(path.stat().st_size))


def _flip(folder: Path, draws: random.Random) -> None:
    path = draws.choice(_files(folder))
    content = bytearray(path.read_bytes())
    place = draws.randrange(8 * len(content))
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


def _delete(folder: Path, draws: random.Random) -> None:
    draws.choice(_files(folder)).unlink()


def _zero(folder: Path, draws: random.Random) -> None:
    path = draws.choice(_files(folder))
    path.write_bytes(bytes(path.stat().st_size))


def _swap_files(folder: Path, draws: random.Random) -> None:
    one, other = draws.sample(_files(folder), 2)
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _take_from_the_old(folder: Path, draws: random.Random) -> None:
    path = draws.choice(_files(folder))
    shutil.copy(folder.with_name(checkpoint.folder_name(_OLD)) / path.name, path)


def _be_the_old(folder: Path, draws: random.Random) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name(checkpoint.folder_name(_OLD)), folder)


def _add(folder: Path, draws: random.Random) -> None:
    (folder / draws.choice(("more.safetensors", "extra.json", ".hidden"))).write_bytes(b"{}")


def _append(folder: Path, draws: random.Random) -> None:
    with draws.choice(_files(folder)).open("ab") as stream:
        stream.write(bytes(draws.randrange(1, 50)))


def _be_a_folder(folder: Path, draws: random.Random) -> None:
    path = draws.choice(_files(folder))
    path.unlink()
    path.mkdir()


def _be_a_link(folder: Path, draws: random.Random) -> None:
    path = draws.choice(_files(folder))
    path.rename(folder.parent / ".elsewhere")
    path.symlink_to(folder.parent / ".elsewhere")


def _be_empty(folder: Path, draws: random.Random) -> None:
    for path in _files(folder):
        path.unlink()


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


Damage = Callable[[Path, random.Random], None]
DAMAGES: tuple[tuple[Damage, int], ...] = (
    (_flip, 50), (_truncate, 20), (_delete, 4), (_zero, 4), (_swap_files, 6), (_append, 4),
    (_take_from_the_old, 4), (_be_the_old, 1), (_add, 3), (_be_a_folder, 2), (_be_a_link, 1),
    (_be_empty, 1),
)  # fmt: skip
"""What is done to a checkpoint, and how often in a hundred."""


def _is_silent(trial: Trial) -> str:
    """Damage a checkpoint; a text says how that went unnoticed."""
    parent, draws = trial.folder, trial.random()
    newest = _make(parent)
    before = {path.name: path.read_bytes() for path in _files(newest)}
    damage = draws.choices(*zip(*DAMAGES, strict=True))[0]
    damage(newest, draws)
    if {p.name: p.read_bytes() for p in _files(newest) if p.is_file() and not p.is_symlink()} == (
        before
    ):
        return ""  # two files swapped that were equal: nothing was done
    try:
        chosen, told = checkpoint.newest(parent)
    except ArtifactError as error:
        return f"{damage.__name__}: refused altogether: {error.message}"
    except Exception as error:
        return f"{damage.__name__}: {type(error).__name__}: {error}"
    if chosen.step != _OLD:
        return f"{damage.__name__}: step {chosen.step} was used"
    names = [checkpoint.folder_name(step) in " ".join(told) for step in (_OLD, _NEW)]
    return "" if all(names) else f"{damage.__name__}: not told which was left out: {told}"


def _checked(trial: Trial) -> str:
    return trial.clean(_is_silent(trial))


def damages(suite: Suite) -> Result:
    """T3, and its control: without the checks some damage must go unnoticed."""
    count = suite.size("damages", 600, 100)
    result = collect(Result("damage"), _checked, suite.trials("damage", count), suite.workers)
    with mock.patch.object(atomic_dir, "find_damage", return_value=""):
        unchecked = [_is_silent(each) for each in suite.trials("damage-unchecked", 40)]
    shutil.rmtree(suite.folder / "damage-unchecked")
    result.controls["without checks damage is missed"] = sum(map(bool, unchecked)) > 0
    return result
