"""The methods of `fmkit explain`: one row each, and what every method gets and gives.

A new method is a row here, its name in `EXPLANATIONS` of `fmkit.config.schema.commands`, its own
file, tests and a paragraph in the guide. Code is named by `module:name` and imported when called.

N inputs, K outputs of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmkit.core import registry
from fmkit.core.errors import ConfigError, join_names, received
from fmkit.core.registry import Code

if TYPE_CHECKING:
    from fmkit.config.schema.commands import ExplainConfig
    from fmkit.evaluation.load_run import LoadedRun


@dataclass(frozen=True)
class Request:
    """What is to be explained.

    Attributes:
        trained: the run's model.
        inputs: as the modality reads them for `fmkit predict`: `PhotoInputs` or `TextInputs`.
        ids: what the inputs are called, (N,).
        truths: what would be right, in words, (N,); empty where it is not known.
        target: position of the output to explain, of K; None is what is predicted for each input.
        config: of the command.
        method: name of the method.
        folder: for pictures; it exists. None: none are drawn.
    """

    trained: LoadedRun
    inputs: Any
    ids: Sequence[str]
    truths: Sequence[str]
    target: int | None
    config: ExplainConfig
    method: str
    folder: Path | None


@dataclass
class Result:
    """Explanations.

    Attributes:
        rows: for JSON, in the order of the inputs: `id`, `prediction`, `target` ...; of one that
            could not be read `id` and `error`.
        columns: the keys of `rows` that the terminal shows, with their titles.
        check: how far the explanations can be trusted, for JSON; None where nobody asked.
        notes: sentences about that, and about what the method cannot show.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    columns: Mapping[str, str] = field(default_factory=dict)
    check: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        title: as people call it.
        source: the publication.
        modalities: that it explains.
        explain: `(Request) -> Result`.
        compute: what `explain` computes with, where several methods share that: for photos
            `(Network, images, targets, Settings) -> Maps`.
        problem: `(LoadedRun) -> str`: why it cannot explain a run, as a sentence; empty where it
            can.
        shows: what it shows, with `{}` for the target, if it depends on that.
    """

    title: str
    source: str
    modalities: tuple[str, ...]
    explain: Code
    compute: Code = ""
    problem: Code = ""
    shows: str = "what speaks for {}"


_PHOTOS = "fmkit.explain.photos:explain"

METHODS: dict[str, Method] = {
    "grad_cam": Method(
        "Grad-CAM", "Selvaraju et al. 2017, arXiv:1610.02391", ("image",), _PHOTOS,
        "fmkit.explain.grad_cam:grad_cam", "fmkit.explain.grad_cam:problem"),
    "grad_cam_plus_plus": Method(
        "Grad-CAM++", "Chattopadhay et al. 2018, arXiv:1710.11063", ("image",), _PHOTOS,
        "fmkit.explain.grad_cam:grad_cam_plus_plus", "fmkit.explain.grad_cam:problem"),
    "attention_rollout": Method(
        "Attention rollout", "Abnar and Zuidema 2020, arXiv:2005.00928", ("image",), _PHOTOS,
        "fmkit.explain.attention_rollout:attention_rollout",
        "fmkit.explain.attention_rollout:problem", "what the model attends to"),
    "occlusion": Method(
        "Occlusion", "Zeiler and Fergus 2014, arXiv:1311.2901", ("image",), _PHOTOS,
        "fmkit.explain.occlusion:occlusion"),
    "integrated_gradients": Method(
        "Integrated gradients", "Sundararajan et al. 2017, arXiv:1703.01365", ("image",), _PHOTOS,
        "fmkit.explain.integrated_gradients:integrated_gradients"),
}  # fmt: skip
"""By name, those that `auto` prefers first."""


def choose(name: str, trained: LoadedRun) -> str:
    """The name of the method for a run; of `auto` the first that can explain it.

    Raises:
        ConfigError: no method can, or the one that is named cannot.
    """
    if name != "auto":
        if problem := why_not(name, trained):
            raise ConfigError(f"method={name}: {problem}", _others(trained))
        return name
    possible = [other for other in METHODS if not why_not(other, trained)]
    if not possible:
        raise ConfigError(f"run {trained.run.id}: no method of fmkit explain suits its model.")
    return possible[0]


def why_not(name: str, trained: LoadedRun) -> str:
    """Why a method cannot explain a run, as a sentence; empty where it can."""
    method = METHODS[name]
    if problem := wrong_modality(name, trained.spec.modality):
        return problem
    return str(registry.load(method.problem)(trained)) if method.problem else ""


def wrong_modality(name: str, modality: str) -> str:
    """Why a method does not explain runs of a modality; empty where it does."""
    from fmkit.core.modalities import modality_entry

    reads = METHODS[name].modalities if name != "auto" else ()
    if name == "auto":
        if any(modality in method.modalities for method in METHODS.values()):
            return ""
        return f"there is no method for {modality_entry(modality).plural}."
    if modality in reads:
        return ""
    kinds = join_names([modality_entry(kind).plural for kind in reads])
    return f"it explains models of {kinds}, and the run reads {modality_entry(modality).plural}."


def _others(trained: LoadedRun) -> str:
    names = [name for name in METHODS if not why_not(name, trained)]
    return f"Methods for this run: {join_names(names)}." if names else ""


def target_position(target: str, names: Sequence[str]) -> int:
    """The position of a class, label or number by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if target not in names:
        raise ConfigError(received("target", target, names))
    return list(names).index(target)
