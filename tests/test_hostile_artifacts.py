"""Runs and weights that somebody else made: refused with a reason, and nothing in them executed."""

import pickle
import shutil

import pytest
from hostile import artifacts, run_folders
from hostile.bench import Case, refused_all


@pytest.mark.slow
def test_every_case_is_refused_and_every_benign_twin_read(capsys):
    passed, total = artifacts.run()
    assert passed == total, capsys.readouterr().out
    assert total >= 200


def _executes(path):
    pickle.loads(path.read_bytes())  # noqa: S301 - what a careless loader does


def _writes(path):
    path.with_name("outside").write_bytes(b"")


def _hoards(path):
    bytearray(300_000_000)


@pytest.mark.parametrize("read", [_executes, _writes, _hoards, lambda path: None])
def test_the_bench_catches_a_careless_reader(tmp_path, read):
    make = artifacts.PATHS["unknown suffix"]  # a pickle
    assert len(refused_all([Case("careless", make, read, refused=True)], tmp_path)) == 1


def test_the_same_through_the_command_line(tmp_path, fmkit):
    for name, text in (
        ("zip: config only: Lambda with bytecode", "no model.weights.h5"),
        ("hdf5: external storage", "in another file"),
    ):
        case = next(each for each in artifacts.cases() if each.name == name)
        (tmp_path / name).mkdir()
        path = case.make(tmp_path / name)
        words = ["data=digits", "model=small_cnn", "runtime.verbose=false"]
        code, out, err = fmkit("finetune", *words, f"model.weights='{path}'")
        assert code == 4, err
        assert text in " ".join(err.split())
        assert "Traceback" not in out + err
    assert not list(tmp_path.glob("EXECUTED"))


def test_a_run_of_somebody_else_through_the_command_line(tmp_path, photos, fmkit):
    place = tmp_path / "made"
    for part, name, code in (
        (run_folders.CONFIGS, "python/object", 4),
        (run_folders.CONFIGS, "a model that is a mapping", 4),
        (run_folders.CONFIGS, "a task from a plugin", 2),
        (run_folders.CHECKPOINTS, "a link to outside", 4),
    ):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        folder = part[name](place)
        for words in (["eval", "split=all"], ["predict", f"input={photos}"]):
            found, _, err = fmkit(*words, f"run={folder}")
            assert found == code, (name, words, err)
            assert "Traceback" not in err


def test_a_plugin_that_a_run_names_is_not_run(tmp_path, fmkit):
    folder = run_folders.good(tmp_path)
    evil = folder / "evil.py"
    evil.write_text("open('EXECUTED', 'w')\nMODELS = {'evil': None}\n")
    config = {**run_folders.CONFIG, "plugins": str(evil), "init": str(folder)}
    config["model"] = {"name": "evil"}
    run_folders.write(folder, "config.yaml", config)
    for words in (
        ["eval", f"run={folder}"],
        ["predict", f"run={folder}", f"input={folder}"],
        ["finetune", f"init={folder}"],
        ["runs", "show", str(folder)],
    ):
        code, _, err = fmkit(*words)
        assert code in (0, 2, 4), err
    assert not (tmp_path / "EXECUTED").exists()


def test_fmkit_runs_goes_on_past_what_it_cannot_read(tmp_path, fmkit):
    for number, make in enumerate(run_folders.STATUSES.values()):
        other = make(tmp_path / str(number))
        target = tmp_path / "runs" / "finetune" / f"2026-01-01_000000-{number:06d}"
        target.parent.mkdir(parents=True, exist_ok=True)
        other.rename(target)
    whole = run_folders.good(tmp_path / "whole")
    whole.rename(tmp_path / "runs" / "finetune" / "2026-01-02_000000-wholex")
    code, out, _ = fmkit("runs")
    assert code == 0
    states = [line.split("\t")[1] for line in out.splitlines()[2:]]
    assert states.count("broken") == len(run_folders.STATUSES)
    assert states.count("done") == 1
