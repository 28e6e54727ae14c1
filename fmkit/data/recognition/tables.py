"""What the columns of a table are for, with what is beside it: the photos that it names."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.config.registry import config_class
from fmkit.config.saved_config import shell_setting
from fmkit.core.errors import ConfigError, DataError, join_names, plural
from fmkit.core.files import display_path
from fmkit.core.sanitize import escape_invisible
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.benchmark_lists import benchmark_list
from fmkit.data.formats.delimited import CSV, CsvError
from fmkit.data.formats.spreadsheet import EXCEL
from fmkit.data.formats.tables import records
from fmkit.data.formats.text_files import GZIP, as_data_error, file_ending, is_wide
from fmkit.data.images.image_file import EXTENSIONS, is_photo
from fmkit.data.recognition.boxed_labels import refuse_boxes
from fmkit.data.recognition.column_roles import (
    Roles,
    lacks_header,
    numbers_splits,
    photo_column,
    roles,
    text_column,
)
from fmkit.data.recognition.column_values import Columns, as_columns, photos_inside
from fmkit.data.recognition.pixel_tables import refuse_pixel_texts, refuse_pixels
from fmkit.data.recognition.result import Recognised, Request, recognised
from fmkit.data.sources import photo_search
from fmkit.data.sources.paths import find_file
from fmkit.data.sources.photo_folders import folders_beside, photo_folder
from fmkit.data.split_names import numbered_splits

_FORMAT = ("encoding", "quotes", "header", "sheet")
_LINE_KEYS = ("text_column", *_FORMAT)
_ROWS = 200
_PROBED = 5  # rows of a table whose photos are looked for
_NEARLY = 0.9
_LIST_FOLDERS = ("annotations", "annotation", "anno", "labels", "lists", "metadata", "meta", "csv")
"""Names of folders of tables, in lower case, whose photos may be in the folder above."""
_CLASS_NAMES = ("classes.txt", "labels.txt", "class_names.txt")
"""Files with the name of a class in each line, for tables that number them."""
_MOST_NAMES = 1_000_000  # characters of such a file


def recognise_table(request: Request, path: Path) -> Recognised:
    """What a table is, by its first rows.

    Raises:
        ConfigError: it cannot be told what its columns are for.
        DataError: it cannot be read, or has no labels.
    """
    shown = display_path(path)
    columns, format = _sample(request, path)
    if not columns:
        raise _no_rows(request, path)
    _refuse_rejected(path, columns)
    refuse_boxes(path, columns, photo_column(columns) or "")
    refuse_pixel_texts(path, columns)
    _refuse_qualtrics(path, columns)
    chosen, doubt = dict(request.chosen), ""
    if not {"path_column", "text_column"} & chosen.keys() and photo_column(columns) is None:
        ids, doubt = _column_of_ids(path, columns, format)
        chosen |= {"path_column": ids} if ids else {}
    try:
        table = roles(columns, chosen, request.line)
    except ConfigError as error:
        refuse_pixels(path, columns, has_header=format.get("header") is not False)
        hint = escape_invisible(error.hint + (f" ({doubt})" if doubt else ""), keep="\n")
        raise ConfigError(f"{shown}: {escape_invisible(error.message)}", hint) from None
    is_found = table.source != "image_table" or "image_root" in chosen
    is_found = is_found or photos_inside(columns) == table.keys.get("path_column")
    missing = "" if is_found else _add_image_root(table, path, columns, format)
    keys = vars(config_class("data", table.source)())
    table.keys |= {key: value for key, value in format.items() if key in keys}
    numbers = _add_numbered_splits(request, table, path, columns, format)
    result = _labelled_table(request, path, table, columns)
    result.missing = missing
    result.reason += numbers
    result.reason += ", without a header" if format.get("header") is False else ""
    doubts = [*filter(None, [doubt]), *_doubts(request, path, table, columns)]
    result.reason += f" ({'; '.join(doubts)})" if doubts else ""
    return result


def _add_numbered_splits(
    request: Request, table: Roles, path: Path, columns: Columns, format: Mapping[str, Any]
) -> str:
    """Add a column that has splits as 0, 1 and 2, as a remark."""
    keys = vars(config_class("data", table.source)())
    if not table.has_labels or "split_column" not in keys:
        return ""
    if "split_column" in {*table.keys, *request.chosen}:
        return ""
    for name in columns:
        if numbers_splits(name, columns[name]):
            counts = Counter(_whole_column(path, name, format))
            if numbered_splits(counts):
                table.keys["split_column"] = name
                return f" with splits ({name}: 0 is train, 1 is val, 2 is test)"
    return ""


def _doubts(request: Request, path: Path, table: Roles, columns: Columns) -> list[str]:
    """Columns that are not read and may well be the user's labels, splits or texts."""
    result = []
    if table.has_labels and table.others:
        names = join_names(table.others, 3)
        verb = "is" if len(table.others) == 1 else "are"
        result.append(f"{names} may have labels, too, and {verb} not read")
    numbered = [name for name in columns if numbers_splits(name, columns[name])]
    if table.has_labels and numbered and "split_column" not in {*table.keys, *request.chosen}:
        remedy = "to keep them, write train, val and test in it"
        result.append(f"{numbered[0]} numbers splits, and is not read: {remedy}")
    if names_file := _names_of_numbers(path, columns.get(str(table.keys.get("label_column")), ())):
        result.append(
            f"{names_file} seems to name the classes and is not read: they are their numbers"
        )
    if table.other_texts:
        names = join_names(table.other_texts, 3)
        example = shell_setting("data.text_column", table.other_texts[0])
        result.append(f"{names} may be the text, too: {example}")
    return result


def _names_of_numbers(path: Path, labels: Sequence[Any]) -> str:
    """The file beside a table with a line for each of its numbers, as `classes.txt`; else empty."""
    numbers = {str(label) for label in labels}
    if not numbers or not all(number.isdecimal() for number in numbers):
        return ""
    for name in _CLASS_NAMES:
        with contextlib.suppress(OSError, ValueError):
            with (path.parent / name).open(encoding="utf-8") as file:
                lines = file.read(_MOST_NAMES).splitlines()
            if sum(bool(line.strip()) for line in lines) >= len(numbers):
                return name
    return ""


def _labelled_table(request: Request, path: Path, table: Roles, columns: Columns) -> Recognised:
    noun = "photos" if table.source == "image_table" else "texts"
    if not table.has_labels and table.source == "image_table":
        others = [
            name
            for name in columns
            if name not in table.keys.values() and not numbers_splits(name, columns[name])
        ]
        example = shell_setting("data.label_column", others[0] if len(others) == 1 else "COLUMN")
        if not others and len(columns) > 1:
            raise _splits_alone(request, path, table, columns)
        raise DataError(
            f"{display_path(path)} names photos, and no column of it has labels"
            + (f"; the others are {join_names(others, 10)}." if others else "."),
            f"Say which has: {request.line} {example}" if others else "",
        )
    if not table.has_labels:
        return _texts_alone(request, path, table, [*columns])
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


def _texts_alone(request: Request, path: Path, table: Roles, columns: Sequence[str]) -> Recognised:
    """A table of texts without labels, with the columns that are not read named.

    Raises:
        DataError: it has numbers beside the texts that cannot be read, or is of a format that
            `text_lines`, a stream, does not read.
    """
    unread = [name for name in columns if name not in table.keys.values()]
    numbers = [f"{name} has {unread.content}" for name, unread in table.unread.items()]
    are_lines = not path.name.lower().endswith((".json", *EXCEL, GZIP))
    if numbers and request.needs_labels:
        lines = shell_setting("data.text_column", table.keys["text_column"])
        alone = f" To learn from the texts alone: {request.line} data=text_lines {lines}"
        raise DataError(
            f"{display_path(path)} has texts, and no column of labels that can be read: "
            f"{'; '.join(numbers[:3])}.",
            f"{next(iter(table.unread.values())).remedy} Or name another column: {request.line} "
            "data.label_column=COLUMN." + (alone if are_lines else ""),
        )
    if not are_lines:
        raise DataError(
            f"{display_path(path)} has texts, and no column that fmkit takes for labels; it has "
            f"{join_names([*columns], 10)}.",
            f"Say which has labels: {request.line} data.label_column=COLUMN. To learn from the "
            "texts alone, save them as .csv or .jsonl.",
        )
    keys = {key: table.keys[key] for key in _LINE_KEYS if key in table.keys}
    reason = "texts without labels, one per row"
    if unread:
        verb = "is" if len(unread) == 1 else "are"
        why = "".join(f"; {number}" for number in numbers[:3])
        reason += f" ({join_names(unread, 5)} {verb} not read: if labels, data.label_column=COLUMN"
        reason += f"{why})"
    return recognised("text_lines", path, reason, **keys)


def _splits_alone(request: Request, path: Path, table: Roles, columns: Columns) -> DataError:
    """That a table of photos has nothing but their splits."""
    photo = table.keys["path_column"]
    splits = join_names([name for name in columns if name != photo])
    hint = f"Name the table with the labels, or join both by {photo}."
    if numbers_splits(splits, columns.get(splits, ())):
        hint += f" For the splits of {splits} to be kept, it has to say train, val or test."
    if labels := benchmark_list(path.parent):
        hint = f"It is read along with the table of the labels: {request.with_path(labels)}"
    return DataError(
        f"{display_path(path)} names photos and the split of each ({splits}), and no labels.", hint
    )


def _sample(request: Request, path: Path) -> tuple[Columns, dict[str, Any]]:
    """The first rows of a table, by column, and the keys of `data` by which they were read.

    The user's keys lead to the table. Others are tried where it cannot be read by the defaults: the
    encoding that its zero bytes show, without quotes, without a header.
    """
    chosen = {key: request.chosen[key] for key in _FORMAT if key in request.chosen}
    names = [request.chosen.get(key) for key in ("path_column", "text_column", "label_column")]
    required = [name for name in names if isinstance(name, str)]
    tried: dict[str, Any] = {}
    while True:
        format = chosen | tried
        encoding = str(format.get("encoding", "utf-8"))
        sheet = None if format.get("sheet") is None else str(format["sheet"])
        try:
            rows = records(
                path,
                encoding,
                quotes=format.get("quotes") is not False,
                list_key="data",
                required=required,
                header=format.get("header"),
                sheet=sheet,
            )
            first = list(itertools.islice(rows, _ROWS))
        except UnusableInput as error:
            if isinstance(error, CsvError) and "quotes" not in format:
                tried["quotes"] = False
            elif is_wide(error) and "encoding" not in format:
                tried["encoding"] = getattr(error, "likely", "")
            else:
                raise as_data_error(path, error, encoding, encoding_key="data.encoding") from None
            continue
        columns = as_columns(row.value for row in first if isinstance(row.value, dict))
        is_text = file_ending(path.name) in (*CSV, ".txt", "")
        if not is_text or required or "header" in format or not lacks_header(columns):
            return columns, format
        tried["header"] = False


def _no_rows(request: Request, path: Path) -> DataError:
    """What to raise of a table without rows that can be read: its first fault, and what to do."""
    why = ""
    try:
        rows = records(
            path,
            str(request.chosen.get("encoding", "utf-8")),
            quotes=request.chosen.get("quotes") is not False,
            list_key="data",
            header=request.chosen.get("header"),
            sheet=request.chosen.get("sheet"),
        )
        why = next((row.fault.why for row in itertools.islice(rows, _ROWS) if row.fault), "")
    except UnusableInput as error:
        why = error.why
    message = f"{display_path(path)} has no rows with names of columns{f': {why}' if why else ''}."
    is_text = bool(why) and file_ending(path.name) in (*CSV, ".txt", "")
    quoted = "Put cells that have the separator in them in double quotes, and close each quote."
    return DataError(message, quoted if is_text else "")


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


def _refuse_qualtrics(path: Path, columns: Columns) -> None:
    """Refuse an export of Qualtrics, whose second and third row say what the columns are.

    Raises:
        DataError: it is one.
    """
    first = [str(value) for values in columns.values() for value in values[:3]]
    if any(value.replace(" ", "").startswith('{"ImportId":') for value in first):
        raise DataError(
            f"{display_path(path)} has three rows of header, as Qualtrics exports: names, "
            "questions and ImportIds.",
            "Delete the second and the third row in a spreadsheet, or keep the rest as "
            f"pandas.read_csv(PATH, skiprows=[1, 2]).to_csv({path.stem + '_rows.csv'!r}, "
            "index=False) does.",
        )


def _add_image_root(table: Roles, path: Path, columns: Columns, format: Mapping[str, Any]) -> str:
    """Add the folder that the paths in a table start from, where it is one beside the table.

    Returns:
        The first path, where no folder has it.
    """
    column = table.keys["path_column"]
    names = [str(value) for value in columns[column] if value][:_PROBED]
    is_beside = any(find_file(path.parent, name, EXTENSIONS) for name in names)
    if not is_beside and folders_beside(path):  # which may have a part of the photos each
        rows = [name for name in _whole_column(path, column, format) if name]
        names += rows[:: 1 + len(rows) // _ROWS]
    folder = photo_folder(path, names)
    if folder is None and path.parent.name.lower() in _LIST_FOLDERS:
        folder = photo_folder(path.parent.parent / path.name, names)
    if folder not in (None, path.parent):
        table.keys["image_root"] = display_path(folder)
    is_found = folder or photo_search.files_of(path.parent, names, by_end=False).files
    return "" if is_found else next(iter(names), "")


def _column_of_ids(
    path: Path, columns: Columns, format: Mapping[str, Any]
) -> tuple[str | None, str]:
    """The column whose values are names of photos without their endings, here or in a folder.

    Numbers (`1`, `2`) are such names by chance, too. They count in a table without texts, if nearly
    all rows are photos of the folder, and nearly all photos of the folder are rows.

    Returns:
        The column, or none; and which numbers may be names of photos, and are not taken for them.
    """
    doubt = ""
    for column, values in columns.items():
        names = [str(value) for value in values[:_PROBED]]
        for folder in [path.parent, *folders_beside(path)]:
            files = [find_file(folder, name, EXTENSIONS) for name in names if name]
            if len(files) < len(names) or not files:
                continue
            if not all(file and is_photo(file) for file in files):
                continue
            if not all(name.isdecimal() for name in names):
                return column, ""
            texts = text_column({name: cells for name, cells in columns.items() if name != column})
            numbers = _whole_column(path, column, format) or list(map(str, values))
            if not _are_photos(folder, numbers):
                continue
            if texts is None and _are_all_photos(folder, numbers):
                return column, ""
            doubt = doubt or (
                f"the numbers in {column} are also names of photos in {display_path(folder)}: to "
                f"learn from these, data.path_column={column}"
            )
    return (None, doubt) if doubt else (_column_of_names_below(path, columns), "")


def _column_of_names_below(path: Path, columns: Columns) -> str | None:
    """The column whose values are names of photos further below, numbers only without texts."""
    cells = {
        column: [str(value) for value in values if value not in (None, "")]
        for column, values in columns.items()
    }
    below = photo_search.files_by_name(path.parent, [*itertools.chain(*cells.values())]).keys()
    for column, names in cells.items():
        if not len({*names}) == len(names) > 1 or not below >= {*names}:
            continue
        others = {name: values for name, values in columns.items() if name != column}
        if text_column(others) is None or not all(name.isdecimal() for name in names):
            return column
    return None


def _whole_column(path: Path, column: str, format: Mapping[str, Any]) -> list[str]:
    """The cells of a column in all rows; none where these cannot be read."""
    options = {key: format[key] for key in _FORMAT if key in format}
    if "sheet" in options:
        options["sheet"] = str(options["sheet"])
    with contextlib.suppress(UnusableInput):
        rows = records(path, **options, list_key="data", columns=[column])
        return [str(row.value.get(column, "")) for row in rows if isinstance(row.value, dict)]
    return []


def _are_photos(folder: Path, names: Sequence[str]) -> bool:
    """Whether nearly all names are those of photos in a folder."""
    stems = _photo_stems(folder)
    return sum(name in stems for name in names) >= _NEARLY * len(names)


def _are_all_photos(folder: Path, names: Sequence[str]) -> bool:
    """Whether names are those of nearly all photos in a folder."""
    stems = _photo_stems(folder)
    return len(stems & {*names}) >= _NEARLY * len(stems)


def _photo_stems(folder: Path) -> set[str]:
    return {entry.stem for entry in folder.iterdir() if entry.suffix.lower() in (*EXTENSIONS, "")}
