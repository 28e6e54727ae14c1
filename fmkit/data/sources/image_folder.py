"""Photos in folders: a folder per class, or a folder per split with a folder per class inside.

`directory.py` lists the folders.
"""

from fmkit.config.schema.data import ImageFolderData, PhotosData
from fmkit.core.files import display_path
from fmkit.data.content.images import ImageFiles
from fmkit.data.examples import Examples, without_classes
from fmkit.data.images.image_file import EXTENSIONS, advice, is_photo
from fmkit.data.sources import directory, split_folders
from fmkit.data.sources.detection_layouts import refuse_detection
from fmkit.data.sources.directory import FileKind, Listing
from fmkit.data.sources.paths import existing_path, file_sizes

PHOTOS = FileKind(
    "photo",
    EXTENSIONS,
    "loose_photos",
    ((".txt", ".text", ".md"), "text_folder"),
    advice=advice,
    is_by_content=is_photo,
)


def list_examples(config: ImageFolderData) -> Examples:
    """The photos under `config.root`, each with the name of its class folder as label."""
    root = existing_path(config.root, "folder")
    refuse_detection(root)
    return _examples(directory.walk(root, PHOTOS, config.outside_links))


def list_unlabelled(config: PhotosData) -> Examples:
    """The photos under `config.root`, without classes; otherwise as `list_examples`."""
    root = existing_path(config.root, "folder")
    listing = directory.all_files(root, PHOTOS, config.outside_links)
    if not listing.ids:
        listing.report("no_photos", why=f"There is no photo below {display_path(root)}.")
    listing.splits, findings = split_folders.splits_of_unlabelled(listing.ids)
    listing.findings += findings
    examples = _examples(listing)
    return without_classes(
        examples.ids, examples.content, splits=examples.splits, findings=examples.findings
    )


def _examples(listing: Listing) -> Examples:
    images = ImageFiles(tuple(listing.paths), file_sizes(listing.paths))
    return directory.examples(listing, images)
