"""The keys of `stage.PHASE`: what trains, for how long, by which solver."""

from dataclasses import dataclass

from fmkit.config import trainable, units
from fmkit.config.schema.keys import POSITIVE, at_least, key


@dataclass
class PhaseConfig:
    """One phase of a stage; phases run in the order they are written."""

    train: str = key(
        "all",
        "What trains: `head`, or with it `all`, `top:N`, `blocks:REGEX`, `norm`, `bias`, `lora`.",
        check=trainable.text_problem,
    )
    epochs: str = key(
        "10",
        "Length of the phase: a number of epochs, `10 epochs`, `500 steps`, or `4 epochs and at "
        "least 100 steps`.",
        check=units.epochs_problem,
    )
    learning_rate: float | None = key(
        None,
        "Peak learning rate of the phase; null uses `optimizer.learning_rate`.",
        range=POSITIVE,
    )
    augment: str | None = key(
        None,
        "Augmentation preset of the phase; null uses `data.augment`.",
        choices=("none", "light", "medium", "strong", "views"),
    )
    solver: str = key(
        "gradient",
        "`gradient`: the optimizer; a linear head's optimum, L2 by `cross_validation` or, on "
        "the validation split, by `lbfgs`; `auto`: `cross_validation` where validation is small.",
        choices=("auto", "gradient", "cross_validation", "lbfgs"),
    )
    batchnorm: str = key(
        "frozen",
        "BatchNorm in trained blocks: `frozen` (with `norm`, `bias`: statistics only) or `train`.",
        choices=("frozen", "train"),
    )
    rates: dict[str, float] = key(
        dict,
        "Learning-rate factors by REGEX on whole block names: `{stem: 0.1, head: 2}`.",
        check=trainable.rates_problem,
    )
    interpolate: str = key(
        "false",
        "After the phase, keep the share of its change that validation supports: `true`, `false`, "
        "or `auto` (a pretrained model, fewer than 500 examples for validation).",
        choices=("auto", "true", "false"),
    )
    label_smoothing: str | None = key(
        None,
        "Label smoothing of the phase, 0 to below 1; `auto`: 0.1 where `interpolate` is on, "
        "`task.label_smoothing` 0 and the head's logits are not divided; null uses "
        "`task.label_smoothing`.",
        check=units.smoothing_problem,
    )
    head_temperature: str | None = key(
        None,
        "Divide the head's logits by this before the phase, 1 or more; `auto`: of texts with a "
        "cross-validated head, so that its training loss is that out of fold; null: by 1.",
        check=units.temperature_problem,
    )
    patience: int | None = key(
        None,
        "Early stopping: epochs without a better `task.monitor`; null never stops early.",
        range=at_least(1),
    )
