"""`fmkit guide`: list the pages of the guide, and show one on the terminal."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fmkit.commands.output import json_output
from fmkit.core import console
from fmkit.core.errors import ConfigError, received

_WIDTH = 100  # longer lines of prose are hard to read


@dataclass(frozen=True)
class Page:
    """One page: its title, and its first sentence."""

    path: Path
    title: str
    summary: str


def pages() -> dict[str, Page]:
    """The pages by name, as a user types it."""
    by_name = {}
    for path in sorted((Path(__file__).parents[1] / "guide").glob("*.md")):
        title, *rest = path.read_text(encoding="utf-8").strip().split("\n\n")
        first_paragraph = " ".join(rest[0].split()) if rest else ""
        sentence = re.match(r".*?[.!?](?=\s|$)", first_paragraph)
        summary = sentence[0] if sentence else first_paragraph
        by_name[path.stem] = Page(path, title.lstrip("# ").strip(), summary)
    return by_name


def guide(arguments: Sequence[str]) -> None:
    """Run `fmkit guide [TOPIC]`.

    Raises:
        ConfigError: there is no such page, or more than one was named.
    """
    if len(arguments) > 1:
        raise ConfigError(received("fmkit guide", " ".join(arguments), "one page"))
    if arguments:
        show(arguments[0])
        return
    by_name = pages()
    rows = [{"name": name, **vars(page)} for name, page in by_name.items()]
    json_output.show("guide", {"pages": rows}, lambda: _print_list(by_name))


def _print_list(by_name: Mapping[str, Page]) -> None:
    width = max(len(name) for name in by_name) + 2
    for name, page in by_name.items():
        console.stdout.print(f"{name:{width}}{console.escape_markup(page.summary)}")
    console.stdout.print("\nfmkit guide TOPIC shows a page.")


def show(name: str) -> None:
    """Print a page: rendered on a terminal, else as it is written.

    Raises:
        ConfigError: there is no such page.
    """
    by_name = pages()
    page = by_name.get(name.removesuffix(".md").lower())
    if page is None:
        raise ConfigError(received("fmkit guide", name, list(by_name)))
    text = page.path.read_text(encoding="utf-8")
    content = {"name": page.path.stem, **vars(page), "text": text}
    json_output.show("guide_page", content, lambda: _print_page(text))


def _print_page(text: str) -> None:
    if not console.stdout.is_terminal:
        console.write_stdout(text)
        return
    from rich.markdown import Markdown

    width = min(_WIDTH, console.stdout.width)
    console.stdout.print(Markdown(text), soft_wrap=False, width=width)
