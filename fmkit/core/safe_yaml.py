"""Strict YAML: no tags that run code, no alias bombs, no surprising numbers, errors with positions.

YAML lets a file of 500 bytes expand to a billion values, a text name code to run, and `012` mean
ten. Neither a config nor the record of a run needs that, so a file that has it is refused.
"""

import contextlib
import itertools
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
"""Bytes of a file; PyYAML takes up to a second for so many. A config has a few thousand."""

MAX_NODES = 10_000
"""Values of a file; an alias counts as all values that it expands to."""

MAX_DEPTH = 100
"""Levels of nested mappings and lists."""

CODE_KEYS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
"""Keys of `hydra.utils.instantiate`, which calls the code that a config names."""

_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_PLAIN_REASONS = {
    "but found another document": "a second document starts here (`---`); a config is one",
    "'\\t' that cannot start": "there is a tab here; indent with spaces",
}
"""Reasons of PyYAML that are obscure, by a part of them."""
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_PLAIN_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")


@dataclass
class Document:
    """A YAML file that was read. It is cached and shared, so treat it as read-only.

    Attributes:
        tree: its top mapping, with positions; None where the file has problems.
        text: the whole file, empty where it could not be read.
        problems: all problems, each with `file:line`.
    """

    tree: yaml.MappingNode | None = None
    text: str = ""
    problems: list[str] = field(default_factory=list)


class _YamlProblem(Exception):
    """Ends the reading of a file: a message, and the position."""

    def __init__(self, message: str, mark: yaml.Mark | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mark = mark


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with `1e-3` as a number, without dates, within our limits."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # by id of a node: values that it expands to
        self._count = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise _YamlProblem(f"the alias *{event.anchor} contains itself", mark)
            self._grow(self._sizes[id(node)], mark)
            return node
        if event.tag is not None:
            # PyYAML expands the tag `!!x` to `tag:yaml.org,2002:x`.
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _YamlProblem(f"the tag {short_repr(tag)} is not allowed; remove it", mark)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _YamlProblem(f"nested more than {MAX_DEPTH} levels deep", mark)
        before = self._count
        self._grow(1, mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._sizes[id(node)] = self._count - before
        return node

    def _grow(self, count: int, mark: yaml.Mark) -> None:
        self._count += count
        if self._count > MAX_NODES:
            raise _YamlProblem(f"the file expands to more than {MAX_NODES:,} values", mark)


# Numbers and dates are resolved as OmegaConf does, which reads the same files after us.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(?:_[0-9]+)*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)
_Loader.yaml_implicit_resolvers = {
    first: [row for row in rows if row[0] != "tag:yaml.org,2002:timestamp"]
    for first, rows in _Loader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> Document:
    """Read a file that must be one mapping.

    Nothing in it is executed, and it takes at most some tenths of a second.
    """
    try:
        text = _text(path)
    except _YamlProblem as error:
        return Document(problems=[f"{sanitize.escape_invisible(path)}{error.message}"])
    return _parse(path, text)


@lru_cache(maxsize=64)  # one command reads the same file some four times
def _parse(path: Path, text: str) -> Document:
    try:
        tree = _Loader(text).get_single_node()
    except yaml.YAMLError as error:
        return Document(text=text, problems=[_syntax_message(path, text, error)])
    except _YamlProblem as error:
        return Document(text=text, problems=[f"{_position(path, error.mark)}: {error.message}."])
    if not isinstance(tree, yaml.MappingNode):
        problem = "is empty" if tree is None else f"is a {_kind(tree)}"
        message = f"the file {problem}. It must be a mapping of keys to values."
        return Document(text=text, problems=[f"{sanitize.escape_invisible(path)}:1: {message}"])
    try:
        problems = list(_problems(tree, path))
    except _YamlProblem as error:
        problems = [f"{_position(path, error.mark)}: {error.message}."]
    return Document(None if problems else tree, text, problems)


def value(node: yaml.Node) -> Any:
    """The Python value of a node.

    Raises:
        yaml.YAMLError: a text is tagged as a number and is not one.
    """
    return _Loader("").construct_document(node)


def leaves(content: bytes) -> dict[str, Any]:
    """The values of a file by dotted key, ten times as fast as `read` and `value`.

    For lists of many configs, which were checked when they were written. Nothing is expanded: an
    alias stands for itself. Of a file that is not YAML there is what comes before that.
    """
    events = yaml.parse(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    values: dict[str, Any] = {}

    def add(key: str, event: yaml.Event) -> None:
        before, prefix = len(values), f"{key}." if key else ""
        if isinstance(event, yaml.MappingStartEvent):
            while not isinstance(name := next(events), yaml.MappingEndEvent):
                add(f"{prefix}{getattr(name, 'value', '?')}", next(events))
            if len(values) == before and key:
                values[key] = {}
        elif isinstance(event, yaml.SequenceStartEvent):
            items = itertools.count()
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                add(f"{prefix}{next(items)}", item)
            if len(values) == before and key:
                values[key] = []
        elif isinstance(event, yaml.ScalarEvent):
            values[key] = _plain(event.value) if event.implicit[0] else event.value
        elif isinstance(event, yaml.AliasEvent):
            values[key] = f"*{event.anchor}"

    with contextlib.suppress(yaml.YAMLError, RecursionError, StopIteration):
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                add("", event)
                break
    return values


@lru_cache(maxsize=4096)  # configs have the same values over and over
def _plain(text: str) -> Any:
    """The value of a scalar without quotes."""
    tag = _Loader("").resolve(yaml.ScalarNode, text, (True, False))
    try:
        return value(yaml.ScalarNode(tag, text))
    except (yaml.YAMLError, ValueError):
        return text


def code_problem(key: str) -> str:
    """Why a key that makes Hydra run code is refused; empty for every other key."""
    if key not in CODE_KEYS:
        return ""
    return (
        f"the key {key} is refused: it names code to call, and fmkit calls no code that a config "
        "names. Models, data and tasks have names, such as model=resnet50."
    )


def _text(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe could block forever
            raise _YamlProblem(": this is not a file.")
        if status.st_size > MAX_BYTES:
            size = f"{status.st_size:,} bytes; at most {MAX_BYTES:,} are read"
            raise _YamlProblem(f": too large to be a config ({size}).")
        content = path.read_bytes()
    except OSError as error:
        raise _YamlProblem(f": it cannot be read: {error.strerror}.") from error
    for mark, name in _ENCODINGS.items():
        if content.startswith(mark):
            first_byte = f"byte 0x{content[0]:02x} at offset 0"
            raise _YamlProblem(f" is not UTF-8 but {name} ({first_byte}). Save it as UTF-8.")
    if content.startswith(b"\xef\xbb\xbf"):
        raise _YamlProblem(
            " starts with a byte order mark (byte 0xef at offset 0). Save it as UTF-8 without."
        )
    if b"\0" in content:
        raise _YamlProblem(f": there is a NUL byte at offset {content.index(0)}. This is not text.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        bad_byte = f"byte 0x{content[error.start]:02x} at offset {error.start}"
        raise _YamlProblem(f" is not UTF-8 ({bad_byte}). Save it as UTF-8.") from error


def _kind(node: yaml.Node) -> str:
    return type(node).__name__.removesuffix("Node").lower()


def _position(path: Path, mark: yaml.Mark | None) -> str:
    line_column = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
    return f"{sanitize.escape_invisible(path)}{line_column}"


def _syntax_message(path: Path, text: str, error: yaml.YAMLError) -> str:
    """A syntax error in one sentence, with the line and a caret under the column."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        column = len(before) - before.rfind("\n") - 1
        mark: Any = yaml.Mark("", 0, before.count("\n"), column, None, 0)
        reason = f"the control character {chr(int(error.character))!r}"
    else:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reason = str(getattr(error, "problem", "") or error).splitlines()[0]
        for obscure, plain in _PLAIN_REASONS.items():
            reason = plain if obscure in reason else reason
    message = f"{_position(path, mark)}: this is not YAML: {reason}."
    if mark is None:
        return message
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)  # as PyYAML counts them
    line = lines[mark.line] if mark.line < len(lines) else ""
    start = max(0, mark.column - 50)
    part = sanitize.INVISIBLE.sub(" ", line[start : start + 80])
    return f"{message}\n    {part}\n    {' ' * (mark.column - start)}^"


def _problems(tree: yaml.MappingNode, path: Path) -> Iterator[str]:
    """The problems with keys and values of a file that is well-formed YAML."""
    pending: list[yaml.Node] = [tree]
    visited: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in visited:  # by an alias
            continue
        visited.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield from _scalar_problems(node, path)
        elif isinstance(node, yaml.SequenceNode):
            pending.extend(reversed(node.value))
        elif isinstance(node, yaml.MappingNode):
            _merge(node)
            yield from _key_problems(node, path)
            pending.extend(child for _, child in reversed(node.value))


def _merge(node: yaml.MappingNode) -> None:
    """Replace `<<` by the keys of the mappings that it merges; the mapping's own keys win."""
    if not any(key.tag == _MERGE for key, _ in node.value):
        return
    own_keys = {key.value for key, _ in node.value if key.tag != _MERGE}
    merged = yaml.MappingNode(node.tag, [row for row in node.value if row[0].tag == _MERGE])
    try:
        _Loader("").flatten_mapping(merged)
    except yaml.MarkedYAMLError as error:
        raise _YamlProblem(
            f"`<<` merges mappings only: {error.problem}", node.start_mark
        ) from error
    rows = {key.value: (key, child) for key, child in merged.value if key.value not in own_keys}
    node.value = [*rows.values(), *(row for row in node.value if row[0].tag != _MERGE)]


def _key_problems(node: yaml.MappingNode, path: Path) -> Iterator[str]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        position, line = _position(path, key.start_mark), key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield f"{position}: a key must be a name, not a {_kind(key)}."
            continue
        if key.tag != _TEXT:
            read_as = "nothing" if value(key) is None else f"the value {value(key)!r}"
            yield f"{position}: YAML reads the key {key.value!r} as {read_as}. Write it in quotes."
        problem = sanitize.text_problem("key", key.value) or code_problem(key.value)
        if problem:
            yield f"{position}: {problem}"
        if key.value in lines:
            yield f"{position}: duplicate key {key.value!r}, first in line {lines[key.value]}."
        lines[key.value] = line


def _scalar_problems(node: yaml.ScalarNode, path: Path) -> Iterator[str]:
    position = _position(path, node.start_mark)
    problem = sanitize.text_problem("value", node.value)
    if problem:
        yield f"{position}: {problem}"
        return
    if node.tag == "tag:yaml.org,2002:int" and not _PLAIN_INTEGER.fullmatch(node.value):
        read_as = short_repr(value(node))
        yield (
            f"{position}: YAML reads {short_repr(node.value)} as {read_as}. Write the number, or "
            "quote it."
        )
    elif node.tag.endswith((":int", ":float")) and len(node.value) > 40:
        yield f"{position}: a number of {len(node.value)} characters; at most 40 are allowed."
    elif node.tag == "tag:yaml.org,2002:float" and ":" in node.value:
        read_as = short_repr(value(node))
        yield f"{position}: YAML reads {node.value!r} as {read_as}. Write the number, or quote it."
    elif node.tag == "tag:yaml.org,2002:value":
        yield f"{position}: `=` is special in YAML. Write it in quotes."
