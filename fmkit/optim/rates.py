"""Layer-wise learning rates: the factor on the learning rate of each block (`layer_decay`)."""

import re
from collections.abc import Mapping, Sequence

from fmkit.core.errors import ConfigError, join_names

HEAD = "head"
"""The head's name among the blocks."""


def multipliers(
    blocks: Sequence[str], layer_decay: float, rates: Mapping[str, float], key: str = "rates"
) -> dict[str, float]:
    """The factor on the learning rate for each block, and for the head.

    With layer-wise decay (as in ELECTRA, Clark et al. 2020, and BEiT, Bao et al. 2022) the head has
    1, the block next to it `layer_decay`, the one below that `layer_decay ** 2`, down to the stem.

    Args:
        blocks: names, stem to top.
        layer_decay: above 0 and at most 1.
        rates: a further factor by pattern of whole block names (`head` is the head's). If several
            patterns match a block, the first counts.
        key: the config key, for the error.

    Raises:
        ConfigError: a pattern matches no block.
    """
    names = [*blocks, HEAD]
    for pattern in rates:
        if not any(re.fullmatch(pattern, name) for name in names):
            shown = join_names(names, 60)
            raise ConfigError(f"{key}: no block is called {pattern!r}. Blocks: {shown}.")
    factors = {}
    for position, name in enumerate(names, start=1):
        matches = (factor for pattern, factor in rates.items() if re.fullmatch(pattern, name))
        factors[name] = layer_decay ** (len(names) - position) * next(matches, 1.0)
    return factors
