"""A run that is opened again: what must be as it was, what may differ, what is said about it."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.commands import plugins
from fmkit.commands.resume import Request
from fmkit.config import saved_config, units, validate
from fmkit.config.schema.commands import TrainConfig
from fmkit.core import console, files
from fmkit.core.errors import ArtifactError, ConfigError, DataError, join_names, received
from fmkit.store import environment, metrics_log, run_dir
from fmkit.store.run_dir import Run
from fmkit.store.run_reader import RunReader

VERSIONS = ("fmkit", "keras", "tensorflow", "numpy")
"""Packages whose version a result depends on, to the last bit."""
_HARMLESS = (
    *("name", "runs_dir", "plugins", "data.root", "data.image_root", "runtime.verbose"),
    *("runtime.keep", "runtime.save_every", "runtime.cache_dir", "runtime.cache_limit"),
    "runtime.memory_budget",
)
"""Keys that do not change what a run computes; the data is known by its fingerprint."""


@dataclass
class ResumedRun:
    """A run that is opened again.

    Attributes:
        run: its folder, locked.
        config: its config, with a longer last phase if that was asked for, and with what `auto`
            was decided to mean.
        settings: its config by full key, as it is recorded.
        chosen: keys that the user decided when it was started.
        before: what environment.json says; empty where it was stopped earlier.
        saved: the checkpoint to go on from, a `fmkit.train.checkpoints.state.SavedState`, or None.
        has_begun: whether anything was written; if not, the run stays as it was.
    """

    run: Run
    config: TrainConfig
    settings: dict[str, Any]
    chosen: set[str]
    before: dict[str, Any]
    request: Request
    saved: Any = None
    has_begun: bool = False

    @property
    def follows_recipe(self) -> bool:
        """Whether `recipe=auto` has yet to choose: what it chose is in the config."""
        return not (self.run.folder / run_dir.RECIPE).exists()

    def require_same_data(self, specs: Mapping[str, Any]) -> None:
        """Refuse data that is not what the run was trained on.

        Args:
            specs: of the data as it is now; of a joint run those of its other objectives, too, by
                their names.

        Raises:
            DataError: it differs.
        """
        others = self.before.get("objectives") or {}
        for name, spec in specs.items():
            was = (others.get(name) if name else self.before.get("data")) or {}
            if was.get("fingerprint"):  # else nothing was trained yet
                self._require_same(f" of objective {name}" if name else "", was, spec.as_dict())

    def _require_same(self, whose: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for key, what in (("fingerprint", "data"), ("split_fingerprint", "splits")):
            if was.get(key) != now[key]:
                raise DataError(
                    f"the {what}{whose} of run {self.run.folder.name} changed since it was "
                    f"started: {_difference(was, now)}.",
                    "Put the data back as it was, or start a new run, with init=RUN if you like.",
                )

    def training_examples(self, listed: int) -> int:
        """Rows of the training split: a task may make more or fewer than there are examples.

        Args:
            listed: how many the data's listing has.
        """
        count = self.before.get("rows")
        return count if type(count) is int and count > 0 else listed

    def begin(self, steps_per_epoch: int) -> None:
        """Find the checkpoint, check that it is this run's, say where it stands, and write.

        Args:
            steps_per_epoch: batches in an epoch.

        Raises:
            ArtifactError: no checkpoint is whole, or the config is not that of the run.
            ConfigError: the last phase cannot be made longer in this way.
        """
        from fmkit.train.checkpoints import checkpoint, state

        folder = self.run.checkpoints
        self.saved, problems = state.find(folder)
        if self.saved is not None:
            self._require_same_config(steps_per_epoch)
        self._warn_of_another_machine()
        for each in problems:
            console.warning(each)
        self.has_begun = True
        checkpoint.remove_leftovers(folder)
        rows = 0
        if self.saved is not None:
            state.forget_later(folder, self.saved.step)
            rows = self.saved.rows
        elif (self.run.folder / run_dir.FREEZE).exists():
            (self.run.folder / run_dir.FREEZE).unlink()
        if metrics_log.truncate(self.run.folder, rows) < rows:
            console.warning(
                f"{run_dir.METRICS} has lost rows: it is shorter than the checkpoint says."
            )
        if self.request.epochs:
            self._write_longer_config()
        step = self.saved.step if self.saved else 0
        entry = {"time": run_dir.now(), "step": step, "host": socket.gethostname()}
        history = [*(self.run.status.get("resumes") or []), entry]
        self.run.update(resumes=history, best=self.saved.best if self.saved else None)
        self._say(self._described(steps_per_epoch))

    def check(self, assembly: Any) -> None:
        """Check what only the assembled run can tell, and say what a longer phase does to its rate.

        Args:
            assembly: the run's, before its weights are put back.

        Raises:
            ArtifactError: the run would be compared with other weights than before.
        """
        started_from = (self.before.get("weights") or {}).get("fingerprint")
        reference = assembly.reference
        known = (self.before.get("reference") or {}).get("weights")
        what = ""
        if assembly.pretrained and assembly.backbone.fingerprint() != started_from:
            what = "optimizer.l2_sp pulls to"
        elif reference is not None and known is not None and reference.weights != known:
            what = f"task.name={assembly.task.name} compares with"
        if what:
            raise ArtifactError(
                f"the weights that run {self.run.folder.name} started from, which {what}, are not "
                "what they were.",
                "Put them back, or start a new run.",
            )
        phase = assembly.phases[-1]
        before = self.saved.config.get(f"stage.{phase.name}.epochs") if self.saved else None
        now = self.config.stage[phase.name].epochs
        if before is None or before == now or self.saved.phase != phase.name:
            return
        from fmkit.train.phase_data import rate_at

        old = dataclasses.replace(
            phase, steps=units.parse_duration(before, "epochs").steps(phase.steps_per_epoch)
        )
        rates = [rate_at(assembly, each, self.saved.phase_step) for each in (old, phase)]
        self._say(
            f"phase {phase.name} gets {phase.steps} steps, not {old.steps}; the learning rate at "
            f"step {self.saved.phase_step} of it was {rates[0]:.3g}, and is {rates[1]:.3g} now"
        )

    def _write_longer_config(self) -> None:
        """Write the longer config, and keep the old one as config-N.yaml."""
        number, folder = 1, self.run.folder
        while (kept := folder / f"config-{number}.yaml").exists():
            number += 1
        files.write_bytes(kept, (folder / run_dir.CONFIG).read_bytes())
        precision = self.settings["runtime.precision"]
        runtime = dataclasses.replace(self.config.runtime, precision=precision)
        self.run.write_config(dataclasses.replace(self.config, runtime=runtime))

    def _say(self, line: str) -> None:
        self.run.log(line)
        console.info(line)

    def _described(self, steps_per_epoch: int) -> str:
        name = self.run.folder.name
        if self.saved is None:
            return f"run {name} has no checkpoint yet: it starts again from the beginning"
        steps = _steps(self.config, self.saved.phase, steps_per_epoch)
        epochs = -(-steps // steps_per_epoch)
        place = f"at step {self.saved.step} of phase {self.saved.phase}"
        if self.saved.phase_step >= steps:
            return f"resuming run {name} {place} (all {epochs} epochs are trained)"
        epoch = min(self.saved.epoch + 1, epochs)
        return f"resuming run {name} {place} (epoch {epoch} of {epochs})"

    def _require_same_config(self, steps_per_epoch: int) -> None:
        before, now = self.saved.config, self.settings
        last = list(self.config.stage)[-1]
        longer = f"stage.{last}.epochs"
        changed = [
            key
            for key in dict.fromkeys([*before, *now])
            if before.get(key) != now.get(key) and key != longer
        ]
        if before and changed:
            told = [f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in changed]
            raise ArtifactError(
                f"{run_dir.CONFIG} of run {self.run.folder.name} is not what it was: "
                f"{join_names(told, 5)}.",
                "Put it back as it was, or start a new run.",
            )
        if before and (before[longer] != now[longer] or self.request.epochs):
            self._require_longer(last, str(before[longer]), str(now[longer]), steps_per_epoch)

    def _require_longer(self, phase: str, before: str, now: str, per_epoch: int) -> None:
        key, saved, settled = f"stage.{phase}.epochs", self.saved, self.config.stage[phase]
        old, new = (units.parse_duration(each, "epochs").steps(per_epoch) for each in (before, now))
        problem = ""
        if new < old or (new == old and self.request.epochs):
            problem = f"it had {before}; it can only be made longer"
        elif settled.solver == "lbfgs":
            problem = "its solver is lbfgs, which finds the end at once"
        elif saved.phase == phase and saved.phase_step == old and old % per_epoch:
            problem = f"its last epoch was cut at {old % per_epoch} of {per_epoch} steps"
        elif saved.phase == phase and saved.stale >= (settled.patience or saved.stale + 1):
            problem = f"it has stopped by itself: stage.{phase}.patience={settled.patience}"
        if problem:
            raise ConfigError(
                f"{key}: received {now!r}, but phase {phase} cannot go on so: {problem}."
            )

    def _warn_of_another_machine(self) -> None:
        """Say what is another than it was; equal to the last bit is only the same machine."""
        was, now = self.before, environment.current()
        told = [
            f"{key} was {was[key]}, is {now[key]}"
            for key in ("processor", "platform", "cores")
            if was.get(key) and was[key] != now[key]
        ]
        if told and self.saved is not None:
            console.warning(
                f"this is another machine than before ({join_names(told)}): the run goes on, and "
                "its numbers may differ in their last bits."
            )


def open_again(folder: Path, request: Request) -> ResumedRun:
    """Lock a run and read its config.

    Raises:
        ArtifactError: it is in use, cannot be read, or was made by other versions.
        ConfigError: it cannot be made longer in this way, or needs a plugin file.
    """
    run, finished = Run.reopen(folder), RunReader(folder)
    try:
        known = plugins.names(request.plugins)
        plugins.require(finished, ("model", "data", "task"), known)
        config = saved_config.train_config(finished.config())
        # It is written before the first checkpoint is.
        has_saved = any(run.checkpoints.glob("step-*"))
        before = finished.json(run_dir.ENVIRONMENT) if has_saved else {}
        _lengthen(config, request.epochs)
        chosen = set(run.status.get("chosen") or ())
        again = ResumedRun(run, config, settings(config), chosen, before, request)
        if has_saved:
            if not request.allow_versions:
                _require_same_versions(folder, before)
            _keep_precision(config, before)
    except BaseException:
        run.release()
        raise
    return again


def settings(config: TrainConfig) -> dict[str, Any]:
    """What a run computes depends on, by full key, as it goes into every checkpoint."""
    rows = validate.leaves(config)
    return {key: value for key, rule, value in rows if rule not in _HARMLESS}


def _require_same_versions(folder: Path, before: Mapping[str, Any]) -> None:
    was, now = before.get("versions") or {}, environment.current()["versions"]
    told = [f"{key} {was.get(key)}, now {now[key]}" for key in VERSIONS if was.get(key) != now[key]]
    if told:
        raise ArtifactError(
            f"run {folder.name} was trained with other versions: {join_names(told)}.",
            "Install those, or add allow_versions=true: it then goes on, and is not equal to the "
            "last bit.",
        )


def _keep_precision(config: TrainConfig, before: Mapping[str, Any]) -> None:
    """What `auto` was decided to mean stays."""
    precision = (before.get("devices") or {}).get("precision")
    if config.runtime.precision == "auto" and isinstance(precision, str):
        config.runtime.precision = precision


def _lengthen(config: TrainConfig, epochs: Mapping[str, str]) -> None:
    phases = list(config.stage)
    for phase, text in epochs.items():
        key = f"stage.{phase}.epochs"
        if phase != phases[-1]:
            allowed = f"stage.{phases[-1]}.epochs: only the last phase can be made longer"
            raise ConfigError(received("fmkit resume", key, allowed))
        wrong = validate.value_problem(key, validate.rule_of(key), text, {})
        if wrong:
            raise ConfigError(wrong)
        config.stage[phase] = dataclasses.replace(config.stage[phase], epochs=text)


def _steps(config: TrainConfig, phase: str, steps_per_epoch: int) -> int:
    if config.stage[phase].solver == "lbfgs":
        return 1
    return units.parse_duration(config.stage[phase].epochs, "epochs").steps(steps_per_epoch)


def _difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Counts that differ, by split and class; the fingerprint sees more than they do."""
    told = []
    for split, classes in now["class_counts"].items():
        before = (was.get("class_counts") or {}).get(split) or {}
        told += [
            f"{split} has {count} of {name}, not {before.get(name, 0)}"
            for name, count in classes.items()
            if count != before.get(name, 0)
        ]
    return join_names(told, 5) if told else "as many examples as before, but not the same ones"
