"""The config keys of tasks: types, defaults, help and allowed values."""

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from fmkit.config.schema.keys import (
    FRACTION,
    OPEN_FRACTION,
    POSITIVE,
    SHARE,
    at_least,
    between,
    bounded,
    key,
)

_DECODER_WIDTH = bounded("a multiple of 4, from 8 to 4096", minimum=8, maximum=4096, multipleOf=4)


@dataclass
class TaskConfig:
    """Keys that every task has."""

    name: str = key(
        MISSING, "Task: `classification`, `multi_label`, `regression`, `masked_lm`, `simclr` ..."
    )
    monitor: str = key(
        "val_loss",
        "Metric for the best epoch and early stopping: `val_loss`, `loss`, or one of the task's.",
    )


@dataclass
class ClassificationConfig(TaskConfig):
    """One class per example."""

    name: str = key("classification", "Task.")
    label_smoothing: float = key(
        0.0,
        "Label smoothing: probability moved from the true class to all classes.",
        range=FRACTION,
    )
    class_weights: str = key(
        "none",
        "`none`, or `balanced`: loss weights inversely proportional to the class counts.",
        choices=("none", "balanced"),
    )


@dataclass
class MultiLabelConfig(TaskConfig):
    """Any number of labels per example, including none."""

    name: str = key("multi_label", "Task.")
    label_smoothing: float = key(
        0.0,
        "Label smoothing: probability of each 0 or 1 that is split between both.",
        range=FRACTION,
    )
    class_weights: str = key(
        "none",
        "`none`, or `balanced`: for each label, positives weigh as much as negatives.",
        choices=("none", "balanced"),
    )


@dataclass
class RegressionConfig(TaskConfig):
    """One number per example, or several."""

    name: str = key("regression", "Task.")
    loss: str = key(
        "mse",
        "Loss on standardised targets: `mse` (squared), `mae` (absolute) or `huber`.",
        choices=("mse", "mae", "huber"),
    )
    huber_delta: float = key(
        1.0,
        "`huber`: error where squared becomes absolute, in standard deviations of the target.",
        range=POSITIVE,
    )


@dataclass
class JointConfig(TaskConfig):
    """Several objectives on a shared backbone; the loss is the weighted sum of theirs."""

    name: str = key("joint", "Task.")
    alpha: float | None = key(
        None, "With two objectives: weight of the first; the second has 1 - alpha.", range=SHARE
    )
    weighting: str = key(
        "fixed",
        "`fixed`, or `uncertainty`: weights are learned as log variances (Kendall et al. 2018).",
        choices=("fixed", "uncertainty"),
    )
    primary: str | None = key(
        None, "Objective that defines an epoch and is deployed; null is the last one."
    )
    objectives: dict[str, Any] = key(
        dict,
        "Objectives by name, each with `task`, `data`, `weight`, `batch_size`; null removes one.",
    )


@dataclass
class ObjectiveConfig:
    """One objective of `task=joint`: `task.objectives.NAME`."""

    task: Any = key(
        None, "Keys of `task`, or its name alone; without a name it is `classification`."
    )
    data: Any = key(
        None, "Keys of `data`, or its name alone; without a name they change the run's data."
    )
    weight: float | None = key(
        None, "Weight of its loss; null is 1, and 0 leaves the objective out.", range=at_least(0)
    )
    batch_size: int | None = key(
        None, "Examples per step; null uses the `batch_size` of its data.", range=at_least(1)
    )


@dataclass
class TokenClassificationConfig(TaskConfig):
    """A tag for each word: entities, parts of speech and the like."""

    name: str = key("token_classification", "Task.")


@dataclass
class MaskedLmConfig(TaskConfig):
    """Predict masked tokens from those around them (BERT, Devlin et al. 2018)."""

    name: str = key("masked_lm", "Task.")
    mask_rate: float = key(0.15, "Fraction of the tokens that are masked.", range=OPEN_FRACTION)
    whole_words: bool = key(False, "Mask all tokens of a word together.")


@dataclass
class CausalLmConfig(TaskConfig):
    """Predict the next token from those before it (GPT, Radford et al. 2018)."""

    name: str = key("causal_lm", "Task.")


@dataclass
class QuestionAnsweringConfig(TaskConfig):
    """Find the span of a text that answers a question (BERT, Devlin et al. 2018)."""

    name: str = key("question_answering", "Task.")
    stride: int = key(
        128, "Tokens between the starts of successive windows of a long text.", range=at_least(1)
    )
    max_question: int = key(
        64, "Maximum tokens of a question; longer ones are cut.", range=at_least(1)
    )
    max_answer: int = key(
        30,
        "Maximum words of a predicted answer; punctuation marks count as words.",
        range=at_least(1),
    )
    watch_examples: int = key(
        1000,
        "Maximum questions for `val_f1` and `val_exact_match` after each epoch; 0 is none.",
        range=at_least(0),
    )


@dataclass
class DpoConfig(TaskConfig):
    """Make chosen answers likelier than rejected ones (DPO, Rafailov et al. 2023)."""

    name: str = key("dpo", "Task.")
    loss_type: str = key(
        "sigmoid",
        "Loss: `sigmoid` (DPO), `ipo` (regularised against overfitting) or `hinge` (SLiC).",
        choices=("sigmoid", "ipo", "hinge"),
    )
    beta: float = key(
        0.1,
        "Strength of the penalty for leaving the reference model; larger stays closer to it.",
        range=POSITIVE,
    )
    label_smoothing: float = key(
        0.0,
        "With `sigmoid`: probability that a preference is flipped, 0 to below 0.5.",
        range=FRACTION,
    )
    sft_weight: float = key(
        0.0,
        "Weight of the language-modelling loss on the chosen answer, which keeps it likely.",
        range=at_least(0),
    )


@dataclass
class InstructionConfig(TaskConfig):
    """Learn the answers in conversations token by token (Ouyang et al. 2022)."""

    name: str = key("instruction", "Task.")


@dataclass
class SelfSupervisedConfig(TaskConfig):
    """Keys of self-supervised tasks on images."""

    knn_examples: int = key(
        5000,
        "Labelled training images for k-NN accuracy of the features after each epoch; 0 is none.",
        range=at_least(0),
    )


@dataclass
class ContrastiveConfig(SelfSupervisedConfig):
    """Keys of tasks on two augmented, projected views of each image."""

    projection: int = key(
        128,
        "Width of the projection on which the loss is computed; removed after training.",
        range=at_least(2),
    )
    projection_hidden: int = key(
        512, "Units of each hidden layer of the projection.", range=at_least(2)
    )
    projection_layers: int = key(
        2, "Dense layers of the projection, the last one included.", range=between(1, 4)
    )


@dataclass
class SimclrConfig(ContrastiveConfig):
    """SimCLR: match the two views of an image within the batch (NT-Xent, Chen et al. 2020)."""

    name: str = key("simclr", "Task.")
    temperature: float = key(
        0.2,
        "Divisor of cosine similarities; a lower one puts more weight on the nearest negatives.",
        range=POSITIVE,
    )


@dataclass
class VicregConfig(ContrastiveConfig):
    """VICReg: views agree; dimensions vary and are uncorrelated (Bardes et al. 2022)."""

    name: str = key("vicreg", "Task.")
    projection: int = key(
        512,
        "Width of the projection on which the loss is computed; removed after training.",
        range=at_least(2),
    )
    projection_layers: int = key(
        3, "Dense layers of the projection, the last one included.", range=between(1, 4)
    )
    invariance: float = key(
        25.0, "Weight of the mean squared distance between two views.", range=at_least(0)
    )
    variance: float = key(
        25.0,
        "Weight of the hinge that keeps each dimension's standard deviation above 1.",
        range=at_least(0),
    )
    covariance: float = key(
        1.0, "Weight of the squared covariances between different dimensions.", range=at_least(0)
    )


@dataclass
class MaskedImageConfig(SelfSupervisedConfig):
    """Reconstruct masked parts of an image (SimMIM, Xie et al. 2022; MAE, He et al. 2022)."""

    name: str = key("masked_image", "Task.")
    method: str = key(
        "auto",
        "`simmim`, `mae` (vision transformers only), or `auto`: `mae` where the model allows it.",
        choices=("auto", "simmim", "mae"),
    )
    mask_ratio: float | None = key(
        None,
        "Fraction of the image that is masked; null is 0.75 for `mae`, 0.6 for `simmim`.",
        range=OPEN_FRACTION,
    )
    mask_block: int | None = key(
        None,
        "`simmim`: side of a masked block in input pixels; null is a sixth of the input's side.",
        range=between(1, 4096, "pixels"),
    )
    decoder_width: int | None = key(
        None, "`mae`: width of the decoder; null is half the encoder's.", range=_DECODER_WIDTH
    )
    decoder_depth: int = key(4, "`mae`: transformer blocks of the decoder.", range=between(1, 16))
