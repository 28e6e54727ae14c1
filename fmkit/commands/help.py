"""What `--help` says. It must come at once, so it reads the schema and a few folders, no more."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import fmkit
from fmkit.core.console import escape_markup, stdout

_EXAMPLES: dict[str, list[tuple[str, str]]] = {
    "pretrain": [
        ("fmkit pretrain", "the demo: a head for 5,000 digits on a frozen backbone"),
        (
            "fmkit pretrain data=image_folder data.root=photos",
            "your own folder, a folder per class",
        ),
        ("fmkit finetune init=last", "go on from there with everything unfrozen"),
        (
            "fmkit pretrain task=masked_lm data=text_files data.root=texts model=minilm "
            "stage=continued",
            "a model of texts learns on from yours, without labels",
        ),
    ],
    "finetune": [
        ("fmkit finetune", "the demo: 5,000 digits, head first, then everything"),
        (
            "fmkit finetune data=image_folder data.root=photos",
            "your own folder, a folder per class",
        ),
        (
            "fmkit finetune data=image_table data.root=photos.csv data.label_column=kind",
            "a table with a path and a label per photo",
        ),
        (
            "fmkit finetune task=question_answering data=squad data.root=train-v2.0.json "
            "model=minilm stage=unfrozen",
            "answers to questions, found in texts",
        ),
        (
            "fmkit finetune task=token_classification data=conll data.root=ner model=minilm",
            "entities or parts of speech: files with a word and its tag a line",
        ),
        ("fmkit finetune model=resnet50 stage.full.epochs=20", "another backbone, longer"),
        (
            "fmkit finetune task=instruction data=chat data.root=FILE.jsonl model=smollm2 "
            "model.lora_rank=8 stage=adapters",
            "learn to answer as in your conversations",
        ),
        ("fmkit finetune recipe=auto", "lengths, rates and more by the data's size, with reasons"),
        ("fmkit finetune -m optimizer.learning_rate=1e-4,1e-3", "a sweep: one run per value"),
        ("fmkit finetune init=RUN", "start from a pretrain run, skip its head phase"),
        (
            "fmkit finetune task=joint task.alpha=0.5 task.objectives.pretrain.task=NAME "
            "task.objectives.finetune={}",
            "two objectives at once on one backbone",
        ),
        (
            "fmkit finetune init=RUN task=dpo data=preferences data.root=pairs.jsonl "
            "stage=preference",
            "a model that answers, tuned to answers that people prefer",
        ),
        ("fmkit finetune --cfg job", "show the whole config, train nothing"),
    ],
    "resume": [
        ("fmkit resume last", "the newest run that was stopped before its end"),
        ("fmkit resume RUN", "a run: its folder or id; it ends as if it had never been stopped"),
        ("fmkit resume RUN stage.full.epochs=20", "train the last phase of a run for longer"),
    ],
    "eval": [
        ("fmkit eval run=last", "the test split of the newest finished run"),
        ("fmkit eval run=RUN split=val", "another split"),
        ("fmkit eval run=RUN objective=NAME", "another objective of a joint run"),
        ("fmkit eval run=RUN data.root=new_photos", "all of another folder; classes match by name"),
    ],
    "predict": [
        ("fmkit predict run=last input=photo.jpg", "one photo"),
        ("fmkit predict run=last input=photos output=found.csv", "a folder, into a table"),
        ("fmkit predict run=last input=photos.csv path_column=file", "the photos of a table"),
        ("fmkit predict run=last input=texts.csv text_column=review", "the texts of a table"),
        ("fmkit predict run=last input=questions.json", "questions on texts, as SQuAD has them"),
        (
            "fmkit predict run=last input=words.txt by_word=true",
            "of tags: sentences, a word a line",
        ),
    ],
    "generate": [
        ('fmkit generate run=last prompt="Once upon a time"', "go on with a text"),
        ("fmkit generate run=last input=begin.txt temperature=0", "from a file, the likeliest way"),
        ("fmkit generate run=last max_tokens=500 seed=1", "from nothing, another draw"),
        ('fmkit generate run=last prompt="What is 6 x 7?"', "an answer, after task=instruction"),
        ('fmkit generate model=smollm2 prompt="The capital of France is"', "without a run"),
        ('fmkit generate model=smollm2 chat=true prompt="Why?"', "likewise, as a conversation"),
    ],
    "check": [
        ("fmkit check data=image_folder data.root=photos", "your own folder"),
        ("fmkit check data=image_table data.root=photos.csv", "the photos of a table"),
        ("fmkit check data=text_table data.root=texts.csv", "the texts of a table"),
        ("fmkit check data=conll data.root=ner", "tagged words: a file, or train, dev and test"),
        ("fmkit check data=image_folder data.root=photos output=report", "the report's place"),
        (
            "fmkit check data=image_folder data.root=photos data.on_bad=quarantine",
            "move what cannot be read to quarantine/, beside photos/",
        ),
    ],
    "tokenizer": [
        (
            "fmkit tokenizer train data=text_files data.root=texts output=my_tokenizer",
            "a vocabulary of bytes and longer pieces, as GPT-2 has one",
        ),
        (
            "fmkit tokenizer train data=text_lines data.root=texts.txt output=my_tokenizer "
            "kind=word_piece lowercase=true size=8000",
            "one of letters and longer pieces, as BERT has one",
        ),
        (
            "fmkit pretrain task=masked_lm model=small_bert model.tokenizer=my_tokenizer "
            "data=text_files data.root=texts stage=scratch",
            "what it is for",
        ),
    ],
    "runs": [
        ("fmkit runs", "all runs, newest first"),
        ("fmkit runs show RUN", "one run: figures, phases, files (RUN: folder, id or `last`)"),
        ("fmkit runs compare RUN RUN", "what differs between two runs"),
        ("fmkit runs best", "runs by test accuracy"),
    ],
    "cache": [
        ("fmkit cache", "what is there, the most recently used first"),
        ("fmkit cache clear", "remove all that no run is using"),
        ("fmkit cache clear KEY", "remove one entry, by the beginning of its key"),
    ],
}


_PLAIN = {
    "tokenizer": ("train [KEY=VALUE ...]", ""),
    "resume": ("RUN [KEY=VALUE ...]", "fmkit.commands.resume"),
    "runs": ("[list | show RUN | compare RUN RUN | best] [KEY=VALUE ...]", "fmkit.commands.runs"),
    "cache": ("[list | clear [KEY ...]] [cache_dir=DIR]", "fmkit.commands.cache"),
}
"""By command, a usage of its own, and the module that knows its keys where Hydra does not."""


def overview(commands: Mapping[str, str]) -> None:
    """`fmkit --help`."""
    stdout.print("fmkit: turn a pretrained model of images or texts into your own.\n")
    stdout.print("usage: fmkit COMMAND [KEY=VALUE ...]\n")
    _rows([(name, line) for name, line in commands.items()])
    stdout.print("\nFirst steps:")
    _rows(
        [
            ("fmkit finetune", "the demo, a few minutes on a CPU, no download"),
            ("fmkit finetune data=image_folder data.root=DIR", "your own photos"),
            ("fmkit finetune model=minilm data=text_table data.root=FILE.csv", "your own texts"),
            (
                "fmkit pretrain task=simclr stage=self_supervised model=small_cnn data=photos "
                "data.root=DIR",
                "photos without labels",
            ),
            ("fmkit runs", "what has been trained"),
            ("fmkit COMMAND --help", "settings and examples"),
        ]
    )
    stdout.print("\nExit status: 0 done, 1 defect, 2 config, 3 data, 4 artifact refused,")
    stdout.print("5 loss not finite, 6 disk or memory, 129/130/143 stopped by a signal.")


def version() -> None:
    """`fmkit --version`."""
    stdout.print(f"fmkit {fmkit.__version__}")


def command(name: str, line: str) -> None:
    """`fmkit COMMAND --help`."""
    usage, options = _PLAIN.get(name, ("[KEY=VALUE ...]", ""))
    stdout.print(
        f"fmkit {name}: {line}.\n\nusage: fmkit {name} {escape_markup(usage)}\n\nExamples:"
    )
    _rows(_EXAMPLES[name])
    if options:
        stdout.print("\nSettings:")
        table = importlib.import_module(options).OPTIONS
        _keys([(key, default, meaning) for key, (default, meaning) in table.items()])
    else:
        _settings(name)


def _settings(name: str) -> None:
    from fmkit.config.registry import COMMANDS
    from fmkit.config.schema.docs import keys_of

    groups = _groups(name)
    if groups:
        stdout.print("\nGroups (GROUP=OPTION):")
        _rows([(group, ", ".join(_options(group))) for group in groups])
    for group in groups:
        _group(group)
    stdout.print("\nothers:")
    _keys([row for row in keys_of(COMMANDS[name]) if row[2] and not row[2].startswith("Group")])
    if name in ("pretrain", "finetune"):
        stdout.print("\nHydra's flags: -m (sweep), --cfg job (show the config), --config-dir DIR")
        stdout.print("(your own YAML), --hydra-help (all of them).")


def _group(group: str) -> None:
    """A group's keys, those that only some options have, and what the options' files set."""
    from fmkit.config.registry import KINDS
    from fmkit.config.schema.docs import keys_of
    from fmkit.config.schema.runtime import PhaseConfig
    from fmkit.config.schema.task import ObjectiveConfig

    if group == "task":
        stdout.print("\ntask.objectives.NAME: (with task=joint)")
        _keys(keys_of(ObjectiveConfig, "task.objectives.NAME."))
    if group == "stage":
        stdout.print("\nstage.PHASE: (phases run in the order they are written)")
        _keys(keys_of(PhaseConfig, "stage.PHASE."))
    base = KINDS.get(group, {}).get("")
    if base is None:
        return
    shared = keys_of(base, f"{group}.")
    stdout.print(f"\n{group}:")
    _keys(shared)
    shown: dict[type, str] = {}
    for option, kind in KINDS[group].items():
        if option:
            shown[kind] = f"{shown[kind]} or {option}" if kind in shown else option
    for kind, those in shown.items():
        own = [row for row in keys_of(kind, f"{group}.") if row not in shared]
        own = [row for row in own if not row[0].endswith(".name")]
        if own:
            stdout.print(f"  with {group}={those}:")
            _keys(own)
    _defaults_of_files(group)


def _defaults_of_files(group: str) -> None:
    from fmkit.config.compose import conf_dir, option_names
    from fmkit.config.yaml_files import read_config_file

    rows = []
    for option in option_names(group):
        found = read_config_file(conf_dir() / group / f"{option}.yaml", "")
        values = [f"{each.key}={each.value}" for each in found.assignments if each.key != "name"]
        if values:
            rows.append((f"{group}={option}", f"sets {', '.join(values)}"))
    if rows:
        stdout.print("  other defaults:")
        _rows(rows)


def _groups(name: str) -> list[str]:
    if name in ("pretrain", "finetune"):
        return ["model", "data", "optimizer", "stage", "task", "runtime", "experiment"]
    if name == "generate":
        return ["model", "runtime"]
    return ["runtime"] if name == "predict" else ["data", "runtime"]


def _options(group: str) -> list[str]:
    from fmkit.config.compose import option_names

    found = option_names(group)
    if group == "model":
        from fmkit.models import registry as table

        others = [each for each in table.names() if each not in found]
        found = [*found, *others]
    return found


def _keys(rows: list[tuple[str, str, str]]) -> None:
    _rows([(f"{key}={default}" if default else key, meaning) for key, default, meaning in rows])


def _rows(rows: list[tuple[str, str]]) -> None:
    width = min(44, max(len(left) for left, _ in rows) + 2)
    for left, right in rows:
        if len(left) + 2 > width:
            stdout.print(f"  {escape_markup(left)}")
            stdout.print(f"  {'':{width}}{escape_markup(right)}")
        else:
            stdout.print(f"  {escape_markup(left):{width}}{escape_markup(right)}")
