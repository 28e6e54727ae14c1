"""Broken and hostile configs: one clear message each, and nothing done; benign ones are taken.

A part of the corpora; `scripts/hostile.py` runs them whole.
"""

import dataclasses
import importlib
import os
import subprocess
import sys

import pytest
import yaml
from hostile import configs, fuzz, targets
from hostile.cli_runner import find_fault, run_cli

from fmkit.commands import train
from fmkit.config import command_line, interpolation, preflight
from fmkit.config.saved_config import overrides, section
from fmkit.config.schema.data import DataConfig, ImageFolderData
from fmkit.core.errors import ConfigError
from fmkit.core.files import absolute_path
from fmkit.store.run_dir import RunWriter
from fmkit.store.run_reader import RunReader


def test_every_broken_config_is_told_in_one_message(tmp_path):
    passed, total, faults = configs.broken(tmp_path, every=4)
    assert not faults, "\n".join(faults)
    assert passed == total >= 200


def test_a_misspelled_key_gets_the_right_one_named():
    named, total = configs.hinted()
    assert named >= 0.95 * total
    assert total > 60


def test_benign_twins_are_taken(tmp_path):
    assert not configs.benign(tmp_path)


def test_whatever_is_broken_at_random_is_told_too():
    passed, total, faults = fuzz.run(300, composed=4)
    assert not faults, "\n".join(faults)
    assert passed == total == 300


def test_no_target_is_called_from_any_place():
    passed, total, faults = targets.refused()
    assert not faults, "\n".join(faults)
    assert passed == total >= 54 * 4


def test_the_watch_sees_what_is_done(tmp_path):
    with targets.watched() as done:
        os.system("true")  # noqa: S605
        (tmp_path / "written").write_text("x")
        subprocess.run([sys.executable, "-c", ""], check=True)
        sys.modules.pop("tabnanny", None)
        importlib.import_module("tabnanny")
    assert {each.split()[0] for each in done} >= {"os.system", "write", "subprocess.Popen"}
    assert any(each.startswith("marshal.loads") for each in done)  # the import


def test_a_defect_of_ours_is_not_told_as_the_users_mistake(monkeypatch):
    def defect(*_):
        raise KeyError("ours")

    monkeypatch.setattr(train, "check", defect)
    result = run_cli(("finetune",))
    assert not find_fault(result, "a defect of fmkit: KeyError", exit_code=1)
    assert find_fault(result, "a defect of fmkit")  # the control: with the exit code of a mistake


@pytest.mark.parametrize("command", ["eval run=x", "predict run=x input=y", "pretrain"])
def test_every_command_refuses_the_same(command):
    for word, said in (
        ("+data._target_=os.system", "_target_"),
        ("hydra.job.chdir=true", "Hydra's own"),
        ("runs_dir=a\nb", "line break"),
    ):
        assert not find_fault(run_cli((*command.split(), word)), said)


# --- what a run keeps ---------------------------------------------------------------------------


@pytest.fixture
def typed(monkeypatch, tmp_path):
    """A typed config of which two values come from the environment."""
    monkeypatch.setenv("FMKIT_DATA", str(tmp_path / "private"))
    return ["data=image_folder", "data.root='${oc.env:FMKIT_DATA}/photos'", "name='${data.root}'",
             "model.preset=null", "runtime.cache_dir='s3://me:hunter2@host/x'"]  # fmt: skip


def record(words, folder):
    """The files of a run whose config these overrides make, as commands write them."""
    kept = {}
    line = command_line.parse("finetune", words)
    config = preflight.check(line, {})
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
    for override in line.overrides:
        if interpolation.is_interpolated(override.value()):
            kept[override.key_or_group] = override.value()
    run = RunWriter(folder, "finetune")
    run.begin(config, {"name": "x"}, interpolation.from_environment(kept))
    run.log("token=abc\n2026-01-01T00:00:00+00:00 forged \x1b[2J")
    run.fail(ConfigError("password: hunter2"))
    run.write_environment()
    return RunReader(folder)


def test_values_from_the_environment_and_secrets_stay_out_of_a_run(typed, tmp_path):
    run = record(typed, tmp_path / "run")
    for path in run.folder.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "private" not in text, path
            assert "hunter2" not in text, path
            assert "token=abc" not in text, path
    config = run.config()
    assert config["data"]["root"] == "${oc.env:FMKIT_DATA}/photos"
    assert config["name"] == "${oc.env:FMKIT_DATA}/photos"
    log = (run.folder / "log.txt").read_text()
    assert "\n    2026-01-01T00:00:00+00:00 forged \\x1b[2J" in log  # no entry of its own


def test_such_a_run_can_be_used_again(typed, tmp_path, monkeypatch):
    config = record(typed, tmp_path / "run").config()
    assert section(config, "data").root == str(tmp_path / "private" / "photos")
    again = overrides(config, "data", set())
    assert "data.root='${oc.env:FMKIT_DATA}/photos'" in again
    line = command_line.parse("finetune", again)
    assert preflight.check(line, {}).data.root == str(tmp_path / "private" / "photos")
    monkeypatch.delenv("FMKIT_DATA")
    with pytest.raises(ConfigError, match="FMKIT_DATA is not set"):
        section(config, "data")
    assert overrides(config, "data", {"data.root"})  # the user names another


@dataclasses.dataclass
class OnlyData:
    data: DataConfig


TEXTS = ["a: !!python/object:x", "=cmd|' /C calc'!A0", "[red]x[/]", "<script>", "../../x", "${x}",
         "\\${x}", "tail\\", "it's", '"', "#no", "- a", "012", "yes", "null", "~", "1e3", "{a}",
         "Zoë 🙂", "*a", "&a", "@x", "%x", "a:b: c", " x ", "\\\\${x}"]  # fmt: skip


def test_any_text_comes_back_from_a_record_as_it_was(tmp_path):
    for number, text in enumerate(TEXTS):
        run = RunWriter(tmp_path / str(number), "finetune")
        run.folder.mkdir()
        data = ImageFolderData(root=text)
        run.write_config(OnlyData(data))
        config = RunReader(run.folder).config()
        assert section(config, "data").root == text
        (word,) = (each for each in overrides(config, "data", set()) if ".root=" in each)
        line = command_line.parse("finetune", ["data=image_folder", word])
        assert preflight.check(line, {}).data.root == absolute_path(text)


def test_a_record_that_is_hostile_is_refused_as_an_artifact(tmp_path, fmkit):
    folder = tmp_path / "runs" / "finetune" / "2026-01-01_000000-abcdef"
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    (folder / "status.json").write_text('{"state": "done"}')
    for content in (configs.BOMB, b"a: !!python/name:os.system\n", b"- a\n", b"a: [\n", b"\xff",
                    b"model: {_target_: os.system}\n"):  # fmt: skip
        (folder / "config.yaml").write_bytes(content)
        code, _, err = fmkit("eval", f"run={folder}")
        assert code == 4, content
        assert "config.yaml cannot be used" in err
        assert err.count("\n") <= 4
