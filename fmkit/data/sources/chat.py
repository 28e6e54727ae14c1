"""Conversations in files: a JSON object per line, a JSON list, or a parquet file with a row each.

`formats/chat_messages.py` lists the layouts of an object, `sources/json_files.py` which files are
which split. All conversations are held in memory, as the texts of a table are.
"""

from fmkit.config.schema.data import ChatData
from fmkit.data.content.texts import Conversations
from fmkit.data.examples import Examples
from fmkit.data.formats.chat_messages import messages
from fmkit.data.sources.json_files import read_examples


def list_examples(config: ChatData) -> Examples:
    """The conversations at `config.root`, in the order of files and lines (see `read_examples`)."""
    encoding, outside_links = config.encoding, config.outside_links
    return read_examples(
        config.root, "conversation", messages, Conversations, encoding, outside_links
    )
