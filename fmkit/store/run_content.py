"""What a run has recorded, in whatever state its files are: epochs, evaluations, differences.

Nothing here raises for a file that is missing or damaged, unless it says so: lists, comparisons
and reports show what there is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.core import console, errors, safe_io, safe_yaml
from fmkit.core.errors import ArtifactError
from fmkit.store import metrics_log, run_dir, run_index
from fmkit.store.run_index import RunSummary
from fmkit.store.run_reader import RunReader

_MAX_KEYS = 10_000  # a config has some hundred; a file with more than this is not one


def json_or_empty(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is missing or broken."""
    try:
        return safe_io.read_json_object(path, safe_io.MAX_EVALUATION_JSON)
    except (OSError, ValueError):
        return {}


def metric_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of metrics.jsonl, up to where it is damaged, which is a warning."""
    path, rows = folder / metrics_log.METRICS, []
    try:
        for row in safe_io.read_json_lines(path):
            if isinstance(row, dict):
                rows.append(row)
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            console.warning(f"{path} is damaged; the epochs before the damage are shown.")
    return rows


def epochs(folder: Path) -> list[dict[str, Any]]:
    """The last row of each epoch."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for row in metric_rows(folder):
        last[str(row.get("phase")), str(row.get("epoch"))] = row
    return list(last.values())


def evaluations(folder: Path, run: RunSummary) -> dict[str, dict[str, Any]]:
    """Metrics by split: those of eval/, and the status' where eval/ has none.

    What lies beside an evaluation, such as `test.predictions.json`, is none itself.
    """
    by_split = {"val": run.val or {}, "test": run.test or {}}
    paths = sorted((folder / run_dir.EVALUATION).glob("*.json"))
    names = {path.stem for path in paths}
    for path in paths:
        if path.stem.rpartition(".")[0] not in names:
            by_split[path.stem] = json_or_empty(path)
    return {split: metrics for split, metrics in by_split.items() if metrics}


def exports(folder: Path) -> list[dict[str, Any]]:
    """What each export of a run was compared by, a row per format, of those that can be read."""
    rows = []
    for path in sorted((folder / run_dir.EXPORT).glob(f"*/{run_dir.PARITY}")):
        record = json_or_empty(path)
        figures = {name: record.get(name) for name in _EXPORT_FIGURES}
        if all(isinstance(value, int | float | None) for value in figures.values()):
            times = record.get("latency_seconds")
            latency = times if isinstance(times, dict) else {}
            seconds = {
                f"seconds, batch {size}": value
                for size, value in latency.items()
                if isinstance(value, int | float)
            }
            rows.append({"format": path.parent.name, **figures, **seconds})
    return rows


_EXPORT_FIGURES = ("examples", "max_abs", "agreement", "model_bytes")


def flat(tree: Any) -> dict[str, Any]:
    """The leaves of nested mappings and lists by dotted key.

    Raises:
        ArtifactError: there are too many, or they contain themselves (both by YAML aliases).
    """
    leaves: dict[str, Any] = {}
    stack: list[tuple[str, Any, int]] = [("", tree, 0)]
    visited = 0
    while stack:
        key, value, depth = stack.pop()
        visited += 1
        if visited > _MAX_KEYS or depth > 50:
            raise ArtifactError(f"{errors.join_names(list(leaves), 3)}: too large to be a config.")
        if isinstance(value, dict | list) and value:
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            inner = [
                (f"{key}.{name}" if key else str(name), child, depth + 1) for name, child in pairs
            ]
            stack.extend(reversed(inner))
        else:
            leaves[key] = value
    return leaves


def side_by_side(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per key of either, without the value that one lacks."""
    return [
        {
            "key": key,
            **({"first": first[key]} if key in first else {}),
            **({"second": second[key]} if key in second else {}),
        }
        for key in {**first, **second}
    ]


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of `side_by_side` whose values differ."""
    rows = side_by_side(first, second)
    return [row for row in rows if len(row) < 3 or row["first"] != row["second"]]


def settings(folder: Path) -> dict[str, Any]:
    """A run's config by full key, with its state and the fingerprints of its data in brackets.

    Raises:
        ArtifactError: its config.yaml cannot be read.
    """
    data = json_or_empty(folder / run_dir.ENVIRONMENT).get("data")
    prints = {} if not isinstance(data, dict) else {
        f"(data {key})": data[key] for key in ("fingerprint", "split_fingerprint")
        if isinstance(data.get(key), str)
    }  # fmt: skip
    config = flat(RunReader(folder).config())
    return {**config, **prints, "(state)": run_index.read(folder).state}


def settings_or_empty(folder: Path) -> dict[str, Any]:
    """A run's config by full key, as it was written; empty where it cannot be read."""
    try:
        return safe_yaml.leaves(safe_io.read_bytes(folder / run_dir.CONFIG, safe_yaml.MAX_BYTES))
    except (OSError, ValueError):
        return {}


def overrides_of_jobs(summaries: Sequence[RunSummary]) -> dict[str, list[str]]:
    """By id, the overrides in which the jobs of one sweep differ; empty for any other runs."""
    parents = {run.folder.parent for run in summaries}
    if len(parents) != 1 or parents.pop().absolute().parent.name != run_index.SWEEPS:
        return {}
    overrides = {run.id: RunReader(run.folder).overrides() for run in summaries}
    shared = set.intersection(*map(set, overrides.values())) if len(overrides) > 1 else set()
    return {
        name: [word for word in words if word not in shared] for name, words in overrides.items()
    }


def varied_settings(summaries: Sequence[RunSummary]) -> list[str]:
    """Of the jobs of one sweep, the full keys that differ; empty for any other runs."""
    if not overrides_of_jobs(summaries):
        return []
    return varied_keys([settings_or_empty(run.folder) for run in summaries], summaries)


def varied_keys(configs: Sequence[Mapping[str, Any]], summaries: Sequence[RunSummary]) -> list[str]:
    """Full keys whose values differ between jobs: those that somebody typed, if there are any."""
    keys = dict.fromkeys(key for config in configs for key in config)
    differing = [key for key in keys if len({str(config.get(key)) for config in configs}) > 1]
    words = overrides_of_jobs(summaries).values()
    typed = {word.partition("=")[0].lstrip("+~") for row in words for word in row}
    is_typed = [key for key in differing if key in typed or key.removesuffix(".name") in typed]
    return is_typed or differing
