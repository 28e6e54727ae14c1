"""What a check of explanations came to, in sentences."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def sentences(check: Mapping[str, Any], parts: str, explanations: str) -> list[str]:
    """Deletion, insertion and randomised weights in a sentence each.

    Args:
        check: their figures, as `explanations.json` has them.
        parts: of an input, such as `pixels`.
        explanations: what orders them, such as `maps`.
    """
    notes = []
    for kind, verb in (("deletion", "taken out"), ("insertion", "put back")):
        figures = check[kind]
        low, high = figures["interval"] or (np.nan, np.nan)
        verdict = "better" if low > 0 else "worse" if high < 0 else "no better"
        notes.append(
            f"{kind}: {parts} {verb} in the order of the {explanations} give an area of "
            f"{figures['area']:.3f}, in that of random {explanations} "
            f"{figures['random_area']:.3f}: {verdict} than chance (95% interval of the difference "
            f"{low:.3f} to {high:.3f})."
        )
    sanity = check["randomised_weights"]
    shown = ", ".join(
        f"{name} {value:.2f}"
        for name, value in zip(sanity["randomised"], sanity["rank_correlations"], strict=True)
    )
    verdict = "passed"
    if not sanity["passed"]:
        verdict = f"FAILED: the {explanations} do not show what was learned"
    notes.append(
        f"randomised weights: rank correlation with the {explanations} before {shown}: {verdict}."
    )
    return notes
