"""The keys of `runtime`: machine and reproducibility of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from fmkit.config import units
from fmkit.config.schema.keys import SEED, at_least, key
from fmkit.core.errors import received

LOGGERS = ("mlflow", "wandb")
"""Where metrics can go besides the run folder, with the keys of a section of that name."""


def _loggers_problem(key: str, names: Sequence[str]) -> str:
    unknown = [name for name in names if name not in LOGGERS]
    return received(key, unknown[0], LOGGERS) if unknown else ""


@dataclass
class MlflowConfig:
    """MLflow, with `runtime.loggers=[mlflow]`."""

    tracking_uri: str | None = key(
        None,
        "A server's address, `sqlite:///FILE` or a folder; null is `$MLFLOW_TRACKING_URI`, else "
        "`sqlite:///mlflow.db`.",
    )
    experiment: str | None = key(
        None, "Name of the experiment; null is `$MLFLOW_EXPERIMENT_NAME`, else `fmkit`."
    )


@dataclass
class WandbConfig:
    """Weights & Biases, with `runtime.loggers=[wandb]`."""

    project: str | None = key(None, "Name of the project; null is `$WANDB_PROJECT`, else `fmkit`.")
    entity: str | None = key(
        None, "User or team that has the project; null is `$WANDB_ENTITY`, else your default."
    )
    mode: str | None = key(
        None,
        "`online`, or `offline`: into the run folder, for `wandb sync`; null is `$WANDB_MODE`, "
        "else `online`.",
        choices=("online", "offline"),
    )


@dataclass
class RuntimeConfig:
    """Machine and reproducibility of a run."""

    seed: int = key(0, "Seed of weights, shuffling, augmentation and dropout.", range=SEED)
    precision: str = key(
        "auto",
        "`float32`, `mixed_bfloat16`, `mixed_float16`, or `auto` (mixed on GPUs where it helps).",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    )
    jit: str = key(
        "auto",
        "Compile with XLA: `true`, `false`, or `auto` (by device and phase).",
        choices=("auto", "true", "false"),
    )
    deterministic: bool = key(
        False, "Bit-for-bit equal runs on a GPU too (on a CPU they always are); slower."
    )
    devices: str = key("one", "Use `one` or `all` GPUs of this machine.", choices=("one", "all"))
    extractor: str = key(
        "auto",
        "Engine of frozen features, `predict` and `eval`: `keras`, `openvino`, `auto` (by length).",
        choices=("auto", "keras", "openvino"),
    )
    memory_budget: str = key(
        "25%",
        "Maximum memory for decoded images and features: `4 GiB`, or `25%` of what is free.",
        check=units.bytes_problem,
    )
    cache: str = key(
        "auto",
        "Frozen features: `auto` computes them once where that is exact, `never` every epoch.",
        choices=("auto", "never"),
    )
    cache_dir: str | None = key(
        None, "Folder of the feature cache; null uses `$XDG_CACHE_HOME/fmkit` or `~/.cache/fmkit`."
    )
    cache_limit: str = key(
        "20 GiB",
        "Maximum disk space of the feature cache; the least recently used entries go first.",
        check=units.bytes_problem,
    )
    cache_dtype: str = key(
        "float32",
        "Data type of cached features: `float32` (exact) or `float16` (half the size).",
        choices=("float32", "float16"),
    )
    time_limit: str | None = key(
        None,
        "Time for the whole run, `20 min` or `1h 30m`: phases are shortened, so that validation, "
        "refit and test fit in.",
        check=units.time_problem,
    )
    forgetting: bool = key(
        True,
        "Count how often each training example went from right to wrong (one class per example).",
    )
    log_every: int = key(
        0, "Also log metrics every N steps; 0 logs once per epoch.", range=at_least(0)
    )
    keep: int = key(1, "Number of newest checkpoints kept besides `best`.", range=at_least(1))
    save_every: str = key(
        "10 minutes",
        "Interval of checkpoints within an epoch: `10 minutes`, `30 seconds` or `500 steps`.",
        check=units.interval_problem,
    )
    report: str = key(
        "auto",
        "Write `report.html` at the end of a run: `true`, `false`, or `auto` (if it took 30 s).",
        choices=("auto", "true", "false"),
    )
    loggers: list[str] | None = key(
        None,
        "Also log to experiment trackers: `[mlflow]`, `[wandb]`, or both; null is none.",
        check=_loggers_problem,
    )
    mlflow: MlflowConfig = key(MlflowConfig, "Section.")
    wandb: WandbConfig = key(WandbConfig, "Section.")
    log_model: bool = key(
        False, "Send the finished model and the best checkpoint to the loggers, too."
    )
    verbose: bool = key(True, "Show progress on stderr.")
