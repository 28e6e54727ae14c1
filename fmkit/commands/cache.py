"""`fmkit cache`: list and clear cached backbone features."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from fmkit.commands import launch
from fmkit.commands.runs import Rows
from fmkit.core import console
from fmkit.core.errors import ConfigError, ResourceError, plural, received
from fmkit.store import array_cache
from fmkit.store.array_cache import ArrayCache, Entry

OPTIONS = {
    "cache_dir": ("", "The cache's folder; empty means `$XDG_CACHE_HOME/fmkit` or ~/.cache/fmkit."),
}
"""Keys of `fmkit cache`, each with its default and its meaning."""

_VERBS = ("list", "clear")


def cache(arguments: Sequence[str]) -> None:
    """Run `fmkit cache [list | clear [KEY ...]] [cache_dir=DIR]`.

    Raises:
        ConfigError: no such verb, option or entry.
        ResourceError: the cache's folder cannot be used.
    """
    words, options = launch.parse_words("fmkit cache", arguments, OPTIONS)
    verb = words.pop(0) if words else "list"
    if verb not in _VERBS:
        raise ConfigError(received("fmkit cache", verb, _VERBS))
    if verb == "list" and words:
        raise ConfigError(received("fmkit cache list", " ".join(words), "nothing after it"))
    cache_dir = options.get("cache_dir")
    root = array_cache.cache_folder(cache_dir)
    store = ArrayCache(root, limit_bytes=0)  # nothing is written, so no limit matters
    try:
        if verb == "list":
            _list(store)
        else:
            _clear(store, words)
    except OSError as error:
        raise ResourceError(f"the cache {store.folder} cannot be used: {error}.") from error


def _list(store: ArrayCache) -> None:
    entries = store.entries()
    if not entries:
        console.info(f"The cache {store.folder} is empty.")
        return
    total = sum(entry.bytes for entry in entries) / 2**20
    columns = ("key", "model", "data", "split", "rows", "features", "MiB", "last used", "engine")
    count = plural(len(entries), "entry", "entries")
    title = f"{store.folder}: {count}, {total:.1f} MiB"
    console.stdout.print(Rows(title, columns, [_row(entry) for entry in entries]))


def _row(entry: Entry) -> tuple[str, ...]:
    made = entry.provenance
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


def _clear(store: ArrayCache, words: Sequence[str]) -> None:
    keys = None
    if words:
        all_keys = [entry.key for entry in store.entries()]
        keys = [key for word in words for key in _matching(word, all_keys)]
    removed, in_use = store.clear(keys)
    if keys is None:
        array_cache.clear_scans(store.folder.parent)
    folder, count = console.escape_markup(str(store.folder)), plural(removed, "entry", "entries")
    console.stdout.print(f"{count} removed from {folder}")
    if in_use:
        count = plural(in_use, "entry is", "entries are")
        console.warning(f"{count} in use by a run, not removed.")


def _matching(word: str, keys: Sequence[str]) -> list[str]:
    """The keys that begin with a word.

    Raises:
        ConfigError: none does.
    """
    is_hexadecimal = re.fullmatch(r"[0-9a-f]{4,}", word)
    matches = [key for key in keys if is_hexadecimal and key.startswith(word)]
    if not matches:
        shown = [key[:12] for key in keys]
        raise ConfigError(received("fmkit cache clear", word, shown or "a key; there is none"))
    return matches
