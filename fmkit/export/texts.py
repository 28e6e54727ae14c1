"""Texts as the input of a deployed model: tokens, made by the library `tokenizers`.

B batch, T tokens of the longest text in a batch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.predict_inputs import TextInputs, texts_of_examples
from fmkit.evaluation.load_run import LoadedRun
from fmkit.export.inputs import DeployedInput, Sample
from fmkit.models.backbone import PADDING
from fmkit.models.tokenizers.tokenizer import STANDARD

_READ = '''\
def read(texts):
    """Texts, or pairs of them, as the model takes them: (texts, longest) int32, -1 at the end."""
    tokenizer = Tokenizer.from_file(str(FOLDER / "{file}"))
    before, between, after = {special}
    rows = []
    for text in texts:
        parts = [text] if isinstance(text, str) else text
        first, *second = (tokenizer.encode(part, add_special_tokens=False).ids for part in parts)
        room = {max_length} - len(before + after) - len(between) * len(second)
        if second:  # the longer text of a pair is cut first
            left = min(len(first), max(room - len(second[0]), room - room // 2))
            first, second = first[:left], [between + second[0][: room - left]]
        rows.append(sum([before, first[:room], *second, after], []) or [{empty}])
    tokens = np.full((len(rows), max(map(len, rows))), {padding}, np.int32)
    for row, ids in zip(tokens, rows):
        row[: len(ids)] = ids
    return tokens
'''


class TextTokens(DeployedInput):
    """Tokens of texts, each row filled up with -1."""

    name = "tokens"
    phrase = "ids of the tokens of a text, -1 after its end"
    install = "tokenizers"
    imports = "from tokenizers import Tokenizer"
    argument = "TEXT"

    def inputs(self, examples: Examples) -> TextInputs:
        """The texts or pairs; of documents, conversations or sentences the first text of each."""
        if hasattr(examples.content, "pairs"):
            return texts_of_examples(examples)
        first: dict[int, str] = {}
        for part in examples.content.text_parts():
            first.setdefault(part.index, part.text)
        ids = tuple(examples.ids[index] for index in first)
        return TextInputs(ids, Texts(tuple(first.values())), ("",) * len(ids))

    def sample(self, trained: LoadedRun, inputs: Any, limit: int, batch_size: int) -> Sample:
        """The first texts that can be read; they are given to the loader as texts."""
        backbone: Any = trained.backbone
        texts = inputs.texts.take(inputs.readable[:limit])
        pairs, batches, raw = texts.pairs, [], []
        for start in range(0, len(texts.texts), batch_size):
            part = slice(start, start + batch_size)
            second = None if pairs is None else pairs[part]
            rows, _ = backbone.tokenizer.encode(texts.texts[part], second, backbone.max_length)
            tokens = np.full((len(rows), max(map(len, rows))), PADDING, np.int32)
            for row, ids in zip(tokens, rows, strict=True):
                row[: len(ids)] = ids
            batches.append(tokens)
            raw.append(list(zip(texts.texts[part], second, strict=True)) if second is not None
                       else list(texts.texts[part]))  # fmt: skip
        return Sample(batches, raw if self._has_standard(backbone.tokenizer) else None)

    def shape(self, model_shape: Sequence[Any]) -> list[Any]:
        """The length where it is free."""
        batch, length = super().shape(model_shape)
        return [batch, "length" if length is None else length]

    def metadata(self, trained: LoadedRun, data: Any) -> dict[str, Any]:
        """The tokenizer's file, the longest text, and what rows are filled up with."""
        backbone: Any = trained.backbone
        has_file = self._has_standard(backbone.tokenizer)
        return {
            "tokenizer": STANDARD if has_file else None,
            "max_length": backbone.max_length,
            "padding": PADDING,
            "special_tokens": [list(ids) for ids in backbone.tokenizer.special_tokens],
        }

    def reader(self, trained: LoadedRun, data: Any) -> str:
        """Some lines around `tokenizers`; none for a vocabulary that it cannot hold."""
        backbone: Any = trained.backbone
        if not self._has_standard(backbone.tokenizer):
            return ""
        special = tuple(list(ids) for ids in backbone.tokenizer.special_tokens)
        return _READ.format(
            file=STANDARD, max_length=backbone.max_length, padding=PADDING, special=special,
            empty=backbone.tokenizer.end or 0,
        )  # fmt: skip

    def write_files(self, trained: LoadedRun, folder: Path) -> None:
        """`tokenizer.json`, or SentencePiece's own file."""
        backbone: Any = trained.backbone
        backbone.tokenizer.save(folder)

    def _has_standard(self, tokenizer: Any) -> bool:
        pieces = getattr(tokenizer, "pieces", None)
        return pieces is not None and pieces.to_library() is not None


TEXTS = TextTokens()
