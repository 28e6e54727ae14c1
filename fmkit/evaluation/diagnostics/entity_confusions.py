"""What entities were taken for: another type, another span, or nothing.

N sentences, W words of all of them.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from fmkit.data.content.tags import entity_spans, tag_scheme
from fmkit.evaluation.diagnostics.results import Diagnostics, Predictions
from fmkit.evaluation.prediction_tables import Columns, tag_arrays

NONE, OTHER_SPAN = "(none)", "(other span)"


def of_tags(predictions: Predictions) -> Diagnostics:
    """Diagnostics of tags: confusions of entity types, where tags mark entities."""
    labels, predicted, lengths, names = tag_arrays(predictions.columns)
    table = confusions(labels, predicted, lengths, names)
    return Diagnostics(tables={} if table is None else {"entity_confusions": table})


def confusions(
    labels: np.ndarray, predicted: np.ndarray, lengths: np.ndarray, names: Sequence[str]
) -> Columns | None:
    """How often entities of each type were predicted as each, the most frequent first.

    An entity is its type where one of the same words is predicted, `(other span)` where only one
    that overlaps is, else `(none)`; a predicted one that overlaps with none has the label `(none)`.
    None: the tags do not mark entities.

    Args:
        labels: positions in `names`, (W,).
        predicted: likewise, -1 for none.
        lengths: words of each sentence, (N,).
        names: of the tags.
    """
    scheme = tag_scheme(names)
    if scheme is None:
        return None
    true, tagged = (entity_spans(values, lengths, scheme) for values in (labels, predicted))
    kind_of = dict(zip(zip(tagged.begins, tagged.ends, strict=True), tagged.kinds, strict=True))
    is_true, is_tagged = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    for spans, covered in ((true, is_true), (tagged, is_tagged)):
        for begin, end in zip(spans.begins, spans.ends, strict=True):
            covered[begin:end] = True
    counts: Counter[tuple[str, str]] = Counter()
    for begin, end, kind in zip(true.begins, true.ends, true.kinds, strict=True):
        prediction = OTHER_SPAN if is_tagged[begin:end].any() else NONE
        if (begin, end) in kind_of:
            prediction = scheme.types[kind_of[begin, end]]
        counts[scheme.types[kind], prediction] += 1
    for begin, end, kind in zip(tagged.begins, tagged.ends, tagged.kinds, strict=True):
        if not is_true[begin:end].any():
            counts[NONE, scheme.types[kind]] += 1
    rows = counts.most_common()
    return {
        "label": [label for (label, _), _ in rows],
        "prediction": [prediction for (_, prediction), _ in rows],
        "count": [count for _, count in rows],
    }
