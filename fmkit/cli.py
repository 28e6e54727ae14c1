"""Reads the first word, hands over, and turns an error into one clean message."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

COMMANDS = {
    "pretrain": "train the head on a frozen backbone, or learn without labels",
    "finetune": "train the head, then everything",
    "resume": "go on with a run that was stopped, or make a finished one longer",
    "eval": "judge a finished run on a split, or on new data",
    "predict": "predict new photos or texts with a finished run",
    "generate": "go on with a text or answer it, by a causal language model",
    "check": "look at a data set: what is in it, and what is wrong with it",
    "tokenizer": "make a vocabulary of texts, for a model that has none",
    "runs": "list, show, compare and rank runs",
    "cache": "list and clear the features of frozen backbones",
}
"""The sub-commands, each with a line for the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is CONTRACT's."""
    from fmkit.core import signals

    is_process = arguments is None
    try:
        with signals.signal_handlers(for_good=is_process):  # from here on SIGUSR1 is no death
            if is_process:
                from fmkit.core import console

                console.prepare_streams()
            code = _told(sys.argv[1:] if arguments is None else list(arguments))
            signals.exit_with(code)
    except KeyboardInterrupt as error:  # it came while something else was being told
        code = 128 + getattr(error, "number", 2)
        signals.exit_with(code)
    return code


def _told(words: list[str]) -> int:
    """Run one command and tell its error, if it has one."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the libraries' notes are not the user's
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # TensorFlow turns oneDNN on by itself only where the CPU has AVX-512. On an AVX2 machine an
    # EfficientNet-Lite0 at 224 px ran 1.5 to 2 times as fast with it, forward and backward.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from fmkit.core import console, signals
    from fmkit.core.errors import FmkitError

    try:
        return _run(words)
    except FmkitError as error:
        console.error(error.message, error.hint)
        if console.wants_traceback():
            console.stderr.print_exception()
        return error.exit_code
    except signals.SignalReceived as error:
        console.error(f"stopped by {error}.")
        return 128 + error.number
    except KeyboardInterrupt:
        console.error("stopped by Ctrl-C.")
        return 130
    except Exception as error:
        console.error(
            f"a defect of fmkit: {type(error).__name__}: {error}",
            "FMKIT_TRACEBACK=1 shows the traceback.",
        )
        if console.wants_traceback():
            console.stderr.print_exception()
        return 1


def _run(words: list[str]) -> int:
    from fmkit.commands import help

    if not words or words[0] in ("-h", "--help", "help"):
        return help.overview(COMMANDS)
    if words[0] in ("-V", "--version"):
        return help.version()
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        from fmkit.core.errors import ConfigError, received

        raise ConfigError(
            received("command", name, list(COMMANDS)), "fmkit --help lists the commands."
        )
    if any(word in ("-h", "--help") for word in rest):
        return help.command(name, COMMANDS[name])
    return _function(name)(rest)


def _function(name: str) -> Callable[[Sequence[str]], int]:
    from fmkit.commands import train

    return {
        "pretrain": train.pretrain,
        "finetune": train.finetune,
        "resume": train.resume,
        "eval": train.evaluate,
        "predict": train.predict,
        "generate": train.generate,
        "check": train.check_data,
        "tokenizer": train.tokenizer,
        "runs": train.runs,
        "cache": train.cache,
    }[name]


if __name__ == "__main__":
    sys.exit(main())
