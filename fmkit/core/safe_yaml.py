"""YAML that is read as what it seems: no code, no bombs, no traps, and every error has its place.

YAML lets a file of 500 bytes stand for a billion values, a text name code to run, and `012` mean
ten. None of that belongs in a config or in the record of a run, so a file that has it is refused.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from fmkit.core import sanitize
from fmkit.core.errors import short_repr

MAX_BYTES = 256 * 1024
"""Bytes of a file; PyYAML takes up to a second for as many. A config has some thousand."""

MAX_NODES = 10_000
"""Values of a file, each alias counted as all that it stands for."""

MAX_DEPTH = 100
"""Mappings and lists inside each other."""

CODE_KEYS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
"""Keys by which Hydra calls what a config names."""

_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_PLAIN_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")


@dataclass
class Document:
    """A file, read; whoever gets it leaves it as it is.

    Attributes:
        tree: its mapping, with every place; None where the file could not be read as one.
        text: the whole file, empty where it could not be read.
        problems: all that is wrong, each with `file:line`.
    """

    tree: yaml.MappingNode | None = None
    text: str = ""
    problems: list[str] = field(default_factory=list)


class _Refused(Exception):
    """What ends the reading of a file: a message, and where."""

    def __init__(self, message: str, mark: yaml.Mark | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mark = mark


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with `1e-3` as a number, without dates, within our limits."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # by node, how many values it stands for
        self._count = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise _Refused(f"the alias *{event.anchor} stands inside what it stands for", mark)
            self._grow(self._sizes[id(node)], mark)
            return node
        if event.tag is not None:
            # PyYAML writes the tag `!!x` out as `tag:yaml.org,2002:x`.
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _Refused(
                f"the tag {short_repr(tag)} is not allowed: values have no tags here", mark
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Refused(f"more than {MAX_DEPTH} levels inside each other", mark)
        before = self._count
        self._grow(1, mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._sizes[id(node)] = self._count - before
        return node

    def _grow(self, by: int, mark: yaml.Mark) -> None:
        self._count += by
        if self._count > MAX_NODES:
            raise _Refused(f"it stands for more than {MAX_NODES:,} values", mark)


def _configure() -> None:
    """Numbers and dates as OmegaConf reads them, which reads the same files after us."""
    number = r"[-+]?[0-9]+(?:_[0-9]+)*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)"
    _Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(f"^(?:{number})$"), list("-+0123456789.")
    )
    _Loader.yaml_implicit_resolvers = {
        first: [row for row in rows if row[0] != "tag:yaml.org,2002:timestamp"]
        for first, rows in _Loader.yaml_implicit_resolvers.items()
    }


_configure()


def read(path: Path) -> Document:
    """Read a file whose whole must be one mapping.

    Nothing in it is run, and it takes at most some tenths of a second.
    """
    try:
        text = _text(path)
    except _Refused as error:
        return Document(problems=[f"{sanitize.escape_invisible(path)}{error.message}"])
    return _parsed(path, text)


@lru_cache(maxsize=64)  # one command asks for the same file some four times
def _parsed(path: Path, text: str) -> Document:
    try:
        tree = _Loader(text).get_single_node()
    except yaml.YAMLError as error:
        return Document(text=text, problems=[_syntax(path, text, error)])
    except _Refused as error:
        return Document(text=text, problems=[f"{_place(path, error.mark)}: {error.message}."])
    if not isinstance(tree, yaml.MappingNode):
        what = "is empty" if tree is None else f"is a {_kind(tree)}"
        where = f"{sanitize.escape_invisible(path)}:1"
        told = f"{where}: it {what}. A file must be a mapping of keys to values."
        return Document(text=text, problems=[told])
    try:
        problems = list(_problems(tree, path))
    except _Refused as error:
        problems = [f"{_place(path, error.mark)}: {error.message}."]
    return Document(None if problems else tree, text, problems)


def value(node: yaml.Node) -> Any:
    """What a node of a read file stands for, as Python values.

    Raises:
        yaml.YAMLError: a text that is no number was written as one.
    """
    return _Loader("").construct_document(node)


def code_problem(key: str) -> str:
    """Why a key is refused by which Hydra would run code; empty for every other key."""
    if key not in CODE_KEYS:
        return ""
    return (
        f"the key {key} is refused: it names code to be called, and fmkit calls nothing that a "
        "config names. Models, data and tasks go by their names, such as model=resnet50."
    )


def _text(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise _Refused(": this is not a file.")
        if status.st_size > MAX_BYTES:
            size = f"{status.st_size:,} bytes; at most {MAX_BYTES:,} are read"
            raise _Refused(f": too large to be a config ({size}).")
        content = path.read_bytes()
    except OSError as error:
        raise _Refused(f": it cannot be read: {error.strerror}.") from error
    for mark, name in _ENCODINGS.items():
        if content.startswith(mark):
            first = f"byte 0x{content[0]:02x} at offset 0"
            raise _Refused(f" is not UTF-8 but {name} ({first}). Save it as UTF-8.")
    if content.startswith(b"\xef\xbb\xbf"):
        raise _Refused(
            " starts with a byte order mark (byte 0xef at offset 0). Save it as UTF-8 without."
        )
    if b"\0" in content:
        raise _Refused(f": there is a NUL byte at offset {content.index(0)}. This is no text.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = f"byte 0x{content[error.start]:02x} at offset {error.start}"
        raise _Refused(f" is not UTF-8 ({bad}). Save it as UTF-8.") from error


def _kind(node: yaml.Node) -> str:
    return type(node).__name__.removesuffix("Node").lower()


def _place(path: Path, mark: yaml.Mark | None) -> str:
    where = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
    return f"{sanitize.escape_invisible(path)}{where}"


def _syntax(path: Path, text: str, error: yaml.YAMLError) -> str:
    """A syntax error in one sentence, with the line and a caret under the column."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        column = len(before) - before.rfind("\n") - 1
        mark: Any = yaml.Mark("", 0, before.count("\n"), column, None, 0)
        reason = f"the control character {chr(int(error.character))!r}"
    else:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reason = _worded(str(getattr(error, "problem", "") or error).splitlines()[0])
    told = f"{_place(path, mark)}: this is not YAML: {reason}."
    return f"{told}\n{_caret(text, mark)}" if mark is not None else told


def _worded(reason: str) -> str:
    """PyYAML's reason in plain words where its own are obscure."""
    if "but found another document" in reason:
        return "a second document starts here (`---`); a config is one"
    if "'\\t' that cannot start" in reason:
        return "a tab stands here; indent with spaces"
    return reason


def _caret(text: str, mark: yaml.Mark) -> str:
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)  # as PyYAML counts them
    line = lines[mark.line] if mark.line < len(lines) else ""
    start = max(0, mark.column - 50)
    part = sanitize.CHARACTERS.sub(" ", line[start : start + 80])
    return f"    {part}\n    {' ' * (mark.column - start)}^"


def _problems(tree: yaml.MappingNode, path: Path) -> Iterator[str]:
    """What is wrong with the keys and values of a file that is well-formed YAML."""
    todo: list[yaml.Node] = [tree]
    seen: set[int] = set()
    while todo:
        node = todo.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield from _scalar_problems(node, path)
        elif isinstance(node, yaml.SequenceNode):
            todo.extend(reversed(node.value))
        elif isinstance(node, yaml.MappingNode):
            _merge(node)
            yield from _key_problems(node, path)
            todo.extend(each for _, each in reversed(node.value))


def _merge(node: yaml.MappingNode) -> None:
    """Put what `<<` merges into a mapping where it stands, the mapping's own keys winning."""
    if not any(key.tag == _MERGE for key, _ in node.value):
        return
    own = {key.value for key, _ in node.value if key.tag != _MERGE}
    merged = yaml.MappingNode(node.tag, [row for row in node.value if row[0].tag == _MERGE])
    try:
        _Loader("").flatten_mapping(merged)
    except yaml.MarkedYAMLError as error:
        raise _Refused(f"`<<` merges mappings only: {error.problem}", node.start_mark) from error
    rows = {key.value: (key, each) for key, each in merged.value if key.value not in own}
    node.value = [*rows.values(), *(row for row in node.value if row[0].tag != _MERGE)]


def _key_problems(node: yaml.MappingNode, path: Path) -> Iterator[str]:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        where, line = _place(path, key.start_mark), key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield f"{where}: a key must be a name, not a {_kind(key)}."
            continue
        if key.tag != _TEXT:
            read_as = "nothing" if value(key) is None else f"the value {value(key)!r}"
            yield f"{where}: YAML reads the key {key.value!r} as {read_as}. Write it in quotes."
        wrong = sanitize.text_problem("key", key.value) or code_problem(key.value)
        if wrong:
            yield f"{where}: {wrong}"
        if key.value in seen:
            before = seen[key.value]
            yield f"{where}: the key {key.value!r} is here again, after line {before}."
        seen[key.value] = line


def _scalar_problems(node: yaml.ScalarNode, path: Path) -> Iterator[str]:
    where = _place(path, node.start_mark)
    wrong = sanitize.text_problem("value", node.value)
    if wrong:
        yield f"{where}: {wrong}"
        return
    if node.tag == "tag:yaml.org,2002:int" and not _PLAIN_INTEGER.fullmatch(node.value):
        found = short_repr(value(node))
        yield (
            f"{where}: YAML reads {short_repr(node.value)} as {found}. Write the number, or "
            "quote it."
        )
    elif node.tag.endswith((":int", ":float")) and len(node.value) > 40:
        yield f"{where}: a number of {len(node.value)} characters."
    elif node.tag == "tag:yaml.org,2002:float" and ":" in node.value:
        found = short_repr(value(node))
        yield f"{where}: YAML reads {node.value!r} as {found}. Write the number, or quote it."
    elif node.tag == "tag:yaml.org,2002:value":
        yield f"{where}: YAML has a meaning of its own for `=`. Write it in quotes."
