"""An update rule of two optimizers goes through the ordinary loop, as the default of one does.

The rule is adversarial: a critic learns to tell from the logits whether an image is bright, and the
classifier learns the classes and to fool the critic, each by an optimizer of its own, in turn.
"""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from small_runs import Trained, assembled, folder, settings
from test_resume import TIMES

from fmkit.config.schema.optimizer import SgdConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.errors import ArtifactError, NonFiniteError
from fmkit.optim.update_rule import UpdateRule
from fmkit.store import metrics_log
from fmkit.store.run_dir import RunWriter
from fmkit.train import ema, freeze, loop
from fmkit.train.checkpoints import checkpoint, resume
from fmkit.train.task_model import TaskModel

STEPS = 12


class Adversarial(UpdateRule):
    """First the critic, then the classifier against it."""

    def group_variables(self, model):
        critic = [each for each in model.trainable_variables if "head_critic" in each.path]
        critics = {id(each) for each in critic}
        classifier = [each for each in model.trainable_variables if id(each) not in critics]
        return {"classifier": classifier, "critic": critic}

    def train_step(self, model, batch):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        bright = keras.ops.cast(keras.ops.mean(x, axis=(1, 2, 3)) > 125, "float32")

        def critic_loss():
            _, verdict = model(x, training=False)
            return keras.ops.mean(keras.losses.binary_crossentropy(bright, verdict[:, 0], True))

        losses = []

        def classifier_loss():
            outputs = model(x, training=True)
            losses.append(outputs)
            own = model.compute_loss(x, y, outputs, sample_weight, training=True)
            verdict = outputs[1][:, 0]
            fooled = keras.ops.mean(keras.losses.binary_crossentropy(1 - bright, verdict, True))
            return own + 0.3 * fooled

        model.minimize("critic", critic_loss)
        loss = model.minimize("classifier", classifier_loss)
        return model.finish_step(x, y, losses[0], sample_weight, loss)


class WithCritic:
    """The classification task of an assembly, with a critic and its rule."""

    def __init__(self, task):
        self._task = task

    def __getattr__(self, name):
        return getattr(self._task, name)

    def update_rule(self):
        return Adversarial()

    def loss(self, targets, outputs, weights, training):
        return self._task.loss(targets, outputs[0], weights, training)

    def metrics(self):
        return [[keras.metrics.CategoricalAccuracy(name="accuracy")], []]


def adversarial(config):
    """An assembly whose network has logits and a critic's verdict on them."""
    assembly = assembled(config)
    task = WithCritic(assembly.task)
    logits = assembly.model.output
    verdict = keras.layers.Dense(1, name="head_critic")(logits)
    model = TaskModel(assembly.model.input, [logits, verdict], task)
    return dataclasses.replace(assembly, task=task, model=model)


def two_phases(**changes):
    stage = {
        "head": PhaseConfig(train="head", epochs="2"),
        "full": PhaseConfig(epochs="2", batchnorm="train", learning_rate=0.003),
    }
    return settings(
        stage, model_dropout=0.3, data_augment="light", runtime_cache="never",
        optimizer_weight_decay=0.05, runtime_log_every=1, runtime_save_every="1 steps",
        runtime_keep=99, task_monitor="loss", **changes,
    )  # fmt: skip


def run_of(parent, config):
    assembly, run = adversarial(config), folder(parent)
    return Trained(assembly, run, loop.train(assembly, run))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    config = two_phases(optimizer_ema=0.8, optimizer_accumulation=2)
    return run_of(tmp_path_factory.mktemp("untouched"), config)


def training_arrays(run):
    return checkpoint.read_training(checkpoint.list_checkpoints(run.checkpoints)[-1])


def snapshot(done):
    rows = [{key: row[key] for key in row if key not in TIMES} for row in done.rows]
    return done.weights, training_arrays(done.run), rows


def test_each_optimizer_updates_its_own_variables_in_each_phase(untouched):
    first = checkpoint.read_weights(checkpoint.best_or_newest(untouched.run.checkpoints, 1))
    done = untouched.weights
    for path in ("head_critic/kernel", "logits/kernel", "block3_conv/kernel"):
        assert np.abs(done[path] - first[path]).max() > 1e-4, path
    slots = [path for path in training_arrays(untouched.run) if path.startswith("optimizer/")]
    assert {path.split("/")[1] for path in slots} == {"classifier", "critic"}
    assert any("critic/adam/head_critic_kernel" in path for path in slots)
    assert not any("critic/" in path and "logits_kernel" in path for path in slots)
    assert [(result.name, result.epochs) for result in untouched.phases] == [
        ("head", 2), ("full", 2),
    ]  # fmt: skip


def test_what_a_phase_freezes_is_left_alone_by_both(untouched):
    at_end_of_head = checkpoint.read_weights(
        checkpoint.best_or_newest(untouched.run.checkpoints, 6)
    )
    first = checkpoint.read_weights(checkpoint.best_or_newest(untouched.run.checkpoints, 1))
    np.testing.assert_array_equal(at_end_of_head["stem_conv/kernel"], first["stem_conv/kernel"])


def test_averages_are_kept_of_the_variables_of_both(untouched):
    optimizers = untouched.assembly.model.optimizers
    assert list(optimizers) == ["classifier", "critic"]
    averaged = {variable.path for variable, _ in ema.pairs(optimizers)}
    assert {"head_critic/kernel", "logits/kernel", "stem_conv/kernel"} <= averaged


@pytest.mark.parametrize("step", [2, 3, 7, 11])
def test_it_resumes_bit_for_bit_with_the_slots_of_both(untouched, step, tmp_path):
    """Within an update that accumulates two batches, between them, and in the second phase."""
    expected = snapshot(untouched)
    assert len([row for row in expected[2] if "val_loss" not in row]) == STEPS
    run = RunWriter(shutil.copytree(untouched.run.folder, tmp_path / "cut"), "finetune")
    for saved in checkpoint.list_checkpoints(run.checkpoints):
        if saved.step > step:
            shutil.rmtree(saved.folder)
    state, problems = resume.find_state(run.checkpoints)
    assert (state.step, problems) == (step, [])
    metrics_log.truncate(run.folder, state.rows)
    assembly = untouched.assembly
    noise = np.random.default_rng(1)
    for variable in assembly.model.variables:
        variable.assign(noise.uniform(0, 9, variable.shape).astype(variable.dtype))
    weights, training, rows = snapshot(Trained(assembly, run, loop.train(assembly, run, state)))
    assert rows == expected[2]
    for arrays, others in ((weights, expected[0]), (training, expected[1])):
        assert arrays.keys() == others.keys()
        for path, value in arrays.items():
            np.testing.assert_array_equal(value, others[path], err_msg=path)


def test_a_checkpoint_of_one_optimizer_is_refused(untouched, tmp_path):
    run = RunWriter(shutil.copytree(untouched.run.folder, tmp_path / "cut"), "finetune")
    chosen = checkpoint.best_or_newest(run.checkpoints, 3)
    training = {
        path: value
        for path, value in checkpoint.read_training(chosen).items()
        if "/critic/" not in path
    }
    checkpoint.save(
        run.checkpoints, 3, checkpoint.read_weights(chosen), training, checkpoint.read_state(chosen)
    )
    for saved in checkpoint.list_checkpoints(run.checkpoints):
        if saved.step > 3:
            shutil.rmtree(saved.folder)
    state, _ = resume.find_state(run.checkpoints)
    with pytest.raises(ArtifactError, match=r"the optimizer: critic/.* is not in the checkpoint"):
        loop.train(untouched.assembly, run, state)


def test_a_multiplier_of_a_block_counts_for_its_own_optimizer(tmp_path):
    stage = {"full": PhaseConfig(epochs="2", batchnorm="train", rates={"stem|block.": 1e-12})}
    config = settings(stage, runtime_keep=9, task_monitor="loss", runtime_save_every="1 steps")
    done = run_of(tmp_path, config)
    first = checkpoint.read_weights(checkpoint.best_or_newest(done.run.checkpoints, 1))
    np.testing.assert_allclose(
        done.weights["stem_conv/kernel"], first["stem_conv/kernel"], atol=1e-9
    )
    for path in ("logits/kernel", "head_critic/kernel"):
        assert np.abs(done.weights[path] - first[path]).max() > 1e-3, path


def test_the_updates_are_those_of_two_plain_optimizers(tmp_path):
    """Two steps of the rule, against `keras.optimizers.SGD` on gradients made by hand."""
    tf = pytest.importorskip("tensorflow")
    config = settings(
        {"head": PhaseConfig(train="head", epochs="2 steps")},
        task_monitor="loss", runtime_cache="never",
    )  # fmt: skip
    config.optimizer = SgdConfig(
        name="sgd", learning_rate=0.1, momentum=0.9, nesterov=False, weight_decay=0.0,
        schedule="constant", warmup="0%", clip_norm=None,
    )  # fmt: skip
    assembly = adversarial(config)
    freeze.apply(assembly.model, assembly.backbone, assembly.phases[0])
    start = [np.asarray(each) for each in assembly.model.variables]
    rule = Adversarial()
    groups = rule.group_variables(assembly.model)
    by_hand = {name: keras.optimizers.SGD(0.1, 0.9) for name in groups}
    for batch in assembly.training_batches(assembly.phases[0], 0, assembly.phases[0].steps):
        for name in ("critic", "classifier"):
            with tf.GradientTape() as tape:
                x, y = batch
                logits, verdict = assembly.model(x, training=name == "classifier")
                bright = keras.ops.cast(keras.ops.mean(x, axis=(1, 2, 3)) > 125, "float32")
                goal = bright if name == "critic" else 1 - bright
                loss = keras.ops.mean(keras.losses.binary_crossentropy(goal, verdict[:, 0], True))
                if name == "classifier":
                    loss = 0.3 * loss + assembly.task.loss(y, (logits, verdict), None, True)
            by_hand[name].apply_gradients(
                zip(tape.gradient(loss, groups[name]), groups[name], strict=True)
            )
    expected = {each.path: np.asarray(each) for each in assembly.model.trainable_variables}
    for variable, value in zip(assembly.model.variables, start, strict=True):
        variable.assign(value)
    done = loop.train(assembly, folder(tmp_path))
    assert done[0].epochs == 1
    for variable in assembly.model.variables:
        if variable.path in expected:
            np.testing.assert_allclose(variable, expected[variable.path], atol=1e-6)


def test_a_loss_that_is_not_finite_is_found_at_its_step(tmp_path):
    stage = {"full": PhaseConfig(epochs="3", batchnorm="train")}
    config = settings(stage, optimizer_learning_rate=1e30, task_monitor="loss")
    with pytest.raises(
        NonFiniteError, match=r"loss became \w+ at step \d+ \(phase full, epoch 1\)"
    ):
        run_of(tmp_path, config)
