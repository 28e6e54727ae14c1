"""Exports a run: the deployed model in a format, its loader and record, checked before it counts.

B batch, K numbers in a result.
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.config import saved_config
from fmkit.config.registry import Export, task_entry
from fmkit.core import atomic_dir, console, files, machine, optional_packages, registry
from fmkit.core.errors import ArtifactError, FmkitError
from fmkit.core.modalities import modality_entry
from fmkit.core.version import VERSION
from fmkit.evaluation.load_run import LoadedRun
from fmkit.export import loader, parity
from fmkit.export.formats import FORMATS, LOADER, Format
from fmkit.export.inputs import DeployedInput, Sample
from fmkit.models import registry as model_registry
from fmkit.store import run_dir
from fmkit.train import build_model

METADATA = "metadata.json"
README = "README.md"
TIMED = (1, 32)
"""Batches that are timed, of an export with a dynamic batch."""


@dataclass(frozen=True)
class Source:
    """A run that is exported.

    Attributes:
        trained: the run, in float32, with the temperature that its probabilities get.
        sample: examples to compare on.
        split: where they are from, for the record.
        batch: examples of a batch; None for any number.
    """

    trained: LoadedRun
    sample: Sample
    split: str
    batch: int | None = None

    @property
    def row(self) -> Export:
        """What the task's deployed model returns."""
        return task_entry(self.trained.task.name).export

    @property
    def input(self) -> DeployedInput:
        """The modality's input."""
        entry = modality_entry(self.trained.spec.modality)
        source: DeployedInput = registry.load(entry.export_input)
        return source

    @property
    def data(self) -> Any:
        """The config of the run's data."""
        return saved_config.section(self.trained.run.config(), "data")


def export(source: Source, names: list[str], parent: Path) -> dict[str, dict[str, Any]]:
    """Export a run in several formats, one after the other.

    Args:
        source: the run.
        names: of the formats.
        parent: gets a folder for each; one that is there is replaced, once the new one is right.

    Returns:
        By format the content of parity.json, or `error` where there is no export.
    """
    references: parity.Results | None = None
    results: dict[str, dict[str, Any]] = {}
    for name in names:
        format = FORMATS[name]
        try:
            with console.announce_slow(f"{format.title}: converting", source.trained.verbose):
                model = deployed_model(source, format)
                if references is None:
                    references = reference_results(source, model)
            results[name] = _export(source, name, model, references, parent / name)
        except FmkitError as error:
            results[name] = {"format": name, "error": f"{format.title}: {error.message}"}
    return results


def deployed_model(source: Source, format: Format) -> keras.Model:
    """The run's model from its input to a mapping with its result, both with readable names."""
    trained = source.trained
    inner = build_model.inference_model(
        trained.model, trained.task, source.data, trained.spec.modality, trained.temperature,
        format.resizes,
    )  # fmt: skip
    (given,) = inner.inputs
    input = keras.Input(
        batch_shape=(source.batch, *given.shape[1:]), dtype=given.dtype, name=source.input.name
    )
    return keras.Model(input, {source.row.output: inner(input)}, name="fmkit")


def reference_results(source: Source, model: keras.Model) -> parity.Results:
    """What the run predicts for the sample: as `fmkit predict` computes it, where there is a
    function for it, and else by the deployed Keras model."""
    trained, row = source.trained, source.row
    if not row.as_predicted:
        outputs = (model(batch, training=False)[row.output] for batch in source.sample.batches)
        return [np.asarray(output) for output in outputs]
    as_predicted = registry.load(row.as_predicted)
    network = trained.inference.model
    return [
        as_predicted(np.asarray(network(batch, training=False)) / trained.temperature)
        for batch in source.sample.batches
    ]


def _export(
    source: Source, name: str, model: keras.Model, references: parity.Results, folder: Path
) -> dict[str, Any]:
    """One format, in its folder; see `export`.

    Raises:
        ArtifactError: it cannot be converted, does not run, or differs from the run's model.
    """
    format, trained = FORMATS[name], source.trained
    with atomic_dir.replacing(folder) as (temporary, _):
        with console.announce_slow(f"{format.title}: converting", trained.verbose):
            _convert(format, model, temporary / format.file)
        size = _size(temporary)
        source.input.write_files(trained, temporary)
        metadata = _metadata(source, name, model)
        files.write_json(temporary / METADATA, metadata)
        reader = source.input.reader(trained, source.data)
        code = loader.loader(format, source.input, reader, model.inputs[0].dtype, source.row)
        files.write_text(temporary / LOADER, code)
        record = _check(source, format, temporary, references)
        record = {"schema": 1, "format": name, **record, "model_bytes": size}
        files.write_json(temporary / run_dir.PARITY, record)
        install = loader.packages(format, source.input, reader)
        text = loader.readme(format, source.input, install, metadata, record)
        files.write_text(temporary / README, text)
    return record


def _convert(format: Format, model: keras.Model, path: Path) -> None:
    """Write the model file.

    Raises:
        ArtifactError: the converter refuses the model.
    """
    (given,) = model.inputs
    signature = [keras.InputSpec(shape=given.shape, dtype=given.dtype, name=given.name)]
    try:
        registry.load(format.write)(model, path, signature)
    except OSError:
        raise
    except Exception as error:  # converters raise nearly anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
        raise ArtifactError(f"its converter refuses this model: {reason}.") from error


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _check(
    source: Source, format: Format, folder: Path, references: parity.Results
) -> dict[str, Any]:
    """Run the export by its runtime and compare it; the figures of parity.json.

    Raises:
        ArtifactError: it does not run, or differs from the run's model.
    """
    trained, sample = source.trained, source.sample
    version = importlib.metadata.version(format.runtime)
    text = f"{format.title}: {len(sample)} examples in {format.runtime} {version}, against the run"
    sizes = TIMED if source.batch is None else (source.batch,)
    with console.announce_slow(text, trained.verbose):
        results, report = parity.run(folder, sample, source.row.output, sizes)
    figures = parity.compare(sample, results, references, source.row)
    if not figures["max_abs"] <= figures["allowed"]:  # type: ignore[operator]  # NaN is refused
        raise ArtifactError(
            f"its results differ from the run's by up to {figures['max_abs']:.1e}; allowed is "
            f"{figures['allowed']:.1e}."
        )
    return {
        "run": trained.run.id, "fmkit": VERSION, "time": machine.local_time(),
        "runtime": {format.runtime: version}, "split": source.split, "examples": len(sample),
        **figures, "cores": machine.available_cores(), **report,
    }  # fmt: skip


def _metadata(source: Source, name: str, model: keras.Model) -> dict[str, Any]:
    """What a user of the file has to know, for metadata.json."""
    trained, row, data = source.trained, source.row, source.data
    config = trained.run.config()
    (given,) = model.inputs
    shape = source.input.shape(given.shape)
    output = model.output[row.output]
    spec = trained.spec
    return {
        "schema": 1,
        "format": name,
        "run": trained.run.id,
        "fmkit": VERSION,
        "task": trained.task.name,
        "model": trained.backbone.name,
        "weights": weights_record(trained, config),
        "inputs": [{"name": given.name, "shape": shape, "dtype": given.dtype}],
        "outputs": [
            {
                "name": row.output,
                "shape": [*shape[:1], *(size or "length" for size in output.shape[1:])],
                "dtype": output.dtype,
                "is": row.phrase,
            }
        ],
        "names": list(spec.classes or spec.names) if row.has_names else [],
        **({"units": dict(spec.units)} if spec.units else {}),
        **({"threshold": 0.5} if row.answers == "labels" else {}),
        "temperature": trained.temperature,
        "resizes": FORMATS[name].resizes and len(shape) == 4,
        "preprocessing": source.input.metadata(trained, data),
    }


def weights_record(trained: LoadedRun, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the training started from, and its licence where that is known."""
    model = saved_config.section(config, "model")
    packages = model_registry.packages(model) if model.weights != "none" else ()
    licences = {optional_packages.PACKAGES[name].licence for name in packages} - {""}
    started = trained.run.json(run_dir.ENVIRONMENT).get("weights")
    name = started.get("weights") if isinstance(started, dict) else None
    return {"weights": name, "licence": " AND ".join(sorted(licences)) or None}
