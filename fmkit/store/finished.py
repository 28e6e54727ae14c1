"""A run that was written before, read with care: its files may be damaged or somebody else's."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.config.schema import KINDS
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

    def section(self, group: str) -> Any:
        """A group of the config as an object of the dataclass behind its `name`.

        Raises:
            ArtifactError: a key or a value does not fit the dataclass.
        """
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        values = self._values(group)
        try:
            typed = OmegaConf.structured(self._kind(group, values))
            return OmegaConf.to_object(OmegaConf.merge(typed, values))
        except OmegaConfBaseException as error:
            raise self._refused(f"{names.CONFIG} ({group})", error) from error

    def overrides(self, group: str, spared: set[str]) -> list[str]:
        """A group of the config as command-line overrides, without the keys in `spared`."""
        values = self._values(group)
        known = {each.name for each in dataclasses.fields(self._kind(group, values))}
        rows = [f"{group}={quoted(values.get('name'))}"]
        for key, value in values.items():
            full = f"{group}.{key}"
            if key in known and key != "name" and full not in spared:
                rows.append(f"{full}={quoted(value)}")
        return rows

    def _values(self, group: str) -> dict[str, Any]:
        values = self.config().get(group)
        if not isinstance(values, dict):
            raise self._refused(names.CONFIG, f"it has no {group}")
        return values

    @staticmethod
    def _kind(group: str, values: dict[str, Any]) -> type:
        kinds = KINDS[group]
        return kinds.get(str(values.get("name")), kinds[""])

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


def quoted(value: Any) -> str:
    """A value as Hydra's override grammar reads it back."""
    if value is None:
        return "null"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return str(value).lower() if isinstance(value, bool) else str(value)
