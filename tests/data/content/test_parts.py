"""Examples with several parts: taken, told apart, divided into splits, and found when copied."""

import numpy as np
import pytest

from fmkit.core.errors import DataError
from fmkit.data import splits
from fmkit.data.content.boxes import Boxes
from fmkit.data.content.composite import Composite
from fmkit.data.content.files import Recordings
from fmkit.data.content.images import ImageArray
from fmkit.data.content.target_content import Masks, TargetTexts
from fmkit.data.content.texts import Texts
from fmkit.data.examples import without_classes
from fmkit.data.quality import duplicates
from fmkit.data.stratify import limit_examples, strata

COUNT = 24
IDS = tuple(f"row-{index:06d}" for index in range(COUNT))


def images(count=COUNT):
    return ImageArray(np.random.default_rng(0).integers(0, 255, (count, 6, 8, 3), np.uint8))


def boxes():
    """Every image has a car, every fourth one a bus, too, and the last one nothing."""
    classes = [np.array([0, 1] if index % 4 == 0 else [0], np.int32) for index in range(COUNT - 1)]
    corners = [np.arange(4 * len(each), dtype=np.float32).reshape(-1, 4) for each in classes]
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.int32))
    return Boxes(("car", "bus"), (*corners, nothing[0]), (*classes, nothing[1]))


def detection():
    return without_classes(IDS, images(), boxes())


def segmentation():
    masks = np.random.default_rng(1).integers(0, 3, (COUNT, 6, 8), np.uint8)
    return without_classes(IDS, images(), Masks(ImageArray(masks), ("road", "sky", "tree")))


def translation():
    sources = Texts(tuple(f"sentence {index}" for index in range(COUNT)))
    targets = Texts(tuple(f"Satz {index}" for index in range(COUNT)))
    return without_classes(IDS, sources, TargetTexts(targets))


def speech():
    paths = tuple(f"/audio/{index}.wav" for index in range(COUNT))
    recordings = Recordings(paths, np.arange(COUNT) + 44)
    transcripts = Texts(tuple(f"number {index}" for index in range(COUNT)))
    return without_classes(IDS, recordings, TargetTexts(transcripts))


def visual_questions():
    questions = Texts(tuple(f"how many {index % 12}?" for index in range(COUNT)))
    answers = Texts(tuple(str(index) for index in range(COUNT)))
    content = Composite({"image": images(), "question": questions})
    return without_classes(IDS, content, TargetTexts(answers))


KINDS = {
    "boxes": (detection, "image", "boxes"),
    "masks": (segmentation, "image", "masks"),
    "target text": (translation, "text", "target_texts"),
    "transcript": (speech, "audio", "target_texts"),
    "image and question": (visual_questions, "image+text", "target_texts"),
}


@pytest.mark.parametrize("name", KINDS)
def test_splits_fingerprints_and_limits_work_for_every_kind(name):
    make, modality, kind = KINDS[name]
    examples = make()
    made = splits.make_splits(examples, 0.25, 0.25, 0)
    assert {split: len(members) for split, members in made.items()} == {
        "train": 12, "val": 6, "test": 6,
    }  # fmt: skip
    spec = splits.describe(examples, made)
    assert (spec.modality, spec.annotations) == (modality, kind)
    assert spec.fingerprint == make().fingerprint
    reversed_order = examples.take(np.arange(COUNT)[::-1])
    assert reversed_order.fingerprint == examples.fingerprint
    assert reversed_order.take(np.arange(COUNT)[::-1]).content.digest() == examples.content.digest()
    assert reversed_order.content.digest() != examples.content.digest()
    assert len(limit_examples(examples, 8)) == 8


@pytest.mark.parametrize("name", KINDS)
def test_a_copy_is_found_and_one_with_another_target_contradicts_it(name):
    examples = KINDS[name][0]()
    indices = np.array([*range(COUNT), 3])
    copied = examples.take(indices)
    changed = without_classes(
        (*IDS, "copy"), copied.content, examples.annotations.take(np.array([*range(COUNT), 5]))
    )
    exact = duplicates.find_duplicates(copied).exact
    expected = [] if name == "transcript" else [[3, 24]]  # files are compared when they are scanned
    assert exact == expected
    found = duplicates.conflicting_labels(changed, duplicates.DuplicateGroups([[3, 24]]))
    same_boxes = name == "boxes"  # images 3 and 5 have the same one
    assert [each.kind for each in found] == ([] if same_boxes else ["two_answers"])
    assert duplicates.conflicting_labels(copied, duplicates.DuplicateGroups([[3, 24]])) == []


def test_the_fingerprint_sees_every_target():
    one = detection()
    moved = boxes()
    moved.corners[5][0, 2] += 0.5
    assert without_classes(IDS, images(), moved).fingerprint != one.fingerprint
    moved = boxes()
    moved.classes[5][0] = 1
    assert without_classes(IDS, images(), moved).fingerprint != one.fingerprint
    texts = translation()
    changed = TargetTexts(Texts((*texts.annotations.content.texts[:-1], "Satz")))
    assert without_classes(IDS, texts.content, changed).fingerprint != texts.fingerprint


def test_detection_is_stratified_by_the_rarest_class_of_an_image():
    examples = detection()
    stratum, count = strata(examples)
    assert (stratum[:5].tolist(), int(stratum[-1]), count) == ([1, 0, 0, 0, 1], 2, 3)
    made = splits.make_splits(examples, 0.25, 0.25, 0)
    spec = splits.describe(examples, made)
    assert all(spec.class_counts[split]["bus"] >= 1 for split in ("train", "val", "test"))
    assert examples.annotations.summary() == {"boxes": 29, "without": 1}


def test_boxes_are_matched_by_name():
    aligned = boxes().align(("bus", "car", "tram"))
    assert [each.tolist() for each in aligned.classes[:2]] == [[1, 0], [1]]
    assert aligned.identity(0) == boxes().identity(0)
    with pytest.raises(DataError, match="'bus' was not in the training data"):
        boxes().align(("car",))


def test_targets_without_names_fit_any_run_of_their_kind():
    targets = translation().annotations
    assert targets.align(()) is targets
    masks = segmentation().annotations
    with pytest.raises(DataError, match=r"run learned sky, road.*data has masks of road, sky"):
        masks.align(("sky", "road"))


def test_a_composite_has_the_sizes_and_texts_of_its_parts():
    content = visual_questions().content
    assert list(content.size_columns()) == [
        "image_width", "image_height", "question_characters", "question_words",
    ]  # fmt: skip
    assert content.excerpt(3) == {"question": "how many 3?"}
    assert [part.text for part in content.text_parts()][:1] == ["how many 0?"]
    with pytest.raises(ValueError, match="one length"):
        Composite({"image": images(), "question": Texts(("one",))})
