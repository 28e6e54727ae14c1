"""The config keys of tasks: types, defaults and, under each, what it means with its unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class TaskConfig:
    """What every task shares: `task=NAME`, or any key by itself."""

    name: str = MISSING
    """Task: `classification`, `simclr`, `vicreg` or `masked_image`."""
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
class DpoConfig(TaskConfig):
    """Preferred answers become likelier than others (DPO, Rafailov et al. 2023)."""

    name: str = "dpo"
    """Task."""
    loss: str = "sigmoid"
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


CONVERSATIONS = ("instruction",)
"""Tasks that learn from conversations."""

ALONE = ("dpo",)
"""Tasks that learn from what the model was at the start, and are no objective of a joint run."""

LANGUAGE_MODELLING = ("masked_lm", "causal_lm")
"""Tasks that learn from texts alone; classes do not count."""


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
    """Hidden blocks of a photo are painted again from what is left of it (SimMIM)."""

    name: str = "masked_image"
    """Task."""
    mask_ratio: float = 0.6
    """Share of the blocks that is hidden, above 0 and below 1."""
    mask_block: int | None = None
    """Side of a block in pixels of the model's input; empty means a sixth of the input's side."""
