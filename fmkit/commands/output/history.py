"""How training went, in a line per metric: `val_loss: head ▇▄▂▁ 0.9 to 0.4, full ▂▁ 0.4 to 0.3`."""

from collections.abc import Mapping, Sequence
from typing import Any

from fmkit.core import console

_LEVELS = "▁▂▃▄▅▆▇█"
_WIDTH = 24  # characters of a phase
_LEAST = 3  # epochs, of all phases together
Row = Mapping[str, Any]


def lines(epochs: Sequence[Row], monitor: str, with_unicode: bool | None = None) -> list[str]:
    """The history of the validation loss and of the metric that chose the best epoch.

    Args:
        epochs: the last row of each epoch, as `run_content.epochs` has them.
        monitor: that metric; without validation the training loss is shown.
        with_unicode: whether blocks can be shown; None: if stdout can.

    Returns:
        A line per metric; none for a run of one or two epochs.
    """
    names = list(dict.fromkeys(("val_loss", monitor)))
    shown = [name for name in names if any(_number(row.get(name)) is not None for row in epochs)]
    blocks = console.has_unicode() if with_unicode is None else with_unicode
    written = [_line(epochs, name, blocks) for name in shown or ["loss"]]
    return [line for line in written if line]


def _line(epochs: Sequence[Row], name: str, blocks: bool) -> str:
    phases: dict[str, list[float]] = {}
    for row in epochs:
        value = _number(row.get(name))
        if value is not None:
            phases.setdefault(str(row.get("phase")), []).append(value)
    everything = [value for values in phases.values() for value in values]
    if len(everything) < _LEAST:
        return ""
    low, high = min(everything), max(everything)
    parts = []
    for phase, values in phases.items():
        drawn = f"{_spark(values, low, high)} " if blocks else ""
        ends = f"{values[0]:.4g}" if len(values) == 1 else f"{values[0]:.4g} to {values[-1]:.4g}"
        parts.append(f"{phase} {drawn}{ends}")
    return f"{name}: {', '.join(parts)}"


def _spark(values: Sequence[float], low: float, high: float) -> str:
    """A block per epoch, or per evenly spaced one of many; the last one is always there."""
    step = -(-len(values) // _WIDTH)
    thinned = [value for k, value in enumerate(values) if (len(values) - 1 - k) % step == 0]
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(_LEVELS[round((value - low) * scale)] for value in thinned)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < float("inf") else None
