"""Corpora of broken and hostile input, and what must be told about each."""
