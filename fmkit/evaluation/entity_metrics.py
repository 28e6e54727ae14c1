"""Figures of tags and of the entities that they mark: arrays in, numbers out.

N sentences, W words of all of them, K tags, E types of entity, B bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fmkit.core import files
from fmkit.data.content import tags
from fmkit.data.content.tags import Scheme
from fmkit.evaluation.classification import SMALLEST, per_name, ratio, resampled

Figures = dict[str, np.ndarray]
"""Figures by name, one for each row of weights, (B,)."""


def figures(
    truth: np.ndarray,
    guess: np.ndarray,
    true_probability: np.ndarray,
    lengths: np.ndarray,
    names: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that is worth knowing about tags on one split, ready for JSON.

    `loss` and `accuracy` are means over words, `token_macro_f1` is the mean F1 over tags that occur
    in truth or predictions. Where tags mark entities, `precision`, `recall` and `f1` are those of
    all entities together, exact in both ends and type, and `macro_f1` is the mean F1 over types
    that occur; as `conlleval` and seqeval's default mode have them, what is 0 / 0 being 0.
    `intervals` holds 95% percentile intervals by bootstrap over sentences, for the words of one are
    not independent.

    Args:
        truth: positions in `names`, (W,).
        guess: likewise; -1 where nothing was found of a word.
        true_probability: of the true tag, (W,); NaN where nothing was found of a word.
        lengths: words of each sentence, (N,).
        names: of the tags.
        bootstrap: resamples; 0 makes every interval None.
        seed: of the resamples.
    """
    meaning = tags.tag_scheme(names)
    sums = _Sums(truth, guess, true_probability, lengths, len(names), meaning)
    whole = sums.figures(np.ones((1, len(lengths))))
    found: dict[str, Any] = {
        "n": len(lengths),
        "words": len(truth),
        **{name: float(value[0]) for name, value in whole.items()},
    }
    if meaning is not None:
        found["per_entity"] = sums.rows("entity", meaning.types)
    found["per_tag"] = sums.rows("tag", names)
    found["intervals"] = resampled(sums.figures, len(lengths), list(whole), bootstrap, seed)
    return files.nonfinite_to_none(found)


class _Sums:
    """Every figure is a function of sums over sentences, so a resample is one row of weights."""

    def __init__(
        self,
        truth: np.ndarray,
        guess: np.ndarray,
        true_probability: np.ndarray,
        lengths: np.ndarray,
        names: int,
        meaning: Scheme | None,
    ) -> None:
        count = len(lengths)
        sentence = np.repeat(np.arange(count), lengths)  # of each word, (W,)
        scored = np.isfinite(true_probability)
        chances = np.where(scored, true_probability, 1.0)
        losses = -np.log(np.clip(chances.astype(np.float64), SMALLEST, 1.0))
        right = truth == guess
        parts = {
            "loss": np.bincount(sentence, losses, count)[:, None],
            "scored": np.bincount(sentence, scored, count)[:, None],
            "words": np.asarray(lengths, np.float64)[:, None],
            "tag_right": _counted(sentence[right], truth[right], count, names),
            "tag_there": _counted(sentence, truth, count, names),
            "tag_found": _counted(sentence, guess, count, names),
        }
        if meaning is not None:
            true, mine = (tags.entity_spans(each, lengths, meaning) for each in (truth, guess))
            keys = [np.stack([each.begins, each.ends, each.kinds], axis=1) for each in (true, mine)]
            same = _in_both(keys[0], keys[1], len(truth) + 1)
            types = len(meaning.types)
            parts["entity_right"] = _counted(
                sentence[mine.begins[same]], mine.kinds[same], count, types
            )
            parts["entity_there"] = _counted(sentence[true.begins], true.kinds, count, types)
            parts["entity_found"] = _counted(sentence[mine.begins], mine.kinds, count, types)
        self._parts = parts
        self._has_entities = meaning is not None

    def figures(self, weights: np.ndarray) -> Figures:
        """The figures of each row of weights (B, N), how often each sentence counts."""
        sums = {name: np.asarray(weights @ each) for name, each in self._parts.items()}
        words = np.maximum(sums["words"][:, 0], 1.0)
        found = {
            "loss": sums["loss"][:, 0] / np.maximum(sums["scored"][:, 0], 1.0),
            "accuracy": sums["tag_right"].sum(axis=1) / words,
            "token_macro_f1": _macro_f1(sums, "tag"),
        }
        if self._has_entities:
            right, there, mine = (
                sums[f"entity_{each}"].sum(axis=1) for each in ("right", "there", "found")
            )
            found |= {
                "precision": np.nan_to_num(ratio(right, mine)),
                "recall": np.nan_to_num(ratio(right, there)),
                "f1": np.nan_to_num(ratio(2 * right, there + mine)),
                "macro_f1": _macro_f1(sums, "entity"),
            }
        return found

    def rows(self, kind: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Precision, recall, F1 and support by name."""
        hits, there, found = (
            np.asarray(self._parts[f"{kind}_{each}"].sum(axis=0)).ravel()
            for each in ("right", "there", "found")
        )
        return per_name(names, hits, there, found)


def _counted(rows: np.ndarray, columns: np.ndarray, count: int, width: int) -> Any:
    """How often each pair is there, a sparse matrix (N, width); columns of -1 do not count."""
    from scipy import sparse

    known = columns >= 0
    pairs = (rows[known], columns[known])
    return sparse.csr_array(
        (np.ones(int(known.sum())), pairs), shape=(count, width)
    )  # equal pairs are added up


def _in_both(truth: np.ndarray, mine: np.ndarray, size: int) -> np.ndarray:
    """Which rows of `mine` (E, 3) are rows of `truth`: begins are different within each."""
    end = np.full(size, -1, np.int64)
    kind = np.full(size, -1, np.int64)
    end[truth[:, 0]], kind[truth[:, 0]] = truth[:, 1], truth[:, 2]
    return (end[mine[:, 0]] == mine[:, 1]) & (kind[mine[:, 0]] == mine[:, 2])


def _macro_f1(sums: dict[str, np.ndarray], kind: str) -> np.ndarray:
    """The mean over names that occur; 0 where none does."""
    f1 = ratio(2 * sums[f"{kind}_right"], sums[f"{kind}_there"] + sums[f"{kind}_found"])
    occurs = np.isfinite(f1)
    total = np.where(occurs, f1, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(occurs.sum(axis=1), 1))
