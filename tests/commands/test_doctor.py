"""`fmkit doctor` says what is there, what is missing, and what does not fit together."""

import json
import subprocess
import sys

import pytest

from fmkit.cli import main
from fmkit.commands import doctor
from fmkit.core import files, machine, requirements
from fmkit.store import accelerators
from fmkit.store.accelerators import Accelerator


def examine(capsys):
    assert main(["doctor", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["kind"] == "doctor"
    return content


def messages(content):
    return " ".join(f"{row['message']} {row['hint']}" for row in content["problems"])


@pytest.fixture
def card(monkeypatch):
    """A machine with one NVIDIA card; TensorFlow's answer and build can be set."""

    def card(driver="570.86.15", cuda="12.5.1", gpus=("/GPU:0",)):
        device = Accelerator("nvidia", "NVIDIA H200", 2**37, driver)
        monkeypatch.setattr(accelerators, "accelerators", lambda: [device])
        monkeypatch.setattr(accelerators, "tensorflow_cuda", lambda: cuda)
        monkeypatch.setattr(accelerators, "tensorflow_gpus", lambda: gpus and [*gpus])

    return card


def test_what_this_machine_has(capsys):
    content = examine(capsys)
    assert content["processor"]["cores"] == machine.available_cores()
    assert content["memory"]["limit"] == machine.memory_limit()
    assert {disk["use"] for disk in content["disk"]} == {"runs", "feature cache", "temporary files"}
    assert content["versions"]["tensorflow"]
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for word in ("cores", "memory", "disk", "accelerator", "tensorflow 2", "extra"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    assert "free for the feature cache, in " in words
    for row in content["extras"]:
        install = row["install"]
        assert f"({f'not installed; {install}' if row['missing'] else 'installed'})" in words
    assert "no problems found" in text or content["problems"]


def test_every_extra_says_what_it_brings_and_how_to_get_it(capsys):
    users = requirements.extras().keys() - set(requirements.FOR_DEVELOPERS)
    assert doctor.BRINGS.keys() == users
    for row in examine(capsys)["extras"]:
        assert row["brings"] == doctor.BRINGS[row["name"]]
        assert row["install"] == f"pip install 'fmkit[{row['name']}]'"


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        ({}, ""),
        ({"driver": None, "gpus": ()}, "no driver"),
        ({"driver": "470.82.01"}, "470.82.01 is too old for CUDA 12.5.1"),
        ({"gpus": ()}, "pip install 'fmkit[gpu]'"),
        ({"gpus": None}, "cannot be imported"),
        ({"cuda": None}, "built without CUDA"),
    ],
)
def test_a_gpu(facts, part, card, capsys):
    card(**facts)
    content = examine(capsys)
    assert content["accelerators"][0]["name"] == "NVIDIA H200"
    text = messages(content)
    assert part in text
    assert part or "GPU" not in text


def test_gpus_of_other_makers_are_told(monkeypatch, capsys):
    monkeypatch.setattr(accelerators, "accelerators", lambda: [Accelerator("amd", "gfx90a")])
    assert "gfx90a" in messages(examine(capsys))


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("TF_USE_LEGACY_KERAS", "1", "unset TF_USE_LEGACY_KERAS"),
        ("TF_USE_LEGACY_KERAS", "0", ""),
        ("KERAS_BACKEND", "torch", "KERAS_BACKEND=torch"),
        ("KERAS_BACKEND", "tensorflow", ""),
    ],
)
def test_variables(variable, value, part, monkeypatch, capsys):
    monkeypatch.setenv(variable, value)
    text = messages(examine(capsys))
    assert part in text
    assert part or variable not in text


def test_versions_that_clash(monkeypatch, capsys):
    row = ("hydra-core", requirements.extras()["text"][0], "2.4.0")
    monkeypatch.setattr(requirements, "unmet", lambda: [row])
    monkeypatch.setattr(requirements, "shadowed", lambda: [("tensorflow", "tf-nightly")])
    versions = {"tensorflow": "2.21.0", "tensorflow-text": "2.19.1"}
    monkeypatch.setattr(doctor.environment, "versions", lambda *names: versions)
    text = messages(examine(capsys))
    for part in ("hydra-core requires gguf", "2.4.0 is installed", "tf-nightly", "text 2.19.1"):
        assert part in text


def test_little_room(monkeypatch, capsys):
    monkeypatch.setattr(files, "free_bytes", lambda folder: 5 * 10**8)
    monkeypatch.setattr(machine, "free_memory", lambda: 10**9)
    text = messages(examine(capsys))
    assert "500 MB free" in text
    assert "runs_dir=DIR" in text
    assert "1 GB of memory free" in text


def test_tensorflow_is_not_imported_and_words_are_refused(capsys):
    code = (
        "import sys; from fmkit.cli import main; main(['doctor'])\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
    assert main(["doctor", "me"]) == 2
