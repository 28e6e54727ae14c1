"""The proof that a phase changed nothing but what it was to train: hashes before and after."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from typing import Any

import keras
import numpy as np

from fmkit.core import console, files
from fmkit.core.errors import ArtifactError, FreezeError, join_names
from fmkit.models.backbone import Backbone
from fmkit.optim import optimizers, rates
from fmkit.store import run_dir
from fmkit.store.run_dir import Run
from fmkit.store.run_reader import RunReader
from fmkit.train import freeze
from fmkit.train.phases import Phase

_SCHEMA = 1
_MAX_ROWS = 12
"""A longer table of blocks is shown with equal neighbours in one row."""

PENDING, HELD, BROKEN, SKIPPED = "pending", "held", "broken", "skipped"


@dataclass
class BlockRecord:
    """A block, or the head, in one phase.

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
    """Hashes weights around each phase of a run and keeps the record, `freeze.json`.

    Args:
        run: where the record goes.
        shown: whether to show each phase's table.
    """

    def __init__(self, run: Run, shown: bool = True) -> None:
        self._run, self._shown = run, shown
        self._phases: list[dict[str, Any]] = []
        self._begun: dict[str, BlockRecord] = {}
        # The variables are kept so that no other can have the id of one that is gone.
        self._digests: dict[int, tuple[keras.Variable, str]] = {}

    def reopen(self, phase: str) -> None:
        """Take up the record of a run that goes on: the phases before one, and how that one began.

        Args:
            phase: the phase that the run stands in; what is recorded after it is forgotten.

        Raises:
            ArtifactError: the record cannot be read, or does not have the phase.
        """
        entries = RunReader(self._run.folder).json(run_dir.FREEZE).get("phases")
        try:
            found = [
                {**each, "blocks": [BlockRecord(**block) for block in each["blocks"]]}
                for each in entries or []
            ]
            place = [each["phase"] for each in found].index(phase)
        except (TypeError, KeyError, ValueError) as error:
            raise ArtifactError(
                f"run {self._run.folder.name}: {run_dir.FREEZE} does not say how phase "
                f"{phase} began."
            ) from error
        self._phases = found[:place]
        self._begun = {each.block: each for each in found[place]["blocks"]}

    def skip(self, phase: Phase, reason: str) -> None:
        """Record a phase that does not run."""
        self._phases.append(_entry(phase, SKIPPED, reason, []))
        self._write()

    def snapshot(
        self, model: keras.Model, backbone: Backbone, phase: Phase, optimizer: Any
    ) -> None:
        """Record and show what a phase is going to train; the model is compiled.

        Hashes from the end of the phase before are used again: nothing is to change in between, and
        what does change in between counts as moved in this phase. A phase that goes on keeps the
        hashes of its true start, and what it froze must still have them.

        Args:
            model: the whole model, whichever part of it the phase runs.
            backbone: its backbone.
            phase: what should train.
            optimizer: of `optimizers.build`, or None where another solver is at work.

        Raises:
            ArtifactError: something frozen is not what it was when the phase began.
        """
        groups = freeze.weights_by_block(model, backbone)
        for weight in (each for weights in groups.values() for each in weights):
            if id(weight) not in self._digests:
                self._digests[id(weight)] = (weight, _digest(weight))
        layers = {block.name: list(freeze.layers_of(block)) for block in backbone.blocks}
        records = [
            _record(name, weights, layers.get(name, []), optimizer, self._hash(weights))
            for name, weights in groups.items()
        ]
        allowed = self._allowed(groups, backbone, phase)
        for record, weights in zip(records, groups.values(), strict=True):
            record.sha256_frozen = self._hash([each for each in weights if id(each) not in allowed])
        if self._begun:
            _begin_again(records, self._begun, phase)
            self._begun = {}
        self._phases.append(_entry(phase, PENDING, "", records))
        self._write()
        title = f"phase {phase.name} trains {phase.train}"
        self._run.log("\n".join([title, *_table([[each] for each in records])]))
        if self._shown:
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
        """The ids of the weights that a phase may change."""
        return freeze.movable(backbone, phase) | {id(weight) for weight in groups[rates.HEAD]}

    def _hash(self, weights: Sequence[keras.Variable]) -> str:
        """One hash for the weights of a block, in their order."""
        digests = "".join(self._digests[id(weight)][1] for weight in weights)
        return hashlib.sha256(digests.encode()).hexdigest()

    def _write(self) -> None:
        phases = [
            {**entry, "blocks": [asdict(each) for each in entry["blocks"]]}
            for entry in self._phases
        ]
        record = {"schema": _SCHEMA, "phases": phases}
        files.write_json(self._run.folder / run_dir.FREEZE, record)


def _begin_again(records: list[BlockRecord], before: dict[str, BlockRecord], phase: Phase) -> None:
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
    optimizer: Any,
    digest: str,
) -> BlockRecord:
    """What is, by the layers and the optimizer themselves, not by what the config asked for."""
    trained = [each for each in weights if each.trainable]
    treated = [optimizers.variable_update(optimizer, each) for each in trained]
    modes = {layer.trainable for layer in layers if freeze.is_batchnorm(layer)}
    batchnorm = {(): "none", (True,): "train", (False,): "frozen"}.get(tuple(modes), "mixed")
    return BlockRecord(
        block=name,
        trainable=bool(trained),
        trainable_parameters=sum(freeze.size(each) for each in trained),
        parameters=sum(freeze.size(each) for each in weights),
        batchnorm=batchnorm,
        multiplier=max((each.multiplier for each in treated), default=0.0),
        weight_decay=max((each.weight_decay for each in treated), default=0.0),
        l2_sp=max((each.l2_sp for each in treated), default=0.0),
        sha256_before=digest,
    )


def _digest(weight: keras.Variable) -> str:
    # By way of a tensor: a variable that is mirrored on several devices is no array yet.
    # Not by `convert_to_numpy`: on TensorFlow that copies, and raises a warning for each.
    value = np.ascontiguousarray(keras.ops.convert_to_tensor(weight))
    digest = hashlib.sha256(f"{value.dtype.name} {list(value.shape)}\n".encode())
    digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _error(phase: Phase, broken: dict[str, list[str]]) -> FreezeError:
    told = "; ".join(f"{name} ({join_names(paths, 4)})" for name, paths in broken.items())
    return FreezeError(
        f"phase {phase.name} trains {phase.train} with BatchNorm {phase.batchnorm}, and yet these "
        f"weights moved: {told}.",
        "Something made them trainable behind fmkit's back, such as a plugin. The weights of this "
        f"phase are not to be used; {run_dir.FREEZE} has the hashes.",
    )


def _collapsed(records: list[BlockRecord]) -> list[list[BlockRecord]]:
    """Neighbours that are treated alike in one row, if there are too many rows without."""
    rows = [[each] for each in records]
    for with_rate in (True, False):
        if len(rows) <= _MAX_ROWS:
            break
        body = groupby(records[:-1], partial(_likeness, with_rate=with_rate))
        rows = [*(list(alike) for _, alike in body), records[-1:]]
    return rows


def _likeness(record: BlockRecord, with_rate: bool) -> tuple[Any, ...]:
    rate = record.multiplier if with_rate else None
    return record.trainable, record.batchnorm, record.weight_decay, record.l2_sp, rate


def _table(rows: list[list[BlockRecord]]) -> list[str]:
    """Aligned lines, a row for each group of blocks."""
    cells = [["block", "trains", "BatchNorm", "rate", "decay"], *(_cells(each) for each in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _cells(alike: list[BlockRecord]) -> list[str]:
    first, last = alike[0], alike[-1]
    trained = sum(each.trainable_parameters for each in alike)
    of = sum(each.parameters for each in alike)
    decay = f"{first.weight_decay:g}" if first.weight_decay else "-"
    return [
        first.block if len(alike) == 1 else f"{first.block} .. {last.block}",
        f"{trained:,} of {of:,}",
        "-" if first.batchnorm == "none" else first.batchnorm,
        _range([each.multiplier for each in alike]) if first.trainable else "-",
        f"{first.l2_sp:g} to pretrained" if first.l2_sp else decay,
    ]


def _range(factors: list[float]) -> str:
    low, high = min(factors), max(factors)
    return f"x {low:.3g}" if low == high else f"x {low:.3g} to {high:.3g}"
