"""Exports of annotation tools as rows: the right words, tags and classes, and what is refused."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image

from fmkit.config.registry import config_class
from fmkit.core.errors import DataError
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.tables import records
from fmkit.data.predict_inputs import list_texts
from fmkit.data.recognition.recognise import Request, recognise
from fmkit.data.sources.registry import collect

TEXT = "Anna Lee lives in New-York, Anna."
PARTS = [[0, 8, "PER"], [18, 26, "LOC"]]
OBJECTS = [{"start": first, "end": last, "label": label} for first, last, label in PARTS]
WORDS = ["Anna", "Lee", "lives", "in", "New", "-", "York", ",", "Anna", "."]
TAGS = ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "I-LOC", "O", "O", "O"]


def task(*results, text=TEXT, **annotation):
    annotation = {"result": [{"to_name": "text", **row} for row in results], **annotation}
    return {"id": 7, "data": {"text": text}, "annotations": [annotation], "meta": {}}


def choices(*names):
    return {"from_name": "mood", "type": "choices", "value": {"choices": list(names)}}


def spans(*parts):
    return [
        {"from_name": "ner", "type": "labels",
         "value": {"start": first, "end": last, "text": TEXT[first:last], "labels": [label]}}
        for first, last, label in parts
    ]  # fmt: skip


def rows(path, values, lines=False):
    text = "\n".join(map(json.dumps, values)) if lines else json.dumps(values, indent=1)
    path.write_text(text)
    return list(records(path))


def read(path, **changes):
    """What a file is taken for, and its examples."""
    settings = recognise(Request("data"), path).settings
    keys = {key.removeprefix("data."): value for key, value in settings.items() if "." in key}
    return settings, collect(config_class("data", settings["data"])(**keys, **changes))


SPANS = {
    "label studio": [task(*spans(*PARTS))],
    "spacy": [[TEXT, {"entities": PARTS}]],
    "doccano": [{"id": 1, "text": TEXT, "label": PARTS, "Comments": []}],
    "doccano with relations": [
        {"text": TEXT, "relations": [],
         "entities": [{"id": 1, "label": label, "start_offset": first, "end_offset": last}
                      for first, last, label in PARTS]}],
    "prodigy": [{"text": TEXT, "tokens": [{"text": "Anna", "start": 0, "end": 4, "id": 0}],
                 "spans": OBJECTS, "answer": "accept"}],
    "spacy 2": [{"id": 0, "paragraphs": [{"sentences": [
        {"tokens": [{"orth": word, "ner": tag} for word, tag in zip(WORDS, TAGS, strict=True)]}
    ]}]}],
}  # fmt: skip


@pytest.mark.parametrize("lines", [False, True], ids=["json", "jsonl"])
@pytest.mark.parametrize("name", SPANS)
def test_parts_of_texts_become_tags_of_words(name, lines, tmp_path):
    path = tmp_path / ("a.jsonl" if lines else "a.json")
    rows(path, SPANS[name] * 3, lines)
    settings, examples = read(path)
    assert (settings["data"], settings["task"]) == ("token_table", "token_classification")
    assert examples.content.words == (tuple(WORDS),) * 3
    tags = examples.annotations
    assert [tags.names[index] for index in tags.values[0]] == TAGS
    assert not examples.findings


def test_a_word_is_divided_where_an_entity_ends_and_two_may_touch(tmp_path):
    (record,) = rows(tmp_path / "a.json", [["NewYork10", {"entities": [[0, 3, "A"], [3, 7, "A"]]}]])
    assert record.value["tokens"] == ["New", "York", "10"]
    assert record.value["ner_tags"] == ["B-A", "B-A", "O"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([TEXT, {"entities": [[0, 8, "A"], [5, 9, "B"]]}], "overlap, at character 5"),
        ([TEXT, {"entities": [[0, 99, "A"]]}], "from 0 to 99 is not in the text of 33"),
        ([TEXT, {"entities": [[0, 4, ""]]}], "no position or no label"),
        ("a text", "not a text with its annotations"),
    ],
)
def test_what_is_wrong_with_an_entity_costs_its_row(value, why, tmp_path):
    good = [TEXT, {"entities": PARTS}]
    found = rows(tmp_path / "a.jsonl", [good, good], lines=True)
    assert [record.fault for record in found] == [None, None]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, [good] * 100 + [value, good])))
    found = list(records(tmp_path / "b.jsonl"))
    assert [record.number for record in found if record.fault] == [101]
    assert why in found[100].fault.why


def test_positions_that_do_not_fit_the_text_are_not_learned(tmp_path):
    shifted = spans(*PARTS)
    shifted[0]["value"]["text"] = "Bob"
    (record,) = rows(tmp_path / "a.json", [task(*shifted)])
    assert "'Anna Lee', not 'Bob'" in record.fault.why


def test_choices_of_label_studio_are_labels(tmp_path):
    values = [task(choices("good"), text="one text"), task(choices("bad"), text="another text")]
    values += [task(choices("good"), was_cancelled=True), {**values[0], "annotations": []}]
    rows(tmp_path / "a.json", values)
    settings, examples = read(tmp_path / "a.json")
    assert (settings["data.text_column"], settings["data.label_column"]) == ("text", "mood")
    assert examples.content.texts == ("one text", "another text")
    assert [examples.classes[label] for label in examples.labels] == ["good", "bad"]
    assert [finding.why for finding in examples.findings] == ["no label", "no label"]
    rows(tmp_path / "b.json", [task(choices("good", "new")), task(choices("bad"))] * 2)
    settings, examples = read(tmp_path / "b.json", labels="sets")
    assert settings["task"] == "multi_label"
    assert examples.annotations.names == ("bad", "good", "new")


@pytest.mark.parametrize(
    "path", ["/data/local-files/?d=photos/0.png", "/data/upload/1/0123abcd-0.png"]
)
def test_photos_as_label_studio_serves_them(path, tmp_path):
    (tmp_path / "photos").mkdir()
    values = []
    for number, name in enumerate(("cat", "dog")):
        Image.new("RGB", (4, 4)).save(tmp_path / "photos" / f"{number}.png")
        data = {"image": path.replace("0.png", f"{number}.png")}
        values.append({**task(choices(name)), "data": data})
    rows(tmp_path / "a.json", values)
    settings, examples = read(tmp_path / "a.json")
    assert settings["data"] == "image_table"
    assert examples.content.paths == tuple(str(tmp_path / "photos" / f"{n}.png") for n in (0, 1))


def test_regions_of_photos_are_refused(tmp_path):
    box = {"type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["cat"]}}
    (record,) = rows(tmp_path / "a.json", [task(box)])
    assert "marks parts of photos (rectanglelabels)" in record.fault.why


def test_categories_of_spacy_are_labels(tmp_path):
    values = [["a text", {"cats": {"good": 1.0, "bad": 0.0}}],
              ["another", {"cats": {"good": 0, "bad": 1}}]]  # fmt: skip
    rows(tmp_path / "a.json", values)
    settings, examples = read(tmp_path / "a.json")
    assert settings["data"] == "text_table"
    assert [examples.classes[label] for label in examples.labels] == ["good", "bad"]


ONE, TWO, NONE = {"good": 1, "bad": 0}, {"good": 0.9, "bad": 0.5}, {"good": False, "bad": False}


@pytest.mark.parametrize("second", [{"good": 0.1, "bad": 0.9}, TWO, NONE], ids=str)
def test_shares_of_categories_are_a_class_or_a_set(second, tmp_path):
    values = [{"text": f"text {n}", "cats": (ONE, second)[n % 2], "meta": {"n": n}}
              for n in range(6)]  # fmt: skip
    rows(tmp_path / "a.jsonl", values, lines=True)
    settings, examples = read(tmp_path / "a.jsonl", labels="classes" if 1 in second else "auto")
    assert settings["data.label_column"] == "label"
    if second not in (TWO, NONE):
        assert "task" not in settings
        assert [examples.classes[label] for label in examples.labels[:2]] == ["good", "bad"]
        return
    assert settings["task"] == "multi_label"
    _, examples = read(tmp_path / "a.jsonl", labels="sets")
    expected = [[True], [False]] if second is NONE else [[False, True], [True, True]]
    assert examples.annotations.indicators[:2].tolist() == expected


def argilla(number, answers, suggestion="bad", **cells):
    """A record of Argilla with answers to `mood` as pairs of a status and a value."""
    listed = [{"value": value, "user_id": "u", **({"status": status} if status else {})}
              for status, value in answers]  # fmt: skip
    return {"id": f"r{number}", "fields": {"text": f"text {number}"}, "metadata": {"n": number},
            "vectors": {}, "suggestions": {"mood": {"value": suggestion, "score": 0.5}},
            "responses": {"mood": listed} if listed else {}, **cells}  # fmt: skip


def flat_argilla(record):
    """A record as `to_list(flatten=True)` and `to_datasets` have it."""
    answers = record.pop("responses").get("mood")
    row = {**record.pop("fields"), "mood.suggestion": record.pop("suggestions")["mood"]["value"]}
    row["mood.responses"] = answers and [answer["value"] for answer in answers]
    row["mood.responses.status"] = answers and [answer.get("status") for answer in answers]
    return row


@pytest.mark.parametrize("kind", ["json", "jsonl", "flat.json", "parquet", "csv", "xlsx"])
def test_annotators_answers_are_learned_and_not_what_a_model_suggested(kind, tmp_path):
    answers = [
        [(None, "good")],  # exported without a status
        [("submitted", "sad"), ("submitted", "good")],  # the first one counts
        [("draft", "bad"), ("submitted", "good")],
        [("discarded", None)],
        [("draft", "good")],
        [],  # pending
    ]
    path = tmp_path / f"a.{kind}"
    values = [argilla(number, answers[number % 6]) for number in range(12)]
    if kind not in ("json", "jsonl"):
        values = [*map(flat_argilla, values)]
    if kind in ("parquet", "csv", "xlsx"):
        frame = pd.DataFrame(values)
        if kind == "xlsx":
            pytest.importorskip("openpyxl")
            lists = [name for name in frame if ".responses" in name]
            frame[lists] = frame[lists].astype(str)  # as a CSV has them
            frame.to_excel(path, index=False)
        elif kind == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        flat = next(records(path)).value
    else:
        flat = rows(path, values, kind == "jsonl")[0].value
    assert flat["mood.responses"] == ["good"]
    assert flat["mood.suggestion"] == "bad"
    assert "status may have labels" not in recognise(Request("data"), path).reason
    settings, examples = read(path)
    assert settings["data.label_column"] == "mood.responses"
    assert "task" not in settings
    names = [examples.classes[label] for label in examples.labels]
    assert names == ["good", "sad", "good"] * 2
    assert len(examples.findings) == 6
    assert all(finding.why.startswith("no label") for finding in examples.findings)
    assert len(list_texts(path, "text").texts) == 12


def test_answers_of_several_labels_are_sets_and_an_unanswered_row_is_not_an_empty_one(tmp_path):
    answers = [[("submitted", ["a", "b"])], [("submitted", [])], []]
    rows(tmp_path / "a.json", [argilla(n, answers[n % 3], ["c"]) for n in range(6)])
    settings, examples = read(tmp_path / "a.json", labels="sets")
    assert settings["task"] == "multi_label"
    assert examples.annotations.names == ("a", "b")
    assert examples.annotations.indicators.tolist() == [[True, True], [False, False]] * 2
    assert [finding.where for finding in examples.findings] == ["row-000002", "row-000005"]


def test_suggestions_are_learned_where_nobody_answered(tmp_path):
    values = [argilla(n, [], ("good", "bad")[n % 2], responses={}) for n in range(6)]
    rows(tmp_path / "a.json", values)
    settings, examples = read(tmp_path / "a.json")
    assert settings["data.label_column"] == "mood.suggestion"
    assert examples.classes == ("bad", "good")


def test_nested_objects_become_columns(tmp_path):
    values = [{"id": n, "data": {"text": f"text {n}"}, "gold": {"label": "ab"[n % 2]}}
              for n in range(6)]  # fmt: skip
    rows(tmp_path / "a.jsonl", values, lines=True)
    settings, examples = read(tmp_path / "a.jsonl")
    assert settings["data.text_column"] == "data.text"
    assert settings["data.label_column"] == "gold.label"
    assert len(examples) == 6


@pytest.mark.parametrize("key", ["data", "_source"])
def test_an_object_is_opened_whatever_stands_beside_it(key, tmp_path):
    user = {"login": "me", "plan": {"name": "free"}}
    values = [
        {"id": f"k{n}", "tags": ["x"], key: {"text": f"some text {n}"}, "category": "ab"[n % 2],
         "user": user} for n in range(6)
    ]  # fmt: skip
    found = rows(tmp_path / "a.jsonl", values, lines=True)
    assert found[1].value == {
        **values[1], f"{key}.text": "some text 1", "user.login": "me",
        "user.plan": {"name": "free"}, "user.plan.name": "free",
    }  # fmt: skip
    settings, examples = read(tmp_path / "a.jsonl")
    assert (settings["data.text_column"], settings["data.label_column"]) == (
        f"{key}.text",
        "category",
    )
    assert examples.content.texts[5] == "some text 5"
    inputs = list_texts(tmp_path / "a.jsonl", f"{key}.text")
    assert inputs.texts.texts == examples.content.texts
    documents = collect(
        config_class("data", "text_lines")(
            root=str(tmp_path / "a.jsonl"), text_column=f"{key}.text"
        )
    )
    assert len(documents) == 6
    assert not documents.findings


def test_messages_answers_and_choices_stay_whole(tmp_path):
    values = [
        {"question": "a?", "reply": {"role": "user", "content": "b"}},
        {"question": "a?", "answers": {"text": ["b"], "answer_start": [0]}},
        {"question": "a?", "mood": {"choices": ["x", "y"]}},
    ]
    assert [row.value for row in rows(tmp_path / "a.json", values)] == values


def test_labels_that_are_objects_with_a_name(tmp_path):
    labels = [
        [{"id": 1, "name": "billing"}],
        [{"id": 2, "name": "shipping"}, {"id": 1, "name": "billing"}],
        [],
    ]
    values = [{"body": f"some text {n}", "labels": labels[n % 3]} for n in range(6)]
    rows(tmp_path / "a.json", values)
    settings, examples = read(tmp_path / "a.json", labels="sets")
    assert settings["task"] == "multi_label"
    assert examples.annotations.names == ("billing", "shipping")
    assert examples.annotations.indicators[:3].tolist() == [
        [True, False],
        [True, True],
        [False, False],
    ]


def coco(**annotation):
    names = ["cat", "dog"]
    images = [{"id": n, "file_name": f"{n}.png", "width": 4, "height": 4} for n in range(3)]
    annotations = [{"image_id": n, "category_id": n % 2, **annotation} for n in range(3)]
    categories = [{"id": n, "name": name} for n, name in enumerate(names)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


@pytest.mark.parametrize("box", [None, [], [0, 0, 4, 4]], ids=["none", "empty", "whole"])
def test_categories_of_coco_are_classes_of_photos(box, tmp_path):
    for number in range(3):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    value = coco(**({} if box is None else {"bbox": box}))
    (tmp_path / "a.json").write_text(json.dumps(value))
    settings, examples = read(tmp_path / "a.json")
    assert settings["data"] == "image_table"
    assert [examples.classes[label] for label in examples.labels] == ["cat", "dog", "cat"]
    value["annotations"].append({"image_id": 0, "category_id": 1})
    (tmp_path / "a.json").write_text(json.dumps(value, indent=1))
    settings, examples = read(tmp_path / "a.json", labels="sets")
    assert settings["task"] == "multi_label"
    assert examples.annotations.indicators.tolist() == [[True, True], [False, True], [True, False]]


def test_boxes_of_coco_are_refused_with_a_command_that_makes_a_table(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(coco(bbox=[1, 1, 2, 2])))
    with pytest.raises(DataError, match="does not detect objects yet") as raised:
        recognise(Request("data"), tmp_path / "a.json")
    command = raised.value.message.split('python -c "')[1].split('"\n')[0]
    command = command.replace("'FILE'", "'a.json'")
    subprocess.run([sys.executable, "-c", command], cwd=tmp_path, check=True)
    frame = pd.read_csv(tmp_path / "labels.csv")
    assert frame["path"].tolist() == ["0.png", "1.png", "2.png"]
    assert frame["label"].tolist() == ["cat", "dog", "cat"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({**coco(caption="a cat"), "categories": []}, "captions of photos"),
        ({**coco(), "images": [{"id": [], "file_name": "a.png"}]}, "ids that are lists"),
    ],
)
def test_other_files_of_coco_are_refused(value, why, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(UnusableInput) as raised:
        list(records(tmp_path / "a.json"))
    assert why in raised.value.why


VIA = """\
#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes
a.png,9,"{""kind"":""cat""}",0,0,"{}","{}"
b.png,9,"{""kind"":""dog""}",1,0,"{""name"":""rect"",""x"":1}","{""part"":{""ear"":true,""tail"":true}}"
c.png,9,"{""kind"":""cat"",""light"":""dim""}",1,0,"{}","{""part"":{""ear"":true,""eye"":false}}"
"""


def test_attributes_of_via_are_plain_values(tmp_path):
    (tmp_path / "a.csv").write_text(VIA.removeprefix("#"))
    read = [record.value for record in records(tmp_path / "a.csv")]
    assert [row["file_attributes"] for row in read] == [
        "cat", "dog", '{"kind":"cat","light":"dim"}'
    ]  # fmt: skip
    assert [row["region_attributes"] for row in read] == ["", ["ear", "tail"], ["ear"]]
    for name in "abc":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    lines = VIA.removeprefix("#").splitlines()
    (tmp_path / "two.csv").write_text("\n".join(lines[:3]))
    config = config_class("data", "image_table")(root=str(tmp_path / "two.csv"))
    config.path_column, config.label_column = "filename", "file_attributes"
    assert collect(config).classes == ("cat", "dog")


def via_photo(name, attributes, regions=()):
    return {"filename": name, "size": 9, "file_attributes": attributes, "regions": regions}


def via_region(**attributes):
    shape = {"name": "rect", "x": 1, "y": 1, "width": 2, "height": 2}
    return {"shape_attributes": shape, "region_attributes": attributes}


VIA_PHOTOS = {
    "a.png9": via_photo("a.png", {"kind": "cat", "seen": {"day": True}}, [via_region(part="ear")]),
    "b.png9": via_photo("b.png", {"kind": "dog", "seen": {"day": True, "dusk": True}}),
    "c.png9": via_photo("c.png", {"kind": "cat", "seen": {}}),
}
VIA_3 = {
    "project": {"pname": "pets"},
    "config": {},
    "attribute": {
        "1": {"aname": "kind", "type": 3, "options": {"0": "cat", "1": "dog"}},
        "2": {"aname": "seen", "type": 2, "options": {"0": "day", "1": "dusk"}},
    },
    "file": {
        f"{k}": {"fid": k, "fname": f"{n}.png", "src": f"{n}.png"} for k, n in enumerate("abc")
    },
    "view": {f"{k}": {"fid_list": [k]} for k in range(3)},
    "metadata": {
        "0_x": {"vid": "0", "z": [], "xy": [], "av": {"1": "0", "2": "0"}},
        "0_y": {"vid": "0", "z": [], "xy": [2, 1, 1, 2, 2], "av": {"1": "1"}},
        "1_x": {"vid": "1", "z": [], "xy": [], "av": {"1": "1", "2": "0,1"}},
        "2_x": {"vid": "2", "z": [], "xy": [], "av": {"1": "0"}},
    },
}
VIA_FILES = {
    "annotations": VIA_PHOTOS,
    "project": {"_via_settings": {}, "_via_img_metadata": VIA_PHOTOS, "_via_attributes": {}},
    "of version 1": {key: {**photo, "regions": {}} for key, photo in VIA_PHOTOS.items()},
    "project of version 3": VIA_3,
}


@pytest.mark.parametrize("name", VIA_FILES)
def test_attributes_of_photos_in_the_json_of_via(name, tmp_path):
    (tmp_path / "via.json").write_text(json.dumps(VIA_FILES[name]))
    read = [record.value for record in records(tmp_path / "via.json")]
    assert [row["filename"] for row in read] == ["a.png", "b.png", "c.png"]
    assert [row["kind"] for row in read] == ["cat", "dog", "cat"]
    assert [row["seen"] for row in read] == [["day"], ["day", "dusk"], "" if "3" in name else []]
    for photo in "abc":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{photo}.png")
    settings = recognise(Request("data", {"label_column": "kind"}), tmp_path).settings
    assert settings["data.path_column"] == "filename"
    config = config_class("data", "image_table")(root=settings["data.root"])
    config.path_column, config.label_column = "filename", "kind"
    assert collect(config).classes == ("cat", "dog")


@pytest.mark.parametrize("are_lists", [True, False], ids=["version 2", "version 1"])
def test_regions_of_via_are_refused_with_the_command_for_their_classes(are_lists, tmp_path):
    regions = [[via_region(kind="cat"), via_region(kind="dog")], [via_region(kind="cat")], []]
    photos = {
        f"{n}.png9": via_photo(f"{n}.png", {}, r if are_lists else dict(enumerate(r)))
        for n, r in zip("abc", regions, strict=True)
    }
    (tmp_path / "FILE").write_text(json.dumps(photos))
    (tmp_path / "via.json").write_text(json.dumps(photos))
    with pytest.raises(UnusableInput, match="attributes of regions alone") as raised:
        list(records(tmp_path / "via.json"))
    code = raised.value.why.partition('-c "')[2].partition('"\n')[0]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert lines == ["path,label", "a.png,cat|dog", "b.png,cat", "c.png,"]


@pytest.mark.parametrize("value", [
    {"a": via_photo("a.png", {})}, {**VIA_3, "metadata": {}}, {**VIA_3, "view": {"0": {}}},
])  # fmt: skip
def test_other_files_of_via_are_refused(value, tmp_path):
    (tmp_path / "via.json").write_text(json.dumps(value))
    with pytest.raises(UnusableInput, match="VIA"):
        list(records(tmp_path / "via.json"))


def binary(text, answer, label="SPAM"):
    return {"text": text, "label": label, "answer": answer, "_input_hash": 1, "_task_hash": 2}


def test_what_an_annotator_rejected_is_the_other_class(tmp_path):
    answers = ["accept", "reject", "reject"]
    examples = [binary(f"a text with number {n}", answers[n % 3]) for n in range(30)]
    path = tmp_path / "x.jsonl"
    assert len(rows(path, examples, lines=True)) == 30
    settings, listed = read(path)
    assert (settings["data"], settings["data.root"]) == ("text_table", str(path))
    assert listed.classes == ("SPAM", "not SPAM")
    assert [listed.classes[label] for label in listed.labels[:3]] == [
        "SPAM",
        "not SPAM",
        "not SPAM",
    ]
    assert not [finding for finding in listed.findings if finding.is_error]


def test_rejected_examples_of_several_labels_are_refused_and_an_ignored_one_is_reported(tmp_path):
    path = tmp_path / "x.jsonl"
    several = [binary("a", "accept"), binary("b", "reject"), binary("c", "accept", label="HAM")]
    assert [record.value["label"] for record in rows(path, several, True)] == [
        "SPAM",
        "SPAM",
        "HAM",
    ]
    with pytest.raises(DataError, match="rejected or ignored"):
        recognise(Request("data"), path)
    ignored = [binary("a", "accept"), binary("b", "reject"), binary("c", "ignore")]
    assert [bool(record.fault) for record in rows(path, ignored, True)] == [False, False, True]
