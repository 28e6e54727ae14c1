"""Examples with several parts that a model reads together, such as a photo and a question about it.

What is to be learned about an example is not a part but an annotation: boxes (`boxes.py`), a mask
or a target text (`target_content.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fmkit.data.examples import Content, TextPart


@dataclass(frozen=True, eq=False)
class Composite(Content):
    """Named parts, each the content of the same N examples.

    Attributes:
        parts: content by name, such as `image` and `question`; at least one.
    """

    parts: Mapping[str, Content]

    def __post_init__(self) -> None:
        lengths = {name: len(part) for name, part in self.parts.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"parts: received lengths {lengths}. Expected one length of all.")

    @property
    def modality(self) -> str:  # type: ignore[override]
        """The modalities of the parts, in their order, such as `image+text`."""
        return "+".join(dict.fromkeys(part.modality for part in self.parts.values()))

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def take(self, indices: np.ndarray) -> Composite:
        """The parts of the examples at `indices`, in that order."""
        return Composite({name: part.take(indices) for name, part in self.parts.items()})

    def identity(self, index: int) -> tuple[int, bytes]:
        """Sizes and bytes of all parts; a part's size and name delimit its bytes."""
        total, pieces = 0, []
        for name, part in self.parts.items():
            size, content = part.identity(index)
            total += size
            pieces.append(f"{name}\0{size}\0{len(content)}\0".encode() + bytes(content))
        return total, b"".join(pieces)

    def shape(self) -> str:
        """Names and shapes of the parts."""
        return repr([(name, part.shape()) for name, part in self.parts.items()])

    def digest(self) -> str:
        """The digests of the parts, which see changed files, too."""
        return " ".join(f"{name}={part.digest()}" for name, part in self.parts.items())

    def duplicate_key(self, index: int) -> bytes | None:
        """Two examples are copies where all of their parts are."""
        keys = [part.duplicate_key(index) for part in self.parts.values()]
        if any(key is None for key in keys):
            return None
        return b"".join(f"{len(key)}\0".encode() + bytes(key) for key in keys if key is not None)

    def size_columns(self) -> dict[str, np.ndarray]:
        """Those of all parts, each with the part's name before it."""
        return {
            f"{name}_{column}": values
            for name, part in self.parts.items()
            for column, values in part.size_columns().items()
        }

    def excerpt(self, index: int) -> dict[str, str]:
        """The texts of all parts, by the part's name where it has only one."""
        texts = {}
        for name, part in self.parts.items():
            for key, text in part.excerpt(index).items():
                texts[name if key == "text" else f"{name}_{key}"] = text
        return texts

    def text_parts(self) -> Iterator[TextPart]:
        """The texts of one part after the other."""
        for part in self.parts.values():
            yield from part.text_parts()
