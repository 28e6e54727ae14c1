"""Match the arrays of a file to the variables of a model, by name and shape, never by guess."""

from collections.abc import Mapping, Sequence
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
        stored: its path in Keras' own files, such as `layers/conv2d/vars/0`.
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
    """Which arrays fit which variables, and what is left over.

    Attributes:
        names: the array's name by the variable's index.
        missing: indices of variables without an array.
        unused: names of arrays without a variable, the head's left out.
        head: names of the arrays of the file's classification head.
    """

    names: dict[int, str]
    missing: list[int]
    unused: list[str]
    head: list[str]


def match(targets: Sequence[ModelVariable], arrays: WeightArrays, features: int) -> Match:
    """The assignment that gives most variables an array of their name and shape.

    Names are compared as Keras stores them, as Keras' variables call themselves, both also behind
    one common beginning (a backbone inside a larger model); then by layers in Keras' older format,
    and by position where a file has no names at all.

    Args:
        targets: the variables.
        arrays: of the file.
        features: width of the model's output, which is what a head begins with.
    """
    tried = [
        _by_name([target.stored for target in targets], targets, arrays),
        _by_name([target.path for target in targets], targets, arrays),
        _by_layer(targets, arrays),
    ]
    if set(arrays.shapes) == {f"arr_{index}" for index in range(len(arrays.shapes))}:
        # As numpy.savez(path, *model.get_weights()) calls the arrays.
        tried.append(_fitting({i: f"arr_{i}" for i in range(len(targets))}, targets, arrays))
    names = max(tried, key=len)  # the first of equals
    used = set(names.values())
    rest = [name for name in arrays.shapes if name not in used and _RANDOM_STATE not in name]
    head = _head({name: arrays.shapes[name] for name in rest}, features)
    missing = [index for index in range(len(targets)) if index not in names]
    unused = [name for name in rest if name not in head]
    return Match(names, missing, unused, head)


def _fitting(
    names: Mapping[int, str], targets: Sequence[ModelVariable], arrays: WeightArrays
) -> dict[int, str]:
    """Those of the names whose arrays have the shapes of their variables."""
    return {i: name for i, name in names.items() if arrays.shapes.get(name) == targets[i].shape}


def _by_name(
    names: list[str], targets: Sequence[ModelVariable], arrays: WeightArrays
) -> dict[int, str]:
    prefixes = {""}  # what every name in the file may begin with
    for sample in filter(None, (*names[:2], *names[-1:])):
        ends = (name for name in arrays.shapes if name.endswith(f"/{sample}"))
        prefixes |= {name.removesuffix(sample) for name in ends}
    shortest_first = sorted(prefixes, key=lambda prefix: (len(prefix), prefix))[:200]
    tried = (
        _fitting({i: f"{prefix}{name}" for i, name in enumerate(names) if name}, targets, arrays)
        for prefix in shortest_first
    )
    return max(tried, key=len)


def _by_layer(targets: Sequence[ModelVariable], arrays: WeightArrays) -> dict[int, str]:
    """Keras' older format: by the layers' names, or where those differ by their order."""
    layers = list(dict.fromkeys(target.layer for target in targets))
    stored = dict(arrays.layers)
    if not set(layers) <= set(stored):  # names that Keras counted on from an earlier model
        ordered = [names for _, names in arrays.layers]
        stored = dict(zip(layers, ordered, strict=False))
    names = {}
    for index, target in enumerate(targets):
        of_layer = stored.get(target.layer, [])
        if target.position < len(of_layer):
            names[index] = of_layer[target.position]
    return _fitting(names, targets, arrays)


def _head(rest: dict[str, Shape], features: int) -> list[str]:
    """All that is left over, where it is a classification head on these features; else nothing.

    That is one to three layers that are dense, or 1 x 1 convolutions: each takes what the one
    before it gives, the first takes the features (or the features of all cells).
    """
    shapes = list(rest.values())
    vectors = [shape for shape in shapes if len(shape) == 1]
    kernels = [shape for shape in shapes if len(shape) == 2 or shape[:-2] == (1, 1)]
    if not kernels or len(kernels) + len(vectors) != len(rest) or len(rest) > _MAX_HEAD:
        return []
    inputs, widths = [shape[-2] for shape in kernels], [shape[-1] for shape in kernels]
    first = [width for width in inputs if width and width not in widths and width % features == 0]
    first = first or [width for width in inputs if width == features]
    is_chain = bool(first) and all(width in widths or width in first for width in inputs)
    return list(rest) if is_chain and {v[0] for v in vectors} <= {features, *widths} else []
