"""Conversations in files: a JSON object per line, a JSON list, or a parquet file with a row each.

`formats/chat_messages.py` lists the layouts of an object, `sources/json_files.py` which files are
which split. All conversations are held in memory, as the texts of a table are.
"""

from __future__ import annotations

from fmkit.config.schema.data import ChatData
from fmkit.data.content.texts import Conversations
from fmkit.data.examples import Examples, without_classes
from fmkit.data.formats import chat_messages
from fmkit.data.sources.json_files import read_records


def list_examples(config: ChatData) -> Examples:
    """The conversations at `config.root`, in the order of files and lines.

    Problems of single ones are in the examples' findings.

    Raises:
        DataError: there is nothing to read, or some files name a split and others do not.
    """
    parsed = read_records(
        config.root, "conversation", chat_messages.messages, config.encoding, config.outside_links
    )
    return without_classes(
        parsed.ids,
        Conversations(tuple(parsed.values)),
        splits=parsed.split_column(),
        findings=parsed.findings,
    )
