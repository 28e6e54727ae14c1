"""What a path is taken for: every layout of files, and what cannot be told."""

import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fmkit.config.registry import SOURCES, config_class
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.recognition.recognise import Request, recognise
from fmkit.data.sources.registry import collect, list_examples

TEXTS = [f"this is text {number} of some" for number in range(40)]
NAMES = ["good", "bad"] * 20
NUMBERS = [number / 3 for number in range(40)]


def photos(root, *folders):
    for folder, number in itertools.product(folders, range(3)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / folder / f"{number}.png")


def texts(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("\n".join(TEXTS[:3]))


def table(root, name="data.csv", **columns):
    frame = pd.DataFrame(columns)
    if name.endswith(".parquet"):
        frame.to_parquet(root / name)
    elif name.endswith(".jsonl"):
        frame.to_json(root / name, orient="records", lines=True)
    else:
        frame.to_csv(root / name, index=False, sep={".tsv": "\t", ".ssv": ";"}.get(name[-4:], ","))


def lines(root, name, row):
    (root / name).write_text("\n".join([json.dumps(row)] * 4))


def tagged(root, name):
    (root / name).write_text("Anna B-PER\nlives O\nin O\nRome B-LOC\n\n" * 3)


def arrays(root, **arrays):
    np.savez(root / "data.npz", **arrays)


PIXELS, AGES = np.zeros((10, 8, 8), np.uint8), np.arange(10) / 3
IDS = [number % 3 for number in range(40)]
DATES = ["2026-11-30", "30.11.2026"] * 20
TWO_SPLITS = ("train", "test")
FILES = [f"{number % 3}.png" for number in range(40)]
LAYOUTS = {
    "class folders": (lambda d: photos(d, "cat", "dog"), "image_folder", {}),
    "split folders": (lambda d: photos(d, "train/a", "train/b", "test/a"), "image_folder", {}),
    "csv": (lambda d: table(d, text=TEXTS, label=NAMES), "text_table", {"model": "minilm"}),
    "jsonl": (lambda d: table(d, "data.jsonl", text=TEXTS, label=NAMES), "text_table", {}),
    "parquet": (lambda d: table(d, "data.parquet", text=TEXTS, label=NAMES), "text_table", {}),
    "other columns": (
        lambda d: table(d, "data.tsv", id=range(40), Review=TEXTS, Sentiment=NAMES),
        "text_table",
        {"data.text_column": "Review", "data.label_column": "Sentiment"},
    ),
    "any label": (
        lambda d: table(d, body=TEXTS, author_id=range(40), verdict=NAMES),
        "text_table",
        {"data.text_column": "body", "data.label_column": "verdict"},
    ),
    "pairs": (
        lambda d: table(d, premise=TEXTS, hypothesis=TEXTS, label=NAMES, split=["train"] * 40),
        "text_table",
        {"data.text_column": "premise", "data.pair_column": "hypothesis",
         "data.split_column": "split"},
    ),
    "numbers": (
        lambda d: table(d, text=TEXTS, score=NUMBERS),
        "text_table",
        {"data.label_column": "score", "task": "regression"},
    ),
    "stars": (lambda d: table(d, text=TEXTS, stars=[1, 2, 3, 4] * 10), "text_table", {}),
    "flags": (
        lambda d: table(d, text=TEXTS, rude=[0, 1] * 20, loud=[1, 1] * 20),
        "text_table",
        {"data.label_columns": ["rude", "loud"], "task": "multi_label"},
    ),
    "a rare flag": (
        lambda d: table(d, text=TEXTS, rude=[0] * 40, loud=[1, 0] * 20),
        "text_table",
        {"data.label_columns": ["rude", "loud"], "task": "multi_label"},
    ),
    "flags that nothing has": (
        lambda d: table(d, text=TEXTS, region_count=[0] * 40, region_id=[0] * 40, kind=NAMES),
        "text_table",
        {"data.label_column": "kind", "data.label_columns": None},
    ),
    "lists": (
        lambda d: table(d, text=TEXTS, labels=[["joy"], ["joy", "fear"]] * 20),
        "text_table",
        {"data.label_column": "labels", "task": "multi_label"},
    ),
    "joined labels": (
        lambda d: table(d, text=TEXTS, genres=["a;b", "b"] * 20),
        "text_table",
        {"data.label_separator": ";", "task": "multi_label"},
    ),
    "labels joined as doccano does, one never alone": (
        lambda d: table(d, text=TEXTS, label=["billing", "shipping", "billing#urgent",
                                              "shipping#urgent"] * 10),
        "text_table",
        {"data.label_separator": "#", "task": "multi_label"},
    ),
    "names with a comma": (
        lambda d: table(d, text=TEXTS, kind=["dog, small", "cat, small"] * 20),
        "text_table",
        {"data.label_column": "kind", "data.label_separator": None, "task": None},
    ),
    "a message and a comment on it": (
        lambda d: table(d, Comment=["called back"] * 20 + ["see mail, Tom"] * 20, Message=TEXTS,
                        Category=NAMES),
        "text_table",
        {"data.text_column": "Message", "data.label_column": "Category"},
    ),
    "a text of no usual name and a comment on it": (
        lambda d: table(d, Comment=["see mail"] * 40, **{"Customer message": TEXTS}, kind=NAMES),
        "text_table",
        {"data.text_column": "Customer message"},
    ),
    "comments alone": (
        lambda d: table(d, Comment=TEXTS, kind=NAMES),
        "text_table",
        {"data.text_column": "Comment"},
    ),
    "table of photos": (
        lambda d: (photos(d, "images"), table(d, image=FILES, age=NUMBERS)),
        "image_table",
        {"data.path_column": "image", "data.label_column": "age", "task": "regression"},
    ),
    "texts alone": (
        lambda d: table(d, text=TEXTS), "text_lines",
        {"task": "masked_lm", "stage": "continued", "model": "minilm"},
    ),
    "text folders": (lambda d: texts(d, "a/1.txt", "b/1.txt"), "text_folder", {}),
    "class files": (lambda d: texts(d, "a.txt", "b.txt"), "text_folder", {"model": "minilm"}),
    "documents": (lambda d: texts(d, "d1.txt", "d2.txt"), "text_files", {"task": "masked_lm"}),
    "tagged": (lambda d: tagged(d, "data.conll"), "conll", {"task": "token_classification"}),
    "tagged text": (lambda d: tagged(d, "data.txt"), "conll", {"model": "minilm"}),
    "tokens": (
        lambda d: lines(d, "data.jsonl", {"tokens": ["a", "b"], "pos_tags": ["X", "Y"]}),
        "token_table",
        {"data.tag_column": "pos_tags", "task": "token_classification"},
    ),
    "words": (
        lambda d: table(d, **{"Sentence #": [1, 1] * 20, "Word": NAMES, "Tag": ["O"] * 40}),
        "token_table",
        {"data.sentence_column": "Sentence #", "data.word_column": "Word"},
    ),
    "messages": (
        lambda d: lines(d, "data.jsonl", {"messages": [{"role": "user", "content": "a"}]}),
        "chat",
        {"task": "instruction", "stage": "adapters", "model": "smollm2"},
    ),
    "instructions": (
        lambda d: lines(d, "data.jsonl", {"instruction": "a", "input": "", "output": "b"}),
        "chat",
        {},
    ),
    "tickets with messages": (
        lambda d: lines(d, "data.jsonl", {"body": "a text of it", "label": 1, "messages": [
            {"author": "me", "text": "it is"}]}),
        "text_table",
        {"data.text_column": "body", "data.label_column": "label"},
    ),
    "conversations of a help desk": (
        lambda d: (d / "data.json").write_text(json.dumps({"total_count": 40, "conversations": [
            {"id": n, "source": {"body": TEXTS[n]}, "topic": NAMES[n]} for n in range(40)]})),
        "text_table",
        {"data.text_column": "source.body", "data.label_column": "topic"},
    ),
    "preferences": (
        lambda d: lines(d, "data.jsonl", {"prompt": "a", "chosen": "b", "rejected": "c"}),
        "preferences",
        {"task": "dpo", "stage": "preference"},
    ),
    "squad": (
        lambda d: (d / "data.json").write_text(json.dumps({"data": [{"paragraphs": []}] * 3})),
        "squad",
        {"task": "question_answering"},
    ),
    "arrays": (
        lambda d: arrays(d, images=PIXELS, labels=np.arange(10)), "arrays",
        {"data.image_key": "images", "data.label_key": "labels"},
    ),
    "measured arrays": (
        lambda d: arrays(d, x_train=PIXELS, age=AGES), "arrays",
        {"data.image_key": "x_train", "data.label_key": "age", "task": "regression"},
    ),
    "arrays of splits": (
        lambda d: arrays(d, train_images=PIXELS, train_labels=np.ones((10, 1), int),
                         test_images=PIXELS, test_labels=np.ones((10, 1), int)), "arrays",
        {"data.image_key": "images", "data.label_key": "labels", "task": None},
    ),
    "tagged splits": (
        lambda d: [tagged(d, f"eng.{split}") for split in ("train", "testa", "testb")], "conll",
        {"task": "token_classification"},
    ),
    "photos by id": (  # as competitions have them
        lambda d: (photos(d, "train", "test"), table(d, "train.csv", id=IDS, label=NAMES),
                   table(d, "sample_submission.csv", id=IDS, label=["good"] * 40)),
        "image_table",
        {"data.path_column": "id", "data.label_column": "label"},
    ),
    "records of tools": (
        lambda d: table(d, text=TEXTS, _input_hash=range(40), created_at=DATES, Datum=DATES,
                        verdict=NAMES),
        "text_table",
        {"data.label_column": "verdict"},
    ),
    "argilla": (
        lambda d: table(d, "data.parquet", id=range(40), status=["pending", "completed"] * 20,
                        text=TEXTS, **{"mood.responses": [None, ["good"], None, ["bad"]] * 10,
                                       "mood.responses.status": [None, ["submitted"]] * 20,
                                       "mood.suggestion": NAMES}),
        "text_table",
        {"data.label_column": "mood.responses", "task": None},
    ),
    "one inside another": (lambda d: photos(d, "photos/cat", "photos/dog"), "image_folder", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised(name, tmp_path):
    make, source, expected = LAYOUTS[name]
    make(tmp_path)
    settings = recognise(Request("data"), tmp_path).settings
    assert settings["data"] == source
    assert {key: settings.get(key) for key in expected} == expected
    if name in ("csv", "class folders", "stars", "arrays"):  # classification is the default
        assert "task" not in settings
    if name == "table of photos":
        assert settings["data.image_root"] == str(tmp_path / "images")
    if name == "one inside another":
        assert settings["data.root"] == str(tmp_path / "photos")


def test_a_title_without_a_header_and_the_names_of_numbered_classes_are_named(tmp_path):
    rows = [
        f'"{n % 3 + 1}","a title of number {n}","what is in the article of number {n}, at length"'
        for n in range(40)
    ]
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("\n".join(rows))
    request = Request("news")
    reason = recognise(request, tmp_path).reason
    assert "column_2 may be the text, too: data.text_column=column_2" in reason
    assert "classes.txt" not in reason
    (tmp_path / "classes.txt").write_text("World\nSports\n")
    assert "classes.txt" not in recognise(request, tmp_path).reason  # a third has no name
    (tmp_path / "classes.txt").write_text("World\nSports\nBusiness\n")
    assert "classes.txt seems to name the classes and is not read" in (
        recognise(request, tmp_path).reason
    )


def test_other_texts_of_a_table_are_named(tmp_path):
    notes = [f"see mail {number}" for number in range(40)]
    table(tmp_path, Ticket=range(40), Message=TEXTS, Category=NAMES, Comment=notes)
    assert "Comment may be the text, too: data.text_column=Comment" in (
        recognise(Request("data"), tmp_path / "data.csv").reason
    )
    chosen = Request("data", {"text_column": "Message"})
    assert "Comment" not in recognise(chosen, tmp_path / "data.csv").reason


SENTIMENT140 = "\n".join(
    f'"{4 * (n % 2)}","{1467810369 + n}","Mon Apr 06 22:19:45 2009","NO_QUERY","u{n}","it is, {n}"'
    for n in range(40)
)
SMS = "\n".join(f"{('ham', 'spam')[n % 2]}\tit is, number {n}, {'x, ' * n}" for n in range(40))
FIRST_AND_FIFTH = {"data.label_column": "column_1", "data.text_column": "column_6"}
PATH_AND_CLASS = {"data.path_column": "column_1", "data.label_column": "column_2"}
HEADERLESS = {
    "a.csv": (SENTIMENT140, "text_table", FIRST_AND_FIFTH),
    "SMSSpamCollection": (SMS, "text_table", {"data.text_column": "column_2"}),
    "sms.tsv": (SMS, "text_table", {"data.text_column": "column_2"}),
    "sms.txt": (SMS, "text_table", {"data.label_column": "column_1"}),
    "quotes.tsv": (SMS.replace("it is", '"it is'), "text_table", {"data.quotes": False}),
    "photos.csv": ("images/0.png,cat\nimages/1.png,dog\n" * 9, "image_table", PATH_AND_CLASS),
    "train.txt": ("images/0.png 3\nimages/1.png 1\n" * 9, "image_table", PATH_AND_CLASS),
    "val.txt": ("images/0.png 3\nimages/1.png 1\n", "image_table", PATH_AND_CLASS),
}


@pytest.mark.parametrize("name", HEADERLESS)
def test_a_table_without_a_header_is_read_by_numbered_columns(name, tmp_path):
    content, source, expected = HEADERLESS[name]
    (tmp_path / name).write_text(content)
    photos(tmp_path, "images")
    result = recognise(Request("data"), tmp_path / name)
    assert result.settings.items() >= expected.items()
    assert (result.settings["data"], result.settings["data.header"]) == (source, False)
    assert "without a header" in result.reason
    keys = {
        key.removeprefix("data."): value for key, value in result.settings.items() if "." in key
    }
    listed = collect(config_class("data", source)(**keys))
    assert len(listed) == (2 if source == "image_table" else 40)  # repeated rows count once
    del keys["header"]  # the names of the columns say it, too
    assert collect(config_class("data", source)(**keys)).ids == listed.ids


def test_years_as_columns_are_a_header(tmp_path):
    (tmp_path / "a.csv").write_text("text,2023,2024\nit is,1.5,2.5\nit is not,1,2\n")
    with pytest.raises(ConfigError, match="2023"):
        recognise(Request("data"), tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_table_that_excel_calls_unicode_text(encoding, tmp_path):
    rows = "".join(f"{text} \u00fc\t{name}\r\n" for text, name in zip(TEXTS, NAMES, strict=True))
    (tmp_path / "a.txt").write_bytes(f"text\tlabel\r\n{rows}".encode(encoding))
    settings = recognise(Request("data"), tmp_path / "a.txt").settings
    assert (settings["data"], settings["data.encoding"]) == ("text_table", encoding)
    assert settings["data.label_column"] == "label"
    (tmp_path / "b.txt").write_bytes("one line\nand another\n".encode(encoding))
    settings = recognise(Request("data"), tmp_path / "b.txt").settings
    assert (settings["data"], settings["data.encoding"]) == ("text_lines", encoding)


SPLITS = {
    "tables": (lambda d: [table(d, f"{x}.csv", text=TEXTS, label=NAMES) for x in TWO_SPLITS],
               "text_table", [(40, "train"), (40, "test")]),
    "formats": (lambda d: [table(d, "train.jsonl", text=TEXTS, label=NAMES),
                           table(d, "valid.jsonl", text=TEXTS, label=NAMES),
                           table(d, "test.parquet", text=TEXTS, label=NAMES)],
                "text_table", [(40, "train"), (40, "val"), (40, "test")]),
    "shards": (lambda d: [(d / "data").mkdir(), (d / "README.md").touch(),
                          *(table(d / "data", f"{x}.parquet", text=TEXTS, label=NAMES)
                            for x in ("test-00000-of-00001", "train-00000-of-00002",
                                      "train-00001-of-00002"))],
               "text_table", [(80, "train"), (40, "test")]),
    "submission": (lambda d: [table(d, "train.csv", id=range(40), text=TEXTS, target=NAMES),
                              table(d, "test.csv", id=range(40), text=TEXTS),
                              table(d, "sample_submission.csv", id=range(40), target=NAMES)],
                   "text_table", [(40, "")]),
    "labels apart": (lambda d: [table(d, "train.csv", id=range(40), text=TEXTS, target=NAMES),
                                table(d, "val.csv", id=range(40), text=TEXTS, target=NAMES),
                                table(d, "test.csv", id=range(40), text=TEXTS),
                                table(d, "test_labels.csv", id=range(40), target=NAMES)],
                     "text_table", [(40, "train"), (40, "val")]),
    "words apart": (lambda d: [table(d, f"{x}.jsonl", tokens=[["a"]] * 40, ner_tags=[["O"]] * 40)
                               for x in TWO_SPLITS]
                    + [table(d, "test_tags.jsonl", ner_tags=[["O"]] * 40)],
                    "token_table", [(40, "train"), (40, "test")]),
    "parts": (lambda d: [table(d, f"part-{x}.csv", text=TEXTS, label=NAMES) for x in range(3)],
              "text_table", [(120, "")]),
    "photos": (lambda d: [(photos(d, x), table(d / x, file=FILES, label=NAMES))
                          for x in TWO_SPLITS],
               "image_table", [(3, "train"), (3, "test")]),
    "photos beside": (lambda d: [photos(d, "images", "other"),
                                 table(d, "train.csv", file=FILES, age=NUMBERS),
                                 table(d, "test.csv", file=["0.png"] * 40, age=NUMBERS)],
                      "image_table", None),
    "words": (lambda d: [table(d, f"{x}.jsonl", tokens=[["a"]] * 40, ner_tags=[["O"]] * 40)
                         for x in TWO_SPLITS],
              "token_table", [(40, "train"), (40, "test")]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPLITS)
def test_tables_in_a_folder_are_the_splits(name, tmp_path):
    make, source, expected = SPLITS[name]
    make(tmp_path)
    settings = recognise(Request("data"), tmp_path).settings
    root = tmp_path / "data" if name == "shards" else tmp_path
    assert (settings["data"], settings["data.root"]) == (source, str(root))
    if expected is None:
        assert settings["data.image_root"] == str(tmp_path / "images")
        return
    keys = {key.removeprefix("data."): value for key, value in settings.items() if "." in key}
    listed = collect(config_class("data", source)(**keys))
    splits = [""] * len(listed) if listed.splits is None else listed.splits.tolist()
    assert {(splits.count(split), split) for split in splits} == set(expected)
    assert len(set(listed.ids)) == len(listed)
    left_out = [finding.why for finding in listed.findings if finding.kind == "unlabelled_table"]
    assert len(left_out) == {"submission": 1, "labels apart": 2, "words apart": 1}.get(name, 0)
    if name == "labels apart":
        assert "test_labels.csv lacks the column 'text': left out." in left_out
        del left_out[0]
    if name in ("submission", "labels apart"):
        assert "test.csv lacks the column 'target'" in left_out[0]
        assert f"fmkit predict run=last input={tmp_path / 'test.csv'}" in left_out[0]


def test_a_table_of_ids_whose_photos_are_in_subfolders_is_one_of_photos(tmp_path):
    for number in range(40):
        folder = tmp_path / "train_images" / str(number % 4)
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"a{number:03d}.jpg")
    ids = [f"a{number:03d}" for number in range(40)]
    table(tmp_path, "train.csv", image_id=ids, source=["phone", "drone"] * 20, label=NAMES)
    (tmp_path / "label_names.json").write_text('{"0": "good", "1": "bad"}')
    for path in (tmp_path, tmp_path / "train.csv"):
        settings = recognise(Request("data"), path).settings
        assert settings["data"] == "image_table"
        assert settings["data.path_column"] == "image_id"
        keys = {key.removeprefix("data."): value for key, value in settings.items() if "." in key}
        listed = collect(config_class("data", "image_table")(**keys))
        assert len(listed) == 40
        assert listed.ids[1] == "train_images/1/a001.jpg"


def test_the_folder_of_photos_is_found_some_folders_below_a_table(tmp_path):
    photos(tmp_path, "2024/jan", "2024/feb")
    names = [f"jan/{number % 3}.png" for number in range(40)]
    table(tmp_path, "list.csv", file=names, label=NAMES)
    settings = recognise(Request("data"), tmp_path / "list.csv").settings
    assert settings["data.image_root"] == str(tmp_path / "2024")


def test_a_table_whose_photos_exist_is_preferred(tmp_path):
    photos(tmp_path, "a")
    table(tmp_path, "train.csv", file=["x.png"] * 40, label=NAMES)
    table(tmp_path, "zoo.csv", file=["a/0.png", "a/1.png"] * 20, label=NAMES)
    result = recognise(Request("data"), tmp_path)
    assert result.settings["data.root"] == str(tmp_path / "zoo.csv")
    assert "train.csv not read" in result.reason


@pytest.mark.parametrize("has_labels", [False, True], ids=["partition_alone", "attributes"])
def test_a_number_of_a_split_is_not_a_label(has_labels, tmp_path):
    photos(tmp_path, "img_align_celeba")
    ids = [f"{number}.png" for number in range(3)]
    table(tmp_path, "list_eval_partition.csv", image_id=ids, partition=[0, 1, 2])
    if has_labels:
        table(tmp_path, "list_attr_celeba.csv", image_id=ids, Mug=[1, -1, -1], Young=[-1, 1, 1])
    if has_labels:
        settings = recognise(Request(str(tmp_path)), tmp_path).settings
        assert settings["data.label_columns"] == ["Mug", "Young"]
        result = recognise(Request(str(tmp_path), {"label_column": "Mug"}), tmp_path)
        assert result.settings["data.root"].endswith("list_attr_celeba.csv")
        return
    with pytest.raises(DataError) as caught:
        recognise(Request(str(tmp_path)), tmp_path)
    assert "data.label_column=partition" not in str(caught.value)


def test_every_source_of_a_users_files_is_recognised(tmp_path):
    recognised = {source for _, source, _ in LAYOUTS.values()} | {"photos"}
    assert recognised == {name for name, entry in SOURCES.items() if not entry.is_packaged}


@pytest.mark.parametrize(
    ("make", "error", "said", "advice"),
    [
        (lambda d: photos(d, "."), DataError, "3 photos", "fmkit pretrain"),
        (lambda d: photos(d, "cat"), DataError, "3 photos", "folder named after it"),
        (lambda d: table(d, text=TEXTS, one=NAMES, two=NAMES), ConfigError,
         "one or two", "fmkit finetune reviews data.label_column=one"),
        (lambda d: table(d, a=NUMBERS, b=NUMBERS), ConfigError, "a, b", "data.text_column=COLUMN"),
        (lambda d: [table(d, f"{x}.csv", text=TEXTS, label=NAMES) for x in "ab"], ConfigError,
         "a.csv, b.csv", "a.csv"),
        (lambda d: arrays(d, a=PIXELS), DataError, "10 labels beside a", "data.label_key=NAME"),
        (lambda d: arrays(d, a=PIXELS, b=PIXELS), DataError, "2 arrays", "data.image_key=a"),
        (lambda d: arrays(d, a=AGES), DataError, "a (10,)", ""),
        (lambda d: table(d, text=TEXTS, spans=[[[0, 4, "PER"]]] * 40), ConfigError,
         "column spans marks", "save it as .jsonl"),
        (lambda d: (d / "a.csv").write_bytes("text,label\nsehr schön,gut\n".encode("cp1252")),
         DataError, "is not UTF-8", "data.encoding=cp1252"),
        (lambda d: (d / "a.txt").write_text("__label__pos a text\n__label__neg another\n"),
         DataError, "fastText", "such as .csv"),
        (lambda d: [photos(d, "a"), *(table(d, f"{x}.csv", file=["x.png"] * 40, label=NAMES)
                                      for x in "ab")],
         DataError, "2 tables that name photos (a.csv, b.csv)", "data.image_root=FOLDER"),
        (lambda d: None, DataError, "it is empty", ""),
        (lambda d: (d / "a.xyz").touch(), DataError, "it has 1 .xyz", ""),
        (lambda d: (d / "data.csv").write_text(""), DataError, "data.csv", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_said(make, error, said, advice, tmp_path):
    make(tmp_path)
    with pytest.raises(error) as raised:
        recognise(Request("reviews", line="fmkit finetune reviews"), tmp_path)
    assert said in raised.value.message
    assert advice in raised.value.hint


@pytest.mark.parametrize(
    ("name", "said"), [("a.jpg", "one photo"), ("a.zip", "an archive"), ("a.exe", "not a data set")]
)
def test_a_file_that_is_not_a_data_set(name, said, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=said):
        recognise(Request(name), tmp_path / name)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("label", ["label", "digit", None], ids=str)
def test_a_table_of_pixels_is_refused_with_the_lines_that_convert_it(label, header, tmp_path):
    levels = np.arange(640).reshape(10, 64) % 17
    frame = pd.DataFrame(levels, columns=[f"pixel{number}" for number in range(64)])
    if label:
        frame.insert(0, label, [0, 1] * 5 if label == "digit" else ["cat", "dog"] * 5)
    frame.to_csv(tmp_path / "a.csv", index=False, header=header)
    with pytest.raises(DataError, match="64 columns") as raised:
        recognise(Request("a"), tmp_path / "a.csv")
    code = raised.value.hint.partition("\n")[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    saved = np.load(tmp_path / "a.npz", allow_pickle=True)
    assert np.array_equal(saved["images"], levels.reshape(10, 8, 8))
    assert ("labels" in saved.files) == (label is not None)
    if label:
        assert saved["labels"].tolist() == frame[label].tolist()


def test_the_users_encoding_is_read_by(tmp_path):
    (tmp_path / "a.csv").write_bytes("text,label\nein Wort hier,schön\n".encode("cp1252") * 9)
    settings = recognise(Request("a", {"encoding": "cp1252"}), tmp_path / "a.csv").settings
    assert settings["data"] == "text_table"


def test_descriptions_beside_data_are_not_data(tmp_path):
    (tmp_path / "README.md").write_text("# A data set")
    table(tmp_path, text=TEXTS, label=NAMES)
    assert recognise(Request("a"), tmp_path).settings["data"] == "text_table"
    (tmp_path / "data.csv").unlink()
    with pytest.raises(DataError, match="no photos, texts or tables"):
        recognise(Request("a"), tmp_path)


def test_photos_without_labels_are_for_pretraining(tmp_path):
    photos(tmp_path, ".")
    settings = recognise(Request("photos", needs_labels=False), tmp_path).settings
    assert settings["data"] == "photos"
    assert (settings["task"], settings["stage"]) == ("simclr", "self_supervised")


def test_a_column_that_the_user_names_is_the_label(tmp_path):
    table(tmp_path, text=TEXTS, label=NAMES, price=NUMBERS)
    settings = recognise(Request("t", {"label_column": "price"}), tmp_path).settings
    assert (settings["data.label_column"], settings["task"]) == ("price", "regression")


@pytest.mark.parametrize("price", ["12,22", "1.000,50", "-3,5"])
def test_decimal_commas_are_not_dropped(price, tmp_path):
    table(tmp_path, "data.tsv", text=TEXTS, price=[price] * 40)
    with pytest.raises(ConfigError, match="decimal comma, such as " + price):
        recognise(Request("data"), tmp_path)


def test_what_an_annotator_rejected_is_not_learned(tmp_path):
    record = {"text": "some text here", "label": "a", "_task_hash": 1, "answer": "reject"}
    lines(tmp_path, "data.jsonl", record)
    with pytest.raises(DataError, match="4 of its first 4 examples were rejected"):
        recognise(Request("data"), tmp_path)
    lines(tmp_path, "data.jsonl", record | {"answer": "accept"})
    assert recognise(Request("data"), tmp_path).settings["data"] == "text_table"


def test_numbers_of_rows_are_not_names_of_photos_beside_a_table_of_texts(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / f"{number}.jpg")
    path = tmp_path / "tickets.csv"
    table(tmp_path, path.name, id=range(40), text=TEXTS, label=NAMES)
    result = recognise(Request("tickets.csv"), path)
    assert (result.settings["data"], result.settings.get("data.path_column")) == (
        "text_table",
        None,
    )
    assert "the numbers in id are also names of photos in" in result.reason
    assert "data.path_column=id" in result.reason
    settings = recognise(Request("tickets.csv", {"path_column": "id"}), path).settings
    assert (settings["data"], settings["data.image_root"]) == (
        "image_table",
        str(tmp_path / "pictures"),
    )
    with pytest.raises(DataError, match="40 photos") as raised:  # of both, neither is the data set
        recognise(Request("data"), tmp_path)
    assert "To learn from tickets.csv: name that file" in raised.value.hint
    reason = recognise(Request("data", needs_labels=False), tmp_path).reason
    assert reason.startswith("photos without labels (tickets.csv not read, since it does not name")
    assert "To learn from it: fmkit finetune)" in reason
    table(tmp_path, path.name, id=range(40), label=["tabby cat", "grey dog"] * 20)
    assert recognise(Request("tickets.csv"), path).settings["data.path_column"] == "id"
    table(tmp_path, path.name, id=range(40), grade=["tabby cat", "grey dog"] * 20)
    for number in range(40, 50):  # more than a few that are not in the table
        Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / f"{number}.jpg")
    settings = recognise(Request("tickets.csv"), path).settings
    assert settings["data"] != "image_table"
    table(tmp_path, path.name, id=range(40), grade=NAMES)
    with pytest.raises(ConfigError, match="no column has photos or texts") as raised:
        recognise(Request("tickets.csv"), path)
    assert "data.path_column=id" in raised.value.hint


UNITS = {
    "percent": [f"{number}%" for number in range(40)],
    "dollars": [f"${number * 3000:,.2f}" for number in range(40)],
    "euros": [f"{number}.500,00 €" for number in range(1, 41)],
}


@pytest.mark.parametrize("name", UNITS)
def test_numbers_with_a_unit_are_for_regression(name, tmp_path):
    table(tmp_path, text=TEXTS, occupancy=UNITS[name])
    settings = recognise(Request("data"), tmp_path).settings
    assert (settings["data.label_column"], settings["task"]) == ("occupancy", "regression")
    config = config_class("data", "text_table")(
        root=str(tmp_path / "data.csv"), label_column="occupancy", labels="numbers"
    )
    values = collect(config).annotations.values.ravel().tolist()
    assert values[:3] == {
        "percent": [0, 1, 2], "dollars": [0, 3000, 6000], "euros": [1500, 2500, 3500],
    }[name]  # fmt: skip


@pytest.mark.parametrize("text", ["{n},4 bar", "{n} min", "{n} °C", "{n},50 Stück", "{n}/40"])
def test_numbers_that_are_not_read_are_named_beside_photos_and_texts(text, tmp_path):
    values, chosen = [text.format(n=n) for n in range(40)], {"label_column": "read"}
    photos(tmp_path, "img")
    table(tmp_path, photo=[f"img/{n % 3}.png" for n in range(40)], read=values)
    for keys in ({}, chosen):
        with pytest.raises(ConfigError, match=r"read has numbers .* that fmkit does not read"):
            recognise(Request("data", chosen=keys), tmp_path / "data.csv")
    table(tmp_path, text=TEXTS, read=values, kind=NAMES)
    assert "read may have labels" in recognise(Request("data"), tmp_path / "data.csv").reason
    with pytest.raises(ConfigError, match=r"read has numbers .* that fmkit does not read"):
        recognise(Request("data", chosen=chosen), tmp_path / "data.csv")
    table(tmp_path, photo=FILES, note=TEXTS)
    with pytest.raises(DataError, match=r"no column of it has labels; the others are note") as told:
        recognise(Request("data"), tmp_path / "data.csv")
    assert "data.label_column=note" in told.value.hint


def test_a_table_beside_photos_says_why_it_is_not_read(tmp_path):
    photos(tmp_path, "img")
    table(tmp_path, photo=FILES, shape=NAMES, grade=["high", "low"] * 20)
    table(tmp_path, "notes.csv", a=[1, 2], b=[3, 4])
    request = Request(str(tmp_path), needs_labels=False, line=f"fmkit check {tmp_path}")
    reasons = [recognise(request, tmp_path).reason]
    with pytest.raises(DataError) as told:
        recognise(Request(str(tmp_path), line=request.line), tmp_path)
    reasons.append(told.value.message)
    photos(tmp_path, "other")
    reasons.append(recognise(request, tmp_path).reason)
    assert reasons[2].startswith("photos in a folder for each class (")
    for reason in reasons:
        assert "data.csv not read: which column has the labels? It may be shape or grade" in reason
        assert f"fmkit check {tmp_path} data.label_column=shape" in reason
        assert "notes.csv not read: no column has photos or texts" in reason
        assert f"To learn from it: fmkit check {tmp_path}/notes.csv" in reason
    chosen = Request(str(tmp_path), {"label_column": "shape"}, needs_labels=False)
    assert recognise(chosen, tmp_path).settings["data"] == "image_table"
    (tmp_path / "notes.csv").unlink()
    with pytest.raises(DataError, match=r"no column 'shap' .did you mean shape"):
        recognise(Request(str(tmp_path), {"label_column": "shap"}, needs_labels=False), tmp_path)


def test_few_amounts_are_classes_and_mixed_ones_are_refused(tmp_path):
    table(tmp_path, text=TEXTS, refund=["$10.00", "$25.00"] * 20)
    assert "task" not in recognise(Request("data"), tmp_path).settings
    table(tmp_path, text=TEXTS, refund=[f"{'$€'[n % 2]}{n}.50" for n in range(40)])
    with pytest.raises(ConfigError, match=r"refund has numbers in .* one unit can be learned"):
        recognise(Request("data"), tmp_path)
    table(tmp_path, text=TEXTS, price=[f"{n}k" for n in range(40)])
    with pytest.raises(ConfigError, match="a unit that fmkit does not read, such as 0k"):
        recognise(Request("data"), tmp_path)
    table(tmp_path, text=TEXTS, price=["330,000", "12,500"] * 20)
    with pytest.raises(ConfigError, match="before decimals or after thousands, such as 330,000"):
        recognise(Request("data"), tmp_path)


def test_columns_that_are_not_read_are_named(tmp_path):
    table(tmp_path, text=TEXTS, where=[f"{n} a" for n in range(40)], when=DATES)
    result = recognise(Request("data"), tmp_path)
    assert result.settings["data"] == "text_lines"
    assert "(where, when are not read: if labels, data.label_column=COLUMN)" in result.reason
    table(tmp_path, text=TEXTS, label=NAMES, mood=["up", "down"] * 20, helpful=IDS)
    reason = recognise(Request("data"), tmp_path).reason
    assert "mood, helpful may have labels, too, and are not read" in reason
    named = Request("data", {"label_column": "label"})
    assert "may have labels" not in recognise(named, tmp_path).reason


def test_joined_answers_of_forms_are_sets(tmp_path):
    table(tmp_path, text=TEXTS, topic=["account, shipping", "account", "shipping", "billing"] * 10)
    settings = recognise(Request("data"), tmp_path).settings
    assert (settings["task"], settings["data.label_separator"]) == ("multi_label", ",")
    table(tmp_path, text=TEXTS, topic=["Smith, John", "Doe, Jane"] * 20)
    assert "task" not in recognise(Request("data"), tmp_path).settings


def test_marks_in_a_workbook(tmp_path):
    frame = pd.DataFrame({"text": TEXTS, "hot": ["x", None] * 20, "cold": [None, "X"] * 20})
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    settings = recognise(Request("a.xlsx"), tmp_path / "a.xlsx").settings
    assert settings["task"] == "multi_label"
    assert settings["data.label_columns"] == ["hot", "cold"]
    config = config_class("data", "text_table")(
        root=str(tmp_path / "a.xlsx"), label_columns=["hot", "cold"], labels="sets"
    )
    indicators = collect(config).annotations.indicators
    assert indicators[:2].tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize("name", ["a.xlsx", "a.json"])
def test_a_file_that_is_not_a_stream_is_not_proposed_as_lines(name, tmp_path):
    frame = pd.DataFrame({"text": TEXTS, "customer": [f"c{n}" for n in range(40)]})
    if name == "a.xlsx":
        frame.to_excel(tmp_path / name, index=False)
    else:
        frame.to_json(tmp_path / name, orient="records")
    with pytest.raises(DataError, match="no column that fmkit takes for labels") as raised:
        recognise(Request(name), tmp_path / name)
    assert "data.label_column=COLUMN" in raised.value.hint


HOURS = [f"{n % 7}h {n}m" for n in range(40)]


def test_numbers_of_rows_are_not_labels_and_times_beside_them_are_named(tmp_path):
    table(tmp_path, ticket_no=range(500, 540), message=TEXTS, handling=HOURS)
    with pytest.raises(DataError, match=r"handling has times .* not read, such as 0h 0m"):
        recognise(Request("data"), tmp_path)
    settings = recognise(Request("data", needs_labels=False), tmp_path).settings
    assert settings["data"] == "text_lines"
    table(tmp_path, ticket_no=range(500, 540), message=TEXTS, handling=HOURS, team=NAMES)
    result = recognise(Request("data"), tmp_path)
    assert result.settings["data.label_column"] == "team"
    assert "handling may have labels, too" in result.reason


def test_signs_for_nothing_in_a_column_of_numbers(tmp_path):
    config = config_class("data", "text_table")(
        root=str(tmp_path / "data.csv"), label_column="change", labels="numbers"
    )
    for unit, blank in (("", "-"), (" %", "n/a")):
        values = [f"{n}.50{unit}" for n in range(35)] + [blank] * 5
        table(tmp_path, text=TEXTS, change=values)
        settings = recognise(Request("data"), tmp_path).settings
        assert (settings["data.label_column"], settings["task"]) == ("change", "regression")
        with pytest.raises(DataError, match=f"'change': no number, but '{blank}' .line 37"):
            list_examples(config)


MEASURED = {
    "accounting": ([f"({n},723.00)" for n in range(1, 21)] + [f"{n}.00" for n in range(20)], "br"),
    "degrees that repeat": ([f"{n % 9} °C" for n in range(40)], "numbers with a unit"),
    "German thousands": ([*map(str, range(950, 970))] + [f"1.{n}" for n in range(300, 320)],
                         "decimals or with thousands"),
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURED)
def test_numbers_that_would_be_classes_or_others_are_refused(name, tmp_path):
    values, content = MEASURED[name]
    table(tmp_path, text=TEXTS, amount=values)
    with pytest.raises((ConfigError, DataError), match=f"amount has .*{content}"):
        recognise(Request("data", {"label_column": "amount"}), tmp_path)
    config = config_class("data", "text_table")(
        root=str(tmp_path / "data.csv"), label_column="amount", labels="numbers"
    )
    with pytest.raises(DataError, match=f"column 'amount' has .*{content}"):
        collect(config)


@pytest.mark.parametrize("cell", ["{}", "[{}]"])
def test_pixels_in_one_cell_are_refused_with_the_lines_that_convert_them(cell, tmp_path):
    levels = np.arange(640).reshape(10, 64) % 256
    cells = [cell.format(" ".join(map(str, row))) for row in levels]
    table(tmp_path, emotion=[0, 1] * 5, pixels=cells, Usage=["Training", "PublicTest"] * 5)
    for chosen in ({}, {"text_column": "pixels", "label_column": "emotion"}):
        with pytest.raises(DataError, match="64 numbers a cell of pixels") as raised:
            recognise(Request("a", chosen), tmp_path / "data.csv")
    code = raised.value.hint.partition("\n")[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    saved = np.load(tmp_path / "data.npz")
    assert np.array_equal(saved["images"], levels.reshape(10, 8, 8))
    assert saved["labels"].tolist() == [0, 1] * 5


@pytest.mark.parametrize("separator", [";", "|", ","])
def test_lines_with_a_label_at_their_end_are_not_texts_without(separator, tmp_path):
    lines = [f"{text}{separator}{name}" for text, name in zip(TEXTS, NAMES, strict=True)]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    (tmp_path / "test.txt").write_text("\n".join(lines))
    for path in (tmp_path, tmp_path / "train.txt"):
        with pytest.raises(DataError, match=f"label per line, separated by '[{separator}]'"):
            recognise(Request("a"), path)
    for name in ("train", "test"):  # as the message says
        (tmp_path / f"{name}.txt").rename(tmp_path / f"{name}.csv")
    settings = recognise(Request("a"), tmp_path).settings
    assert settings["data"] == "text_table"
    assert (settings["data.text_column"], settings["data.label_column"]) == ("column_1", "column_2")


@pytest.mark.parametrize(
    ("name", "lines", "said", "advice"),
    [
        ("a.csv", ["text,label", *["late, and rude,sad"] * 9], "line 2 has 3 cells", "quotes"),
        ("a.csv", ["a,label", *['"a, b",ok'] * 9, '"late, so,sad', '"a, b",ok'], "quote", "close"),
        ("a.csv", ["__label__sad late, and rude", "__label__ok fine"], "fastText", "as a table"),
        ("a.train", ["__label__sad late, and rude", "__label__ok fine"], "fastText", "as a table"),
    ],
)  # fmt: skip
def test_a_table_without_a_row_that_can_be_read_says_why(name, lines, said, advice, tmp_path):
    path = tmp_path / name
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as raised:
        recognise(Request(name), path)
    assert said in raised.value.message
    assert advice in raised.value.hint


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["ticket|message|team", *(f"T{n}|printer {n} is on fire|it {n}" for n in range(9))],
         "3 fields per line"),
        (["## intent:billing", *(f"- charged {n} times" for n in range(9))], "Rasa"),
    ],
)  # fmt: skip
def test_separated_fields_and_intents_are_not_texts_without_labels(lines, said, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=said):
        recognise(Request("a.txt"), path)


def test_lines_that_end_in_words_of_their_own_are_texts(tmp_path):
    (tmp_path / "a.txt").write_text(
        "\n".join(f"{text}, as {n} said" for n, text in enumerate(TEXTS))
    )
    assert recognise(Request("a"), tmp_path / "a.txt").settings["data"] == "text_lines"
    (tmp_path / "a.txt").write_text("\n".join(f"DESC:manner {text}" for text in TEXTS))
    with pytest.raises(DataError, match="a label and a question per line"):
        recognise(Request("a"), tmp_path / "a.txt")


def test_few_columns_of_true_and_false_may_be_states(tmp_path):
    flags = [number % 3 == 0 for number in range(40)]
    table(tmp_path, text=TEXTS, spam=flags, answered=flags[::-1], team=["a", "b"] * 20)
    with pytest.raises(ConfigError, match="It may be spam or answered or team") as raised:
        recognise(Request("data"), tmp_path)
    assert "task=multi_label 'data.label_columns=[spam,answered]'" in raised.value.hint
    chosen = {"label_columns": ["spam", "answered"]}
    assert recognise(Request("data", chosen), tmp_path).settings["task"] == "multi_label"
    table(tmp_path, text=TEXTS, **dict.fromkeys("abcd", flags))  # many are labels
    assert recognise(Request("data"), tmp_path).settings["task"] == "multi_label"


def test_three_rows_of_header_are_named(tmp_path):
    rows = ["StartDate,Q1,Q2", "Start Date,What was it?,Which team?"]
    rows += ['"{""ImportId"":""startDate""}","{""ImportId"":""QID1""}","{""ImportId"":""QID2""}"']
    rows += [f"2026-01-01,{text},{name}" for text, name in zip(TEXTS, NAMES, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    for chosen in ({}, {"text_column": "Q1", "label_column": "Q2"}):
        with pytest.raises(DataError, match="three rows of header, as Qualtrics"):
            recognise(Request("a", chosen), tmp_path / "a.csv")


def test_the_text_is_neither_an_answer_by_rote_nor_a_photo_beside_a_pair(tmp_path):
    reply = ["Thank you for the feedback, we are sorry to hear that it does not work"] * 40
    table(tmp_path, review=TEXTS, reply=reply, stars=NAMES)
    assert recognise(Request("a"), tmp_path).settings["data.text_column"] == "review"
    table(tmp_path, note=[*TEXTS[:30], *[None] * 10], reply=reply, stars=NAMES)
    assert recognise(Request("a"), tmp_path).settings["data.text_column"] == "note"
    caption = [f"{number}.jpg#4" for number in range(40)]
    table(tmp_path, captionID=caption, sentence1=TEXTS, sentence2=TEXTS[::-1], gold_label=NAMES)
    settings = recognise(Request("a", {"label_column": "gold_label"}), tmp_path).settings
    assert settings["data"] == "text_table"
    assert settings["data.pair_column"] == "sentence2"


CARDS = [{"desc": text, "label": name} for text, name in zip(TEXTS, NAMES, strict=True)]
OTHER_FILES = {
    "several lists": ("a.json", json.dumps({"labels": CARDS[:2], "cards": CARDS}),
                      r"labels \(2\), cards \(40\), and one is read"),
    "lists of lists": ("a.json", json.dumps({"train": [[text, "a"] for text in TEXTS]}),
                       r"lists of \[text, label\] under train"),
    "JSON lines": ("a.manifest", "\n".join(map(json.dumps, CARDS)), "ends in .jsonl"),
    "lines": ("a.label", "\n".join(TEXTS), "ends in .txt or .csv"),
    "a header alone": ("a.csv", "text,label\n", "it has a header and no row below it"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_FILES)
def test_what_is_read_in_another_form_says_so(name, tmp_path):
    file, content, said = OTHER_FILES[name]
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError) as raised:
        recognise(Request("a"), tmp_path / file)
    assert re.search(said, f"{raised.value.message} {raised.value.hint}")


@pytest.mark.parametrize("names", [("labels.csv", "texts.csv"), ("a.csv", "z.csv")])
def test_tables_that_belong_together_are_named_with_the_line_that_joins_them(names, tmp_path):
    order, ids = ("labels", "texts") if names[0] == "labels.csv" else ("texts", "labels"), range(40)
    parts = {"labels": {"topic": NAMES}, "texts": {"message": TEXTS}}
    for name, part in zip(names, order, strict=True):
        table(tmp_path, name, case_id=[f"c{n}" for n in ids], **parts[part])
    with pytest.raises(ConfigError, match="belong together by case_id") as raised:
        recognise(Request("a"), tmp_path)
    code = raised.value.hint.partition("result: ")[2]
    subprocess.run([sys.executable, "-c", f"import pandas\n{code}"], check=True, cwd=tmp_path)
    settings = recognise(Request("a"), tmp_path / "joined.csv").settings
    assert (settings["data.text_column"], settings["data.label_column"]) == ("message", "topic")


def test_tables_without_common_ids_are_not_joined(tmp_path):
    for name in ("a.csv", "b.csv"):
        table(tmp_path, name, text=TEXTS)
    assert recognise(Request("a"), tmp_path).settings["data"] == "text_lines"


def test_boxes_as_labels_are_refused_with_a_command_that_makes_classes(tmp_path):
    photos(tmp_path, "imgs")
    boxes = [
        [{"label": name, "coordinates": {"x": 3, "y": 4}} for name in names]
        for names in (["cat"], ["dog", "cat"], ["cat", "cat"])
    ]
    rows = [{"image": f"{i}.png", "annotations": cell} for i, cell in enumerate(boxes)]
    path = tmp_path / "imgs" / "_annotations.createml.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(DataError, match="has boxes in 'annotations'") as caught:
        recognise(Request(str(path)), path)
    code = re.search(r'python -c "(.*)"', caught.value.hint)[1].replace("FILE", path.name)
    subprocess.run([sys.executable, "-c", code], cwd=path.parent, check=True)
    made = pd.read_csv(path.parent / "labels.csv")
    assert made["path"].tolist() == ["0.png", "1.png", "2.png"]
    assert made["label"].tolist() == ["cat", "cat|dog", "cat"]
