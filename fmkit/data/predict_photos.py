"""Photos of `fmkit predict`, out of files, folders, tables and arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.schema.commands import PredictConfig
from fmkit.core import console
from fmkit.core.errors import DataError, plural, received
from fmkit.core.files import absolute_path, display_path, matching_paths
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.findings import printable
from fmkit.data.formats.parquet_photos import photo_files
from fmkit.data.formats.text_files import file_ending
from fmkit.data.images.image_file import EXTENSIONS
from fmkit.data.predict_inputs import (
    STDIN,
    TableFormat,
    columns_hint,
    columns_of,
    line_texts,
    sources_of,
    stdin_file,
    table_rows,
    tables_below,
)
from fmkit.data.sources import directory, npz, photo_search
from fmkit.data.sources.directory import Listing
from fmkit.data.sources.image_folder import PHOTOS
from fmkit.data.sources.image_table import has_photos
from fmkit.data.sources.paths import ADDRESS, existing_path, is_address
from fmkit.data.sources.photo_folders import new_folders
from fmkit.data.sources.table_rows import row_id


@dataclass(frozen=True)
class PhotoInputs:
    """Photos to predict.

    Attributes:
        names: the absolute path of each; of an array's images `row-000012` by position from 0.
        errors: why there is no photo to read; empty where there is one.
        columns: what else the input says of each, by name.
        pixels: of each image in memory, (H, W) or (H, W, C); None of one in a file, and empty where
            all are files.
    """

    names: tuple[str, ...]
    errors: tuple[str, ...]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    pixels: tuple[np.ndarray | None, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class _Photo:
    name: str
    error: str = ""
    cells: Mapping[str, Any] = field(default_factory=dict)
    pixels: np.ndarray | None = None


def _photo_inputs(photos: Sequence[_Photo]) -> PhotoInputs:
    pixels = tuple(photo.pixels for photo in photos)
    return PhotoInputs(
        tuple(photo.name for photo in photos),
        tuple(photo.error for photo in photos),
        columns_of([photo.cells for photo in photos]),
        pixels if any(image is not None for image in pixels) else (),
    )


def read_photos(config: PredictConfig, learned: Any) -> PhotoInputs:
    """The photos that a command names, in a stable order, found as those of the run's data were.

    Raises:
        DataError: a path does not exist, or has no photo.
    """
    photos: list[_Photo] = []
    for source in sources_of(config):
        if source == STDIN:
            with stdin_file() as path:
                photos += _photos_of_stdin(path, config, learned)
        else:
            for path in map(Path, matching_paths(source)):
                photos += _photos_at(path, config, learned)
    return _photo_inputs(photos)


def photos_from_values(values: Any, learned: Any) -> PhotoInputs:
    """Paths of photos, or what one path holds."""
    if isinstance(values, str):
        return read_photos(PredictConfig(run="", input=values), learned)
    if not values:
        raise DataError("inputs: received an empty list. Expected paths of photos.")
    return _photo_inputs([_Photo(absolute_path(path)) for path in values])


def photos_of_examples(examples: Examples) -> PhotoInputs:
    """The photos of a data set, in its order."""
    content = examples.content
    if isinstance(content, ImageArray):
        return _photo_inputs(
            [
                _Photo(name, pixels=image)
                for name, image in zip(examples.ids, content.pixels, strict=True)
            ]
        )
    if not isinstance(content, ImageFiles):
        raise DataError(f"the data has no photos, but {type(content).__name__}.")
    return _photo_inputs([_Photo(path) for path in content.paths])


def _photos_at(source: Path, config: PredictConfig, learned: Any) -> list[_Photo]:
    if source.is_dir():
        photos = _photos_below(source)
        below = [] if photos else tables_below(source, reads_tables=True)
        for _, table in below:
            photos += _photos_of_table(table, table.parent, config, learned)
        if not photos:
            endings = ", ".join(sorted(EXTENSIONS))
            raise DataError(f"input: {source} has no photo ({endings}), and no table of photos.")
        return photos
    if not source.is_file():
        expected = "a photo, a folder, a table or a .npz file that exists"
        raise DataError(received("input", display_path(source), expected))
    ending = file_ending(source.name)
    if ending == ".npz":
        images = npz.read_images(source, getattr(learned, "image_key", "images"))
        return [_Photo(row_id(index), pixels=image) for index, image in enumerate(images)]
    if TableFormat.of(config, learned).matches(source):
        return _photos_of_table(source, source.parent, config, learned)
    return [_Photo(str(source))]


def _photos_below(folder: Path) -> list[_Photo]:
    """A row for each photo below a folder, also of one that cannot be read; none without any.

    Files of other kinds are left out, and counted in a line.
    """
    listing = directory.all_files(folder, PHOTOS, outside_links=True)
    photos = [_Photo(path) for path in listing.paths]
    if not photos:
        return []
    for finding in listing.all_findings():
        if finding.kind == "unsupported":
            console.info(f"{display_path(folder)}: {finding.why}")
    return sorted([*photos, *_unlisted(listing)], key=lambda photo: Path(photo.name))


def _unlisted(listing: Listing) -> list[_Photo]:
    """What a listing could not list, with the reason."""
    return [
        _Photo(
            finding.path or str(listing.root / finding.where), f"{finding.where}: {finding.text}"
        )
        for finding in listing.findings
        if finding.is_error
    ]


def _photos_of_table(
    table: Path, folder: Path, config: PredictConfig, learned: Any
) -> list[_Photo]:
    """The photos of a table, whose relative paths start from `image_root`, or else near `folder`.

    Where nothing is there, they start from the folder of training.
    """
    column = config.path_column or str(getattr(learned, "path_column", None) or "path")
    if has_photos(table, column):
        return _photos_inside(table, column, TableFormat.of(config, learned))
    rows = [*table_rows(table, [column], columns_hint(config, learned, ["path_column"]),
                        TableFormat.of(config, learned))]  # fmt: skip
    names = [row.cells.get(column, "") for row in rows]
    folders = [folder]
    if config.image_root is not None:
        folders = [existing_path(config.image_root, "folder", "image_root")]
    else:
        near = new_folders(folder / table.name, names, learned)
        folders = [root for root in (near.own, near.trained) if root is not None]
        if note := near.note("image_root"):
            console.info(f"{display_path(table)}: {note}")
    named = config.image_root or getattr(learned, "image_root", None)
    searched = [name for name in dict.fromkeys(names) if name]
    if config.image_root is None:  # in the folder of training, photos called so are others
        searched = [name for name in searched if not is_address(name)]
    files = _files_of(folders, searched, has_root=bool(named))
    photos = []
    for row, listed in zip(rows, names, strict=True):
        error, path = row.fault, files.get(listed)
        name = str(path or (folders[0] / listed if listed else ""))
        if not error and path is None:
            places = " or ".join(map(display_path, folders))
            reason = ADDRESS if is_address(listed) else f"is not in {places}"
            error = f"'{printable(listed)}' {reason}" if listed else "no path"
        photos.append(_Photo(name, error and f"{row_id(row.index)}: {error}", row.cells))
    return photos


def _photos_inside(table: Path, column: str, format: TableFormat) -> list[_Photo]:
    """The photos that are in a parquet file, with the other cells of their rows."""
    photos = []
    for row, path in zip(
        table_rows(table, [], "", format), photo_files(table, column), strict=True
    ):
        error = row.fault or ("" if path else "no photo")
        photos.append(_Photo(path, error and f"{row_id(row.index)}: {error}", row.cells))
    return photos


def _files_of(folders: Sequence[Path], names: Sequence[str], has_root: bool) -> dict[str, Path]:
    """The files that paths in a table name, from the first folder that has one.

    Args:
        folders: of which the last is the one that a key names, if there is a key.
        names: the paths, each once.
        has_root: whether there is.
    """
    results = [
        photo_search.files_of(root, names, by_end=has_root and root == folders[-1])
        for root in folders
    ]
    in_place = [result.files for result in results if not result.are_moved]
    located: dict[str, Path] = {}
    for files in reversed(in_place or [result.files for result in results]):
        located |= files
    if located and not in_place:
        count = plural(len(located), "photo is", "photos are")
        console.info(f"{count} not at the path in the table: found by name")
    return located


def _photos_of_stdin(path: Path, config: PredictConfig, learned: Any) -> list[_Photo]:
    """Photos of stdin: a path per line, or JSON with one in each record."""
    if path.suffix != ".txt":
        return _photos_of_table(path, Path.cwd(), config, learned)
    lines = line_texts(path, "utf-8")
    return [_Photo(absolute_path(text), error) for _, text, _, error, _ in lines]
