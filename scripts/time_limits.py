"""Does `runtime.time_limit` hold? Runs of four kinds under small limits, and how they end.

    python scripts/time_limits.py [KIND ...] [--limits SECONDS ...] [--runs N]

KIND is `all`, the default, or some of these, each with the lengths that would take far longer:

head        photos: a head on frozen EfficientNet-Lite0 at 64 px, by gradients (digits)
lp_ft       photos: the head, then everything, with a refit; EfficientNet-Lite0 at 64 px and the
            small convolutional net in turns (digits)
texts       a small BERT from random weights (the paragraphs of fmkit's guide, by page)
regression  a number for a photo: the small convolutional net on digits in a folder, from a table

Each run is a process of its own, and its time is that of the whole process, Python's start
included. A line a run: the limit, the seconds, by how much they are above it, the state of the run,
what the plan changed. At the end how many runs of each kind ended within 5 percent above their
limit. The exit status is 1 if one did not, or failed.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TOLERANCE = 0.05
_DIGITS = "data=digits data.augment=light"
_LITE0 = "model=efficientnet_lite0 model.image_size=64"
_HEAD = "stage.head.solver=gradient stage.head.epochs=3000"
KINDS = {
    "head": [f"pretrain {_DIGITS} {_LITE0} {_HEAD} stage.head.augment=light"],
    "lp_ft": [
        f"finetune {_DIGITS} {_LITE0} stage.full.epochs=200",
        f"finetune {_DIGITS} model=small_cnn stage=unfrozen stage.full.epochs=3000 data.refit=true",
    ],
    "texts": [
        "finetune data=text_table data.root={root}/texts.csv data.label_column=page "
        "model=small_bert stage=scratch stage.full.epochs=2000"
    ],
    "regression": [
        "finetune data=image_table data.root={root}/table.csv data.label_column=number "
        "task=regression model=small_cnn stage=scratch stage.full.epochs=3000"
    ],
}


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("kinds", nargs="*", default="all", choices=[*KINDS, "all"])
    parser.add_argument("--limits", type=int, nargs="+", default=[20, 40, 60])
    parser.add_argument("--runs", type=int, default=13, help="of each kind")
    options = parser.parse_args()
    kinds = list(KINDS) if "all" in options.kinds else options.kinds
    held: dict[str, list[bool]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="fmkit-limits-") as folder:
        write_digits(Path(folder))
        write_paragraphs(Path(folder) / "texts.csv")
        for number in range(options.runs):
            for kind in kinds:
                commands = KINDS[kind]
                command = commands[number % len(commands)].format(root=folder)
                limit = options.limits[number // len(commands) % len(options.limits)]
                row = run(command, limit, number, Path(folder) / "runs" / f"{kind}-{number}")
                over = row["seconds"] / limit - 1
                held[kind].append(row["state"] == "done" and over <= TOLERANCE)
                print(
                    f"{kind:<10} {limit:>4} s  took {row['seconds']:6.1f} s  {over:+7.1%}  "
                    f"{row['state']}  {row['plan']}",
                    flush=True,
                )
    for kind, results in held.items():
        print(f"{kind}: {sum(results)} of {len(results)} within {TOLERANCE:.0%}")
    return 0 if all(all(results) for results in held.values()) else 1


def write_paragraphs(path: Path) -> None:
    """A table of the guide's paragraphs, with the page that each is of."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "page"])
        for page in sorted((Path(__file__).parents[1] / "fmkit" / "guide").glob("*.md")):
            paragraphs = map(str.split, page.read_text(encoding="utf-8").split("\n\n"))
            texts = dict.fromkeys(" ".join(words) for words in paragraphs if len(words) > 7)
            if len(texts) > 9:
                writer.writerows([text, page.stem] for text in texts)


def write_digits(folder: Path) -> None:
    """The digits as photos, and a table that has the number on each."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    (folder / "photos").mkdir()
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "number"])
        for position, (pixels, target) in enumerate(zip(digits.images, digits.target, strict=True)):
            path = folder / "photos" / f"{position:04d}.png"
            image = Image.fromarray((pixels * 15.9).astype("uint8"))
            image.resize((32, 32), Image.Resampling.NEAREST).save(path)
            writer.writerow([path.relative_to(folder), target])


def run(command: str, limit: int, seed: int, runs_dir: Path) -> dict[str, Any]:
    """One process: its seconds, the state of its run, and the changes of lengths."""
    words = [*command.split(), f"runtime.time_limit={limit} s", f"runtime.seed={seed}"]
    words += [f"runs_dir={runs_dir}", "runtime.verbose=false", "--json"]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "fmkit", *words], capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    try:
        result = json.loads(done.stdout)
    except ValueError:
        result = {"error": {"message": done.stderr}}
    changes = (result.get("time_limit") or {}).get("changes") or []
    plan = [f"{change['phase']} {change['before']}->{change['after']}" for change in changes]
    if error := result.get("error"):
        plan.append(error["message"].splitlines()[0][:160])
    return {"seconds": seconds, "state": result.get("state", "error"), "plan": ", ".join(plan)}


if __name__ == "__main__":
    sys.exit(main())
