"""What `fmkit COMMAND --help` shows: examples, groups, the keys that people change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

_TRAINING_KEYS = (
    *("data.batch_size", "data.augment", "model.image_size", "stage.PHASE.epochs"),
    *("stage.PHASE.learning_rate", "runtime.seed", "recipe", "init", "name"),
)
_USAGE = "[GROUP=OPTION ...] [KEY=VALUE ...]"


@dataclass(frozen=True)
class CommandHelp:
    """What the help of one command shows."""

    examples: Mapping[str, str]  # command lines, each with what it does
    usage: str = _USAGE
    groups: Sequence[str] = ("data", "runtime")
    keys: Sequence[str] = ()  # on the first screens; empty means all of the command's own
    options: str = ""  # the module with `OPTIONS`, where Hydra does not compose the config


TRAINING_GROUPS = ("model", "data", "optimizer", "stage", "task", "runtime", "experiment")

_training_help = partial(
    CommandHelp, usage=f"[PATH] {_USAGE}", groups=TRAINING_GROUPS, keys=_TRAINING_KEYS
)

COMMAND_HELP: dict[str, CommandHelp] = {
    "pretrain": _training_help(
        {
            "fmkit pretrain": "the demo: a head for 5,000 digits on a frozen backbone",
            "fmkit pretrain photos": "your photos, a folder per class",
            "fmkit finetune init=last": "then unfreeze everything",
            "fmkit pretrain task=simclr stage=self_supervised model=small_cnn data=photos "
            "data.root=photos": "learn from photos without labels",
            "fmkit pretrain task=masked_lm stage=continued model=minilm data=text_files "
            "data.root=texts": "adapt a text model to your texts, without labels",
        },
    ),
    "finetune": _training_help(
        {
            "fmkit finetune": "the demo: 5,000 digits, no download",
            "fmkit finetune photos": "your photos: what is there is looked at, and printed",
            "fmkit finetune reviews.csv": "your texts, a row for each with its label",
            "fmkit finetune photos recipe=auto":
                "settings chosen by the size of the data, with reasons",
            "fmkit finetune data=image_folder data.root=photos": "the same with nothing guessed",
            "fmkit finetune -m optimizer.learning_rate=1e-4,1e-3": "a sweep: one run per value",
            "fmkit finetune --cfg job": "show the whole config, train nothing",
        },
    ),
    "resume": CommandHelp(
        {
            "fmkit resume last": "the newest run that was stopped before its end",
            "fmkit resume RUN": "a run, by folder or id; ends as if it had never been stopped",
            "fmkit resume RUN stage.full.epochs=20": "train the last phase of a run for longer",
        },
        "RUN [KEY=VALUE ...]",
        (),
        options="fmkit.commands.resume",
    ),
    "eval": CommandHelp(
        {
            "fmkit eval run=last": "the test split of the newest finished run",
            "fmkit eval run=RUN split=val": "another split",
            "fmkit eval run=RUN objective=NAME": "another objective of a joint run",
            "fmkit eval run=RUN new_photos":
                "all of another folder; classes match by name",
            "fmkit eval run=RUN slices=[site]": "by a column of the table; where it is worse",
            "fmkit eval run=RUN corruptions=[all]": "after noise, blur ..., or typing errors",
            "fmkit eval run=RUN min_precision=0.98": "the threshold of each class for it",
        },
        "run=RUN [PATH] [KEY=VALUE ...]",
    ),
    "predict": CommandHelp(
        {
            "fmkit predict run=last photo.jpg": "one photo, or several",
            "fmkit predict run=last photos output=labels.csv": "a folder, into a table",
            "fmkit predict run=last photos.csv path_column=file": "the photos of a table",
            'fmkit predict run=last "I loved it"': "a text",
            "fmkit predict run=last texts.csv text_column=review": "the texts of a table",
            "fmkit predict run=last - < texts.jsonl": "stdin: lines of text, or JSON lines",
            "fmkit predict run=last words.txt by_word=true": "sentences, a word per line",
        },
        "run=RUN [INPUT ...] [KEY=VALUE ...]",
        groups=("runtime",),
    ),
    "explain": CommandHelp(
        {
            "fmkit explain run=last": "16 test examples, the worst mistakes first",
            "fmkit explain run=last photo.jpg": "what a prediction is based on",
            "fmkit explain run=last photos target=cat": "what speaks for a class",
            "fmkit explain run=last split=val limit=50 check=true":
                "and how far the explanations can be trusted",
            'fmkit explain run=last "I loved it"': "which words speak for the answer",
            "fmkit explain run=last photo.jpg method=nearest": "similar training photos",
        },
        "run=RUN [INPUT ...] [KEY=VALUE ...]",
        groups=("runtime",),
    ),
    "export": CommandHelp(
        {
            "fmkit export last onnx": "the newest finished run, for ONNX Runtime",
            "fmkit export run=RUN format=saved_model,litert": "for TensorFlow and for phones",
            "fmkit export last openvino batch=1": "a batch of a fixed size",
            "fmkit export last onnx calibrated=true": "with temperature scaling in the graph",
            "fmkit export last onnx input=photos output=model":
                "check it on other photos; write it into another folder",
        },
        "[RUN] [FORMAT ...] [KEY=VALUE ...]",
        groups=("runtime",),
    ),
    "generate": CommandHelp(
        {
            'fmkit generate run=last prompt="Once upon a time"': "continue a text",
            "fmkit generate run=last input=begin.txt temperature=0":
                "the most likely continuation of a file",
            "fmkit generate run=last max_tokens=500 seed=1": "without a prompt, another sample",
            'fmkit generate model=smollm2 chat=true prompt="Why is the sky blue?"':
                "an answer, without a run",
        },
        groups=("model", "runtime"),
    ),
    "check": CommandHelp(
        {
            "fmkit check photos": "a folder of photos, a table, whatever is there",
            "fmkit check task=regression data=text_table data.root=texts.csv": "labels as numbers",
            "fmkit check data=conll data.root=ner": "tagged words: a file, or train, dev and test",
            "fmkit check photos label_errors=true":
                "likely label errors, by a pretrained model: `fmkit guide label-errors`",
            "fmkit check data=image_folder data.root=photos output=report": "where reports go",
            "fmkit check data=image_folder data.root=photos data.on_bad=quarantine":
                "move unreadable files to quarantine/, beside photos/",
        },
        f"[PATH] {_USAGE}",
        ("data", "task", "model", "runtime"),
    ),
    "tokenizer": CommandHelp(
        {
            "fmkit tokenizer train reviews.csv output=my_tokenizer": "byte-level BPE, like GPT-2",
            "fmkit tokenizer train data=text_files data.root=texts output=my_tokenizer":
                "the same on files of texts, with nothing guessed",
            "fmkit tokenizer train data=text_lines data.root=texts.txt output=my_tokenizer "
            "kind=word_piece lowercase=true size=8000": "WordPiece, like BERT",
            "fmkit pretrain task=masked_lm model=small_bert model.tokenizer=my_tokenizer "
            "data=text_files data.root=texts stage=scratch": "train a model that uses it",
        },
        "train [PATH] [GROUP=OPTION ...] [KEY=VALUE ...]",
    ),
    "runs": CommandHelp(
        {
            "fmkit runs": "all runs, newest first",
            "fmkit runs where 'test.accuracy>0.9' sort=-test.accuracy": "by any key or figure",
            "fmkit runs sort=val.loss columns=optimizer.name,val.loss": "in any order and columns",
            "fmkit runs show RUN": "one run (by folder, id, or `last`): metrics, phases, files",
            "fmkit runs compare RUN RUN": "what differs between two runs",
            "fmkit runs best": "runs by test accuracy",
            "fmkit runs tree": "runs below those that they started from (init=)",
            "fmkit runs serve": "a page over all runs in your browser, with live curves",
            "fmkit runs --csv": "a CSV table; --json for one JSON object",
            "fmkit runs clean": "remove failed runs that saved nothing; asks first",
            "fmkit runs rm RUN RUN": "remove runs, or a sweep; asks first",
            "fmkit runs sync RUN": "send a run, or what it lacks, to MLflow or Weights & Biases",
        },
        "[list|where|show|compare|best|tree|serve|rm|clean|sync] ...",
        (),
        options="fmkit.commands.runs",
    ),
    "report": CommandHelp(
        {
            "fmkit report last": "a page about a run: figures, curves, mistakes, data, settings",
            "fmkit report RUN RUN": "two runs side by side",
            "fmkit report SWEEP": "the jobs of a sweep, by its folder",
            "fmkit report RUN output=page.html": "the page in another place",
        },
        "RUN | SWEEP | RUN RUN [KEY=VALUE ...]",
        (),
        options="fmkit.commands.report",
    ),
    "cache": CommandHelp(
        {
            "fmkit cache": "all entries, the most recently used first",
            "fmkit cache clear": "remove all entries that no run is using",
            "fmkit cache clear KEY": "remove one entry, by the beginning of its key",
        },
        "[list | clear [KEY ...]] [cache_dir=DIR]",
        (),
        options="fmkit.commands.cache",
    ),
    "doctor": CommandHelp(
        {
            "fmkit doctor": "GPUs and drivers, cores, memory, disk, packages, what clashes",
            "fmkit doctor --json": "the same as one JSON object, for a report of a problem",
        },
        "",
        (),
    ),
    "schema": CommandHelp(
        {
            "fmkit schema > fmkit.schema.json": "the config of fmkit finetune",
            "fmkit schema predict": "the config of another command",
            "fmkit schema data": "a file of the group data",
        },
        "[COMMAND | GROUP] [plugins=FILE]",
        (),
        options="fmkit.commands.schema",
    ),
    "models": CommandHelp(
        {
            "fmkit models": "every model with its parameters, MB and weights",
            "fmkit models bert": "those with a word in the name, KerasHub's presets among them",
            "fmkit models --json": "one JSON object, with all presets",
        },
        "[WORD ...]",
        (),
    ),
    "data": CommandHelp(
        {
            "fmkit data": "packaged data sets, and what reads your own files",
            "fmkit data --json": "one JSON object",
        },
        "[WORD ...]",
        (),
    ),
    "completion": CommandHelp(
        {
            'eval "$(fmkit completion bash)"': "in ~/.bashrc; zsh alike",
            "fmkit completion fish > ~/.config/fish/completions/fmkit.fish": "fish",
        },
        "bash | zsh | fish",
        (),
    ),
    "guide": CommandHelp(
        {"fmkit guide": "list the pages", "fmkit guide stages": "read one"}, "[TOPIC]", ()
    ),
}  # fmt: skip
