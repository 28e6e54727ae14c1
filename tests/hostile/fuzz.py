"""Configs and command lines that are broken at random, always the same ones."""

import random
import tempfile
from pathlib import Path
from unittest import mock

from fmkit.config import compose
from fmkit.core.errors import ConfigError
from hostile.cli_runner import find_fault, run_cli, write_files
from hostile.configs import misspelled

SPECIALS = (
    *(b"[", b"]", b"{", b"}", b":", b": ", b",", b"#", b"&a ", b"*a", b"!", b"!!python/name:os "),
    *(b"|", b">", b"'", b'"', b"%", b"@", b"`", b"\t", b"\n", b"\n  ", b"---\n", b"...\n", b"- "),
    *(b"? ", b"<<: ", b"\0", b"\xff", b"\xef\xbb\xbf", b"\x1b[31m", b"${", b"}", b"${oc.env:HOME}"),
    *(
        b"~",
        b"null",
        b"yes",
        b"012",
        b".nan",
        b".inf",
        b"1e999",
        b"=",
        b"_target_: ",
        b"\xe2\x80\xae",
    ),
    *(b"9" * 50, b"x" * 5000, b"[" * 200, b"${name}", b"hydra: ", b"defaults: ", b"\\", b"\r"),
)
WORDS = (
    *(
        "",
        "null",
        "nan",
        "inf",
        "-1",
        "1e3",
        "1e999",
        "abc",
        "[1,2]",
        "{a:1}",
        "{a:{b:[1]}}",
        "a,b",
    ),
    *("range(1,5)", "choice(a,b)", "glob(*)", "interval(0,1)", "${name}", "${oc.env:HOME}", "${x"),
    *(
        "'",
        '"',
        "\\",
        "a b",
        "a=b",
        "a<b",
        "~",
        "!!python",
        "true",
        "12",
        "0.5",
        "\x1b[0m",
        "ü",
        "🙂",
    ),
    *("shuffle(1,2)", "sort(2,1)", "int(a)", "float(nan)", "bool(3)", "str([1])", "tag(a,b)", "()"),
    *(
        "int(1e400)",
        "sort(a,1)",
        "${times:1,2}",
        "${times:}",
        "${.}",
        "${..}",
        "???",
        "[" * 30,
        "a:b",
    ),
)
MARKS = ("", "", "", "", "+", "++", "~", "@", "=", ".", "hydra.", "-", "--")


def broken_file(random: random.Random, whole: bytes) -> bytes:
    """A file with one to four things done to it."""
    content = bytearray(whole)
    for _ in range(random.randint(1, 4)):
        start = random.randrange(len(content) + 1)
        end = min(len(content), start + random.randint(1, 12))
        kind = random.randrange(5)
        if kind == 0:  # something more
            content[start:start] = random.choice(SPECIALS)
        elif kind == 1:  # something else
            content[start:end] = random.choice(SPECIALS)
        elif kind == 2:  # something less
            del content[start:end]
        elif kind == 3:  # something twice
            content[start:start] = content[start:end]
        else:
            content[start:start] = random.randbytes(1)
    return bytes(content)


def broken_words(random: random.Random, keys: list[str]) -> list[str]:
    """One to four overrides, each with something wrong or right in its key or value."""
    words = []
    for _ in range(random.randint(1, 4)):
        key = random.choice(keys)
        if random.random() < 0.3:
            start = random.randrange(len(key))
            key = key[:start] + random.choice(("", "_", ".", "x", "/", "ü", " ")) + key[start + 1 :]
        value = "".join(random.choices(WORDS, k=random.choice((1, 1, 1, 2))))
        words.append(f"{random.choice(MARKS)}{key}{random.choice('======:')}{value}")
    return words


class _Accepted(ConfigError):
    """Our own checks accept it, and Hydra is not asked."""


def run(count: int = 2_000, composed: int = 15, seed: int = 0) -> tuple[int, int, list[str]]:
    """Try `count` inputs: how many ended in one clean message or were valid, of how many.

    Every one goes through our own checks and, where those accept it, the first `composed` of them
    through Hydra, which takes most of the time.
    """
    chance = random.Random(seed)
    keys = [key for key, _ in misspelled()] + ["model", "data", "stage", "experiment", "optimizer"]
    whole = sorted(path for path in compose.conf_dir().glob("*/*.yaml"))
    compose_all_jobs, left, faults = compose.compose_all_jobs, composed, []

    def compose_some(*arguments: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise _Accepted("error")
        return compose_all_jobs(*arguments)

    with (
        tempfile.TemporaryDirectory() as scratch,
        mock.patch.object(compose, "compose_all_jobs", compose_some),
        mock.patch.object(compose, "launch", return_value=None),
    ):
        for number in range(count):
            content = b""
            if number % 2:
                path = chance.choice(whole)
                folder, group = Path(scratch), path.parent.name
                content = broken_file(chance, path.read_bytes())
                write_files(folder, {f"{group}/mine.yaml": content})
                words = [f"--config-dir={folder}", f"{group}=mine"]
            else:
                words = broken_words(chance, keys)
            result = run_cli(("finetune", *words, "--cfg", "job"))
            allowed = (0, 2, 4)  # 4: the run named by `init` is not there
            code = result.exit_code if result.exit_code in allowed else 2
            fault = find_fault(result, "error" if result.exit_code else "", code)
            if fault:
                faults.append(f"seed {seed}, number {number}: {words} {content[-300:]!r}: {fault}")
    return count - len(faults), count, faults
