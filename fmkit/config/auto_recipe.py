"""`recipe=auto`: what a user leaves open, chosen by the size of the data and the device.

In the spirit of BiT's HyperRule (Kolesnikov et al. 2020, arxiv.org/abs/1912.11370): a few choices,
all made from what is known before training starts. `RULES` and the guide's page `recipes` have
them. Their sources by key:

- model.image_size: BiT enlarges whatever is below 96 pixels to 128, for an image of few pixels
  leaves few cells at the last stride. 96 is what two cores bear. The size is at least twice the
  side, as it is without the rule, at least 32, at most the backbone's, and a multiple of 16.
- data.augment: MixUp for larger sets alone, as BiT, which begins at 20,000; our preset has CutMix,
  too. On 50 to 100 digits, clothes and solar cells `medium` had a lower log loss than less (one or
  two seeds each), and the accuracy was as good or better on the first two.
- stage.full left out, stage.head.epochs: fine-tuning from a head that has not converged, or with
  few examples, distorts good features (Kumar et al. 2022, arxiv.org/abs/2202.10054).
- stage.head.augment, stage.head.solver: a frozen backbone then runs once, and the head starts at
  its convex optimum, as linear probes are judged (Kornblith et al. 2019, arxiv.org/abs/1805.08974).
- optimizer.learning_rate: for Adam and its kin the rate goes with the root of the batch (Malladi et
  al. 2022, arxiv.org/abs/2205.10287). A rate or a batch size of the user's own stays as it is.
- optimizer.warmup: BiT warms up for 100 of 500 steps, and for 500 of 10,000 and 20,000.
- stage.full.epochs: 500 updates is BiT's number for sets below 20,000, and 20,000 its most, and
  ours, too. Between them the length grows with the data.
- stage.full of fewer than 500 texts: measured with eight a class of 20 newsgroups and of Reuters R8
  (the guide's page `quality`).
- stage.full.batchnorm: the moving statistics of a few small batches are noise.
- optimizer.ema: the best epoch may come before the rate has fallen, and an average is as steady
  there as at the end (Izmailov et al. 2018, arxiv.org/abs/1803.05407).
- task.label_smoothing keeps long training from certainty (Mueller et al. 2019,
  arxiv.org/abs/1906.02629).

Under a time limit the image size, and whether everything trains, go by what fits, as measured on
this device (`recipe_speed`). The loop then measures the steps themselves, and sets the lengths.

What has no source here is ours: set so that a run on two cores costs two to three times what the
defaults cost, and not tuned on any data set. Flips are left out where a probe saw that they turn
one class into another (data/quality/mirrored_classes.py), and else not touched.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fmkit.config import units
from fmkit.config.recipe_speed import Speed, is_enough, is_hardly_any, smaller_sides
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.solvers import ENOUGH_VALIDATION

SMALL, LARGE = 20_000, 500_000
"""Fewer training examples than the first is small, at least the second is large."""

TINY = 5
"""Fewer examples a class than this leave the backbone frozen."""

FEW = 500
"""Fewer examples than this get smaller batches and, as they are soon learned by heart, variety."""

USUAL_BATCH = 32
"""The batch size that the optimizers' default rates are meant for."""


class Choice(NamedTuple):
    """What the rule chose for a key, and why; where the user decided the key it does not apply.

    The key is a full one, or `stage.PHASE` with None, which leaves the phase out.
    """

    key: str
    value: Any
    reason: str
    by_user: bool = False


@dataclass(frozen=True)
class Rule:
    """A condition and what follows from it.

    Attributes:
        key: what it chooses.
        when: whether it applies.
        value: what it chooses; None leaves a phase out.
        reason: why; `{f.examples}` stands for that fact.
    """

    key: str
    when: Callable[[RunFacts], Any]
    value: Callable[[RunFacts], Any]
    reason: str


def _is_sized(f: RunFacts) -> bool:
    return f.side is not None and f.own_size is not None


def _usual_side(f: RunFacts) -> int:
    """The image size where no time limit makes it smaller."""
    own_size = f.own_size or 0
    return own_size if 2 * (f.side or 0) >= own_size else _enlarged(f)


def _enlarged(f: RunFacts) -> int:
    """A multiple of 16 from 32 to the backbone's own size."""
    side, own_size = f.side or 0, f.own_size or 0
    # A GPU, or a CPU that can be given more to do than two cores, bears larger ones.
    times, goal = (4, 128) if f.is_gpu or f.cores >= 16 else (3, 96)
    size = max(2 * side, min(times * side, goal))
    return min(own_size, max(32, math.floor(size / 16 + 0.5) * 16))


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")


RULES: tuple[Rule, ...] = (
    Rule("data.batch_size", lambda f: f.examples < FEW, lambda f: 16,
         "{f.examples:,} examples: more updates from the same images"),
    Rule("data.batch_size", lambda f: f.is_gpu and f.examples >= SMALL, lambda f: 128,
         "{f.examples:,} examples on a GPU: larger batches fill it"),
    Rule("data.batch_size", lambda f: True, lambda f: USUAL_BATCH,
         "{f.examples:,} examples: what the learning rates are meant for"),
    Rule("model.image_size", lambda f: _is_sized(f) and f.fitting_side < _usual_side(f),
         lambda f: f.fitting_side,
         "the time limit: {f.fitting_updates:,} updates fit, and about {f.full_updates:,} would be "
         "chosen"),
    Rule("model.image_size", lambda f: _is_sized(f) and 2 * (f.side or 0) >= (f.own_size or 0),
         lambda f: f.own_size,
         "images of {f.side} pixels: the backbone's own size"),
    Rule("model.image_size", _is_sized, _enlarged,
         "images of {f.side} pixels, enlarged within what {f.cores} cores ({f.device}) bear"),
    Rule("data.augment",
         lambda f: f.can_augment and f.is_classification and f.is_gpu and f.examples >= LARGE,
         lambda f: "strong",
         "{f.examples:,} examples: enough to gain by MixUp and CutMix"),
    Rule("data.augment",
         lambda f: f.can_augment and f.is_gpu and (f.examples >= SMALL or not f.pretrained),
         lambda f: "medium", "{f.examples:,} examples, trained for long enough to gain by variety"),
    Rule("data.augment",
         lambda f: f.can_augment and f.pretrained and "full" in f.lengths and f.examples < FEW,
         lambda f: "medium", "{f.examples:,} examples: variety keeps a network from certainty"),
    Rule("data.augment", lambda f: f.can_augment, lambda f: "light",
         "{f.examples:,} examples, {f.device}: shifts and flips cost next to nothing"),
    Rule("data.flip", lambda f: f.can_augment and f.has_mirrored_classes, lambda f: "none",
         "flipped images of one class look like those of another"),
    Rule("stage.full",
         lambda f: {"head", "full"} <= f.lengths.keys() and f.pretrained and f.per_class < TINY,
         lambda f: None,
         "{f.per_class:.1f} examples a class, fewer than 5: the backbone stays frozen"),
    Rule("stage.full",
         lambda f: {"head", "full"} <= f.lengths.keys() and f.pretrained
         and is_hardly_any(f.fitting_updates, f.full_updates),
         lambda f: None,
         "the time limit: {f.fitting_updates:,} updates fit, and about {f.full_updates:,} would be "
         "chosen"),
    Rule("stage.head", lambda f: {"head", "full"} <= f.lengths.keys() and not f.pretrained,
         lambda f: None,
         "the backbone is random: there are no features to probe"),
    Rule("optimizer.learning_rate", lambda f: True,
         lambda f: _rounded(f.learning_rate * math.sqrt(f.batch_size / USUAL_BATCH)),
         "batches of {f.batch_size}: the rate for 32 times the root of their ratio"),
    Rule("optimizer.warmup", lambda f: f.examples < SMALL, lambda f: "10%",
         "{f.examples:,} examples: a short phase warms up for a larger share"),
    Rule("optimizer.warmup", lambda f: True, lambda f: "5%",
         "{f.examples:,} examples: a long phase warms up for a smaller share"),
    Rule("stage.head.augment", lambda f: "head" in f.lengths, lambda f: "none",
         "the same features in every epoch: the frozen backbone runs once"),
    Rule("stage.head.solver",
         lambda f: "head" in f.lengths and f.is_solvable and f.validation < ENOUGH_VALIDATION,
         lambda f: "cross_validation",
         "{f.validation:,} validation examples: too few to choose by, so that folds of all do it"),
    Rule("stage.head.solver",
         lambda f: "head" in f.lengths and f.is_solvable and f.examples < SMALL, lambda f: "lbfgs",
         "{f.examples:,} examples: the linear head's optimum is found at once"),
    Rule("stage.head.epochs", lambda f: "head" in f.lengths, lambda f: f.length(f.head_updates),
         "{f.examples:,} examples: about {f.head_updates:,} updates"),
    Rule("stage.full.epochs", lambda f: "full" in f.lengths, lambda f: f.length(f.full_updates),
         "{f.examples:,} examples: about {f.full_updates:,} updates"),
    Rule("stage.full.learning_rate", lambda f: "full" in f.lengths and f.has_few_texts,
         lambda f: _rounded(f.learning_rate / 20), "a twentieth: few texts are learned at once"),
    Rule("stage.full.learning_rate", lambda f: "full" in f.lengths and f.pretrained,
         lambda f: _rounded(f.learning_rate / 10), "a tenth: the features are good already"),
    Rule("stage.full.learning_rate", lambda f: "full" in f.lengths, lambda f: f.learning_rate,
         "the backbone is random: it learns at the full rate"),
    Rule("stage.full.batchnorm", lambda f: "full" in f.lengths and not f.pretrained,
         lambda f: "train",
         "the backbone is random: it has no statistics yet"),
    Rule("stage.full.batchnorm",
         lambda f: "full" in f.lengths and f.examples >= SMALL and f.batch_size >= 16,
         lambda f: "train",
         "{f.examples:,} examples, batches of {f.batch_size}: enough for new statistics"),
    Rule("stage.full.batchnorm", lambda f: "full" in f.lengths, lambda f: "frozen",
         "{f.examples:,} examples, batches of {f.batch_size}: too few for new statistics"),
    Rule("optimizer.ema",
         lambda f: "full" in f.lengths and f.shortest >= 200
         and (f.speed is None or f.fitting_updates >= 200),
         lambda f: 0.99,
         "no phase below 200 updates: the average of some 100 is steadier than the last"),
    Rule("task.label_smoothing",
         lambda f: f.is_classification and f.examples >= SMALL and f.classes >= 10, lambda f: 0.1,
         "{f.examples:,} examples of {f.classes} classes: keeps long training from certainty"),
)  # fmt: skip
"""The rule: for each key the first that applies, in this order; a line for one more."""


def choose(facts: RunFacts, chosen_by_user: Collection[str]) -> list[Choice]:
    """What the rule chooses, in the order of `RULES`.

    A choice that does not apply since the user decided the key is in the list, and later choices
    go by the user's value.

    Args:
        facts: what is known of data, backbone and device.
        chosen_by_user: full keys; `stage` and `stage.PHASE` stand for all inside.
    """
    choices: dict[str, Choice] = {}
    for rule in RULES:
        if rule.key in choices or not rule.when(facts):
            continue
        # The user decides a key also by something that it is part of, or by a part of it.
        by_user = any(
            f"{rule.key}.".startswith(f"{key}.") or key.startswith(f"{rule.key}.")
            for key in chosen_by_user
        )
        choice = Choice(rule.key, rule.value(facts), rule.reason.format(f=facts), by_user)
        choices[rule.key] = choice
        if not by_user:
            facts = _after(facts, choice)
    return list(choices.values())


def _after(facts: RunFacts, choice: Choice) -> RunFacts:
    """The facts that later rules see."""
    parts = choice.key.split(".")
    lengths = dict(facts.lengths)
    if parts[0] == "stage" and choice.value is None:
        del lengths[parts[1]]
    elif parts[0] == "stage" and parts[-1] == "epochs":
        lengths[parts[1]] = choice.value
    elif choice.key in ("data.batch_size", "optimizer.learning_rate", "model.image_size"):
        return dataclasses.replace(facts, **{parts[1]: choice.value})
    return dataclasses.replace(facts, lengths=lengths)


def apply(config: TrainConfig, choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """Put the choices into a config; a row (key, value, before, reason, applied) for each."""
    rows = []
    for choice in choices:
        *parents, name = choice.key.split(".")
        holder: Any = config
        for parent in parents:
            holder = holder[parent] if isinstance(holder, dict) else getattr(holder, parent)
        is_phase = isinstance(holder, dict)
        before = dataclasses.asdict(holder[name]) if is_phase else getattr(holder, name)
        if not choice.by_user and is_phase:  # which is left out
            del holder[name]
        elif not choice.by_user:
            setattr(holder, name, choice.value)
        row = {"key": choice.key, "value": choice.value, "before": before, "reason": choice.reason}
        rows.append({**row, "applied": not choice.by_user})
    return rows


def format_choice(row: Mapping[str, Any]) -> str:
    """One row of `apply` as a line for people."""
    key, value = row["key"], row["value"]
    if row["applied"]:
        return f"{key}{' left out' if value is None else f'={value}'} ({row['reason']})"
    if value is None:
        return f"{key} kept, since it was set"
    return f"{key}={row['before']} kept, since it was set (the rule says {value})"


@dataclass(frozen=True)
class RunFacts:
    """What `recipe=auto` goes by.

    Attributes:
        examples: of the training split.
        classes: how many.
        side: typical longer side of the images in pixels, or None when it is not known.
        own_size: side of the input that the backbone was made for in pixels, or None.
        pretrained: whether the backbone's weights come from elsewhere.
        device: `cpu` or `gpu`.
        cores: that this process may use.
        lengths: by phase of the stage, its length as configured (`10 epochs`), until the rule
            chooses another.
        is_solvable: whether a head phase can be solved at once: a linear head, whole labels, no
            augmentation of its own, the feature cache in use.
        batch_size: as configured, until the rule chooses another.
        learning_rate: `optimizer.learning_rate` as configured, until the rule chooses another.
        can_augment: whether the data has `data.augment`.
        is_classification: the task is to tell classes, so that labels can be smoothed.
        validation: examples of the validation split.
        speed: what the network takes on this device, under a time limit; else None.
        image_size: as configured, until the rule chooses another.
        has_tokenizer: examples are texts.
        has_mirrored_classes: whether the check of the data saw that a flip turns a class into
            another.
    """

    examples: int
    classes: int
    side: int | None
    own_size: int | None
    pretrained: bool
    device: str
    cores: int
    lengths: Mapping[str, str]
    is_solvable: bool
    batch_size: int
    learning_rate: float
    can_augment: bool = True
    is_classification: bool = True
    has_mirrored_classes: bool = False
    has_tokenizer: bool = False
    validation: int = 500
    speed: Speed | None = None
    image_size: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the training split."""
        return math.ceil(self.examples / self.batch_size)

    @property
    def per_class(self) -> float:
        """Mean number of training examples a class."""
        return self.examples / max(self.classes, 1)

    @property
    def has_few_texts(self) -> bool:
        """Whether a pretrained model is to tell classes of a few texts."""
        return (
            self.pretrained
            and self.has_tokenizer
            and self.is_classification
            and self.examples < FEW
        )

    @property
    def is_gpu(self) -> bool:
        """Whether a GPU trains."""
        return self.device == "gpu"

    @property
    def head_updates(self) -> int:
        """Updates that the head gets, before fine-tuning or alone."""
        if "full" in self.lengths:
            return self._updates(300, 20_000, 4, 60)
        return self._updates(500, 20_000, 10, 100)

    @property
    def full_updates(self) -> int:
        """Updates that the whole network gets."""
        if not self.pretrained:
            return self._updates(2_000, 100_000, 20, 100)
        if self.has_few_texts:
            return self._updates(60, 20_000, 4, 15)
        return self._updates(500, 20_000, 10 if self.is_gpu else 4, 40)

    @property
    def fitting_side(self) -> int:
        """The largest image size, up to the usual one, at which enough updates fit."""
        sides = smaller_sides(_usual_side(self))
        if self.speed is None or "full" not in self.lengths:
            return sides[0]
        enough = (side for side in sides if is_enough(self._fitting(side), self.full_updates))
        return next(enough, sides[-1])

    @property
    def fitting_updates(self) -> int:
        """Updates of the whole network that fit into the time limit; without one all of them."""
        if self.speed is None:
            return self.full_updates
        side = self.image_size
        if side is None and self.own_size is not None and self.side is not None:
            side = self.fitting_side
        return self._fitting(side)

    def _fitting(self, side: int | None) -> int:
        if self.speed is None:
            return self.full_updates
        refits = self.pretrained and 0 < self.validation < ENOUGH_VALIDATION
        return self.speed.updates(side, self.examples, self.validation, self.batch_size, refits)

    @property
    def shortest(self) -> int:
        """Updates of the shortest phase, as the lengths stand."""
        phases = [units.parse_duration(length, "epochs") for length in self.lengths.values()]
        return min((phase.steps(self.steps_per_epoch) for phase in phases), default=0)

    def _updates(self, least: int, most: int, least_epochs: int, most_epochs: int) -> int:
        """`least`, or as many as the least epochs have; never above the most of either."""
        epoch = self.steps_per_epoch
        return min(max(least, least_epochs * epoch), most_epochs * epoch, most)

    def length(self, updates: int) -> str:
        """Updates as the config writes them: the nearest whole epochs, or a part of one."""
        if updates < self.steps_per_epoch:
            return f"{updates} steps"
        return str(math.floor(updates / self.steps_per_epoch + 0.5))
