"""Every config key: its type, its default and, under it, what it means with its unit."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from fmkit.config.data_schema import DataConfig
from fmkit.config.task_schema import TaskConfig

# --- model ---------------------------------------------------------------------------------------


@dataclass
class ModelConfig:
    """A backbone and the head's shape: `model=NAME`, or any key by itself."""

    name: str = MISSING
    """`efficientnet_lite0`, a keras.applications name, `minilm`, `smollm2`, `hub`, `small_cnn`."""
    weights: str = "imagenet"
    """`imagenet` or `pretrained`, `none` (random), or a .keras, .h5, .safetensors or .npz file."""
    preset: str | None = None
    """KerasHub preset name, `hf://` or `kaggle://` address, or local folder; with `model=hub`."""
    image_size: int | None = None
    """Side of the square input in pixels; empty means the backbone's own."""
    max_length: int | None = None
    """Most tokens of a text, start and end included; empty means 256 or what the backbone takes."""
    tokenizer: str | None = None
    """Tokenizer folder, as `fmkit tokenizer train` makes it; with `small_bert` and `small_gpt`."""
    chat_template: str = "auto"
    """How conversations are written: `chatml`, `smollm2`, `llama3`, `gemma`, `zephyr`, `plain`."""
    pooling: str = "auto"
    """Features to a vector: `auto`, `avg`, `max`, `cls` (first token), `last`, `attention`."""
    dropout: float = 0.1
    """Dropout rate before the last dense layer, 0 to below 1."""
    hidden: int = 0
    """Units of a hidden layer in the head; 0 means a linear head."""
    lora_rank: int = 0
    """LoRA: rank of adapters beside dense and attention kernels, which stay frozen; 0: none."""
    lora_alpha: float | None = None
    """LoRA: what adapters add is scaled by this / `lora_rank`; empty means the rank, so by 1."""
    lora_targets: str = "^(?!.*embed)"
    """LoRA: regular expression that adapted layers' paths contain; all but embeddings, as it is."""


# --- optimizer -----------------------------------------------------------------------------------


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


# --- stage, task, runtime ------------------------------------------------------------------------


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


# --- the primary configs -------------------------------------------------------------------------


@dataclass
class TrainConfig:
    """`fmkit pretrain` and `fmkit finetune`."""

    model: ModelConfig = MISSING
    """Group."""
    data: DataConfig = MISSING
    """Group."""
    optimizer: OptimizerConfig = MISSING
    """Group."""
    stage: dict[str, PhaseConfig] = field(default_factory=dict)
    """Group: an ordered mapping of phases."""
    task: TaskConfig = MISSING
    """Group."""
    runtime: RuntimeConfig = MISSING
    """Group."""
    recipe: str = "none"
    """`none`, or `auto`: what you leave open is chosen by the data's size and the device."""
    init: str | None = None
    """Run whose weights this one starts from: its folder, its id, or `last`."""
    name: str | None = None
    """A name for the run, shown by `fmkit runs`."""
    plugins: str | None = None
    """A Python file with MODELS, DATA or TASKS of your own."""
    runs_dir: str = "runs"
    """Folder that run folders are made in."""


@dataclass
class EvalConfig:
    """`fmkit eval`."""

    run: str = MISSING
    """The run: its folder, its id, or `last`."""
    objective: str | None = None
    """Of a joint run, the objective to judge; empty means its primary one."""
    split: str | None = None
    """`train`, `val`, `test` or `all`; empty means `test`, or `all` of data new to the run."""
    bootstrap: int = 1000
    """Resamples behind the 95% intervals."""
    data: DataConfig = MISSING
    """Group; as in the run unless you name another."""
    runtime: RuntimeConfig = MISSING
    """Group."""
    plugins: str | None = None
    """A Python file with MODELS, DATA or TASKS of your own."""
    runs_dir: str = "runs"
    """Folder that runs are looked for in."""


@dataclass
class PredictConfig:
    """`fmkit predict`."""

    run: str = MISSING
    """The run: its folder, its id, or `last`."""
    input: str = MISSING
    """Photos or texts: a file, a folder, a CSV or parquet table; of questions also JSON."""
    output: str | None = None
    """The table to write, `.csv` or `.parquet`; empty means a CSV in the run's predictions/."""
    overwrite: bool = False
    """Replace the output if it is there."""
    path_column: str = "path"
    """Column with the photo's path, where the input is a table."""
    text_column: str | None = None
    """Column with the text, where the input is a table; empty means as in training, or `text`."""
    pair_column: str | None = None
    """Column with the second text of a pair, as of a question; empty means as in training."""
    by_word: bool = False
    """The input has a word a line, as `data=conll` reads it; a `.conll`, `.bio` or `.iob` does."""
    word_column: int | None = None
    """Column with the word then, from 1 or backwards from -1; empty means as in training, or 1."""
    encoding: str = "utf-8"
    """Encoding of texts, as Python names it."""
    batch_size: int = 32
    """Photos or texts per step."""
    runtime: RuntimeConfig = MISSING
    """Group."""
    plugins: str | None = None
    """A Python file with MODELS, DATA or TASKS of your own."""
    runs_dir: str = "runs"
    """Folder that runs are looked for in."""


@dataclass
class GenerateConfig:
    """`fmkit generate`."""

    run: str | None = None
    """The run of a causal language model: its folder, its id, or `last`."""
    model: ModelConfig | None = None
    """Group, instead of a run: a model as it was pretrained, such as `model=smollm2`."""
    chat: bool | None = None
    """The prompt is a user's message, to be answered; empty means as the run was trained."""
    system: str | None = None
    """What a system's message before the user's says; empty means the template's own, or none."""
    prompt: str | None = None
    """How the text begins; empty means from nothing."""
    input: str | None = None
    """A file in UTF-8 whose content is the prompt, such as one of several lines."""
    temperature: float = 0.8
    """Logits are divided by this before a token is drawn; 0: always the most likely token."""
    top_k: int | None = None
    """Draw among so many of the most likely tokens only; empty means all."""
    top_p: float | None = 0.95
    """Draw among the most likely tokens that together have this probability; empty means all."""
    max_tokens: int = 100
    """Most tokens that are added; it ends before where the model ends the text."""
    seed: int = 0
    """Seed of the drawing."""
    runtime: RuntimeConfig = MISSING
    """Group."""
    plugins: str | None = None
    """A Python file with MODELS, DATA or TASKS of your own."""
    runs_dir: str = "runs"
    """Folder that runs are looked for in."""


@dataclass
class TokenizerConfig:
    """`fmkit tokenizer train`."""

    output: str = MISSING
    """Folder that the tokenizer is written to, for `model.tokenizer` to name."""
    overwrite: bool = False
    """Replace the tokenizer in `output`, if there is one."""
    kind: str = "byte_pair"
    """`byte_pair`: from bytes up, as GPT-2 has it; or `word_piece`: from letters up, as BERT."""
    size: int = 30_000
    """Most pieces of the vocabulary, letters or bytes and marks included."""
    min_frequency: int = 2
    """Pieces, and letters of `word_piece`, occur at least this often in the texts."""
    lowercase: bool = False
    """Make letters small; with `kind=word_piece`."""
    strip_accents: bool = False
    """Take accents off letters; with `kind=word_piece`."""
    pattern: str = "gpt2"
    """How `byte_pair` splits words: as `gpt2`, `llama3`, `o200k`, `qwen`, `bloom`, `falcon` do."""
    split: str = "train"
    """Texts to learn from: `train`, as runs with the same data and seed split it, or `all`."""
    data: DataConfig = MISSING
    """Group: texts of any kind; classes are not looked at."""
    runtime: RuntimeConfig = MISSING
    """Group; `seed` decides the splits."""
    plugins: str | None = None
    """A Python file with MODELS, DATA or TASKS of your own."""


@dataclass
class CheckConfig:
    """`fmkit check`."""

    data: DataConfig = MISSING
    """Group."""
    runtime: RuntimeConfig = MISSING
    """Group; `seed` decides the splits, `cache_dir` keeps what is known of photos."""
    output: str | None = None
    """Folder for the report and the contact sheet; empty means a fresh one in `checks/`."""
    plugins: str | None = None
    """A Python file with MODELS, DATA or TASKS of your own."""
