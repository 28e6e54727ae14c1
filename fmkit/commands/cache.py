"""`fmkit cache`: what the feature cache holds, and how to empty it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path

from fmkit.commands.runs import Rows
from fmkit.core import console
from fmkit.core.errors import ConfigError, ResourceError, received
from fmkit.store import array_cache
from fmkit.store.array_cache import Entry, FeatureStore

OPTIONS = {
    "cache_dir": ("", "The cache's folder; empty means `$XDG_CACHE_HOME/fmkit` or ~/.cache/fmkit."),
}
"""Keys of `fmkit cache`, each with its default and its meaning."""

_VERBS = ("list", "clear")


def command(arguments: Sequence[str]) -> int:
    """Run `fmkit cache [list | clear [KEY ...]] [cache_dir=DIR]`.

    Raises:
        ConfigError: no such verb, option or entry.
    """
    options = dict(each.split("=", 1) for each in arguments if "=" in each)
    words = [each for each in arguments if "=" not in each]
    wrong = [each for each in options if each not in OPTIONS]
    if wrong:
        raise ConfigError(received("fmkit cache", wrong[0], list(OPTIONS)))
    verb = words.pop(0) if words else "list"
    if verb not in _VERBS:
        raise ConfigError(received("fmkit cache", verb, _VERBS))
    if verb == "list" and words:
        raise ConfigError(received("fmkit cache list", " ".join(words), "nothing after it"))
    chosen = options.get("cache_dir")
    root = Path(chosen).expanduser() if chosen else array_cache.default_folder()
    store = FeatureStore(root, limit_bytes=0)
    try:
        return _list(store) if verb == "list" else _clear(store, words)
    except OSError as error:
        raise ResourceError(f"the cache {store.folder} cannot be used: {error}.") from error


def _list(store: FeatureStore) -> int:
    entries = store.entries()
    if not entries:
        console.info(f"There is nothing in {store.folder} yet.")
        return 0
    total = sum(each.bytes for each in entries) / 2**20
    columns = ("key", "model", "data", "split", "rows", "features", "MiB", "last used", "engine")
    title = f"{store.folder}: {len(entries)} entries, {total:.1f} MiB"
    console.stdout.print(Rows(title, columns, [_row(each) for each in entries]))
    return 0


def _row(entry: Entry) -> tuple[str, ...]:
    made = entry.made
    return (
        entry.key[:12],
        str(made.get("model", "?")),
        str(made.get("data", "?")),
        str(made.get("split", "?")),
        str(entry.rows),
        " + ".join("x".join(str(side) for side in shape) for shape in entry.shapes),
        f"{entry.bytes / 2**20:.1f}",
        datetime.datetime.fromtimestamp(entry.used).isoformat(" ", "minutes"),
        str(made.get("engine", "?")),
    )


def _clear(store: FeatureStore, words: Sequence[str]) -> int:
    keys = None
    if words:
        known = [each.key for each in store.entries()]
        keys = [key for word in words for key in _matching(word, known)]
    removed, in_use = store.clear(keys)
    if keys is None:
        array_cache.forget_scans(store.folder.parent)
    console.stdout.print(
        f"{removed} entries removed from {console.escape_markup(str(store.folder))}"
    )
    if in_use:
        console.warning(f"{in_use} entries are in use by a run and were kept.")
    return 0


def _matching(word: str, known: Sequence[str]) -> list[str]:
    found = [key for key in known if re.fullmatch(r"[0-9a-f]{4,}", word) and key.startswith(word)]
    if not found:
        shown = [key[:12] for key in known]
        raise ConfigError(received("fmkit cache clear", word, shown or "a key; there is none"))
    return found
