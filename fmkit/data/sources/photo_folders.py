"""The folder that relative paths in a table of photos start from, where no key names one.

A table that comes after training has a neighbourhood of its own, and photos there come first: files
that are called like those of training (`0.jpg`) are others.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fmkit.config.schema.data import ImageTableData
from fmkit.core.errors import ConfigError, DataError, plural
from fmkit.core.files import display_path
from fmkit.data.formats.tables import ENDINGS, read
from fmkit.data.images.image_file import EXTENSIONS
from fmkit.data.sources import photo_search
from fmkit.data.sources.paths import find_file
from fmkit.data.sources.split_folders import subfolders
from fmkit.data.sources.table_files import tables_at
from fmkit.data.split_names import split_of

_PROBED = 5  # paths of a table that are looked for in every folder beside it
_SAMPLE = 400  # paths by which it is known whether one folder has the photos


def folders_beside(table: Path) -> list[Path]:
    """The folders in that of a table; those with the name of its split come first."""
    split = split_of(table.name)
    names = sorted(subfolders(table.parent), key=lambda name: not split or split_of(name) != split)
    return [table.parent / name for name in names]


def photo_folder(table: Path, names: Sequence[str], like: Path | None = None) -> Path | None:
    """The folder near a table that has a photo it names; None where there is none.

    It is the table's own folder where the photos are in several folders below it.

    Args:
        table: it need not exist, its folder has to.
        names: paths in the table, those of photos anywhere on the disk left out.
        like: the folder that is searched first.
    """
    for folder in dict.fromkeys(filter(None, (like, table.parent))):
        if any(find_file(folder, name, EXTENSIONS) for name in names):
            return folder
    beside = (
        folder
        for folder in folders_beside(table)
        if any(find_file(folder, name, EXTENSIONS) for name in names[:_PROBED])
    )
    nearest = next(beside, None) or photo_search.folder_below(table.parent, names[:_PROBED])
    if nearest is not None and _are_elsewhere_too(table.parent, nearest, names):
        return table.parent
    return nearest


def _are_elsewhere_too(root: Path, folder: Path, names: Sequence[str]) -> bool:
    """Whether more of the photos are found by their names below a root than in one folder there."""
    sample = names[:: 1 + len(names) // _SAMPLE]
    in_folder = sum(find_file(folder, name, EXTENSIONS) is not None for name in sample)
    if in_folder == len(sample):
        return False
    return len(photo_search.files_by_name(root, sample)) > in_folder


def relative_names(names: Sequence[str]) -> list[str]:
    """The paths out of a table that start from some folder, each once."""
    return [
        name
        for name in dict.fromkeys(names)
        if name and not name.startswith(("~", "/")) and name[:5].lower() != "file:"
    ]


@dataclass(frozen=True)
class PhotoFolders:
    """Where the photos of a new table are.

    Attributes:
        own: the folder near the table.
        trained: that of training, where `own` is another one.
        in_both: number of photos that both have, by the same path.
        only_trained: number of photos that only the folder of training has.
    """

    own: Path
    trained: Path | None = None
    in_both: int = 0
    only_trained: int = 0

    def note(self, key: str) -> str:
        """What the user has to know; empty where there is no doubt.

        Args:
            key: that names another folder.
        """
        notes = []
        if self.trained and self.in_both:
            notes.append(
                f"{plural(self.in_both, 'photo is', 'photos are')} in {display_path(self.own)} "
                f"and, by the same {'path' if self.in_both == 1 else 'paths'}, in "
                f"{display_path(self.trained)} of the training data: "
                f"{display_path(self.own)} is read ({key}=FOLDER names another one)"
            )
        if self.trained and self.only_trained:
            notes.append(
                f"{plural(self.only_trained, 'photo is', 'photos are')} not near the table: read "
                f"from {display_path(self.trained)}, as in training"
            )
        return "; ".join(notes)


def new_folders(table: Path, names: Sequence[str], learned: Any) -> PhotoFolders:
    """Where the photos of a new table are, its own neighbourhood first.

    Args:
        table: see `photo_folder`.
        names: all paths in it.
        learned: the config of the data that the run was trained on.
    """
    names = relative_names(names)
    root = getattr(learned, "image_root", None)
    if not root:
        return PhotoFolders(photo_folder(table, names) or table.parent)
    trained = Path(root)
    own = photo_folder(table, names, _as_in_training(table, trained, learned)) or table.parent
    if own == trained:
        return PhotoFolders(own)
    in_own = [find_file(own, name, EXTENSIONS) is not None for name in names]
    in_trained = [find_file(trained, name, EXTENSIONS) is not None for name in names]
    in_both = sum(map(all, zip(in_own, in_trained, strict=True)))
    return PhotoFolders(own, trained, in_both, sum(in_trained) - in_both)


def _as_in_training(table: Path, trained: Path, learned: Any) -> Path:
    """The folder that is to a table as that of the photos of training was to the table there."""
    root = Path(str(getattr(learned, "root", "")))
    start = root.parent if root.name.lower().endswith(ENDINGS) or not root.is_dir() else root
    return Path(os.path.normpath(table.parent / os.path.relpath(trained, start)))


def image_root(root: str, path_column: str, learned: ImageTableData) -> tuple[str | None, str]:
    """The folder of the photos of a new table, and what to tell the user.

    All are in one folder: that of training where none is near the table.

    Args:
        root: the table, or a folder of tables.
        path_column: of the table.
        learned: the config of the data that the run was trained on.

    Returns:
        None where it is as in training, empty where it is the table's own folder.
    """
    try:
        tables = [table.path for table in tables_at(root, [], lambda *_: True)[0]]
        names = [
            row.cells.get(path_column, "")
            for table in tables
            if table.parent == tables[0].parent
            for row in read(table, [path_column], "", header=learned.header, sheet=learned.sheet)
        ]
    except (ConfigError, DataError):  # reported where the table is read
        return None, ""
    folders, key = new_folders(tables[0], names, learned), "data.image_root"
    if learned.image_root and folders.own == Path(learned.image_root):
        return None, ""
    is_own = any(find_file(folders.own, name, EXTENSIONS) for name in relative_names(names))
    if folders.trained and folders.only_trained and not is_own:
        return None, folders.note(key)
    folder = "" if folders.own == tables[0].parent else str(folders.own)
    return folder, replace(folders, only_trained=0).note(key)
