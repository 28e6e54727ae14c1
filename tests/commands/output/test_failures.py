"""Memory and disks that run out: what was going on, with which sizes, and what to try."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fmkit.cli import main
from fmkit.commands.output import failures
from fmkit.config.schema.commands import EvalConfig, PredictConfig, TrainConfig
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.optimizer import AdamConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import ClassificationConfig
from fmkit.core import files, signals
from fmkit.core.errors import ArtifactError, ConfigError, DataError, FmkitError, ResourceError
from fmkit.store.run_dir import RunWriter


class ResourceExhaustedError(Exception):
    """As TensorFlow names it."""


def sizes(batch, side):
    return TrainConfig(
        model=ModelConfig(name="small_cnn", image_size=side),
        data=DataConfig(name="digits", batch_size=batch),
        optimizer=AdamConfig(),
        stage={},
        task=ClassificationConfig(),
        runtime=RuntimeConfig(),
    )


@pytest.fixture
def folder(tmp_path):
    run = RunWriter(tmp_path, "finetune")
    run.begin(sizes(48, 224), {})
    run.update(phase="full", step=7)
    yield tmp_path
    run.release_lock()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        ResourceExhaustedError("Graph execution error"),
        RuntimeError("{{node conv}} OOM when allocating tensor with shape[64,224,224,64]"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes."),
        RuntimeError("UnknownError: MemoryError: Unable to allocate 9 GiB"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=str,
)
def test_every_way_of_saying_it_is_understood(error, folder):
    told = failures.as_fmkit_error(error, folder)
    assert told.exit_code == 6
    assert "at step 7 (phase full), with data.batch_size=48 and model.image_size=224" in str(told)
    assert "Try data.batch_size=24; optimizer.accumulation=2 beside it" in told.hint
    assert "model.image_size=160" in told.hint


def test_an_error_behind_the_error_counts():
    error = RuntimeError("while predicting")
    error.__context__ = MemoryError()
    assert failures.is_out_of_memory(error)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_one_where_a_library_made_another_error_of_it(number):
    """As TensorFlow does while it traces a conversion."""

    def convert():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except BaseException:
            raise TypeError("Failed to convert elements of (None,) to Tensor.") from None

    with signals.signal_handlers(), pytest.raises(TypeError) as raised:
        convert()
    with signals.signal_handlers():
        assert failures.as_fmkit_error(raised.value).exit_code == 1  # of another command
    with signals.signal_handlers():
        with pytest.raises(TypeError):
            convert()
        failure = failures.as_fmkit_error(raised.value)
    assert failure.exit_code == 128 + number
    assert str(failure).startswith(f"stopped by {number.name}")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("RESOURCE_EXHAUSTED: model.h5; No space left on device"),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not failures.is_out_of_memory(error)
    told = failures.as_fmkit_error(error)
    assert "memory" not in str(told)
    assert told.exit_code == (1 if "shapes" in str(error) else 6)


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        (EvalConfig(run="x", data=DataConfig(batch_size=32)), "Try data.batch_size=16."),
        (PredictConfig(run="x", input="y", batch_size=32), "Try batch_size=16."),
    ],
)
def test_commands_without_a_run_name_their_own_key(config, hint):
    told = failures.as_fmkit_error(MemoryError(), config=config)
    assert isinstance(told, ResourceError)
    assert told.hint == hint


def test_where_nothing_can_be_halved_there_is_other_advice(folder):
    RunWriter(folder, "finetune").write_config(sizes(1, 32))
    told = failures.as_fmkit_error(MemoryError(), folder)
    assert told.hint == "A smaller data.batch_size takes less."


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("kind", [ConfigError, DataError, ArtifactError, FmkitError])
def test_a_full_disk_is_one_whatever_was_made_of_it(kind, number):
    error = kind("output: x cannot be made.", "Name another folder.")
    error.__cause__ = OSError(number, os.strerror(number))
    failure = failures.as_fmkit_error(error)
    assert failure.exit_code == 6
    assert failure.message == "output: x cannot be made."
    assert "Free some space" in failure.hint


def test_a_chain_of_errors_that_leads_back_into_itself_ends():
    error, cause = DataError("x"), ValueError("y")
    error.__cause__, cause.__cause__ = cause, error
    assert failures.as_fmkit_error(error) is error
    assert not failures.is_out_of_memory(error)


def test_a_message_that_quotes_a_full_disk_is_not_one():
    error = DataError("row 3: unknown class 'No space left on device'.")
    assert failures.as_fmkit_error(error) is error


def test_a_full_disk_is_not_an_output_that_may_not_be_written(monkeypatch, tmp_path):
    def fail(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", fail)
    with pytest.raises(OSError, match="No space left"):
        files.why_not_writable(tmp_path / "x.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["guide", "data"], ["finetune", "--cfg", "job"]])
def test_output_onto_a_full_disk_is_an_error_and_a_reader_that_leaves_is_not(words):
    command = [sys.executable, "-m", "fmkit", *words]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 6
    assert result.stderr.startswith("error: the output is cut off: No space left on device.")
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_current_folder_that_is_gone_is_no_defect(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for line in (["runs"], ["check", "photos"], ["finetune", "--cfg", "job"]):
        assert main(line) == 2
        assert "the current folder no longer exists" in capsys.readouterr().err
