"""What a path holds, by looking at it: the data source that reads it, and the keys it needs.

`fmkit finetune photos` names a path and nothing else. Names of files are listed, and the first rows
of one table are read; no photo is opened.
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fmkit.config.saved_config import shell_setting
from fmkit.core.errors import ConfigError, DataError, join_names, plural
from fmkit.core.files import display_path, is_ignored
from fmkit.data.formats.benchmark_lists import benchmark_list, is_benchmark_list
from fmkit.data.formats.tables import ENDINGS as TABLES
from fmkit.data.formats.tables import SHOWN_ENDINGS
from fmkit.data.formats.text_files import guess_encoding
from fmkit.data.images.image_file import EXTENSIONS, is_photo
from fmkit.data.recognition.arrays import recognise_arrays
from fmkit.data.recognition.joined_tables import refuse_tables_to_join
from fmkit.data.recognition.labelled_lines import (
    refuse_fasttext,
    refuse_labelled_lines,
    rename_hint,
)
from fmkit.data.recognition.mailboxes import refuse_mailboxes
from fmkit.data.recognition.named_files import refuse_table_per_class, table_hint
from fmkit.data.recognition.result import Recognised, Request, recognised
from fmkit.data.recognition.tables import recognise_table
from fmkit.data.recognition.tagged_files import recognise_tagged
from fmkit.data.sources import conll, text_folder
from fmkit.data.sources.detection_layouts import refuse_detection
from fmkit.data.sources.directory import is_documentation
from fmkit.data.sources.split_folders import subfolders
from fmkit.data.sources.table_files import is_submission, table_splits
from fmkit.data.sources.text_folder import ENDINGS as TEXTS
from fmkit.data.split_names import are_parts, split_of, splits_in
from fmkit.store import run_dir

_ARRAYS = (".npz",)
_TAGGED = tuple(ending for ending in conll.ENDINGS if ending not in (*TEXTS, *TABLES))
_FILES = (*TABLES, *_ARRAYS, *_TAGGED)
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".rar", ".7z")
_TAKE_TABLES = ("image_table", "text_table", "token_table")
_TAKE_FOLDERS = ("chat", "preferences", "squad", "conll", "text_lines")
_TAG = re.compile(r"O|[BIESLU]-\S+|[A-Z]{1,5}\$?|[.,:`'()$#\"-]{1,3}|-[LR]RB-")
_LINES = "text_lines"
_USUAL_ENDING = re.compile(r"\.[a-z0-9]{1,5}")
_PHOTO_AND_CLASS = re.compile(
    rf"\S+({'|'.join(map(re.escape, EXTENSIONS))})[ ,;]\S+", re.IGNORECASE
)
_HEAD = 2**14  # bytes of a text that are looked at
_PROBED, _MAX_FILES, _MAX_CLASS_FILES = 200, 20_000, 30


def recognise(request: Request, path: Path) -> Recognised:
    """What is at a path that exists.

    Raises:
        ConfigError: it cannot be told what the data set is.
        DataError: it is not a data set, or has no labels.
    """
    return _folder(request, path) if path.is_dir() else _file(request, path)


def _file(request: Request, path: Path) -> Recognised:
    name, shown = path.name.lower(), display_path(path)
    if is_benchmark_list(path):
        return _benchmark(request, path)
    if is_photo(path):
        predict = f"fmkit predict run=last {shell_setting('input', shown)}"
        raise DataError(
            f"{shown} is one photo, and a model learns from many.",
            f"Name the folder of them. To predict it: {predict}",
        )
    refuse_mailboxes([path])
    if name.endswith(_ARCHIVES):
        raise DataError(f"{shown} is an archive.", "Extract it, and name the folder.")
    if name.endswith(_ARRAYS):
        return recognise_arrays(request, path)
    is_tagged = name.endswith((*TEXTS, ".tsv", *conll.SPLIT_ENDINGS)) and _is_tagged(path)
    if name.endswith(_TAGGED) or is_tagged:
        return recognise_tagged(request, path, _first_lines(path, keep_empty=True))
    if name.endswith((*TEXTS, ".tsv")) or not path.suffix:
        refuse_labelled_lines(path, _first_lines(path), request.line)
        format = _row_format(path)
        if format is not None:
            with_format = replace(request, chosen={**format, **request.chosen})
            result = recognise_table(with_format, path)
            if result.settings["data"] != _LINES or path.suffix == ".tsv":
                return result
    if name.endswith(TEXTS):
        encoding = _wide_encoding(path)
        keys = {"encoding": encoding} if encoding else {}
        return recognised(_LINES, path, "texts without labels, one per line", **keys)
    refuse_fasttext(path, _first_lines(path))
    if not name.endswith(_FILES):
        endings = ", ".join([*_ARRAYS, *TEXTS, *_TAGGED])
        raise DataError(
            f"{shown} is not a data set that fmkit reads.",
            f"{rename_hint(_first_lines(path))}It reads a folder of photos or texts, or a file "
            f"whose name ends in {endings}, {SHOWN_ENDINGS}.",
        )
    return recognise_table(request, path)


def _benchmark(request: Request, path: Path) -> Recognised:
    """A public data set whose lists belong together by an id."""
    result = recognise_table(request, path)
    result.reason += f" with splits ({path.name} and the lists beside it)"
    return result


@dataclass
class _Contents:
    """The files below a folder: those directly in it, and how many of each ending are deeper."""

    folders: list[Path]
    loose: list[Path]
    nested: Counter[str]

    def loose_photos(self) -> list[Path]:
        return [path for path in self.loose if is_photo(path)]

    def loose_of(self, endings: tuple[str, ...]) -> list[Path]:
        return [path for path in self.loose if path.name.lower().endswith(endings)]

    def nested_of(self, endings: Sequence[str]) -> int:
        return sum(self.nested[ending] for ending in endings)

    def are_parts(self) -> bool:
        """Whether the folders are hardly classes, by their names."""
        return are_parts([path.name for path in self.folders])


def _contents(folder: Path, follows_links: bool = False) -> _Contents:
    result, count, seen = _Contents([], [], Counter()), 0, {os.path.realpath(folder)}
    for parent, names, files in os.walk(folder, followlinks=follows_links):
        names[:] = sorted(
            name
            for name in names
            if not (is_ignored(name) or run_dir.is_output(Path(parent, name)))
            and not (follows_links and os.path.realpath(Path(parent, name)) in seen)
        )
        seen.update(os.path.realpath(Path(parent, name)) for name in names if follows_links)
        files = sorted(name for name in files if not is_ignored(name))
        if Path(parent) == folder:
            result.folders = [folder / name for name in names]
            result.loose = [folder / name for name in files]
        else:
            result.nested.update(_ending(Path(parent, name)) for name in files)
        count += len(files)
        if count > _MAX_FILES:
            break
    return result


def _ending(path: Path) -> str:
    """The ending of a name in lower case, of a photo without a usual one that of JPEG."""
    ending = path.suffix.lower()
    return EXTENSIONS[0] if ending not in EXTENSIONS and is_photo(path) else ending


def _folder(request: Request, folder: Path) -> Recognised:
    if path := benchmark_list(folder):
        return _benchmark(request, path)
    follows_links = request.chosen.get("outside_links") is True
    contents, shown = _contents(folder, follows_links), display_path(folder)
    tables = contents.loose_of(_FILES)
    photos = contents.loose_photos()
    texts = [path for path in contents.loose_of(TEXTS) if not is_documentation(path)]
    if not (tables or photos or texts) and len(contents.folders) == 1:
        return _folder(request, contents.folders[0])  # as archives extract: photos/photos/...
    if photos or contents.nested_of(EXTENSIONS):
        return _photos(request, folder, contents)
    if tables:
        return _data_files(request, folder, tables)
    if contents.nested_of(TEXTS):
        return recognised("text_folder", folder, "texts in a folder for each class")
    if texts:
        return _texts(request, folder, texts)
    if tagged := [*filter(_is_tagged, contents.loose_of(conll.SPLIT_ENDINGS))]:
        return recognise_tagged(request, folder, _first_lines(tagged[0], keep_empty=True))
    if nested := contents.nested_of(_FILES):
        return _nested_files(request, folder, nested)
    if len(contents.folders) > 1 and not contents.loose:
        files = [path for inner in contents.folders for path in _contents(inner).loose]
        if text_folder.are_texts(list(map(str, files))):
            return recognised("text_folder", folder, "texts in a folder for each class")
    refuse_mailboxes(contents.loose)
    endings = Counter(path.suffix.lower() for path in contents.loose) + contents.nested
    usual = Counter[str]()
    for ending, count in endings.items():
        usual[ending if _USUAL_ENDING.fullmatch(ending) else "without a usual ending"] += count
    listed = join_names([f"{count} {ending}" for ending, count in usual.items()], 5)
    has = f"it has {listed}" if listed else "it is empty"
    hint = ""
    if links := [path.name for path in contents.folders if path.is_symlink()]:
        has = f"it has links to folders, which are not followed: {join_names(links, 3)}"
        hint = f"If you made them: {request.line} data.outside_links=true"
    elif ".lnk" in endings:
        hint = "A .lnk is a shortcut of Windows: copy the folders that it leads to."
    raise DataError(f"{shown} has no photos, texts or tables that fmkit reads; {has}.", hint)


def _photos(request: Request, folder: Path, contents: _Contents) -> Recognised:
    if request.needs_labels and not contents.loose_of(TABLES):
        refuse_detection(folder)
    tables, unread = _photo_tables(request, contents)
    if result := _table_of_photos(request, folder, contents, tables):
        return result
    loose, nested = len(contents.loose_photos()), contents.nested_of(EXTENSIONS)
    reasons = "; ".join(f"{path.name} not read{why}" for path, why in [*unread.items()][:3])
    note = f" ({reasons})" if reasons else ""
    are_classes = request.looks_for_labels or not contents.are_parts()
    if nested and len(contents.folders) > 1 and are_classes:
        return recognised("image_folder", folder, f"photos in a folder for each class{note}")
    named = table_hint(folder, contents.loose_photos())
    if request.needs_labels:
        shown = display_path(folder)
        raise DataError(
            f"{shown} has {plural(loose + nested, 'photo')} and nothing that says what is in "
            f"them{note}.",
            f"{named}Put the photos of each class into a folder named after it, or add a table "
            f"with a column of file names and one of labels. Without labels: fmkit pretrain {shown}"
            + "".join(f". To learn from {path.name}: name that file." for path in [*unread][:1]),
        )
    if named and not note:
        note = f" (if their names say what is in them: fmkit finetune {display_path(folder)})"
    return recognised("photos", folder, f"photos without labels{note}")


def _photo_tables(
    request: Request, contents: _Contents
) -> tuple[dict[Path, Recognised], dict[Path, str]]:
    """The tables in a folder that name photos, that of training first; and why others do not.

    Raises:
        ConfigError: the user has named the labels, which the only table does not have.
        DataError: likewise.
    """
    tables = contents.loose_of(TABLES)
    results, unread = {}, {}
    are_held_out = not any("train" in splits_in(table.name) for table in tables)
    has_class_folders = are_held_out and any(
        split_of(folder.name) == "train" and len(subfolders(folder)) > 1
        for folder in contents.folders
    )
    for table in sorted(tables, key=lambda path: split_of(path.name) != "train"):
        learn = f"To learn from it: {request.with_path(table)}"
        if is_submission(table.name):
            unread[table] = ", since it shows how answers are handed in"
            continue
        if has_class_folders and splits_in(table.name):
            unread[table] = " as a table of all photos, since training has class folders"
            continue
        try:
            result = recognise_table(request, table)
        except (ConfigError, DataError) as error:  # notes, or a question about its columns
            if len(tables) == 1 and not {"label_column", "label_columns"}.isdisjoint(
                request.chosen
            ):
                raise
            is_question = "data.label_column" in error.hint
            if is_question and request.looks_for_labels and contents.are_parts():
                raise
            why = error.message.removeprefix(f"{display_path(table)}: ").removeprefix(f"{table}: ")
            why = why.rstrip(".")
            unread[table] = f": {why}. {error.hint if is_question else learn}".rstrip(". ")
            continue
        if result.settings["data"] == "image_table":
            results[table] = result
        else:
            unread[table] = f", since it does not name photos. {learn}"
    return results, unread


def _table_of_photos(
    request: Request, folder: Path, contents: _Contents, results: dict[Path, Recognised]
) -> Recognised | None:
    """The tables of splits, or the first table whose photos exist, or the only one of photos.

    Args:
        results: of the tables in the folder that name photos.

    Raises:
        DataError: several tables name photos, and those of none exist.
    """
    if len(contents.folders) > 1 and all(split_of(path.name) for path in contents.folders):
        tables = [path for inner in contents.folders for path in _contents(inner).loose_of(TABLES)]
        if len({path.parent for path in tables}) > 1:
            return _splits(request, folder, tables)
    complete = [table for table, result in results.items() if not result.missing]
    splits = {table: split for table in results if (split := split_of(table.name))}
    if complete and len({*splits.values()}) > 1 and splits.get(complete[0]) == "train":
        return _splits(request, folder, [*splits])
    if not complete and len(results) > 1:
        names = join_names([path.name for path in results], 5)
        missing = next(iter(results.values())).missing
        raise DataError(
            f"{display_path(folder)} has {len(results)} tables that name photos ({names}), and "
            f"their photos are not there, such as {missing}.",
            "Name the table to learn from, and the folder that its paths start from: "
            f"{request.line} data.image_root=FOLDER",
        )
    for table in [*complete, *results][:1]:
        others = [path.name for path in results if path != table]
        results[table].reason += f" ({join_names(others, 3)} not read)" if others else ""
        return results[table]
    return None


def _splits(request: Request, folder: Path, tables: Sequence[Path]) -> Recognised:
    """Tables of which each is a split, or a part of one, as the one of training is."""
    names = [path.relative_to(folder).as_posix() for path in tables]
    splits = table_splits(folder, names)
    result = _file(request, tables[splits.index("train")] if "train" in splits else tables[0])
    result.settings["data.root"] = display_path(folder)
    result.reason += f" for each split ({join_names(names, 4)})" if any(splits) else ""
    return result


def _data_files(request: Request, folder: Path, files: Sequence[Path]) -> Recognised:
    """A folder of tables or records: the only one, or all where the source reads a folder."""
    files = [path for path in files if not is_submission(path.name)] or list(files)
    first = next((path for path in files if split_of(path.name) == "train"), files[0])
    if len(files) == 1:
        return _file(request, first)
    try:
        result = _file(request, first)
    except ConfigError:
        refuse_tables_to_join(folder, files)
        raise
    source = result.settings["data"]
    if source == _LINES:  # texts without labels, which another table may have
        refuse_tables_to_join(folder, files)
        if request.looks_for_labels:
            refuse_table_per_class(request, folder, files)
    if source in _TAKE_TABLES:
        with contextlib.suppress(DataError):
            return _splits(request, folder, files)
    if source not in _TAKE_FOLDERS:
        names = join_names([path.name for path in files], 5)
        raise ConfigError(
            f"{display_path(folder)} has {len(files)} tables: {names}.",
            f"Name the one to learn from: {request.with_path(first)}",
        )
    result.settings["data.root"] = display_path(folder)
    return result


def _nested_files(request: Request, folder: Path, count: int) -> Recognised:
    """Tables in folders of a folder: splits, as `data/train-00000-of-00001.parquet`, or one."""
    files = [path for path in sorted(folder.rglob("*")) if path.name.lower().endswith(_FILES)]
    files = [path for path in files if not any(map(is_ignored, path.relative_to(folder).parts))]
    if len(files) == 1:
        return _file(request, files[0])
    if files and all(path.name.lower().endswith(TABLES) for path in files):
        with contextlib.suppress(DataError):
            return _splits(request, folder, files)
    raise DataError(
        f"{display_path(folder)} has {plural(count, 'file')} with data in folders of its own.",
        f"Name the one to learn from, or its folder: {request.line}",
    )


def _texts(request: Request, folder: Path, texts: Sequence[Path]) -> Recognised:
    """Text files directly in a folder: tagged words, a file for each class, or documents."""
    refuse_labelled_lines(texts[0], _first_lines(texts[0]), request.line)
    if all(map(_is_tagged, texts[:3])):
        return recognise_tagged(request, folder, _first_lines(texts[0], keep_empty=True))
    names = [path.stem for path in texts]
    if all(map(split_of, names)):
        return recognised("text_lines", folder, "texts without labels, one per line")
    few = 1 < len(texts) <= _MAX_CLASS_FILES and not any(re.search(r"\d", name) for name in names)
    if few and all(len(_first_lines(path)) > 1 for path in texts):
        return recognised("text_folder", folder, "a file for each class, with a text per line")
    named, shown, note = table_hint(folder, texts, are_texts=True), display_path(folder), ""
    if named and request.needs_labels:
        raise DataError(
            f"{shown} has {plural(len(texts), 'text')}, and nothing but their names says what "
            "they are.",
            f"{named}Without labels: fmkit pretrain {shown}",
        )
    if named:
        note = f" (if their names say what they are: fmkit finetune {shown})"
    return recognised("text_files", folder, f"documents without labels{note}")


def _is_tagged(path: Path) -> bool:
    """Whether lines have a word and its tag, and empty lines are between sentences."""
    lines = _first_lines(path, keep_empty=True)
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if len(rows) < 2 or len(rows) == len(lines) or len({len(row) for row in rows}) > 2:
        return False
    tags = sum(len(row) > 1 and _TAG.fullmatch(row[-1]) is not None for row in rows)
    return tags >= 0.9 * len(rows)


def _row_format(path: Path) -> dict[str, Any] | None:
    """Keys of `data` by which the lines of a text are rows of a table; None where they are not.

    They are where all have as many tabs, or a photo and its class, as ImageNet's lists have. With
    a quote that is never closed in a line of its own, quotes mean nothing.
    """
    lines = [line.rstrip("\r") for line in _first_lines(path)]
    tabs = {line.count("\t") for line in lines}
    if len(lines) < 2:
        return None
    if all(map(_PHOTO_AND_CLASS.fullmatch, lines)):
        return {"header": False}
    if len(tabs) > 1 or tabs == {0}:
        return None
    begin_quotes = [line for line in lines if line.startswith('"') or '\t"' in line]
    return {"quotes": False} if any(line.count('"') % 2 for line in begin_quotes) else {}


def _wide_encoding(path: Path) -> str:
    """UTF-16 or UTF-32, where a text has it; else empty."""
    try:
        with path.open("rb") as file:
            content = file.read(_HEAD)
    except OSError:
        return ""
    return guess_encoding(content) if b"\0" in content else ""


def _first_lines(path: Path, keep_empty: bool = False) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(_HEAD)
    except OSError:
        return []
    text = content.decode(_wide_encoding(path) or "utf-8-sig", "replace").removeprefix("\ufeff")
    lines = text.split("\n")
    if len(content) == _HEAD and len(lines) > 1:
        del lines[-1]  # a part of one
    return [line for line in lines[:_PROBED] if keep_empty or line.strip()]
