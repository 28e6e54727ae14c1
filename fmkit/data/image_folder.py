"""Photos in folders: a folder per class, or a folder per split with a folder per class inside.

How folders are listed stands in `folders`. No file is opened here.
"""

from __future__ import annotations

from fmkit.config.data_schema import ImageFolderData
from fmkit.data import check, folders
from fmkit.data.decode import EXTENSIONS
from fmkit.data.examples import Examples, ImageFiles
from fmkit.data.listing import Things
from fmkit.data.stratify import limited

PHOTOS = Things("photos", EXTENSIONS, "loose_photos", ((".txt", ".text", ".md"), "text_folder"))


def list_examples(config: ImageFolderData) -> Examples:
    """The photos under `config.root`, each with the name of its class folder as label.

    What is wrong with the listing is in the examples' findings.

    Raises:
        DataError: the folder is missing.
    """
    root = check.existing(config.root, "folder")
    listing = folders.walk(root, PHOTOS, config.outside_links)
    images = ImageFiles(tuple(listing.paths), check.sizes(listing.paths))
    examples = folders.examples(listing, images)
    return limited(examples, config.limit) if len(examples) else examples
