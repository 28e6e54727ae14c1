"""A run that was written before, read with care: its files may be damaged or somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.core import console, safe_io, safe_yaml, sanitize
from fmkit.core.errors import ArtifactError
from fmkit.core.types import DataSpec
from fmkit.store import run_dir, run_index


@dataclass(frozen=True)
class RunReader:
    """A run folder to read from."""

    folder: Path

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    def config(self) -> dict[str, Any]:
        """The config as plain values; what came from the environment is not looked up.

        Raises:
            ArtifactError: there is none that can be read, or it has what no config has.
        """
        path = self.folder / run_dir.CONFIG
        found = safe_yaml.read(path)
        if found.tree is None:
            reason = found.problems[0].removeprefix(sanitize.escape_invisible(path)).lstrip(": ")
            raise self._refused(run_dir.CONFIG, reason.rstrip("."))
        loaded: dict[str, Any] = safe_yaml.value(found.tree)
        return loaded

    def json(self, name: str, most: int = safe_io.MAX_JSON) -> dict[str, Any]:
        """One of the run's JSON files, of at most so many bytes.

        Raises:
            ArtifactError: it is missing or broken.
        """
        try:
            loaded = safe_io.read_json(self.folder / name, most)
        except (OSError, ValueError) as error:
            raise self._refused(name, error) from error
        if not isinstance(loaded, dict):
            raise self._refused(name, "it is not a JSON object")
        return loaded

    def data(self, objective: str | None = None) -> dict[str, Any]:
        """What the run recorded of its data: classes, counts, fingerprints.

        Args:
            objective: of a joint run, one that is not the primary.
        """
        known = self.json(run_dir.ENVIRONMENT)
        data = known.get("data")
        if objective is not None:
            others = known.get("objectives")
            data = others.get(objective) if isinstance(others, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
            raise self._refused(run_dir.ENVIRONMENT, "it names no classes")
        return data

    def classes(self, objective: str | None = None) -> tuple[str, ...]:
        """Class names in the order of the model's outputs; see `data`."""
        return self._different(self.data(objective)["classes"], "classes")

    def spec(self, objective: str | None = None) -> DataSpec:
        """What the run's data looked like, as far as a model is built by it; see `data`.

        Raises:
            ArtifactError: the record is broken.
        """
        known = self.data(objective)
        modality, kind = known.get("modality", "image"), known.get("annotations", "")
        # Its row may come from a plugin, so the names are not a closed list here.
        if not isinstance(modality, str) or not modality.isidentifier():
            raise self._refused(run_dir.ENVIRONMENT, "modality is not a name")
        if not isinstance(kind, str):
            raise self._refused(run_dir.ENVIRONMENT, "annotations is not a name")
        outputs = self._different(known.get("names", []), "names")
        return DataSpec(modality, self.classes(objective), {}, annotations=kind, names=outputs)

    def validation(self, objective: str | None = None) -> dict[str, Any]:
        """Figures of the run's own validation; none where there is no such file.

        Raises:
            ArtifactError: the file is broken.
        """
        name = f"{run_dir.EVALUATION}/val{f'-{objective}' if objective else ''}.json"
        if not (self.folder / name).exists():
            return {}
        return self.json(name, safe_io.MAX_EVALUATION_JSON)

    def _different(self, found: Any, what: str) -> tuple[str, ...]:
        is_list = isinstance(found, list) and all(isinstance(each, str) for each in found)
        if not is_list or len(set(found)) != len(found):
            raise self._refused(run_dir.ENVIRONMENT, f"its {what} are no list of different names")
        return tuple(found)

    def warn_if_unfinished(self) -> None:
        """Say that the run has not ended as planned, where it has not."""
        found = run_index.read(self.folder)
        if found.state != run_dir.DONE:
            why = f" ({found.reason.splitlines()[0]})" if found.reason else ""
            console.warning(f"run {self.id} is {found.state}{why}: the best of it so far is used.")

    def best_step(self) -> int | None:
        """The step of the best checkpoint, if one was named."""
        best = self.json(run_dir.STATUS).get("best")
        step = best.get("step") if isinstance(best, dict) else None
        return step if type(step) is int else None

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints.

        Raises:
            ArtifactError: it has a link that leaves the run, or anything but files and folders.
        """
        folder = self.folder / run_dir.CHECKPOINTS
        try:
            safe_io.check_tree(folder, self.folder)
            for manifest in folder.glob(f"*/{run_dir.MANIFEST}"):
                safe_io.read_json(manifest)
        except (OSError, ValueError) as error:
            raise self._refused(run_dir.CHECKPOINTS, error) from error
        return folder

    def _refused(self, name: str, reason: object) -> ArtifactError:
        text = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        return ArtifactError(f"run {self.folder}: {name} cannot be used: {text}.")
