"""Counterfactual changes of photos: the fewest segments that, out of focus, turn the answer.

N sets of segments, S side of a photo.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fmkit.core.errors import plural
from fmkit.evaluation.new_inputs import decode_photos
from fmkit.evaluation.progress import Progress
from fmkit.explain import photo_segments, picture_sheet
from fmkit.explain.answers import Answers
from fmkit.explain.counterfactual import smallest_change
from fmkit.explain.methods import Request, Result
from fmkit.explain.network import Network
from fmkit.explain.smallest_change import Parts

SEGMENTS = 12
"""Most segments of a photo that are blurred to turn an answer."""
_TINT = (255, 140, 0)  # of these segments in a picture


def explain(request: Request) -> Result:
    """The fewest segments of each photo without which the answer is another one, drawn."""
    config, errors = request.config, list(request.inputs.errors)
    network = Network.of_run(request.trained, None, config.batch_size)
    answers = Answers.of_run(request.trained)
    rows: list[dict[str, Any]] = [{"id": name} for name in request.ids]
    with Progress("explain", "images", len(rows), verbose=config.runtime.verbose) as progress:
        batches = decode_photos(
            request.trained, request.inputs, errors, min(config.batch_size, len(rows))
        )
        for numbers, images in batches:
            for number, photo in zip(numbers, images, strict=False):
                rows[number] |= _explain_photo(request, answers, network, number, photo)
                progress.advance(1)
    for row, error in zip(rows, errors, strict=True):
        row |= {"error": error} if error else {}
    columns = request.columns("image", change="smallest change", picture="picture")
    return Result(rows, columns)


def _explain_photo(
    request: Request, answers: Answers, network: Network, number: int, photo: np.ndarray
) -> dict[str, Any]:
    """The row of a photo (S, S, 3) uint8; its picture is drawn."""
    labels, replacement = photo_segments.segments(photo), photo_segments.blurred(photo)
    count = int(labels.max()) + 1

    def changed(parts: Parts) -> np.ndarray:
        return photo_segments.without(photo, replacement, labels, parts)

    def outputs(sets: Sequence[Parts]) -> np.ndarray:
        return network.outputs(np.stack([changed(parts) for parts in sets]))

    change, row = smallest_change(answers, outputs, count, SEGMENTS, request.target)
    parts = frozenset(change.parts)
    row |= request.truth(number)
    row |= {"segments": count, "removed": sorted(parts),
            "removed_share": float(np.isin(labels, sorted(parts)).mean())}  # fmt: skip
    row["change"] = f"no change of up to {plural(SEGMENTS, 'segment')} turned it"
    if row["turned"]:
        share = f"{100 * row['removed_share']:.0f}%"
        row["change"] = f"{plural(len(parts), 'segment')} ({share}) blurred: {row['becomes']}"
    if request.folder is not None:
        row["picture"] = request.picture_name(number)
        _draw(request.folder / row["picture"], photo, changed(parts), labels, row, request, number)
    return row


def _draw(
    path: Path, photo: np.ndarray, changed: np.ndarray, labels: np.ndarray, row: dict[str, Any],
    request: Request, number: int,
) -> None:  # fmt: skip
    """The photo, the segments by themselves, and the photo with them out of focus."""
    gone = np.isin(labels, row["removed"])[..., None]
    tinted = 0.45 * photo + 0.55 * np.array(_TINT)
    needed = np.where(gone, tinted, 0.6 * photo + 80).astype(np.uint8)
    lines = [f"{row['prediction']}: {100 * row['value']:.1f}%", request.ids[number]]
    if "truth" in row:
        lines.insert(1, f"true {row['truth']}")
    becomes = f"{row['becomes']} ({row['target']}: {100 * row['value_after']:.1f}%)"
    heading = "without these segments the answer turns" if row["turned"] else "nothing turned it"
    pictures = [(Image.fromarray(needed), ["what is needed" if row["turned"] else "tried last"]),
                (Image.fromarray(changed), [becomes])]  # fmt: skip
    picture_sheet.draw(path, (Image.fromarray(photo), lines), [(heading, pictures)])
