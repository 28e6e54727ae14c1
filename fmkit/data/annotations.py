"""What is known of examples where that is not one class each.

N examples, K names.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np


class Annotations(Protocol):
    """What is to be learned of each example, in the order of the examples."""

    kind: ClassVar[str]
    """As `data.labels` names it, such as `sets` or `numbers`."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the model's outputs are called, in their order; K of them.

        Where answers have no names, as spans of a text, there are none.
        """
        ...

    def take(self, indices: np.ndarray) -> Any:
        """Those of the examples at `indices`, in that order."""
        ...

    def identity(self, index: int) -> bytes:
        """What tells an example's annotation from another one, for the fingerprint."""
        ...

    def matched(self, names: tuple[str, ...]) -> Any:
        """The same in the order of a run's names, matched by name and never by position.

        Raises:
            DataError: a name is missing or unknown; both are told.
        """
        ...
