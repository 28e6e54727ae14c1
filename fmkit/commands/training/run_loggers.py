"""The experiment trackers that a run is logged to: MLflow, Weights & Biases."""

import dataclasses
from typing import Any

from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.store.loggers.follow import STOPPED_SECONDS, Follower, Followers
from fmkit.store.run_dir import RunWriter


def start(config: TrainConfig, run: RunWriter) -> Followers:
    """Start what follows a run whose record is written; it never raises."""
    runtime = config.runtime
    followers = Followers(
        [
            Follower(run.folder, name, settings_of(runtime, name), runtime.log_model, run.log)
            for name in runtime.loggers or ()
        ]
    )
    run.after_failure.append(lambda: followers.close(STOPPED_SECONDS))
    return followers


def settings_of(runtime: RuntimeConfig, logger: str) -> dict[str, Any]:
    """The section of a logger."""
    return dataclasses.asdict(getattr(runtime, logger))
