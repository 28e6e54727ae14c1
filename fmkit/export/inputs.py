"""What goes into a deployed model: a base class for modalities, and the examples of a check."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.data.examples import Examples
from fmkit.evaluation.load_run import LoadedRun


@dataclass(frozen=True)
class Sample:
    """Real examples on which an export is compared with the model that it came from.

    Attributes:
        batches: arrays as the network takes them, (B, ...) each.
        raw: the same examples as the loader's `read` takes them, a list for each batch; None where
            the arrays are given to the exported model.
    """

    batches: list[np.ndarray]
    raw: list[list[Any]] | None = None

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def of_whole_batches(self, size: int) -> "Sample":
        """Without a last batch that is smaller; a single one is filled with its own examples."""
        if len(self.batches[-1]) == size:
            return self
        raw = self.raw
        if len(self.batches) > 1:
            return Sample(self.batches[:-1], None if raw is None else raw[:-1])
        rows = np.arange(size) % len(self)
        repeated = None if raw is None else [[raw[0][row] for row in rows]]
        return Sample([self.batches[0][rows]], repeated)


class DeployedInput:
    """The input of a deployed model, and how a loader makes it; one instance serves a modality.

    Attributes:
        name: of the input.
        phrase: what it is.
        install: distributions that the loader's `read` needs.
        imports: lines at the top of the loader.
        argument: what the loader's command line takes, in a word.
    """

    name = "inputs"
    phrase = ""
    install = ""
    imports = ""
    argument = "INPUT"

    def inputs(self, examples: Examples) -> Any:
        """Examples of a data set as inputs of `fmkit predict`."""
        raise NotImplementedError

    def sample(self, trained: LoadedRun, inputs: Any, limit: int, batch_size: int) -> Sample:
        """Up to `limit` of the inputs of `fmkit predict`, in batches of one size."""
        raise NotImplementedError

    def shape(self, model_shape: Sequence[Any]) -> list[Any]:
        """The input's shape with names in place of sizes that vary."""
        return ["batch" if model_shape[0] is None else model_shape[0], *model_shape[1:]]

    def metadata(self, trained: LoadedRun, data: Any) -> dict[str, Any]:
        """How examples become the input, for metadata.json."""
        return {}

    def reader(self, trained: LoadedRun, data: Any) -> str:
        """The code of `read`, from raw examples to the input's array; empty where there is none."""
        return ""

    def write_files(self, trained: LoadedRun, folder: Path) -> None:
        """Write what `read` needs beside the model."""
