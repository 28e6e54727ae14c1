"""`recipe=auto` through the command line, each job of a sweep by its own overrides."""

import json

import yaml


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
