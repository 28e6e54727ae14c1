"""Kill real runs, damage their checkpoints, fill their disks, and see that nothing is lost.

    python scripts/torture.py                   all of it
    python scripts/torture.py --quick           the slice that runs with the tests
    python scripts/torture.py --only T1,T3 --seed 7 --kills 20

It ends with one line of figures, and with exit status 1 if any of them misses its target. What
failed prints its seed and keeps its folder. RELIABILITY's numbers: T1 kills while saving, T2 kills
while training, T3 damage, T4 signals, T4b full disks, T8 twins, T9 resume points, T10 frozen
weights, T12 simultaneous starts, T14 endurance, T15 numbers that are not finite, T19 the price of
it all, F every fault point.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from torture import zygote
from torture.suite import Result, Suite, say

PARTS = {
    "T1": "torture.saves:save_kills",
    "T3": "torture.damage:damages",
    "T19": "torture.price:price",
    "T10": "torture.twins:frozen",
    "T8": "torture.twins:twins",
    "T9": "torture.points:resume_points",
    "F": "torture.points:fault_points",
    "T4": "torture.interrupts:interrupts",
    "T4b": "torture.disk:full_disks",
    "T12": "torture.starts:starts",
    "T15": "torture.nonfinite:nonfinite",
    "T2": "torture.kills:train_kills",
    "T14": "torture.endurance:endurance",
}
"""By number, the function of each part, in the order in which they run."""
QUICK = ("T1", "T3", "T4", "T9", "T2", "T15")
"""The slice: what has no test elsewhere, in a minute of one core."""
SIZES = ("saves", "damages", "kills", "signals", "disk", "points", "twins", "starts", "epochs",
         "faults")  # fmt: skip


def main() -> int:
    """Run the parts; the exit status."""
    options = _parsed()
    folder = Path(options.folder or tempfile.mkdtemp(prefix="fmkit-torture-"))
    sizes = {name: value for name in SIZES if (value := getattr(options, name))}
    suite = Suite(folder.absolute(), options.seed, options.workers, options.quick, sizes)
    say(f"torture: seed {suite.seed}, folder {suite.folder}")
    began = time.monotonic()
    zygote.warm_up()
    say(f"imported in {time.monotonic() - began:.0f} s")
    results = [_run(suite, name) for name in options.only or (QUICK if suite.quick else PARTS)]
    controls = [caught for each in results for caught in each.controls.values()]
    words = [each.words() for each in results]
    words.append(f"controls {sum(controls)}/{len(controls)}")
    is_met = all(each.is_met for each in results)
    if is_met and not options.folder:
        shutil.rmtree(suite.folder)
    say(f"{time.monotonic() - began:.0f} s in all")
    print(f"torture: {' · '.join(words)}", flush=True)
    return 0 if is_met else 1


def _run(suite: Suite, name: str) -> Result:
    module, _, function = PARTS[name].partition(":")
    began = time.monotonic()
    try:
        result: Result = getattr(importlib.import_module(module), function)(suite)
    except Exception:  # the other parts are worth their time all the same
        result = Result(name)
        result.add(traceback.format_exc())
    result.seconds = time.monotonic() - began
    missed = [control for control, caught in result.controls.items() if not caught]
    says = f"{name}: {result.words()} in {result.seconds:.0f} s"
    say(f"{says}, controls missed: {missed}" if missed else says)
    return result


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", type=_part_names, help="parts, such as T1,T3")
    parser.add_argument("--quick", action="store_true", help="the slice that runs with the tests")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", help="an empty folder that is to stay")
    for name in SIZES:
        parser.add_argument(f"--{name}", type=int, help=f"how many {name}")
    return parser.parse_args()


def _part_names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := sorted(set(names) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
