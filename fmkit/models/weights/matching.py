"""Which array of a file belongs to which variable of a model: by name and shape, never by guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmkit.models.weights.arrays import Shape, WeightArrays

_RANDOM_STATE = "seed_generator"
_MAX_HEAD = 8
"""Arrays of the largest classification head there is: VGG's three dense layers have 6."""


@dataclass(frozen=True)
class ModelVariable:
    """A variable of a model, and what it may be called in a file.

    Attributes:
        path: as Keras calls the variable, such as `conv1/kernel`; fmkit's checkpoints do.
        shape: of the variable.
        stored: its place in Keras' own files, such as `layers/conv2d/vars/0`.
        layer: name of its top-level layer, for Keras' older files.
        position: of the variable among the weights of that layer.
    """

    path: str
    shape: Shape
    stored: str = ""
    layer: str = ""
    position: int = 0


@dataclass(frozen=True)
class Match:
    """What fits and what does not.

    Attributes:
        found: the array's name by the variable's index.
        missing: indices of variables without an array.
        unused: names of arrays without a variable, the head's left out.
        head: names of the arrays of the file's classification head.
    """

    found: dict[int, str]
    missing: list[int]
    unused: list[str]
    head: list[str]


def match(wanted: Sequence[ModelVariable], arrays: WeightArrays, features: int) -> Match:
    """The assignment that gives most variables an array of their name and shape.

    Names are compared as Keras stores them, as Keras' variables call themselves, both also behind
    one common beginning (a backbone inside a larger model); then by layers in Keras' older format,
    and by position where a file has no names at all.

    Args:
        wanted: the variables.
        arrays: of the file.
        features: width of the model's output, which is what a head begins with.
    """
    tried = [
        _by_name([each.stored for each in wanted], wanted, arrays),
        _by_name([each.path for each in wanted], wanted, arrays),
        _by_layer(wanted, arrays),
        _by_position(wanted, arrays),
    ]
    found = max(tried, key=len)  # the first of equals
    used = set(found.values())
    rest = [name for name in arrays.shapes if name not in used and _RANDOM_STATE not in name]
    head = _head({name: arrays.shapes[name] for name in rest}, features)
    missing = [index for index in range(len(wanted)) if index not in found]
    unused = [name for name in rest if name not in head]
    return Match(found, missing, unused, head)


def _by_name(
    names: list[str], wanted: Sequence[ModelVariable], arrays: WeightArrays
) -> dict[int, str]:
    best: dict[int, str] = {}
    for prefix in _beginnings(names, arrays):
        found = {
            index: f"{prefix}{name}"
            for index, name in enumerate(names)
            if name and arrays.shapes.get(f"{prefix}{name}") == wanted[index].shape
        }
        if len(found) > len(best):
            best = found
    return best


def _beginnings(names: list[str], arrays: WeightArrays) -> list[str]:
    """What may stand before every name in the file, the shortest first."""
    samples = [name for name in (*names[:2], *names[-1:]) if name]
    found = {""}
    for sample in samples:
        found |= {
            each.removesuffix(sample) for each in arrays.shapes if each.endswith(f"/{sample}")
        }
    return sorted(found, key=lambda each: (len(each), each))[:200]


def _by_layer(wanted: Sequence[ModelVariable], arrays: WeightArrays) -> dict[int, str]:
    """Keras' older format: by the layers' names, or where those differ by their order."""
    if not arrays.layers:
        return {}
    layers = list(dict.fromkeys(each.layer for each in wanted))
    stored = dict(arrays.layers)
    if not set(layers) <= set(stored):  # names that Keras counted on from an earlier model
        ordered = [names for _, names in arrays.layers]
        stored = dict(zip(layers, ordered, strict=False))
    found = {}
    for index, each in enumerate(wanted):
        names = stored.get(each.layer, [])
        name = names[each.position] if each.position < len(names) else ""
        if arrays.shapes.get(name) == each.shape:
            found[index] = name
    return found


def _by_position(wanted: Sequence[ModelVariable], arrays: WeightArrays) -> dict[int, str]:
    """`numpy.savez(path, *model.get_weights())`, which calls the arrays arr_0, arr_1, ..."""
    if set(arrays.shapes) != {f"arr_{each}" for each in range(len(arrays.shapes))}:
        return {}
    return {
        index: f"arr_{index}"
        for index, each in enumerate(wanted)
        if arrays.shapes.get(f"arr_{index}") == each.shape
    }


def _head(rest: dict[str, Shape], features: int) -> list[str]:
    """All that is left over, where it is a classification head on these features; else nothing.

    That is one to three layers that are dense, or 1 x 1 convolutions: each takes what the one
    before it gives, the first takes the features (or the features of all cells).
    """
    kernels = [shape for shape in rest.values() if _is_kernel(shape)]
    vectors = [shape for shape in rest.values() if len(shape) == 1]
    if not kernels or len(kernels) + len(vectors) != len(rest) or len(rest) > _MAX_HEAD:
        return []
    inputs, widths = [shape[-2] for shape in kernels], [shape[-1] for shape in kernels]
    first = [each for each in inputs if each and each not in widths and each % features == 0]
    first = first or [each for each in inputs if each == features]
    chained = all(each in widths or each in first for each in inputs)
    known = {features, *widths}
    return list(rest) if first and chained and all(v[0] in known for v in vectors) else []


def _is_kernel(shape: Shape) -> bool:
    return len(shape) == 2 or (len(shape) == 4 and shape[:2] == (1, 1))
