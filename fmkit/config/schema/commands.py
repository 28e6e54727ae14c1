"""The config of each command; the groups' keys are in the files beside."""

from dataclasses import dataclass

from omegaconf import MISSING

from fmkit.config.schema.data import DataConfig, encoding_problem
from fmkit.config.schema.keys import FACTOR, SEED, at_least, between, key
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.optimizer import OptimizerConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import TaskConfig
from fmkit.core.errors import received

EXPLANATIONS = (
    "auto", "grad_cam", "grad_cam_plus_plus", "attention_rollout", "occlusion",
    "integrated_gradients", "nearest", "counterfactual",
)  # fmt: skip
"""Names of `fmkit.explain.methods`, and `auto`."""


FORMATS = ("saved_model", "keras", "onnx", "litert", "openvino")
"""Names of `fmkit.export.formats`."""
_LARGEST_BATCH = 4096


def formats_problem(key: str, value: str) -> str:
    """What is wrong with names of formats; empty when nothing is."""
    names = str(value).split(",")
    wrong = [name for name in names if name not in FORMATS]
    if wrong:
        return received(key, ",".join(wrong), FORMATS)
    return "" if len(set(names)) == len(names) else received(key, value, "each format once")


def batch_problem(key: str, value: str) -> str:
    """What is wrong with the size of a batch; empty when nothing is."""
    text = str(value)
    if text == "dynamic" or (text.isascii() and text.isdigit() and 0 < int(text) <= _LARGEST_BATCH):
        return ""
    return received(key, value, f"dynamic, or a number from 1 to {_LARGEST_BATCH}")


@dataclass
class TrainConfig:
    """`fmkit pretrain` and `fmkit finetune`."""

    model: ModelConfig = key(MISSING, "Group.")
    data: DataConfig = key(MISSING, "Group.")
    optimizer: OptimizerConfig = key(MISSING, "Group.")
    stage: dict[str, PhaseConfig] = key(dict, "Group: an ordered mapping of phases.")
    task: TaskConfig = key(MISSING, "Group.")
    runtime: RuntimeConfig = key(MISSING, "Group.")
    recipe: str = key(
        "none",
        "`none`, or `auto`: keys you leave open are chosen by the data's size and the device.",
        choices=("none", "auto"),
    )
    init: str | None = key(None, "Start from the weights of a run: its folder, its id, or `last`.")
    name: str | None = key(None, "A name for the run, shown by `fmkit runs`.")
    plugins: str | None = key(None, "A Python file with MODELS, DATA or TASKS tables of your own.")
    runs_dir: str = key("runs", "Folder in which run folders are created.")


@dataclass
class EvalConfig:
    """`fmkit eval`."""

    run: str = key(MISSING, "The run: its folder, its id, or `last`.")
    objective: str | None = key(
        None, "Objective of a joint run to evaluate; null is its primary one."
    )
    split: str | None = key(
        None,
        "`train`, `val`, `test` or `all`; null is `test`, or `all` of data new to the run.",
        choices=("train", "val", "test", "all"),
    )
    bootstrap: int = key(
        1000, "Bootstrap resamples for the 95% intervals; 0 computes none.", range=at_least(0)
    )
    calibrated: bool = key(
        False, "Evaluate the probabilities after temperature scaling, fitted on validation."
    )
    ood: str = key(
        "auto",
        "Out-of-distribution scores, `ood_score`.",
        choices=("auto", "true", "false"),
    )
    slices: list[str] | None = key(
        None,
        "Columns of the data's table or of `slices_file` to break metrics down by; `clusters` too.",
    )
    slices_file: str | None = key(
        None, "A table with columns for `slices` and one with the examples' ids or paths."
    )
    corruptions: list[str] | None = key(
        None, "Corruptions to evaluate at five severities each: `[all]`, or such as `[noise,blur]`."
    )
    by_document: bool = key(
        False, "Perplexity of a causal language model by document, too; takes another pass."
    )
    min_precision: float | None = key(
        None,
        "Precision that each class's threshold is wanted for, besides 0.9, 0.95 and 0.99.",
        range=FACTOR,
    )
    min_recall: float | None = key(
        None,
        "Recall that each class's threshold is wanted for, besides 0.9, 0.95 and 0.99.",
        range=FACTOR,
    )
    data: DataConfig = key(MISSING, "Group; the run's unless you name another.")
    runtime: RuntimeConfig = key(MISSING, "Group.")
    plugins: str | None = key(None, "A Python file with MODELS, DATA or TASKS tables of your own.")
    runs_dir: str = key("runs", "Folder in which runs are searched.")


@dataclass
class PredictConfig:
    """`fmkit predict`."""

    run: str = key(MISSING, "The run: its folder, its id, or `last`.")
    input: str = key(
        MISSING,
        "Images or texts: a file, a folder, a table or JSON, `-` for stdin; also without `input=`.",
    )
    output: str | None = key(
        None, "Table to write, `.csv` or `.parquet`; null writes a CSV in the run's predictions/."
    )
    overwrite: bool = key(False, "Replace the output if it exists.")
    path_column: str | None = key(
        None,
        "Column with the image path, if the input is a table; null is as in training, or `path`.",
    )
    image_root: str | None = key(
        None,
        "Folder that relative paths of a table start from; null: as in training, or the table's.",
    )
    text_column: str | None = key(
        None, "Column with the text, if the input is a table; null is as in training, or `text`."
    )
    pair_column: str | None = key(None, "Column of second texts; null is as in training.")
    by_word: bool = key(
        False,
        "The input has a word per line, as for `data=conll`; implied by `.conll`, `.bio`, `.iob`.",
    )
    word_column: int | None = key(
        None,
        "`by_word`: column of the word, from 1 or backwards from -1; null: as in training, or 1.",
    )
    encoding: str | None = key(
        None,
        "Encoding of texts, by its Python name; null is as in training, or `utf-8`.",
        check=encoding_problem,
    )
    quotes: bool | None = key(
        None, "Cells of a CSV or TSV may be in double quotes; null is as in training, or `true`."
    )
    header: bool | None = key(None, "Row 1 of a CSV or TSV has the columns' names.")
    sheet: str | None = key(None, "Sheet of a workbook; null is as in training.")
    calibrated: bool = key(False, "Give probabilities after temperature scaling.")
    ood: str = key(
        "auto",
        "Out-of-distribution scores, `ood_score`.",
        choices=("auto", "true", "false"),
    )
    batch_size: int = key(32, "Images or texts per step.", range=at_least(1))
    runtime: RuntimeConfig = key(MISSING, "Group.")
    plugins: str | None = key(None, "A Python file with MODELS, DATA or TASKS tables of your own.")
    runs_dir: str = key("runs", "Folder in which runs are searched.")


@dataclass
class ExplainConfig:
    """`fmkit explain`."""

    run: str = key(MISSING, "The run: its folder, its id, or `last`.")
    input: str | None = key(
        None, "Inputs, as for `fmkit predict`; also without `input=`. Null explains a split."
    )
    split: str | None = key(
        None,
        "`train`, `val` or `test`: examples of the run's data, mistakes first; null is `test`.",
        choices=("train", "val", "test"),
    )
    limit: int | None = key(
        None, "At most so many; null is 16 of a split, or all inputs.", range=at_least(1)
    )
    method: str = key(
        "auto", "How predictions are explained; `auto` chooses by the model.", choices=EXPLANATIONS
    )
    target: str | None = key(
        None, "Class, label or number to explain; null is what is predicted, of numbers the first."
    )
    replace_words: bool = key(
        True,
        "Counterfactual texts may replace words by others of the training data.",
    )
    layer: str | None = key(
        None, "Layer whose output Grad-CAM uses; null is the last with at least 6 x 6 cells."
    )
    check: bool = key(False, "Check them by deletion, insertion, random weights.")
    output: str | None = key(
        None, "Folder for the results, new or empty; null is a new one in the run's explain/."
    )
    path_column: str | None = key(
        None, "Column with the image path, if the input is a table; null is as in training."
    )
    image_root: str | None = key(
        None, "Folder that relative paths of a table start from; null is as in training."
    )
    text_column: str | None = key(
        None, "Column with the text, if the input is a table; null is as in training."
    )
    pair_column: str | None = key(None, "Column of second texts; null is as in training.")
    batch_size: int = key(32, "Images or texts per step.", range=at_least(1))
    runtime: RuntimeConfig = key(MISSING, "Group.")
    plugins: str | None = key(None, "A Python file with MODELS, DATA or TASKS tables of your own.")
    runs_dir: str = key("runs", "Folder in which runs are searched.")


@dataclass
class ExportConfig:
    """`fmkit export`."""

    run: str = key(MISSING, "The run: its folder, its id, or `last`.")
    format: str = key(
        "saved_model",
        "Formats with commas between: `saved_model`, `keras`, `onnx`, `litert`, `openvino`.",
        check=formats_problem,
    )
    batch: str = key(
        "dynamic",
        "Examples of a batch: `dynamic` for any number, or a number for that one alone.",
        check=batch_problem,
    )
    calibrated: bool = key(False, "Probabilities after temperature scaling, in the graph.")
    split: str | None = key(
        None,
        "Examples that the export is checked on: `train`, `val` or `test`; null is `test`.",
        choices=("train", "val", "test"),
    )
    input: str | None = key(None, "Inputs to check on in place of a split, as for `fmkit predict`.")
    limit: int = key(128, "At most so many of them.", range=at_least(1))
    output: str | None = key(
        None, "Folder for a folder per format, which are replaced; null is the run's export/."
    )
    runtime: RuntimeConfig = key(MISSING, "Group.")
    plugins: str | None = key(None, "A Python file with MODELS, DATA or TASKS tables of your own.")
    runs_dir: str = key("runs", "Folder in which runs are searched.")


@dataclass
class GenerateConfig:
    """`fmkit generate`."""

    run: str | None = key(
        None, "The run of a causal language model: its folder, its id, or `last`."
    )
    model: ModelConfig | None = key(
        None, "Group, instead of a run: a pretrained model such as `model=smollm2`."
    )
    chat: bool | None = key(
        None, "Treat the prompt as a user's message and answer it; null is as the run was trained."
    )
    system: str | None = key(
        None, "System message before the user's; null is the template's own, or none."
    )
    prompt: str | None = key(None, "Beginning of the text; null starts from nothing.")
    input: str | None = key(None, "A UTF-8 file with the prompt, such as one of several lines.")
    prompts: str | None = key(
        None, "A UTF-8 file with a prompt per line, in place of one; the results are JSON Lines."
    )
    batch_size: int = key(8, "Prompts of `prompts` per step.", range=at_least(1))
    temperature: float = key(
        0.8,
        "Sampling temperature: divisor of the logits; 0 always takes the most likely token.",
        range=between(0, 100),
    )
    top_k: int | None = key(
        None, "Sample among the k most likely tokens only; null is all.", range=at_least(1)
    )
    top_p: float | None = key(
        0.95,
        "Sample among the most likely tokens with this total probability; null is all.",
        range=FACTOR,
    )
    max_tokens: int = key(
        100, "Maximum tokens to generate; fewer where the model ends the text.", range=at_least(1)
    )
    seed: int = key(0, "Seed of the sampling.", range=SEED)
    runtime: RuntimeConfig = key(MISSING, "Group.")
    plugins: str | None = key(None, "A Python file with MODELS, DATA or TASKS tables of your own.")
    runs_dir: str = key("runs", "Folder in which runs are searched.")


@dataclass
class TokenizerConfig:
    """`fmkit tokenizer train`."""

    output: str = key(MISSING, "Folder for the tokenizer, to be named by `model.tokenizer`.")
    overwrite: bool = key(False, "Replace the tokenizer in `output`, if there is one.")
    kind: str = key(
        "byte_pair",
        "`byte_pair` (on bytes, as in GPT-2) or `word_piece` (on letters, as in BERT).",
        choices=("byte_pair", "word_piece"),
    )
    size: int = key(
        30_000,
        "Maximum vocabulary size, letters or bytes and special tokens included.",
        range=between(10, 1_000_000, "pieces"),
    )
    min_frequency: int = key(
        2,
        "Minimum occurrences of a token in the texts; for `word_piece`, of a letter too.",
        range=at_least(1),
    )
    lowercase: bool = key(False, "Lowercase the texts; with `kind=word_piece`.")
    strip_accents: bool = key(False, "Strip accents from letters; with `kind=word_piece`.")
    pattern: str = key(
        "gpt2",
        "`byte_pair`: how words are split, as in `gpt2`, `llama3`, `o200k`, `qwen` ...",
        choices=("gpt2", "llama3", "o200k", "qwen", "bloom", "falcon", "single_digits"),
    )
    split: str = key(
        "train",
        "Texts to learn from: `train`, as split in runs with the same data and seed, or `all`.",
        choices=("train", "val", "test", "all"),
    )
    data: DataConfig = key(MISSING, "Group: texts of any kind; labels are ignored.")
    runtime: RuntimeConfig = key(MISSING, "Group; `seed` decides the splits.")
    plugins: str | None = key(None, "A Python file with MODELS, DATA or TASKS tables of your own.")


@dataclass
class CheckConfig:
    """`fmkit check`."""

    data: DataConfig = key(MISSING, "Group.")
    task: TaskConfig | None = key(
        None, "Group: the task that the data is for, which decides what its labels are."
    )
    runtime: RuntimeConfig = key(
        MISSING, "Group; `seed` decides the splits, `cache_dir` caches the scan of images."
    )
    output: str | None = key(
        None, "Folder for the report and the contact sheet; null is a new one in `checks/`."
    )
    label_errors: bool = key(
        False,
        "Find labels that are likely wrong, hard examples, and near duplicates across splits, by "
        "the features of a pretrained model.",
    )
    model: ModelConfig | None = key(
        None,
        "Group: the model for `label_errors`; null is `efficientnet_lite0`, or `minilm` for texts.",
    )
    plugins: str | None = key(None, "A Python file with MODELS, DATA or TASKS tables of your own.")
