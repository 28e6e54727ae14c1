"""Sentences tagged by a trained model: judged by tags that are known, or predicted.

M rows of tokens, W words of all sentences, T tokens of a row, K tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from fmkit.core.errors import ConfigError, NonFiniteError
from fmkit.data.content import tags
from fmkit.data.content.tags import OUTSIDE_NAME, Tags
from fmkit.data.content.word_sequences import Sentences
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.data.loaders import token_rows
from fmkit.data.loaders.text_loader import TextLoader, TokenRows, padded_length
from fmkit.data.loaders.token_rows import Encoded
from fmkit.data.predict_inputs import TextInputs
from fmkit.evaluation import entity_metrics
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult
from fmkit.evaluation.load_run import LoadedRun
from fmkit.models.tokenizers import word_alignment
from fmkit.tasks.token_classification.task import WORD
from fmkit.train.task_model import TaskModel


@dataclass(frozen=True)
class _Tagged:
    """What a model says of sentences.

    Attributes:
        sentences: positions of the sentences in the data set, rising.
        lengths: words of each.
        best: the tag of each word, (W,); `O`, or -1 where no tag is called so, of a word that is no
            token of the vocabulary.
        confidence: its probability, (W,); NaN of such a word.
        true: probability of the tag that is known, (W,); NaN where none is.
    """

    sentences: np.ndarray
    lengths: np.ndarray
    best: np.ndarray
    confidence: np.ndarray
    true: np.ndarray


def evaluate(question: EvaluationInputs) -> EvaluationResult:
    """Figures of tags and entities, and a row a word.

    Raises:
        NonFiniteError: the model's outputs are not finite.
    """
    content = question.examples.content
    known = content.source.annotations if isinstance(content, Encoded) else None
    if not isinstance(content, Encoded) or not isinstance(known, Tags):
        raise TypeError("rows of sentences with tags are expected")
    names = known.names
    found = _tagged(question.learner, question.loader, question.indices, content, names)
    truth = np.concatenate([np.zeros(0, np.int32), *(known.values[e] for e in found.sentences)])
    figures = entity_metrics.compute_metrics(
        truth, found.best, found.true, found.lengths, names, question.bootstrap, question.seed
    )
    columns = _places(content.source, found)
    columns["label"] = [names[each] for each in truth]
    return figures, {**columns, **_predicted(found, names)}


def _places(source: Examples, found: _Tagged) -> dict[str, Any]:
    """Which word each row is of: its sentence, its number there from 0, and itself."""
    words: Any = source.content
    if not isinstance(words, Sentences):
        raise TypeError("sentences are expected")
    return {
        "id": [source.ids[at] for at, n in zip(found.sentences, found.lengths, strict=True)
               for _ in range(n)],
        "place": [place for n in found.lengths for place in range(n)],
        "word": [each for at in found.sentences for each in words.words[at]],
    }  # fmt: skip


def _predicted(found: _Tagged, names: Sequence[str]) -> dict[str, Any]:
    return {
        "prediction": [names[each] if each >= 0 else None for each in found.best],
        "confidence": found.confidence,
    }


def _tagged(
    learner: TaskModel, loader: Any, indices: np.ndarray, content: Encoded, names: Sequence[str]
) -> _Tagged:
    """Tag the words of some rows.

    Raises:
        NonFiniteError: the outputs are not finite.
    """
    sentences = np.unique(content.origin[indices])
    words: Any = content.source.content
    lengths = np.array([len(words.words[each]) for each in sentences], np.int64)
    before = np.cumsum(lengths) - lengths  # words ahead of each sentence
    count = int(lengths.sum())
    outside = names.index(OUTSIDE_NAME) if OUTSIDE_NAME in names else -1
    best = np.full(count, outside, np.int64)
    confidence, true = np.full(count, np.nan), np.full(count, np.nan)
    for part in _alike(indices, content, _BATCHES * loader.ordered_batch_size):
        logits = np.asarray(learner.predict(loader.ordered(part), verbose=0), np.float32)
        rows = zip(content.origin[part], content.rows.read(part), logits, strict=True)
        for at, row, scores in rows:
            here = np.flatnonzero(row[:, WORD] >= 0)
            to = before[np.searchsorted(sentences, at)] + row[here, WORD]
            chances = _softmax(scores[here])
            best[to] = chances.argmax(axis=1)
            confidence[to] = chances.max(axis=1, initial=0.0)
            tag = row[here, -1]
            true[to] = np.where(tag >= 0, chances[np.arange(len(here)), tag], np.nan)
    return _Tagged(sentences, lengths, best, confidence, true)


_BATCHES = 32
"""Batches whose outputs are in memory at once."""


def _alike(indices: np.ndarray, content: Encoded, most: int) -> Iterator[np.ndarray]:
    """Rows that are filled up to the same length, so that their outputs are one array."""
    longest = int(content.rows.lengths.max(initial=1))
    filled = [padded_length(int(each), longest) for each in content.rows.lengths[indices]]
    for length in sorted(set(filled)):
        those = indices[np.array(filled) == length]
        for start in range(0, len(those), most):
            yield those[start : start + most]


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, K) in float64.

    Raises:
        NonFiniteError: a logit is none.
    """
    exact = logits.astype(np.float64)
    if not np.isfinite(exact).all():
        raise NonFiniteError(
            "The model's outputs are not finite.",
            "Its weights have left the finite numbers: lower the learning rate or use "
            "runtime.precision=float32.",
        )
    return np.asarray(softmax(exact, axis=1))


def predict(trained: LoadedRun, inputs: TextInputs, batch_size: int) -> dict[str, Any]:
    """A row a word, with the tag that it gets; columns for `write_table`.

    `begin` and `end` are where a word lies in its text, in characters; of words that came one by
    one, in the text that they make with a space between. Where tags mark entities, `entity` is the
    number of the one that a word is in, from 1 in each text, and 0 where it is in none. A text that
    cannot be read has one row, with its error.
    """
    tokenizer, most = trained.backbone.tokenizer, trained.backbone.max_length
    if tokenizer is None or most is None:
        raise ConfigError(f"run {trained.run.id} reads photos, and input= has texts.")
    texts = inputs.texts.texts
    spans = inputs.spans or tuple(tuple(word_alignment.split(each)) for each in texts)
    words = [
        tuple(text[begin:end] for begin, end in each)
        for text, each in zip(texts, spans, strict=True)
    ]
    source = Examples(inputs.ids, np.zeros(len(texts), np.int32), (), Sentences(tuple(words)))
    rows, origin, uncut = trained.task.encode_rows(source, tokenizer, most)
    content = Encoded(TokenRows(rows, uncut), np.asarray(origin), source)
    read = token_rows.encoded_dataset(Dataset(source, {}, trained.spec), content).examples
    loader = TextLoader(
        read, trained.task.targets(read), tokenizer=tokenizer, max_length=most,
        prepare_batch=trained.task.prepare_batch, batch_size=batch_size,
    )  # fmt: skip
    names = trained.spec.names
    found = _tagged(trained.learner, loader, np.arange(len(read)), content, names)
    columns = _places(source, found)
    del columns["place"]
    flat = [each for those in spans for each in those]
    columns |= {"begin": [begin for begin, _ in flat], "end": [end for _, end in flat]}
    columns |= _predicted(found, names)
    meaning = tags.tag_scheme(names)
    if meaning is not None:
        columns["entity"] = _numbered(found, tags.entity_spans(found.best, found.lengths, meaning))
    return _with_errors(columns, inputs)


def _numbered(found: _Tagged, spans: tags.EntitySpans) -> list[int]:
    """The number of the entity that each word is in, from 1 in each sentence; 0 in none."""
    sentence = np.repeat(np.arange(len(found.lengths)), found.lengths)
    number = np.zeros(len(found.best), np.int64)
    seen: dict[int, int] = {}
    for begin, end in zip(spans.begins.tolist(), spans.ends.tolist(), strict=True):
        at = int(sentence[begin])
        seen[at] = seen.get(at, 0) + 1
        number[begin:end] = seen[at]
    return number.tolist()


def _with_errors(columns: dict[str, Any], inputs: TextInputs) -> dict[str, Any]:
    """Columns with a row more for each text that cannot be read."""
    if not any(inputs.errors):
        return columns
    order = {name: place for place, name in enumerate(inputs.ids)}
    bad = [each for each, why in zip(inputs.ids, inputs.errors, strict=True) if why]
    names = [*columns["id"], *bad]
    new = np.argsort([order[each] for each in names], kind="stable")
    more: dict[str, Any] = {"id": bad, "error": [inputs.errors[order[each]] for each in bad]}
    columns = {**columns, "error": [""] * len(columns["id"])}
    joined = {key: [*values, *more.get(key, [None] * len(bad))] for key, values in columns.items()}
    return {key: [values[each] for each in new] for key, values in joined.items()}
