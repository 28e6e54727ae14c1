"""A run that was written before, read with care: its files may be damaged or somebody else's."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.config.documentation import field_types
from fmkit.errors import ArtifactError
from fmkit.store import run as names


@dataclass(frozen=True)
class FinishedRun:
    """A run folder to read from."""

    folder: Path

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    def config(self) -> dict[str, Any]:
        """The config as plain values.

        Raises:
            ArtifactError: there is none that can be read.
        """
        import yaml

        try:
            loaded = yaml.safe_load((self.folder / names.CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise self._refused(names.CONFIG, error) from error
        if not isinstance(loaded, dict):
            raise self._refused(names.CONFIG, "it is not a mapping")
        return loaded

    def section(self, group: str, kind: type) -> Any:
        """A group of the config as an object of its dataclass; unknown keys are refused."""
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        values = self.config().get(group)
        try:
            return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values or {}))
        except OmegaConfBaseException as error:
            raise self._refused(f"{names.CONFIG} ({group})", error) from error

    def overrides(self, group: str, kind: type, spared: set[str]) -> list[str]:
        """A group of the config as command-line overrides, without the keys in `spared`.

        Args:
            group: such as `data`.
            kind: the group's dataclass; keys that it does not have are left out.
            spared: full keys that the user set.
        """
        values = self.config().get(group) or {}
        known = {each.name for each in dataclasses.fields(kind)} & set(field_types(kind))
        rows = [f"{group}={_quoted(values.get('name'))}"]
        for key, value in values.items():
            full = f"{group}.{key}"
            if key in known and full not in spared:
                rows.append(f"{full}={_quoted(value)}")
        return rows

    def json(self, name: str) -> dict[str, Any]:
        """One of the run's JSON files.

        Raises:
            ArtifactError: it is missing or broken.
        """
        try:
            loaded = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._refused(name, error) from error
        if not isinstance(loaded, dict):
            raise self._refused(name, "it is not a JSON object")
        return loaded

    def data(self) -> dict[str, Any]:
        """What the run recorded of its data: classes, counts, fingerprints."""
        data = self.json(names.ENVIRONMENT).get("data")
        if not isinstance(data, dict) or not isinstance(data.get("classes"), list):
            raise self._refused(names.ENVIRONMENT, "it names no classes")
        return data

    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs."""
        return tuple(str(each) for each in self.data()["classes"])

    def best_step(self) -> int | None:
        """The step of the best checkpoint, if one was named."""
        best = self.json(names.STATUS).get("best")
        step = best.get("step") if isinstance(best, dict) else None
        return step if isinstance(step, int) else None

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / names.CHECKPOINTS

    def _refused(self, name: str, reason: object) -> ArtifactError:
        text = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        return ArtifactError(f"run {self.folder}: {name} cannot be used: {text}.")


def _quoted(value: Any) -> str:
    """A value as Hydra's override grammar reads it back."""
    if value is None:
        return "null"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return str(value).lower() if isinstance(value, bool) else str(value)
