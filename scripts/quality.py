"""Which settings are best on small data: methods x data sets x seeds, cached and resumable.

    python scripts/quality.py run --only digits,solar_cells@50 --seeds 5
    python scripts/quality.py run --only solar_cells@200 --methods default,head \\
                                  --method wise='stage.full.learning_rate=1e-5' --seeds 5
    python scripts/quality.py report --against default
    python scripts/quality.py list

`run` makes what the file of results lacks, the cheap data sets first, one process at a time, and
prints a line for each run. Stopped at any moment, it goes on where it was; a run that failed is a
row with its error, and is made again with `--retry`. `report` prints Markdown: means and standard
deviations over seeds, mean ranks, paired tests against a method, seconds, and runs that ended worse
than their own head. The guide's page `quality` explains both.
"""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from quality import datasets, report, runner
from quality.datasets import DATASETS
from quality.methods import METHODS, PEERS
from quality.results import Results, Row, code_tag, key_of
from torture import zygote

USUAL = ("head", "default", "auto", "full")
"""The methods of fmkit that run unless others are named."""


def main() -> int:
    """Do what the command line says; the exit status."""
    options = _parsed()
    action = {"run": _run, "report": _report, "list": _list}[options.action]
    return action(options)


def _run(options: argparse.Namespace) -> int:
    added = dict(pair.split("=", 1) for pair in options.method)
    known = {**METHODS, **added}
    names = options.methods if options.methods is not None else [*USUAL, *PEERS]
    names = list(dict.fromkeys([*names, *added]))
    if unknown := [name for name in names if name not in {**known, **PEERS}]:
        raise SystemExit(f"no such method: {', '.join(unknown)}; {', '.join([*known, *PEERS])}")
    roots = dict(pair.split("=", 1) for pair in options.root)
    results = Results(options.folder / "results.jsonl")
    jobs = runner.plan(
        _places(options.only),
        {name: known[name] for name in names if name in known},
        [name for name in names if name in PEERS],
        options.seeds,
        options.tag or _code_tag(),
    )
    done = results.done(with_failed=not options.retry)
    missing = [job for job in jobs if key_of(job.row()) not in done]
    print(f"{len(jobs)} runs, {len(missing)} to make", file=sys.stderr)
    missing = _readable(missing, options.folder, roots)
    if not missing:
        return 0
    zygote.warm_up()
    settings = runner.Settings(
        options.folder.absolute(), roots, options.threads, 60 * options.timeout, options.keep
    )
    make = partial(runner.make, settings=settings)
    failed = 0
    for count, row in enumerate(
        runner.run(missing, results, make, options.minutes, options.retry), start=1
    ):
        failed += bool(row["error"])
        print(f"{count}/{len(missing)} {_line(row)}", flush=True)
    return 1 if failed else 0


def _readable(jobs: list[runner.Job], folder: Path, roots: dict[str, str]) -> list[runner.Job]:
    """The runs whose data set is there; for each other data set a line on stderr."""
    from fmkit.core.errors import FmkitError

    absent = set()
    for name in dict.fromkeys(job.data for job in jobs):
        try:
            datasets.read(name, datasets.root_of(folder, name, roots))
        except FmkitError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
            absent.add(name)
    return [job for job in jobs if job.data not in absent]


def _line(row: Row) -> str:
    head = f"{row['data']}@{row['size']} seed {row['seed']} {row['method']}"
    if row["error"]:
        return f"{head}: {row['error']}"
    text = f"{head}: {row['metric']} {row['value']:.4f} in {row['seconds']:.0f} s"
    own_head = row["own_head"]
    if own_head and "difference" in own_head:
        text += f" (own head {own_head['difference']:+.4f})"
    return text


def _report(options: argparse.Namespace) -> int:
    rows = Results(options.folder / "results.jsonl").rows()
    places = {f"{data}@{size}" for data, size in _places(options.only)}
    rows = [row for row in rows if f"{row['data']}@{row['size']}" in places]
    if options.tag:
        rows = [row for row in rows if row["tag"] in ("", *options.tag.split(","))]
    print(report.markdown(rows, options.against, options.noise, options.methods))
    return 0


def _list(options: argparse.Namespace) -> int:
    print("data sets:")
    for name, row in DATASETS.items():
        print(f"  {name}: {row.task}, {row.source}, labels {', '.join(row.sizes)}")
    print("methods:")
    for name, text in METHODS.items():
        print(f"  {name}: fmkit {text}")
    for name, peer in PEERS.items():
        print(f"  {name}: {peer.task}, scikit-learn, features scaled: {peer.scaling}")
    return 0


def _places(only: list[str] | None) -> list[tuple[str, str]]:
    """Pairs of data set and size that patterns such as `digits`, `solar_cells@50` or `*@100`
    choose; None: all."""
    places = [(name, size) for name, row in DATASETS.items() for size in row.sizes]
    chosen = [place for place in places if only is None or any(map(partial(_fits, place), only))]
    for pattern in only or ():
        if not any(_fits(place, pattern) for place in places):
            raise SystemExit(f"no such data set: {pattern}; `quality.py list` has them")
    return chosen


def _fits(place: tuple[str, str], pattern: str) -> bool:
    return fnmatch("@".join(place), pattern) or place[0] == pattern


def _code_tag() -> str:
    import fmkit

    package = Path(fmkit.__file__).parent
    return code_tag([package, package.parent / "conf"])


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--folder", type=Path, default=Path("runs/quality"),
                        help="of results.jsonl, tables and caches (runs/quality)")  # fmt: skip
    shared.add_argument("--only", type=_names, help="data sets: digits,solar_cells@50,'*@100'")
    shared.add_argument("--methods", type=_names, help="names of methods; `list` has them")
    run = actions.add_parser("run", parents=[shared], help="make the runs that are missing")
    run.add_argument("--method", action="append", default=[], metavar="NAME='SETTINGS'",
                     help="one more method: settings of `fmkit finetune`")  # fmt: skip
    run.add_argument("--seeds", type=int, default=5, help="how many: 0, 1, 2 ... (5)")
    run.add_argument("--minutes", type=float, help="after these no run begins")
    run.add_argument("--tag", help="name of the code's version (a digest of fmkit and conf)")
    run.add_argument("--threads", type=int, default=1, help="of TensorFlow (1)")
    run.add_argument("--timeout", type=float, default=120, help="minutes for a run (120)")
    run.add_argument("--root", action="append", default=[], metavar="NAME=PATH",
                     help="where a data set is, if not where Debian's package puts it")  # fmt: skip
    run.add_argument("--retry", action="store_true", help="make failed runs again")
    run.add_argument("--keep", action="store_true", help="keep run folders")
    shown = actions.add_parser("report", parents=[shared], help="print tables as Markdown")
    shown.add_argument("--against", default="default", help="the method to compare with (default)")
    shown.add_argument("--tag", help="versions of the code: 0.3.0,9f2c41aa; all by default")
    shown.add_argument("--noise", type=float, default=0.002,
                       help="smaller mean differences are none (0.002)")  # fmt: skip
    actions.add_parser("list", help="data sets and methods")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
