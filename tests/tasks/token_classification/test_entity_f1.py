"""F1 of entities in the graph, against `conlleval` word by word."""

import keras
import numpy as np
import pytest
from conlleval import counts, f1

from fmkit.data.content import tags
from fmkit.tasks.token_classification.entity_f1 import EntityF1

NAMES = tags.order_tags(
    ["O", *(f"{prefix}-{kind}" for kind in ("LOC", "PER") for prefix in "BIES")]
)
LOGITS = np.eye(len(NAMES), dtype=np.float32) * 5


def batch(drawn, rows=6, longest=14):
    """Targets with gaps between words, logits, and both as lists of names."""
    targets = drawn.choice(len(NAMES), (rows, longest), p=[0.4, *[0.6 / 8] * 8])
    guesses = np.where(drawn.random(targets.shape) < 0.7, targets,
                       drawn.integers(0, len(NAMES), targets.shape))  # fmt: skip
    used = drawn.random(targets.shape) < 0.7
    used[0] = False  # a row without words
    names = [
        [[NAMES[each] for each in row[mask]] for row, mask in zip(values, used, strict=True)]
        for values in (targets, guesses)
    ]
    return np.where(used, targets, -1).astype(np.int32), LOGITS[guesses], names


@pytest.mark.parametrize("jit", [False, True])
def test_batches_add_up_to_the_f1_of_conlleval(jit):
    import tensorflow as tf

    metric = EntityF1(tags.tag_scheme(NAMES))
    step = tf.function(metric.update_state, jit_compile=jit, reduce_retracing=not jit)
    drawn, truth, guess = np.random.default_rng(0), [], []
    for longest in (14, 14, 5, 1):
        targets, logits, names = batch(drawn, longest=longest)
        step(tf.constant(targets), tf.constant(logits))
        truth += names[0]
        guess += names[1]
    found = counts(truth, guess).values()
    total = {key: sum(each[key] for each in found) for key in ("right", "found", "there")}
    assert 0 < total["right"] < total["there"]
    assert float(metric.result()) == pytest.approx(f1(**total), abs=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_in_training_on_rows_of_any_length():
    inputs = keras.Input((None, len(NAMES)))
    model = keras.Model(inputs, keras.layers.Dense(len(NAMES))(inputs))
    model.compile(loss=lambda y, p: keras.ops.mean(p), metrics=[EntityF1(tags.tag_scheme(NAMES))])
    targets, logits, _ = batch(np.random.default_rng(1))
    history = model.fit(logits, targets, epochs=1, verbose=0)
    assert 0 <= history.history["f1"][0] <= 1
