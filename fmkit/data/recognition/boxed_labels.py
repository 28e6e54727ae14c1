"""Labels that are boxes in photos, as CreateML writes them: refused, with the way to classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.core.errors import DataError
from fmkit.core.files import display_path
from fmkit.data.sources.label_readers import is_box

_CONVERSION = (
    "import json, csv; csv.writer(open('labels.csv', 'w')).writerows([('path', 'label')] + "
    "[(r['{path}'], '|'.join(sorted({{b['label'] for b in r['{label}']}}))) "
    "for r in json.load(open('FILE'))])"
)


def refuse_boxes(path: Path, columns: Mapping[str, Sequence[Any]], photos: str) -> None:
    """Refuse a table of photos with a list of boxes for each.

    Args:
        path: of the table.
        columns: its first rows.
        photos: the column with the names of photos; empty: there is none.

    Raises:
        DataError: a column has boxes.
    """
    for name, cells in columns.items():
        boxes = [box for cell in cells if isinstance(cell, list) for box in cell]
        if not boxes or not all(map(is_box, boxes)):
            continue
        hint = "To learn which classes are in a photo, make a table of photos and classes."
        if photos and all(isinstance(box.get("label"), str) for box in boxes):
            command = _CONVERSION.format(path=photos, label=name)
            hint = (
                "To learn which classes are in a photo, make a table of them, labels.csv, with\n"
                f'  python -c "{command}"\nand learn from it with task=multi_label'
            )
        raise DataError(
            f"{display_path(path)} has boxes in {name!r}, and fmkit does not detect objects yet.",
            hint,
        )
