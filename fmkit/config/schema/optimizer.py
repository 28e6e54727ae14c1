"""The keys of `optimizer`."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING


@dataclass
class OptimizerConfig:
    """What every optimizer shares: `optimizer=NAME`, or any key by itself."""

    name: str = MISSING
    """Optimizer: `adamw`, `adam`, `sgd`, `lion` or `muon`."""
    learning_rate: float = 1e-3
    """Peak learning rate of a phase that names none of its own; absolute."""
    weight_decay: float = 0.0
    """Decoupled weight decay, per step and times the learning rate; biases and norms are spared."""
    l2_sp: float = 0.0
    """L2-SP: the backbone decays by this towards its pretrained weights, instead of towards 0."""
    layer_decay: float = 1.0
    """Factor on the learning rate from each block to the one below, down from the head; 1: none."""
    schedule: str = "cosine"
    """Learning rate after the warm-up: `cosine`, `linear`, `constant` or `step`."""
    warmup: str = "5%"
    """Linear warm-up from 0: `500 steps`, `1 epochs`, or a share of the phase such as `5%`."""
    final_fraction: float = 0.0
    """`cosine` and `linear` end at this share of the peak rate, 0 to 1."""
    step_every: str = "30%"
    """`step` lowers the rate each time this much of the phase has gone by."""
    step_factor: float = 0.1
    """`step` multiplies the rate by this."""
    clip_norm: float | None = 1.0
    """Largest global norm of the gradient; empty means no clipping."""
    accumulation: int = 1
    """Batches whose gradients are averaged into one update."""
    ema: float | None = None
    """Decay of a moving average of the weights, which is what is judged and kept; empty: none."""


@dataclass
class AdamConfig(OptimizerConfig):
    """Adam; with `weight_decay` it is AdamW."""

    beta_1: float = 0.9
    """Decay of the first moment, 0 to below 1."""
    beta_2: float = 0.999
    """Decay of the second moment, 0 to below 1."""
    epsilon: float = 1e-7
    """Added to the denominator."""


@dataclass
class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent."""

    name: str = "sgd"
    """Optimizer."""
    momentum: float = 0.9
    """Momentum, 0 to below 1."""
    nesterov: bool = True
    """Nesterov's form of momentum."""


@dataclass
class LionConfig(OptimizerConfig):
    """Lion; it wants a rate 3 to 10 times below AdamW's."""

    name: str = "lion"
    """Optimizer."""
    beta_1: float = 0.9
    """Mix of gradient and momentum in the update, 0 to below 1."""
    beta_2: float = 0.99
    """Decay of the momentum, 0 to below 1."""


@dataclass
class MuonConfig(OptimizerConfig):
    """Muon on hidden matrices; embeddings, vectors and the head get AdamW's update."""

    name: str = "muon"
    """Optimizer."""
    momentum: float = 0.95
    """Momentum of the orthogonalised update, 0 to below 1."""
    adam_beta_1: float = 0.9
    """First-moment decay where AdamW's update is used."""
    adam_beta_2: float = 0.999
    """Second-moment decay where AdamW's update is used."""
