"""LoRA in a run: what trains, what is kept, what is deployed, and what another run takes over."""

import keras
import numpy as np
import pytest
from small_runs import Trained, assembled, folder, settings

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.evaluation import load_run
from fmkit.models import lora as adapters
from fmkit.models.backbone import Backbone, Block
from fmkit.store.run_reader import RunReader
from fmkit.train import build_model, freeze, loop
from fmkit.train.checkpoints import checkpoint, variables
from fmkit.train.phases import Phase


def config(rank=2, init=None, **changes):
    stage = {"adapters": PhaseConfig(train="lora", epochs="2")}
    found = settings(stage, model_name="small_vit", model_lora_rank=rank, **changes)
    found.init = None if init is None else str(init)
    return found


def probabilities(model):
    """Of a model with the same pixels each time, on its way through no compiled function."""
    pixels = np.random.default_rng(5).uniform(0, 255, (6, 8, 8, 3)).astype(np.float32)
    return keras.ops.convert_to_numpy(keras.ops.softmax(model(pixels)))


def finish(assembly, run):
    """Write what other commands read of a run."""
    run.write_config(assembly.config)
    run.write_environment(data=assembly.spec.as_dict())


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    """A trained run, its weights before, its probabilities after."""
    settings = config(optimizer_ema=0.5, optimizer_weight_decay=0.1, model_lora_alpha=4.0)
    assembly, run = assembled(settings), folder(tmp_path_factory.mktemp("lora"))
    before = variables.arrays(assembly.model.variables)
    trained = Trained(assembly, run, loop.train(assembly, run))
    finish(assembly, run)
    return trained, before, probabilities(assembly.model)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run without adapters, with weights of its own."""
    assembly, run = assembled(config(rank=0, runtime_seed=3)), folder(tmp_path_factory.mktemp("no"))
    assembly.model.compile()
    values = variables.collect(assembly.model, assembly.model.optimizers)
    checkpoint.save(run.checkpoints, 1, *values, {})
    finish(assembly, run)
    return run.folder, variables.arrays(assembly.model.variables)


def is_head(path):
    return path.startswith("logits/")


def test_adapters_and_head_train_and_no_other_byte_moves(lora):
    trained, before, _ = lora
    after = trained.saved()
    assert after.keys() == before.keys()
    moved = {path for path, value in after.items() if value.tobytes() != before[path].tobytes()}
    expected = {path for path in before if adapters.is_adapter_path(path) or is_head(path)}
    assert moved == expected
    assert len(moved) == 2 * 18 + 2


def test_what_trains_in_each_phase_whatever_came_before(lora):
    trained, before, _ = lora
    model, backbone = trained.assembly.model, trained.assembly.backbone
    learned = {path for path in before if "seed" not in path}
    head = {path for path in learned if is_head(path)}
    own = {path for path in learned if adapters.is_adapter_path(path)}
    kernels = {path.replace("lora_kernel_a", "kernel") for path in own if path.endswith("_a")}
    expected = {"head": head, "lora": head | own, "all": learned - kernels}
    for train in ("all", "head", "lora", "all", "lora", "head"):
        freeze.apply(model, backbone, Phase("any", train, "train", 1e-3, 3, 3, None))
        assert {each.path for each in model.trainable_variables} == expected[train]


def test_batchnorm_is_frozen_while_adapters_train():
    images = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization(name="bn")(keras.layers.Dense(4, name="dense")(images))
    model = keras.Model(images, x)
    block = Block("all", (model.get_layer("dense"), model.get_layer("bn")))
    backbone = Backbone("mixed", model, 8, (block,), "map")
    adapters.add_adapters(backbone, ModelConfig(name="mixed", lora_rank=2))
    phase = Phase("any", "lora", "train", 1e-3, 3, 3, None)
    freeze.apply(model, backbone, phase)
    assert not model.get_layer("bn").trainable  # its moving statistics stand still by that alone
    names = {each.path for each in model.trainable_variables}
    assert names == {"dense/lora_kernel_a", "dense/lora_kernel_b"}


def test_a_run_is_rebuilt_and_deployed_as_a_plain_model(lora, tmp_path):
    trained, before, expected = lora
    found = load_run.load(RunReader(trained.run.folder), trained.assembly.config.runtime)
    np.testing.assert_allclose(probabilities(found.model), expected, atol=1e-5)
    deployed = build_model.inference_model(
        found.model, found.task, trained.assembly.config.data, trained.assembly.backbone.modality
    )
    deployed.save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert "lora_rank" not in str(model.get_config())
    sizes = {path: value.size for path, value in before.items() if "seed" not in path}
    own = sum(size for path, size in sizes.items() if adapters.is_adapter_path(path))
    assert model.count_params() == sum(sizes.values()) - own
    pixels = trained.assembly.examples.content.pixels
    mine = keras.ops.softmax(trained.assembly.model(pixels.astype(np.float32)))
    np.testing.assert_allclose(model(pixels), mine, atol=1e-5)


def test_a_run_with_the_same_adapters_trains_them_on(lora):
    trained, _, expected = lora
    then = config(init=trained.run.folder, runtime_seed=1, model_lora_alpha=4.0)
    assembly = assembled(then)
    found = variables.arrays(assembly.model.variables)
    for path, value in trained.saved().items():
        if "seed" not in path:
            np.testing.assert_array_equal(found[path], value, err_msg=path)
    np.testing.assert_allclose(probabilities(assembly.model), expected, atol=1e-6)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_run_with_other_adapters_or_none_starts_from_the_merged_kernels(rank, lora, capsys):
    trained, _, expected = lora
    assembly = assembled(config(rank, init=trained.run.folder))  # at rank 2, alpha is another
    assert "merged into its kernels" in capsys.readouterr().err
    assert len(adapters.adapted_layers(assembly.model)) == (18 if rank else 0)
    np.testing.assert_allclose(probabilities(assembly.model), expected, atol=1e-5)


def test_a_run_without_adapters_gives_its_weights_to_one_with(plain):
    run, weights = plain
    assembly = assembled(config(init=run))
    found = variables.arrays(assembly.model.variables)
    for path, value in weights.items():
        if "seed" not in path:
            np.testing.assert_array_equal(found[path], value, err_msg=path)
    for layer in adapters.adapted_layers(assembly.model):
        assert not np.any(keras.ops.convert_to_numpy(layer.lora_kernel_b))
        assert np.any(keras.ops.convert_to_numpy(layer.lora_kernel_a))
