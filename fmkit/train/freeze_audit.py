"""Checks that a phase changed only what it trains: hashes of all weights before and after."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import keras

from fmkit.core import console, files
from fmkit.core.errors import ArtifactError, FreezeError, join_names
from fmkit.models.backbone import Backbone
from fmkit.optim.optimizers import variable_update
from fmkit.store import run_dir
from fmkit.store.run_dir import RunWriter
from fmkit.store.run_reader import RunReader
from fmkit.train import freeze
from fmkit.train.checkpoints import variables
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
    """Hashes the weights around each phase; writes `freeze.json` and, if verbose, shows a table."""

    def __init__(self, run: RunWriter, verbose: bool = True) -> None:
        self._run, self._verbose = run, verbose
        self._phases: list[dict[str, Any]] = []
        self._resumed: dict[str, BlockRecord] = {}
        # The variables are kept so that no other gets the id of one that is gone.
        self._digests: dict[int, tuple[keras.Variable, str]] = {}

    def reopen(self, phase: str) -> None:
        """Read the record of a resumed run up to a phase: those before it, and how it began.

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

    def weights_were_reset(self) -> None:
        """All weights are others now, on purpose: the next phase starts with those."""
        self._digests.clear()

    def skip(self, phase: Phase, reason: str) -> None:
        """Record a phase that does not run."""
        self._add(phase, SKIPPED, reason, [])

    def snapshot(
        self, model: keras.Model, backbone: Backbone, phase: Phase, optimizers: Mapping[str, Any]
    ) -> None:
        """Record and show what a phase will train; the model is the whole one, and compiled.

        Hashes from the end of the phase before are reused: nothing should change in between, and
        what does change in between counts as moved in this phase. A resumed phase keeps the hashes
        of its true start, and what it froze must still have them.

        Raises:
            ArtifactError: something frozen is not what it was when the phase began.
        """
        groups = freeze.weights_by_block(model, backbone)
        for weights in groups.values():
            for weight in weights:
                if id(weight) not in self._digests:
                    self._digests[id(weight)] = (weight, variables.sha256([weight]))
        layers = {block.name: list(freeze.layers_of(block)) for block in backbone.blocks}
        records = [
            _record(name, weights, layers.get(name, []), optimizers, self._hash(weights))
            for name, weights in groups.items()
        ]
        allowed = freeze.movable(model, backbone, phase)
        for record, weights in zip(records, groups.values(), strict=True):
            frozen = [weight for weight in weights if id(weight) not in allowed]
            record.sha256_frozen = self._hash(frozen)
        if self._resumed:
            _resume(records, self._resumed, phase)
            self._resumed = {}
        self._add(phase, PENDING, "", records)
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
        allowed = freeze.movable(model, backbone, phase)
        entry = self._phases[-1]
        broken: dict[str, list[str]] = {}
        for record, (name, weights) in zip(entry["blocks"], groups.items(), strict=True):
            for weight in weights:
                digest = variables.sha256([weight])
                if digest != self._digests[id(weight)][1] and id(weight) not in allowed:
                    broken.setdefault(name, []).append(weight.path)
                self._digests[id(weight)] = (weight, digest)
            record.sha256_after = self._hash(weights)
            record.moved = record.sha256_after != record.sha256_before
        entry["proof"] = BROKEN if broken else HELD
        entry["broken"] = [path for paths in broken.values() for path in paths]
        self._write()
        if broken:
            moved = "; ".join(f"{name} ({join_names(paths, 4)})" for name, paths in broken.items())
            raise FreezeError(
                f"phase {phase.name} trains {phase.train} with BatchNorm {phase.batchnorm}, and "
                f"yet these weights moved: {moved}.",
                "Something other than fmkit made them trainable, such as a plugin. Do not use the "
                f"weights of this phase; {run_dir.FREEZE} has the hashes.",
            )

    def _add(self, phase: Phase, proof: str, skipped: str, records: list[BlockRecord]) -> None:
        self._phases.append(
            {
                "phase": phase.name, "train": phase.train, "batchnorm": phase.batchnorm,
                "skipped": skipped, "proof": proof, "broken": [], "blocks": records,
            }
        )  # fmt: skip
        self._write()

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
    """Give records the hashes of the phase's true start, if what is frozen still has them."""
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


def _record(
    name: str,
    weights: Sequence[keras.Variable],
    layers: Iterable[keras.Layer],
    optimizers: Mapping[str, Any],
    digest: str,
) -> BlockRecord:
    """What the layers and the optimizers themselves say, not what the config asked for."""
    trained = [weight for weight in weights if weight.trainable]
    # Of the optimizer that has the weight: the others do nothing to it.
    updates = [
        update
        for weight in trained
        for optimizer in optimizers.values()
        if (update := variable_update(optimizer, weight)).multiplier
    ]
    modes = {layer.trainable for layer in layers if freeze.is_batchnorm(layer)}
    batchnorm = {(): "none", (True,): "train", (False,): "frozen"}.get(tuple(modes), "mixed")
    return BlockRecord(
        block=name,
        trainable=bool(trained),
        trainable_parameters=sum(map(freeze.size, trained)),
        parameters=sum(map(freeze.size, weights)),
        batchnorm=batchnorm,
        multiplier=max((update.multiplier for update in updates), default=0.0),
        weight_decay=max((update.weight_decay for update in updates), default=0.0),
        l2_sp=max((update.l2_sp for update in updates), default=0.0),
        sha256_before=digest,
    )


def _collapsed(records: list[BlockRecord]) -> list[list[BlockRecord]]:
    """Neighbours that train in the same way in one row, if there are too many rows otherwise."""
    rows, keys = (
        [[record] for record in records],
        ["trainable", "batchnorm", "weight_decay", "l2_sp"],
    )
    for same in ([*keys, "multiplier"], keys):
        if len(rows) <= _MAX_ROWS:
            break
        body = groupby(records[:-1], attrgetter(*same))
        rows = [*(list(group) for _, group in body), records[-1:]]
    return rows


def _table(rows: list[list[BlockRecord]]) -> list[str]:
    """Aligned lines, a row for each group of blocks."""
    cells = [["block", "trains", "BatchNorm", "rate", "decay"]]
    for group in rows:
        first, last = group[0], group[-1]
        trained = sum(record.trainable_parameters for record in group)
        parameters = sum(record.parameters for record in group)
        factors = [record.multiplier for record in group]
        low, high = min(factors), max(factors)
        rate = f"x {low:.3g}" if low == high else f"x {low:.3g} to {high:.3g}"
        decay = f"{first.weight_decay:g}" if first.weight_decay else "-"
        cells.append(
            [
                first.block if len(group) == 1 else f"{first.block} .. {last.block}",
                f"{trained:,} of {parameters:,}",
                "-" if first.batchnorm == "none" else first.batchnorm,
                rate if first.trainable else "-",
                f"{first.l2_sp:g} to pretrained" if first.l2_sp else decay,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
