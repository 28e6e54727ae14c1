"""The command line: the first word chooses a command, and an error becomes one message."""

import sys
from collections.abc import Sequence

COMMANDS = {
    "pretrain": ("train:pretrain", "train the head on a frozen backbone, or learn without labels"),
    "finetune": ("train:finetune", "train the head, then the whole network"),
    "resume": ("resume:resume", "continue an interrupted run, or train a finished one longer"),
    "eval": ("evaluate:evaluate", "evaluate a finished run on a split or on new data"),
    "predict": ("predict:predict", "predict new photos or texts with a finished run"),
    "explain": ("explain:explain", "show what a run's predictions are based on"),
    "export": ("export:export", "write a model for other runtimes, checked against the run"),
    "generate": ("generate:generate", "generate text with a causal language model"),
    "check": ("check:check", "inspect a dataset and report problems"),
    "tokenizer": ("tokenizer:tokenizer", "train a tokenizer on your own texts"),
    "runs": ("runs:runs", "list, filter, show, compare, rank, serve and remove runs"),
    "report": ("report:report", "write a page about a run, a sweep, or two runs side by side"),
    "cache": ("cache:cache", "list and clear cached backbone features"),
    "models": ("listings:models", "list models, their sizes, and what is installed"),
    "data": ("listings:data", "list data sets and the sources of your own files"),
    "doctor": ("doctor:doctor", "say what this machine has, and what more would bring"),
    "schema": ("schema:schema", "print a JSON Schema of the config, for editors"),
    "completion": ("completion:completion", "print a script that completes in your shell"),
    "guide": ("guide:guide", "read the guide"),
}
"""Each command's function in `fmkit.commands`, and a line for the help."""

ALIASES = {"train": "finetune"}
"""Other words for commands."""

_OF_OTHERS = {
    **dict.fromkeys(("fit", "tune", "fine-tune", "fine_tune"), "finetune"),
    **dict.fromkeys(("evaluate", "test", "val", "validate", "score"), "eval"),
    **dict.fromkeys(("infer", "inference", "classify"), "predict"),
    **dict.fromkeys(("list", "ls", "status", "history"), "runs"),
    **dict.fromkeys(("inspect", "lint", "analyze", "analyse"), "check"),
    **dict.fromkeys(("continue", "restart"), "resume"),
    **dict.fromkeys(("convert", "save"), "export"),
}
"""What other tools call our commands."""

SUMMARIES = {name: summary for name, (_, summary) in COMMANDS.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `fmkit`; None means those of the process.

    Returns:
        The exit status: 0 done, 1 a defect, 2 config, 3 data, 4 a run or artifact was refused,
        5 the loss is not finite, 6 disk or memory, 128 + n stopped by signal n.
    """
    from fmkit.core import machine, signals

    is_process, code = arguments is None, 0
    try:
        with signals.signal_handlers(until_exit=is_process):  # from here on SIGUSR1 does not kill
            from fmkit.core import console

            if is_process:
                console.prepare_streams()
                machine.is_own_process = True
            machine.set_library_defaults()
            words = sys.argv[1:] if arguments is None else list(arguments)
            try:
                if "--json" in words:
                    from fmkit.commands.output import json_output

                    json_output.run(lambda: _run([word for word in words if word != "--json"]))
                else:
                    _run(words)
                console.require_complete_output()
            except (Exception, KeyboardInterrupt) as error:
                from fmkit.commands.output import failures

                failure = failures.as_fmkit_error(error)
                failures.report(failure)
                code = failure.exit_code
            signals.exit_with(code)
    except KeyboardInterrupt as error:  # the signal arrived while an error was being reported
        code = 128 + getattr(error, "number", 2)
        signals.exit_with(code)
    return code


def _run(words: list[str]) -> None:
    from fmkit.core import registry
    from fmkit.core.errors import FmkitError

    name, *rest = words or ["help"]
    name = ALIASES.get(name, name)
    flags = [number for number, word in enumerate(rest) if word in ("-h", "--help")]
    if name in ("-h", "--help", "help", "-V", "--version", "version") or (
        name in COMMANDS and flags
    ):
        _help(name, rest, flags)
    elif name not in COMMANDS:
        raise _unknown_command(words)
    else:
        try:
            registry.load(f"fmkit.commands.{COMMANDS[name][0]}")(rest)
        except FmkitError as error:
            from fmkit.commands.output import corrected_line

            corrected_line.add_corrected_line(error, name, words)
            raise


def _unknown_command(words: Sequence[str]) -> Exception:
    """That there is no such command, with the line as it was probably meant."""
    import os
    import shlex

    from fmkit.core.errors import ConfigError, closest_names, received

    name, *rest = words
    if os.path.lexists(name):
        hint = f"To train on it: {shlex.join(['fmkit', 'finetune', *words])}"
        return ConfigError(f"{name!r} is a path, and not a command.", hint)
    meant = [_OF_OTHERS[name]] if name in _OF_OTHERS else closest_names(name, COMMANDS, limit=1)
    if not meant:
        message = received("command", name, list(COMMANDS))
        return ConfigError(message, "fmkit --help lists the commands.")
    return ConfigError(
        f"command: received {name!r}. Did you mean {meant[0]}?",
        f"Type: {shlex.join(['fmkit', meant[0], *rest])}",
    )


def _help(name: str, rest: list[str], flags: list[int]) -> None:
    from fmkit.commands import help

    if name in ("-V", "--version", "version"):
        help.version()
    elif name not in COMMANDS:
        help.topics(rest, SUMMARIES) if rest else help.overview(SUMMARIES)
    elif words := rest[flags[0] + 1 :]:
        help.topics(words, SUMMARIES, name)
    else:
        help.command(name, SUMMARIES[name])


if __name__ == "__main__":
    sys.exit(main())
