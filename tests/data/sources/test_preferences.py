"""Pairs of answers in files: every usual layout is read, and what is wrong is told by its line."""

import json

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from fmkit.config.schema.data import PreferencesData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import DataError
from fmkit.core.types import Message
from fmkit.data import load, splits
from fmkit.data.content.texts import Pair
from fmkit.data.quality import inspect
from fmkit.data.quality import report as data_report
from fmkit.data.sources import registry


def said(*contents, begin="user"):
    roles = ("user", "assistant") if begin == "user" else ("assistant", "user")
    return [
        {"role": roles[number % 2], "content": each} for number, each in enumerate(contents)
    ]  # fmt: skip


def row(prompt="Hello?", chosen="Yes.", rejected="No."):
    found = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return {key: each for key, each in found.items() if each is not None}


def written(path, rows):
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    return path


def listed(path, **more):
    return registry.collect(PreferencesData(root=str(path), **more))


def talk(*contents, begin="user"):
    return tuple(Message(**each) for each in said(*contents, begin=begin))


MESSAGES = Pair(talk("Hello?"), talk("Yes.", begin="it"), talk("No.", begin="it"))
LAYOUTS = {
    "texts": (row(), Pair("Hello?", "Yes.", "No.")),
    "messages": (
        row(said("Hello?"), said("Yes.", begin="it"), said("No.", begin="it")), MESSAGES,
    ),
    "messages in an object, as OpenAI has them": (
        row({"messages": said("Hello?")}, said("Yes.", begin="it"), said("No.", begin="it")),
        MESSAGES,
    ),
    "a message by itself": (
        row(said("Hello?")[0], said("Yes.", begin="it")[0], said("No.", begin="it")[0]), MESSAGES,
    ),
    "a prompt in messages and answers that are texts": (row(said("Hello?")), MESSAGES),
    "conversations without a prompt": (
        row(None, said("Hello?", "Yes."), said("Hello?", "No.")), MESSAGES,
    ),
    "conversations that begin with a prompt that is a text": (
        row("Hello?", said("Hello?", "Yes."), said("Hello?", "No.")), MESSAGES,
    ),
    "conversations that begin with messages": (
        row(said("Hello?"), said("Hello?", "Yes."), said("Hello?", "No.")), MESSAGES,
    ),
    "a text as the prompt of messages": (
        row("Hello?", said("Yes.", begin="it"), said("No.", begin="it")), MESSAGES,
    ),
    "several turns": (
        row(None, said("a", "b", "c", "d"), said("a", "b", "c", "e")),
        Pair(talk("a", "b", "c"), talk("d", begin="it"), talk("e", begin="it")),
    ),
    "ShareGPT's names": (
        row([{"from": "human", "value": "Hello?"}], [{"from": "gpt", "value": "Yes."}],
            [{"from": "gpt", "value": "No."}]),
        MESSAGES,
    ),
    "texts without a prompt": (
        row(None, "Human: Hello?\n\nAssistant: I do.", "Human: Hello?\n\nAssistant: If so."),
        Pair("Human: Hello?\n\nAssistant:", " I do.", " If so."),
    ),
    "dialogues as texts whose answers begin alike": (
        row(None, "\n\nHuman: How?\n\nAssistant: I think so.",
            "\n\nHuman: How?\n\nAssistant: I think not."),
        Pair("\n\nHuman: How?\n\nAssistant:", " I think so.", " I think not."),
    ),
    "an empty message of the system": (
        row([{"role": "system", "content": " "}, {"role": "user", "content": "Why?"}],
            [{"role": "assistant", "content": "So."}], [{"role": "assistant", "content": "No."}]),
        Pair((Message("user", "Why?"),), (Message("assistant", "So."),),
             (Message("assistant", "No."),)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".json"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(layout, ending, tmp_path):
    value, expected = LAYOUTS[layout]
    examples = listed(written(tmp_path / f"pairs{ending}", [value]))
    assert examples.findings == ()
    assert examples.ids == (f"pairs{ending}:000001",)
    assert examples.content.pairs == (expected,)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('{"prompt": "a", "chosen": "b"', "not valid JSON"),
        ("[1, 2]", "not an object"),
        (row(chosen=None), "no chosen (it has prompt, rejected)"),
        (row(prompt=None), "no prompt, and chosen and rejected do not begin alike"),
        (row(chosen=" \n"), "chosen is empty"),
        (row(prompt=""), "prompt is empty"),
        (row(rejected="Yes."), "both answers are the same"),
        (row(chosen=3), "chosen is neither a text nor a list of messages"),
        (row(chosen=[]), "chosen is empty"),
        (row(chosen="a\0b"), "NUL"),
        (row(chosen=said("Yes.", begin="it")), "one of chosen and rejected is a text"),
        (row([{"role": "user"}]), "message 1 of prompt has no text"),
        (row([{"role": "robot", "content": "x"}]), "the role 'robot'; expected"),
        (row([{"role": "user", "content": {}}]), "message 1 of prompt has a dict instead of"),
        (row([{"role": "user", "content": " "}]), "message 1 of prompt is empty"),
        (row(None, said("a", "b"), said("c", "b")), "the prompts differ"),
        (row("x", said("a", "b"), said("a", "c")), "the prompts differ"),
        (row(None, said("a", "b", "c"), said("a", "b", "d")), "the prompts differ"),
        (row(None, said("a", "b"), said("a", "b")), "both answers are the same"),
        (row(said("a", "b")), "the prompt ends with a message of assistant"),
        ('{"prompt": "a", "chosen": "\\ud800", "rejected": "c"}', "character 0 is half of one"),
        (b'{"prompt": "\xff", "chosen": "b", "rejected": "c"}', "is not utf-8"),
    ],
)
def test_what_is_no_pair_is_told_with_its_line(value, told, tmp_path):
    lines = [value if isinstance(value, str | bytes) else json.dumps(value), json.dumps(row())]
    content = b"\n\n".join(each if isinstance(each, bytes) else each.encode() for each in lines)
    (tmp_path / "pairs.jsonl").write_bytes(content)
    examples = listed(tmp_path / "pairs.jsonl")
    assert examples.ids == ("pairs.jsonl:000003",)
    (found,) = examples.findings
    kind = "bad_encoding" if isinstance(value, bytes) else "incomplete_row"
    assert (found.kind, found.where) == (kind, "pairs.jsonl:000001")
    assert told in found.why


def test_bad_rows_are_left_out_if_wanted(tmp_path):
    rows = [row(f"Question {each}?", chosen="" if each < 2 else "Yes.") for each in range(20)]
    path, runtime = written(tmp_path / "pairs.jsonl", rows), RuntimeConfig(verbose=False)
    config = PreferencesData(root=str(path))
    with pytest.raises(DataError, match=r"pairs.jsonl:000002: chosen is empty"):
        load.for_training(config, runtime, 0, tmp_path / "report.json")
    config.on_bad = "skip"
    data = load.for_training(config, runtime, 0, tmp_path / "report.json")
    assert len(data.examples) == 18
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["sizes"]["prompt_words"][0] == 2
    assert report["left_out"] == ["pairs.jsonl:000001", "pairs.jsonl:000002"]


def test_pairs_of_one_prompt_stay_together_and_copies_are_told(tmp_path):
    rows = [row(f"Question {each % 20}?", rejected=f"No {each}.") for each in range(100)]
    examples = listed(written(tmp_path / "pairs.jsonl", [*rows, rows[0]]))
    found = splits.make_splits(examples, 0.2, 0.2, 0)
    prompts = [{examples.content.pairs[e].prompt for e in each} for each in found.values()]
    assert [len(each) for each in prompts] == [12, 4, 4]
    assert len(set.union(*prompts)) == 20
    inspected = inspect.inspect(
        PreferencesData(root=str(tmp_path / "pairs.jsonl")), 0, None, training=True
    )
    (copy,) = [each for each in inspected.findings if each.kind == "duplicate"]
    assert copy.where == "pairs.jsonl:000001"
    assert data_report.report(PreferencesData(root="x"), inspected)["classes"] == {}


def test_a_folder_names_splits_by_its_files_or_folders(tmp_path):
    rows = [row(f"Question {each}?") for each in range(4)]
    written(tmp_path / "set" / "train-00000-of-00002.parquet", rows)
    written(tmp_path / "set" / "train-00001-of-00002.parquet", rows)
    written(tmp_path / "set" / "validation.jsonl", rows[:1])
    (tmp_path / "set" / "test").mkdir()
    written(tmp_path / "set" / "test" / "a.json", rows[:2])
    examples = listed(tmp_path / "set")
    names, counts = np.unique(examples.splits, return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"test": 2, "train": 8, "val": 1}
    assert "test/a.json:000002" in examples.ids
    written(tmp_path / "set" / "more.jsonl", rows)
    with pytest.raises(DataError, match=r"others do not: more\.jsonl"):
        listed(tmp_path / "set")


def test_validation_out_of_a_named_split_shares_no_prompt_with_it(tmp_path):
    rows = [row(f"Question {each % 20}?", rejected=f"No {each}.") for each in range(100)]
    written(tmp_path / "set" / "train.jsonl", rows)
    written(tmp_path / "set" / "test.jsonl", rows[:5])  # whoever names splits may do so
    examples = listed(tmp_path / "set")
    found = splits.make_splits(examples, 0.2, 0.2, 0)
    train, val = (
        {examples.content.pairs[each].prompt for each in found[name]} for name in ("train", "val")
    )
    assert len(found["test"]) == 5
    assert len(val) == 4
    assert not train & val


def test_a_single_file_is_split_whatever_its_name(tmp_path):
    rows = [row(f"Question {each}?") for each in range(10)]
    assert listed(written(tmp_path / "train.jsonl", rows)).splits is None
    assert len(listed(tmp_path / "train.jsonl", limit=4)) == 4
    with pytest.raises(DataError, match=r"not a preference file by its name"):
        listed(written(tmp_path / "pairs.docx", rows))


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("pairs.parquet", b"PAR1", "not_text"),
        ("pairs.jsonl", b"", "empty_file"),
        ("pairs.json", b"[1, ", "not_text"),
        ("pairs.jsonl", '{"prompt": "a"}'.encode("utf-16"), "bad_encoding"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(name, content, kind, tmp_path):
    (tmp_path / name).write_bytes(content)
    (found,) = listed(tmp_path / name).findings
    assert (found.kind, found.where) == (kind, name)


def test_other_columns_may_be_named(tmp_path):
    rows = [{"question": "a", "good": "b", "bad": "c"}]
    columns = {"prompt_column": "question", "chosen_column": "good", "rejected_column": "bad"}
    examples = listed(written(tmp_path / "pairs.jsonl", rows), **columns)
    assert examples.content.pairs == (Pair("a", "b", "c"),)
