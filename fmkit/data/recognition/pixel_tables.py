"""Tables with a column for each pixel, as MNIST is passed on: refused, with what to do."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from fmkit.core.errors import DataError
from fmkit.core.files import display_path
from fmkit.data.formats.parquet_table import PARQUET
from fmkit.data.formats.text_files import file_ending
from fmkit.data.recognition.column_values import Columns, filled

_PIXEL = re.compile(r"(pixel|pix|px|p|x|column)?[ _-]?\d+([x_]\d+)?", re.IGNORECASE)
_LEVEL = re.compile(r"\d{1,3}(\.0*)?")
_FEWEST = 49  # pixels of a photo
_LEVELS = re.compile(r"\d+")
_PIXELS = re.compile(rf"\[?\s*\d{{1,3}}(?:[ ,]\s*\d{{1,3}}){{{_FEWEST - 1},}}\s*\]?")
_PROBED = 5  # cells that are looked at
_LABELS = ("label", "class", "target", "emotion")
_SEPARATORS = {".tsv": ', sep="\\t"'}


def refuse_pixels(path: Path, columns: Columns, has_header: bool) -> None:
    """Refuse a table with a number from 0 to 255 in a column for each pixel.

    Raises:
        DataError: it is such a table, with the lines that save it as an `.npz`.
    """
    pixels = [
        name for name, values in columns.items() if _PIXEL.fullmatch(name) and _are_levels(values)
    ]
    others = [name for name in columns if name not in pixels]
    if not (has_header or others or _shape(len(pixels))):
        others, pixels = pixels[:1], pixels[1:]  # the class comes first
    if len(pixels) < _FEWEST or len(others) > len(pixels):
        return
    shape = _shape(len(pixels)) or "HEIGHT, WIDTH"
    raise DataError(
        f"{display_path(path)} has the pixels of photos, {len(pixels):,} columns such as "
        f"{pixels[0]}, and fmkit reads photos as files or as arrays.",
        _save_arrays(path, others, shape, has_header),
    )


def refuse_pixel_texts(path: Path, columns: Columns) -> None:
    """Refuse a table with all pixels of a photo in one cell, as `70 80 82 ...`.

    Raises:
        DataError: it is such a table, with the lines that save it as an `.npz`.
    """
    for name, values in columns.items():
        cells = [str(value) for value in filled(values)]
        counts = {len(_LEVELS.findall(cell)) for cell in cells[:_PROBED]}
        if not cells or not all(map(_PIXELS.fullmatch, cells[:_PROBED])) or len(counts) > 1:
            continue
        (count,) = counts
        others = [other for other in columns if other != name]
        usual = [other for other in others if other.strip().lower() in _LABELS]
        raise DataError(
            f"{display_path(path)} has the pixels of photos as text, {count:,} numbers a cell of "
            f"{name}, and fmkit reads photos as files or as arrays.",
            _save_cells(path, name, [*usual, *others][:1], _shape(count) or "HEIGHT, WIDTH"),
        )


def _save_cells(path: Path, name: str, label: list[str], shape: str) -> str:
    """The lines that save a column with the pixels of a photo in each cell as an `.npz`."""
    ending = file_ending(path.name)
    reader = "read_parquet" if ending in PARQUET else "read_csv"
    labels = f", labels=table[{label[0]!r}].to_numpy()" if label else ""
    target = Path(path.name).with_suffix(".npz").name
    return f"""Save them once as arrays, and learn from these:
import numpy, pandas, re
table = pandas.{reader}({path.name!r}{_SEPARATORS.get(ending, "")})
pixels = [re.findall(r"\\d+", str(cell)) for cell in table[{name!r}]]
images = numpy.array(pixels, "uint8").reshape(-1, {shape})
numpy.savez({target!r}, images=images{labels})"""


def _are_levels(values: Sequence[object]) -> bool:
    """Whether values are levels of grey, 0 to 255."""
    texts = [str(value) for value in values]
    return all(_LEVEL.fullmatch(text) and float(text) <= 255 for text in texts)


def _shape(count: int) -> str | None:
    """The shape of a square photo with so many pixels, grey or in colour; None for others."""
    for channels in ("", ", 3"):
        side = math.isqrt(count // (3 if channels else 1))
        if side * side * (3 if channels else 1) == count:
            return f"{side}, {side}{channels}"
    return None


def _save_arrays(path: Path, others: list[str], shape: str, has_header: bool) -> str:
    """The lines that save a table of pixels as an `.npz`."""
    ending = file_ending(path.name)
    reader = "read_parquet" if ending in PARQUET else "read_csv"
    options = _SEPARATORS.get(ending, "") + ("" if has_header else ", header=None")
    names: list[object] = [*others]
    if not has_header:
        names = [int(name.rpartition("_")[2]) - 1 for name in others]  # of `column_1` and so on
    usual = [name for name in names if str(name).strip().lower() in ("label", "class", "target")]
    label = [*usual, *names][:1]
    labels = f", labels=table[{label[0]!r}].to_numpy()" if label else ""
    target = Path(path.name).with_suffix(".npz").name
    return f"""Save them once as arrays, and learn from these:
import numpy, pandas
table = pandas.{reader}({path.name!r}{options})
images = table.drop(columns={names}).to_numpy("uint8").reshape(-1, {shape})
numpy.savez({target!r}, images=images{labels})"""
