"""Checks that a phase changed only what it trains: hashes of all weights before and after."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from typing import Any

import keras
import numpy as np

from fmkit.core import console, files
from fmkit.core.errors import ArtifactError, FreezeError, join_names
from fmkit.models.backbone import Backbone
from fmkit.optim import rates
from fmkit.optim.optimizers import VariableUpdate, variable_update
from fmkit.store import run_dir
from fmkit.store.run_dir import RunWriter
from fmkit.store.run_reader import RunReader
from fmkit.train import freeze
from fmkit.train.phases import Phase

_SCHEMA = 1
_MAX_ROWS = 12
"""A longer table of blocks is shown with equal neighbours in one row."""

PENDING, HELD, BROKEN, SKIPPED = "pending", "held", "broken", "skipped"


@dataclass
class BlockRecord:
    """What one phase did to a block, or to the head.

    Attributes:
        block: its name; `head` is the head.
        trainable: whether anything in it trains.
        trainable_parameters: how many of its numbers train.
        parameters: how many it has, moving statistics included.
        batchnorm: `train`, `frozen`, `mixed`, or `none` where it has no BatchNorm.
        multiplier: of the learning rate; 0 where nothing trains.
        weight_decay: of its kernels, towards 0.
        l2_sp: of its kernels, towards their pretrained values.
        sha256_before: of all its weights.
        sha256_frozen: of those that the phase may not change.
        sha256_after: the same after the phase, or None while it runs.
        moved: whether the two differ.
    """

    block: str
    trainable: bool
    trainable_parameters: int
    parameters: int
    batchnorm: str
    multiplier: float
    weight_decay: float
    l2_sp: float
    sha256_before: str
    sha256_frozen: str = ""
    sha256_after: str | None = None
    moved: bool | None = None


class FreezeAudit:
    """Hashes the weights around each phase of a run, and writes the record, `freeze.json`.

    Args:
        run: where the record goes.
        verbose: whether to show each phase's table.
    """

    def __init__(self, run: RunWriter, verbose: bool = True) -> None:
        self._run, self._verbose = run, verbose
        self._phases: list[dict[str, Any]] = []
        self._resumed: dict[str, BlockRecord] = {}
        # The variables are kept so that no other gets the id of one that is gone.
        self._digests: dict[int, tuple[keras.Variable, str]] = {}

    def reopen(self, phase: str) -> None:
        """Read the record of a resumed run: the phases before one, and how that one began.

        Args:
            phase: the phase that the run resumes in; what is recorded after it is dropped.

        Raises:
            ArtifactError: the record cannot be read, or does not have the phase.
        """
        entries = RunReader(self._run.folder).json(run_dir.FREEZE).get("phases")
        try:
            phases = [
                {**entry, "blocks": [BlockRecord(**block) for block in entry["blocks"]]}
                for entry in entries or []
            ]
            current = [entry["phase"] for entry in phases].index(phase)
        except (TypeError, KeyError, ValueError) as error:
            raise ArtifactError(
                f"run {self._run.folder.name}: {run_dir.FREEZE} does not say how phase "
                f"{phase} began."
            ) from error
        self._phases = phases[:current]
        self._resumed = {record.block: record for record in phases[current]["blocks"]}

    def skip(self, phase: Phase, reason: str) -> None:
        """Record a phase that does not run."""
        self._phases.append(_entry(phase, SKIPPED, reason, []))
        self._write()

    def snapshot(
        self,
        model: keras.Model,
        backbone: Backbone,
        phase: Phase,
        optimizers: Mapping[str, Any],
    ) -> None:
        """Record and show what a phase will train; the model is compiled.

        Hashes from the end of the phase before are reused: nothing should change in between, and
        what does change in between counts as moved in this phase. A resumed phase keeps the hashes
        of its true start, and what it froze must still have them.

        Args:
            model: the whole model, whichever part of it the phase runs.
            backbone: its backbone.
            phase: what should train.
            optimizers: of the update rule; none where a solver trains.

        Raises:
            ArtifactError: something frozen is not what it was when the phase began.
        """
        groups = freeze.weights_by_block(model, backbone)
        for weights in groups.values():
            for weight in weights:
                if id(weight) not in self._digests:
                    self._digests[id(weight)] = (weight, _digest(weight))
        layers = {block.name: list(freeze.layers_of(block)) for block in backbone.blocks}
        records = [
            _record(name, weights, layers.get(name, []), optimizers, self._hash(weights))
            for name, weights in groups.items()
        ]
        allowed = self._allowed(groups, backbone, phase)
        for record, weights in zip(records, groups.values(), strict=True):
            frozen = [weight for weight in weights if id(weight) not in allowed]
            record.sha256_frozen = self._hash(frozen)
        if self._resumed:
            _resume(records, self._resumed, phase)
            self._resumed = {}
        self._phases.append(_entry(phase, PENDING, "", records))
        self._write()
        title = f"phase {phase.name} trains {phase.train}"
        self._run.log("\n".join([title, *_table([[record] for record in records])]))
        if self._verbose:
            for line in [title, *_table(_collapsed(records))]:
                console.info(line)

    def check(self, model: keras.Model, backbone: Backbone, phase: Phase) -> None:
        """Compare all weights with the snapshot and record the outcome.

        Raises:
            FreezeError: a weight moved that the phase does not train.
        """
        groups = freeze.weights_by_block(model, backbone)
        allowed = self._allowed(groups, backbone, phase)
        entry = self._phases[-1]
        broken: dict[str, list[str]] = {}
        for record, (name, weights) in zip(entry["blocks"], groups.items(), strict=True):
            for weight in weights:
                digest = _digest(weight)
                if digest != self._digests[id(weight)][1] and id(weight) not in allowed:
                    broken.setdefault(name, []).append(weight.path)
                self._digests[id(weight)] = (weight, digest)
            record.sha256_after = self._hash(weights)
            record.moved = record.sha256_after != record.sha256_before
        entry["proof"] = BROKEN if broken else HELD
        entry["broken"] = [path for paths in broken.values() for path in paths]
        self._write()
        if broken:
            raise _error(phase, broken)

    def _allowed(
        self, groups: dict[str, list[keras.Variable]], backbone: Backbone, phase: Phase
    ) -> set[int]:
        """The ids of the weights that a phase may change: the head's always."""
        return freeze.movable(backbone, phase) | {id(weight) for weight in groups[rates.HEAD]}

    def _hash(self, weights: Sequence[keras.Variable]) -> str:
        """One hash for the weights of a block, in their order."""
        digests = "".join(self._digests[id(weight)][1] for weight in weights)
        return hashlib.sha256(digests.encode()).hexdigest()

    def _write(self) -> None:
        phases = [
            {**entry, "blocks": [asdict(record) for record in entry["blocks"]]}
            for entry in self._phases
        ]
        record = {"schema": _SCHEMA, "phases": phases}
        files.write_json(self._run.folder / run_dir.FREEZE, record)


def _resume(records: list[BlockRecord], before: dict[str, BlockRecord], phase: Phase) -> None:
    """Give records the hashes of the phase's true start.

    Raises:
        ArtifactError: a block is missing, or what is frozen in it has another hash.
    """
    moved = [
        record.block
        for record in records
        if record.block not in before or before[record.block].sha256_frozen != record.sha256_frozen
    ]
    if moved:
        raise ArtifactError(
            f"the checkpoint does not fit {run_dir.FREEZE}: what phase {phase.name} froze in "
            f"{join_names(moved, 5)} is not what it was when the phase began.",
            "The run's files were changed. Start a new run.",
        )
    for record in records:
        record.sha256_before = before[record.block].sha256_before


def _entry(phase: Phase, proof: str, skipped: str, records: list[BlockRecord]) -> dict[str, Any]:
    return {
        "phase": phase.name,
        "train": phase.train,
        "batchnorm": phase.batchnorm,
        "skipped": skipped,
        "proof": proof,
        "broken": [],
        "blocks": records,
    }


def _record(
    name: str,
    weights: Sequence[keras.Variable],
    layers: Iterable[keras.Layer],
    optimizers: Mapping[str, Any],
    digest: str,
) -> BlockRecord:
    """What the layers and the optimizers themselves say, not what the config asked for."""
    trained = [weight for weight in weights if weight.trainable]
    updates = [_update_of(optimizers, weight) for weight in trained]
    modes = {layer.trainable for layer in layers if freeze.is_batchnorm(layer)}
    batchnorm = {(): "none", (True,): "train", (False,): "frozen"}.get(tuple(modes), "mixed")
    return BlockRecord(
        block=name,
        trainable=bool(trained),
        trainable_parameters=sum(freeze.size(weight) for weight in trained),
        parameters=sum(freeze.size(weight) for weight in weights),
        batchnorm=batchnorm,
        multiplier=max((update.multiplier for update in updates), default=0.0),
        weight_decay=max((update.weight_decay for update in updates), default=0.0),
        l2_sp=max((update.l2_sp for update in updates), default=0.0),
        sha256_before=digest,
    )


def _update_of(optimizers: Mapping[str, Any], weight: keras.Variable) -> VariableUpdate:
    """What the optimizer that has a weight does to it."""
    for optimizer in optimizers.values():
        update = variable_update(optimizer, weight)
        if update.multiplier:
            return update
    return VariableUpdate()


def _digest(weight: keras.Variable) -> str:
    # By way of a tensor: NumPy cannot read a variable that is mirrored on several devices.
    # Not by `convert_to_numpy`: on TensorFlow that copies, and raises a warning for each.
    value = np.ascontiguousarray(keras.ops.convert_to_tensor(weight))
    digest = hashlib.sha256(f"{value.dtype.name} {list(value.shape)}\n".encode())
    digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _error(phase: Phase, broken: dict[str, list[str]]) -> FreezeError:
    moved = "; ".join(f"{name} ({join_names(paths, 4)})" for name, paths in broken.items())
    return FreezeError(
        f"phase {phase.name} trains {phase.train} with BatchNorm {phase.batchnorm}, and yet these "
        f"weights moved: {moved}.",
        "Something other than fmkit made them trainable, such as a plugin. Do not use the weights "
        f"of this phase; {run_dir.FREEZE} has the hashes.",
    )


def _collapsed(records: list[BlockRecord]) -> list[list[BlockRecord]]:
    """Neighbours that train in the same way in one row, if there are too many rows otherwise."""
    rows = [[record] for record in records]
    for with_rate in (True, False):
        if len(rows) <= _MAX_ROWS:
            break
        body = groupby(records[:-1], partial(_training_key, with_rate=with_rate))
        rows = [*(list(group) for _, group in body), records[-1:]]
    return rows


def _training_key(record: BlockRecord, with_rate: bool) -> tuple[Any, ...]:
    rate = record.multiplier if with_rate else None
    return record.trainable, record.batchnorm, record.weight_decay, record.l2_sp, rate


def _table(rows: list[list[BlockRecord]]) -> list[str]:
    """Aligned lines, a row for each group of blocks."""
    cells = [["block", "trains", "BatchNorm", "rate", "decay"], *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _cells(group: list[BlockRecord]) -> list[str]:
    first, last = group[0], group[-1]
    trained = sum(record.trainable_parameters for record in group)
    parameters = sum(record.parameters for record in group)
    decay = f"{first.weight_decay:g}" if first.weight_decay else "-"
    return [
        first.block if len(group) == 1 else f"{first.block} .. {last.block}",
        f"{trained:,} of {parameters:,}",
        "-" if first.batchnorm == "none" else first.batchnorm,
        _range([record.multiplier for record in group]) if first.trainable else "-",
        f"{first.l2_sp:g} to pretrained" if first.l2_sp else decay,
    ]


def _range(factors: list[float]) -> str:
    low, high = min(factors), max(factors)
    return f"x {low:.3g}" if low == high else f"x {low:.3g} to {high:.3g}"
