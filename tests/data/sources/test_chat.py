"""Conversations in files: every layout, splits, and all that can be wrong with a row."""

import json

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from fmkit.config.schema.data import ChatData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import DataError
from fmkit.core.types import Message
from fmkit.data import load
from fmkit.data.findings import UnusableInput
from fmkit.data.formats import chat_messages
from fmkit.data.quality import inspect
from fmkit.data.quality import report as data_report
from fmkit.data.sources import chat

ASKED = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
SAID = (Message("user", "Q"), Message("assistant", "A"))
RULED = (Message("system", "S"), *SAID)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": ASKED, "id": 1}, SAID),
        ({"messages": [{"role": "system", "content": "S"}, *ASKED]}, RULED),
        ({"messages": [{"role": "system", "content": " "}, *ASKED]}, SAID),
        ({"messages": ASKED, "system": "S"}, RULED),
        (
            {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
            SAID,
        ),
        ({"conversations": ASKED, "messages": None}, SAID),
        ({"prompt": "Q", "completion": "A"}, SAID),
        ({"prompt": ASKED[:1], "completion": ASKED[1:]}, SAID),
        ({"instruction": "Q", "input": "", "output": "A"}, SAID),
        ({"instruction": "Q", "input": None, "output": "A", "system": "S"}, RULED),
        ({"instruction": "Q", "input": "x", "output": "A"}, (Message("user", "Q\n\nx"), SAID[1])),
        ({"instruction": "Q", "context": "x", "response": "A", "category": "c"},
         (Message("user", "Q\n\nx"), SAID[1])),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}]}, ASKED[1]]},
            SAID,
        ),
        ({"messages": [*ASKED, ASKED[0]]}, (*SAID, SAID[0])),
    ],
)  # fmt: skip
def test_every_layout(row, expected):
    assert chat_messages.messages(row) == expected


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ([], "it is a list; expected an object"),
        ({"text": "x"}, "it has the keys text; expected `messages`"),
        ({"messages": "x"}, "`messages` is a str; expected a list"),
        ({"messages": []}, "no answer of an assistant"),
        ({"messages": ["x"]}, "message 1 is a str; expected an object"),
        ({"messages": ASKED[:1]}, "no answer of an assistant"),
        ({"messages": ASKED[1:]}, "message 1 is out of turn: it is the assistant's, not the user"),
        ({"messages": [*ASKED, ASKED[1]]}, "message 3 is out of turn"),
        ({"messages": [*ASKED, {"role": "system", "content": "S"}]}, "message 3 is out of turn"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "message 1 has the role 'tool'"),
        ({"messages": [{"content": "x"}]}, "message 1 has the role None"),
        ({"messages": [ASKED[0], {"role": "assistant", "content": " \n"}]},
         "message 2, the assistant's, is empty"),
        ({"messages": [ASKED[0], {"role": "assistant", "content": None}]}, "message 2 has no text"),
        ({"messages": [ASKED[0], {"role": "assistant", "content": 3}]}, "message 2 has a int"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ASKED[1]]},
         "message 1 has parts that are not texts: 'image_url'"),
        ({"messages": [ASKED[0], {**ASKED[1], "tool_calls": [{"id": "1"}]}]},
         "message 2 has tool_calls"),
        ({"messages": [ASKED[0], {"role": "assistant", "function_call": {"name": "f"}}]},
         "message 2 has function_call"),
        ({"messages": [ASKED[0], {**ASKED[1], "weight": 0.5}]},
         "message 2 has the weight 0.5; expected 0 or 1"),
        ({"messages": [ASKED[0], {**ASKED[1], "weight": 0}]}, "all answers have weight 0"),
        ({"prompt": "Q", "completion": "a\0"}, "completion is not text: it has a NUL"),
        ({"prompt": "Q"}, "it has the keys prompt; expected"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_row(row, why):
    with pytest.raises(UnusableInput) as error:
        chat_messages.messages(row)
    assert (error.value.kind, why in error.value.why) == ("incomplete_row", True)


READ = Message("assistant", "A", learned=False)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((1, 0), (SAID[1], READ)),
        ((0, 1), (READ, SAID[1])),
        ((0.0, None), (READ, SAID[1])),
        ((False, float("nan")), (READ, SAID[1])),
    ],
)
@pytest.mark.parametrize("layout", ["messages", "conversations"])
def test_an_answer_of_weight_0_is_read_and_not_learned(weights, expected, layout):
    asked = {**ASKED[0], "weight": 0, "tool_calls": None}  # a user's message is never learned
    turns = [turn for weight in weights for turn in (asked, {**ASKED[1], "weight": weight})]
    assert chat_messages.messages({layout: turns})[1::2] == expected


def test_weights_change_the_identity_and_only_where_they_are_0(tmp_path):
    def digest(**more):
        turns = [*ASKED, ASKED[0], {**ASKED[1], **more}]
        write(tmp_path / "a.jsonl", [json.dumps({"messages": turns})])
        return read(tmp_path / "a.jsonl").content.digest()

    assert digest() == digest(weight=1) != digest(weight=0)


def test_keys_that_other_tools_learn_from_are_told(tmp_path):
    rows = [
        {"messages": ASKED, "tools": [{"type": "function"}], "id": 3},
        {"messages": [ASKED[0], {**ASKED[1], "reasoning_content": "Hm.", "train": False}]},
        {"messages": [ASKED[0], {**ASKED[1], "reasoning_content": "", "train": True}]},
        {"prompt": "Q", "completion": "A", "weight": 0.5, "tools": []},
        {"instruction": "Q", "output": "A", "history": [["a", "b"]]},
    ]
    write(tmp_path / "a.jsonl", [json.dumps(row) for row in rows])
    found = read(tmp_path / "a.jsonl")
    assert len(found) == len(rows)
    assert {finding.kind for finding in found.findings} == {"unread_key"}
    assert {finding.where: finding.count for finding in found.findings} == dict.fromkeys(
        ("'history'", "'reasoning_content'", "'tools'", "'train'", "'weight'"), 1
    )


def lines(count, begin=0):
    numbers = range(begin, begin + count)
    return [json.dumps({"prompt": f"Q{each}", "completion": f"A{each}"}) for each in numbers]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", "utf-8")


def read(root, **more):
    return chat.list_examples(ChatData(root=str(root), **more))


def test_lines_a_list_and_a_table_hold_the_same(tmp_path):
    rows = [json.loads(each) for each in lines(3)]
    write(tmp_path / "a.jsonl", ["", *lines(3)])
    (tmp_path / "b.json").write_text(json.dumps(rows, indent=1))
    write(tmp_path / "c.json", lines(3))
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "d.parquet")
    found = read(tmp_path / "a.jsonl")
    assert found.ids == ("a.jsonl:000002", "a.jsonl:000003", "a.jsonl:000004")
    assert found.content.conversations[1] == (Message("user", "Q1"), Message("assistant", "A1"))
    for name in ("b.json", "c.json", "d.parquet"):
        other = read(tmp_path / name)
        assert other.content.conversations == found.content.conversations
        assert other.ids == tuple(f"{name}:00000{each}" for each in (1, 2, 3))


def test_nested_messages_in_parquet(tmp_path):
    table = arrow.Table.from_pylist([{"messages": ASKED}, {"messages": None}])
    parquet.write_table(table, tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert found.content.conversations == (SAID,)
    (wrong,) = found.findings
    assert (wrong.kind, wrong.where) == ("incomplete_row", "a.parquet:000002")


def test_files_that_name_splits(tmp_path):
    write(tmp_path / "train-00000-of-00002.jsonl", lines(3))
    write(tmp_path / "train-00001-of-00002.jsonl", lines(2, 3))
    write(tmp_path / "validation.jsonl", lines(1, 5))
    write(tmp_path / "test" / "part.jsonl", lines(2, 6))
    found = read(tmp_path)
    assert sorted(found.splits.tolist()) == ["test"] * 2 + ["train"] * 5 + ["val"]
    write(tmp_path / "more.jsonl", lines(2, 8))
    with pytest.raises(DataError, match=r"others do not: more\.jsonl"):
        read(tmp_path)


def test_bad_lines_are_told_with_file_and_line(tmp_path):
    rows = [*lines(20), "{", '{"messages": []}', ""]
    content = "\n".join(rows).encode() + b'{"prompt": "\xff", "completion": "x"}\n'
    (tmp_path / "a.jsonl").write_bytes(content)
    config = ChatData(root=str(tmp_path / "a.jsonl"))
    found = load.inspect(config, RuntimeConfig(verbose=False), 0, training=True)
    told = {each.where: (each.kind, each.why) for each in found.findings}
    assert told["a.jsonl:000021"][1].startswith("not valid JSON: Expecting property name")
    assert told["a.jsonl:000022"] == ("incomplete_row", "no answer of an assistant")
    assert told["a.jsonl:000023"][0] == "bad_encoding"
    with pytest.raises(DataError, match=r"(?s)a\.jsonl:000022: no answer"):
        inspect.accept(found, "error")
    data = inspect.accept(found, "skip")
    assert {name: len(each) for name, each in data.splits.items()} == {
        "train": 14, "val": 3, "test": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.json", b'{\n"prompt": "a"\n}', "not_text"),
        ("a.json", b"[1, 2", "not_text"),
        ("a.json", "[]".encode("utf-16"), "bad_encoding"),
        ("a.json", b"[]", "empty_file"),
        ("a.jsonl", b" \n", "empty_file"),
        ("a.jsonl", "{}".encode("utf-16"), "bad_encoding"),
        ("a.parquet", b"PAR1", "not_text"),
    ],
)
def test_files_that_cannot_be_read_at_all(tmp_path, name, content, kind):
    write(tmp_path / "b.jsonl", lines(2))
    (tmp_path / name).write_bytes(content)
    found = read(tmp_path)
    assert [(each.kind, each.where) for each in found.findings] == [(kind, name)]
    assert len(found) == 2


def test_another_encoding(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(lines(2)), "utf-16")
    assert len(read(tmp_path / "a.jsonl", encoding="utf-16")) == 2


def test_copies_and_sizes_are_in_the_report(tmp_path):
    rows = [*lines(20), json.dumps({"prompt": " Q3 ", "completion": "A3"})]
    write(tmp_path / "a.jsonl", rows)
    config = ChatData(root=str(tmp_path / "a.jsonl"), val_fraction=0, test_fraction=0)
    found = load.inspect(config, RuntimeConfig(verbose=False), 0, training=True)
    assert [(each.kind, each.where) for each in found.findings] == [("duplicate", "a.jsonl:000004")]
    report = json.loads(json.dumps(data_report.report(config, found)))
    assert report["sizes"]["messages"] == [2] * 7
    assert set(report["sizes"]) == {"messages", "characters", "words", "answer_characters"}


def test_other_words_are_another_fingerprint(tmp_path):
    write(tmp_path / "a.jsonl", lines(3))
    before = read(tmp_path / "a.jsonl").fingerprint
    assert read(tmp_path / "a.jsonl").fingerprint == before
    write(tmp_path / "a.jsonl", [*lines(2), json.dumps({"prompt": "Q2", "completion": "a2"})])
    assert read(tmp_path / "a.jsonl").fingerprint != before


def test_a_folder_without_conversations(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"no conversation files.*1 \.txt"):
        read(tmp_path)
