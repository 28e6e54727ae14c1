"""The attributes of photos in the JSON of VIA, the VGG Image Annotator: projects and exports.

    2.x    {"a.jpg9": {"filename": "a.jpg", "file_attributes": {"kind": "cat"}, "regions": [...]}},
           in a project under `_via_img_metadata`
    3.x    {"file": {...}, "view": {...}, "attribute": {...}, "metadata": {...}}

Formats: robots.ox.ac.uk/~vgg/software/via.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fmkit.data.findings import UnusableInput

_PROJECT = "_via_img_metadata"
_CONVERSION = (
    "import json, csv; d = json.load(open('FILE')); d = d.get('_via_img_metadata', d); "
    "regions = lambda r: r.values() if isinstance(r, dict) else r; "
    "csv.writer(open('labels.csv', 'w')).writerows([('path', 'label')] + [(i['filename'], "
    "'|'.join(sorted({v for r in regions(i['regions']) for v in r['region_attributes'].values() "
    "if isinstance(v, str)}))) for i in d.values()])"
)


def via_rows(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each photo with `filename` and a column for each attribute.

    An attribute with several choices is their list. There is no row where the object is not VIA's.

    Raises:
        UnusableInput: it is, and only parts of photos have attributes.
    """
    try:
        if {"file", "view", "attribute", "metadata"} <= value.keys():
            return _rows_of_3(value)
        entries = value.get(_PROJECT, value)
        photos = list(entries.values()) if isinstance(entries, dict) else []
        if not photos or not all(map(_is_photo, photos)):
            return []
        return _rows(photos)
    except (AttributeError, KeyError, TypeError) as error:
        raise UnusableInput("not_text", f"it has VIA's keys, and lacks others ({error})") from None


def _is_photo(entry: Any) -> bool:
    return isinstance(entry, dict) and {"filename", "file_attributes", "regions"} <= entry.keys()


def _rows(photos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for photo in photos for name in photo["file_attributes"]))
    if not any(map(_chosen, (v for photo in photos for v in photo["file_attributes"].values()))):
        _refuse_regions(any(photo["regions"] for photo in photos))
    return [
        {
            "filename": photo["filename"],
            **{name: _chosen(photo["file_attributes"].get(name, "")) for name in names},
        }
        for photo in photos
    ]


def _chosen(value: Any) -> Any:
    """The choices that are marked where there may be several, else the value."""
    if isinstance(value, dict):
        return [str(name) for name, is_chosen in value.items() if is_chosen is True]
    return value


def _refuse_regions(has_regions: bool) -> None:
    """Refuse a file in which no photo has an attribute."""
    why = "in VIA's JSON, no photo has an attribute (`file_attributes`)"
    if has_regions:
        why = (
            "VIA's JSON has attributes of regions alone, and fmkit does not detect objects yet. To "
            "learn which classes are in a photo, make a table of them, labels.csv, with\n"
            f'  python -c "{_CONVERSION}"\nand learn from it with task=multi_label'
        )
    raise UnusableInput("not_text", why)


def _rows_of_3(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    attributes, rows = value["attribute"], {}
    for key, view in value["view"].items():
        file = value["file"][str(view["fid_list"][0])]
        rows[str(key)] = {"filename": file["fname"], **dict.fromkeys(_names(attributes), "")}
    is_empty, has_regions = True, False
    for entry in value["metadata"].values():
        if entry.get("xy") or entry.get("z"):
            has_regions = True
            continue
        for key, choice in entry["av"].items():
            options = attributes[key].get("options") or {}
            chosen = [options.get(option, option) for option in str(choice).split(",")]
            is_many = str(attributes[key].get("type")) == "2"  # check boxes
            name = attributes[key]["aname"]
            rows[str(entry["vid"])][name] = chosen if is_many else ",".join(chosen)
            is_empty = False
    if is_empty and rows:
        _refuse_regions(has_regions)
    return list(rows.values())


def _names(attributes: Mapping[str, Any]) -> Iterator[str]:
    return (attribute["aname"] for attribute in attributes.values())
