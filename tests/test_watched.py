"""What commands do besides their work, seen by an audit hook: no network, no process, no pickle."""

import json
import os
import subprocess
import sys
from pathlib import Path

from hostile import watched
from whole_runs import make_photos

import fmkit

# What libraries start when they are imported, and where they keep their settings; and what fmkit
# starts, which store/run.py says: the commit of the code that a run was made with.
DECLARED = {
    "subprocess.Popen": (
        "['git', 'rev-parse', 'HEAD']",
        "['git', 'status', '--porcelain']",
        "['uname', '-p']",  # Python's own module `platform`
        "['fc-list', ",  # matplotlib, which Keras imports where it is installed, once a machine
    ),
    "socket.bind": ("('::1', 0)",),  # urllib3 finds out whether there is IPv6; nobody is asked
    "written": ("/home/.keras/keras.json",),
    "os.mkdir": ("/home/.keras", "/home/.config", "/home/.config/matplotlib"),
}
SMALL = ["stage.head.epochs=1", "runtime.verbose=false"]
LINES = [
    ["pretrain", "data=mnist5k", "model=small_cnn", "model.weights=none", "data.limit=60", *SMALL],
    ["eval", "run=LAST"],
    ["predict", "run=LAST", "input=photos"],
    ["runs"],
    ["runs", "show", "LAST"],
    ["cache"],
    ["finetune", "init=LAST", "--cfg", "job"],
    ["finetune", "model=resnet5"],
]
CODES = [0, 0, 0, 0, 0, 0, 0, 2]


def watch(lines: list, folder: Path) -> dict:
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "FMKIT_FAULT")
    }
    for name in ("home", "cache", "temporary", "work"):
        (folder / name).mkdir()
    environment |= {
        "HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TMPDIR": str(folder / "temporary"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(fmkit.__file__).parent.parent),
    }
    make_photos(folder / "work" / "photos", count=1)
    allowed = [str(folder / each) for each in ("cache", "temporary", "work")]
    done = subprocess.run(
        [sys.executable, watched.__file__, *allowed],
        input="\n".join(json.dumps(line) for line in lines),
        cwd=folder / "work", env=environment, capture_output=True, text=True, check=False,
        timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_no_command_connects_or_starts_anything(tmp_path):
    found = watch(LINES, tmp_path)
    assert found["codes"] == CODES
    events = [event for event in found["events"] if not _declared(event)]
    assert events == []


def _declared(event: list[str]) -> bool:
    kind, what = event
    if kind in ("written", "os.mkdir"):
        return what.endswith(DECLARED[kind])
    return any(each in what for each in DECLARED.get(kind, ()))


PLUGIN = r"""
import pickle, socket, subprocess, sys
subprocess.run([sys.executable, "-c", ""])
pickle.loads(b"\x80\x04cdatetime\ndate\n.")
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", 9))
open("../outside", "w")
"""


def test_the_hook_sees_what_it_is_there_for(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    found = watch([["finetune", f"plugins={tmp_path / 'plugin.py'}", "--cfg", "job"]], tmp_path)
    kinds = {event for event, _ in found["events"]}
    assert {"subprocess.Popen", "pickle.find_class", "socket.connect", "written"} <= kinds
