"""Two runs example by example: for `fmkit runs compare` and the report of two runs."""

from pathlib import Path
from typing import Any

from fmkit.config import saved_config
from fmkit.config.registry import task_entry
from fmkit.core import console
from fmkit.core.errors import ConfigError, DataError, received
from fmkit.core.types import SPLITS
from fmkit.store import run_dir
from fmkit.store.run_reader import RunReader

DEFAULT = "test"


def paired(first: Path, second: Path, split: str) -> dict[str, Any] | None:
    """Differences of two runs on the examples that both were evaluated on; None: there are none.

    Args:
        first: folder of a run.
        second: folder of a run.
        split: whose tables of predictions are compared; the own name of an evaluation will do, too.

    Raises:
        ConfigError: the split was named, and a run has no table of it.
    """
    paths = [
        folder / run_dir.EVALUATION / f"{split or DEFAULT}.parquet" for folder in (first, second)
    ]
    missing = [path for path in paths if not path.exists()]
    if missing and split:
        raise ConfigError(
            received("split", split, [*SPLITS, "or the name of a table in eval/"]),
            f"{missing[0]} is missing: fmkit eval writes it.",
        )
    names = [_task(folder) for folder in (first, second)]
    entry = task_entry(names[0]) if names[0] is not None and names[0] == names[1] else None
    if missing or entry is None or entry.evaluator is None or not entry.evaluator.scores:
        return None
    from fmkit.evaluation import paired as pairs
    from fmkit.evaluation import write

    before, after = (write.recorded_columns(path.parent.parent, path.stem) for path in paths)
    if before is None or after is None:
        console.warning(f"{paths[0] if before is None else paths[1]} cannot be read.")
        return None
    try:
        return {"split": paths[0].stem, **pairs.compare(entry.evaluator.scores, before, after)}
    except DataError as error:
        console.warning(f"not compared example by example: {error.message}")
        return None


def _task(folder: Path) -> str | None:
    """The name of a run's task, of a joint run that of its primary objective."""
    config = RunReader(folder).config()
    if not isinstance(config.get("task"), dict):
        return None
    task, _ = saved_config.task_of(saved_config.section(config, "task"), None)
    return str(task.name)
