"""fmkit from Python: the same commands as functions, which return what the command line prints.

    run = fmkit.finetune("data=image_folder", "data.root=photos")
    run.metrics                      # a row per epoch
    run.predict(["a.jpg", "b.jpg"])  # a row per photo

Overrides are the words of the command line, a mapping of keys to values, or keyword arguments for
keys without a dot. Errors are raised as `fmkit.FmkitError`; nothing ends the process.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmkit.commands import launch
from fmkit.commands.output import failures
from fmkit.config import saved_config
from fmkit.config.saved_config import quote
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import console, machine, safe_io, signals
from fmkit.core.errors import ArtifactError, ConfigError, received
from fmkit.store import metrics_log, run_dir, run_index, run_query
from fmkit.store.run_query import Query
from fmkit.store.run_reader import RunReader
from fmkit.store.run_table import RunTable

if TYPE_CHECKING:
    import keras
    import pandas as pd

Override = str | Mapping[str, Any]
_one_call = threading.RLock()  # Hydra and Keras keep one global state per process


class Run:
    """A run folder: what it recorded, and its model.

    Args:
        folder: the run's folder.
        plugins: the Python file with models or tasks of your own, if the run needs one.
    """

    def __init__(self, folder: str | Path, plugins: str | None = None) -> None:
        self.folder = Path(folder).absolute()
        self._plugins = plugins
        self._reader = RunReader(self.folder)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        numbers = run_index.metrics(run_index.read(self.folder)).items()
        shown = [f"{name}={value:.4g}" for name, value in numbers if name.startswith("test.")]
        return f"<fmkit.Run {self.folder} {', '.join([self.status['state'], *shown])}>"

    @property
    def status(self) -> dict[str, Any]:
        """status.json: state, reason, phase, epoch, step, times, and the metrics of `test`."""
        return self._reader.json(run_dir.STATUS)

    @property
    def config(self) -> dict[str, Any]:
        """config.yaml: the whole config, resolved."""
        return self._reader.config()

    @property
    def test(self) -> dict[str, Any] | None:
        """Summary metrics of the test split; None where there are none (yet)."""
        return self.status.get("test")

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.jsonl: a row per epoch, with the phase, step, losses and metrics.

        Raises:
            ArtifactError: the file cannot be read.
        """
        import pandas as pd

        path = self.folder / metrics_log.METRICS
        try:
            return pd.DataFrame(list(safe_io.read_json_lines(path)) if path.exists() else [])
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}.") from error

    def model(self, calibrated: bool = False) -> keras.Model:
        """The Keras model as it is deployed, with the best weights; it is not compiled.

        Of images: RGB of any size, (B, H, W, 3) from 0 to 255, to what the task predicts. Of texts:
        tokens (B, T) of the run's tokenizer, filled up with -1.

        Args:
            calibrated: its probabilities are those after temperature scaling.

        Raises:
            ArtifactError: the run is damaged or has no checkpoint.
            ConfigError: it cannot be calibrated.
        """
        from fmkit.commands import predict

        with _session():
            run = self._loaded
            from fmkit.train import build_model

            if calibrated:
                run = predict.with_temperature(self._reader, run)
            data = saved_config.section(self.config, "data")
            modality, temperature = run.spec.modality, run.temperature
            return build_model.inference_model(run.model, run.task, data, modality, temperature)

    def predict(
        self,
        inputs: str | Path | Sequence[Any],
        batch_size: int = 32,
        calibrated: bool = False,
        ood: bool | None = None,
    ) -> pd.DataFrame:
        """Predictions, a row per input; nothing is written.

        Args:
            inputs: for a model of photos: their paths, or the path of a photo, a folder or a table.
                For a model of texts: a text, several texts or pairs of texts, or as a `Path` the
                file or folder that `fmkit predict input=` takes.
            batch_size: inputs per step.
            calibrated: probabilities are those after temperature scaling.
            ood: the column `ood_score`; None: where the run keeps what it needs.

        Raises:
            DataError: none of the inputs can be read.
            ConfigError: the run cannot be calibrated, or cannot have scores.
        """
        import pandas as pd

        from fmkit.commands import predict

        with _session():
            run = self._loaded
            if calibrated:
                run = predict.with_temperature(self._reader, run)
            setting = "auto" if ood is None else str(ood).lower()
            run = predict.with_ood_scores(run, setting, RuntimeConfig())
            columns = predict.predict_values(self._reader, run, inputs, batch_size)
        return pd.DataFrame(columns)

    def explain(
        self, inputs: str | Path | Sequence[str | Path] | None = None, **settings: Any
    ) -> dict[str, Any]:
        """Explain predictions, as `fmkit explain` does; what its `explanations.json` has.

        Args:
            inputs: paths or texts; None explains examples of a split.
            settings: `split`, `limit`, `method`, `target`, `check`, `output` ...

        Raises:
            ConfigError: the run cannot be explained so.
            DataError: none of the inputs can be read.
        """
        from fmkit.commands import explain

        several = [] if inputs is None else inputs
        if isinstance(several, str | Path):
            several = [several]
        words = _words("explain", ({"run": self.folder},), settings)
        with _session():
            return explain.explain([*words, *(os.fspath(one) for one in several)]) or {}

    def export(self, *formats: str, **settings: Any) -> dict[str, Any]:
        """Write the model for other runtimes, as `fmkit export` does; by format its parity.json.

        Args:
            formats: `saved_model`, `keras`, `onnx`, `litert`, `openvino`; none is `saved_model`.
            settings: `batch`, `calibrated`, `split`, `input`, `limit`, `output` ...

        Raises:
            ConfigError: a format does not exist, or its packages are not installed.
            ArtifactError: an export does not agree with the run, and is not there.
        """
        from fmkit.commands import export

        words = _words("export", ({"run": self.folder},), settings)
        with _session():
            return export.export([*words, *formats]) or {}

    def report(self, other: str | Path | Run | None = None) -> Path:
        """Write the page about the run, or about another one and this side by side; its path.

        Raises:
            ArtifactError: a run cannot be read.
        """
        from fmkit.commands import report

        with _session():
            return report.write(self.folder, None if other is None else Path(other))

    @cached_property
    def _loaded(self) -> Any:
        launch.require_plugins(self._reader, ("model", "task"), launch.allowed_names(self._plugins))
        run_index.resolve_trained(str(self.folder), self.folder.parent)
        return launch.load_run(self._reader, RuntimeConfig())


def pretrain(*overrides: Override, **settings: Any) -> Run:
    """Train the head on a frozen backbone, or learn without labels, as `fmkit pretrain` does."""
    return _train("pretrain", overrides, settings)


def finetune(*overrides: Override, **settings: Any) -> Run:
    """Train the head, then the whole network, as `fmkit finetune` does.

    Raises:
        ConfigError: an override is wrong.
        DataError: the data is.
        NonFiniteError: the loss became NaN or infinite.
        ResourceError: disk or memory ran out.
        Interrupted: a signal stopped the run after a checkpoint; `fmkit.resume` goes on.
    """
    return _train("finetune", overrides, settings)


def resume(run: str | Path | Run = run_index.LAST, *overrides: Override, **settings: Any) -> Run:
    """Go on with a run that was stopped, or train the last phase of a finished one longer.

    Args:
        run: the run, its folder or id; `last` is the newest one that was stopped.
        overrides: such as `"stage.full.epochs=20"`.
        settings: `allow_versions`, `plugins`, `runs_dir`.
    """
    from fmkit.commands import resume

    pairs = _pairs(overrides, settings)
    words = [f"{key}={str(value).lower() if isinstance(value, bool) else value}"
             for key, value in pairs if key]  # fmt: skip
    with _session():
        plain = [value for key, value in pairs if not key]
        return Run(resume.resume([os.fspath(run), *words, *plain]))


def evaluate(*overrides: Override, **settings: Any) -> dict[str, Any]:
    """Evaluate a run on a split or on new data, as `fmkit eval` does: `evaluate(run="last")`.

    Returns:
        The metrics, as `eval/<split>.json` in the run's folder has them.
    """
    from fmkit.commands import evaluate

    with _session():
        return evaluate.evaluate(_words("evaluate", overrides, settings)) or {}


def predict(*overrides: Override, **settings: Any) -> pd.DataFrame:
    """Predict new photos or texts, as `fmkit predict` does: `predict(run="last", input="photos")`.

    Returns:
        The table that is written to `output`, or into the run's folder.
    """
    import pandas as pd

    from fmkit.commands import predict

    with _session():
        return pd.DataFrame(predict.predict(_words("predict", overrides, settings)))


def load(
    run: str | Path = run_index.LAST, runs_dir: str = "runs", plugins: str | None = None
) -> Run:
    """An earlier run.

    Args:
        run: its folder, its id or name, a part of the id, or `last`: the newest that is done.
        runs_dir: the folder that runs are looked for in.
        plugins: the Python file with models or tasks of your own, if the run needs one.

    Raises:
        ArtifactError: there is no such run, or there are several.
    """
    return Run(run_index.resolve(str(run), Path(runs_dir)), plugins)


def runs(
    runs_dir: str | Path = "runs", where: str = "", sort: str = "", columns: Sequence[str] = ()
) -> pd.DataFrame:
    """Runs under a folder, newest first: a row per run with its state and its metrics.

    Args:
        runs_dir: the folder.
        where: conditions as of `fmkit runs where`: `"test.accuracy>0.9 model.name=small_cnn"`.
        sort: keys with commas, `-` before one that falls: `"-test.accuracy"`.
        columns: keys of the config and the like, besides the id; empty: all of the status.

    Raises:
        ConfigError: a condition is wrong, or no run has a key.
    """
    import pandas as pd

    query = Query(run_query.parse_text(where), run_query.parse_keys(sort))
    selection = run_query.select(RunTable(Path(runs_dir)), query, columns)
    rows = run_query.rows(selection, columns)
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["folder", "id", "state"])


def _train(command: str, overrides: Sequence[Override], settings: Mapping[str, Any]) -> Run:
    from fmkit.commands import train

    words = _words(command, overrides, settings)
    with _session():
        folders = (train.pretrain if command == "pretrain" else train.finetune)(words)
    return Run(folders[0], dict(_pairs(overrides, settings)).get("plugins"))


def _pairs(overrides: Sequence[Override], settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Keys and values; a word of the command line stays whole, without a key."""
    return [
        pair
        for override in (*overrides, settings)
        for pair in ([("", override)] if isinstance(override, str) else override.items())
    ]


def _words(function: str, overrides: Sequence[Override], settings: Mapping[str, Any]) -> list[str]:
    """Overrides as words of the command line; flags that make no sense in Python are refused."""
    pairs = _pairs(overrides, settings)
    words = [f"{key}={quote(_plain(value))}" if key else value for key, value in pairs]
    for word in words:
        if word.startswith("-") and not word.startswith("--config-dir"):
            raise ConfigError(
                received(f"fmkit.{function}", word, "overrides, and --config-dir"),
                "It makes one run; for a sweep, call it once per value.",
            )
    return words


def _plain(value: Any) -> Any:
    """A value that the command line can express."""
    if isinstance(value, Mapping):
        raise ConfigError(received("an override", value, "a key with dots for each value"))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


@contextlib.contextmanager
def _session() -> Iterator[None]:
    """Run a command inside a program of the user's, and leave the program's state as it was.

    Calls of other threads wait. What commands print to stdout is what these functions return, so
    it is not printed; progress goes to stderr. Whatever is raised becomes an `FmkitError`.
    """
    with _one_call, signals.signal_handlers(), _global_state():
        machine.set_library_defaults()
        was_quiet, console.stdout.quiet = console.stdout.quiet, True
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            failure = failures.as_fmkit_error(error)
            if failure is error:
                raise
            raise failure from error
        finally:
            console.stdout.quiet = was_quiet


@contextlib.contextmanager
def _global_state() -> Iterator[None]:
    """Restore what every run sets: Hydra's config, which the program may use, seeds, the dtype."""
    import numpy as np
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    hydra, hydra_config = GlobalHydra.instance(), HydraConfig.instance()
    before = hydra.hydra, hydra_config.cfg
    python_state, numpy_state = random.getstate(), np.random.get_state()
    policy = sys.modules["keras"].config.dtype_policy() if "keras" in sys.modules else None
    try:
        yield
    finally:
        hydra.hydra, hydra_config.cfg = before
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        if "keras" in sys.modules:
            config = sys.modules["keras"].config
            config.set_dtype_policy(policy or config.floatx())
