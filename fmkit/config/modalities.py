"""The modalities: what an example can be (a photo, a text), and all code that depends on it, a row
each.

Everything else asks the row, by `spec.modality` or `content.modality`, and never compares names of
modalities. Code is named by `module:name` and imported only when it is called. A plugin file adds
rows by a table `MODALITIES`, an installed package by entry points in the group `fmkit.modalities`.
"""

from __future__ import annotations

from dataclasses import dataclass

from fmkit.core import registry
from fmkit.core.errors import ConfigError, received


@dataclass(frozen=True)
class ModalityEntry:
    """What examples consist of.

    Attributes:
        noun: one example, in messages.
        plural: several examples.
        checks: `(Examples, DataConfig, cache folder, progress) -> ContentScan`, which reads all
            examples before training; empty where nothing is checked.
        thumbnail: `(Content, index, side) -> PIL image`; empty where examples cannot be drawn.
    """

    noun: str
    plural: str
    checks: str = ""
    thumbnail: str = ""


MODALITIES: dict[str, ModalityEntry] = {
    "image": ModalityEntry(
        noun="photo",
        plural="photos",
        checks="fmkit.data.quality.image_checks:check",
        thumbnail="fmkit.data.images.thumbnails:thumbnail",
    ),
    "text": ModalityEntry(
        noun="text",
        plural="texts",
        checks="fmkit.data.quality.document_checks:check",
    ),
}
"""By modality."""


def names() -> list[str]:
    """Every modality, plugins' included."""
    return registry.names("modalities", MODALITIES)


def modality_entry(name: str) -> ModalityEntry:
    """The row of a modality.

    Raises:
        ConfigError: there is no such modality, or a plugin's row is of another type.
    """
    entry = registry.find("modalities", name, MODALITIES)
    if not isinstance(entry, ModalityEntry):
        raise ConfigError(received(f"plugin {name} of modalities", entry, "a ModalityEntry"))
    return entry
