"""The smallest set of parts of an input without which a model answers otherwise.

Parts are the words of a text or the segments of a photo: counterfactual explanations by removal, as
Martens and Provost 2014 (Explaining data-driven document classifications, MIS Quarterly 38:1, the
algorithm SEDC) find them for texts and Vermeire et al. 2022 (Explainable image classification with
evidence counterfactual, arxiv.org/abs/2004.07511) for photos.

P parts, N sets of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Parts = frozenset[int]
Margins = Callable[[Sequence[Parts]], np.ndarray]
"""How clearly the answer stands without each of some sets of parts, (N,): it has turned where this
is below 0."""

_WIDTH = 3
"""Sets of a size that are extended."""
_CANDIDATES = 25
"""Parts that sets are extended by: those whose removal alone costs the answer most."""
_OF_A_GROUP = 2  # such parts


@dataclass(frozen=True)
class Change:
    """What a search came to.

    Attributes:
        parts: positions of what was removed, ascending. Each is needed: with any one of them back
            the answer stands. Where the answer did not turn, those that brought it nearest to that.
        turned: whether another answer came out.
        is_smallest: whether no smaller set turns the answer, since all smaller ones were tried.
        before: how clearly the answer stood.
        after: how clearly it stands without the parts, below 0 where it has turned.
        tried: how many sets the model was asked about.
    """

    parts: tuple[int, ...]
    turned: bool
    is_smallest: bool
    before: float
    after: float
    tried: int


def search(
    parts: int,
    margins: Margins,
    most: int,
    groups: Sequence[int] | None = None,
    costs: Sequence[float] | None = None,
) -> Change:
    """Remove as few parts as turn the answer.

    All single parts are tried first, then sets of two, and so on: the three sets of a size that
    bring the answer nearest to turning are extended by the parts that cost it most alone. Of what
    turns the answer, parts that are not needed come back. For a linear model this is the smallest
    set; for others a smaller one may have been missed, except where the set has one or two parts.

    Args:
        parts: P.
        margins: asks the model.
        most: parts that may be removed.
        groups: of each part, where parts are changes that exclude each other: of a group one.
        costs: of each part; of sets of a size that turn the answer the cheapest is taken, and of
            equally cheap ones that which turns it most clearly.
    """
    known: dict[Parts, float] = {}

    def ask(sets: Iterable[Parts]) -> list[Parts]:
        """The sets, those without which the answer stands least clearly first."""
        sets = sorted(sets, key=sorted)
        new = [one for one in sets if one not in known]
        if new:
            known.update(zip(new, np.asarray(margins(new), np.float64).tolist(), strict=True))
        return sorted(sets, key=known.__getitem__)

    (best,) = ask([frozenset()])
    before = known[best]
    singles = ask(frozenset([part]) for part in range(parts)) if most > 0 else []
    candidates, sets = _diverse(singles, groups)[:_CANDIDATES], singles
    for _ in range(min(most, parts)):
        best = min(best, sets[0], key=known.__getitem__)
        if known[best] < 0:
            turning = (one for one in sets if known[one] < 0)
            best = min(turning, key=lambda one: (_total(costs, one), known[one]))
            best = _needed(best, ask, known)
            break
        extended = {kept | part for kept in sets[:_WIDTH] for part in candidates}
        sets = ask(one for one in extended - {*sets[:_WIDTH]} if _is_possible(groups, one))
        if not sets:
            break
    turned = known[best] < 0
    return Change(
        tuple(sorted(best)), turned, turned and len(best) <= 2, before, known[best], len(known)
    )


def _diverse(singles: Sequence[Parts], groups: Sequence[int] | None) -> list[Parts]:
    """Of each group the first parts alone, so that one group does not take all places."""
    if groups is None:
        return list(singles)
    taken, chosen = Counter[int](), []
    for one in singles:
        (part,) = one
        taken[groups[part]] += 1
        if taken[groups[part]] <= _OF_A_GROUP:
            chosen.append(one)
    return chosen


def _total(costs: Sequence[float] | None, parts: Parts) -> float:
    return 0.0 if costs is None else sum(costs[part] for part in sorted(parts))


def _is_possible(groups: Sequence[int] | None, parts: Parts) -> bool:
    """Whether no two parts are of one group."""
    return groups is None or len({groups[part] for part in parts}) == len(parts)


def _needed(
    parts: Parts, ask: Callable[[Iterable[Parts]], list[Parts]], known: dict[Parts, float]
) -> Parts:
    """The parts without those that can come back while the answer stays another one."""
    while len(parts) > 1:
        smaller = ask(parts - {part} for part in parts)[0]
        if known[smaller] >= 0:
            break
        parts = smaller
    return parts
