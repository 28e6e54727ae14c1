"""How fast each block learns: a share of the learning rate, by block."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fmkit.core.errors import ConfigError, join_names

HEAD = "head"
"""What the head is called among the blocks."""


def multipliers(
    blocks: Sequence[str], layer_decay: float, rates: Mapping[str, float], key: str = "rates"
) -> dict[str, float]:
    """The factor on the learning rate for each block, and for the head.

    With layer-wise decay (as in ELECTRA, Clark et al. 2020, and BEiT, Bao et al. 2022) the head has
    1, the block next to it `layer_decay`, the one below that `layer_decay ** 2`, down to the stem.

    Args:
        blocks: names, stem to top.
        layer_decay: above 0 and at most 1.
        rates: by pattern of whole block names (`head` is the head's), a further factor. Of
            several patterns that fit a block, the first counts.
        key: what the error is about.

    Raises:
        ConfigError: a pattern fits no block.
    """
    names = [*blocks, HEAD]
    unused = [each for each in rates if not any(re.fullmatch(each, name) for name in names)]
    if unused:
        raise ConfigError(
            f"{key}: no block is called {unused[0]!r}. Blocks: {join_names(names, 60)}."
        )
    found = {}
    for distance, name in enumerate(reversed(names)):
        fitting = (factor for each, factor in rates.items() if re.fullmatch(each, name))
        found[name] = layer_decay**distance * next(fitting, 1.0)
    return {name: found[name] for name in names}
