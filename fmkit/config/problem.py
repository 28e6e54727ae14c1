"""What is wrong with a config, one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a config: the key and the message."""

    key: str
    message: str
