"""The methods of `fmkit explain`: one row each by modality, and what every method gets and gives.

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
    from rich.text import Text

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

    @property
    def entry(self) -> Method:
        """The row of the method."""
        return METHODS[self.trained.spec.modality][self.method]

    def columns(self, noun: str, **more: str) -> dict[str, str]:
        """The usual columns of a result, and further ones, with their titles.

        Args:
            noun: of the inputs.
            more: titles by key of `rows`.
        """
        titles = {"id": noun, "prediction": "predicted", "value": "value"}
        return titles | ({"truth": "true"} if self.truths else {}) | more

    def truth(self, number: int) -> dict[str, str]:
        """What would be right of an input, for its row; empty where it is not known."""
        return {"truth": self.truths[number]} if self.truths else {}

    def picture_name(self, number: int) -> str:
        """The file of the picture of an input."""
        return f"{number + 1:0{len(str(len(self.ids)))}}.png"


@dataclass
class Result:
    """Explanations.

    Attributes:
        rows: for JSON, in the order of the inputs: `id`, `prediction`, `target` ...; of one that
            could not be read `id` and `error`.
        columns: the keys of `rows` that the terminal shows, with their titles.
        check: how far the explanations can be trusted, for JSON; None where nobody asked.
        notes: sentences about that, and about what the method cannot show.
        blocks: what a terminal shows of each input instead of the table, such as a text with its
            words marked; of the first of them.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    columns: Mapping[str, str] = field(default_factory=dict)
    check: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    blocks: list[Text] = field(default_factory=list)


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        title: as people call it.
        source: the publication.
        explain: `(Request) -> Result`.
        compute: what `explain` computes with, where several methods share that: for photos
            `(Network, images, targets, Settings) -> Maps`, for texts
            `(TextNetwork, TextWords, target) -> Attributions`.
        problem: `(LoadedRun) -> str`: why it cannot explain a run, as a sentence; empty where it
            can.
        shows: what it shows, with `{}` for the target, if it depends on that.
    """

    title: str
    source: str
    explain: Code
    compute: Code = ""
    problem: Code = ""
    shows: str = "what speaks for {}"


_PHOTOS, _TEXTS = "fmkit.explain.photos:explain", "fmkit.explain.texts:explain"

_SHARED: dict[str, Method] = {
    "nearest": Method(
        "Nearest training examples", "Papernot and McDaniel 2018, arXiv:1803.04765",
        "fmkit.explain.nearest:explain"),
}  # fmt: skip
"""Of photos and texts."""

_OF_PHOTOS: dict[str, Method] = {
    "grad_cam": Method(
        "Grad-CAM", "Selvaraju et al. 2017, arXiv:1610.02391", _PHOTOS,
        "fmkit.explain.grad_cam:grad_cam", "fmkit.explain.grad_cam:problem"),
    "grad_cam_plus_plus": Method(
        "Grad-CAM++", "Chattopadhay et al. 2018, arXiv:1710.11063", _PHOTOS,
        "fmkit.explain.grad_cam:grad_cam_plus_plus", "fmkit.explain.grad_cam:problem"),
    "attention_rollout": Method(
        "Attention rollout", "Abnar and Zuidema 2020, arXiv:2005.00928", _PHOTOS,
        "fmkit.explain.attention_rollout:attention_rollout",
        "fmkit.explain.attention_rollout:problem", "what the model attends to"),
    "occlusion": Method(
        "Occlusion", "Zeiler and Fergus 2014, arXiv:1311.2901", _PHOTOS,
        "fmkit.explain.occlusion:occlusion"),
    "integrated_gradients": Method(
        "Integrated gradients", "Sundararajan et al. 2017, arXiv:1703.01365", _PHOTOS,
        "fmkit.explain.integrated_gradients:integrated_gradients"),
    **_SHARED,
    "counterfactual": Method(
        "Counterfactual blurring of segments", "Vermeire et al. 2022, arXiv:2004.07511",
        "fmkit.explain.photo_changes:explain", "", "fmkit.explain.counterfactual:problem"),
}  # fmt: skip
_OF_TEXTS: dict[str, Method] = {
    "integrated_gradients": Method(
        "Integrated gradients", "Sundararajan et al. 2017, arXiv:1703.01365", _TEXTS,
        "fmkit.explain.texts:integrated_gradients", "fmkit.explain.texts:embedding_problem"),
    "occlusion": Method(
        "Occlusion", "Li et al. 2016, arXiv:1612.08220", _TEXTS, "fmkit.explain.texts:occlusion"),
    **_SHARED,
    "counterfactual": Method(
        "Counterfactual words", "Martens and Provost 2014, MIS Quarterly 38:1",
        "fmkit.explain.text_changes:explain", "", "fmkit.explain.counterfactual:problem"),
}  # fmt: skip
METHODS: dict[str, dict[str, Method]] = {"image": _OF_PHOTOS, "text": _OF_TEXTS}
"""By modality and name, those that `auto` prefers first."""


def names() -> list[str]:
    """The methods of all modalities."""
    return list(dict.fromkeys(name for methods in METHODS.values() for name in methods))


def choose(name: str, trained: LoadedRun) -> str:
    """The name of the method for a run; of `auto` the first that can explain it.

    Raises:
        ConfigError: no method can, or the one that is named cannot.
    """
    if name != "auto":
        if problem := why_not(name, trained):
            raise ConfigError(f"method={name}: {problem}", _others(trained))
        return name
    possible = _possible(trained)
    if not possible:
        raise ConfigError(f"run {trained.run.id}: no method of fmkit explain suits its model.")
    return possible[0]


def why_not(name: str, trained: LoadedRun) -> str:
    """Why a method cannot explain a run, as a sentence; empty where it can."""
    if problem := wrong_modality(name, trained.spec.modality):
        return problem
    method = METHODS[trained.spec.modality][name]
    return str(registry.load(method.problem)(trained)) if method.problem else ""


def wrong_modality(name: str, modality: str) -> str:
    """Why a method does not explain runs of a modality; empty where it does."""
    from fmkit.core.modalities import modality_entry

    plural_noun, own = modality_entry(modality).plural, METHODS.get(modality, {})
    if name == "auto":
        return "" if own else f"there is no method for {plural_noun}."
    if name in own:
        return ""
    reads = [kind for kind, methods in METHODS.items() if name in methods]
    kinds = join_names([modality_entry(kind).plural for kind in reads])
    return f"it explains models of {kinds}, and the run reads {plural_noun}."


def _possible(trained: LoadedRun) -> list[str]:
    return [name for name in METHODS[trained.spec.modality] if not why_not(name, trained)]


def _others(trained: LoadedRun) -> str:
    possible = _possible(trained)
    return f"Methods for this run: {join_names(possible)}." if possible else ""


def target_position(target: str, names: Sequence[str]) -> int:
    """The position of a class, label or number by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if target not in names:
        raise ConfigError(received("target", target, names))
    return list(names).index(target)
