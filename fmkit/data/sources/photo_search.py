"""Photos that a table names and that are not where it says: elsewhere below its folder.

Tools and people move photos and keep their table. What is taken for a photo in place of another
path is certain by its name: one file has it, and no two rows share a file.
"""

import contextlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fmkit.core.files import is_ignored
from fmkit.data.images.image_file import EXTENSIONS, is_photo
from fmkit.data.sources.paths import find_file, is_address
from fmkit.store import run_dir

_LEVELS, _MAX_ENTRIES = 5, 300_000  # below a folder, that are looked through
_SEPARATORS = re.compile(r"[\\/]+")


class PhotoFiles(NamedTuple):
    """The files that paths name.

    Attributes:
        files: by path.
        are_moved: whether none is at its path, and these are elsewhere below the folder.
        in_other_case: paths whose file is where they say but for upper and lower case.
    """

    files: dict[str, Path]
    are_moved: bool = False
    in_other_case: Sequence[str] = ()


def files_of(folder: Path, names: Sequence[str], by_end: bool) -> PhotoFiles:
    """The files that paths from a folder name.

    Where none of them leads to a file, those count that must be meant by their names.

    Args:
        folder: absolute.
        names: paths, each once.
        by_end: whether the folder is known to be that of the photos, so that the ends of paths are
            looked for in it, too.
    """
    files = {name: path for name in names if (path := find_file(folder, name, EXTENSIONS))}
    others = files_in_any_case(folder, [name for name in names if name not in files])
    if files or others:
        return PhotoFiles(files | others, in_other_case=[*others])
    files = files_by_name(folder, names)
    files |= files_by_end(folder, names) if by_end else {}
    return PhotoFiles(files, are_moved=True)


def files_in_any_case(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files at paths from a folder in whatever case, as Windows and macOS read paths.

    Letters may also be composed in another way (Unicode's NFC and NFD). A path that fits two files
    is none.
    """
    listed: dict[Path, dict[str, list[Path]]] = {}
    files = {}
    for name in names:
        *folders, last = [part for part in _SEPARATORS.split(name) if part != "."] or [""]
        if is_address(name) or name.startswith(("~", "/")) or not last or ".." in folders:
            continue
        places = [folder]
        for part in folders:
            places = [
                path for place in places for path in _inside(place, listed).get(_key(part), [])
            ]
        keys = [_key(last)]
        keys += [] if Path(last).suffix else [_key(last + ending) for ending in EXTENSIONS]
        paths = [path for p in places for key in keys for path in _inside(p, listed).get(key, [])]
        if len(paths) == 1 and is_photo(paths[0]):
            files[name] = paths[0]
    return files


def _key(name: str) -> str:
    """A name without its case, and with its letters composed."""
    return unicodedata.normalize("NFC", name).casefold()


def _inside(folder: Path, listed: dict[Path, dict[str, list[Path]]]) -> dict[str, list[Path]]:
    """What is in a folder by its name as `_key`, listed once; nothing where it cannot be listed."""
    if folder not in listed:
        listed[folder] = defaultdict(list)
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                listed[folder][_key(entry.name)].append(Path(entry.path))
    return listed[folder]


def folder_below(folder: Path, names: Sequence[str]) -> Path | None:
    """The first folder below one, or that itself, from which some paths lead to a file each."""
    for path, _ in _folders(folder) if names else ():
        files = {find_file(path, name, EXTENSIONS) for name in names}
        if None not in files and len(files) == len(names):
            return path
    return None


def files_by_name(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files below a folder that have the names, or those of them that only one file has.

    A file with a name in another case counts where none has it exactly.

    Args:
        names: names without folders, or with none of their endings; other paths are left out.
    """
    bare_names = {name for name in names if not _SEPARATORS.search(name)}
    keys = {_key(name) for name in bare_names}
    paths: dict[str, list[Path]] = defaultdict(list)
    for parent, files in _folders(folder) if bare_names else ():
        for file in files:
            stem, ending = os.path.splitext(file)  # noqa: PTH122 - a call a file, without objects
            key = _key(file)
            if key not in keys:
                key = _key(stem) if ending.lower() in EXTENSIONS else ""
            if key in keys and is_photo(parent / file):
                paths[key].append(parent / file)
    result = {}
    for name in bare_names:
        fitting = paths.get(_key(name), [])
        exact = [path for path in fitting if name in (path.name, path.stem)]
        if len(exact or fitting) == 1:
            result[name] = (exact or fitting)[0]
    return result


def files_by_end(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files in a folder at the longest ends of paths: `3/a.png` or `a.png` of `C:\\3\\a.png`.

    Returns:
        File by path; nothing where two paths lead to one file.
    """
    files: dict[str, Path] = {}
    for name in dict.fromkeys(names):
        parts = [part for part in _SEPARATORS.split(name) if part]
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        file = next(filter(None, (find_file(folder, end, EXTENSIONS) for end in ends)), None)
        if file is not None:
            files[name] = file
    return files if len({*files.values()}) == len(files) else {}


def _folders(folder: Path) -> list[tuple[Path, list[str]]]:
    """A folder and those below it, with the names of their files; none where there are too many."""
    result, count = [], 0
    for parent, folders, files in os.walk(folder):
        path = Path(parent)
        count += len(files) + len(folders)
        if count > _MAX_ENTRIES:  # it would not be known that a name is the only one
            return []
        result.append((path, files))
        if len(path.relative_to(folder).parts) >= _LEVELS:
            folders.clear()
        folders[:] = sorted(
            name for name in folders if not (is_ignored(name) or run_dir.is_output(path / name))
        )
    return result
