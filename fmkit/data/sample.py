"""A few texts of each class, or of each kind of entity, as a report shows them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmkit.data import tag_check
from fmkit.data.examples import Examples, Texts
from fmkit.data.sentences import Sentences
from fmkit.data.stratify import ranks

EACH, MOST_CLASSES, WIDTH = 3, 100, 200
"""Texts of a class, classes that have any, and characters of a text."""


def texts(examples: Examples) -> dict[str, list[dict[str, Any]]]:
    """By class, texts that are chosen by the hash of their ids; none of what is no text.

    Of sentences with tags, by type of entity or else by tag.
    """
    content = examples.content
    if isinstance(content, Sentences):
        return _sentences(examples, content)
    if not isinstance(content, Texts) or not examples.classes:
        return {}
    order = np.argsort(ranks(examples.ids, "sample"), kind="stable")
    chosen: dict[str, list[dict[str, Any]]] = {}
    for label in np.unique(examples.labels)[:MOST_CLASSES]:
        places = order[examples.labels[order] == label][:EACH]
        chosen[examples.classes[label]] = [_shown(examples.ids[e], content, e) for e in places]
    return chosen


def _sentences(examples: Examples, content: Sentences) -> dict[str, list[dict[str, Any]]]:
    place = np.empty(len(examples), np.int64)
    place[np.argsort(ranks(examples.ids, "sample"), kind="stable")] = np.arange(len(examples))
    chosen: dict[str, list[dict[str, Any]]] = {}
    for name, those in list(tag_check.sentences_with(examples).items())[:MOST_CLASSES]:
        first = those[np.argsort(place[those])][:EACH].tolist()
        chosen[name] = [
            {"id": one_line(examples.ids[each]), "text": one_line(content.text(each))}
            for each in first
        ]
    return chosen


def _shown(name: str, content: Texts, index: int) -> dict[str, str]:
    row = {"id": one_line(name), "text": one_line(content.texts[index])}
    if content.pairs is not None:
        row["pair"] = one_line(content.pairs[index])
    return row


def one_line(text: str) -> str:
    """The beginning of a text in printable characters; others as Python writes them."""
    cut = text if len(text) <= WIDTH else f"{text[: WIDTH - 4]} ..."
    return "".join(e if e.isprintable() else e.encode("unicode_escape").decode() for e in cut)
