"""A text whose words are marked by how much they speak for or against an answer, or as left out.

W words.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape
from rich.text import Text

from fmkit.core import sanitize
from fmkit.explain.text_words import TextWords

LEVELS = 3
"""Strengths that can be told apart; the strongest word of a text has the highest."""
_LEAST = 0.1  # of the largest score: what is below is not marked
_FOR = ("black on #c9efc9", "black on #8fdc8f", "bold black on #4fc34f")
_AGAINST = ("black on #ffdcd6", "black on #ffb0a3", "bold black on #ff7f6b")
"""Of a terminal, by strength."""
_LISTED = 8  # words of a list

STYLE = """
mark[class] { color: inherit; font-weight: inherit; text-decoration: underline;
  text-underline-offset: .22em; text-decoration-skip-ink: none; }
mark.for1, mark.for2, mark.for3 { text-decoration-color: var(--good); }
mark.against1, mark.against2, mark.against3 { text-decoration-color: var(--bad);
  text-decoration-style: dashed; }
mark.for1, mark.against1 { text-decoration-thickness: 1px; }
mark.for2, mark.against2 { text-decoration-thickness: 2px; }
mark.for3, mark.against3 { text-decoration-thickness: 4px; }
mark.for3 { background: color-mix(in srgb, var(--good) 16%, transparent); }
mark.against3 { background: color-mix(in srgb, var(--bad) 16%, transparent); }
del { color: var(--bad); }
ins { color: var(--good); }
"""
"""What `as_html` looks like, in a page that has the colours `--good` and `--bad`."""


@dataclass(frozen=True)
class Piece:
    """A part of a text: a word that is marked, or what is between such words.

    Attributes:
        text: as it stands.
        score: of the word; 0 where it is not marked.
        level: 1 to `LEVELS`, below 0 where the word speaks against the answer; 0: not marked.
        is_removed: whether the word was left out.
        is_inserted: whether it is not in the text, and took the place of the word before it.
    """

    text: str
    score: float = 0.0
    level: int = 0
    is_removed: bool = False
    is_inserted: bool = False


@dataclass(frozen=True)
class MarkedText:
    """A text or a pair with its explanation.

    Attributes:
        name: of the text.
        about: the answer, and what is explained, in words.
        words: of the text.
        scores: of the words, (W,); 0 of those that are not read.
        removed: positions of words that were left out.
        sides: what words with scores above and below 0 do.
        replaced: by positions of `removed`, the words in their places.
    """

    name: str
    about: str
    words: TextWords
    scores: np.ndarray
    removed: Collection[int] = ()
    sides: tuple[str, str] = ("for", "against")
    replaced: Mapping[int, str] = field(default_factory=dict)

    def pieces(self, longest: int | None = None) -> list[Piece]:
        """The text in pieces, a blank line between the two of a pair.

        Args:
            longest: characters after which it is cut, with an ellipsis.
        """
        shown: list[Piece] = []
        room = longest
        for piece in self._pieces():
            if room is not None and len(piece.text) > room:
                is_marked = piece.level or piece.is_removed or piece.is_inserted
                return [*shown, Piece(f"{'' if is_marked else piece.text[:room]} …")]
            room = None if room is None else room - len(piece.text)
            shown.append(piece)
        return shown

    def _pieces(self) -> Iterator[Piece]:
        levels = strengths(self.scores)
        for number, text in enumerate(self.words.texts):
            if number:
                yield Piece("\n\n")
            own = [(k, word) for k, word in enumerate(self.words.words) if word.text == number]
            removed = iter([k for k, _ in own if k in self.removed])
            for piece in split(text, [
                (word.begin, word.end, float(self.scores[k]), int(levels[k]), k in self.removed)
                for k, word in own
            ]):  # fmt: skip
                yield piece
                if piece.is_removed and (new := self.replaced.get(next(removed))):
                    yield Piece(new, is_inserted=True)

    def strongest(self, sign: int) -> list[tuple[str, float]]:
        """Marked words that speak for (1) or against (-1) the answer, the strongest first."""
        names, levels = self.words.names(), strengths(self.scores)
        order = np.argsort(-sign * self.scores, kind="stable")
        chosen = [k for k in order if sign * levels[k] > 0][:_LISTED]
        return [(names[k], float(self.scores[k])) for k in chosen]

    def lists(self) -> list[str]:
        """What the marks say, in lines: the strongest words with their scores."""
        lines = []
        for title, sign in zip(self.sides, (1, -1), strict=True):
            if words := self.strongest(sign):
                listed = ", ".join(f"{word} {score:+.3g}" for word, score in words)
                lines.append(f"{title}: {listed}")
        return lines

    def as_rich(self, longest: int = 2000) -> Text:
        """For a terminal; words that were left out are in `[- -]` and those in their place in
        `{+ +}`, too, as `git diff --word-diff` has them."""
        shown = Text()
        shown.append(sanitize.escape_invisible(self.name), style="bold")
        shown.append(f"  {sanitize.escape_invisible(self.about)}\n")
        for piece in self.pieces(longest):
            text = sanitize.escape_invisible(piece.text, keep="\n\t")
            if piece.is_removed:
                shown.append(f"[-{text}-]", style="red strike")
            elif piece.is_inserted:
                shown.append(f"{{+{text}+}}", style="green")
            else:
                styles = _FOR if piece.level > 0 else _AGAINST
                shown.append(text, style=styles[abs(piece.level) - 1] if piece.level else None)
        for line in self.lists():
            shown.append(f"\n  {sanitize.escape_invisible(line)}")
        return shown


def split(text: str, marks: Iterable[tuple[int, int, float, int, bool]]) -> Iterator[Piece]:
    """A text in pieces.

    Args:
        text: the text.
        marks: begin, end, score, level, and whether it was left out, of words in their order.
    """
    end = 0
    for begin, after, score, level, is_removed in marks:
        if not (level or is_removed) or after > len(text):
            continue
        if begin > end:
            yield Piece(text[end:begin])
        yield Piece(text[begin:after], score, level, is_removed)
        end = after
    if end < len(text):
        yield Piece(text[end:])


def strengths(scores: np.ndarray) -> np.ndarray:
    """Levels of scores, (W,) int: from -3 to 3, by their share of the largest one."""
    largest = np.abs(scores).max(initial=0.0)
    if not largest > 0:
        return np.zeros(len(scores), np.int64)
    shares = np.abs(scores) / largest
    levels = np.where(shares < _LEAST, 0, np.minimum(1 + np.floor(shares * LEVELS), LEVELS))
    return np.asarray(np.sign(scores) * levels, np.int64)


def as_html(pieces: Sequence[Piece]) -> Markup:
    """Pieces as HTML, every text escaped: `mark` of the classes `for1` to `against3`, `del`, `ins`.

    What these look like is in the page: a line below the word, solid for and dashed against the
    answer, the thicker the stronger.
    """
    parts: list[Markup] = []
    for piece in pieces:
        text = escape(sanitize.escape_invisible(piece.text, keep="\n\t"))
        if piece.is_removed:
            parts.append(Markup("<del>{}</del>").format(text))
        elif piece.is_inserted:
            parts.append(Markup(" <ins>{}</ins>").format(text))
        elif piece.level:
            name = f"{'for' if piece.level > 0 else 'against'}{abs(piece.level)}"
            mark = Markup('<mark class="{}" title="{}">{}</mark>')
            parts.append(mark.format(name, f"{piece.score:+.3g}", text))
        else:
            parts.append(text)
    return Markup("").join(parts)
