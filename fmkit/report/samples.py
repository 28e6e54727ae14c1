"""What a report shows of the data: the worst mistakes, typical right answers, a training batch.

Photos and texts are not in a run's folder, and may be elsewhere when its report is made anew; so
the few that are shown are kept in `samples.json`, photos as small JPEGs.
"""

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core import files, registry
from fmkit.core.errors import FmkitError
from fmkit.core.modalities import modality_entry
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Content, Examples
from fmkit.report.charts import data_uri
from fmkit.report.record import RunRecord
from fmkit.store import run_dir

MOST = 12
"""Examples of a gallery."""
SIDE = 160
"""Of a picture of a gallery, in pixels."""
_QUALITY = 82  # of a JPEG
_LONGEST = 700  # characters of a text


@dataclass(frozen=True)
class Sample:
    """An example of a gallery.

    Attributes:
        id: of the example.
        truth: its label in words.
        prediction: the model's answer in words.
        remark: how sure, or how wrong, the model was.
        words: of a sentence, each with whether its tag is wrong; empty otherwise.
        texts: what the table of predictions itself has of it, by name.
    """

    id: str
    truth: str
    prediction: str
    remark: str = ""
    words: Sequence[tuple[str, bool]] = ()
    texts: Mapping[str, str] | None = None


def choose(predictions: Any) -> dict[str, list[Sample]]:
    """The worst mistakes and typical right answers in a table of predictions, by what they are.

    Mistakes are those that the model was surest of, or the largest errors. Of right answers,
    those of the middle confidence of each class.
    """
    if predictions is None or not len(predictions) or "id" not in predictions:
        return {}
    columns = set(predictions.columns)
    if "word" in columns:
        return _sentences(predictions)
    if {"question", "answers", "prediction"} <= columns:
        return _answers(predictions)
    if {"label", "prediction", "confidence"} <= columns:
        return _classes(predictions)
    if any(name.startswith("label_") for name in columns) and "label" in columns:
        return _label_sets(predictions)
    numbers = [name for name in predictions.columns if name.split("_")[0] == "label"]
    return _numbers(predictions, numbers) if numbers else {}


def _classes(table: Any) -> dict[str, list[Sample]]:
    is_right = table["label"] == table["prediction"]
    wrong = table[~is_right].sort_values("confidence", ascending=False, kind="stable").head(MOST)
    right = table[is_right]
    names = right["label"].value_counts(sort=True).index[:MOST]
    each = MOST // max(1, len(names))
    typical = []
    for name in names:
        rows = right[right["label"] == name].sort_values("confidence", kind="stable")
        middle = max(0, len(rows) // 2 - each // 2)
        typical += [row for _, row in rows.iloc[middle : middle + each].iterrows()]
    return {
        "mistakes": [_of_class(row) for _, row in wrong.iterrows()],
        "typical": [_of_class(row) for row in typical],
    }


def _of_class(row: Any) -> Sample:
    return Sample(
        str(row["id"]), str(row["label"]), str(row["prediction"]), f"{100 * row['confidence']:.1f}%"
    )


def _numbers(table: Any, labels: Sequence[str]) -> dict[str, list[Sample]]:
    """By the error in standard deviations of each number, the largest and those in the middle."""
    predictions = [f"prediction{name.removeprefix('label')}" for name in labels]
    true, guessed = (table[list(names)].to_numpy(np.float64) for names in (labels, predictions))
    spread = true.std(axis=0)
    errors = (np.abs(guessed - true) / np.where(spread > 0, spread, 1.0)).max(axis=1)
    order = np.argsort(-errors, kind="stable")
    middle = order[len(order) // 2 :][:MOST] if len(order) > 2 * MOST else order[MOST:]

    def sample(k: int) -> Sample:
        truth, prediction = (
            ", ".join(f"{value:.5g}" for value in values[k]) for values in (true, guessed)
        )
        difference = ", ".join(f"{value:+.4g}" for value in guessed[k] - true[k])
        return Sample(str(table["id"].iloc[k]), truth, prediction, f"error {difference}")

    return {"mistakes": [sample(k) for k in order[:MOST]], "typical": [sample(k) for k in middle]}


def _label_sets(table: Any) -> dict[str, list[Sample]]:
    names = [name.removeprefix("label_") for name in table.columns if name.startswith("label_")]
    names = [name for name in names if f"probability_{name}" in table.columns]
    true = table[[f"label_{name}" for name in names]].to_numpy(bool)
    chance = table[[f"probability_{name}" for name in names]].to_numpy(np.float64)
    costs = -np.log(np.clip(np.where(true, chance, 1 - chance), 1e-7, 1.0)).mean(axis=1)
    is_right = (true == (chance > 0.5)).all(axis=1)
    order = np.argsort(-costs, kind="stable")

    def sample(k: int) -> Sample:
        row = table.iloc[k]
        truth, prediction = (str(row[key]) or "no label" for key in ("label", "prediction"))
        return Sample(str(row["id"]), truth, prediction, f"log loss {costs[k]:.3f}")

    right = [k for k in order if is_right[k]]
    return {
        "mistakes": [sample(k) for k in order if not is_right[k]][:MOST],
        "typical": [sample(k) for k in right[len(right) // 2 :][:MOST]],
    }


def _answers(table: Any) -> dict[str, list[Sample]]:
    order = table.sort_values(["f1", "confidence"], ascending=[True, False], kind="stable")

    def sample(row: Any) -> Sample:
        answers = row["answers"]
        accepted = [str(answer) for answer in ([] if answers is None else list(answers))]
        truth = " / ".join(dict.fromkeys(accepted)) or "no answer"
        return Sample(
            str(row["id"]), truth, str(row["prediction"]) or "no answer",
            f"F1 {row['f1']:.2f}, {100 * row['confidence']:.1f}%", (),
            {"question": str(row["question"])},
        )  # fmt: skip

    wrong, right = order[order["f1"] < 1].head(MOST), order[order["f1"] >= 1]
    right = right.iloc[len(right) // 2 :].head(MOST)
    return {
        "mistakes": [sample(row) for _, row in wrong.iterrows()],
        "typical": [sample(row) for _, row in right.iterrows()],
    }


def _sentences(table: Any) -> dict[str, list[Sample]]:
    """Sentences with the most words that have a wrong tag, and some without any."""
    is_wrong = table["label"] != table["prediction"]
    count = (
        is_wrong.groupby(table["id"], sort=False).sum().sort_values(ascending=False, kind="stable")
    )
    wrong, right = count[count > 0].index[:MOST], count[count == 0].index[:MOST]
    groups = table.assign(is_wrong=is_wrong).groupby("id", sort=False)

    def sample(name: Any) -> Sample:
        rows = groups.get_group(name)
        words = list(zip(rows["word"].astype(str), rows["is_wrong"].astype(bool), strict=True))
        tags = {
            key: " ".join(str(tag) for tag in rows[key][rows["is_wrong"]])
            for key in ("label", "prediction")
        }
        mistakes = int(count[name])
        remark = f"{mistakes} of {len(rows)} tags wrong" if mistakes else f"{len(rows)} tags right"
        return Sample(str(name), tags["label"], tags["prediction"], remark, words)

    return {
        "mistakes": [sample(name) for name in wrong],
        "typical": [sample(name) for name in right],
    }


def needed(folder: Path) -> bool:
    """Whether a run's galleries show photos or texts that its own files do not have."""
    record = RunRecord(folder)
    chosen = choose(record.predictions(record.split)) if record.split else {}
    return any(not sample.words for group in chosen.values() for sample in group)


def keep(
    folder: Path,
    examples: Examples,
    batch: Mapping[str, Any] | None = None,
    mark: Callable[[Mapping[str, tuple[str, ...]]], Mapping[str, Any]] | None = None,
    draw: Callable[[Sequence[int]], Sequence[Any]] | None = None,
    judge: Callable[[RunRecord, Examples], dict[str, Any] | None] | None = None,
) -> None:
    """Write `samples.json` of a run: what its galleries show of the data.

    Args:
        folder: the run's.
        examples: the data set that its evaluations are of.
        batch: by phase, what `seen` made of a training batch.
        mark: from texts by id, the most important first, to the scores of the words of some.
        draw: from positions of photos in the data set, the most important first, to pictures of
            the heat maps over as many of the first of them as there is time for.
        judge: from the run and its data to what is said of its labels, `labels.judge`.
    """
    record = RunRecord(folder)
    chosen = choose(record.predictions(record.split)) if record.split else {}
    groups = [[sample.id for sample in group if not sample.words] for group in chosen.values()]
    names = [name for group in groups for name in group]
    content = of_examples(examples, names)
    shown = {"schema": 1, "examples": content, "batch": dict(batch or {})}
    if judge and (judged := judge(record, examples)):
        rows = [row for key in ("likely", "hardest", "forgotten") for row in judged.get(key, ())]
        shown["labels"] = judged | {"content": of_examples(examples, [r["example"] for r in rows])}
    texts = _whole_texts(examples, groups) if mark else {}
    if mark and texts:
        shown["words"] = dict(mark(texts))
    if draw:
        positions = {name: k for name, k in _positions(examples, groups).items() if name in content}
        for name, picture in zip(positions, draw(list(positions.values())), strict=False):
            content[name]["map"] = jpeg(picture)
    files.write_json(folder / run_dir.SAMPLES, shown)


def _whole_texts(examples: Examples, groups: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Texts by id, the first of each group, then the second; none where examples are not texts."""
    if not isinstance(examples.content, Texts):
        return {}
    texts, pairs = examples.content.texts, examples.content.pairs
    return {
        name: (texts[k], *(() if pairs is None else (pairs[k],)))
        for name, k in _positions(examples, groups).items()
    }


def _positions(examples: Examples, groups: Sequence[Sequence[str]]) -> dict[str, int]:
    """Positions of examples by id, the first of each group, then the second ..."""
    in_turn = [name for row in itertools.zip_longest(*groups) for name in row if name is not None]
    positions = {name: k for k, name in enumerate(examples.ids)}
    return {name: positions[name] for name in in_turn if name in positions}


def of_examples(examples: Examples, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """A small JPEG or the beginning of the texts of some examples, by id."""
    wanted = set(names)
    positions = {name: k for k, name in enumerate(examples.ids) if name in wanted}
    found = {}
    for name in names:
        if name in positions:
            shown = _content(examples.content, positions[name])
            if shown:
                found[name] = shown
    return found


def _content(content: Content, index: int) -> dict[str, str]:
    try:
        thumbnail = modality_entry(content.modality).thumbnail
        if thumbnail:
            return {"image": jpeg(registry.load(thumbnail)(content, index, SIDE))}
        return {key: cut(value) for key, value in content.excerpt(index).items()}
    except (FmkitError, OSError, ValueError, TypeError, KeyError):  # broken since, or gone
        return {}


def cut(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def jpeg(picture: Any) -> str:
    """A picture as the address of a small JPEG."""
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return data_uri(stream.getvalue())


def batch_of_images(images: np.ndarray) -> list[str]:
    """Images (B, S, S, 3), uint8 or float from 0 to 255, as addresses of small JPEGs."""
    from PIL import Image

    pixels = np.clip(np.rint(np.asarray(images[:MOST], np.float32)), 0, 255).astype(np.uint8)
    shown = []
    for picture in map(Image.fromarray, pixels):
        picture.thumbnail((SIDE, SIDE))
        shown.append(jpeg(picture))
    return shown


def batches_seen(assembly: Any) -> dict[str, dict[str, Any]]:
    """By phase, what the network got of a training batch: photos as small JPEGs.

    Phases with the same augmentation are one entry. Empty where inputs are not photos.

    Args:
        assembly: of the run, `train.assemble.Assembly`.
    """
    by_preset: dict[str, dict[str, Any]] = {}
    names: dict[str, list[str]] = {}
    first = 0
    for phase in assembly.phases:
        if phase.name in assembly.skipped or phase.refit_of:
            continue
        augmentation = assembly.loader.augmentation(phase.augment)
        about = "as they are" if augmentation is None else augmentation.describe()
        if about not in by_preset:
            images = _first_images(assembly.training_batches(phase, first, 1))
            if images is None:
                return {}
            by_preset[about] = {"augment": about, "images": batch_of_images(images)}
        names.setdefault(about, []).append(phase.name)
        first += phase.steps
    return {", ".join(names[about]): row for about, row in by_preset.items()}


def _first_images(batches: Any) -> np.ndarray | None:
    """The photos of the first batch, (B, S, S, 3)."""
    inputs = next(iter(batches))[0]
    array = np.asarray(inputs[0] if isinstance(inputs, tuple | list) else inputs)
    return array if array.ndim == 4 and array.shape[-1] == 3 else None
