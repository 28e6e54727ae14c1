"""Which keys count as the user's own."""

import pytest

from fmkit.config import command_line, user_overrides


def by_user(*words, command="finetune"):
    return user_overrides.keys_set_by_user(command_line.parse(command, words))


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("data.batch_size=8", {"data.batch_size"}),
        ("stage=frozen", {"stage"}),
        ("~stage.full", {"stage.full"}),
        ("stage.head={epochs: 3, patience: 1}", {"stage.head.epochs", "stage.head.patience"}),
        ("optimizer=sgd", {"optimizer.name", "optimizer.learning_rate", "optimizer.weight_decay"}),
        ("model=small_cnn", {"model.name", "model.weights"}),
        ("data=digits", {"data.name", "data.augment", "data.flip"}),
        ("data='digits'", {"data.name", "data.augment", "data.flip"}),
    ],
)
def test_what_a_word_decides(word, keys):
    default = by_user()
    assert by_user(word) - default == keys - default
    assert keys <= by_user(word)


def test_the_defaults_are_open_but_for_the_datas_own():
    assert by_user() == {"data.name", "data.augment", "data.flip"}
    assert by_user("data=image_folder") == {"data.name"}


def test_an_experiment_decides_what_it_sets_and_picks():
    found = by_user("experiment=solar_cells")
    assert {"data.flip", "model.image_size", "stage.head.epochs", "stage.full.epochs"} <= found
    assert "data.augment" not in found
    assert "stage" not in found


def test_files_of_ones_own_and_those_that_they_build_on(tmp_path):
    header = "# @package _global_\n"
    write(tmp_path, "experiment/base.yaml", header + "optimizer: {warmup: 1%}\n")
    picks = "defaults: [base, override /stage: unfrozen, override /data: ours]\n"
    write(tmp_path, "experiment/mine.yaml", header + picks)
    write(tmp_path, "data/ours.yaml", "defaults: [digits, _self_]\nbatch_size: 10\n")
    found = by_user(f"--config-dir={tmp_path}", "experiment=mine")
    assert {"optimizer.warmup", "stage", "data.batch_size", "data.augment"} <= found
    found = by_user(f"--config-dir={tmp_path}", "experiment=mine", "data=image_folder")
    assert "data.batch_size" not in found
