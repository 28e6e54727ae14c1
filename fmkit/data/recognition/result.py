"""What a path was taken for, and what the user has said about it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmkit.config.saved_config import shell_setting
from fmkit.core.files import display_path

_LANGUAGE = {"task": "masked_lm", "stage": "continued", "model": "minilm"}
_GROUPS: dict[str, dict[str, str]] = {
    "photos": {"task": "simclr", "stage": "self_supervised", "model": "small_cnn"},
    "text_folder": {"model": "minilm"},
    "text_table": {"model": "minilm"},
    "conll": {"task": "token_classification", "model": "minilm"},
    "token_table": {"task": "token_classification", "model": "minilm"},
    "squad": {"task": "question_answering", "model": "minilm"},
    "preferences": {"task": "dpo", "stage": "preference", "model": "smollm2"},
    "chat": {"task": "instruction", "stage": "adapters", "model": "smollm2"},
    "text_lines": _LANGUAGE,
    "text_files": _LANGUAGE,
}
"""By data source, the groups that go with it where the defaults, which are for photos, do not."""


@dataclass
class Recognised:
    """What a path was taken for.

    Attributes:
        reason: why, in words.
        settings: by key, in the order to type them.
        missing: a photo that a table names and that does not exist; empty where the first ones do.
    """

    reason: str
    settings: dict[str, Any] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class Request:
    """What the user has said.

    Attributes:
        path: as it was typed.
        chosen: keys of `data` that are set, without the prefix.
        needs_labels: whether data without labels are refused.
        line: the command line as it was typed, for examples.
    """

    path: str
    chosen: Mapping[str, Any] = field(default_factory=dict)
    needs_labels: bool = True
    line: str = "fmkit finetune"

    @property
    def looks_for_labels(self) -> bool:
        """Whether labels count where there are some: `check` takes data with and without them."""
        return self.needs_labels or shlex.split(self.line)[1:2] == ["check"]

    def with_path(self, path: Path) -> str:
        """The command line with another path in place of the one that was typed."""
        shown, words = display_path(path), shlex.split(self.line)
        places = {self.path: shlex.quote(shown)}
        places |= {
            word: shell_setting("data.root", shown)
            for word in words
            if word.startswith("data.root=")
        }
        return " ".join(places.get(word) or shlex.quote(word) for word in words)


def recognised(source: str, path: Path, reason: str, **keys: Any) -> Recognised:
    """What a path was taken for: a data source, and keys of `data` without their prefix."""
    settings: dict[str, Any] = {"data": source, "data.root": display_path(path)}
    settings |= {f"data.{key}": value for key, value in keys.items()}
    return Recognised(reason, settings | _GROUPS.get(source, {}))
