"""`python -m fmkit` is the command line."""

import sys

from fmkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
