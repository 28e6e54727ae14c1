"""Run the corpora of hostile inputs and print how many of each ended in the right error.

    python scripts/hostile.py            # all parts
    python scripts/hostile.py targets    # one of them

A part is a function in tests/hostile/ that takes nothing and returns (passed, total), or those and
a list of what went wrong, which is printed ahead of the line.
"""

import argparse
import importlib
import sys
from pathlib import Path

PARTS = {
    "configs": "hostile.configs:broken",
    "hints": "hostile.configs:hinted",
    "fuzz": "hostile.fuzz:run",
    "targets": "hostile.targets:refused",
    "images": "hostile.images:run",
    "tables": "hostile.tables:run",
    "artifacts": "hostile.artifacts:run",
}
"""The function of each part, by its name in the line."""


def main(words: list[str]) -> int:
    """Run parts; 1 where an input did not end in the right error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    names = parser.parse_args(words).parts or list(PARTS)
    if unknown := sorted(set(names) - set(PARTS)):
        parser.error(f"unknown parts: {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    counts, all_passed = [], True
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        module, _, function = PARTS[name].partition(":")
        passed, total, *rest = getattr(importlib.import_module(module), function)()
        for fault in rest[0] if rest else ():
            print(f"{name}: {fault}", file=sys.stderr)
        counts.append(f"{name} {passed}/{total}")
        all_passed = all_passed and passed == total
    print(f"hostile: {' · '.join(counts)}")
    return 0 if all_passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
