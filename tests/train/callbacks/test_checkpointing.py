"""Which epoch is the best."""

from small_runs import Trained, assembled, folder, settings

from fmkit.config.schema.stage import PhaseConfig
from fmkit.train import loop


def test_an_accuracy_is_the_better_the_larger_it_is(tmp_path):
    stage = {"full": PhaseConfig(epochs="5", batchnorm="train")}
    assembly = assembled(settings(stage, task_monitor="val_accuracy"))
    run = folder(tmp_path)
    done = Trained(assembly, run, loop.train(assembly, run))
    values = [row["val_accuracy"] for row in done.rows]
    assert max(values) > min(values)
    best = done.status["best"]
    first = values.index(max(values)) + 1
    assert (best["epoch"], best["value"], best["monitor"]) == (first, max(values), "val_accuracy")
