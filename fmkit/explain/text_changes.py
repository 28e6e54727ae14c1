"""The fewest words of a text that turn the answer, left out or replaced by others.

W words of a text, N sets of edits, K outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmkit.core.errors import join_names, plural
from fmkit.explain.answers import Answers
from fmkit.explain.counterfactual import smallest_change
from fmkit.explain.marked_words import MarkedText
from fmkit.explain.methods import Request, Result
from fmkit.explain.smallest_change import Parts
from fmkit.explain.text_network import TextNetwork, Texts
from fmkit.explain.text_words import TextWords, find_words
from fmkit.explain.texts import readable, show, texts_of, word_row
from fmkit.explain.word_replacements import Vocabulary, vocabulary

WORDS = 10
"""Most words of a text that are left out or replaced to turn an answer."""
_REPLACED = 25
"""Words of a text in whose place others are tried: those whose removal costs the answer most."""


@dataclass(frozen=True)
class Edit:
    """What becomes of a word: another one takes its place, or None: it is left out.

    `cost` orders edits that turn the answer alike: 0 for a removal, more the less alike words are.
    """

    position: int
    new: str | None = None
    cost: float = 0.0


class _Outputs:
    """Outputs of a text after sets of edits; those that were asked for are kept."""

    def __init__(self, network: TextNetwork, words: TextWords) -> None:
        self._network, self._words = network, words
        self._known: dict[Texts, np.ndarray] = {}

    def __call__(self, sets: Sequence[Sequence[Edit]]) -> np.ndarray:
        """(N, K)."""
        texts = [self._words.edited({edit.position: edit.new for edit in one}) for one in sets]
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._network.outputs(new), strict=True))
        return np.stack([self._known[text] for text in texts])


def explain(request: Request) -> Result:
    """The fewest words of each text without which, or with others for which, the answer is another.

    Words are replaced, by those of the training data that speak for another answer (see
    `word_replacements`), only where that takes fewer words than leaving some out.
    """
    network = TextNetwork.of_run(request.trained, request.config.batch_size)
    answers = Answers.of_run(request.trained)
    result = Result(columns=request.columns("text", change="smallest change"))
    known: Vocabulary | str = ""
    if request.config.replace_words:
        known = vocabulary(request.trained, network, request.config.runtime)
        if isinstance(known, str):
            result.notes.append(f"words are left out, not replaced: {known}")
    texts_marked: list[MarkedText] = []
    for number, row in readable(request, result):
        words = find_words(texts_of(request.inputs, number))
        outputs = _Outputs(network, words)
        edits = [Edit(position) for position in np.flatnonzero(network.read(words)).tolist()]
        chosen, figures = _fewest(answers, outputs, edits, WORDS, request.target)
        limit = len(chosen) - 1 if figures["turned"] else WORDS
        if isinstance(known, Vocabulary) and edits and limit:
            edits = [*edits, *_replacements(request, answers, outputs, edits, words, known)]
            fewer, others = _fewest(answers, outputs, edits, limit, request.target)
            if others["turned"]:
                chosen, figures = fewer, others
        row |= request.truth(number) | figures | _row(words, chosen)
        row["change"] = f"no change of up to {plural(WORDS, 'word')} turned it"
        if row["turned"]:
            row["change"] = f"{_in_words(words, chosen)}: {row['becomes']}"
        made = chosen if row["turned"] else ()
        texts_marked.append(
            MarkedText(
                row["id"], f"{answers.sentence(row)}; {row['change']}", words,
                np.zeros(len(words)), [edit.position for edit in made],
                replaced={edit.position: edit.new for edit in made if edit.new is not None},
            )
        )  # fmt: skip
    show(request, result, texts_marked)
    return result


def _fewest(
    answers: Answers, outputs: _Outputs, edits: Sequence[Edit], most: int, target: int | None
) -> tuple[list[Edit], dict[str, Any]]:
    """The fewest of some edits that turn the answer, in their order, and the answer of them."""

    def of_sets(sets: Sequence[Parts]) -> np.ndarray:
        return outputs([[edits[part] for part in sorted(one)] for one in sets])

    groups, costs = [edit.position for edit in edits], [edit.cost for edit in edits]
    change, figures = smallest_change(answers, of_sets, len(edits), most, target, groups, costs)
    chosen = [edits[part] for part in change.parts]
    return sorted(chosen, key=lambda edit: edit.position), figures


def _replacements(
    request: Request, answers: Answers, outputs: _Outputs, removals: Sequence[Edit],
    words: TextWords, known: Vocabulary,
) -> list[Edit]:  # fmt: skip
    """Other words in the place of those whose removal costs the answer most."""
    first, target = outputs([[]])[0], request.target
    if answers.kind == "classes" and target == int(first.argmax()):
        target = None
    margins = answers.margins(outputs([[edit] for edit in removals]), first, target)
    wanted, names = _wanted(answers.kind, first, target), words.names()
    order = [removals[k].position for k in np.argsort(margins, kind="stable").tolist()]
    replaced = [k for k in order if any(map(str.isalpha, names[k]))][:_REPLACED]
    return [
        Edit(position, new.word, 1.0 - new.similarity)
        for position in replaced
        for new in known.replacements(names[position], wanted)
    ]


def _wanted(kind: str, first: np.ndarray, target: int | None) -> list[tuple[int, int]]:
    """The outputs that words are to speak for (1) or against (-1), by those of the text, (K,)."""
    if kind == "sets":
        label = int(first.argmax()) if target is None else target
        return [(label, -1 if first[label] > 0 else 1)]
    if target is not None:
        return [(target, 1)]
    runner_up = int(np.argsort(-first, kind="stable")[1])
    return [(runner_up, 1), (int(first.argmax()), -1)]


def _row(words: TextWords, edits: Sequence[Edit]) -> dict[str, Any]:
    """Edits and the text with them, for JSON."""
    rows = [{**word_row(words, edit.position), "replacement": edit.new} for edit in edits]
    return {
        "removed": [word_row(words, edit.position) for edit in edits if edit.new is None],
        "edits": rows,
        "texts": list(words.texts),
        "changed_texts": list(words.edited({edit.position: edit.new for edit in edits})),
    }


def _in_words(words: TextWords, edits: Sequence[Edit]) -> str:
    """Edits as a phrase: `with 'bad' for 'good', without 'not'`."""
    names = words.names()
    replaced = [f"{edit.new!r} for {names[edit.position]!r}" for edit in edits if edit.new]
    removed = " ".join(names[edit.position] for edit in edits if edit.new is None)
    parts = [f"with {join_names(replaced)}"] if replaced else []
    return ", ".join([*parts, *([f"without {removed!r}"] if removed else [])])
