"""`fmkit export`: a run's model as a file for another runtime, checked against the run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.commands import launch, predict
from fmkit.commands.output import json_output, result_tables
from fmkit.config import saved_config
from fmkit.config.schema.commands import FORMATS, ExportConfig, PredictConfig
from fmkit.core import console, files, optional_packages, registry
from fmkit.core.errors import ArtifactError, ConfigError, combine_messages, received
from fmkit.core.modalities import modality_entry
from fmkit.store import run_dir
from fmkit.store.run_reader import RunReader

PACKAGES = {
    "onnx": ("tf2onnx", "onnx", "onnxruntime"),
    "litert": ("ai_edge_litert",),
    "openvino": ("openvino",),
}
"""By format, what it needs besides fmkit's own packages; keys of `optional_packages.PACKAGES`."""


def export(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Export a run; by format what parity.json has.

    Args:
        arguments: settings and flags; other words are the run, and formats.
    """
    content: dict[str, Any] | None = launch.run_command("export", _settings(arguments), export_run)
    return content


def _settings(arguments: Sequence[str]) -> list[str]:
    """`last onnx litert` as `run=last format='onnx,litert'`, and the commas of `format=` quoted."""
    line = launch.parse_line("export", [word for word in arguments if not _has_commas(word)])
    formats = [word for word in line.paths if word in FORMATS]
    runs = [word for word in line.paths if word not in FORMATS]
    words = [*line.flags, *line.words]
    listed = [word.partition("=")[2] for word in arguments if _has_commas(word)]
    if runs and (len(runs) > 1 or "run" in line.named()):
        raise ConfigError(received("format", runs[-1], FORMATS))
    if formats and (listed or "format" in line.named()):
        raise ConfigError(
            f"{formats[0]!r} and format= both name formats.", "Name all of them in one way."
        )
    words += [f"run={saved_config.quote(run)}" for run in runs]
    listed += [",".join(formats)] if formats else []
    return words + [f"format={saved_config.quote(text.strip('[]'))}" for text in listed]


def _has_commas(word: str) -> bool:
    """Whether Hydra would take a word for a sweep or a list, where formats are meant."""
    return word.startswith("format=") and "," in word


def export_run(config: ExportConfig) -> dict[str, Any]:
    """Export a run in each format, and print what was compared.

    Raises:
        ConfigError: the run or a format cannot be exported.
        DataError: there are no examples to compare on.
        ArtifactError: an export does not agree with the run. The others are there.
    """
    names = config.format.split(",")
    _require_packages(names)
    run = launch.open_run(config.run, config.runs_dir)
    parent = _parent(config, run)
    split, inputs = _examples(config, run)
    runtime = dataclasses.replace(config.runtime, precision="float32", extractor="keras")
    trained = launch.load_run(run, runtime)
    if config.calibrated:
        trained = predict.with_temperature(run, trained)
    from fmkit.export import artifact

    deployed = registry.load(modality_entry(trained.spec.modality).export_input)
    inputs = inputs if config.input is not None else deployed.inputs(inputs)
    batch = None if config.batch == "dynamic" else int(config.batch)
    with console.redirect_stderr(run.folder / run_dir.LOG):  # converters write there
        sample = deployed.sample(trained, inputs, config.limit, batch or artifact.TIMED[-1])
        sample = sample.of_whole_batches(batch) if batch else sample
        source = artifact.Source(trained, sample, split, batch)
        results = artifact.export(source, names, parent)
    content = {"run": run.folder.absolute(), "folder": parent, "exports": results}
    json_output.show("exports", content, lambda: result_tables.exports(results, parent))
    errors = [row["error"] for row in results.values() if "error" in row]
    if errors:
        raise ArtifactError(combine_messages(errors), _written(results))
    return results


def _written(results: dict[str, dict[str, Any]]) -> str:
    right = [name for name, row in results.items() if "error" not in row]
    return f"Written: {', '.join(right)}." if right else "Nothing was written."


def _require_packages(names: Sequence[str]) -> None:
    """Refuse formats whose packages are not installed.

    Raises:
        ConfigError: with what to install for all of them.
    """
    modules = tuple(module for name in names for module in PACKAGES.get(name, ()))
    if missing := optional_packages.missing(modules):
        lacking = ", ".join(package.name for package in missing)
        raise ConfigError(
            f"format={','.join(names)}: {lacking} {'is' if len(missing) == 1 else 'are'} not "
            "installed.",
            f"{optional_packages.how_to_install(missing)}. saved_model and keras need no more.",
        )


def _parent(config: ExportConfig, run: RunReader) -> Path:
    """The folder that gets a folder for each format."""
    parent = run.folder / run_dir.EXPORT
    if config.output is not None:
        parent = Path(config.output).expanduser()
    if reason := files.why_not_writable(parent / "any"):
        raise ConfigError(
            f"output: {files.display_path(parent)} cannot be written: {reason}.",
            "Name a folder that you may write: output=DIR",
        )
    return parent


def _examples(config: ExportConfig, run: RunReader) -> tuple[str, Any]:
    """What exports are checked on: a split's name and examples, or `input` and its inputs.

    Raises:
        DataError: the run's data is not there any more.
    """
    if config.input is not None:
        if config.split is not None:
            raise ConfigError("input and split were both named: name one of them.")
        return "input", predict.read_inputs(PredictConfig(config.run, config.input), run)
    from fmkit.evaluation import run_data

    counts = run.data().get("counts") or {}
    split = config.split or next((name for name in ("test", "val") if counts.get(name)), "train")
    with console.announce_slow("reading the examples", config.runtime.verbose):
        read = run_data.read_own_split(run, config.runtime, split)
    rows = np.asarray(read.data.splits[read.split])[: config.limit]
    return read.split, read.data.examples.take(rows)
