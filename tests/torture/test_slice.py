"""A slice of the torture suite: real kills in real processes. `scripts/torture.py` is all of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from torture import runs  # noqa: E402

# In a process of its own: its victims are forked, and this one may have run TensorFlow already.
COMMAND = [sys.executable, str(SCRIPTS / "torture.py"), "--quick", "--workers", "1"]


@pytest.mark.slow
def test_nothing_is_lost_and_what_must_be_caught_is(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent)}
    words = [*COMMAND, "--folder", str(tmp_path / "slice")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("torture: save-kills ")
    assert "controls " in done.stdout
    run = runs.only_run(tmp_path / "slice" / "reference" / "two_phases")
    check_comparison(run, tmp_path / "copy")


def check_comparison(run, copy):
    """The one comparison that all rests on sees a single bit, a row and a number."""

    def a_bit(folder):
        path = runs.checkpoints(folder)[-1] / "training.safetensors"
        arrays = load_file(path)
        name = next(each for each, value in arrays.items() if value.dtype == np.float32)
        value = arrays[name].copy()
        value.view(np.uint8).reshape(-1)[0] ^= 1
        save_file({**arrays, name: value}, path)

    def a_row(folder):
        path = folder / "metrics.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))

    def a_number(folder):
        path = folder / "status.json"
        status = json.loads(path.read_text())
        status["best"]["value"] += 1e-9
        path.write_text(json.dumps(status))

    assert runs.differences(run, run) == []
    for change in (a_bit, a_row, a_number):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run, copy)
        change(copy)
        assert len(runs.differences(copy, run)) == 1, change.__name__
