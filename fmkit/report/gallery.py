"""The galleries of a report: the worst mistakes, typical right answers, a training batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from fmkit.explain.marked_words import as_html, split, strengths
from fmkit.report import html
from fmkit.report.samples import MOST, Sample

_TITLES = {
    "mistakes": ("Worst mistakes", "Wrong answers, first those that the model was surest of, or "
                 "that were furthest off. Some may be wrong labels."),
    "typical": ("Typical right answers", "Of each class right answers of middle confidence, or "
                "examples with a middling error."),
}  # fmt: skip
_ABOUT_WORDS = (
    "A solid line below a word: it speaks for what was predicted (raises a number); a dashed "
    "one: against it. The thicker, the more. By integrated gradients, of as many texts as a "
    "twentieth of the run's time allows."
)
_ABOUT_MAPS = (
    "Beside a photo Grad-CAM: the brighter, the more a place speaks for what was predicted."
)


def galleries(
    chosen: Mapping[str, Sequence[Sample]],
    content: Mapping[str, Mapping[str, str]],
    words: Mapping[str, Any] | None = None,
) -> Markup | None:
    """Both galleries.

    Args:
        chosen: the examples of each.
        content: a picture or texts by the example's id.
        words: scores of the words of some texts by id, `explain.gallery_words.Marks`.
    """
    parts = [html.note(_ABOUT_WORDS)] if words else []
    shown = [sample.id for samples in chosen.values() for sample in samples]
    if any(_picture(content.get(name) or {}, "map") for name in shown):
        parts.append(html.note(_ABOUT_MAPS))
    for kind, (title, about) in _TITLES.items():
        samples = chosen.get(kind) or ()
        if not samples:
            continue
        parts += [
            html.element("h3", title),
            html.note(about),
            gallery([(sample, content.get(sample.id) or {}) for sample in samples], words),
        ]
    return html.join(parts) if any(chosen.values()) else None


def gallery(
    samples: Sequence[tuple[Sample, Mapping[str, str]]],
    words: Mapping[str, Any] | None = None,
    truth: str = "true",
) -> Markup:
    """Examples with their content and their answers, words marked where they have scores.

    `truth` is what their labels are called.
    """
    kind = "gallery texts"
    if any(_picture(content) for _, content in samples):
        kind = "gallery"
        if any(_picture(content, "map") for _, content in samples):
            kind = "gallery pairs"
    return html.element(
        "ul",
        *(_item(sample, shown, (words or {}).get(sample.id), truth) for sample, shown in samples),
        class_=kind,
    )


def _picture(content: Mapping[str, str], key: str = "image") -> str:
    """The address of a JPEG in this file itself; any other one is refused."""
    address = content.get(key)
    is_ours = isinstance(address, str) and address.startswith("data:image/jpeg;base64,")
    return address if is_ours else ""  # type: ignore[return-value]


def _item(sample: Sample, content: Mapping[str, str], words: Any, truth: str) -> Markup:
    picture = _picture(content)
    answer = f"predicted {sample.prediction}, {truth} {sample.truth}"
    shown: Any = None
    if picture:
        shown = html.element("img", src=picture, alt=f"{sample.id}: {answer}")
        if heat := _picture(content, "map"):
            about_heat = f"Grad-CAM of {sample.id}: what speaks for {sample.prediction}"
            heat_map = html.element("img", src=heat, alt=about_heat)
            shown = html.element("div", shown, heat_map, class_="pair")
    elif sample.words:
        shown = html.element("div", _sentence(sample), class_="sample")
    elif texts := {**(sample.texts or {}), **content}:
        lines = [
            html.join(
                [
                    html.element("b", f"{key}: ") if len(texts) > 1 else None,
                    _marked(key, value, words),
                ]
            )
            for key, value in texts.items()
            if isinstance(value, str)
        ]
        shown = html.element("div", html.join(lines, "\n"), class_="sample")
    is_right = sample.prediction == sample.truth
    kind = "good" if is_right else "bad"
    answer = html.element("span", html.name(sample.prediction), class_=kind)
    answers = [html.element("div", None if is_right else "predicted: ", answer)]
    if not is_right:
        answers.append(html.element("div", f"{truth}: ", html.name(sample.truth)))
    if not sample.prediction and not sample.truth:
        answers = []
    about = html.element(
        "div",
        *answers,
        html.element("div", sample.remark) if sample.remark else None,
        html.element(
            "div", html.name(html.shorten(sample.id, 30)), class_="where", title=sample.id
        ),
        class_="about",
    )
    return html.element("li", shown, about)


def _marked(key: str, text: str, words: Any) -> Any:
    """A text with its words marked, where they have scores in a record of the right form."""
    try:
        scores = [float(score) for part in words.values() for _, _, score in part]
        levels = iter(strengths(np.array(scores)).tolist())
        by_text = {
            name: [(int(begin), int(end), float(score), next(levels), False)
                   for begin, end, score in part]
            for name, part in words.items()
        }  # fmt: skip
        return as_html(list(split(text, by_text[key])))
    except (AttributeError, KeyError, TypeError, ValueError):
        return text


def _sentence(sample: Sample) -> Markup:
    words = [html.element("mark", word) if is_wrong else word for word, is_wrong in sample.words]
    return html.join(words, " ")


def batch(by_phase: Mapping[str, Any]) -> Markup | None:
    """What the network saw of a training batch in each phase."""
    parts = []
    for phase, shown in by_phase.items():
        pictures = [_picture({"image": address}) for address in (shown.get("images") or ())[:MOST]]
        items = [
            html.element("li", html.element("img", src=picture,
                                            alt=f"training example {number} of phase {phase}"))
            for number, picture in enumerate(filter(None, pictures), start=1)
        ]  # fmt: skip
        if items:
            heading = html.join([f"Phase {phase}: ", str(shown.get("augment") or "as they are")])
            parts += [html.element("h3", heading), html.element("ul", *items, class_="gallery")]
    return html.join(parts) if parts else None
