"""The version of fmkit, for records of runs; `fmkit.__version__` is the same for users."""

VERSION = "0.7.0"
