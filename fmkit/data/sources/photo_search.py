"""Photos that a table names and that are not where it says: elsewhere below its folder.

Tools and people move photos and keep their table. What is taken for a photo in place of another
path is certain by its name: one file has it, and no two rows share a file.
"""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fmkit.core.files import is_ignored
from fmkit.data.images.image_file import EXTENSIONS, is_photo
from fmkit.data.sources.paths import find_file
from fmkit.store import run_dir

_LEVELS, _MAX_ENTRIES = 5, 300_000  # below a folder, that are looked through
_SEPARATORS = re.compile(r"[\\/]+")


def files_of(folder: Path, names: Sequence[str], by_end: bool) -> tuple[dict[str, Path], bool]:
    """The files that paths from a folder name, by path.

    Where none of them leads to a file, those count that must be meant by their names.

    Args:
        folder: absolute.
        names: paths, each once.
        by_end: whether the folder is known to be that of the photos, so that the ends of paths are
            looked for in it, too.

    Returns:
        The files, and whether they are elsewhere.
    """
    files = {name: path for name in names if (path := find_file(folder, name, EXTENSIONS))}
    if files:
        return files, False
    files = files_by_name(folder, names)
    return files | (files_by_end(folder, names) if by_end else {}), True


def folder_below(folder: Path, names: Sequence[str]) -> Path | None:
    """The first folder below one, or that itself, from which some paths lead to a file each."""
    for path, _ in _folders(folder) if names else ():
        files = {find_file(path, name, EXTENSIONS) for name in names}
        if None not in files and len(files) == len(names):
            return path
    return None


def files_by_name(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files below a folder that have the names, or those of them that only one file has.

    Args:
        names: names without folders, or with none of their endings; other paths are left out.
    """
    bare_names = {name for name in names if not _SEPARATORS.search(name)}
    paths: dict[str, list[Path]] = defaultdict(list)
    for parent, files in _folders(folder) if bare_names else ():
        for file in files:
            stem, ending = os.path.splitext(file)  # noqa: PTH122 - a call a file, without objects
            name = file if file in bare_names else stem if ending.lower() in EXTENSIONS else ""
            if name in bare_names and is_photo(parent / file):
                paths[name].append(parent / file)
    return {name: files[0] for name, files in paths.items() if len(files) == 1}


def files_by_end(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files in a folder at the longest ends of paths: `3/a.png` or `a.png` of `C:\\3\\a.png`.

    Returns:
        File by path; nothing where two paths lead to one file.
    """
    files: dict[str, Path] = {}
    for name in dict.fromkeys(names):
        if re.match(r"https?:", name):
            continue
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
