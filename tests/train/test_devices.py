"""Several devices, precisions, XLA, and the same numbers from the same command."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import images, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.core import safe_io
from fmkit.core.errors import ConfigError
from fmkit.evaluation import classification
from fmkit.train import build_model, devices
from fmkit.train.checkpoints import checkpoint

HERE = Path(__file__).parent

SEVERAL = """
import json, sys
from pathlib import Path

import tensorflow as tf

pieces = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[2])
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], pieces)

import keras
import numpy as np
from small_runs import assembled, images, settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import DpoConfig
from fmkit.core.errors import ConfigError
from fmkit.evaluation import classification
from fmkit.core.types import DataSpec
from fmkit.tasks.language.causal_lm import CausalLm
from fmkit.tasks.language.dpo import Dpo
from fmkit.train import build_model as building

stage = {"head": PhaseConfig(train="head", epochs="1"), "full": PhaseConfig(epochs="1")}
config = settings(stage, runtime_devices="all", optimizer_ema=0.5)
done = train(Path(sys.argv[1]), config)
assembly = done.assembly
with assembly.scope():
    model = building.inference_model(assembly.model, assembly.task, assembly.config.data, "image")
    done.run.save_model(model)
found = classification.to_probabilities(assembly.model.predict(assembly.ordered("val"), verbose=0))
pixels = assembly.examples.content.pixels[assembly.splits["val"]]
exported = keras.saving.load_model(done.run.folder / "model.keras").predict(pixels, verbose=0)
strategy = tf.distribute.get_strategy


def summed(loss):
    return float(strategy().reduce("SUM", strategy().run(loss), axis=None))


spec = DataSpec("text", (), {})
drawn = np.random.default_rng(0)
places, logits = drawn.integers(-1, 9, (4, 5)), drawn.normal(size=(4, 5, 9)).astype("float32")
pairs, answers = drawn.normal(size=(4, 4)).astype("float32"), logits[:, 0, :2]
with assembly.scope():
    losses = {
        "causal_lm": summed(lambda: CausalLm(None, spec).loss(places, logits, None, True)),
        "dpo": summed(lambda: Dpo(DpoConfig(), spec).loss(pairs, answers, None, True)),
    }
told = ""
try:  # 49 to train on: the last batch is a single one
    assembled(config, images(61))
except ConfigError as error:
    told = str(error)
json.dump({"devices": len(assembly.devices.names), "rows": done.rows, "found": found.tolist(),
           "exported": exported.tolist(), "told": told, "losses": losses}, sys.stdout)
"""


PAINTING = """
import json, sys
from pathlib import Path

import tensorflow as tf

pieces = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[2])
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], pieces)

from small_runs import settings, train

from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.optimizer import SgdConfig
from fmkit.config.schema.task import MaskedImageConfig

stage = {"full": PhaseConfig(epochs="1")}
found = {}
for method in ("mae", "simmim"):
    config = settings(stage, runtime_devices="all", model_name="small_vit")
    config.optimizer = SgdConfig(learning_rate=0.1, warmup="0%")  # Adam sees no gradient's size
    config.task = MaskedImageConfig(method=method, decoder_depth=1)
    found[method] = train(Path(sys.argv[1]) / method, config).rows
json.dump(found, sys.stdout)
"""


def several(folder, count, code=SEVERAL):
    """A run on `count` devices, in a process of its own."""
    folder.mkdir()
    return started("-c", code, str(folder), str(count))


def started(*words, **options):
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path}, **options,
    )  # fmt: skip


def ended(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.mark.slow
def test_two_devices_train_as_one_does(tmp_path):
    processes = [several(tmp_path / str(count), count) for count in (1, 2)]
    one, two = (json.loads(ended(each)) for each in processes)
    assert (one["devices"], two["devices"]) == (1, 2)
    assert [row["step"] for row in two["rows"]] == [3, 6]
    for first, second in zip(one["rows"], two["rows"], strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert second[name] == pytest.approx(first[name], rel=1e-3), name
    np.testing.assert_allclose(two["found"], one["found"], atol=1e-3)
    np.testing.assert_allclose(two["exported"], two["found"], atol=1e-5)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)  # each has its share
    assert one["told"] == ""
    assert "49 examples" in two["told"]
    assert "data.batch_size=15" in two["told"]


@pytest.mark.slow
def test_hidden_pixels_are_painted_on_two_devices_as_on_one(tmp_path):
    processes = [several(tmp_path / str(count), count, PAINTING) for count in (1, 2)]
    one, two = (json.loads(ended(each)) for each in processes)
    for method in ("mae", "simmim"):
        for first, second in zip(one[method], two[method], strict=True):
            for name in ("loss", "val_loss"):
                assert second[name] == pytest.approx(first[name], rel=1e-3), (method, name)


def shared_out(batch, count):
    """How many examples each of `count` devices gets of a batch."""
    share = -(-batch // count)
    return [max(0, min(share, batch - number * share)) for number in range(count)]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_batch_size_is_taken_where_every_device_gets_an_example(count):
    machine = SimpleNamespace(names=["cpu"] * count)
    task = SimpleNamespace(name="any", views_per_image=1)
    for examples in (7, 8, 9, 48, 49, 100):
        for batch_size in range(1, examples + 2):
            batches = {min(batch_size, examples), examples % batch_size or batch_size}
            fits = all(min(shared_out(min(each, examples), count)) > 0 for each in batches)
            if fits:
                devices.check_batches(machine, task, examples, batch_size)
                continue
            with pytest.raises(ConfigError) as error:
                devices.check_batches(machine, task, examples, batch_size)
            assert f"received {batch_size}" in error.value.message
            if "nearest" in error.value.hint:
                named = int(error.value.hint.split("=")[1].split()[0])
                devices.check_batches(machine, task, examples, named)


@pytest.fixture
def _float32_again():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("_float32_again")
def test_mixed_precision_keeps_float32_weights_and_gives_float32_probabilities(tmp_path):
    done = train(tmp_path, settings(runtime_precision="mixed_bfloat16"))
    model = done.assembly.model
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert all(np.isfinite(row["val_loss"]) for row in done.rows)
    newest = checkpoint.list_checkpoints(done.run.checkpoints)[-1].folder
    for name in (checkpoint.WEIGHTS, checkpoint.TRAINING):
        kinds = {value.dtype.name for value in load_file(newest / name).values()}
        assert "float32" in kinds
        assert "bfloat16" not in kinds
    for path, value in done.saved().items():
        assert value.dtype == np.float32, path
    done.run.save_model(
        build_model.inference_model(model, done.assembly.task, done.assembly.config.data, "image")
    )
    exported = keras.saving.load_model(done.run.folder / "model.keras")
    assert exported.get_layer("resize").compute_dtype == "float32"  # no rounding of pixels
    indices = done.assembly.splits["val"]
    found = exported.predict(done.assembly.examples.content.pixels[indices], verbose=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    own = classification.to_probabilities(model.predict(done.assembly.ordered("val"), verbose=0))
    np.testing.assert_allclose(found, own, atol=0.02)
    assert devices.prepare(settings().runtime).precision == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_xla_trains_on_a_cpu_as_plain_execution_does(tmp_path):
    stage = {"full": PhaseConfig(epochs="1", batchnorm="train")}
    plain, compiled = (
        train(tmp_path / jit, settings(stage, runtime_jit=jit), images(40))
        for jit in ("false", "true")
    )
    assert compiled.assembly.model.jit_compile is True
    assert plain.assembly.model.jit_compile is False
    for name in ("loss", "val_loss"):
        assert compiled.rows[0][name] == pytest.approx(plain.rows[0][name], rel=1e-3)


def test_the_same_command_gives_the_same_bytes(tmp_path):
    words = ["-m", "fmkit.cli", "finetune", "model=small_cnn", "model.image_size=8", "data=digits",
             "data.limit=120", "data.augment=medium", "stage.head.epochs=1", "stage.full.epochs=1",
             "stage.full.batchnorm=train", "runtime=deterministic"]  # fmt: skip
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
    processes = [started(*words, cwd=place) for place in places]
    for each in processes:
        ended(each)
    (one,), (two,) = (list((place / "runs" / "finetune").iterdir()) for place in places)
    of_time = {"seconds", "examples_per_second", "rss_bytes"}
    rows = [
        [{key: value for key, value in row.items() if key not in of_time}
         for row in safe_io.read_json_lines(folder / "metrics.jsonl")]
        for folder in (one, two)
    ]  # fmt: skip
    assert len(rows[0]) == 2
    assert rows[0] == rows[1]
    names = [f"checkpoints/{each.folder.name}/{name}"
             for each in checkpoint.list_checkpoints(one / "checkpoints")
             for name in (checkpoint.WEIGHTS, checkpoint.TRAINING)]  # fmt: skip
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_jax_without_a_gpu_uses_the_cpu(monkeypatch):
    """JAX raises where it has no device of a kind, where Keras promises an empty list."""

    def none(kind):
        raise RuntimeError(f"Unknown backend: {kind!r} requested, but no platforms are present.")

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "list_devices", none)
    assert devices._accelerators() == ("cpu", ("cpu:0",), 0.0)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind: [f"{kind}:0"])
    assert devices._accelerators() == ("gpu", ("gpu:0",), 8.0)
