"""Paths and names of a data set: checked, counted and compared."""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fmkit.core.errors import ConfigError, DataError, join_names
from fmkit.core.files import absolute_path, display_path, matching_paths
from fmkit.data.class_checks import SHOWN, as_number
from fmkit.data.findings import Finding
from fmkit.data.targets import normalise_name

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and those that hide text or change its direction."""
_SHORT = 3  # letters of a name whose last `s` says nothing
_LABEL_STUDIO = re.compile(
    r"/data/(?:local-files/\?d=(.+)|(upload/((?:\d+/)?((?:[0-9a-f]{8}-)?([^/]+)))))"
)
"""Paths as Label Studio serves files: below its own root, or uploaded, with a number in front."""

FOLDERS_HINT = (
    "A folder with a folder per class is for data=image_folder or, with texts in it, "
    "data=text_folder."
)
_TABLES = "A table of photos is for data=image_table, a table of texts for data=text_table."
ADDRESS = "is an address, and fmkit reads files of this machine alone"
DOWNLOAD = "Download it first, with a browser or curl, and name the file or folder."
_FILES = {
    **dict.fromkeys((".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx"), _TABLES),
    ".npz": "A file of arrays is for data=arrays.",
}
"""By the end of a file's name, the data source that reads it."""


def existing_path(root: str, kind: str, key: str = "data.root") -> Path:
    """The absolute path of a `file` or `folder` that a config key names.

    Raises:
        ConfigError: no root was given.
        DataError: nothing of that kind exists there.
    """
    if root in ("", "???"):
        raise ConfigError(f"{key} is missing. Say {key}=PATH, a {kind}.")
    matches = matching_paths(root)
    if len(matches) > 1:
        names = join_names([display_path(match) for match in matches], 3)
        raise DataError(
            f"{key}: {display_path(root)!r} fits {len(matches)} paths ({names}), and one {kind} is "
            "read here.",
            f"Name one of them, or the folder that they are in: {key}=PATH",
        )
    path = Path(matches[0])
    if path.is_dir() if kind == "folder" else path.is_file():
        return path
    shown = display_path(path)  # the config has the absolute path, the user has typed less
    absolute = "" if shown == str(path) else f" (that is {path})"
    if path.exists():
        hint = FOLDERS_HINT if path.is_dir() else _FILES.get(path.suffix.lower(), "")
        raise DataError(f"{key}: {shown!r}{absolute} is not a {kind}.", hint)
    schemes = [n for n, part in enumerate(path.parts) if re.fullmatch(r"[a-z0-9]{2,}:", part)]
    if schemes:  # the config has made an absolute path of it
        scheme, *others = path.parts[schemes[0] :]
        raise DataError(f"{key}: {f'{scheme}//' + '/'.join(others)!r} {ADDRESS}.", DOWNLOAD)
    parent = next((folder for folder in path.parents if folder.is_dir()), path.parent)
    hint = f"The path is right as far as {parent}."
    if parent == path.parent:
        hint = "Check the spelling of its last part."
    raise DataError(f"{key}: {shown!r}{absolute}: no such {kind}.", hint)


def is_address(path: str) -> bool:
    """Whether a path is on another machine: `https://`, `s3://`, `gs://` ..., but not `file:`."""
    return re.match(r"(?!file:)[a-z][a-z0-9+.-]+://", path, re.IGNORECASE) is not None


def find_file(folder: Path, name: str, endings: Sequence[str] = ()) -> Path | None:
    """The absolute path of a file that a table names, relative to a folder, where it exists.

    A table from Windows may have backslashes, one from a web tool `file:` URLs or paths as Label
    Studio serves them, and one of a competition ids in place of names: `endings` are those that a
    name without one may stand for.
    """
    spellings = dict.fromkeys([name, name.replace("\\", "/")])
    if match := _LABEL_STUDIO.fullmatch(name):
        spellings |= dict.fromkeys(filter(None, match.groups()))
    if not Path(name).suffix:
        spellings |= dict.fromkeys(f"{name}{ending}" for ending in endings)
        spellings |= dict.fromkeys(f"{name}{ending.upper()}" for ending in endings)
    for spelling in spellings:
        is_relative = not spelling.startswith("~") and spelling[:5].lower() != "file:"
        path = absolute_path(folder / spelling if is_relative else spelling)
        if os.path.isfile(path):  # noqa: PTH113 - a name too long, or a NUL, is not an error
            return Path(path)
    return None


def suffix_of(name: str) -> str:
    """A file's extension in lower case, in words where there is none."""
    return Path(name).suffix.lower() or "without extension"


def format_counts(counts: Counter[str]) -> str:
    """Counts by name, such as `3 .tiff, 1 .txt`; the ten most frequent."""
    shown = [f"{count} {name}" for name, count in counts.most_common(SHOWN)]
    return ", ".join(shown) + (" and others" if len(counts) > SHOWN else "")


def file_sizes(paths: Sequence[str]) -> np.ndarray:
    """Bytes of each file, (N,) int64; 0 where one is gone, which the scan reports."""
    sizes = np.zeros(len(paths), np.int64)
    for index, path in enumerate(paths):
        with contextlib.suppress(OSError):
            sizes[index] = os.path.getsize(path)  # noqa: PTH202 - a call a photo, without objects
    return sizes


def _number_name(name: str) -> str:
    """A number in one spelling for `1`, `1.0` and `01`; other names as they are."""
    number = as_number(name)
    return name if number is None else repr(number)


def _singular(name: str) -> str:
    """A name without the `s` at its end, whatever its case."""
    name = name.casefold()
    return name[:-1] if len(name) > _SHORT and name.endswith("s") and name[-2] != "s" else name


def name_findings(classes: Sequence[str], ids: Sequence[str]) -> list[Finding]:
    """Class names that look the same, and names with control characters."""
    findings: list[Finding] = []
    reported: set[str] = set()
    twins: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("twin_classes", normalise_name),
        ("case_twins", str.casefold),
        ("plural_twins", _singular),
        ("number_twins", _number_name),
    )
    for kind, simplify in twins:
        groups: dict[str, list[str]] = {}
        for name in dict.fromkeys(classes):
            groups.setdefault(simplify(name), []).append(name)
        for names in groups.values():
            if len(names) > 1 and not reported >= set(names):
                reported |= set(names)
                findings.append(Finding(kind, " and ".join(ascii(name) for name in names)))
    for name in dict.fromkeys([*classes, *ids]):
        if _CONTROL.search(name):
            findings.append(Finding("control_characters", ascii(name)))
    return findings
