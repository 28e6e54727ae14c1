"""Metrics of tags and of the entities that they mark: entity F1, accuracy, F1 by tag.

N sentences, W words of all of them, K tags, E entities, R bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from fmkit.core import files
from fmkit.data.content import tags
from fmkit.data.content.tags import Scheme
from fmkit.evaluation.bootstrap import ExampleSums, Sums, mean_of_defined, ratio
from fmkit.evaluation.classification import SMALLEST, per_name


def compute_metrics(
    labels: np.ndarray,
    predicted: np.ndarray,
    label_probability: np.ndarray,
    lengths: np.ndarray,
    names: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All metrics of predicted tags on one split, ready for JSON.

    `loss` and `accuracy` are means over words, `token_macro_f1` is the mean F1 over tags that occur
    in labels or predictions. Where tags mark entities, `precision`, `recall` and `f1` are those of
    all entities together, exact in both ends and type, and `macro_f1` is the mean F1 over types
    that occur; as in `conlleval` and seqeval's default mode, where 0 / 0 is 0. `intervals` holds
    95% bootstrap intervals over sentences, since the words of a sentence are not independent.

    Args:
        labels: positions in `names`, (W,).
        predicted: likewise; -1 where a word has no prediction.
        label_probability: of the label, (W,); NaN where a word has no prediction.
        lengths: words of each sentence, (N,).
        names: of the tags.
        bootstrap: resamples R; 0 makes every interval None.
        seed: of the resamples.
    """
    scheme = tags.tag_scheme(names)
    parts = _word_parts(labels, predicted, label_probability, lengths, len(names))
    if scheme is not None:
        parts |= _entity_parts(labels, predicted, lengths, scheme)
    sums = ExampleSums(parts)
    totals = sums.totals()
    metrics = _metrics(totals)
    return files.nonfinite_to_none(
        {
            "n": len(lengths),
            "words": len(labels),
            **{name: float(value[0]) for name, value in metrics.items()},
            **({} if scheme is None else {"per_entity": _rows(totals, "entity", scheme.types)}),
            "per_tag": _rows(totals, "tag", names),
            "intervals": sums.intervals(_metrics, list(metrics), bootstrap, seed),
        }
    )


def _word_parts(
    labels: np.ndarray,
    predicted: np.ndarray,
    label_probability: np.ndarray,
    lengths: np.ndarray,
    num_tags: int,
) -> dict[str, Any]:
    """What each sentence adds to sums over words and tags."""
    count = len(lengths)
    sentence = np.repeat(np.arange(count), lengths)  # of each word, (W,)
    has_prediction = np.isfinite(label_probability)
    probability = np.where(has_prediction, label_probability, 1.0).astype(np.float64)
    losses = -np.log(np.clip(probability, SMALLEST, 1.0))
    is_right, shape = labels == predicted, (count, num_tags)
    return {
        "loss": np.bincount(sentence, losses, count)[:, None],
        "predicted_words": np.bincount(sentence, has_prediction, count)[:, None],
        "words": np.asarray(lengths, np.float64)[:, None],
        "tag_right": _count_matrix(sentence[is_right], labels[is_right], shape),
        "tag_support": _count_matrix(sentence, labels, shape),
        "tag_predicted": _count_matrix(sentence, predicted, shape),
    }


def _entity_parts(
    labels: np.ndarray, predicted: np.ndarray, lengths: np.ndarray, scheme: Scheme
) -> dict[str, Any]:
    """What each sentence adds to sums over entities."""
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    true, mine = (tags.entity_spans(values, lengths, scheme) for values in (labels, predicted))
    keys = [np.stack([spans.begins, spans.ends, spans.kinds], axis=1) for spans in (true, mine)]
    is_right = _in_both(keys[0], keys[1], len(labels) + 1)
    shape = (len(lengths), len(scheme.types))
    return {
        "entity_right": _count_matrix(sentence[mine.begins[is_right]], mine.kinds[is_right], shape),
        "entity_support": _count_matrix(sentence[true.begins], true.kinds, shape),
        "entity_predicted": _count_matrix(sentence[mine.begins], mine.kinds, shape),
    }


def _count_matrix(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    """How often each pair occurs, a sparse matrix; columns of -1 do not count."""
    used = columns >= 0
    pairs = (rows[used], columns[used])
    # SciPy adds up equal pairs.
    return sparse.csr_array((np.ones(int(used.sum())), pairs), shape=shape)


def _in_both(labels: np.ndarray, predicted: np.ndarray, size: int) -> np.ndarray:
    """Which rows of `predicted` (E, 3) are rows of `labels`; no two rows of one begin alike."""
    end = np.full(size, -1, np.int64)
    kind = np.full(size, -1, np.int64)
    end[labels[:, 0]], kind[labels[:, 0]] = labels[:, 1], labels[:, 2]
    return (end[predicted[:, 0]] == predicted[:, 1]) & (kind[predicted[:, 0]] == predicted[:, 2])


def _metrics(sums: Sums) -> dict[str, np.ndarray]:
    words = np.maximum(sums["words"][:, 0], 1.0)
    metrics = {
        "loss": sums["loss"][:, 0] / np.maximum(sums["predicted_words"][:, 0], 1.0),
        "accuracy": sums["tag_right"].sum(axis=1) / words,
        "token_macro_f1": _macro_f1(sums, "tag"),
    }
    if "entity_right" in sums:
        right, support, predicted = (
            sums[f"entity_{name}"].sum(axis=1) for name in ("right", "support", "predicted")
        )
        metrics |= {
            "precision": ratio(right, predicted, 0.0),
            "recall": ratio(right, support, 0.0),
            "f1": ratio(2 * right, support + predicted, 0.0),
            "macro_f1": _macro_f1(sums, "entity"),
        }
    return metrics


def _macro_f1(sums: Sums, kind: str) -> np.ndarray:
    """The mean over names that occur; 0 where none does."""
    f1 = ratio(2 * sums[f"{kind}_right"], sums[f"{kind}_support"] + sums[f"{kind}_predicted"])
    return np.nan_to_num(mean_of_defined(f1))


def _rows(totals: Sums, kind: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and support by name."""
    columns = (totals[f"{kind}_{name}"][0] for name in ("right", "support", "predicted"))
    return per_name(names, *columns)
