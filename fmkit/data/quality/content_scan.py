"""What reading all examples of a data set shows, by the checks of their modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.schema.data import DataConfig
from fmkit.core import registry
from fmkit.core.modalities import modality_entry
from fmkit.data.examples import Examples, ProgressCallback
from fmkit.data.findings import Finding
from fmkit.data.quality.duplicates import DuplicateGroups


@dataclass(frozen=True)
class ContentScan:
    """What reading all examples has shown.

    Attributes:
        findings: problems of single examples.
        duplicates: the same examples; None: they are found by `Content.duplicate_key`.
        size_columns: sizes of the examples besides those of `Content.size_columns`, (N,) each.
        report: entries of the report that only this modality has.
    """

    findings: Sequence[Finding] = ()
    duplicates: DuplicateGroups | None = None
    size_columns: dict[str, np.ndarray] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)


def scan_content(
    examples: Examples,
    config: DataConfig,
    cache_folder: Path | None,
    progress: ProgressCallback | None = None,
) -> ContentScan:
    """Read all examples, as the checks of their modality do; nothing where it has none.

    Args:
        cache_folder: where results about unchanged files are kept; None: nowhere.
    """
    checks = modality_entry(examples.content.modality).checks
    if not checks:
        return ContentScan()
    scan: ContentScan = registry.load(checks)(examples, config, cache_folder, progress)
    return scan
