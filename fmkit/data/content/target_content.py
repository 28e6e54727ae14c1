"""Targets that are content themselves: a mask for each image, a text for each text or recording."""

from dataclasses import dataclass
from typing import ClassVar

from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Content
from fmkit.data.targets import Annotations


@dataclass(frozen=True, eq=False)
class TargetContent(Annotations):
    """The content that a model has to produce from each example; a base class.

    Attributes:
        content: of the targets, in the order of the examples.
        names: what the values of the targets mean; empty where they have no names.
    """

    columns: ClassVar = ("content",)
    content: Content
    names: tuple[str, ...] = ()

    def identity(self, index: int) -> bytes:
        """Size and bytes of a target."""
        size, content = self.content.identity(index)
        return f"{size}\0{len(content)}\0".encode() + bytes(content)


@dataclass(frozen=True, eq=False)
class Masks(TargetContent):
    """Semantic segmentation: for each image one of its size, of positions in `names`."""

    kind: ClassVar[str] = "masks"
    content: ImageFiles | ImageArray


@dataclass(frozen=True, eq=False)
class TargetTexts(TargetContent):
    """Translation, summarisation and speech recognition: the text to write for each example."""

    kind: ClassVar[str] = "target_texts"
    content: Texts
