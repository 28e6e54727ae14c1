"""The warning about a run that is not done, and the overrides that a run was started with."""

import json

import pytest

from fmkit.store.run_reader import RunReader


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"state": "done"}, ""),
        ({"state": "running"}, "is dead (killed, or the machine lost power): its best checkpoint"),
        (
            {"state": "failed", "reason": "no memory\nmore"},
            "is failed (no memory): its best checkpoint",
        ),
        ({"state": "interrupted"}, "is interrupted: its best checkpoint so far is used"),
    ],
)
def test_a_run_that_has_not_ended_as_planned_is_told(tmp_path, capsys, status, expected):
    (tmp_path / "status.json").write_text(json.dumps(status))
    (tmp_path / "run.lock").write_text("")
    RunReader(tmp_path).warn_if_unfinished()
    err = capsys.readouterr().err
    assert expected in err
    assert bool(expected) == bool(err)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a.b=1\n- 'name=(x, y)'\n- c=é\n", ["a.b=1", "name=(x, y)", "c=é"]),
        ("[]\n", []),
        ("- [\n", []),
        ("- \x00", []),
        (None, []),
    ],
)
def test_overrides(text, expected, tmp_path):
    if text is not None:
        (tmp_path / ".hydra").mkdir()
        (tmp_path / ".hydra" / "overrides.yaml").write_text(text, encoding="utf-8")
    assert RunReader(tmp_path).overrides() == expected
