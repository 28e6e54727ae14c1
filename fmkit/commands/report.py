"""`fmkit report`: the page of a run, of a sweep, or of two runs side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.commands import launch
from fmkit.commands.options import parse_words
from fmkit.commands.output import json_output
from fmkit.config import saved_config
from fmkit.core import console, files
from fmkit.core.errors import ConfigError, FmkitError, received
from fmkit.store import run_dir, run_index
from fmkit.store.run_reader import RunReader

OPTIONS = {
    "runs_dir": ("runs", "Folder of runs."),
    "output": ("", "File of the page; by default it is in the folder of the run or sweep."),
}
"""Keys of `fmkit report`, each with its default and its meaning."""


def parse(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The one or two words of the command, and its options.

    Raises:
        ConfigError: there are no words or too many, or an option is unknown.
    """
    words, options = parse_words("fmkit report", arguments, OPTIONS)
    if not words:
        raise ConfigError(
            "fmkit report needs a run, a sweep, or two runs.",
            "`fmkit runs` lists them; `fmkit report last` is the newest that is done.",
        )
    if len(words) > 2:
        expected = "a run, a sweep, or two runs"
        raise ConfigError(received("fmkit report", " ".join(words), expected))
    return words, options


def report(arguments: Sequence[str]) -> None:
    """Run `fmkit report RUN | SWEEP | RUN RUN`.

    Raises:
        ConfigError: no run, more than two, or an unknown key.
        ArtifactError: a run was not found or cannot be read.
    """
    words, options = parse(arguments)
    runs_dir = run_index.find_root(options.get("runs_dir", "runs"))
    output = Path(files.absolute_path(options["output"])) if options.get("output") else None
    if output is not None and (reason := files.why_not_writable(output)):
        raise ConfigError(f"output={files.display_path(output)} cannot be written: {reason}.")
    sweep = run_index.find_sweep(words[0], runs_dir) if len(words) == 1 else None
    if sweep is not None:
        from fmkit.report import sweep_page

        _show(sweep_page.write(sweep, output))
        return
    first, *others = (run_index.resolve(word, runs_dir) for word in words)
    _show(_comparison(first, others[0], output) if others else _run(first, output))


def write(folder: Path, other: Path | None = None) -> Path:
    """Write the page about a run, or about another one and this side by side; its path."""
    made = _run(folder, None) if other is None else _comparison(other, folder, None)
    for problem in made.problems:
        console.warning(f"report: {problem}")
    return Path(made.path)


def _run(folder: Path, output: Path | None) -> Any:
    from fmkit.report import run_page

    run = RunReader(folder)
    _keep_samples(run)
    return run_page.write(folder, output=output)


def _comparison(first: Path, second: Path, output: Path | None) -> Any:
    """The page of two runs, with the photos or texts that they disagree about."""
    from fmkit.report import comparison_page, samples

    content: dict[str, dict[str, str]] = {}
    names = comparison_page.ids_of_disagreements(first, second)
    if names:
        try:
            with console.announce_slow("reading the examples to show"):
                content = samples.of_examples(read_examples(RunReader(second)), names)
        except (FmkitError, OSError) as error:
            _say_left_out(error)
    return comparison_page.write(first, second, output, content)


def _keep_samples(run: RunReader) -> None:
    """Read the photos or texts that the galleries show, unless they are on record.

    Where the data is gone or has changed so that it cannot be read, the page does without.
    """
    from fmkit.report import labels, samples

    if (run.folder / run_dir.SAMPLES).exists() or not samples.needed(run.folder):
        return
    try:
        with console.announce_slow("reading the examples to show"):
            samples.keep(run.folder, read_examples(run), judge=labels.judge)
    except (FmkitError, OSError) as error:
        _say_left_out(error)


def _say_left_out(error: Exception) -> None:
    reason = str(error).splitlines()[0].rstrip(".")
    console.info(f"report: photos and texts of examples are left out: {reason}.")


def read_examples(run: RunReader) -> Any:
    """The data set that a run was trained on, all splits together, as it is now.

    Raises:
        FmkitError: it cannot be read.
    """
    from fmkit.evaluation import run_data

    launch.require_plugins(run, ("data",), launch.allowed_names())
    runtime = saved_config.section(run.config(), "runtime")
    runtime.verbose = False
    return run_data.read_own_split(run, runtime, "all").data.examples


def _show(made: Any) -> None:
    for problem in made.problems:
        console.warning(f"report: {problem}")
    content = {
        "report": made.path, "bytes": made.bytes, "model_card": made.model_card,
        "plots": made.plots, "problems": made.problems,
    }  # fmt: skip

    def view() -> None:
        size = files.format_bytes(made.bytes)
        path = console.escape_markup(files.display_path(made.path))
        console.stdout.print(f"report: {path} ({size})")
        if made.model_card is not None:
            card = console.escape_markup(files.display_path(made.model_card))
            console.stdout.print(f"model card: {card}")
        if made.plots:
            folder = console.escape_markup(files.display_path(made.plots[0].parent))
            console.stdout.print(f"plots: {folder} ({len(made.plots)} PNG files)")

    json_output.show("report", content, view)
