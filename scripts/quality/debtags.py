"""Debian's packages as texts with sets of labels: what a package is for, by its tags.

`apt-cache dumpavail` has a line of description and the tags of debtags.debian.org for each package
of the lists on this machine (`apt-get update`).
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

FACETS = ("use", "works-with")
"""Tags of these become labels, such as `use::editing`."""
LABELS = 20
"""The commonest."""


def table(folder: Path) -> Path:
    """The table of texts and labels, `sources/debtags.jsonl`; made where it is missing.

    Raises:
        FmkitError: there is no apt, or its lists have no tags.
    """
    from fmkit.core import files
    from fmkit.core.errors import DataError

    path = folder / "sources" / "debtags.jsonl"
    if path.exists():
        return path
    try:
        done = subprocess.run(
            ["apt-cache", "dumpavail"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise DataError(f"the packages of Debian cannot be listed: {error}") from error
    rows = list(parse(done.stdout))
    if not rows:
        raise DataError("the lists of apt have no tags.", "Run: apt-get update")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, "".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def parse(text: str) -> Iterator[dict[str, str]]:
    """Rows of `text` and `label` from stanzas of packages; those without a label are left out."""
    described = []
    for stanza in text.split("\n\n"):
        description = re.search(r"^Description(?:-en)?: (.+)$", stanza, re.MULTILINE)
        tags = re.search(r"^Tag: (.+(?:\n .+)*)$", stanza, re.MULTILINE)
        if description and tags:
            names = [name for name in re.split(r"[,\s]+", tags[1]) if _is_label(name)]
            described.append((description[1], names))
    counts = Counter(name for _, names in described for name in names)
    common = {name for name, _ in counts.most_common(LABELS)}
    for description, names in described:
        if chosen := sorted(common.intersection(names)):
            yield {"text": description, "label": "|".join(chosen)}


def _is_label(tag: str) -> bool:
    """Whether a tag is one of `FACETS`, and no finer one such as `works-with::image:raster`."""
    facet, _, name = tag.partition("::")
    return facet in FACETS and bool(name) and ":" not in name and name != "TODO"
