"""Where arrays that a run may compute again are cached."""

from __future__ import annotations

from pathlib import Path

from fmkit.config import units
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.store import array_cache
from fmkit.store.array_cache import FeatureStore


def open_store(runtime: RuntimeConfig) -> FeatureStore:
    """The store of `runtime.cache_dir`, or of the user's cache folder."""
    root = Path(runtime.cache_dir) if runtime.cache_dir else array_cache.default_folder()
    return FeatureStore(root, units.parse_bytes(runtime.cache_limit, units.LIMIT))
