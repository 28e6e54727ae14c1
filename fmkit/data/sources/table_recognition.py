"""What the columns of a table are for, with what is beside it: the photos that it names."""

import itertools
from pathlib import Path

from fmkit.core.errors import ConfigError, DataError, plural
from fmkit.core.files import display_path, is_ignored
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.tables import records
from fmkit.data.formats.text_files import as_data_error
from fmkit.data.images.image_file import EXTENSIONS, is_photo, is_photo_name
from fmkit.data.sources.column_roles import Columns, Roles, as_columns, roles
from fmkit.data.sources.paths import find_file
from fmkit.data.sources.recognised import Recognised, Request, recognised

_ROWS = 200
_PROBED = 5  # rows of a table whose photos are looked for


def recognise_table(request: Request, path: Path) -> Recognised:
    """What a table is, by its first rows.

    Raises:
        ConfigError: it cannot be told what its columns are for.
        DataError: it cannot be read, or has no labels.
    """
    shown = display_path(path)
    columns = _sample(request, path)
    if not columns:
        raise DataError(f"{shown} has no rows with names of columns.")
    _require_header(path, columns)
    _refuse_rejected(path, columns)
    chosen = dict(request.chosen)
    if not {"path_column", "text_column"} & chosen.keys() and (
        ids := _column_of_ids(path, columns)
    ):
        chosen["path_column"] = ids
    try:
        table = roles(columns, chosen, request.line)
    except ConfigError as error:
        raise ConfigError(f"{shown}: {error.message}", error.hint) from None
    if table.source == "image_table":
        _add_image_root(table, path, columns)
    return _labelled_table(request, path, table)


def _labelled_table(request: Request, path: Path, table: Roles) -> Recognised:
    noun = "photos" if table.source == "image_table" else "texts"
    if not table.has_labels and table.source == "image_table":
        raise DataError(
            f"{display_path(path)} names photos, and no column of it has labels.",
            f"Say which has: {request.line} data.label_column=COLUMN",
        )
    if not table.has_labels:
        column = {"text_column": table.keys["text_column"]}
        return recognised("text_lines", path, "texts without labels, one per row", **column)
    reasons = {
        "image_table": f"a table of {noun}",
        "text_table": f"a table of {noun}",
        "token_table": "a table of words with tags",
        "chat": "conversations",
        "preferences": "pairs of a chosen and a rejected answer",
        "squad": "questions on texts that have the answers in them",
    }
    result = recognised(table.source, path, reasons[table.source], **table.keys)
    if table.task:
        result.settings["task"] = table.task
    return result


def _sample(request: Request, path: Path) -> Columns:
    """The first rows of a table, by column; the user's encoding and columns lead to the table."""
    encoding = str(request.chosen.get("encoding", "utf-8"))
    columns = [request.chosen.get(key) for key in ("path_column", "text_column", "label_column")]
    try:
        rows = records(
            path,
            encoding,
            quotes=request.chosen.get("quotes") is not False,
            list_key="data",
            required=[name for name in columns if isinstance(name, str)],
        )
        objects = (row.value for row in rows if isinstance(row.value, dict))
        return as_columns(itertools.islice(objects, _ROWS))
    except UnusableInput as error:
        raise as_data_error(path, error, encoding, encoding_key="data.encoding") from None


def _require_header(path: Path, columns: Columns) -> None:
    """Refuse a table whose names of columns are those of photos: its first row.

    Raises:
        DataError: a name is that of a file of a photo.
    """
    names = [name for name in columns if is_photo_name(name)]
    if names:
        raise DataError(
            f"{display_path(path)}: the first row has {names[0]!r}, where the names of the columns "
            "are expected.",
            "Add a row with names above it, such as path,label.",
        )


def _refuse_rejected(path: Path, columns: Columns) -> None:
    """Refuse an export of Prodigy with examples that the annotator has not accepted.

    Raises:
        DataError: there are such examples.
    """
    answers = columns.get("answer", ()) if "_task_hash" in columns else ()
    refused = [answer for answer in answers if answer in ("reject", "ignore")]
    if refused:
        raise DataError(
            f"{display_path(path)}: {len(refused)} of its first {plural(len(answers), 'example')} "
            "were rejected or ignored by the annotator (`answer`).",
            'Keep the accepted ones: grep \'"answer": *"accept"\' FILE > accepted.jsonl',
        )


def _add_image_root(table: Roles, path: Path, columns: Columns) -> None:
    """The folder that the paths in a table start from, where it is one beside the table."""
    name = next((str(value) for value in columns[table.keys["path_column"]] if value), "")
    folders = [path.parent, *_folders_beside(path)]
    folder = next((folder for folder in folders if find_file(folder, name, EXTENSIONS)), None)
    if name and folder not in (None, path.parent):
        table.keys["image_root"] = display_path(folder)


def _folders_beside(path: Path) -> list[Path]:
    entries = (entry for entry in path.parent.iterdir() if not is_ignored(entry.name))
    return sorted(entry for entry in entries if entry.is_dir())


def _column_of_ids(path: Path, columns: Columns) -> str | None:
    """The column whose values are names of photos without their endings, here or in a folder."""
    for column, values in columns.items():
        names = [str(value) for value in values[:_PROBED]]
        for folder in [path.parent, *_folders_beside(path)]:
            files = [find_file(folder, name, EXTENSIONS) for name in names if name]
            if len(files) == len(names) > 0 and all(file and is_photo(file) for file in files):
                return column
    return None
