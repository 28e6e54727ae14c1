"""One run from the command line to the record, and what may go wrong on the way."""

import csv
import json
import re
import shlex
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from whole_runs import QUICK, make_photos, only_run

from fmkit.config.saved_config import quote
from fmkit.core import safe_io
from fmkit.train.checkpoints import checkpoint


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run over a folder of photos, made through the command line."""
    root = tmp_path_factory.mktemp("finished")
    photos = make_photos(root / "photos")
    words = ["finetune", *QUICK, "stage.full.epochs=12", "data=image_folder", f"data.root={photos}",
             "data.batch_size=8", "name=first", f"runs_dir={root / 'runs'}"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "fmkit.cli", *words], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr
    return root, only_run(root), done


def read(folder, name):
    return json.loads((folder / name).read_text())


def test_stdout_has_the_result_and_stderr_the_progress(finished):
    root, folder, done = finished
    said = re.search(r"^run: (.+)$", done.stdout, re.MULTILINE)
    assert said[1] == str(folder.relative_to(root))  # a path from where the command was called
    assert "accuracy" in done.stdout
    assert "full 12/12" in done.stderr
    assert "full 12/12" not in done.stdout
    assert "cuda" not in done.stderr.lower()
    assert not [
        line for line in done.stderr.splitlines() if re.match(r"[WIEF]0000 |WARNING:", line)
    ]
    assert re.search(r"^machine: CPU, \d+ cores?, float32, XLA off", done.stderr, re.MULTILINE)
    assert re.search(
        r"^augmentation: .*light \(horizontal flips, shifts", done.stderr, re.MULTILINE
    )


def test_the_commands_named_at_the_end_work(finished, fmkit, monkeypatch):
    root, _, done = finished
    monkeypatch.chdir(root)
    predict, evaluate = re.search(r"^next: fmkit (.+)\n +fmkit (.+)$", done.stdout, re.M).groups()
    words = shlex.split(predict.replace("input=PATH", f"input={root / 'photos' / 'red'}"))
    assert fmkit(*words)[0] == 0
    assert fmkit(*shlex.split(evaluate))[0] == 0
    model = re.search(r"^model: (.+)$", done.stdout, re.MULTILINE)[1]
    assert (root / model).is_file()


def test_the_record_is_whole(finished):
    root, folder, _ = finished
    status, environment = read(folder, "status.json"), read(folder, "environment.json")
    assert (status["state"], status["name"], status["epoch"]) == ("done", "first", 12)
    assert status["test"]["accuracy"] > 0.9
    assert environment["data"]["classes"] == ["blue", "green", "red"]
    assert environment["versions"]["keras"] == keras.__version__
    assert environment["devices"]["precision"] == "float32"
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["data"]["root"] == str(root / "photos")
    assert config["model"]["image_size"] == 32  # what was left to fmkit is filled in
    assert (folder / ".hydra" / "overrides.yaml").is_file()
    assert not (folder / "recipe.json").exists()
    assert "phase full" in (folder / "log.txt").read_text()


def test_metrics_are_the_same_in_all_three_forms(finished):
    _, folder, _ = finished
    rows = list(safe_io.read_json_lines(folder / "metrics.jsonl"))
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    wanted = {"phase", "step", "loss", "val_loss", "learning_rate", "examples_per_second",
              "seconds", "rss_bytes"}  # fmt: skip
    assert wanted <= set(rows[0])
    table = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [float(row["val_loss"]) for row in table] == [row["val_loss"] for row in rows]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload().Scalars("val_loss")
    assert [each.step for each in events] == [row["step"] for row in rows]
    assert [each.value for each in events] == pytest.approx([row["val_loss"] for row in rows])


def test_checkpoints_are_last_and_best_and_verify(finished):
    _, folder, _ = finished
    status = read(folder, "status.json")
    found = checkpoint.list_checkpoints(folder / "checkpoints")
    assert found[-1].step == status["step"]
    assert status["best"]["step"] in [each.step for each in found]
    assert len(found) <= 2
    for each in found:
        assert not checkpoint.find_damage(each)


def test_eval_repeats_the_figures_of_the_run(finished, fmkit):
    _, folder, _ = finished
    first = read(folder, "eval/test.json")
    code, out, _ = fmkit("eval", f"run={folder}")
    assert code == 0
    assert "per class" in out or "precision" in out
    again = read(folder, "eval/test.json")
    assert again["accuracy"] == first["accuracy"]
    assert again["loss"] == pytest.approx(first["loss"], rel=1e-5)
    table = pd.read_parquet(folder / "eval" / "test.parquet")
    assert len(table) == first["n"]
    right = (table["label"] == table["prediction"]).mean()
    assert right == pytest.approx(first["accuracy"])
    columns = [f"probability_{name}" for name in ("blue", "green", "red")]
    assert np.allclose(table[columns].sum(axis=1), 1)


def test_eval_on_other_data_matches_classes_by_name(finished, fmkit, tmp_path):
    _, folder, _ = finished
    before = read(folder, "eval/test.json")
    other = make_photos(tmp_path / "other", count=5)
    code, _, err = fmkit("eval", f"run={folder}", f"data.root={other}")
    assert code == 0, err
    (found,) = folder.glob("eval/all-*.json")
    assert json.loads(found.read_text())["n"] == 15
    assert read(folder, "eval/test.json") == before
    (other / "red").rename(other / "rot")
    code, _, err = fmkit("eval", f"run={folder}", f"data.root={other}")
    assert code == 3
    assert "'red'" in err
    assert "'rot'" in err


def test_predict_writes_a_row_a_photo_and_names_the_broken(finished, fmkit, tmp_path):
    _, folder, _ = finished
    new = make_photos(tmp_path / "new", classes=("red",), count=3) / "red"
    (new / "broken.jpg").write_bytes(b"not a photo")
    code, _, err = fmkit("predict", f"run={folder}", f"input={new}", "output=found.csv")
    assert code == 0, err
    assert "broken.jpg" in err
    table = pd.read_csv(tmp_path / "found.csv").set_index("path")
    assert list(table["prediction"].dropna()) == ["red"] * 3
    assert table.loc[str(new / "broken.jpg"), "error"]
    none = ["predict", f"run={folder}", f"input={new / 'broken.jpg'}", "output=none.csv"]
    code, _, err = fmkit(*none)
    assert (code, "none of 1 image " in err) == (3, True)
    assert pd.read_csv(tmp_path / "none.csv")["error"].notna().all()
    code, _, err = fmkit("predict", f"run={folder}", f"input={new}", "output=found.csv")
    assert code == 2
    assert "overwrite=true" in err
    photo = new / "00.png"
    code, _, err = fmkit("predict", "run=first", f"runs_dir={folder.parent.parent}",
                         f"input={photo}", "output=one.parquet")  # fmt: skip
    assert code == 0, err
    assert len(pd.read_parquet(tmp_path / "one.parquet")) == 1


@pytest.mark.slow
def test_the_model_file_needs_no_fmkit_and_takes_any_size(finished):
    root, folder, _ = finished
    photo = next((root / "photos" / "red").iterdir())
    code = (
        "import sys, numpy as np, keras\n"
        "from PIL import Image\n"
        f"model = keras.saving.load_model({str(folder / 'model.keras')!r})\n"
        f"image = np.asarray(Image.open({str(photo)!r}))[None]\n"
        "small, large = model.predict(image, verbose=0), model.predict(\n"
        "    image.repeat(4, 1).repeat(4, 2).astype('float32'), verbose=0)\n"
        "assert 'fmkit' not in sys.modules\n"
        "assert image.dtype == np.uint8 and abs(small.sum() - 1) < 1e-5\n"
        "print(small.argmax(), large.argmax())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "2"]


@pytest.mark.slow
def test_pretrain_then_finetune_has_the_same_splits_and_skips_the_head(fmkit, tmp_path, photos):
    words = ["model=small_cnn", "data=image_folder", f"data.root={photos}", "data.batch_size=8"]
    code, _, err = fmkit("pretrain", *words, "stage.head.epochs=2", "runtime.seed=7")
    assert code == 0, err
    first = only_run(tmp_path, "pretrain")
    code, out, err = fmkit("finetune", f"init={first}", "stage.full.epochs=2")
    assert code == 0, err
    second = only_run(tmp_path)
    assert "skipped" in err
    assert "trained in" in out
    one, two = read(first, "environment.json")["data"], read(second, "environment.json")["data"]
    assert one["split_fingerprint"] == two["split_fingerprint"]
    rows = list(safe_io.read_json_lines(second / "metrics.jsonl"))
    assert {row["phase"] for row in rows} == {"full", "refit_full"}
    other = make_photos(tmp_path / "others", classes=("blue", "red"))
    code, _, err = fmkit("finetune", "init=last", "data=image_folder", f"data.root={other}",
                         "stage.head.epochs=1", "stage.full.epochs=1")  # fmt: skip
    assert code == 0, err
    assert "the head is new" in err
    code, _, err = fmkit("finetune", f"init={first}", "model=small_vit")
    assert code == 2
    assert "small_cnn" in err


def test_init_starts_from_the_weights_of_the_run(fmkit, tmp_path, photos):
    words = [*QUICK, "data=image_folder", f"data.root={photos}"]
    assert fmkit("finetune", *words)[0] == 0
    first = only_run(tmp_path)
    before = checkpoint.read_weights(checkpoint.list_checkpoints(first / "checkpoints")[-1])
    code, _, err = fmkit("finetune", f"init={first}", "stage=unfrozen", "stage.full.epochs=1",
                         "optimizer.learning_rate=1e-9", "optimizer.weight_decay=0")  # fmt: skip
    assert code == 0, err
    (second,) = set((tmp_path / "runs" / "finetune").iterdir()) - {first}
    after = checkpoint.read_weights(checkpoint.list_checkpoints(second / "checkpoints")[-1])
    assert before.keys() == after.keys()
    for path, value in before.items():
        if "seed" not in path:
            np.testing.assert_allclose(value, after[path], atol=1e-6, err_msg=path)


@pytest.mark.slow
def test_a_sweep_may_start_from_a_run(fmkit, tmp_path, photos):
    words = [*QUICK, "stage.full.epochs=1", "data=image_folder", f"data.root={photos}"]
    assert fmkit("finetune", *words)[0] == 0
    code, _, err = fmkit("finetune", "init=last", "optimizer.learning_rate=1e-4,1e-3", "-m",
                         "stage=unfrozen", "stage.full.epochs=1")  # fmt: skip
    assert code == 0, err
    for job in (0, 1):
        (config,) = tmp_path.glob(f"runs/sweeps/*/{job}/config.yaml")
        assert yaml.safe_load(config.read_text())["model"]["name"] == "small_cnn"


def test_a_folder_with_an_odd_name(fmkit, tmp_path):
    odd = tmp_path / "it's a {folder}, c=b\\n"
    photos = make_photos(odd / "photos")
    code, _, err = fmkit("finetune", *QUICK, "stage.full.epochs=1", "data=digits",
                         "data.limit=100", "runs_dir=" + quote(str(odd / "runs")))  # fmt: skip
    assert code == 0, err
    folder = only_run(odd)
    assert read(folder, "status.json")["state"] == "done"
    assert (folder / ".hydra").is_dir()
    assert photos.is_dir()


def test_a_sweep_makes_whole_runs(fmkit, tmp_path):
    code, out, err = fmkit("finetune", "-m", *QUICK, "stage.full.epochs=1", "data=digits",
                           "data.limit=200", "optimizer.learning_rate=1e-4,1e-3")  # fmt: skip
    assert code == 0, err
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    jobs = sorted(each for each in sweep.iterdir() if each.is_dir())
    assert [each.name for each in jobs] == ["0", "1"]
    rates = []
    for job in jobs:
        assert read(job, "status.json")["state"] == "done"
        assert (job / "model.keras").is_file()
        config = yaml.safe_load((job / "config.yaml").read_text())
        rates.append(config["optimizer"]["learning_rate"])
    assert rates == [1e-4, 1e-3]
    assert "optimizer.learning_rate=0.001" in out or "optimizer.learning_rate=1e-3" in out


def test_a_failing_job_of_a_sweep_stops_no_other(fmkit, tmp_path):
    code, _, _ = fmkit("finetune", "-m", *QUICK, "stage.full.epochs=1", "data=digits",
                           "data.limit=200", "optimizer.clip_norm=null", "optimizer=sgd",
                           "optimizer.learning_rate=1e30,1e-3")  # fmt: skip
    assert code == 5
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    assert read(sweep / "0", "status.json")["state"] == "failed"
    assert read(sweep / "1", "status.json")["state"] == "done"


def test_a_loss_that_is_not_finite_stops_the_run(fmkit, tmp_path):
    words = [*QUICK, "data=digits", "data.limit=400", "optimizer=sgd", "optimizer.clip_norm=null",
             "optimizer.learning_rate=1e30", "optimizer.warmup=0%"]  # fmt: skip
    code, _, err = fmkit("finetune", *words)
    assert code == 5
    assert "at step" in err
    folder = only_run(tmp_path)
    status = read(folder, "status.json")
    assert status["state"] == "failed"
    assert status["best"] is None
    assert not (folder / "model.keras").exists()


MISTAKES = [
    (["data=image_folder", "data.root=nowhere"], "nowhere"),
    (["data=image_folder", "data.root=empty"], "empty"),
    (["data=image_folder", "data.root=one"], "Add examples of another one"),
    (["data=image_folder", "data.root=hollow"], "'hollow/zebra' has no photos. Add some"),
    (["data=image_folder", "data.root=fake"], "fake.jpg"),
    (["data=image_folder", "data.root=fake"], "Replace or remove"),
    (["data=image_folder", "data.root=table.csv"], "data=image_table"),
    (["data=image_table", "data.root=photos"], "data=image_folder"),
    (["data=arrays", "data.root=./sub/../nowhere.npz"], "'nowhere.npz' (that is /"),
    (["data=image_table", "data.root=table.csv"], "label"),
    (["data=arrays", "data.root=photos/red/00.png"], "00.png"),
    (["data=elpv"], "elpv-dataset"),
]


@pytest.mark.parametrize(("words", "named"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_wrong_data_is_told_before_training(words, named, fmkit, tmp_path, photos):
    (tmp_path / "empty").mkdir()
    make_photos(tmp_path / "one", classes=("red",))
    (make_photos(tmp_path / "hollow") / "zebra").mkdir()
    (make_photos(tmp_path / "fake") / "red" / "fake.jpg").write_text("<html>")
    (tmp_path / "table.csv").write_text("path,colour\nphotos/red/00.png,red\n")
    if "elpv" in words[0]:
        import importlib.util

        if importlib.util.find_spec("elpv_dataset"):
            pytest.skip("the package is installed here")
    code, out, err = fmkit("finetune", *QUICK, *words)
    assert code == 3, err
    assert named in err
    assert "Traceback" not in err
    assert out == ""
    assert not list(tmp_path.glob("runs/*/*"))


def test_a_model_that_cannot_be_built_leaves_no_run(fmkit, tmp_path):
    (tmp_path / "broken.h5").write_bytes(b"x")
    code, out, err = fmkit("finetune", *QUICK, "data=digits", "model.weights=broken.h5")
    assert (code, out) == (4, "")
    assert "broken.h5" in err
    assert not list(tmp_path.glob("runs/*/*"))


def test_a_photo_that_breaks_off_is_named(fmkit, tmp_path, photos):
    whole = (photos / "red" / "00.png").read_bytes()
    Image.effect_noise((400, 400), 90).convert("RGB").save(photos / "red" / "cut.jpg")
    whole = (photos / "red" / "cut.jpg").read_bytes()
    (photos / "red" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    code, _, err = fmkit("finetune", *QUICK, "data=image_folder", f"data.root={photos}")
    assert code == 3
    assert "cut.jpg" in err


def test_runs_that_do_not_exist_or_are_damaged_are_refused(finished, fmkit, tmp_path):
    code, _, err = fmkit("eval", "run=nothing")
    assert (code, "nothing" in err) == (4, True)
    code, _, err = fmkit("finetune", "init=nothing")
    assert (code, "nothing" in err) == (4, True)
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished[1], copy)
    (best,) = {each.folder for each in checkpoint.list_checkpoints(copy / "checkpoints")
               if each.step == read(copy, "status.json")["best"]["step"]}  # fmt: skip
    weights = best / checkpoint.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-10] ^= 1
    weights.write_bytes(content)
    code, _, err = fmkit("eval", f"run={copy}")
    assert code == 4
    assert checkpoint.WEIGHTS in err
    (copy / "environment.json").write_text("{")
    code, _, err = fmkit("eval", f"run={copy}")
    assert code == 4
    assert "environment.json" in err


def test_a_runs_folder_that_cannot_be_written(fmkit, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = fmkit("finetune", *QUICK, "data=digits", "runs_dir=file")
    assert code == 2
    assert "runs_dir" in err
