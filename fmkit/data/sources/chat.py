"""Conversations in files of records: JSON lines, a JSON list, or a table with a row each.

`formats/chat_messages.py` lists the layouts of an object, `sources/json_files.py` which files are
which split. All conversations are held in memory, as the texts of a table are.
"""

import dataclasses
from collections import Counter
from typing import Any

from fmkit.config.schema.data import ChatData
from fmkit.core.errors import plural
from fmkit.data.content.texts import Conversations, Messages
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats.chat_messages import messages, unread_keys
from fmkit.data.sources.json_files import read_examples


def list_examples(config: ChatData) -> Examples:
    """The conversations at `config.root`, in the order of files and lines (see `read_examples`)."""
    unread: Counter[str] = Counter()

    def parse(row: Any) -> Messages:
        turns = messages(row)
        unread.update(unread_keys(row))
        return turns

    encoding, outside_links = config.encoding, config.outside_links
    examples = read_examples(
        config.root, "conversation", parse, Conversations, encoding, outside_links, config.sheet
    )
    warnings = [
        Finding("unread_key", repr(key), plural(count, "conversation"), count=count)
        for key, count in sorted(unread.items())
    ]
    return dataclasses.replace(examples, findings=(*examples.findings, *warnings))
