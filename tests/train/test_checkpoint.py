"""A checkpoint is whole or absent, and nothing damaged is ever used."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from fmkit.errors import ArtifactError, NonFiniteError, ResourceError
from fmkit.train import checkpoint


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    hidden = keras.layers.BatchNormalization(name="norm")(
        keras.layers.Dense(4, name="first")(inputs)
    )
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(hidden))
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture
def parent(tmp_path, model):
    """Checkpoints of the steps 1, 5 and 20."""
    parent = tmp_path / "run" / "checkpoints"
    for step in (5, 1, 20):
        model.get_layer("last").bias.assign([step, -step])
        save(parent, step, model, {"phase": "full", "epoch": step})
    return parent


def save(parent, step, model, state):
    values = checkpoint.values(model, model.optimizer)
    return checkpoint.save(parent, step, *values, state)


def steps(parent):
    return [each.step for each in checkpoint.all_in(parent)]


def test_what_is_saved_comes_back(parent, model):
    saved = checkpoint.tensors(model.variables)
    for variable in model.variables:
        variable.assign(variable + 1)
    checkpoint.assign(model, checkpoint.read_weights(checkpoint.choose(parent, 20)))
    for path, value in checkpoint.tensors(model.variables).items():
        np.testing.assert_array_equal(value, saved[path])
    checkpoint.assign(model, checkpoint.read_weights(checkpoint.choose(parent, 1)), {"last/bias"})
    assert model.get_layer("last").bias.numpy().tolist() == [1, -1]
    state = json.loads((parent / "step-00000005" / checkpoint.STATE).read_text())
    assert state == {"step": 5, "phase": "full", "epoch": 5}


def test_the_best_is_chosen_or_the_newest(parent, tmp_path):
    assert steps(parent) == [1, 5, 20]
    assert checkpoint.choose(parent, None).step == 20
    assert checkpoint.choose(parent, 5).step == 5
    with pytest.raises(ArtifactError, match=r"no step 7.* 1, 5, 20"):
        checkpoint.choose(parent, 7)  # another one in its place would be a silent lie
    with pytest.raises(ArtifactError, match="no checkpoint"):
        checkpoint.choose(tmp_path / "other" / "checkpoints", None)


def test_pruning_keeps_the_newest_and_the_spared(parent):
    checkpoint.prune(parent, 2, {1})
    assert steps(parent) == [1, 5, 20]
    checkpoint.prune(parent, 1, {1})
    assert steps(parent) == [1, 20]
    checkpoint.prune(parent, 1, {20})
    assert [each.name for each in parent.iterdir()] == ["step-00000020"]


def test_leftovers_are_no_checkpoints(parent):
    for name in (".tmp-step-00000099-7", ".trash-step-00000098-7", "step-00000097 (copy)"):
        (parent / name).mkdir()
    (parent / "notes.txt").write_text("mine")
    assert steps(parent) == [1, 5, 20]
    assert checkpoint.choose(parent, None).step == 20
    checkpoint.prune(parent, 1, set())
    assert (parent / "step-00000097 (copy)").is_dir()


def test_every_damage_is_found(parent):
    place = checkpoint.choose(parent, 20).folder
    noise = np.random.default_rng(0)
    for path in sorted(place.iterdir()):
        content = path.read_bytes()
        damaged = [content[:length] for length in (0, 1, len(content) // 2, len(content) - 1)]
        damaged += [content + b"\0", bytes(len(content))]
        for _ in range(0 if path.name == checkpoint.MANIFEST else 20):
            flipped = bytearray(content)
            flipped[noise.integers(len(content))] ^= 1 << int(noise.integers(8))
            damaged.append(bytes(flipped))
        for each in damaged:
            if path.name == checkpoint.MANIFEST and each.strip() == content.strip():
                continue
            path.write_bytes(each)
            with pytest.raises(ArtifactError, match="step-00000020"):
                checkpoint.choose(parent, 20)
        path.unlink()
        with pytest.raises(ArtifactError, match="step-00000020"):
            checkpoint.choose(parent, None)
        path.write_bytes(content)
    checkpoint.verify(checkpoint.choose(parent, 20))


def test_files_of_another_checkpoint_are_refused(parent):
    one, two = (parent / checkpoint.name(step) / checkpoint.WEIGHTS for step in (1, 5))
    two.write_bytes(one.read_bytes())
    with pytest.raises(ArtifactError, match=checkpoint.WEIGHTS):
        checkpoint.choose(parent, 5)
    manifest = parent / "step-00000001" / checkpoint.MANIFEST
    manifest.write_text(json.dumps({"schema": 1, "step": 1, "files": {}}))
    with pytest.raises(ArtifactError, match=checkpoint.WEIGHTS):
        checkpoint.choose(parent, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_weight_that_is_not_finite_is_ever_written(value, parent, model):
    before = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    model.get_layer("norm").moving_variance.assign([1, value, 1, 1])
    with pytest.raises(NonFiniteError, match=r"step 21: norm/moving_variance"):
        save(parent, 21, model, {})
    after = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    assert before == after


def test_neither_is_a_slot_of_the_optimizer(parent, model):
    next(each for each in model.optimizer.variables if each.ndim == 2).assign(
        np.full((3, 4), np.inf)
    )
    with pytest.raises(NonFiniteError, match=r"step 21: optimizer/.*first_kernel"):
        save(parent, 21, model, {})
    assert steps(parent) == [1, 5, 20]


def test_weights_that_do_not_fit_change_nothing_silently(parent, model):
    weights = checkpoint.read_weights(checkpoint.choose(parent, None))
    del weights["first/bias"]
    weights["last/kernel"] = np.zeros((4, 3), np.float32)
    with pytest.raises(ArtifactError) as error:
        checkpoint.assign(model, weights)
    assert "first/bias is missing" in str(error.value)
    assert "last/kernel is (4, 3), not (4, 2)" in str(error.value)


def test_variables_of_one_path_are_told_apart():
    first, second = (keras.Variable([float(each)], name="same") for each in range(2))
    assert checkpoint.by_path([first, second]) == {"same": first, "same#2": second}


def test_a_file_in_place_of_the_folder_is_told(tmp_path, model):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(ResourceError, match="cannot save step 3") as error:
        save(tmp_path / "checkpoints", 3, model, {})
    assert error.value.exit_code == 6
    assert (tmp_path / "checkpoints").read_text() == ""


FULL = """
import resource, sys
from pathlib import Path
import keras, numpy as np
from fmkit.errors import ResourceError
from fmkit.train import checkpoint

inputs = keras.Input((64,))
model = keras.Model(inputs, keras.layers.Dense(64)(inputs))
model.compile(optimizer="adam", loss="mse")
model.optimizer.build(model.trainable_variables)
parent = Path(sys.argv[1])
def save(parent, step, model, state):
    return checkpoint.save(parent, step, *checkpoint.values(model, model.optimizer), state)
largest = max(path.stat().st_size
              for path in save(parent, 1, model, {}).folder.iterdir())
before = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for share in (0, 0.001, 0.25, 0.5, 0.75, 0.99):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * largest), hard))
    for step in (1, 2):
        try:
            save(parent, step, model, {})
            told = None
        except ResourceError as error:
            told = str(error)
        assert told and str(parent) in told and "MB free" in told, (share, told)
        after = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
        assert before == after, share
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
save(parent, 2, model, {})
print([each.step for each in checkpoint.all_in(parent)])
"""


def test_a_full_disk_leaves_the_older_checkpoints_as_they_were(tmp_path):
    words = [sys.executable, "-c", FULL, str(tmp_path / "checkpoints")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1, 2]"
