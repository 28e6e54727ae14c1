"""Classes in the names of photos: `cat.0.jpg`, `Abyssinian_12.jpg`."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fmkit.core.errors import join_names
from fmkit.core.files import display_path

_NAME = re.compile(r"(.*[^\W\d_])[\W_]*\d+")
_NEARLY = 0.9


def table_hint(folder: Path, photos: Sequence[Path]) -> str:
    """How a table is made of the classes that names of photos begin with; empty without classes.

    Args:
        photos: directly in the folder.
    """
    matches = [match for path in photos if (match := _NAME.fullmatch(path.stem))]
    counts = Counter(match[1] for match in matches)
    if len(matches) < _NEARLY * len(photos) or len(counts) < 2 or min(counts.values()) < 2:
        return ""
    shown = display_path(folder)
    ending = Counter(path.suffix for path in photos).most_common(1)[0][0]
    code = (
        f"import csv, pathlib, re; photos = sorted(pathlib.Path({shown!r}).glob('*{ending}')); "
        f"csv.writer(open({f'{shown}/labels.csv'!r}, 'w')).writerows([('path', 'label')] + "
        r"[(p.name, re.sub(r'[\W_]*\d+\Z', '', p.stem)) for p in photos])"
    )
    return (
        f"Their names begin with {join_names(sorted(counts), 5)}. If these are the classes, write "
        f'a table of them, {shown}/labels.csv, with\n  python -c "{code}"\n'
        f"and name {shown} again. Otherwise:\n"
    )
