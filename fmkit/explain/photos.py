"""Explanations of photos: a heat map for each, as a picture and as figures.

N photos, B batch, S their side, h w cells of a map, K outputs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fmkit.core import registry
from fmkit.evaluation.new_inputs import decode_photos
from fmkit.evaluation.progress import Progress
from fmkit.explain import maps, pictures
from fmkit.explain.answers import answers_in_words, output_names
from fmkit.explain.maps import Settings
from fmkit.explain.methods import Request, Result
from fmkit.explain.network import Network

_COLUMNS = {"id": "image", "prediction": "predicted", "value": "value", "truth": "true",
            "target": "explained", "picture": "picture"}  # fmt: skip


def explain(request: Request) -> Result:
    """Heat maps of photos by one of the methods that give them, drawn into the folder."""
    config, trained = request.config, request.trained
    network = Network.of_run(trained, config.layer, config.batch_size)
    errors = list(request.inputs.errors)
    rows: list[dict[str, Any]] = [{"id": name} for name in request.ids]
    with Progress("explain", "images", len(rows), verbose=config.runtime.verbose) as progress:
        size = min(config.batch_size, len(rows))
        for numbers, images in decode_photos(trained, request.inputs, errors, size):
            if numbers:
                _explain_batch(request, network, numbers, images[: len(numbers)], rows)
            progress.advance(len(images))
    for row, error in zip(rows, errors, strict=True):
        if error:
            row["error"] = error
    has_truths = bool(request.truths)
    columns = {key: title for key, title in _COLUMNS.items() if has_truths or key != "truth"}
    return Result(rows, columns)


def _explain_batch(
    request: Request, network: Network, numbers: Sequence[int], images: np.ndarray,
    rows: list[dict[str, Any]],
) -> None:  # fmt: skip
    """Fill the rows of some photos (B, S, S, 3) uint8, and draw their pictures."""
    method = request.entry
    outputs = network.outputs(images)
    targets = network.predicted(outputs)
    if request.target is not None:
        targets = np.full(len(images), request.target)
    made = registry.load(method.compute)(network, images, targets, Settings())
    names = output_names(request.trained)
    answers = answers_in_words(request.trained, outputs)
    values = network.shown(outputs, targets)
    digits = len(str(len(rows)))
    for at, number in enumerate(numbers):
        target = names[targets[at]]
        row = rows[number]
        row |= {"prediction": answers[at], "target": target, "value": float(values[at])}
        row |= {name: float(column[at]) for name, column in made.figures.items()}
        if request.truths:
            row["truth"] = request.truths[number]
        row["map"] = np.round(maps.relative(made.values[at]).astype(np.float64), 4).tolist()
        if request.folder is None:
            continue
        row["picture"] = f"{number + 1:0{digits}}.png"
        truth = request.truths[number] if request.truths else ""
        about = f"{method.title}: {method.shows.format(target)}"
        pictures.draw(
            request.folder / row["picture"], images[at], made.values[at], request.ids[number],
            f"{answers[at]}{_shown(network, outputs[at], answers[at], names)}", truth, about,
        )  # fmt: skip


def _shown(network: Network, outputs: np.ndarray, answer: str, names: Sequence[str]) -> str:
    """The probability of the answer, where it is one class."""
    if network.kind != "classes" or answer not in names:
        return ""
    position = np.array([list(names).index(answer)])
    return f", {100 * network.shown(outputs[None], position)[0]:.1f}%"
