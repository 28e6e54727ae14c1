"""Slices without a column: clusters of the trained network's features.

Clusters are found on one half of the examples and tested on the other, so that the search makes no
false report. The features have length 1 and are reduced to their largest principal components; the
clusters are those of k-means (scikit-learn). Of the numbers of clusters that the examples are
enough for, the one is taken whose worst cluster stands out most on the half they are found on.

N examples, D features, K clusters.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmkit.core.errors import DataError
from fmkit.evaluation.diagnostics.results import Diagnostics
from fmkit.evaluation.scores import Scores
from fmkit.evaluation.slices import search
from fmkit.evaluation.slices.groups import MIN_EXAMPLES

COLUMN = "clusters"
"""The word that asks for them among the columns of `slices`."""
_COUNTS = (2, 4, 8, 16, 32)
_COMPONENTS = 32
_TYPICAL, _NAMED, _WORDS = 5, 3, 4
_WORD = r"(?u)\b[^\W\d_]{3,}\b"
"""Three letters or more."""


@dataclass(frozen=True)
class Clusters:
    """Clusters of examples.

    Attributes:
        labels: the cluster of each example, (N,), from 0.
        distances: of each from the centre of its cluster, (N,).
        is_found_on: the half that they were found on, (N,) bool.
    """

    labels: np.ndarray
    distances: np.ndarray
    is_found_on: np.ndarray


def diagnostics(
    scores: Scores,
    features: np.ndarray,
    texts: Sequence[str] | None,
    bootstrap: int,
    seed: int,
) -> Diagnostics:
    """The clusters that are worse than the rest, and tables of all clusters and their members.

    Args:
        scores: of the examples.
        features: of the same examples, (N, D), finite.
        texts: theirs; None where they are not texts.
        bootstrap: resamples behind the intervals.
        seed: of the halves, k-means and resamples.

    Raises:
        DataError: there are too few examples.
    """
    clusters = find(features, scores.errors, seed)
    facts = [_describe(scores, texts, clusters, k) for k in range(int(clusters.labels.max()) + 1)]
    names = [str(row["name"]) for row in facts]
    members = [names[label] for label in clusters.labels]
    is_tested = ~clusters.is_found_on
    groups = {"cluster": [members[row] for row in np.flatnonzero(is_tested)]}
    slices = search.judge(scores.take(is_tested), groups, bootstrap, seed)
    by_name = {row["name"]: row for row in facts}
    order = [by_name[name] for name in slices.table["value"]]
    described = {key: [row[key] for row in order] for key in facts[0] if key != "name"}
    worst = []
    for row in slices.worst:
        typical = {key: by_name[row["values"][0]][key] for key in ("typical", "typical_mistakes")}
        mistakes = ", ".join(typical["typical_mistakes"].split("; ")[:_NAMED])
        sentence = f"{row['sentence']} Look at {mistakes}." if mistakes else row["sentence"]
        worst.append({**row, **typical, "sentence": sentence})
    return Diagnostics(
        {"clusters": {"count": len(facts), "tested": slices.tested, "worse": worst}},
        tables={
            "clusters": {**slices.table, **described},
            "cluster_members": {
                "id": scores.ids, "cluster": members,
                "half": np.where(is_tested, "tested", "found").tolist(),
            },
        },
    )  # fmt: skip


def find(features: np.ndarray, errors: np.ndarray, seed: int) -> Clusters:
    """Clusters of features, found on a random half of the examples.

    Args:
        features: (N, D), finite.
        errors: how wrong each example is, (N,), as of `Scores`.
        seed: of the halves and of k-means.

    Raises:
        DataError: there are fewer than 2 clusters' worth of examples.
    """
    from sklearn.cluster import KMeans

    count = len(features)
    half = np.random.default_rng(seed).permutation(count)[: count // 2]
    is_found_on = np.zeros(count, bool)
    is_found_on[half] = True
    counts = [k for k in _COUNTS if len(half) >= 2 * k * MIN_EXAMPLES]
    if not counts:
        raise DataError(
            f"slices: clusters need {4 * _COUNTS[0] * MIN_EXAMPLES} examples, and there are "
            f"{count:,}."
        )
    points = _components(features, is_found_on)
    best: tuple[float, Any] = (np.inf, None)
    for k in counts:
        model = KMeans(k, n_init=4, random_state=seed).fit(points[is_found_on])
        p_value = _smallest_p_value(model.labels_, errors[is_found_on])
        best = min(best, (p_value, model), key=lambda pair: pair[0])
    distances = best[1].transform(points)
    labels = distances.argmin(axis=1)
    return Clusters(labels, distances[np.arange(count), labels], is_found_on)


def _components(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Features of length 1 along the principal components of some of them, (N, <= 32)."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import normalize

    units = normalize(np.asarray(features, np.float64))
    width = min(_COMPONENTS, units.shape[1], int(rows.sum()))
    fitted = PCA(width, svd_solver="full").fit(units[rows])
    return np.asarray(fitted.transform(units))


def _smallest_p_value(labels: np.ndarray, errors: np.ndarray) -> float:
    """Of the clusters on the half that they were found on, corrected for their number."""
    values = [("", str(k), labels == k) for k in range(int(labels.max()) + 1)]
    return float(search.holm(search.test_values(errors, values)[1]).min(initial=1.0))


def _describe(
    scores: Scores, texts: Sequence[str] | None, clusters: Clusters, k: int
) -> dict[str, Any]:
    """A cluster by what is typical of it: its words or its classes, and its central examples."""
    rows = np.flatnonzero(clusters.labels == k)
    central = rows[np.argsort(clusters.distances[rows], kind="stable")]
    wrong = central[scores.errors[central] > 0]
    facts: dict[str, Any] = {
        "typical": [scores.ids[row] for row in central[:_TYPICAL]],
        "typical_mistakes": [scores.ids[row] for row in wrong[:_TYPICAL]],
    }
    parts = []
    if texts is not None:
        facts["words"] = telling_words(texts, clusters.labels == k)
        parts += [" ".join(facts["words"])] if facts["words"] else []
    if scores.classes:
        counts = Counter(scores.labels[row] for row in rows).most_common(_TYPICAL)
        facts["classes"] = ", ".join(f"{name} {n / len(rows):.0%}" for name, n in counts)
        name, n = counts[0]
        parts.append(f"mostly {name}" if n > len(rows) / 2 else f"{name} and others")
    if not parts:
        parts = [f"like {facts['typical'][0]}"]
    return {"name": f"{k + 1}: {', '.join(parts)}"} | {
        key: "; ".join(value) if isinstance(value, list) else value for key, value in facts.items()
    }


def telling_words(texts: Sequence[str], members: np.ndarray) -> list[str]:
    """The words that tell some texts from the others, the most telling first.

    By c-TF-IDF (Grootendorst 2022, arXiv:2203.05794): how often a word occurs in the group, times
    the logarithm of 1 + the mean words of a group / how often it occurs in all.

    Args:
        texts: all of them.
        members: which are of the group, (N,) bool.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        vectorizer = CountVectorizer(min_df=2, token_pattern=_WORD)
        counts = vectorizer.fit_transform(texts)
    except ValueError:  # no word occurs twice
        return []
    total = np.asarray(counts.sum(axis=0)).ravel()
    own = np.asarray(counts[members].sum(axis=0)).ravel()
    weights = own * np.log(1 + total.sum() / 2 / total)  # two groups: these texts and the others
    names = vectorizer.get_feature_names_out()
    order = np.argsort(-weights, kind="stable")[:_WORDS]
    return [str(names[index]) for index in order if own[index] > 0]


def without(columns: Sequence[str] | None) -> tuple[list[str] | None, bool]:
    """Columns to slice by without the word for clusters, and whether it was there."""
    if columns is None or COLUMN not in columns:
        return None if columns is None else list(columns), False
    return [name for name in columns if name != COLUMN], True
