"""Hundreds of broken configs, each with a fragment of its message; and their benign twins."""

import tempfile
from pathlib import Path

from fmkit.commands import launch
from fmkit.config import command_line, preflight, suggest
from fmkit.config.registry import BASES, config_class
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.keys import key_infos
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import ClassificationConfig
from fmkit.core.errors import FmkitError
from hostile.cli_runner import Case, find_fault, run_case, write_files

EXPERIMENT = b"# @package _global_\n"
OWN = {"experiment": EXPERIMENT, "data": b"", "stage": b"", "optimizer": b""}
"""Groups that a file of one's own is tried in, with the line that it starts with."""

BOMB = b"".join(
    b"k%d: &k%d [%s]\n" % (each, each, b",".join([b"*k%d" % (each - 1) if each else b"1"] * 10))
    for each in range(10)
)
MERGES = b"a: &a {x: 1}\n" + b"".join(
    b"b%d: &b%d [%s]\n" % (each, each, b",".join([b"*b%d" % (each - 1) if each else b"*a"] * 9))
    for each in range(9)
)

BROKEN = [
    (b"a: [1,\n", 2, "not YAML"),
    (b"a: {b: 1\n", 2, "not YAML"),
    (b"a: [1, 2}\n", 1, "expected ',' or ']'"),
    (b'a: "open\n', 2, "not YAML"),
    (b"a: 'open\n", 2, "not YAML"),
    (b"a:\n\tb: 1\n", 2, "there is a tab here"),
    (b"a: b: c\n", 1, "mapping values are not allowed"),
    (b"a: 1\n  b: 2\n", 2, "not YAML"),
    (b"a:\n  b: 1\n c: 2\n", 3, "not YAML"),
    (b"- 1\na: 2\n", 2, "not YAML"),
    (b"a: @x\n", 1, "cannot start any token"),
    (b"a: `x`\n", 1, "cannot start any token"),
    (b"a: %x\n", 1, "cannot start any token"),
    (b'a: "\\q"\n', 1, "unknown escape"),
    (b"a: *nothing\n", 1, "undefined alias"),
    (b"a: &x 1\nb: &y\n", None, ""),
    (b"a: 1\na: 2\n", 2, "duplicate key 'a', first in line"),
    (b"a:\n  b: 1\n  b: 2\n", 3, "duplicate key 'b', first in line"),
    (b"a: {b: 1, b: 2}\n", 1, "duplicate key 'b', first in line"),
    (b"a: 1\n---\nb: 2\n", 2, "a second document"),
    (b"a: 1\n...\nb: 2\n", 3, "not YAML"),
    (b"? [a, b]\n: 1\n", 1, "must be a name, not a sequence"),
    (b"? {a: b}\n: 1\n", 1, "must be a name, not a mapping"),
    (b"[a]: 1\n", 1, "must be a name"),
    (b"yes: 1\n", 1, "'yes' as the value True"),
    (b"a: {on: 1}\n", 1, "'on' as the value True"),
    (b"1: a\n", 1, "'1' as the value 1"),
    (b"~: a\n", 1, "as nothing"),
    (b"1.5: a\n", 1, "'1.5' as the value 1.5"),
    (b"a: !!python/object/apply:os.system [id]\n", 1, "tag '!!python/object/apply:os.system'"),
    (b"a: !!python/name:os.system\n", 1, "tag '!!python/name:os.system'"),
    (b"a: !!python/object/apply:pathlib.Path [x]\n", 1, "is not allowed"),
    (b"a: !!binary aGk=\n", 1, "tag '!!binary'"),
    (b"a: !!set {b}\n", 1, "tag '!!set'"),
    (b"a: !!str 1\n", 1, "tag '!!str'"),
    (b"a: !mine {b: 1}\n", 1, "tag '!mine'"),
    (b"a: ! b\n", 1, "tag '!'"),
    (b"a: &x [*x]\n", 1, "contains itself"),
    (b"a: &x {b: {c: *x}}\n", 1, "contains itself"),
    (BOMB, 4, "more than 10,000 values"),
    (MERGES, 5, "more than 10,000 values"),
    (b"".join(b"k%d: 1\n" % each for each in range(6000)), 5000, "more than 10,000 values"),
    (b"a: " + b"[" * 2000, 1, "more than 100 levels"),
    (b"a: " + b"{b: " * 2000, 1, "more than 100 levels"),
    (b"".join(b"%sk:\n" % (b" " * each) for each in range(200)), 100, "more than 100 levels"),
    (b"<<: 3\n", 1, "merges mappings only"),
    (b"a: {<<: [1]}\n", 1, "merges mappings only"),
    (b"a: \x1b]0;title\x07\n", 1, "control character"),
    (b'a: "\\x1b]0;title\\a"\n', 1, "the character '\\x1b'"),
    (b'a: "two\\nlines"\n', 1, "a line break"),
    (b"a: |\n  two\n  lines\n", 1, "a line break"),
    (b'a: "\\ud800"\n', 1, "the character '\\ud800'"),
    ("a: photos\u202egpj\n".encode(), 1, "the character '\\u202e'"),
    (b'"a\\tb": 1\n', 1, "the character '\\t'"),
    (b"a: 012\n", 1, "reads '012' as 10"),
    (b"a: 0x10\n", 1, "reads '0x10' as 16"),
    (b"a: 0b11\n", 1, "reads '0b11' as 3"),
    (b"a: 1:30\n", 1, "reads '1:30' as 90"),
    (b"a: 1:30.5\n", 1, "reads '1:30.5' as 90.5"),
    (b"a: =\n", 1, "is special in YAML"),
    (b"a: " + b"9" * 60 + b"\n", 1, "a number of 60 characters"),
    (b"a: " + b"x" * 5000 + b"\n", 1, "5,000 characters"),
    (b"a: {_target_: os.system}\n", 1, "the key _target_ is refused"),
    (b"%YAML 3.0\n---\na: 1\n", None, "YAML"),
]
"""Content of a file, the line that the message names (None: any), and a fragment of the message."""

NOT_TEXT = [
    (b"\xff\xfea\0:\0 \x001\0", "is not UTF-8 but UTF-16 (byte 0xff at offset 0)"),
    (b"\xfe\xff\0a\0:\0 \x001", "is not UTF-8 but UTF-16 (byte 0xfe at offset 0)"),
    (b"\xff\xfe\0\0a\0\0\0", "is not UTF-8 but UTF-32"),
    (b"\xef\xbb\xbfa: 1\n", "byte order mark"),
    (b"a: caf\xe9\n", "is not UTF-8 (byte 0xe9 at offset 6)"),
    (b"a: \xe2\x82", "is not UTF-8 (byte 0xe2 at offset 3)"),
    (b"a: \xed\xa0\x80\n", "is not UTF-8 (byte 0xed at offset 3)"),
    (b"a: 1\0\n", "NUL byte at offset 4"),
    (b"\x89PNG\r\n\x1a\n", "is not UTF-8 (byte 0x89 at offset 0)"),
    (b"#" * 300_000, "too large to be a config (300,000 bytes"),
]
"""Whole files, without the line that an experiment starts with."""

TOPS = [
    (b"", "the file is empty"),
    (b"# only this\n", "the file is empty"),
    (b"5\n", "the file is a scalar"),
    (b"- a\n", "the file is a sequence"),
    (b"text\n", "the file is a scalar"),
]

DEFAULTS = [
    ("5", "must be a list"),
    ("{a: b}", "must be a list"),
    ("[5]", "received '5'"),
    ("[[a]]", "an entry of `defaults`"),
    ("[../../secret]", "an entry of `defaults`"),
    ("[/etc/passwd]", "an entry of `defaults`"),
    ("['${oc.env:HOME}']", "an entry of `defaults`"),
    ("[override /data: '${oc.env:HOME}']", "an entry of `defaults`"),
    ("[override /data: [digits, elpv]]", "an entry of `defaults`"),
    ("[override /data: ../digits]", "an entry of `defaults`"),
    ("[override /hydra/launcher: joblib]", "hydra/launcher"),
    ("[override hydra/sweeper: optuna]", "hydra/sweeper"),
    ("[override hydra/job_logging: evil]", "hydra/job_logging"),
    ("[/hydra/callbacks: evil]", "hydra/callbacks"),
    ("[/data@hydra.launcher: digits]", "an entry of `defaults`"),
    ("[optional /data: digits]", "an entry of `defaults`"),
    ("[solar_cells@hydra]", "an entry of `defaults`"),
    ("[nothing_there]", "received 'nothing_there'"),
    ("[override /dta: digits]", "Did you mean data"),
    ("[override /data: digist]", "Did you mean digits"),
]

REFERENCES = [
    ("name=${foo}", "a key that the config does not have"),
    ("name=${optimizer.learnin_rate}", "Did you mean optimizer.learning_rate or"),
    ("name=${.nothing}", "does not have"),
    ("name=${name}", "it refers to itself"),
    ("data.batch_size=${data.limit} data.limit=${data.batch_size}", "it refers to itself"),
    ("name=${oc.env:FMKIT_NOT_SET}", "is not set"),
    ("name=${oc.env:DATABASE_URL}", "may not read the environment variable DATABASE_URL"),
    ("name=${oc.env:AWS_SECRET_ACCESS_KEY}", "looks like a secret"),
    ("name=${oc.env:FMKIT_API_TOKEN}", "looks like a secret"),
    ("name=${oc.env:SLURM_JWT}", "looks like a secret"),
    ("name=${oc.env:HF_TOKEN,none}", "looks like a secret"),
    ("name=${oc.env:${name}}", "cannot read"),
    ("name=${oc.env:}", "cannot read"),
    ("name=${oc.decode:x}", "received 'oc.decode'"),
    ("name=${oc.create:x}", "received 'oc.create'"),
    ("name=${oc.select:x}", "received 'oc.select'"),
    ("name=${oc.dict.keys:data}", "received 'oc.dict.keys'"),
    ("name=${hydra:runtime.cwd}", "received 'hydra'"),
    ("name=${now:%H}", "received 'now'"),
    ("name=${eval:1}", "received 'eval'"),
    ("name=${${name}:x}", "cannot read"),
    ("name=${hydra.job.name}", "is not a key of the config"),
    ("optimizer.learning_rate=${times:a,b}", "optimizer.learning_rate"),
    ("optimizer.learning_rate=${times:1e308,1e308}", "finite"),
    ("data.batch_size=${name} name=abc", "data.batch_size"),
    ("data.batch_size=${optimizer}", "data.batch_size"),
    ("model.preset=${runs_dir}${runs_dir} model.weights=${model.preset}", "model.preset"),
]

LINES = [
    "hydra.run.dir=/tmp/x | set by fmkit", "hydra.sweep.dir=x | set by fmkit",
    "hydra.output_subdir=x | set by fmkit", "hydra.searchpath=[file:///tmp] | set by fmkit",
    "hydra.job.chdir=true | set by fmkit", "hydra.job.env_set={A:b} | set by fmkit",
    "hydra.verbose=true | set by fmkit", "hydra.mode=MULTIRUN | set by fmkit",
    "hydra.launcher._target_=os.system | _target_", "+hydra.callbacks.x=1 | set by fmkit",
    "++hydra.job_logging.root.level=DEBUG | set by fmkit", "~hydra.sweeper | set by fmkit",
    "hydra/launcher=joblib | Allowed: basic", "hydra/sweeper=optuna | Allowed: basic",
    "hydra/job_logging=default | set by fmkit", "+hydra/callbacks=evil | set by fmkit",
    "hydra=x | set by fmkit", "~hydra | set by fmkit",
    "data@foo=digits | one place each", "+data@hydra.launcher=digits | one place each",
    "+schema/data=arrays | schema/data", "+experiment@x=clothes | one place each",
    "--experimental-rerun=x | unknown flag", "--config-path=/tmp | unknown flag",
    "--config-name=x | unknown flag", "-cp/tmp | unknown flag", "-cn=x | unknown flag",
    "--cfg=nope | Allowed: job" , "--info=nope | Allowed", "--config-dir=/no/where | exists",
    "-x | unknown flag", "--epochs=3 | key=value",
    "data.batch_size | key=value", "=3 | cannot read", "data..root=3 | data", "x={ | cannot read",
    "name=[1 | cannot read", "name='open | cannot read", "name=a=b | twice", "name=a<b | twice",
    "name=a>b | twice", "name=(a | cannot read", "na me=3 | no such file or folder",
    "ünï=3 | cannot read", "data.root=~nobody/x | no such file or folder", "foo(1)=2 | cannot read",
    "data.batch_size=choice(1,2) | -m", "data.batch_size=range(1,9) | -m", "name=glob(*) | -m",
    "-m runtime.seed=range(0,1000000000) | At most 1,000", "-m runtime.seed=range(0,9,0) | At most",
    "-m optimizer.learning_rate=range(0.0,1.0,0.0000001) | At most 1,000",
    "-m runtime.seed=range(0,40) data.batch_size=range(1,40) | At most 1,000",
    "-m data.batch_size=interval(1,4) | list of values", "-m stage=glob(*) | list of values",
    "-m init=a,b | one value", "-m plugins=a,b | one value",
    "~data | phase", "~data.batch_size | phase", "~stage | phase", "~nothing | phase",
    "~stage.hed | stage.head", "~name=x | phase",
    "stage.hed.epochs=3 | stage.head.epochs", "+stage.third={train:all} | stage=mine",
    "stage=nope | received 'nope'", "data=null | received None", "model={name:x} | received",
    "data=[digits] | received", "experiment=../x | received", "experiment=[clothes] | received",
    "task.name=os.system | received 'os.system'", "model.name=os:system | received 'os:system'",
    "data.name=builtins.eval | received", "model=torch.nn.Linear | received",
    "model.weights=http://x/y.h5 | a file that exists", "optimizer.name=eval | received 'eval'",
    "stage.full.train='blocks:(' | a regular expression", "stage.full.rates={'(':1} | rates",
    "stage.full.train=blocks:a{99999999999} | stage.full.train",
    "model.lora_targets='(' | regular expression", "stage.full.rates=[1] | a mapping",
    "stage.full.rates={a:nan} | finite", "stage.full.rates={a:-inf} | finite",
    "name=true | Write it in quotes", "name=1e3 | Write it in quotes", "plugins=3 | exists",
    "runs_dir=false | Write it in quotes", "name='' | must not be empty",
    "plugins=/etc | exists", "runtime.seed=99999999999999999999999 | below 2^63",
    "data.batch_size=0x10 | whole number", "data.limit=1e30 | whole number",
    "data.batch_size=4294967296 | at most", "runtime.keep=1.5 | whole number",
]  # fmt: skip
"""A command line, and after the bar a fragment of the message."""

STRANGE = [
    (("name=a\nb",), "a line break"),
    (("name=\x1b]0;x\x07",), "the character '\\x1b'"),
    (("na\x00me=x",), "the character '\\x00'"),
    (("name=\udcff",), "the character '\\udcff'"),
    (("name=\u202eevil",), "the character '\\u202e'"),
    (("name=" + "x" * 5000,), "characters; at most 4,096"),
    (("x" * 5000 + "=1",), "characters; at most 4,096"),
    (("name=" + "[" * 500,), "more than 20 brackets"),
    (("name=" + "{a:" * 300 + "1" + "}" * 300,), "more than 20 brackets"),
    (("name=" + "${name}" * 200,), "more than 20 brackets or references"),
    (("data.batch_size=" + "9" * 4000,), "below 2^63"),
    (tuple(f"name={each}" for each in range(600)), "600 overrides; at most 500"),
    (("--config-dir=" + "x" * 5000,), "--config-dir"),
    (("--config-dir=a\nb",), "--config-dir"),
    (("",), "cannot read ''"),
    (("--config-dir",), "expected one argument"),
    (("model.weights=" + "z" * 300,), "cannot be used"),
    (("plugins=" + "p" * 300,), "plugins"),
    (("data.root=photos & more",), "no such file or folder"),
    (tuple(f"optimizer.key{each}=1" for each in range(40)), "40 problems"),
]  # fmt: skip


def _types() -> dict[str, type]:
    kinds = {"model": BASES["model"], "data": config_class("data", "digits"),
             "optimizer": config_class("optimizer", "adamw"), "stage": PhaseConfig,
             "task": ClassificationConfig, "runtime": RuntimeConfig}  # fmt: skip
    return {name: kinds.get(name, str) for name in TrainConfig.__dataclass_fields__}


def misspelled() -> list[tuple[str, str]]:
    """Rows (key, the key with a letter left out) of every key that a training command has."""
    keys = suggest.all_keys(_types(), ["head", "full"])
    rows = []
    for key in keys:
        group, dot, leaf = key.rpartition(".")
        if len(leaf) > 3:
            rows.append((key, f"{group}{dot}{leaf[:2]}{leaf[3:]}"))
    return rows


def files() -> list[Case]:
    """Broken files, each in every group that a user has files in."""
    cases = []
    for group, head in OWN.items():
        name, words = f"{group}/mine.yaml", ("finetune", "--config-dir=@", f"{group}=mine")
        for content, line, said in BROKEN:
            if said:
                place = f"mine.yaml:{line + len(head.splitlines())}:" if line else "mine.yaml"
                cases.append(Case(words, f"{place}\0{said}", {name: head + content}))
        for content, said in [*NOT_TEXT, *TOPS]:
            cases.append(Case(words, f"mine.yaml\0{said}", {name: content}))
    words = ("finetune", "--config-dir=@", "experiment=mine")
    for text, said in DEFAULTS:
        content = EXPERIMENT + f"defaults: {text}\n".encode()
        cases.append(Case(words, f"mine.yaml:2: \0{said}", {"experiment/mine.yaml": content}))
    for text in ("hydra: {run: {dir: /}}", "hydra: {launcher: {_target_: x}}", "plugins: x.py",
                 "run: x", "runs_dir: /", "nothing: {a: 1}", "data: 5", "model: []"):  # fmt: skip
        content = {"experiment/mine.yaml": EXPERIMENT + f"{text}\n".encode()}
        cases.append(Case(words, "mine.yaml:2", content))
    for header in ("_global_", "hydra", "hydra.launcher", "model", "a b"):
        content = f"# @package {header}\nbatch_size: 3\n".encode()
        line = ("finetune", "--config-dir=@", "data=mine")
        cases.append(Case(line, "mine.yaml:1:\0@package", {"data/mine.yaml": content}))
    for name in ("hydra/launcher/basic.yaml", "schema/command/finetune.yaml", "data/digits.yaml"):
        cases.append(Case(("finetune", "--config-dir=@"), "Rename it", {name: b"a: 1\n"}))
    return cases


def values() -> list[Case]:
    """A wrong value for every key that has a type or a choice, typed and in a file."""
    cases = []
    wrong = {
        int: ("abc", "1.5", "[1]"),
        float: ("abc", "nan", "inf", "{a: 1}"),
        bool: ("maybe", "3.5"),
    }
    for group, kind in _types().items():
        if kind is str:
            continue
        prefix = "stage.full" if group == "stage" else group
        for name, wanted in suggest.field_types(kind).items():
            key = f"{prefix}.{name}"
            plain = next((each for each in wrong if wanted in (each, each | None)), None)
            bad = wrong[plain] if plain else ("nope",) if key_infos(kind)[name].choices else ()
            for value in bad:
                cases.append(Case(("finetune", f"{key}={value}"), key))
                tree = f"{value.join(_nested(key))}\n".encode()
                file = {"experiment/mine.yaml": EXPERIMENT + tree.replace(b": nan", b": .nan")
                        .replace(b": inf", b": .inf")}  # fmt: skip
                words = ("finetune", "--config-dir=@", "experiment=mine")
                cases.append(Case(words, f"mine.yaml:2: \0{key}", file))
    return cases


def _nested(key: str) -> tuple[str, str]:
    """The text before and after the value of a key in YAML, on one line."""
    *groups, leaf = key.split(".")
    return "".join(f"{each}: {{" for each in groups) + f"{leaf}: ", "}" * len(groups)


def lines() -> list[Case]:
    """Broken command lines."""
    cases = [Case(("finetune", *line.split()), said) for line, said in REFERENCES]
    for row in LINES:
        line, _, said = row.partition(" | ")
        cases.append(Case(("finetune", *(line.split())), said))  # fmt: skip
    cases.extend(Case(("finetune", *words), said) for words, said in STRANGE)
    for _, typo in misspelled():
        cases.extend(Case(("finetune", f"{mark}{typo}=1"), typo) for mark in ("", "+", "++"))
    return cases


def broken(folder: Path | None = None, every: int = 1) -> tuple[int, int, list[str]]:
    """Run broken configs: how many ended in the right message, of how many; and the faults.

    Args:
        folder: where they are written.
        every: 1 runs all, 4 each fourth of them.
    """
    cases: list[Case] = [*files(), *values(), *lines()][::every]
    faults = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, case in enumerate(cases):
            result = run_case(case, (folder or Path(scratch)) / str(number))
            # A second fragment, the position in a file, is before a NUL.
            position, _, message = case.expected.rpartition("\0")
            fault = find_fault(result, message, case.exit_code)
            fault = fault or find_fault(result, position, case.exit_code)
            if fault:
                line, content = " ".join(case.arguments), list(case.files.values())[:1]
                faults.append(f"{line[:90]} {content!r:.90}: {fault}")
    return len(cases) - len(faults), len(cases), faults


def hinted() -> tuple[int, int]:
    """For how many misspelled keys the message names the right one, of how many."""
    rows = misspelled()
    results = [run_case(Case(("finetune", f"{typo}=1"), key), Path()) for key, typo in rows]
    hits = [key in result.stderr for (key, _), result in zip(rows, results, strict=True)]
    return sum(hits), len(rows)


BENIGN = [
    ("data", b"defaults: [image_folder, _self_]\nroot: /x y/z=1\nbatch_size: 1e1\n"),
    ("data", "defaults: [digits, _self_]\n# größer\nbatch_size: 1_000\n".encode()),
    ("data", b"# @package data\n\ndefaults: [/schema/data/digits@_here_, _self_]\nname: digits\n"),
    ("optimizer", b"defaults: [sgd, _self_]\nlearning_rate: 1e-3\nclip_norm: null\n"),
    ("optimizer", b"defaults:\n- sgd\n- _self_\nnesterov: yes\n"),
    ("stage", b"warm: &w {train: head, epochs: 1}\nthen: {<<: *w, train: all, epochs: 20 steps}\n"),
    ("stage", b'one: {train: all, learning_rate: "${times:${optimizer.learning_rate},0.5}"}\n'),
    ("stage", b"a: {train: all, rates: {'block_[0-3]|a.b': 0.5}, patience: 2.0}\n"),
    ("experiment", EXPERIMENT + b'name: "012"\nmodel: {image_size: 64}\n'),
    ("experiment", EXPERIMENT + b"defaults: [solar_cells_small, override /optimizer: sgd]\n"),
    ("experiment", EXPERIMENT + b'name: ${oc.env:FMKIT_NOT_SET,plain}\ndata: {limit: 1e3}\n'),
    ("experiment", EXPERIMENT + "name: 'Zoë = [red] <b> :dog:'\n".encode()),
]  # fmt: skip
"""Valid files that look much like the broken ones."""


def benign(folder: Path) -> list[str]:
    """Errors of valid files; there should be none."""
    faults = []
    for number, (group, content) in enumerate(BENIGN):
        write_files(folder / str(number), {f"{group}/mine.yaml": content})
        words = [f"--config-dir={folder / str(number)}", f"{group}=mine"]
        try:
            preflight.check(command_line.parse("finetune", words), launch.allowed_names())
        except FmkitError as error:
            faults.append(f"{content!r}: {error}")
    return faults
