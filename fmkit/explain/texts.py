"""Explanations of texts: how much each word speaks for an answer.

N texts or pairs, n tokens, W words of one, K outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from fmkit.core import registry
from fmkit.core.errors import plural
from fmkit.evaluation.load_run import LoadedRun
from fmkit.evaluation.progress import Progress
from fmkit.explain import word_attributions, word_checks, word_page
from fmkit.explain.answers import Answers
from fmkit.explain.check_sentences import sentences
from fmkit.explain.marked_words import MarkedText
from fmkit.explain.methods import Request, Result
from fmkit.explain.text_network import TextNetwork, Texts
from fmkit.explain.text_words import TextWords, find_words
from fmkit.explain.word_attributions import TOLERANCE, Attributions
from fmkit.explain.word_checks import ScoredText

_UNCHECKED = "check: no text has two words or more, whose order could be checked."


def explain(request: Request) -> Result:
    """Attributions of the words of each text, by one of the methods that give them."""
    network = TextNetwork.of_run(request.trained, request.config.batch_size)
    compute = registry.load(request.entry.compute)
    answers, result = (
        Answers.of_run(request.trained),
        Result(columns=request.columns("text", target="explained")),
    )
    texts_marked: list[MarkedText] = []
    scored: list[ScoredText] = []
    for number, row in readable(request, result):
        texts = texts_of(request.inputs, number)
        outputs = network.outputs([texts])
        target = int(answers.targets(outputs, request.target)[0])
        words = find_words(texts)
        is_read = network.read(words)
        made: Attributions = compute(network, words, target)
        row |= answers.row(outputs[0], target) | request.truth(number)
        row |= _attributions_row(words, is_read, made)
        sides = ("raises it", "lowers it") if answers.kind == "numbers" else ("for", "against")
        about = answers.sentence(row)
        texts_marked.append(MarkedText(row["id"], about, words, made.scores, sides=sides))
        scored.append(ScoredText(words, is_read, target, made.scores))
    result.notes = _notes(result.rows, network.max_length)
    if request.config.check:
        result.check = word_checks.evaluate(request, network, scored, compute)
        result.notes += sentences(result.check, "words", "scores") if result.check else [_UNCHECKED]
    show(request, result, texts_marked)
    return result


def integrated_gradients(network: TextNetwork, words: TextWords, target: int) -> Attributions:
    """Of the score of an output; see `word_attributions`."""
    tokens, owners = network.tokens(words)
    return word_attributions.integrated_gradients(
        network.model, tokens, owners, len(words), _score(target)
    )


def embedding_problem(trained: LoadedRun) -> str:
    """Why integrated gradients cannot explain a run of texts; empty where they can."""
    return word_attributions.embedding_problem(trained.model)


def occlusion(network: TextNetwork, words: TextWords, target: int) -> Attributions:
    """Of the score of an output; see `word_attributions`."""
    return word_attributions.occlusion(words, network.read(words), network.outputs, _score(target))


def _score(target: int) -> Callable[[Any], Any]:
    """The output that is explained: a logit or a number."""
    return lambda outputs: ops.convert_to_tensor(outputs)[:, target]


def readable(request: Request, result: Result) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbers and new rows of the texts that can be read; the others get a row with their error."""
    verbose = request.config.runtime.verbose
    with Progress("explain", "texts", len(request.ids), verbose=verbose) as progress:
        for number, name in enumerate(request.ids):
            row: dict[str, Any] = {"id": name}
            result.rows.append(row)
            if error := request.inputs.errors[number]:
                row["error"] = error
            else:
                yield number, row
            progress.advance(1)


def texts_of(inputs: Any, number: int) -> Texts:
    """A text of `TextInputs`, or a pair."""
    content = inputs.texts
    pair = () if content.pairs is None else (content.pairs[number],)
    return (content.texts[number], *pair)


def word_row(words: TextWords, position: int) -> dict[str, Any]:
    """A word and its place, for JSON."""
    word = words.words[position]
    return {
        "word": words.names()[position], "text": word.text, "begin": word.begin, "end": word.end
    }  # fmt: skip


def _attributions_row(words: TextWords, is_read: np.ndarray, made: Attributions) -> dict[str, Any]:
    """Texts, words with their places and scores, and how exact the scores are, for JSON."""
    figures: dict[str, Any] = {}
    if made.total is not None:
        figures = {"score_change": made.total, "steps": made.steps,
                   "completeness_error": made.error}  # fmt: skip
    rows = [
        {**word_row(words, k), "score": float(score), "read": bool(read)}
        for k, (score, read) in enumerate(zip(made.scores, is_read, strict=True))
    ]
    return {"texts": list(words.texts), **figures, "words": rows}


def _notes(rows: Sequence[dict[str, Any]], max_length: int) -> list[str]:
    notes = []
    cut = sum(any(not word["read"] for word in row.get("words", ())) for row in rows)
    if cut:
        notes.append(
            f"{plural(cut, 'text is', 'texts are')} longer than the {max_length} tokens that the "
            "model reads: what is beyond them has no score."
        )
    errors = [row["completeness_error"] for row in rows if row.get("completeness_error")]
    if errors and max(errors) > TOLERANCE:
        notes.append(
            f"the scores of a text should add up to its score_change; they do with an error of up "
            f"to {max(errors):.0%}."
        )
    return notes


def show(request: Request, result: Result, texts: Sequence[MarkedText]) -> None:
    """The texts with their marks, for the terminal and as a page."""
    result.blocks = [text.as_rich() for text in texts]
    if request.folder is not None and texts:
        word_page.write(request.folder, f"Explanations: {request.entry.title}", texts)
