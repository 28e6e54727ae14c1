"""Photos without labels: all below a folder, however they are put into folders.

What is ignored and which links are followed is as in `folders`; folders called `train` or `test`
are folders like any other, and the splits are made by the fractions.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from fmkit.config.data_schema import PhotosData
from fmkit.data import check, folders
from fmkit.data.examples import Examples, ImageFiles
from fmkit.data.findings import Finding
from fmkit.data.image_folder import PHOTOS
from fmkit.files import short


def list_examples(config: PhotosData) -> Examples:
    """The photos under `config.root`, without classes.

    What is wrong with the listing is in the examples' findings.

    Raises:
        DataError: the folder is missing.
    """
    root = check.existing(config.root, "folder")
    listing = folders.everything(root, PHOTOS, config.outside_links)
    if not listing.ids:
        why = f"There is no photo below {short(root)}."
        others = [each for each in listing.findings if each.kind != "empty_class"]
        listing.findings = [*others, Finding("no_photos", "", why)]
    found = folders.examples(listing, ImageFiles(tuple(listing.paths), check.sizes(listing.paths)))
    return dataclasses.replace(found, labels=np.zeros(len(found), np.int32), classes=())
