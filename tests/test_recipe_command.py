"""`recipe=auto` through the command line, each job of a sweep by its own overrides."""

import json

import keras
import pytest
import yaml

from fmkit.models.weights.formats import open_weights
from fmkit.train import recipe_facts


def test_each_job_of_a_sweep_keeps_what_its_user_set(fmkit, tmp_path):
    words = ["model=small_cnn", "data=digits", "data.limit=100", "stage.full.epochs=1"]
    code, _, err = fmkit("finetune", "-m", *words, "recipe=auto", "data.batch_size=32,128")
    assert code == 0, err
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    for job, (batch, rate) in enumerate([(32, 0.003), (128, 0.006)]):
        folder = sweep / str(job)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["data"]["batch_size"] == batch
        assert config["optimizer"]["learning_rate"] == rate
        assert list(config["stage"]) == ["full"]  # small_cnn is random: no head phase
        assert config["stage"]["full"]["epochs"] == "1"
        assert config["data"]["augment"] == "none"  # data=digits says so
        assert json.loads((folder / "status.json").read_text())["stage"] == "full"
        rows = {row["key"]: row for row in json.loads((folder / "recipe.json").read_text())}
        assert rows["stage.full.batchnorm"]["before"] == "frozen"
        assert rows["stage.full.batchnorm"]["value"] == "train"
        assert rows["stage.full.batchnorm"]["applied"]
        assert not rows["stage.full.epochs"]["applied"]
        assert not rows["data.batch_size"]["applied"]
        line = f"recipe: optimizer.learning_rate={rate} (batches of {batch}: "
        assert line in err
        assert line in (folder / "log.txt").read_text()


@pytest.mark.slow
def test_a_network_that_was_measured_leaves_no_trace_in_the_run(fmkit, tmp_path, monkeypatch):
    measure = recipe_facts._measure

    def with_dropout(*arguments):  # as MiniLM's backbone has, whose states Keras numbers
        keras.layers.Dropout(0.5)
        return measure(*arguments)

    monkeypatch.setattr(recipe_facts, "_measure", with_dropout)
    words = ["model=small_cnn", "data=digits", "data.limit=100", "stage.full.epochs=1"]
    for limit in "null", "2 min":
        code, _, err = fmkit("finetune", *words, "recipe=auto", f"runtime.time_limit={limit}")
        assert code == 0, err
    plain, measured = sorted((tmp_path / "runs" / "finetune").iterdir())
    names = [names_of_weights(folder) for folder in (plain, measured)]
    assert any("seed_generator" in name for name in names[0])
    assert names[0] == names[1]
    code, _, err = fmkit("eval", f"run={measured}")
    assert code == 0, err


def names_of_weights(folder):
    path = sorted(folder.glob("checkpoints/*/model.safetensors"))[-1]
    with open_weights(path) as arrays:
        return sorted(arrays.shapes)
