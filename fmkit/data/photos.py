"""Photos without labels: all below a folder, however they are put into folders.

What is ignored and which links are followed is as in `image_folder`; folders called `train` or
`test` are folders like any other, and the splits are made by the fractions.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from fmkit.config.schema import PhotosData
from fmkit.data import check, image_folder
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.files import short


def list_examples(config: PhotosData) -> Examples:
    """The photos under `config.root`, without classes.

    What is wrong with the listing is in the examples' findings.

    Raises:
        DataError: the folder is missing.
    """
    root = check.existing(config.root, "folder")
    listing = image_folder._Listing(root, config.outside_links)
    for real, _, _ in os.walk(root):  # real folders keep their place; links may only add others
        status = Path(real).stat()
        listing.seen[status.st_dev, status.st_ino] = real
    image_folder._list_class(listing, root, split="")
    if not listing.ids:
        why = f"There is no photo below {short(root)}."
        others = [each for each in listing.findings if each.kind != "empty_class"]
        listing.findings = [*others, Finding("no_photos", "", why)]
    found = image_folder._examples(listing, named=False, config=config)
    return dataclasses.replace(found, labels=np.zeros(len(found), np.int32), classes=())
