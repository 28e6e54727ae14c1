"""Accelerators as the system names them, with and without drivers and tools."""

import sys

import pytest

from fmkit.store import accelerators
from fmkit.store.accelerators import Accelerator

H200 = Accelerator("nvidia", "NVIDIA H200", 143771 * 2**20, "570.86.15")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """An empty folder of programs, the only one that is searched."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def program(folder, body):
    path = write(folder / "nvidia-smi", f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)


def found(tmp_path):
    return accelerators.accelerators(tmp_path / "proc", tmp_path / "sys")


def test_nothing(tools, tmp_path):
    assert found(tmp_path) == []


def test_by_the_tool_of_the_driver(tools, tmp_path):
    program(tools, "print('NVIDIA H200, 143771, 570.86.15\\nNVIDIA H200, [N/A], 570.86.15')")
    assert found(tmp_path) == [H200, Accelerator("nvidia", "NVIDIA H200", None, "570.86.15")]


@pytest.mark.parametrize(
    "body",
    [
        "raise SystemExit('NVIDIA-SMI has failed because it could not talk to the driver')",
        "print('No devices were found')",
        "import time; time.sleep(60)",
    ],
)
def test_by_the_files_of_the_driver_where_its_tool_fails(body, tools, tmp_path, monkeypatch):
    monkeypatch.setattr(accelerators, "_COMMAND_SECONDS", 1)
    program(tools, body)
    write(
        tmp_path / "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27 21:21:55 UTC 2021\n",
    )
    write(tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t Tesla T4\n")
    assert found(tmp_path) == [Accelerator("nvidia", "Tesla T4", None, "470.82.01")]


def test_a_card_without_a_driver(tools, tmp_path):
    for address, vendor, kind in (
        ("0000:01:00.0", "0x10de", "0x030200"),
        ("0000:01:00.1", "0x10de", "0x040300"),  # its sound
        ("0000:02:00.0", "0x8086", "0x030000"),  # of another maker
    ):
        write(tmp_path / f"sys/bus/pci/devices/{address}/vendor", f"{vendor}\n")
        write(tmp_path / f"sys/bus/pci/devices/{address}/class", f"{kind}\n")
    (card,) = found(tmp_path)
    assert (card.kind, card.driver) == ("nvidia", None)
    assert "0000:01:00.0" in card.name


def test_amd(tools, tmp_path):
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    write(nodes / "0/properties", "cpu_cores_count 8\nsimd_count 0\n")
    write(nodes / "1/properties", "cpu_cores_count 0\nsimd_count 440\n")
    write(nodes / "1/name", "gfx90a\n")
    assert found(tmp_path) == [Accelerator("amd", "gfx90a")]


def test_tensorflow_says_what_it_was_built_for_without_being_imported():
    from tensorflow.python.platform import build_info

    assert accelerators.tensorflow_cuda() == build_info.build_info.get("cuda_version")


def test_tensorflow_that_cannot_be_imported_gives_no_answer(monkeypatch):
    monkeypatch.setattr(accelerators, "_LIST_DEVICES", "raise ImportError('libcudart')")
    assert accelerators.tensorflow_gpus() is None
    monkeypatch.setattr(accelerators, "_LIST_DEVICES", "print('noise'); print('[\"/GPU:0\"]')")
    assert accelerators.tensorflow_gpus() == ["/GPU:0"]
