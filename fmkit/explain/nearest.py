"""The nearest training examples: what in the training data speaks for an answer, and against it.

Near is the cosine of the features that the head of the trained network reads (as in Papernot and
McDaniel 2018, Deep k-nearest neighbors, arxiv.org/abs/1803.04765, whose neighbours are the evidence
for an answer). The method needs the training data, and never shows what the run was tested on.

N inputs, M training examples, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.text import Text

from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import registry, sanitize
from fmkit.core.errors import DataError, FmkitError
from fmkit.core.modalities import modality_entry
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.examples import Content, Examples
from fmkit.data.targets import LabelSets, Numbers, join_labels
from fmkit.evaluation import write
from fmkit.evaluation.features import FeatureExtractor
from fmkit.evaluation.load_run import LoadedRun
from fmkit.explain import picture_sheet
from fmkit.explain.answers import Answers
from fmkit.explain.methods import Request, Result
from fmkit.explain.picture_sheet import Captioned
from fmkit.store import run_dir

NEAREST, OTHERS = 5, 3
"""Training examples that are shown of an input: the nearest, and the nearest of another answer."""
_SIDE = 224  # pixels of a picture
_EXCERPT, _SHOWN = 400, 100  # characters of a text in JSON, and in a terminal


@dataclass(frozen=True)
class Neighbour:
    """A training example near an input."""

    position: int  # among the training examples
    label: str
    similarity: float


@dataclass(frozen=True)
class TrainingExamples:
    """What a run learned from.

    Attributes:
        parts: examples of the training split, and of the validation split if the final model has
            learned from that, too; M together.
        labels: of each, in words, as answers are written, (M,).
        features: (M, D) float32.
    """

    parts: Sequence[Examples]
    labels: Sequence[str]
    features: np.ndarray

    def at(self, position: int) -> tuple[Examples, int]:
        """The part that has an example, and the position in it."""
        for part in self.parts:
            if position < len(part):
                return part, position
            position -= len(part)
        raise IndexError(position)

    def neighbours(
        self, cosines: np.ndarray, answer: str, other: str | None = None
    ) -> tuple[list[Neighbour], list[Neighbour]]:
        """The nearest examples, and the nearest with another label than an answer.

        Args:
            cosines: of an input with each, (M,).
            answer: in words; empty where no answer is simply another one, as of numbers.
            other: the label of the second ones; None: any but the answer.
        """
        order = np.argsort(-cosines, kind="stable").tolist()
        is_other = [label != answer if other is None else label == other for label in self.labels]
        others = [k for k in order if is_other[k]][:OTHERS] if answer else []
        nearest, different = (
            [Neighbour(k, self.labels[k], float(cosines[k])) for k in chosen]
            for chosen in (order[:NEAREST], others)
        )
        return nearest, different


def similarities(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosines of vectors (N, D) with others (M, D), (N, M); 0 where one has no length."""
    return np.asarray(_unit(features) @ _unit(others).T)


def _unit(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1.0)


def explain(request: Request) -> Result:
    """The nearest training examples of each input, and of photos a sheet of pictures."""
    trained, config = request.trained, request.config
    extractor, answers = FeatureExtractor(trained, outputs_too=True), Answers.of_run(trained)
    entry = modality_entry(trained.spec.modality)
    arrays, errors = registry.load(entry.outputs)(
        trained, extractor.inference, request.inputs, config.batch_size
    )
    outputs, features = arrays
    training = training_examples(trained, extractor, config.runtime)
    cosines = similarities(features, training.features)
    result = Result([], request.columns(entry.noun, support="nearest"))
    other = None
    if request.target is not None and answers.kind == "classes":
        other = answers.names[request.target]
    elif request.target is not None:
        result.notes.append("target: it is used with classes only, and changed nothing here.")
    for number, name in enumerate(request.ids):
        row: dict[str, Any] = {"id": name}
        result.rows.append(row)
        if errors[number]:
            row["error"] = errors[number]
            continue
        row |= answers.row(outputs[number], int(answers.targets(outputs[[number]])[0]))
        row |= request.truth(number)
        answer = "" if answers.kind == "numbers" else row["prediction"]
        nearest, others = training.neighbours(cosines[number], answer, other)
        row["nearest"] = [_neighbour_row(training, neighbour) for neighbour in nearest]
        row["other_answers"] = [_neighbour_row(training, neighbour) for neighbour in others]
        row["support"] = _support(nearest, answer)
        if entry.thumbnail and request.folder is not None:
            row["picture"] = request.picture_name(number)
            picture_sheet.draw(
                request.folder / row["picture"],
                (_input_picture(request, number), [answers.sentence(row), name]),
                [("nearest training examples", _pictures(training, nearest)),
                 ("nearest of another answer", _pictures(training, others))],
            )  # fmt: skip
        result.blocks.append(_block(row, answers.sentence(row)))
    return result


def training_examples(
    trained: LoadedRun, extractor: FeatureExtractor, runtime: RuntimeConfig
) -> TrainingExamples:
    """The examples that a run learned from, with features.

    Raises:
        DataError: the data is not there any more, or has changed so that it cannot be told which
            examples those are.
    """
    run, splits = trained.run, ["train"]
    if run_dir.is_refitted(run.json(run_dir.STATUS)) and run.data().get("counts", {}).get("val"):
        splits.append("val")
    tested = write.recorded_ids(run.folder, "test") or set()
    parts, labels, features = [], [], []
    for split in splits:
        try:
            part = extractor.of_split(split, runtime)
        except DataError as error:
            raise DataError(
                f"method=nearest needs the data that run {run.id} was trained on: {error.message}",
                "Bring it back to where it was, or take a method that needs no training data.",
            ) from error
        # Data that has changed may be divided anew.
        learned = [k for k, name in enumerate(part.examples.ids) if name not in tested]
        parts.append(part.examples.take(np.array(learned, np.int64)))
        labels += labels_in_words(parts[-1], trained.spec.names)
        features.append(part.values[learned])
    return TrainingExamples(parts, labels, np.concatenate(features))


def labels_in_words(examples: Examples, names: tuple[str, ...]) -> list[str]:
    """The label of each example, as answers are written; empty where it has none.

    Args:
        examples: with their labels.
        names: of the outputs of the run, where these are not classes.
    """
    if examples.classes:
        return [examples.classes[label] for label in examples.labels]
    annotations = None if examples.annotations is None else examples.annotations.align(names)
    if isinstance(annotations, LabelSets):
        joined = join_labels(annotations.names, annotations.indicators)
        return [label or "no label" for label in joined]
    if isinstance(annotations, Numbers):
        return [", ".join(f"{value:.5g}" for value in row) for row in annotations.values]
    return [""] * len(examples)


def _neighbour_row(training: TrainingExamples, neighbour: Neighbour) -> dict[str, Any]:
    """A training example for JSON: id, label, cosine and distance, path or beginning of texts."""
    examples, index = training.at(neighbour.position)
    paths = getattr(examples.content, "paths", None)
    return {
        "id": examples.ids[index],
        "label": neighbour.label,
        "similarity": neighbour.similarity,
        "distance": 1.0 - neighbour.similarity,
        **({} if paths is None else {"path": str(paths[index])}),
        **{key: text[:_EXCERPT] for key, text in examples.content.excerpt(index).items()},
    }


def _pictures(training: TrainingExamples, near: Sequence[Neighbour]) -> list[Captioned]:
    """Training examples as pictures with label and cosine below, and then the id."""
    pictures: list[Captioned] = []
    for one in near:
        examples, index = training.at(one.position)
        lines = [f"{one.label}  {one.similarity:.3f}", str(examples.ids[index])]
        pictures.append((_thumbnail(examples.content, index), lines))
    return pictures


def _input_picture(request: Request, number: int) -> Any:
    """A photo that is explained, one of `PhotoInputs`; None where it cannot be drawn."""
    pixels = request.inputs.pixels[number] if request.inputs.pixels else None
    if pixels is not None:
        return _thumbnail(ImageArray(np.asarray(pixels)[None]), 0)
    path, grey_range = request.inputs.names[number], request.trained.spec.grey_range
    return _thumbnail(ImageFiles((path,), np.zeros(1, np.int64), grey_range), 0)


def _thumbnail(content: Content, index: int) -> Any:
    """A picture of an example; None where it cannot be read any more."""
    try:
        return registry.load(modality_entry(content.modality).thumbnail)(content, index, _SIDE)
    except (FmkitError, OSError, ValueError, TypeError):
        return None


def _support(nearest: Sequence[Neighbour], answer: str) -> str:
    """What the labels of the nearest examples say about an answer, as a phrase."""
    if not answer:
        return ", ".join(neighbour.label for neighbour in nearest)
    same = sum(neighbour.label == answer for neighbour in nearest)
    return f"{same} of the {len(nearest)} nearest have this label"


def _block(row: Mapping[str, Any], about: str) -> Text:
    """The neighbours of an input for a terminal."""
    shown = Text()
    shown.append(sanitize.escape_invisible(row["id"]), style="bold")
    shown.append(f"  {sanitize.escape_invisible(about)}")
    shown.append(f"; {row['support']}" if row["other_answers"] else "")
    for title, key in (("nearest", "nearest"), ("of another answer", "other_answers")):
        for number, near in enumerate(row[key]):
            texts = [near[key] for key in ("text", "pair") if key in near]
            what = (" / ".join(texts) or near["id"]).split()
            line = f"{near['similarity']:.3f}  {near['label']}  {' '.join(what)[:_SHOWN]}"
            lead = f"\n  {title}:\n" if number == 0 else "\n"
            shown.append(f"{lead}    {sanitize.escape_invisible(line)}")
    return shown
