"""Figures of tokens over batches whose rows are of different lengths."""

import numpy as np
import pytest

from fmkit.tasks.language import token_losses


def test_every_token_counts_the_same_however_long_the_rows_of_its_batch():
    drawn, metrics = np.random.default_rng(0), token_losses.TokenTask(None, None).metrics()
    losses, right = [], []
    for rows, width in ((4, 30), (4, 5), (1, 2)):
        targets = drawn.integers(-1, 3, (rows, width)).astype(np.int32)
        logits = drawn.normal(size=(rows, width, 3)).astype(np.float32)
        for each in metrics:
            each.update_state(targets, logits)
        used = targets >= 0
        chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        losses += (-np.log(chances[used, targets[used]])).tolist()
        right += (logits.argmax(-1) == targets)[used].tolist()
    loss, accuracy, perplexity = (float(each.result()) for each in metrics)
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert accuracy == pytest.approx(np.mean(right), rel=1e-5)
    assert perplexity == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)
