"""The user's YAML as Hydra gets it: read by us, with the limits of `strict_yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from fmkit.config.registry import BASES, COMMANDS, all_config_classes
from fmkit.config.schema.keys import field_types
from fmkit.config.schema.runtime import PhaseConfig
from fmkit.core import safe_yaml
from fmkit.core.errors import ConfigError

SCHEME = "fmkit"


def integer_keys() -> frozenset[str]:
    """Last parts of the keys that take a whole number."""
    classes = (config for group in BASES for config in all_config_classes(group))
    return _integer_keys((*classes, *COMMANDS.values(), PhaseConfig))


@cache
def _integer_keys(classes: tuple[type, ...]) -> frozenset[str]:
    return frozenset(
        name
        for config in classes
        for name, kind in field_types(config).items()
        if kind in (int, int | None)
    )


def to_integer(value: Any) -> Any:
    """A float that is a whole number, such as `1e3`, as that; every other value as it is."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if is_whole else value


def with_integers(tree: Any) -> Any:
    """The same mappings with whole numbers where the schema wants them: `batch_size: 1e3`."""
    if not isinstance(tree, dict):
        return tree
    return {
        key: to_integer(value) if key in integer_keys() else with_integers(value)
        for key, value in tree.items()
    }


def register() -> None:
    """Tell Hydra of the scheme `fmkit://`, by which it gets files through us."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra.core.plugins import Plugins
    from hydra.plugins.config_source import ConfigLoadError, ConfigResult
    from omegaconf import OmegaConf

    class CheckedSource(FileConfigSource):
        """A folder of YAML."""

        @staticmethod
        def scheme() -> str:
            return SCHEME

        def load_config(self, config_path: str) -> Any:
            path = Path(self.path) / self._normalize_file_name(config_path)
            if not path.is_file():
                raise ConfigLoadError(f"Config not found: {path}")
            found = safe_yaml.read(path)
            if found.tree is None:
                raise ConfigError("\n".join(found.problems))
            return ConfigResult(
                config=OmegaConf.create(with_integers(safe_yaml.value(found.tree))),
                path=f"{SCHEME}://{self.path}",
                provider=self.provider,
                header=self._get_header_dict(found.text[:512]),
            )

    Plugins.instance().register(CheckedSource)
