"""A checkpoint is whole or absent, and nothing damaged is ever used."""

import json
import re
import shutil

import keras
import numpy as np
import pytest
from full_disks import largest_file

from fmkit.core import atomic_dir, fault_injection, files
from fmkit.core.errors import ArtifactError, NonFiniteError, ResourceError
from fmkit.train.checkpoints import checkpoint, variables


@pytest.fixture(scope="module")
def built():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    hidden = keras.layers.BatchNormalization(name="norm")(
        keras.layers.Dense(4, name="first")(inputs)
    )
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(hidden))
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(scope="module")
def saved(built, tmp_path_factory):
    parent = tmp_path_factory.mktemp("saved") / "checkpoints"
    for step in (5, 1, 20):
        built.get_layer("last").bias.assign([step, -step])
        save(parent, step, built, {"phase": "full", "epoch": step})
    return parent, built.get_weights()


@pytest.fixture
def model(built, saved):
    built.set_weights(saved[1])
    return built


@pytest.fixture
def parent(tmp_path, saved):
    """Checkpoints of the steps 1, 5 and 20."""
    return shutil.copytree(saved[0], tmp_path / "run" / "checkpoints")


def save(parent, step, model, state):
    values = variables.collect(model, {"": model.optimizer})
    return checkpoint.save(parent, step, *values, state)


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def everything(parent):
    return {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}


def steps(parent):
    return [each.step for each in checkpoint.list_checkpoints(parent)]


def test_what_is_saved_comes_back(parent, model):
    saved = variables.arrays(model.variables)
    for variable in model.variables:
        variable.assign(variable + 1)
    variables.assign(model, checkpoint.read_weights(checkpoint.best_or_newest(parent, 20)))
    for path, value in variables.arrays(model.variables).items():
        np.testing.assert_array_equal(value, saved[path])
    variables.assign(
        model, checkpoint.read_weights(checkpoint.best_or_newest(parent, 1)), {"last/bias"}
    )
    assert model.get_layer("last").bias.numpy().tolist() == [1, -1]
    state = json.loads((parent / "step-00000005" / checkpoint.STATE).read_text())
    assert state == {"step": 5, "phase": "full", "epoch": 5}


def test_the_best_is_chosen_or_the_newest(parent, tmp_path):
    assert steps(parent) == [1, 5, 20]
    assert checkpoint.best_or_newest(parent, None).step == 20
    assert checkpoint.best_or_newest(parent, 5).step == 5
    with pytest.raises(ArtifactError, match=r"no step 7.* 1, 5, 20"):
        checkpoint.best_or_newest(parent, 7)  # another one in its place would be a silent lie
    with pytest.raises(ArtifactError, match="no checkpoint"):
        checkpoint.best_or_newest(tmp_path / "other" / "checkpoints", None)


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
    assert checkpoint.best_or_newest(parent, None).step == 20
    checkpoint.prune(parent, 1, set())
    assert (parent / "step-00000097 (copy)").is_dir()


def test_damage_to_any_file_is_found(parent):
    place = checkpoint.best_or_newest(parent, 20).folder
    for path in sorted(place.iterdir()):
        content = path.read_bytes()
        for wrong in (content[:-1], content + b"\0", bytes(len(content))):
            path.write_bytes(wrong)
            with pytest.raises(ArtifactError, match=f"step-00000020.*{path.name}"):
                checkpoint.best_or_newest(parent, 20)
        path.unlink()
        assert re.search(
            f"step-00000020.*{path.name}", checkpoint.find_damage(checkpoint.Checkpoint(place))
        )
        path.write_bytes(content)
    assert not checkpoint.find_damage(checkpoint.best_or_newest(parent, 20))


def test_files_of_another_checkpoint_are_refused(parent):
    one, two = (parent / checkpoint.folder_name(step) / checkpoint.WEIGHTS for step in (1, 5))
    two.write_bytes(one.read_bytes())
    with pytest.raises(ArtifactError, match=checkpoint.WEIGHTS):
        checkpoint.best_or_newest(parent, 5)
    manifest = parent / "step-00000001" / checkpoint.MANIFEST
    manifest.write_text(json.dumps({"schema": 1, "step": 1, "files": {}}))
    with pytest.raises(ArtifactError, match=checkpoint.MANIFEST):
        checkpoint.best_or_newest(parent, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_weight_that_is_not_finite_is_ever_written(value, parent, model):
    before = everything(parent)
    model.get_layer("norm").moving_variance.assign([1, value, 1, 1])
    with pytest.raises(NonFiniteError, match=r"step 21: norm/moving_variance"):
        save(parent, 21, model, {})
    with pytest.raises(NonFiniteError, match="optimizer/slot"):
        checkpoint.save(parent, 21, {}, {"optimizer/slot": np.float32([value])}, {})
    assert everything(parent) == before


def test_neither_is_a_slot_of_the_optimizer(parent, model):
    slot = next(each for each in model.optimizer.variables if each.ndim == 2)
    before = np.array(slot)
    slot.assign(np.full((3, 4), np.inf))
    try:
        with pytest.raises(NonFiniteError, match=r"step 21: optimizer/.*first_kernel"):
            save(parent, 21, model, {})
    finally:
        slot.assign(before)
    assert steps(parent) == [1, 5, 20]


def test_weights_that_do_not_fit_change_nothing_silently(parent, model):
    weights = checkpoint.read_weights(checkpoint.best_or_newest(parent, None))
    del weights["first/bias"]
    weights["last/kernel"] = np.zeros((4, 3), np.float32)
    with pytest.raises(ArtifactError) as error:
        variables.assign(model, weights)
    assert "first/bias is missing" in str(error.value)
    assert "last/kernel is (4, 3), not (4, 2)" in str(error.value)


def test_variables_of_one_path_are_told_apart():
    first, second = (keras.Variable([float(each)], name="same") for each in range(2))
    assert variables.by_path([first, second]) == {"same": first, "same#2": second}


def test_a_file_in_place_of_the_folder_is_told(tmp_path, model):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(ResourceError, match="cannot save step 3") as error:
        save(tmp_path / "checkpoints", 3, model, {})
    assert error.value.exit_code == 6
    assert (tmp_path / "checkpoints").read_text() == ""


@pytest.mark.parametrize("share", [0, 0.001, 0.25, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("step", [20, 21])
def test_a_full_disk_leaves_the_older_checkpoints_as_they_were(parent, model, share, step):
    before = everything(parent)
    largest = max(map(len, before.values()))
    with largest_file(int(share * largest)), pytest.raises(ResourceError) as error:
        save(parent, step, model, {"phase": "full"})
    assert error.value.message.startswith(f"disk full while saving step {step} (needs ")
    assert f" free in {parent}" in error.value.message
    assert "last good checkpoint is step 20." in error.value.message
    assert error.value.exit_code == 6
    assert everything(parent) == before
    with largest_file(largest):  # the control: with the last byte of room it is saved
        save(parent, step, model, {"phase": "full"})
    assert checkpoint.newest(parent)[0].step == step


def test_what_may_go_makes_room_on_a_full_disk(parent, model, monkeypatch):
    (parent / ".tmp-step-00000019-7").mkdir()
    monkeypatch.setattr(fault_injection, "_passed", {})
    monkeypatch.setenv(fault_injection.VARIABLE, "save.mid_write:1:ENOSPC")
    values = variables.collect(model, {"": model.optimizer})
    checkpoint.save(parent, 21, *values, {}, protected={1})
    assert steps(parent) == [1, 20, 21]
    assert not list(parent.glob(".*"))
    monkeypatch.setattr(fault_injection, "_passed", {})
    with pytest.raises(ResourceError, match="last good checkpoint is step 21"):
        checkpoint.save(parent, 22, *values, {})  # nothing was said of what may go
    assert steps(parent) == [1, 20, 21]


def test_a_damaged_newest_one_does_not_cost_the_last_good_one(parent, model, monkeypatch):
    (parent / checkpoint.folder_name(20) / checkpoint.TRAINING).write_bytes(b"")
    monkeypatch.setattr(files, "free_bytes", lambda folder: 0)
    with pytest.raises(ResourceError, match=r"0 kB free in .*; last good checkpoint is step 5"):
        checkpoint.save(parent, 21, *variables.collect(model, {}), {}, protected=())
    assert 5 in steps(parent)
    assert checkpoint.newest(parent)[0].step == 5


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(parent, model, monkeypatch):
    checkpoint.require_disk_space(parent, model, {"": model.optimizer})
    monkeypatch.setattr(files, "free_bytes", lambda folder: 500)
    with pytest.raises(ResourceError, match=r"need .* kB, 0.5 kB are free"):
        checkpoint.require_disk_space(parent, model, {"": model.optimizer})
    monkeypatch.setattr(atomic_dir, "write", None)
    with pytest.raises(ResourceError, match="disk full while saving step 21"):
        save(parent, 21, model, {})


def test_a_folder_that_may_not_be_written_is_told(parent, model, monkeypatch):
    monkeypatch.setattr(fault_injection, "_passed", {})
    monkeypatch.setenv(fault_injection.VARIABLE, "save.before_write:1:EACCES")
    with pytest.raises(ResourceError, match=r"cannot save step 21: Permission denied"):
        save(parent, 21, model, {})


STATE = {"phase": "full", "epoch": 2, "phase_step": 7, "stale": 0}


def test_the_state_comes_back_or_is_refused(tmp_path, model):
    saved = save(tmp_path, 7, model, {**STATE, "epoch": np.int64(2)})
    missing = {"best": None, "phase_best": None}
    found = checkpoint.read_state(saved)
    assert {key: found[key] for key in ("step", *STATE, *missing)} == {
        "step": 7,
        **STATE,
        **missing,
    }
    for wrong in ({"unknown": 1}, {"epoch": -1}, {"epoch": True}, {"phase": 3}, {"best": [1]}):
        with pytest.raises(ValueError, match=next(iter(wrong))):  # so no run loses it later
            save(tmp_path, 8, model, {**STATE, **wrong})
        path = saved.folder / checkpoint.STATE
        path.write_text(json.dumps({"step": 7, **STATE, **wrong}))
        with pytest.raises(ArtifactError, match=next(iter(wrong))):
            checkpoint.read_state(saved)
    for text in ("", "[]", "{}", "[" * 10_000, json.dumps({"step": 7})):
        path.write_text(text)
        with pytest.raises(ArtifactError, match=r"state\.json"):
            checkpoint.read_state(saved)


def test_what_only_training_needs_comes_back(parent, model):
    found = checkpoint.read_training(checkpoint.newest(parent)[0])
    slots = variables.arrays(model.optimizer.variables)
    assert set(found) == {f"optimizer/{path}" for path in slots}
    for path, value in slots.items():
        np.testing.assert_array_equal(found[f"optimizer/{path}"], value)


def test_the_newest_whole_one_is_taken_and_the_damaged_ones_are_named(parent, model):
    assert checkpoint.newest(parent) == (
        checkpoint.Checkpoint(parent / checkpoint.folder_name(20)),
        [],
    )
    flip(parent / checkpoint.folder_name(20) / checkpoint.TRAINING)
    chosen, problems = checkpoint.newest(parent)
    assert chosen.step == 5
    assert problems == [
        "checkpoint step-00000020 failed its checksum (training.safetensors), using step-00000005"
    ]
    (parent / checkpoint.folder_name(5) / checkpoint.MANIFEST).unlink()
    chosen, problems = checkpoint.newest(parent)
    assert (chosen.step, len(problems)) == (1, 2)
    flip(parent / checkpoint.folder_name(1) / checkpoint.STATE)
    with pytest.raises(ArtifactError, match=r"no checkpoint in .* is whole") as error:
        checkpoint.newest(parent)
    assert error.value.exit_code == 4
    assert all(checkpoint.folder_name(each) in error.value.message for each in (1, 5, 20))


def test_weights_alone_are_nothing_to_go_on_from(parent, model):
    checkpoint.save(parent, 30, variables.arrays(model.variables), None, {})
    assert checkpoint.newest(parent) == (
        checkpoint.Checkpoint(parent / checkpoint.folder_name(20)),
        [],
    )
    assert checkpoint.newest(parent, resumable=False)[0].step == 30
    for step in (1, 5, 20):
        atomic_dir.remove(parent / checkpoint.folder_name(step))
    with pytest.raises(ArtifactError, match="cannot resume from it"):
        checkpoint.newest(parent)


def test_a_damaged_best_one_is_refused_with_the_names_of_whole_ones(parent):
    flip(parent / checkpoint.folder_name(5) / checkpoint.WEIGHTS)
    with pytest.raises(ArtifactError) as error:
        checkpoint.best_or_newest(parent, 5)
    assert "failed its checksum (model.safetensors)" in error.value.message
    assert "Whole ones are step-00000001, step-00000020" in error.value.hint


def test_a_checkpoint_under_another_name_is_refused(parent):
    (parent / checkpoint.folder_name(5)).rename(parent / checkpoint.folder_name(25))
    assert checkpoint.newest(parent)[1] == [
        "checkpoint step-00000025 is that of step 5, moved, using step-00000020"
    ]


def test_a_save_over_a_step_replaces_it(parent, model):
    model.get_layer("last").bias.assign([7, 7])
    save(parent, 5, model, {})
    found = checkpoint.read_weights(checkpoint.best_or_newest(parent, 5))
    assert found["last/bias"].tolist() == [7, 7]
    assert steps(parent) == [1, 5, 20]
    assert not list(parent.glob(".*"))
