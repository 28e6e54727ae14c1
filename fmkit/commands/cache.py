"""`fmkit cache`: list and clear cached backbone features, and clear photos out of parquet files."""

import datetime
import re
from collections.abc import Sequence
from typing import Any

from fmkit.commands.options import parse_words
from fmkit.commands.output import json_output
from fmkit.commands.output.run_tables import Rows
from fmkit.core import console, files
from fmkit.core.errors import ConfigError, ResourceError, plural, received
from fmkit.store import array_cache
from fmkit.store.array_cache import ArrayCache, Entry

OPTIONS = {
    "cache_dir": ("", "The cache's folder; empty means `$XDG_CACHE_HOME/fmkit` or ~/.cache/fmkit."),
}
"""Keys of `fmkit cache`, each with its default and its meaning."""

_VERBS = ("list", "clear")
_COLUMNS = ("key", "model", "data", "split", "rows", "features", "MiB", "last used", "engine")


def cache(arguments: Sequence[str]) -> None:
    """Run `fmkit cache [list | clear [KEY ...]] [cache_dir=DIR]`.

    Raises:
        ConfigError: no such verb, option or entry.
        ResourceError: the cache's folder cannot be used.
    """
    words, options = parse_words("fmkit cache", arguments, OPTIONS)
    verb = words.pop(0) if words else "list"
    if verb not in _VERBS:
        raise ConfigError(received("fmkit cache", verb, _VERBS))
    if verb == "list" and words:
        raise ConfigError(received("fmkit cache list", " ".join(words), "nothing after it"))
    root = array_cache.cache_folder(options.get("cache_dir"))
    store = ArrayCache(root, limit_bytes=0)  # nothing is written, so no limit matters
    try:
        entries = store.entries()
        if verb == "clear":
            _clear(store, entries, words)
        else:
            content = {"folder": store.folder, "entries": [_object(entry) for entry in entries]}
            json_output.show("cache", content, lambda: _print(store, entries))
    except OSError as error:
        raise ResourceError(f"the cache {store.folder} cannot be used: {error}.") from error


def _print(store: ArrayCache, entries: Sequence[Entry]) -> None:
    if not entries:
        console.info(f"The cache {store.folder} is empty.")
        return
    total = sum(entry.bytes for entry in entries) / 2**20
    title = f"{store.folder}: {plural(len(entries), 'entry', 'entries')}, {total:.1f} MiB"
    console.stdout.print(Rows(title, _COLUMNS, [_row(entry) for entry in entries]))


def _object(entry: Entry) -> dict[str, Any]:
    used = datetime.datetime.fromtimestamp(entry.used).astimezone()
    keys = ("key", "folder", "rows", "shapes", "dtype", "bytes", "provenance")
    values = {key: getattr(entry, key) for key in keys}
    return {**values, "used": used.replace(microsecond=0)}


def _row(entry: Entry) -> tuple[str, ...]:
    made = {key: str(entry.provenance.get(key, "?")) for key in _COLUMNS}
    shapes = " + ".join("x".join(map(str, shape)) for shape in entry.shapes)
    used = datetime.datetime.fromtimestamp(entry.used).isoformat(" ", "minutes")
    return (
        *(entry.key[:12], made["model"], made["data"], made["split"], str(entry.rows), shapes),
        *(f"{entry.bytes / 2**20:.1f}", used, made["engine"]),
    )


def _clear(store: ArrayCache, entries: Sequence[Entry], words: Sequence[str]) -> None:
    """Remove all entries, or those whose keys begin with one of the words."""
    keys: list[str] = []
    for word in words:
        is_hexadecimal = re.fullmatch(r"[0-9a-f]{4,}", word)
        matches = [entry.key for entry in entries if is_hexadecimal and entry.key.startswith(word)]
        if not matches:
            allowed = [entry.key[:12] for entry in entries] or "a key; there is none"
            raise ConfigError(received("fmkit cache clear", word, allowed))
        keys += matches
    removed, in_use = store.clear(keys if words else None)
    photos = size = photos_in_use = 0
    if not words:
        array_cache.clear_scans(store.folder.parent)
        photos, size, photos_in_use = array_cache.clear_photos(store.folder.parent)
    folder, count = console.escape_markup(str(store.folder)), plural(removed, "entry", "entries")

    def view() -> None:
        console.stdout.print(f"{count} removed from {folder}")
        if photos:
            of = f"the photos of {plural(photos, 'parquet column')}, {files.format_bytes(size)}"
            console.stdout.print(f"{of}, removed from {folder.removesuffix('features')}photos")

    json_output.show(
        "cache_cleared",
        {
            "folder": store.folder, "removed": removed, "in_use": in_use,
            "photos": {"removed": photos, "bytes": size, "in_use": photos_in_use},
        },
        view,
    )  # fmt: skip
    if photos_in_use:
        count = plural(photos_in_use, "parquet column is", "parquet columns are")
        console.warning(f"the photos of {count} in use, not removed.")
    if in_use:
        count = plural(in_use, "entry is", "entries are")
        console.warning(f"{count} in use by a run, not removed.")
