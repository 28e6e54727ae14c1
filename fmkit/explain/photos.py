"""Explanations of photos: a heat map for each, as a picture and as figures.

N photos, B batch, S their side, h w cells of a map, K outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmkit.core import registry
from fmkit.evaluation.new_inputs import decode_photos
from fmkit.evaluation.progress import Progress
from fmkit.explain import deletion_insertion, maps, pictures, randomised_weights
from fmkit.explain.answers import answers_in_words, output_names
from fmkit.explain.check_sentences import sentences
from fmkit.explain.maps import Settings
from fmkit.explain.methods import Request, Result
from fmkit.explain.network import Network

_COLUMNS = {"id": "image", "prediction": "predicted", "value": "value", "truth": "true",
            "target": "explained", "picture": "picture"}  # fmt: skip

_CHECKED = 64
"""Photos that a check is made of, at most."""
_ANY_TARGET = "The maps are the same for every target: they show where the model looks, not why."


def explain(request: Request) -> Result:
    """Heat maps of photos by one of the methods that give them, drawn into the folder."""
    config, trained = request.config, request.trained
    network = Network.of_run(trained, config.layer, config.batch_size)
    errors = list(request.inputs.errors)
    rows: list[dict[str, Any]] = [{"id": name} for name in request.ids]
    explained = _Explained(config.check)
    with Progress("explain", "images", len(rows), verbose=config.runtime.verbose) as progress:
        size = min(config.batch_size, len(rows))
        for numbers, images in decode_photos(trained, request.inputs, errors, size):
            if numbers:
                images = images[: len(numbers)]
                heat, targets = _explain_batch(request, network, numbers, images, rows)
                explained.add(images, targets, heat)
            progress.advance(size)
    for row, error in zip(rows, errors, strict=True):
        if error:
            row["error"] = error
    has_truths = bool(request.truths)
    columns = {key: title for key, title in _COLUMNS.items() if has_truths or key != "truth"}
    result = Result(rows, columns)
    if "{}" not in request.entry.shows:
        result.notes.append(_ANY_TARGET)
    if explained.count:
        result.check = _check(request, network, explained)
        result.notes += sentences(result.check, "pixels", "maps")
    return result


@dataclass
class _Explained:
    """Photos with their maps, for the check: the first `_CHECKED`.

    Attributes:
        wanted: whether there is a check.
    """

    wanted: bool
    images: list[np.ndarray] = field(default_factory=list)
    targets: list[np.ndarray] = field(default_factory=list)
    heat: list[np.ndarray] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many photos there are."""
        return sum(map(len, self.images))

    def add(self, images: np.ndarray, targets: np.ndarray, heat: np.ndarray) -> None:
        """Add a batch, as far as there is room."""
        room = _CHECKED - self.count if self.wanted else 0
        if room > 0:
            self.images.append(images[:room])
            self.targets.append(targets[:room])
            self.heat.append(heat[:room])


def _check(request: Request, network: Network, explained: _Explained) -> dict[str, Any]:
    """Deletion, insertion and randomised weights, for JSON."""
    parts = explained.images, explained.targets, explained.heat
    images, targets, heat = map(np.concatenate, parts)
    compute, size = registry.load(request.entry.compute), network.batch_size

    def again() -> np.ndarray:
        starts = range(0, len(images), size)
        batches = [(images[at : at + size], targets[at : at + size]) for at in starts]
        return np.concatenate([compute(network, *batch, Settings()).values for batch in batches])

    runtime = request.config.runtime
    total = len(images) * (1 + randomised_weights.passes(request.trained.backbone.blocks))
    with Progress("check", "maps", total, verbose=runtime.verbose) as progress:
        figures = deletion_insertion.evaluate(
            network, images, targets, heat, runtime.seed, progress.advance
        )
        figures["randomised_weights"] = randomised_weights.evaluate(
            network.model, request.trained.backbone.blocks, again, heat, runtime.seed,
            progress.advance,
        )  # fmt: skip
    return {"photos": len(images), **figures}


def _explain_batch(
    request: Request, network: Network, numbers: Sequence[int], images: np.ndarray,
    rows: list[dict[str, Any]],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Fill the rows of some photos (B, S, S, 3) uint8, and draw their pictures.

    Returns:
        The maps (B, h, w), and the targets (B,).
    """
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
        is_right = answers[at] == truth if truth and network.kind != "numbers" else None
        about = f"{method.title}: {method.shows.format(target)}"
        pictures.draw(
            request.folder / row["picture"], images[at], made.values[at], request.ids[number],
            f"{answers[at]}{_shown(network, outputs[at], answers[at], names)}", truth,
            is_right, about,
        )  # fmt: skip
    return made.values, targets


def _shown(network: Network, outputs: np.ndarray, answer: str, names: Sequence[str]) -> str:
    """The probability of the answer, where it is one class."""
    if network.kind != "classes" or answer not in names:
        return ""
    position = np.array([list(names).index(answer)])
    return f", {100 * network.shown(outputs[None], position)[0]:.1f}%"
