"""Which arrays of a `.npz` file are the images, and which the labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.core.errors import DataError, join_names
from fmkit.core.files import display_path
from fmkit.core.npz import open_npz
from fmkit.core.safe_io import UnsafeContent
from fmkit.data.recognition.result import Recognised, Request, recognised
from fmkit.data.sources import npz


def recognise_arrays(request: Request, path: Path) -> Recognised:
    """The arrays of images and of labels in a file, by their names and shapes.

    Raises:
        DataError: it cannot be read, or it cannot be told which arrays these are.
    """
    try:
        with open_npz(path) as reader:
            headers = {name: reader.header(name) for name in reader.members}
    except (UnsafeContent, OSError, ValueError) as error:
        raise DataError(f"{display_path(path)} cannot be read: {error}.") from None
    keys = {str(request.chosen.get(key)) for key in ("image_key", "label_key")}
    splits = [] if keys & headers.keys() else _merge_splits(headers)
    images = [name for name, header in headers.items() if len(header.shape) > 2]
    chosen = request.chosen.get("image_key")
    image = chosen if chosen in headers else _preferred(images, ("images", "x_train", "x"))
    if image is None:
        listed = join_names([f"{name} {header.shape}" for name, header in headers.items()])
        if images:
            raise DataError(
                f"{display_path(path)} has {len(images)} arrays that may be the images: {listed}.",
                f"Say which it is: {request.line} data.image_key={images[0]} data.label_key=NAME",
            )
        raise DataError(
            f"{display_path(path)} has no array of images, (N, H, W) or (N, H, W, channels); it "
            f"has {listed}."
        )
    count = headers[image].shape[0]
    others = {
        name: header
        for name, header in headers.items()
        if name != image and header.shape[:1] == (count,) and len(header.shape) < 3
    }
    chosen = request.chosen.get("label_key")
    label = chosen if chosen in others else _preferred([*others], ("labels", "y_train", "y"))
    if label is None:
        raise DataError(
            f"{display_path(path)} has no array of {count:,} labels beside {image}.",
            f"Say which it is: {request.line} data.label_key=NAME",
        )
    unread = [name for name in headers if name not in (image, label)]
    reason = "arrays of images and labels"
    reason += f" for each split ({join_names(splits)})" if splits else ""
    reason += f" ({join_names(unread, 4)} not read)" if unread else ""
    result = recognised("arrays", path, reason, image_key=image, label_key=label)
    shape, kind = others[str(label)].shape, others[str(label)].dtype.kind
    task = "regression" if kind == "f" else "multi_label" if shape[1:] not in ((), (1,)) else ""
    if task and len(shape) == 2 and _is_one_hot(path, str(label)):
        task = ""
    result.settings |= {"task": task} if task else {}
    return result


def _merge_splits(headers: dict[str, Any]) -> list[str]:
    """Replace arrays of splits, such as `train_images`, by one, `images`; returns the splits."""
    result: dict[str, None] = {}
    for name in [*headers]:
        key = name.removeprefix(f"{npz.SPLITS[0]}_").removesuffix(f"_{npz.SPLITS[0]}")
        if key != name and (parts := npz.split_arrays(key, headers)):
            headers[key] = headers[name]
            result |= dict.fromkeys(parts)
            for part in parts.values():
                del headers[part]
    return [*result]


def _is_one_hot(path: Path, label: str) -> bool:
    with open_npz(path) as reader:
        parts = npz.split_arrays(label, reader.members).values()
        return all(npz.is_one_hot(reader.read(name)) for name in [*parts] or [label])


def _preferred(names: Sequence[str], words: Sequence[str]) -> str | None:
    """A name that is usual, else the only one."""
    usual = [name for word in words for name in names if name.lower() == word]
    usual += [name for name in names if name.lower().startswith(words[0].rstrip("s"))]
    return usual[0] if usual else names[0] if len(names) == 1 else None
