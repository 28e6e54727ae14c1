"""A task and a source are added by one file of their own: nothing else knows of them."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from whole_runs import only_run

from fmkit.core import registry

REPOSITORY = Path(__file__).parent.parent

PLUGIN = '''
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops
from PIL import Image

from fmkit.config.registry import Evaluator, SourceEntry, TaskEntry
from fmkit.config.schema.data import ImageData
from fmkit.config.schema.keys import Range, key
from fmkit.config.schema.task import TaskConfig
from fmkit.data.content.images import ImageArray
from fmkit.data.examples import without_classes
from fmkit.data.targets import Numbers
from fmkit.models import heads
from fmkit.tasks.base import Task


@dataclass
class DuskData(ImageData):
    """Grey images; the number to learn is their brightness."""

    name: str = "dusk"
    darkest: int = key(20, "Brightness of the darkest image, 0 to 255.")


def dusk(config):
    values = np.linspace(config.darkest, 255, 80)
    noise = np.random.default_rng(0).normal(0, 3, (80, 16, 16))
    pixels = (values[:, None, None] + noise).clip(0, 255).astype(np.uint8)
    numbers = Numbers(("brightness",), values[:, None] / 255)
    return without_classes([f"{i:03d}" for i in range(80)], ImageArray(pixels), numbers)


@dataclass
class PinballConfig(TaskConfig):
    """A quantile of a number."""

    name: str = "pinball"
    monitor: str = "val_coverage_error"
    tau: float = key(0.5, "The quantile.", range=Range("between 0 and 1", lambda x: 0 < x < 1))


class Pinball(Task):
    name = "pinball"
    epoch_metrics = ("coverage_error",)

    def __init__(self, config, spec):
        self.tau = config.tau

    def targets(self, examples):
        return examples.annotations.values.astype(np.float32)

    def head(self, backbone, config):
        return heads.logits(1)(heads.pool(backbone))

    def loss(self, targets, outputs, weights, training):
        error = targets - outputs
        return ops.mean(ops.maximum(self.tau * error, (self.tau - 1) * error))

    def metrics(self):
        return [keras.metrics.MeanAbsoluteError(name="distance")]

    def epoch_evaluator(self, network, loader, examples, splits):
        indices = splits["val"]
        targets = self.targets(examples)[indices]

        def evaluate(jit_compile):
            outputs = network.predict(loader.ordered(indices), verbose=0)
            return {"coverage_error": abs(float((targets < outputs).mean()) - self.tau)}

        return evaluate


def evaluate(inputs):
    targets = inputs.task.targets(inputs.examples)[inputs.indices]
    outputs = inputs.model.predict(inputs.loader.ordered(inputs.indices), verbose=0)
    ids = [inputs.examples.ids[index] for index in inputs.indices]
    metrics = {"n": len(ids), "coverage": float((targets < outputs).mean())}
    return metrics, {"id": ids, "label": targets[:, 0], "prediction": outputs[:, 0]}


def predict(outputs, spec):
    return {"prediction": outputs[:, 0], "prediction_in_grey_values": outputs[:, 0] * 255}


TASKS = {
    "pinball": TaskEntry(
        PinballConfig,
        Pinball,
        learns="numbers",
        modality="image",
        metrics=("distance",),
        validation_metrics=("coverage_error",),
        smaller_is_better=("loss", "distance", "coverage_error"),
        evaluator=Evaluator(
            evaluate, ("coverage",), predict_outputs=predict, tables=({"coverage": "share below"},)
        ),
        has_recipe=False,
    )
}
DATA = {"dusk": SourceEntry(DuskData, dusk, modality="image", labels=("numbers",))}
'''

WORDS = ("pinball", "dusk", "darkest", "coverage_error")
"""Names that only the plugin has."""

TRAINED = ["plugins=own.py", "task=pinball", "task.tau=.9", "data=dusk", "data.darkest=40",
           "model=small_cnn", "stage=scratch", "stage.full.epochs=4", "data.batch_size=8",
           "data.augment=none", "optimizer.learning_rate=.01"]  # fmt: skip


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "own.py").write_text(PLUGIN)


def test_no_file_of_the_package_or_its_config_names_the_plugin():
    names = re.compile("|".join(WORDS), re.IGNORECASE)
    files = [path for folder in ("fmkit", "conf") for path in (REPOSITORY / folder).rglob("*.*")]
    texts = [path for path in files if path.suffix in {".py", ".yaml", ".md", ".json", ".txt"}]
    assert len(texts) > 300
    assert [str(path) for path in texts if names.search(path.read_text(encoding="utf-8"))] == []


def test_a_task_and_a_source_of_a_plugin_are_trained_evaluated_and_predict(fmkit, tmp_path, plugin):
    code, out, err = fmkit("finetune", *TRAINED)
    assert code == 0, err
    folder = only_run(tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["task"] == {"name": "pinball", "monitor": "val_coverage_error", "tau": 0.9}
    assert config["data"]["darkest"] == 40
    status = json.loads((folder / "status.json").read_text())
    assert (status["task"], status["data"]) == ("pinball", "dusk")
    assert status["best"]["monitor"] == "val_coverage_error"
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    errors = [row["val_coverage_error"] for row in epochs if "val_coverage_error" in row]
    assert len(errors) == 4
    assert status["best"]["value"] == pytest.approx(min(errors))  # less is better, as its row says
    assert "share below" in out

    code, out, err = fmkit("eval", f"run={folder}", "plugins=own.py")
    assert code == 0, err
    assert "dusk, test" in out
    assert "share below" in out
    figures = json.loads((folder / "eval/test.json").read_text())
    table = pd.read_parquet(folder / "eval/test.parquet")
    assert (figures["n"], list(table)) == (len(table), ["id", "label", "prediction"])
    assert figures["coverage"] == (table["label"] < table["prediction"]).mean()

    photos = tmp_path / "photos"
    photos.mkdir()
    for name, value in (("a", 60), ("b", 250)):
        Image.fromarray(np.full((16, 16, 3), value, np.uint8)).save(photos / f"{name}.png")
    words = [f"run={folder}", f"input={photos}", "output=out.csv", "plugins=own.py"]
    code, out, err = fmkit("predict", *words)
    assert code == 0, err
    predicted = pd.read_csv(tmp_path / "out.csv")
    assert list(predicted) == ["path", "prediction", "prediction_in_grey_values"]
    assert np.isfinite(predicted["prediction"]).all()

    for names in registry._from_plugin_file.values():  # as a process that has not read the file
        names.clear()
    code, out, err = fmkit("eval", f"run={folder}")
    assert code == 2
    assert "plugins=own.py" in err


def test_the_keys_and_monitors_of_a_plugin_are_checked_and_explained(fmkit, plugin):
    for word, parts in (
        ("task.tau=2", ("task.tau", "between 0 and 1")),
        ("task.monitor=val_accuracy", ("val_coverage_error", "val_distance")),
        ("data.darkness=3", ("data.darkest",)),
        ("data=digits", ("task.name=pinball learns numbers", "data=dusk")),
        ("task=classification", ("data=dusk has numbers", "task=pinball")),
    ):
        words = ["plugins=own.py", "task=pinball", "data=dusk", "model=small_cnn", word]
        code, _, err = fmkit("finetune", *words)
        assert code == 2, word
        assert all(part in err for part in parts), err


def test_the_examples_of_the_guide_work(fmkit, tmp_path):
    page = (REPOSITORY / "fmkit/guide/plugins.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    lines = re.findall(r"`fmkit (finetune [^`]*)`", page)
    assert len(blocks) == len(lines) == 2
    for index, line in enumerate(lines):
        (tmp_path / "own.py").write_text("\n".join(blocks[: index + 1]))
        more = ["stage.full.epochs=1", f"runs_dir=runs{index}"]
        code, _, err = fmkit(*line.split(), *more)
        assert code == 0, err
        (folder,) = (tmp_path / f"runs{index}/finetune").iterdir()
        code, _, err = fmkit("eval", f"run={folder}", "plugins=own.py")
        assert code == 0, err
    assert list(pd.read_parquet(folder / "eval/test.parquet")) == ["is_right"]
