"""The keys of `optimizer`."""

from dataclasses import dataclass

from omegaconf import MISSING

from fmkit.config import units
from fmkit.config.schema.keys import FACTOR, FRACTION, OPEN_FRACTION, POSITIVE, SHARE, at_least, key


@dataclass
class OptimizerConfig:
    """Keys that every optimizer has."""

    name: str = key(
        MISSING,
        "Optimizer: `adamw`, `adam`, `sgd`, `lion` or `muon`.",
        choices=("adamw", "adam", "sgd", "lion", "muon"),
    )
    learning_rate: float = key(
        1e-3, "Peak learning rate (absolute) of phases without one of their own.", range=POSITIVE
    )
    weight_decay: float = key(
        0.0,
        "Decoupled weight decay, times the learning rate per step; not on biases and norms.",
        range=at_least(0),
    )
    l2_sp: float = key(
        0.0,
        "L2-SP: decay of the backbone towards its pretrained weights instead of towards 0.",
        range=at_least(0),
    )
    layer_decay: float = key(
        1.0,
        "Layer-wise learning-rate decay: factor per block from the head down; 1 is none.",
        range=FACTOR,
    )
    schedule: str = key(
        "cosine",
        "Learning-rate schedule after the warm-up: `cosine`, `linear`, `constant` or `step`.",
        choices=("cosine", "linear", "constant", "step"),
    )
    warmup: str = key(
        "5%",
        "Linear warm-up from 0: `500 steps`, `1 epochs`, or a share of the phase such as `5%`.",
        check=units.steps_problem,
    )
    final_fraction: float = key(
        0.0, "`cosine` and `linear` end at this fraction of the peak learning rate.", range=SHARE
    )
    step_every: str = key(
        "30%",
        "`step` lowers the learning rate each time: `500 steps`, `2 epochs` or `30%` of the phase.",
        check=units.steps_problem,
    )
    step_factor: float = key(
        0.1, "`step` multiplies the learning rate by this factor.", range=FACTOR
    )
    clip_norm: float | None = key(
        1.0, "Maximum global gradient norm; null does not clip.", range=POSITIVE
    )
    accumulation: int = key(
        1,
        "Gradient accumulation: batches that make one update, as one large batch would.",
        range=at_least(1),
    )
    ema: float | None = key(
        None,
        "Decay of an exponential moving average of the weights, used for validation; null is none.",
        range=OPEN_FRACTION,
    )


@dataclass
class AdamConfig(OptimizerConfig):
    """Adam; with `weight_decay` it is AdamW."""

    beta_1: float = key(0.9, "Decay of the first moment.", range=FRACTION)
    beta_2: float = key(0.999, "Decay of the second moment.", range=FRACTION)
    epsilon: float = key(1e-7, "Added to the denominator for stability.", range=POSITIVE)


@dataclass
class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent."""

    name: str = key("sgd", "Optimizer.", choices=("adamw", "adam", "sgd", "lion", "muon"))
    momentum: float = key(0.9, "Momentum.", range=FRACTION)
    nesterov: bool = key(True, "Use Nesterov momentum.")


@dataclass
class LionConfig(OptimizerConfig):
    """Lion; its learning rate is usually 3 to 10 times below AdamW's."""

    name: str = key("lion", "Optimizer.", choices=("adamw", "adam", "sgd", "lion", "muon"))
    beta_1: float = key(
        0.9, "Interpolation between gradient and momentum in the update.", range=FRACTION
    )
    beta_2: float = key(0.99, "Decay of the momentum, 0 to below 1.", range=FRACTION)


@dataclass
class MuonConfig(OptimizerConfig):
    """Muon on hidden matrices; embeddings, vectors and the head get AdamW's update."""

    name: str = key("muon", "Optimizer.", choices=("adamw", "adam", "sgd", "lion", "muon"))
    momentum: float = key(0.95, "Momentum of the orthogonalised update.", range=FRACTION)
    adam_beta_1: float = key(0.9, "First-moment decay of the AdamW update.", range=FRACTION)
    adam_beta_2: float = key(0.999, "Second-moment decay of the AdamW update.", range=FRACTION)
