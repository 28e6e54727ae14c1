"""Exports for object detection (YOLO, Pascal VOC, COCO), which say where things are in a photo.

They look like folders of photos, and fmkit does not learn boxes. Formats: docs.ultralytics.com (a
`.txt` for each photo with class, x, y, width, height), Pascal VOC's development kit (an `.xml` with
`bndbox`), cocodataset.org (a `.json` with `bbox`).
"""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from fmkit.core.errors import DataError
from fmkit.core.files import display_path, is_ignored
from fmkit.data.images.image_file import EXTENSIONS
from fmkit.data.split_names import split_of_name

_PLACES = ("annotations", "annotation", "labels", "label", "images", "imgs", "img", "jpegimages")
"""Names of folders, in lower case, that exports have beside those of splits."""
_YOLO_ROW = re.compile(rb"\d+(\s+-?\d*\.?\d+([eE]-?\d+)?){4,}")
_COCO_BOX = re.compile(rb'"bbox"\s*:\s*\[\s*[-\d]')
_SAMPLE, _ENTRIES = 3, 1000  # files of a kind that are read, of so many entries of a folder
_PART = 2**20  # bytes at either end of a file


def refuse_detection(root: Path) -> None:
    """Refuse a folder whose photos come with boxes.

    Raises:
        DataError: it is an export for object detection.
    """
    if layout := _layout(root):
        raise DataError(
            f"{display_path(root)} is a data set for object detection ({layout}), and fmkit does "
            "not learn boxes.",
            "It learns what a whole photo shows: sort the photos, or what is cut out of them along "
            "the boxes, into a folder for each class, or name each photo and its class in a table.",
        )


def _layout(root: Path) -> str:
    """The format and where its boxes are; empty where there are none."""
    for folder in _places(root, depth=2):
        shown = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        paths = _files(folder)
        if any(b"<bndbox>" in _content(path) for path in _of_kind(paths, ".xml")):
            return f"Pascal VOC: boxes in {shown}*.xml"
        if any(_COCO_BOX.search(_content(path)) for path in _of_kind(paths, ".json")):
            return f"COCO: boxes in {shown}*.json"
        in_labels = "labels" in (folder.name.lower(), folder.parent.name.lower())
        photos = {path.stem for path in paths if path.suffix.lower() in EXTENSIONS}
        texts = [path for path in paths if in_labels or path.stem in photos]
        if any(_is_yolo(_content(path)) for path in _of_kind(texts, ".txt")):
            return f"YOLO: boxes in {shown}*.txt"
    return ""


def _places(folder: Path, depth: int) -> Iterator[Path]:
    """A folder, and those in it that have the name of a split or of a part of an export."""
    yield folder
    for path in _entries(folder) if depth else ():
        if (path.name.lower() in _PLACES or split_of_name(path.name)) and path.is_dir():
            yield from _places(path, depth - 1)


def _files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_file()]


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, _ENTRIES)]
    except OSError:  # reported where it is listed
        return []
    return [folder / name for name in sorted(names) if not is_ignored(name)]


def _of_kind(paths: list[Path], ending: str) -> Iterator[Path]:
    return itertools.islice((path for path in paths if path.suffix.lower() == ending), _SAMPLE)


def _content(path: Path) -> bytes:
    """Both ends of a file; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_PART)
            file.seek(max(len(head), path.stat().st_size - _PART))
            return head + file.read(_PART)
    except OSError:
        return b""


def _is_yolo(content: bytes) -> bool:
    """Whether each line is a class and at least four numbers, of which no coordinate is above 1."""
    rows = [line.strip() for line in content.splitlines() if line.strip()]
    return bool(rows) and all(
        _YOLO_ROW.fullmatch(row) and all(-1 <= float(text) <= 2 for text in row.split()[1:])
        for row in rows
    )
