"""Cells of tables: typed ones as text, and lists that were written out as text as lists again."""

import ast
import json
import re
import warnings
from typing import Any

from fmkit.data.formats.text_files import decode

EXCEL_ERRORS = (
    "#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!",
)  # fmt: skip
"""What Excel shows in place of a value that it cannot compute: nothing to learn from."""

_BRACKETS = {"[": "]", "{": "}", "(": ")", "array(": ")"}
_CLOSING = tuple(_BRACKETS.values())
_LONGEST = 2**20  # characters of a cell that is parsed: an array of NumPy is elided far earlier
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ARRAY = re.compile(rf"\[\s*(?:(?:{_QUOTED})(?:\s+(?:{_QUOTED}))+|{_NUMBER}(?:\s+{_NUMBER})+)\s*\]")
"""A list as NumPy writes it, without commas; Python would join its texts."""
_ENTRY = re.compile(rf"{_QUOTED}|{_NUMBER}")


def cell_text(cell: object, encoding: str) -> str:
    """A cell of a typed table as text, without white space around it; null and NaN are empty.

    A list or an object becomes JSON, which `parse_cell` reads.

    Raises:
        BadEncoding: it is bytes in another encoding.
    """
    if isinstance(cell, str):
        return cell.strip()
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, list | tuple | dict):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return (decode(cell, encoding) if isinstance(cell, bytes) else str(cell)).strip()


def parse_cell(cell: Any) -> Any:
    """The list or object that a text is, as JSON, Python, pandas or NumPy write it; else the cell.

    `["a", "b"]`, `['a', 'b']`, `('a',)`, `['a' 'b']`, `{'text': array(['a'], dtype=object)}`.
    """
    if not isinstance(cell, str) or len(cell) > _LONGEST:
        return cell
    text = cell.strip()
    if text[-1:] not in _CLOSING:  # as nearly all cells
        return cell
    if not any(text.startswith(start) and text.endswith(end) for start, end in _BRACKETS.items()):
        return cell
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    with_commas = _ARRAY.sub(lambda match: f"[{','.join(_ENTRY.findall(match[0]))}]", text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes such as "\\d" in texts
            return _value(ast.parse(with_commas, mode="eval").body)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return cell


def _value(node: ast.AST) -> Any:
    """The value of an expression that has only lists, objects and constants; else a ValueError."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_value(entry) for entry in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {str(_value(key)): _value(value) for key, value in pairs if key is not None}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "array":
        return _value(node.args[0]) if node.args else []
    if isinstance(node, ast.Name) and node.id == "nan":
        return None
    return ast.literal_eval(node)
