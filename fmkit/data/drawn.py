"""Inputs and targets that a task draws of a batch of images, inside the input pipeline.

B batch, S side in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from fmkit.data.batches import Prepare, generator

Shown = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[Any, Any]]
"""(step, images, targets) -> inputs and targets of the network."""


def shown(prepare: Prepare | None, image_size: int, chance: str) -> Shown:
    """What a network gets of a batch; without `prepare` the batch itself.

    Args:
        prepare: the task's; what it draws at a step is a function of `chance` and the step.
        image_size: S.
        chance: names the source of chance.
    """
    if prepare is None:
        return lambda step, images, targets: (images, targets)
    blank = np.zeros((1, image_size, image_size, 3), np.float32)
    inputs, target = prepare(blank, generator(f"images\0{chance}", 0))
    samples = [*inputs, target]  # tell shapes and types

    def draw(images: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, ...]:
        inputs, targets = prepare(images, generator(f"images\0{chance}", int(step)))
        return (*inputs, targets)

    def of_batch(step: tf.Tensor, images: tf.Tensor, targets: tf.Tensor) -> tuple[Any, Any]:
        kinds = [tf.as_dtype(each.dtype) for each in samples]
        # Not stateful: with op determinism tf.data would run stateful functions one by one.
        found = tf.numpy_function(draw, [tf.cast(images, tf.float32), step], kinds, stateful=False)
        for tensor, sample in zip(found, samples, strict=True):
            tensor.set_shape((None, *sample.shape[1:]))
        *inputs, made = found
        return (inputs[0] if len(inputs) == 1 else tuple(inputs)), made

    return of_batch
