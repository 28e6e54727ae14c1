"""Evaluation and prediction of tags: metrics of words and entities, and a row for each word.

M rows of tokens, N sentences, W words of all sentences, T tokens of a row, K tags.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from fmkit.core.errors import ConfigError
from fmkit.data.content import tags
from fmkit.data.content.tags import Tags, outside_tag
from fmkit.data.content.texts import Sentences
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.data.loaders.text_loader import Encoded, TextLoader, padded_length
from fmkit.data.predict_inputs import TextInputs
from fmkit.evaluation import entity_metrics
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult, require_finite
from fmkit.evaluation.load_run import LoadedRun
from fmkit.models.tokenizers import word_alignment
from fmkit.tasks.token_classification.task import WORD
from fmkit.train import task_data
from fmkit.train.task_model import TaskModel

_CHUNK_BATCHES = 32
"""Batches whose outputs are in memory at once."""


@dataclass(frozen=True)
class _TagPredictions:
    """The predicted tag of each word.

    Attributes:
        sentences: positions of the sentences in the data set, ascending, (N,).
        lengths: words of each sentence, (N,).
        tags: of each word, (W,). A word without a token in the vocabulary gets `O`, or -1 where the
            tags have none.
        confidence: probability of the predicted tag, (W,); NaN for a word without a token.
        label_probability: probability of the label, (W,); NaN where there is none.
    """

    sentences: np.ndarray
    lengths: np.ndarray
    tags: np.ndarray
    confidence: np.ndarray
    label_probability: np.ndarray


def evaluate(inputs: EvaluationInputs) -> EvaluationResult:
    """Metrics of tags and entities, and a row for each word.

    Raises:
        NonFiniteError: the model's outputs are NaN or infinite.
    """
    content = inputs.examples.content
    annotations = content.source.annotations if isinstance(content, Encoded) else None
    if not isinstance(content, Encoded) or not isinstance(annotations, Tags):
        raise TypeError("rows of sentences with tags are expected")
    names = annotations.names
    predicted = _predict_tags(
        inputs.model, inputs.loader, inputs.indices, content, names, inputs.callbacks
    )
    of_sentences = [annotations.values[index] for index in predicted.sentences]
    labels = np.concatenate([np.zeros(0, np.int32), *of_sentences])
    metrics = entity_metrics.compute_metrics(
        labels, predicted.tags, predicted.label_probability, predicted.lengths, names,
        inputs.bootstrap, inputs.seed,
    )  # fmt: skip
    label_names = {"label": [names[label] for label in labels]}
    return metrics, _columns(content.source, predicted, names, label_names)


def _columns(
    source: Examples, predicted: _TagPredictions, names: Sequence[str], more: Mapping[str, Any]
) -> dict[str, Any]:
    """Each word with its sentence, its position there from 0, more columns, and its tag."""
    content: Any = source.content
    ids = np.array([source.ids[index] for index in predicted.sentences], object)
    return {
        "id": np.repeat(ids, predicted.lengths).tolist(),
        "place": [position for length in predicted.lengths for position in range(length)],
        "word": [word for index in predicted.sentences for word in content.words[index]],
        **more,
        "prediction": [names[tag] if tag >= 0 else None for tag in predicted.tags],
        "confidence": predicted.confidence,
    }


def _predict_tags(
    network: TaskModel,
    loader: Any,
    indices: np.ndarray,
    content: Encoded,
    names: Sequence[str],
    callbacks: Sequence[Any],
) -> _TagPredictions:
    """Tag the words of some rows.

    Raises:
        NonFiniteError: the outputs are NaN or infinite.
    """
    sentences = np.unique(content.origin[indices])
    source: Any = content.source.content
    lengths = np.array([len(source.words[index]) for index in sentences], np.int64)
    first_words = np.cumsum(lengths) - lengths  # number of each sentence's first word
    count = int(lengths.sum())
    outside = outside_tag(names)
    best = np.full(count, outside, np.int64)
    confidence, label_probability = np.full(count, np.nan), np.full(count, np.nan)
    for chunk in _same_length(indices, content, _CHUNK_BATCHES * loader.ordered_batch_size):
        outputs = network.predict(loader.ordered(chunk), verbose=0, callbacks=[*callbacks])
        logits = np.asarray(outputs, np.float32)
        rows = zip(content.origin[chunk], content.rows.read(chunk), logits, strict=True)
        for origin, row, scores in rows:
            used = np.flatnonzero(row[:, WORD] >= 0)
            words = first_words[np.searchsorted(sentences, origin)] + row[used, WORD]
            require_finite(scores[used], "outputs", "words of a sentence")
            probabilities = softmax(scores[used].astype(np.float64), axis=1)
            best[words] = probabilities.argmax(axis=1)
            confidence[words] = probabilities.max(axis=1, initial=0.0)
            label = row[used, -1]
            of_label = probabilities[np.arange(len(used)), label]
            label_probability[words] = np.where(label >= 0, of_label, np.nan)
    return _TagPredictions(sentences, lengths, best, confidence, label_probability)


def _same_length(indices: np.ndarray, content: Encoded, count: int) -> Iterator[np.ndarray]:
    """At most `count` rows that are padded to one length, so that their outputs are one array."""
    longest = int(content.rows.lengths.max(initial=1))
    lengths = content.rows.lengths[indices].tolist()
    padded = np.array([padded_length(length, longest) for length in lengths])
    for length in np.unique(padded):
        rows = indices[padded == length]
        for start in range(0, len(rows), count):
            yield rows[start : start + count]


def predict(trained: LoadedRun, inputs: TextInputs, batch_size: int) -> dict[str, Any]:
    """A row for each word with its predicted tag; columns for `write_table`.

    `begin` and `end` are where a word is in its text, in characters; of words that came one by one,
    in the text that they make with spaces between them. Where tags mark entities, `entity` is the
    number of the one that a word is in, from 1 in each text, and 0 where it is in none. A text that
    cannot be read has one row, with its error.
    """
    tokenizer, max_length = trained.backbone.tokenizer, trained.backbone.max_length
    if tokenizer is None or max_length is None:
        raise ConfigError(f"run {trained.run.id} reads photos, and input= has texts.")
    texts = inputs.texts.texts
    spans = inputs.spans or tuple(tuple(word_alignment.split_words(text)) for text in texts)
    words = [
        tuple(text[begin:end] for begin, end in of_text)
        for text, of_text in zip(texts, spans, strict=True)
    ]
    source = Examples(inputs.ids, np.zeros(len(texts), np.int32), (), Sentences(tuple(words)))
    data = task_data.rows_of(Dataset(source, {}, trained.spec), trained.task, trained.backbone)
    examples = data.examples
    content: Any = examples.content
    loader = TextLoader(
        examples, trained.task.targets(examples), tokenizer=tokenizer, max_length=max_length,
        prepare_batch=trained.task.prepare_batch, batch_size=batch_size,
    )  # fmt: skip
    names, everything = trained.spec.names, np.arange(len(examples))
    with trained.progress("texts", len(everything), batch_size) as progress:
        predicted = _predict_tags(trained.model, loader, everything, content, names, [progress])
    ends_of_words = {
        "begin": [begin for of_text in spans for begin, _ in of_text],
        "end": [end for of_text in spans for _, end in of_text],
    }
    columns = _columns(source, predicted, names, ends_of_words)
    del columns["place"]
    scheme = tags.tag_scheme(names)
    if scheme is not None:
        sentence = np.repeat(np.arange(len(predicted.lengths)), predicted.lengths)
        entities = tags.entity_spans(predicted.tags, predicted.lengths, scheme)
        of_entity = sentence[entities.begins]  # ascending
        number = np.arange(1, len(of_entity) + 1) - np.searchsorted(of_entity, of_entity)
        columns["entity"] = np.zeros(len(predicted.tags), np.int64)
        for begin, end, value in zip(entities.begins, entities.ends, number, strict=True):
            columns["entity"][begin:end] = value
        columns["entity"] = columns["entity"].tolist()
    return _add_errors(columns, inputs)


def _add_errors(columns: dict[str, Any], inputs: TextInputs) -> dict[str, Any]:
    """Columns with one more row for each text that cannot be read."""
    if not any(inputs.errors):
        return columns
    positions = {name: position for position, name in enumerate(inputs.ids)}
    broken = [name for name, error in zip(inputs.ids, inputs.errors, strict=True) if error]
    errors = [inputs.errors[positions[name]] for name in broken]
    more: dict[str, Any] = {"id": broken, "error": errors}
    order = np.argsort([positions[name] for name in [*columns["id"], *broken]], kind="stable")
    columns = {**columns, "error": [""] * len(columns["id"])}
    joined = {
        key: [*values, *more.get(key, [None] * len(broken))] for key, values in columns.items()
    }
    return {key: [values[index] for index in order] for key, values in joined.items()}
