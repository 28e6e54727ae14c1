"""The classes of photos in COCO's format: images, annotations and categories in one object.

Source: cocodataset.org/#format-data
"""

from collections.abc import Mapping
from typing import Any

from fmkit.data.findings import UnusableInput

_CONVERSION = (
    "import json, csv; d = json.load(open('FILE')); "
    "names = {c['id']: c['name'] for c in d['categories']}; "
    "sets = {i['id']: set() for i in d['images']}; "
    "[sets[a['image_id']].add(names[a['category_id']]) for a in d['annotations']]; "
    "csv.writer(open('labels.csv', 'w')).writerows([('path', 'label')] + "
    "[(i['file_name'], '|'.join(sorted(sets[i['id']]))) for i in d['images']])"
)


def coco_rows(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each photo with `file_name` and `label`, a list where photos have several.

    There is none where the object is not in COCO's format.

    Raises:
        UnusableInput: it is, and has boxes, masks or captions instead of classes.
    """
    try:
        return _rows(value)
    except TypeError:
        raise UnusableInput("not_text", "it has COCO's keys, and ids that are lists") from None


def _rows(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    images, annotations = value.get("images"), value.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        return []
    if not all(isinstance(entry, dict) for entry in (*images, *annotations)):
        return []
    if not images or any("file_name" not in image for image in images):
        return []
    if any("caption" in annotation for annotation in annotations):
        raise UnusableInput(
            "not_text", "it has COCO's captions of photos, and fmkit learns classes of photos"
        )
    sizes = {image.get("id"): (image.get("width"), image.get("height")) for image in images}
    if any(_is_part(annotation, sizes) for annotation in annotations):
        raise UnusableInput(
            "not_text",
            "it has COCO's boxes or masks, and fmkit does not detect objects yet. To learn which "
            "classes are in a photo, make a table of them, labels.csv, with\n"
            f'  python -c "{_CONVERSION}"\nand learn from it with task=multi_label',
        )
    categories = value.get("categories")
    names = {
        category.get("id"): category.get("name")
        for category in (categories if isinstance(categories, list) else [])
        if isinstance(category, dict)
    }
    labels: dict[Any, list[str]] = {}
    for annotation in annotations:
        name = str(names.get(annotation.get("category_id"), annotation.get("category_id", "")))
        of_image = labels.setdefault(annotation.get("image_id"), [])
        of_image += [name] if name not in of_image else []
    are_sets = any(len(of_image) > 1 for of_image in labels.values())
    rows = []
    for image in images:
        of_image = labels.get(image.get("id"), [])
        label = of_image if are_sets else "".join(of_image)
        rows.append({"file_name": image["file_name"], "label": label})
    return rows


def _is_part(annotation: Mapping[str, Any], sizes: Mapping[Any, tuple[Any, Any]]) -> bool:
    """Whether an annotation is of a part of its photo, rather than of all of it."""
    box = annotation.get("bbox")
    width, height = sizes.get(annotation.get("image_id"), (None, None))
    is_whole = isinstance(box, list) and box[2:] == [width, height]
    has_box = isinstance(box, list) and any(box)
    return (has_box or bool(annotation.get("segmentation"))) and not is_whole
