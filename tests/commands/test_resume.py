"""`fmkit resume last`: the newest run that there is something to go on from."""

import json

import pytest

from fmkit.commands import resume
from fmkit.core.errors import ArtifactError


def make(root, day, state, has_checkpoint):
    folder = root / "finetune" / f"2026-01-0{day}_120000-abcdef"
    folder.mkdir(parents=True)
    status = {"state": state, "started": f"2026-01-0{day}T12:00:00+00:00", "reason": "bad.png"}
    (folder / "status.json").write_text(json.dumps(status))
    if has_checkpoint:
        (folder / "checkpoints" / "step-00000007").mkdir(parents=True)
    return folder


def test_failed_starts_do_not_hide_what_can_go_on(tmp_path, capsys):
    make(tmp_path, 1, "interrupted", True)
    stopped = make(tmp_path, 2, "failed", True)  # a full disk, a NaN
    make(tmp_path, 3, "done", True)
    make(tmp_path, 4, "failed", False)
    newest = make(tmp_path, 5, "interrupted", False)
    assert resume._newest_unfinished(tmp_path) == stopped
    assert f"{newest.name} (interrupted)" in capsys.readouterr().err


def test_nothing_to_go_on_from(tmp_path):
    with pytest.raises(ArtifactError, match="stopped before its end"):
        resume._newest_unfinished(tmp_path)
    failed = make(tmp_path, 1, "failed", False)
    with pytest.raises(ArtifactError, match=r"first checkpoint.*failed: bad\.png") as error:
        resume._newest_unfinished(tmp_path)
    assert failed.name in error.value.hint
