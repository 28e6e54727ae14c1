"""The keys of `stage.PHASE` and of `runtime`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class PhaseConfig:
    """One phase of a stage; phases run in the order they are written."""

    train: str = "all"
    """Only the `head`; or with it `all`, `top:N`, `blocks:REGEX`, `norm`, `bias` or `lora`."""
    epochs: str = "10"
    """Length: a number of epochs, `10 epochs`, or `500 steps`."""
    learning_rate: float | None = None
    """Peak learning rate; empty means `optimizer.learning_rate`."""
    augment: str | None = None
    """Augmentation preset of this phase; empty means `data.augment`."""
    solver: str = "gradient"
    """`gradient`: the optimizer; `lbfgs`: a linear head's convex optimum, L2 by validation loss."""
    batchnorm: str = "frozen"
    """BatchNorm of blocks that train: `frozen` (with `norm`, `bias` statistics only) or `train`."""
    rates: dict[str, float] = field(default_factory=dict)
    """Factors on the learning rate by REGEX of whole block names: `{stem: 0.1, head: 2}`."""
    patience: int | None = None
    """Stop the phase after this many epochs without a better `task.monitor`; empty means never."""


@dataclass
class RuntimeConfig:
    """The machine's side of a run."""

    seed: int = 0
    """Seed of weights, shuffling, augmentation and dropout."""
    precision: str = "auto"
    """`float32`, `mixed_bfloat16`, `mixed_float16`, or `auto` (mixed on a GPU that gains by it)."""
    jit: str = "auto"
    """XLA: `true`, `false`, or `auto` (by device and phase)."""
    deterministic: bool = False
    """Two runs are equal bit for bit on a GPU, too, as they are on a CPU anyway; slower there."""
    devices: str = "one"
    """`one`, or `all` GPUs of this machine."""
    extractor: str = "auto"
    """What runs a frozen backbone once: `keras`, `openvino`, or `auto` (OpenVINO where it pays)."""
    memory_budget: str = "25%"
    """Most memory for decoded images and features: `4 GiB`, or a share of what is free: `25%`."""
    cache: str = "auto"
    """Frozen features: `auto` computes them once where that is exact, `never` in every epoch."""
    cache_dir: str | None = None
    """Folder of the feature cache; empty means `$XDG_CACHE_HOME/fmkit` or `~/.cache/fmkit`."""
    cache_limit: str = "20 GiB"
    """Most that the feature cache takes on disk; what was not used for longest goes first."""
    cache_dtype: str = "float32"
    """How features are kept: `float32` (exact) or `float16` (half the room)."""
    log_every: int = 0
    """Also write a metrics row every this many steps; 0 means a row an epoch."""
    keep: int = 1
    """Checkpoints kept beside `best`, the newest first; at least 1."""
    save_every: str = "10 minutes"
    """A checkpoint inside an epoch this often: `10 minutes`, `30 seconds` or `500 steps`."""
    verbose: bool = True
    """Show progress on stderr."""
