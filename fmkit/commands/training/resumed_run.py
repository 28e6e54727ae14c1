"""An earlier run, opened to train on: what must not have changed, and what may."""

import dataclasses
import itertools
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmkit.commands import launch
from fmkit.config import rules, saved_config, solvers, units
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.runtime import LOGGERS
from fmkit.core import atomic_dir, console, files, machine
from fmkit.core.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    join_names,
    plural,
    received,
)
from fmkit.core.version import VERSION
from fmkit.store import environment, metrics_log, run_dir
from fmkit.store.run_dir import RunWriter
from fmkit.store.run_reader import RunReader
from fmkit.train.timing.deadline import RECORD

VERSIONS = ("fmkit", "keras", "tensorflow", "numpy")
"""Packages whose version a result depends on, to the last bit."""
_NOT_COMPUTED = (
    *(
        "name",
        "runs_dir",
        "plugins",
        "data.root",
        "data.image_root",
        "data.relabel",
        "runtime.verbose",
        "runtime.report",
    ),
    *("runtime.keep", "runtime.save_every", "runtime.cache_dir", "runtime.cache_limit"),
    *("runtime.memory_budget", "runtime.time_limit", "runtime.loggers", "runtime.log_model"),
    *(f"runtime.{section}" for section in LOGGERS),
)
"""Keys that do not change what a run computes; the data is known by its fingerprint. Of a time
limit, the status has what it changed."""
NO_LIMIT = "none"
"""What ends a time limit."""


@dataclass(frozen=True)
class Request:
    """What a user typed after `fmkit resume`."""

    run: str  # a folder, id or name, part of an id, or `last`
    epochs: dict[str, str] = field(default_factory=dict)  # by phase, the new length
    time_limit: str | None = None  # a new one, for this process; or NO_LIMIT
    allow_versions: bool = False
    plugins: str | None = None
    runs_dir: Path = Path("runs")


@dataclass
class ResumedRun:
    """An earlier run, opened to train on.

    Attributes:
        run: its folder, locked.
        config: its config, with the longer last phase of the request, and with the precision that
            `auto` meant when it was started.
        settings: its config by full key, as checkpoints record it.
        chosen: keys that the user set when it was started.
        environment: environment.json; empty where nothing was saved yet.
        saved: the checkpoint to go on from, a `fmkit.train.checkpoints.resume.SavedState`, or None.
        has_begun: whether anything was written; if not, the folder is unchanged.
    """

    run: RunWriter
    config: TrainConfig
    settings: dict[str, Any]
    chosen: set[str]
    environment: dict[str, Any]
    request: Request
    saved: Any = None
    has_begun: bool = False

    def require_same_data(self, datasets: Mapping[str, Any]) -> None:
        """Refuse data that is not what the run was trained on.

        Args:
            datasets: the data as it is now, by the objective; that of the primary one is `""`.

        Raises:
            DataError: it differs.
        """
        others = self.environment.get("objectives") or {}
        for name, dataset in datasets.items():
            before = (others.get(name) if name else self.environment.get("data")) or {}
            if not before.get("fingerprint"):  # nothing was trained yet
                continue
            now, objective = dataset.spec.as_dict(), f" of objective {name}" if name else ""
            for key, noun in (("fingerprint", "data"), ("split_fingerprint", "splits")):
                if before.get(key) != now[key]:
                    raise _changed(f"{noun}{objective}", self.run, _difference(before, now))
            ranges = [spec.get("grey_range") for spec in (before, now)]
            if ranges[0] != ranges[1]:
                difference = f"it was {ranges[0]}, and it is {ranges[1]}"
                raise _changed(f"range of grey values{objective}", self.run, difference)

    def begin(self, examples: int) -> None:
        """Find the checkpoint, check that it is this run's, report its step, and start to write.

        Args:
            examples: of the training split.

        Raises:
            ArtifactError: all checkpoints are damaged, or the config has changed.
            ConfigError: the last phase cannot be made longer in this way.
        """
        from fmkit.train.checkpoints import resume

        folder = self.run.checkpoints
        rows = self.environment.get("rows")  # a task may make more or fewer of the examples
        rows = rows if type(rows) is int and rows > 0 else examples
        steps_per_epoch = -(-rows // self.config.data.batch_size)
        self.saved, problems = resume.find_state(folder)
        if self.saved is not None:
            self._require_same_config(steps_per_epoch)
        self._warn_of_another_machine()
        for problem in problems:
            console.warning(problem)
        self.has_begun = True
        atomic_dir.remove_leftovers(folder)
        if self.saved is not None:
            resume.delete_later(folder, self.saved.step)
        else:
            (self.run.folder / run_dir.FREEZE).unlink(missing_ok=True)
        logged = self.saved.rows if self.saved else 0
        if metrics_log.truncate(self.run.folder, logged) < logged:
            console.warning(
                f"{metrics_log.METRICS} has lost rows: it has fewer than the checkpoint recorded."
            )
        if self.request.epochs:
            self._write_longer_config()
        position = self.saved.position if self.saved else None
        entry = {
            "time": machine.local_time(),
            "phase": self.saved.phase if self.saved else None,
            "epoch": position.epoch if position else 0,
            "step": position.step if position else 0,
            "host": socket.gethostname(),
            "fmkit": VERSION,
        }
        history = [*(self.run.status.get("resumes") or []), entry]
        self.run.update(resumes=history, best=self.saved.position.best if self.saved else None)
        self._log(self._position(steps_per_epoch))

    def check(self, assembly: Any) -> None:
        """Check the weights at the start, and report how a longer phase changes the learning rate.

        Args:
            assembly: the run's, before its weights are restored.

        Raises:
            ArtifactError: L2-SP or the task would compare with other weights than before.
        """
        started_from = (self.environment.get("weights") or {}).get("fingerprint")
        reference = assembly.reference
        reference_weights = (self.environment.get("reference") or {}).get("weights")
        use = ""
        if assembly.pretrained and assembly.backbone.fingerprint() != started_from:
            use = "optimizer.l2_sp pulls to"
        elif reference is not None and reference_weights not in (None, reference.weights):
            use = f"task.name={assembly.task.name} compares with"
        if use:
            raise ArtifactError(
                f"the weights that run {self.run.folder.name} started from, which {use}, have "
                "changed.",
                "Restore them, or start a new run.",
            )
        phase = assembly.phases[-1]
        before = self.saved.config.get(f"stage.{phase.name}.epochs") if self.saved else None
        now = self.config.stage[phase.name].epochs
        if before is None or before == now or self.saved.phase != phase.name:
            return
        from fmkit.train.phase_data import learning_rate_at

        old = dataclasses.replace(
            phase, steps=units.parse_duration(before, "epochs").steps(phase.steps_per_epoch)
        )
        step = self.saved.position.phase_step
        rates = [learning_rate_at(assembly, plan, step) for plan in (old, phase)]
        self._log(
            f"phase {phase.name} gets {plural(phase.steps, 'step')}, not {old.steps}; "
            f"the learning rate at step {step} of it was {rates[0]:.3g}, and is {rates[1]:.3g} now"
        )

    def _length_changes(self) -> list[dict[str, Any]]:
        """What a time limit has changed, by the record."""
        return list((self.run.status.get(RECORD) or {}).get("changes") or ())

    def _write_longer_config(self) -> None:
        """Write the longer config, and keep the old one as config-N.yaml."""
        folder = self.run.folder
        paths = (folder / f"config-{number}.yaml" for number in itertools.count(1))
        old = next(path for path in paths if not path.exists())
        files.write_bytes(old, (folder / run_dir.CONFIG).read_bytes())
        precision = self.settings["runtime.precision"]
        runtime = dataclasses.replace(self.config.runtime, precision=precision)
        self.run.write_config(dataclasses.replace(self.config, runtime=runtime))

    def _log(self, line: str) -> None:
        self.run.log(line)
        console.info(line)

    def _position(self, steps_per_epoch: int) -> str:
        name = self.run.folder.name
        if self.saved is None:
            return f"run {name} has no checkpoint yet: it starts again from the beginning"
        if self.saved.phase.startswith(run_dir.REFIT):
            return f"resuming run {name} at step {self.saved.step} of phase {self.saved.phase}"
        phase = self.config.stage[self.saved.phase]
        steps = 1  # of a solver
        if phase.solver not in solvers.SOLVERS:
            steps = units.parse_duration(phase.epochs, "epochs").steps(steps_per_epoch)
        steps = next(
            (change["after"] for change in reversed(self._length_changes())
             if change["phase"] == self.saved.phase and change["after"]),
            steps,
        )  # fmt: skip
        epochs = -(-steps // steps_per_epoch)
        position = f"at step {self.saved.step} of phase {self.saved.phase}"
        if self.saved.position.phase_step >= steps:
            return f"resuming run {name} {position} (trained to its last epoch, {epochs})"
        epoch = min(self.saved.position.epoch + 1, epochs)
        return f"resuming run {name} {position} (epoch {epoch} of {epochs})"

    def _require_same_config(self, steps_per_epoch: int) -> None:
        before, now = self.saved.config, self.settings
        last = list(self.config.stage)[-1]
        longer = f"stage.{last}.epochs"
        changed = [
            key
            for key in before  # keys of later versions mean in an older run what they meant there
            if before[key] != now.get(key) and key != longer
        ]
        if before and changed:
            changes = [f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in changed]
            raise ArtifactError(
                f"{run_dir.CONFIG} of run {self.run.folder.name} was changed: "
                f"{join_names(changes, 5)}.",
                "Undo the changes, or start a new run.",
            )
        if before and (before[longer] != now[longer] or self.request.epochs):
            self._require_longer(last, str(before[longer]), str(now[longer]), steps_per_epoch)

    def _require_longer(self, phase: str, before: str, now: str, per_epoch: int) -> None:
        config, reached = self.config.stage[phase], self.saved.position
        old, new = (units.parse_duration(text, "epochs").steps(per_epoch) for text in (before, now))
        has_begun, problem = self.saved.phase == phase, ""
        is_refitted = self.saved.phase.startswith(run_dir.REFIT)
        if new < old or (new == old and self.request.epochs):
            problem = f"it had {before}; it can only be made longer"
        elif is_refitted:
            problem = "after it the run was trained on validation examples, too (data.refit)"
        elif config.solver in solvers.SOLVERS:
            problem = f"its solver is {config.solver}, which runs until it converges"
        elif any(change["phase"] == phase for change in self._length_changes()):
            problem = "the time limit has changed its length, and the learning rate with it"
        elif has_begun and reached.phase_step == old and old % per_epoch:
            problem = f"its last epoch was cut at {old % per_epoch} of {per_epoch} steps"
        elif has_begun and config.patience and reached.stale >= config.patience:
            problem = f"it was stopped early: stage.{phase}.patience={config.patience}"
        if problem:
            raise ConfigError(
                f"stage.{phase}.epochs: received {now!r}, but phase {phase} cannot be continued: "
                f"{problem}."
            )

    def _warn_of_another_machine(self) -> None:
        """Warn where the machine differs, since only the same one repeats results bit by bit."""
        before, now = self.environment, environment.current()
        changes = [
            f"{key} was {before[key]}, is {now[key]}"
            for key in ("processor", "platform", "cores")
            if before.get(key) and before[key] != now[key]
        ]
        if changes and self.saved is not None:
            console.warning(
                f"the machine has changed ({join_names(changes)}): the run goes on, and its "
                "numbers may differ in their last bits."
            )


def open_run(folder: Path, request: Request) -> ResumedRun:
    """Lock a run and read its config.

    Raises:
        ArtifactError: it is in use, cannot be read, or was made by other versions.
        ConfigError: the request names a phase other than the last, or the run needs a plugin file.
    """
    run, reader = RunWriter.reopen(folder), RunReader(folder)
    try:
        launch.require_plugins(
            reader, ("model", "data", "task"), launch.allowed_names(request.plugins)
        )
        config = saved_config.train_config(reader.config())
        has_saved = any(run.checkpoints.glob("step-*"))
        # environment.json is written before the first checkpoint; without one it may be missing.
        before = reader.json(run_dir.ENVIRONMENT) if has_saved else {}
        *_, last = config.stage
        for phase, text in request.epochs.items():
            key = f"stage.{phase}.epochs"
            if phase != last:
                allowed = f"stage.{last}.epochs: only the last phase can be made longer"
                raise ConfigError(received("fmkit resume", key, allowed))
            if problem := units.epochs_problem(key, text):
                raise ConfigError(problem)
            config.stage[phase] = dataclasses.replace(config.stage[phase], epochs=text)
        if request.time_limit not in (None, NO_LIMIT):
            config.runtime.time_limit = request.time_limit
        chosen = set(run.status.get("chosen") or ())
        resumed = ResumedRun(run, config, settings(config), chosen, before, request)
        if has_saved:
            if not request.allow_versions:
                _require_same_versions(folder, before)
            precision = (before.get("devices") or {}).get("precision")
            if config.runtime.precision == "auto" and isinstance(precision, str):
                config.runtime.precision = precision  # that `auto` meant when the run was started
    except BaseException:
        run.release_lock()
        raise
    return resumed


def settings(config: TrainConfig) -> dict[str, Any]:
    """The config keys that the result of a run depends on; every checkpoint records them."""
    rows = rules.leaves(config)
    return {
        key: value
        for key, _, value in rows
        if not {rule := rules.rule_of(key), rule.rpartition(".")[0]} & {*_NOT_COMPUTED}
    }


def _require_same_versions(folder: Path, before: Mapping[str, Any]) -> None:
    old, now = before.get("versions") or {}, environment.current()["versions"]
    changes = [
        f"{name} {old.get(name)}, now {now[name]}"
        for name in VERSIONS
        if old.get(name) != now[name]
    ]
    if changes:
        raise ArtifactError(
            f"run {folder.name} was trained with other versions: {join_names(changes)}.",
            "Install those, or add allow_versions=true: the run then goes on, and its numbers may "
            "differ in their last bits.",
        )


def _changed(what: str, run: RunWriter, difference: str) -> DataError:
    """The error about data that is not what a run was trained on."""
    return DataError(
        f"the {what} of run {run.folder.name} changed since it was started: {difference}.",
        "Restore the data, or start a new run from this one's weights: init=RUN",
    )


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Counts that differ, by split and class; the fingerprint covers more than they do."""
    changes = []
    for split, classes in now["class_counts"].items():
        counts = (before.get("class_counts") or {}).get(split) or {}
        changes += [
            f"{split} has {count} of {name}, not {counts.get(name, 0)}"
            for name, count in classes.items()
            if count != counts.get(name, 0)
        ]
    return join_names(changes, 5) if changes else "the counts are the same, the examples are not"
