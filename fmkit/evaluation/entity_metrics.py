"""Metrics of tags and of the entities that they mark: entity F1, accuracy, F1 by tag.

Of a whole split, for eval/; `tasks/token_classification/entity_f1` has the F1 of each epoch.

N sentences, W words of all of them, K tags, E entities, R bootstrap resamples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from fmkit.core import files
from fmkit.core.bootstrap import ExampleSums, Sums, mean_of_defined, ratio
from fmkit.data.content import tags
from fmkit.data.content.tags import Scheme
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
    parts = sentence_parts(labels, predicted, label_probability, lengths, len(names), scheme)
    sums = ExampleSums(parts)
    totals = sums.totals()
    metrics = metrics_of_sums(totals)
    return files.nonfinite_to_none(
        {
            "n": len(lengths),
            "words": len(labels),
            **{name: float(value[0]) for name, value in metrics.items()},
            **({} if scheme is None else {"per_entity": per_name(scheme.types, totals, "entity_")}),
            "per_tag": per_name(names, totals, "tag_"),
            "intervals": sums.intervals(metrics_of_sums, list(metrics), bootstrap, seed),
        }
    )


def sentence_parts(
    labels: np.ndarray,
    predicted: np.ndarray,
    label_probability: np.ndarray,
    lengths: np.ndarray,
    num_tags: int,
    scheme: Scheme | None,
) -> dict[str, Any]:
    """What each sentence adds to sums over words, tags and entities."""
    count = len(lengths)
    sentence = np.repeat(np.arange(count), lengths)  # of each word, (W,)
    has_prediction = np.isfinite(label_probability)
    probability = np.where(has_prediction, label_probability, 1.0).astype(np.float64)
    losses = -np.log(np.clip(probability, SMALLEST, 1.0))
    is_right, shape = labels == predicted, (count, num_tags)
    parts = {
        "loss": np.bincount(sentence, losses, count)[:, None],
        "predicted_words": np.bincount(sentence, has_prediction, count)[:, None],
        "words": np.asarray(lengths, np.float64)[:, None],
        "tag_hits": _count_matrix(sentence[is_right], labels[is_right], shape),
        "tag_support": _count_matrix(sentence, labels, shape),
        "tag_predicted": _count_matrix(sentence, predicted, shape),
    }
    if scheme is not None:
        entities = [tags.entity_spans(values, lengths, scheme) for values in (labels, predicted)]
        size, shape = len(labels) + 1, (count, len(scheme.types))
        keys = [(e.begins * size + e.ends) * shape[1] + e.kinds for e in entities]
        true, tagged = entities
        is_hit = np.isin(keys[1], keys[0])
        hits = sentence[tagged.begins[is_hit]], tagged.kinds[is_hit]
        parts["entity_hits"] = _count_matrix(*hits, shape)
        parts["entity_support"] = _count_matrix(sentence[true.begins], true.kinds, shape)
        parts["entity_predicted"] = _count_matrix(sentence[tagged.begins], tagged.kinds, shape)
    return parts


def _count_matrix(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    """How often each pair occurs, a sparse matrix; columns of -1 do not count."""
    used = columns >= 0
    pairs = (rows[used], columns[used])
    # SciPy adds up equal pairs.
    return sparse.csr_array((np.ones(int(used.sum())), pairs), shape=shape)


def metrics_of_sums(sums: Sums) -> dict[str, np.ndarray]:
    """Metrics of all sentences together, (R,)."""
    words = np.maximum(sums["words"][:, 0], 1.0)
    metrics = {
        "loss": sums["loss"][:, 0] / np.maximum(sums["predicted_words"][:, 0], 1.0),
        "accuracy": sums["tag_hits"].sum(axis=1) / words,
        "token_macro_f1": _macro_f1(sums, "tag"),
    }
    if "entity_hits" in sums:
        hits, support, predicted = (
            sums[f"entity_{name}"].sum(axis=1) for name in ("hits", "support", "predicted")
        )
        metrics |= {
            "precision": ratio(hits, predicted, 0.0),
            "recall": ratio(hits, support, 0.0),
            "f1": ratio(2 * hits, support + predicted, 0.0),
            "macro_f1": _macro_f1(sums, "entity"),
        }
    return metrics


def _macro_f1(sums: Sums, kind: str) -> np.ndarray:
    """The mean over names that occur; 0 where none does."""
    f1 = ratio(2 * sums[f"{kind}_hits"], sums[f"{kind}_support"] + sums[f"{kind}_predicted"])
    return np.nan_to_num(mean_of_defined(f1))
