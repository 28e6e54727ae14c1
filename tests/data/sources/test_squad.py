"""Questions and answers from files as users have them, and what is told of what is wrong."""

import json

import numpy as np
import pandas as pd
import pytest

from fmkit.config.schema.data import SquadData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.content.answer_spans import AnswerSpans, locate
from fmkit.data.quality import inspect
from fmkit.data.sources import squad

CONTEXT = "Ada Lovelace wrote the first program.\nIt cost $5 in Zürich 😀, they say."


def question(name, text="Who?", answer="Ada Lovelace", start=0, **more):
    return {"id": name, "question": text, "answers": [{"text": answer, "answer_start": start}],
            **more}  # fmt: skip


def article(*questions, title="Ada", context=CONTEXT):
    return {"title": title, "paragraphs": [{"context": context, "qas": list(questions)}]}


def written(path, *articles):
    path.write_text(json.dumps({"version": "v2.0", "data": list(articles)}))
    return path


def listed(path, **keys):
    return squad.list_examples(SquadData(root=str(path), **keys))


def told(examples):
    return [(each.kind, each.where, each.why) for each in examples.findings]


def test_questions_of_one_text_share_it(tmp_path):
    examples = listed(written(tmp_path / "a.json", article(
        question("one"),
        question("two", "How much?", "$5", CONTEXT.index("$5")),
        {"id": "three", "question": "Why?", "answers": [], "is_impossible": True,
         "plausible_answers": [{"text": "cost", "answer_start": 41}]},
    )))  # fmt: skip
    assert examples.ids == ("one", "two", "three")
    assert examples.content.texts == ("Who?", "How much?", "Why?")
    assert len({id(each) for each in examples.content.pairs}) == 1
    spans = examples.annotations.spans
    assert [[CONTEXT[begin:end] for begin, end in each] for each in spans] == [
        ["Ada Lovelace"], ["$5"], [],
    ]  # fmt: skip
    assert examples.findings == ()
    assert examples.splits is None


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
@pytest.mark.parametrize("column", ["answer_text", "answer"])
def test_a_row_may_have_one_answer_in_two_columns(tmp_path, name, column):
    rows = pd.DataFrame({
        "question": ["Who?", "How much?", "Why?"], "context": [CONTEXT] * 3,
        column: ["Ada", "$5", None], "answer_start": [0, CONTEXT.index("$5"), None],
    })  # fmt: skip
    path = tmp_path / name
    if name == "t.csv":
        rows.astype({"answer_start": "Int64"}).to_csv(path, index=False)
    elif name == "t.jsonl":
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_parquet(path)
    examples = listed(path)
    assert told(examples) == []
    spans = examples.annotations.spans
    assert [[CONTEXT[begin:end] for begin, end in each] for each in spans] == [["Ada"], ["$5"], []]


def test_rows_are_read_alike_from_every_file(tmp_path):
    rows = [
        {"id": "one", "title": "Ada", "question": "Who?", "context": CONTEXT,
         "answers": {"text": ["Ada Lovelace", "Ada"], "answer_start": [0, 0]}},
        {"id": "two", "title": "Ada", "question": "Why?", "context": CONTEXT,
         "answers": {"text": [], "answer_start": []}},
    ]  # fmt: skip
    lines = "\n".join(json.dumps(each) for each in rows)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "lines.json").write_text(lines)
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "data.json").write_text(json.dumps({"data": rows}))
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    found = [listed(each) for each in sorted(tmp_path.iterdir())]
    assert len({each.fingerprint for each in found}) == 1
    for each in found:
        assert each.annotations.spans == (((0, 12), (0, 3)), ())


def test_columns_may_have_other_names(tmp_path):
    row = {"q": "Who?", "passage": CONTEXT, "answers": {"text": ["Ada"], "answer_start": [0]}}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    examples = listed(tmp_path / "a.jsonl", text_column="q", pair_column="passage")
    assert examples.ids == ("row-000000",)
    (row,) = told(listed(tmp_path / "a.jsonl"))
    assert row == ("incomplete_row", "row-000000",
                   "it has no text under 'context'; its keys are answers, passage, q")  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "start", "found", "moved"),
    [
        ("program", 29, "program", ""),
        (" program", 28, "program", ""),
        ("program", 30, "program", "1 character back"),
        ("program", 27, "program", "2 characters on"),
        ("program. It", 29, "program.\nIt", "it has other white space there"),
        ("they say", CONTEXT.index("they") + 1, "they say", "1 character back"),
        ("they say", len(CONTEXT[: CONTEXT.index("they")].encode()), "they say",
         "its offset counts bytes of UTF-8"),
        ("program", 40, None, ""),
        ("program", -3, None, ""),
        ("program", 10**30, None, ""),
        ("programs", 29, None, ""),
    ],
)  # fmt: skip
def test_an_answer_is_looked_for_beside_its_offset(answer, start, found, moved):
    span, reason = locate(CONTEXT, answer, start)
    assert reason == moved
    if found is None:
        assert span is None
    else:
        assert CONTEXT[slice(*span)] == found


def test_offsets_in_utf_16_units_are_told_from_characters():
    text = "😀" * 5 + " here it is"
    assert locate(text, "here", 11) == ((6, 10), "its offset counts UTF-16 units")


def test_everything_wrong_is_told_by_id(tmp_path):
    path = written(
        tmp_path / "a.json",
        article(
            question("far", start=25),
            question("near", start=1),
            question("blank", text="  "),
            question("torn", answer=" ", start=3),
            question("odd", start="0"),
            question("half", text="Who \ud83d?"),
            question("\udc00"),
            question("nul", text="a\0b"),
            question("nan", start=float("nan")),
            question("both", is_impossible=True),
            question("flag", is_impossible="no"),
            {"id": "none", "question": "Who?", "answers": []},
            {"question": 7},
            "no object",
            question("good"),
            question("good"),
            question("good", "Which?"),
            {"id": "part", "question": "Who?", "answers": [
                {"text": "Ada", "answer_start": 0}, {"text": "Babbage", "answer_start": 0}]},
        ),
        article(question("void"), context=" "),
        {"title": "x", "paragraphs": 3},
        {"title": "x", "paragraphs": [{"context": 3}, {"context": "c"}]},
    )  # fmt: skip
    examples = listed(path)
    assert examples.ids == ("near", "good", "part")
    assert examples.annotations.spans[2] == ((0, 3),)
    by_place = {where: (kind, why) for kind, where, why in told(examples)}
    assert by_place["far"] == ("lost_answer", "'Ada Lovelace' is not in the text at 25")
    assert by_place["near"] == ("moved_answer", "'Ada Lovelace' at 1: 1 character back")
    assert by_place["part"] == ("moved_answer", "'Babbage' is not in the text at 0: left out")
    assert by_place["good"][0] == "conflicting_rows"
    assert ("repeated_rows", "good") in [each[:2] for each in told(examples)]
    reasons = {where: why for where, (kind, why) in by_place.items() if kind == "incomplete_row"}
    assert reasons == {
        "blank": "the question is empty",
        "torn": "an answer is empty",
        "odd": "answer 'Ada Lovelace' has no whole number under 'answer_start'",
        "nan": "answer 'Ada Lovelace' has no whole number under 'answer_start'",
        "both": "is_impossible is true, and there are answers",
        "flag": "is_impossible: received 'no'. Expected true or false",
        "none": "it has no answer, and is_impossible is not true",
        "half": "the question is not text: character 4 is half of one",
        "data[0].paragraphs[0].qas[6]": "its id is not text: character 0 is half of one",
        "nul": "the question is not text: it has a NUL character, the first at character 1",
        "data[0].paragraphs[0].qas[12]": "it has no text under 'question'",
        "data[0].paragraphs[0].qas[13]": "it is not an object with keys",
        "void": "the context is empty",
        "data[2]": "it has no list of paragraphs",
        "data[3].paragraphs[0]": "it has no text under 'context'",
        "data[3].paragraphs[1]": "it has no list under 'qas'",
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no questions"),
        ("{", "not valid JSON: Expecting property name"),
        ('{"a": 1}', "an object with the keys a; expected a list"),
        ("3", "the JSON is a int; expected a list"),
        ("[]", "has no questions"),
        ("[" * 100_000, "JSON that cannot be read"),
    ],
)
def test_a_file_of_another_shape_is_one_message(tmp_path, content, words):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=words):
        listed(tmp_path / "a.json")


def test_bytes_that_are_no_text_are_told(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"data": "\xff"}')
    with pytest.raises(DataError, match=r"byte 10 \(0xff\) is not utf-8"):
        listed(tmp_path / "a.json")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a readable parquet"):
        listed(tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"data\.root is missing"):
        listed("")


def many(titles, each=4):
    return [
        article(*(question(f"{title}-{number}", f"Who {number}?") for number in range(each)),
                title=title, context=f"{CONTEXT} {title}")
        for title in titles
    ]  # fmt: skip


def divided(path, **keys):
    config = SquadData(root=str(path), **keys)
    inspected = inspect.inspect(config, 0, None)
    return inspect.accept(inspected, config.on_bad)


def test_no_article_is_in_two_splits(tmp_path):
    data = divided(written(tmp_path / "a.json", *many([f"t{each}" for each in range(20)])))
    titles = {
        name: {data.examples.ids[each].split("-")[0] for each in members}
        for name, members in data.splits.items()
    }
    assert set(titles) == {"train", "val", "test"}
    assert sum(map(len, titles.values())) == 20
    assert data.spec.annotations == "spans"


def test_a_single_article_is_shared_out_by_its_texts(tmp_path):
    articles = many([f"t{each}" for each in range(9)])
    whole = {"title": "one", "paragraphs": [each["paragraphs"][0] for each in articles]}
    data = divided(written(tmp_path / "a.json", whole))
    texts = [
        {data.examples.content.pairs[each] for each in members} for members in data.splits.values()
    ]
    assert sum(map(len, texts)) == len(set().union(*texts)) == 9


def test_validation_out_of_one_named_article_is_of_its_texts(tmp_path):
    articles = many([f"t{each}" for each in range(9)])
    whole = {"title": "one", "paragraphs": [each["paragraphs"][0] for each in articles]}
    written(tmp_path / "train.json", whole)
    written(tmp_path / "test.json", *many(["other"]))
    data = divided(tmp_path)
    texts = {
        name: {data.examples.content.pairs[each] for each in members}
        for name, members in data.splits.items()
    }
    assert set(texts) == {"train", "val", "test"}
    assert not texts["train"] & texts["val"]


def test_a_folder_names_the_splits(tmp_path):
    written(tmp_path / "train-v2.0.json", *many(["a", "b", "c"]))
    written(tmp_path / "dev-v2.0.json", *many(["d"]))
    (tmp_path / "notes.json").write_text("{}")
    examples = listed(tmp_path)
    assert dict(zip(*np.unique(examples.splits, return_counts=True), strict=True)) == {
        "train": 12, "val": 4,
    }  # fmt: skip
    assert told(examples)[0][0] == "unsupported"
    data = divided(tmp_path)
    assert {name: len(each) for name, each in data.splits.items()} == {"train": 12, "val": 4}
    for each in tmp_path.glob("*v2*"):
        each.unlink()
    with pytest.raises(DataError, match="no file that is named after a split"):
        listed(tmp_path)


def test_what_is_wrong_may_be_left_out(tmp_path):
    articles = many([f"t{each}" for each in range(6)])
    articles[0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 30
    path = written(tmp_path / "a.json", *articles)
    with pytest.raises(DataError, match="t0-0: 'Ada Lovelace' is not in the text at 30"):
        divided(path)
    assert len(divided(path, on_bad="skip").examples) == 23


def test_spans_tell_data_apart():
    one, other = AnswerSpans((((0, 1),), ())), AnswerSpans((((0, 2),), ()))
    assert one.identity(0) != other.identity(0)
    assert one.take(np.array([1])).spans == ((),)
    assert one.summary() == {"with an answer": 1, "without": 1}
    with pytest.raises(DataError, match="the run learned a, and the data has spans"):
        one.align(("a",))
