"""Perplexity of a causal language model by document, each read by itself from its beginning.

`eval/<split>.json` has the loss over windows in which documents follow each other, as in training.

N documents, M rows of tokens, B batch, T tokens of the longest row in a batch.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fmkit.core.bootstrap import ExampleSums, Sums
from fmkit.data.examples import Examples
from fmkit.data.loaders.packing import Packing
from fmkit.data.loaders.text_loader import pad
from fmkit.evaluation.diagnostics.results import Diagnostics
from fmkit.evaluation.progress import Progress
from fmkit.tasks.language import token_losses

_BATCH = 8  # rows at once: their logits are as wide as the vocabulary


def diagnostics(
    trained: Any, examples: Examples, bootstrap: int, seed: int, verbose: bool
) -> Diagnostics:
    """Tokens, loss in nats per token and perplexity of each document, and of all together.

    A document longer than the model's input is read in rows that follow each other, each without
    those before it. They overlap by one token, so that all but the document's first are predicted.

    Args:
        trained: the run, a `fmkit.evaluation.load_run.LoadedRun` of a causal language model.
        examples: the documents.
        bootstrap: resamples behind the interval, over documents.
        seed: of the resamples.
        verbose: whether progress is shown.
    """
    count = len(examples)
    losses, tokens = np.zeros(count), np.zeros(count)
    rows = list(_rows(trained.backbone, examples))
    rows.sort(key=lambda row: -len(row[1]))  # of one length, so that little is padded
    with Progress("documents", "rows", len(rows), verbose=verbose) as progress:
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            padded = pad([row for _, row in batch], trained.backbone.max_length)
            inputs, targets = trained.task.prepare_batch(padded, np.random.default_rng(0))
            values, used = token_losses.losses(targets, trained.model(*inputs, training=False))
            documents = [document for document, _ in batch]
            np.add.at(losses, documents, np.asarray(values * used, np.float64).sum(axis=1))
            np.add.at(tokens, documents, np.asarray(used, np.float64).sum(axis=1))
            progress.advance(len(batch))
    has_tokens = tokens > 0
    ids = [name for name, kept in zip(examples.ids, has_tokens, strict=True) if kept]
    return _summary(ids, losses[has_tokens], tokens[has_tokens], bootstrap, seed)


def _rows(backbone: Any, examples: Examples) -> Iterator[tuple[int, np.ndarray]]:
    """Position of a document, and at most `max_length` of its tokens that follow each other."""
    packing = Packing(backbone.tokenizer, backbone.max_length, backbone.is_causal)
    opening, closing = packing.around_document
    step, parts = backbone.max_length - 1, []
    for part in examples.content.text_parts():
        parts.append(part.text)
        if not part.is_last:
            continue
        encoded = backbone.tokenizer.tokens(parts)
        stream = np.concatenate([opening, *encoded, closing]).astype(np.int32)
        parts = []
        for start in range(0, len(stream) - 1, step):
            yield part.index, stream[start : start + backbone.max_length]


def _summary(
    ids: list[str], losses: np.ndarray, tokens: np.ndarray, bootstrap: int, seed: int
) -> Diagnostics:
    """Figures of documents (N,) with their summed losses and their predicted tokens."""
    sums = ExampleSums({"loss": losses[:, None], "tokens": tokens[:, None]})

    def perplexity(sums: Sums) -> dict[str, np.ndarray]:
        return {"perplexity": np.exp(sums["loss"][:, 0] / sums["tokens"][:, 0])}

    of_each = np.exp(losses / tokens)
    order = np.argsort(-of_each, kind="stable")
    figures = {
        "n": len(ids),
        "tokens": int(tokens.sum()),
        "perplexity": float(perplexity(sums.totals())["perplexity"][0]),
        "interval": sums.intervals(perplexity, ["perplexity"], bootstrap, seed)["perplexity"],
        "median_perplexity": float(np.median(of_each)),
    }
    table = {
        "id": [ids[row] for row in order],
        "tokens": tokens[order].astype(np.int64),
        "loss": (losses / tokens)[order],
        "perplexity": of_each[order],
    }
    return Diagnostics({"documents": figures}, tables={"documents": table})
