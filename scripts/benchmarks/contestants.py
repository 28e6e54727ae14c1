"""What is compared: fmkit's assembly, and the same net as a tutorial has it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import BATCH


def assembled(command: str, root: Path, words: Sequence[str]) -> Any:
    """What `fmkit COMMAND` would train on the photos under a folder, not augmented."""
    from fmkit.config import command_line
    from fmkit.config.preflight import check
    from fmkit.data import dataset
    from fmkit.data.sources import registry as source_registry
    from fmkit.models import registry as model_registry
    from fmkit.tasks import registry as task_registry
    from fmkit.train import assemble, devices

    names = {
        "model.name": model_registry.names(),
        "data.name": source_registry.names(),
        "task.name": task_registry.names(),
    }
    fixed = ["data=image_folder", f"data.root={root}", "data.augment=none"]
    fixed += [f"data.batch_size={BATCH}", "runtime.verbose=false"]
    config = check(command_line.parse(command, [*fixed, *words]), names)
    data = dataset.read(config.data, 0)
    return assemble.assemble(config, data, devices.prepare(config.runtime))


def new_run(folder: Path) -> Any:
    from fmkit.store.run_dir import RunWriter, claim

    run = RunWriter(claim(folder / "runs", "finetune"), "finetune")
    run.update()
    return run


def plain_model(assembly: Any) -> Any:
    """The same net, trainable as it is now, compiled as a tutorial does."""
    import keras

    model = keras.Model(assembly.model.inputs, assembly.model.outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


def plain_batches(root: Path, side: int) -> Any:
    import keras

    with contextlib.redirect_stdout(sys.stderr):
        return keras.utils.image_dataset_from_directory(str(root), image_size=(side, side))


def epoch_clock() -> Any:
    """A callback whose `seconds` are those of each epoch, validation included."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(time.perf_counter() - self._began)

    return Clock()
