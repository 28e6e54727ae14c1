"""The config keys of tasks: types, defaults and, under each, what it means with its unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class TaskConfig:
    """What every task shares: `task=NAME`, or any key by itself."""

    name: str = MISSING
    """Task: `classification`, `multi_label`, `regression`, `masked_lm`, `simclr` and others."""
    monitor: str = "val_loss"
    """What `best` and early stopping go by: `val_loss`, `loss`, or a figure that the task has."""


@dataclass
class ClassificationConfig(TaskConfig):
    """One class per example."""

    name: str = "classification"
    """Task."""
    label_smoothing: float = 0.0
    """Probability taken from the true class and spread over all, 0 to below 1."""
    class_weights: str = "none"
    """`none`, or `balanced`: weights in inverse proportion to the class counts."""


@dataclass
class MultiLabelConfig(TaskConfig):
    """Any number of labels an example, none included: a yes or no for each."""

    name: str = "multi_label"
    """Task."""
    label_smoothing: float = 0.0
    """Share of each yes or no that is taken away and split between both, 0 to below 1."""
    class_weights: str = "none"
    """`none`, or `balanced`: of each label, those with it weigh as much as those without."""


@dataclass
class RegressionConfig(TaskConfig):
    """One number an example, or several."""

    name: str = "regression"
    """Task."""
    loss: str = "mse"
    """Of errors in standard deviations: `mse` (squared), `mae` (absolute) or `huber`."""
    huber_delta: float = 1.0
    """Where `huber` goes from squared to absolute errors, in standard deviations of the target."""


@dataclass
class JointConfig(TaskConfig):
    """Several objectives that share a backbone; the loss is the weighted sum of theirs."""

    name: str = "joint"
    """Task."""
    alpha: float | None = None
    """With two objectives the weight of the first, 0 to 1; the second has the rest of 1."""
    weighting: str = "fixed"
    """`fixed`, or `uncertainty`: log variances that are learned stand in for the weights."""
    primary: str | None = None
    """Objective that epochs are counted by, and that is deployed; empty means the last one."""
    objectives: dict[str, Any] = field(default_factory=dict)
    """By name, its `task`, `data`, `weight` and `batch_size`; null leaves an objective out."""


@dataclass
class ObjectiveConfig:
    """One objective of `task=joint`: `task.objectives.NAME`."""

    task: Any = None
    """Keys of `task`, or its name alone; without a name it is `classification`."""
    data: Any = None
    """Keys of `data`, or its name alone; without a name they change the run's own data."""
    weight: float | None = None
    """Weight of its loss, at least 0; empty means 1, and with 0 it is left out."""
    batch_size: int | None = None
    """Examples per step; empty means the `batch_size` of its data."""


@dataclass
class TokenClassificationConfig(TaskConfig):
    """A tag for each word: entities, parts of speech and the like."""

    name: str = "token_classification"
    """Task."""


@dataclass
class MaskedLmConfig(TaskConfig):
    """Hidden tokens are to be found from those around them (BERT, Devlin et al. 2018)."""

    name: str = "masked_lm"
    """Task."""
    mask_rate: float = 0.15
    """Share of the tokens that are hidden, above 0 and below 1."""
    whole_words: bool = False
    """Hide all tokens of a word together."""


@dataclass
class CausalLmConfig(TaskConfig):
    """The next token is to be found from those before it (GPT, Radford et al. 2018)."""

    name: str = "causal_lm"
    """Task."""


@dataclass
class QuestionAnsweringConfig(TaskConfig):
    """The part of a text that answers a question is to be found (BERT, Devlin et al. 2018)."""

    name: str = "question_answering"
    """Task."""
    stride: int = 128
    """Tokens from the beginning of a window of a long text to that of the next one."""
    max_question: int = 64
    """Most tokens of a question; what is beyond is cut off."""
    max_answer: int = 30
    """Most words of an answer that is predicted; marks such as a comma count as words."""
    watch_examples: int = 1000
    """Questions for `val_f1` and `val_exact_match` after each epoch, at most; 0: none."""


@dataclass
class DpoConfig(TaskConfig):
    """Preferred answers become likelier than others (DPO, Rafailov et al. 2023)."""

    name: str = "dpo"
    """Task."""
    loss_type: str = "sigmoid"
    """`sigmoid` (DPO), `ipo` (no overfitting to certain preferences) or `hinge` (SLiC)."""
    beta: float = 0.1
    """How much it costs to leave the model of the start: high, and it stays close to it."""
    label_smoothing: float = 0.0
    """Probability that a preference is the wrong way round, 0 to below 0.5; with `sigmoid`."""
    sft_weight: float = 0.0
    """Weight of the mean loss of the preferred answer's tokens, which keeps it likely."""


@dataclass
class InstructionConfig(TaskConfig):
    """The answers of conversations are learned, token by token (Ouyang et al. 2022)."""

    name: str = "instruction"
    """Task."""


@dataclass
class SelfSupervisedConfig(TaskConfig):
    """What is learned of images without their labels."""

    knn_examples: int = 5000
    """Labelled training photos that judge the features by k-NN after each epoch; 0: none."""


@dataclass
class ContrastiveConfig(SelfSupervisedConfig):
    """Two augmented views of each photo, projected."""

    projection: int = 128
    """Numbers that a view is projected to, where the loss is taken; thrown away afterwards."""
    projection_hidden: int = 512
    """Units of each hidden layer of the projection."""
    projection_layers: int = 2
    """Dense layers of the projection, 1 to 4, the last one included."""


@dataclass
class SimclrConfig(ContrastiveConfig):
    """SimCLR: the two views of a photo are told from all others of the batch (NT-Xent)."""

    name: str = "simclr"
    """Task."""
    temperature: float = 0.2
    """What cosine similarities are divided by: low, and the nearest others count most."""


@dataclass
class VicregConfig(ContrastiveConfig):
    """VICReg: views agree, and the numbers of their projections vary without going together."""

    name: str = "vicreg"
    """Task."""
    projection: int = 512
    """Numbers that a view is projected to, where the loss is taken; thrown away afterwards."""
    projection_layers: int = 3
    """Dense layers of the projection, 1 to 4, the last one included."""
    invariance: float = 25.0
    """Weight of the mean squared distance between two views."""
    variance: float = 25.0
    """Weight of the hinge that holds each number's standard deviation above 1."""
    covariance: float = 1.0
    """Weight of the squared covariances between different numbers."""


@dataclass
class MaskedImageConfig(SelfSupervisedConfig):
    """Hidden parts of a photo are painted again from what is left of it (SimMIM, MAE)."""

    name: str = "masked_image"
    """Task."""
    method: str = "auto"
    """`simmim`, `mae` (vision transformers), or `auto`: `mae` where the model can."""
    mask_ratio: float | None = None
    """Share that is hidden, above 0 and below 1; empty means 0.75 for `mae`, 0.6 for `simmim`."""
    mask_block: int | None = None
    """Of `simmim`, a block's side in pixels of the input; empty means a sixth of the input's."""
    decoder_width: int | None = None
    """Of `mae`, features of a token in the decoder; empty means half as many as in the model."""
    decoder_depth: int = 4
    """Of `mae`, transformer blocks of the decoder, 1 to 16."""
