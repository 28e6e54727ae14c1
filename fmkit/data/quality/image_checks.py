"""Quality checks of images: every file decoded once, near duplicates, formats and pixel modes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fmkit.config.schema.data import DataConfig, ImageData
from fmkit.core.errors import join_names
from fmkit.data.content.images import ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.quality.content_scan import ContentScan, ProgressCallback
from fmkit.data.quality.duplicates import DuplicateGroups
from fmkit.data.quality.image_probe import extension_mismatch
from fmkit.data.quality.image_scan import ImageScan, scan
from fmkit.data.quality.near_duplicates import exact_duplicates, near_duplicates
from fmkit.data.quality.scan_cache import ScanCache

_PLAIN_MODES = ("RGB", "L")


def check(
    examples: Examples,
    config: DataConfig,
    cache_folder: Path | None,
    progress: ProgressCallback | None,
) -> ContentScan:
    """Read every image file; images in memory are known to be whole. See `scan_content`."""
    images = examples.content
    if not isinstance(images, ImageFiles):
        return ContentScan()
    # The config of a plugin's source need not have the key.
    max_pixels = getattr(config, "max_pixels", ImageData.max_pixels)
    cache = ScanCache(cache_folder)
    try:
        scanned = scan(images.paths, max_pixels, cache, progress=progress)
        duplicates = _duplicates(images, scanned, cache)
    finally:
        cache.close()
    return ContentScan(
        _findings(examples.ids, images, scanned),
        duplicates,
        {"width": scanned.widths, "height": scanned.heights},
        {
            "files_read": scanned.files_read,
            "seconds": round(scanned.seconds, 3),
            "formats": scanned.count_names(scanned.formats),
            "modes": scanned.count_names(scanned.modes),
        },
    )


def _duplicates(images: ImageFiles, scanned: ImageScan, cache: ScanCache) -> DuplicateGroups:
    """Exact and near duplicates among the files that can be read."""
    usable = scanned.usable()
    digests, paths = scanned.digests[usable], [images.paths[index] for index in usable]
    near = near_duplicates(
        digests,
        scanned.thumbnails[usable],
        lambda positions: cache.thumbnails([paths[position] for position in positions]),
    )
    return DuplicateGroups(exact_duplicates(digests), near).renumber(usable)


def _findings(ids: Sequence[str], images: ImageFiles, scanned: ImageScan) -> list[Finding]:
    """What the scan found, a finding a file, and one for all modes that are converted."""
    findings = [
        Finding(kind, ids[index], why, (ids[index],), images.paths[index])
        for index, (kind, why) in sorted(scanned.faults.items())
    ]
    for kind, positions in (("animated", scanned.animated), ("blank", scanned.blank)):
        findings += [Finding(kind, ids[index], "", (ids[index],)) for index in positions]
    for index, image_format in enumerate(scanned.formats):
        why = extension_mismatch(images.paths[index], image_format) if image_format else ""
        if why:
            findings.append(Finding("wrong_extension", ids[index], why, (ids[index],)))
    modes = scanned.count_names(scanned.modes)
    converted = {mode: count for mode, count in modes.items() if mode not in _PLAIN_MODES}
    if converted:
        counts = join_names([f"{count} {mode}" for mode, count in converted.items()])
        total = sum(converted.values())
        why = f"{counts} {'photo becomes' if total == 1 else 'photos become'} 8-bit RGB."
        findings.append(Finding("converted", "", why, count=total))
    return findings
