"""Every config key: its type, its default and, under it, what it means with its unit."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.optimizer import OptimizerConfig
from fmkit.config.schema.runtime import PhaseConfig, RuntimeConfig
from fmkit.config.schema.task import TaskConfig

# --- model ---------------------------------------------------------------------------------------


# --- optimizer -----------------------------------------------------------------------------------


# --- stage, task, runtime ------------------------------------------------------------------------


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
