"""Read a run folder, in whatever state: its files may be damaged or come from other people."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fmkit.core import console, modalities, safe_io, safe_yaml, sanitize
from fmkit.core.errors import ArtifactError, received
from fmkit.core.types import DataSpec
from fmkit.store import run_dir, run_index


@dataclass(frozen=True)
class RunReader:
    """Reads a run's files, whether it has ended or not; ArtifactError where one is unusable."""

    folder: Path

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    def config(self) -> dict[str, Any]:
        """The config as plain values; references such as `${oc.env:NAME}` are not resolved."""
        path = self.folder / run_dir.CONFIG
        document = safe_yaml.read(path)
        if document.tree is None:
            reason = document.problems[0].removeprefix(sanitize.escape_invisible(path))
            raise self._unusable(run_dir.CONFIG, reason.lstrip(": ").rstrip("."))
        values: dict[str, Any] = safe_yaml.value(document.tree)
        return values

    def overrides(self) -> list[str]:
        """What the user set for this run, as Hydra recorded it; none where that cannot be read."""
        try:
            with (self.folder / run_dir.HYDRA / "overrides.yaml").open("rb") as stream:
                events = list(yaml.parse(stream.read(safe_yaml.MAX_BYTES)))
        except (OSError, yaml.YAMLError, RecursionError):
            return []
        # The parser's events are as many as the file has values: nothing is expanded.
        return [event.value for event in events if isinstance(event, yaml.ScalarEvent)]

    def json(self, name: str, max_bytes: int = safe_io.MAX_JSON) -> dict[str, Any]:
        """One of the run's JSON files; ArtifactError where it is missing, damaged or too large."""
        try:
            return safe_io.read_json_object(self.folder / name, max_bytes)
        except (OSError, ValueError) as error:
            raise self._unusable(name, error) from error

    def data(self, objective: str | None = None) -> dict[str, Any]:
        """The record of the data (classes, counts, fingerprints) of a run or of one objective.

        An `objective` is named where it is not the primary one. For errors see `json`.
        """
        environment = self.json(run_dir.ENVIRONMENT)
        data = environment.get("data")
        if objective is not None:
            objectives = environment.get("objectives")
            data = objectives.get(objective) if isinstance(objectives, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
            raise self._unusable(run_dir.ENVIRONMENT, "it has no list of classes")
        return data

    def classes(self, objective: str | None = None) -> tuple[str, ...]:
        """Class names in the order of the model's outputs; see `data`."""
        return self._distinct_names(self.data(objective)["classes"], "classes")

    def spec(self, objective: str | None = None) -> DataSpec:
        """The fields of the run's `DataSpec` that a model is built from; see `data`."""
        data = self.data(objective)
        modality, kind = data.get("modality", "image"), data.get("annotations", "")
        if modality not in modalities.names():
            why = received("modality", modality, modalities.names()).rstrip(".")
            raise self._unusable(run_dir.ENVIRONMENT, why)
        if not isinstance(kind, str):
            raise self._unusable(run_dir.ENVIRONMENT, "annotations is not a name")
        outputs = self._distinct_names(data.get("names", []), "names")
        grey_range = data.get("grey_range")
        if grey_range is not None:
            is_pair = isinstance(grey_range, list) and len(grey_range) == 2
            if not is_pair or not all(
                type(v) in (int, float) and math.isfinite(v) for v in grey_range
            ):
                raise self._unusable(run_dir.ENVIRONMENT, "grey_range is not two numbers")
            grey_range = float(grey_range[0]), float(grey_range[1])
        units = data.get("units", {})
        if not isinstance(units, dict) or not all(isinstance(unit, str) for unit in units.values()):
            raise self._unusable(run_dir.ENVIRONMENT, "units are not names")
        return DataSpec(
            modality, self.classes(objective), {}, annotations=kind, names=outputs,
            grey_range=grey_range, units=units,
        )  # fmt: skip

    def validation(self, objective: str | None = None) -> dict[str, Any]:
        """Metrics of the run's own validation; empty where there is no such file."""
        name = f"{run_dir.EVALUATION}/val{f'-{objective}' if objective else ''}.json"
        if not (self.folder / name).exists():
            return {}
        return self.json(name, safe_io.MAX_EVALUATION_JSON)

    def _distinct_names(self, names: Any, key: str) -> tuple[str, ...]:
        is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not is_list or len(set(names)) != len(names):
            raise self._unusable(run_dir.ENVIRONMENT, f"its {key} are not a list of distinct names")
        return tuple(names)

    def warn_if_unfinished(self) -> None:
        """Warn where the run is not done."""
        summary = run_index.read(self.folder)
        if summary.state != run_dir.DONE:
            reason = f" ({summary.reason.splitlines()[0]})" if summary.reason else ""
            console.warning(
                f"run {self.id} is {summary.state}{reason}: its best checkpoint so far is used."
            )

    def best_step(self) -> int | None:
        """The step of the best checkpoint, if one was named."""
        best = self.json(run_dir.STATUS).get("best")
        step = best.get("step") if isinstance(best, dict) else None
        return step if type(step) is int else None

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints; ArtifactError if a link leads out of the run."""
        folder = self.folder / run_dir.CHECKPOINTS
        try:
            safe_io.check_tree(folder, self.folder)
            for manifest in folder.glob(f"*/{run_dir.MANIFEST}"):
                safe_io.read_json(manifest)
        except (OSError, ValueError) as error:
            raise self._unusable(run_dir.CHECKPOINTS, error) from error
        return folder

    def _unusable(self, name: str, reason: object) -> ArtifactError:
        text = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        return ArtifactError(f"run {self.folder}: {name} cannot be used: {text}.")
