"""Where arrays that a run may compute again are cached."""

from fmkit.config import units
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.store import array_cache
from fmkit.store.array_cache import ArrayCache


def open_store(runtime: RuntimeConfig) -> ArrayCache:
    """The store of `runtime.cache_dir`, or of the user's cache folder."""
    root = array_cache.cache_folder(runtime.cache_dir)
    return ArrayCache(root, units.parse_bytes(runtime.cache_limit, units.LIMIT))
