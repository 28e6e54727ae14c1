"""Instruction tuning by the command line: from a file of conversations to answers."""

import json
from pathlib import Path

import pytest
from whole_runs import only_run

from fmkit.store import run_dir

ANSWERS = Path(__file__).parent / "data_files" / "answers_of_a_kind.jsonl"
SMALL = ["task=instruction", "data=chat", "model=small_gpt", "stage=scratch", "data.batch_size=8",
         "runtime.verbose=false", "model.max_length=64"]  # fmt: skip


def test_the_example_set_is_whole(fmkit):
    code, out, err = fmkit("check", "data=chat", f"data.root={ANSWERS}")
    assert code == 0, err
    assert "48 examples" in out


def write(path, count=24):
    talks = (("Where?", "Over there."), ("Who?", "It is me."))
    told = [talks[each % 2] for each in range(count)]
    rows = [{"prompt": ask, "completion": answer} for ask, answer in told]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))


@pytest.fixture
def trained(fmkit, tmp_path):
    write(tmp_path / "chats.jsonl")
    words = ["data.root=chats.jsonl", "stage.full.epochs=100 steps", "optimizer.learning_rate=5e-3"]
    code, out, err = fmkit("finetune", *SMALL, *words)
    assert code == 0, err
    assert "perplexity" in out
    return only_run(tmp_path)


def test_a_run_answers_as_it_was_trained(fmkit, trained, tmp_path):
    asked = ["generate", f"run={trained}", "temperature=0"]
    code, out, err = fmkit(*asked, "prompt=Who?")
    assert (code, out) == (0, "It is me.\n"), err
    (tmp_path / "ask.txt").write_text("Where?")
    code, out, err = fmkit(*asked, "input=ask.txt")
    assert (code, out) == (0, "Over there.\n"), err
    (tmp_path / "begin.txt").write_text("User: Who?\nAssistant:")
    code, out, err = fmkit(*asked, "chat=false", "input=begin.txt", "max_tokens=6")
    assert (code, out) == (0, "User: Who?\nAssistant: It is\n"), err
    code, _, err = fmkit(*asked)
    assert (code, "prompt is missing" in err) == (2, True)
    code, _, err = fmkit(*asked, "chat=false", "prompt=a", "system=Be kind.")
    assert (code, "system: run" in err) == (2, True)
    code, _, err = fmkit(*asked, f"prompt={'x' * 70}")
    assert (code, "reads 64, its answer included" in err) == (2, True), err
    code, _, err = fmkit("eval", f"run={trained}", "bootstrap=0")
    assert code == 0, err
    assert json.loads((trained / "eval" / "test.json").read_text())["perplexity"] < 1.5
    text = (trained / run_dir.CONFIG).read_text()
    assert "chat_template: plain" in text


def test_what_is_unusable_is_told_and_can_be_left_out(fmkit, tmp_path):
    write(tmp_path / "chats.jsonl")
    with (tmp_path / "chats.jsonl").open("a") as stream:
        stream.write('{"messages": [{"role": "critic", "content": "no"}]}\n')
        stream.write(json.dumps({"prompt": "x" * 99, "completion": "beyond"}) + "\n")
    words = [*SMALL, "data.root=chats.jsonl", "stage.full.epochs=1"]
    code, out, err = fmkit("check", "data=chat", "data.root=chats.jsonl")
    assert (code, "chats.jsonl:000025: message 1 has the role 'critic'" in out) == (3, True), out
    assert "messages" in out
    code, _, err = fmkit("finetune", *words)
    assert (code, "chats.jsonl:000025" in err) == (3, True)
    code, _, err = fmkit("finetune", *words, "data.on_bad=skip", "data.val_fraction=0.2")
    assert code == 0, err
    assert "1 of 25 conversations have no answer in their first 64 tokens" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["task=instruction", "model=small_gpt"], "Use data=chat"),
        (["data=chat", "data.root=c.jsonl", "model=small_gpt"], "Use task=instruction"),
        (["task=causal_lm", "data=chat", "data.root=c.jsonl", "model=small_gpt"],
         "data=chat has conversations. Use task=instruction"),
        ([*SMALL, "data.root=c.jsonl", "recipe=auto"], "recipe=auto"),
        ([*SMALL, "data.root=c.jsonl", "model.chat_template=vicuna"], "Allowed: auto, chatml"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(fmkit, tmp_path, words, told):
    write(tmp_path / "c.jsonl")
    code, _, err = fmkit("finetune", *words)
    assert (code, told in err) == (2, True), err


def test_generate_wants_a_run_or_a_model(fmkit):
    for words, told in (
        ([], "run and model: neither was named"),
        (["run=last", "model=small_gpt"], "run and model: both were named"),
        (["model=smolm2"], "Did you mean smollm2?"),
        (["model.max_length=30"], "model.max_length: no model is chosen. Add model=NAME"),
        (["model=small_bert", "prompt=a"], "a token sees all others"),
    ):
        code, _, err = fmkit("generate", *words)
        assert (code, told in err) == (2, True), err


def test_a_model_writes_without_a_run(fmkit):
    words = ["generate", "model=small_gpt", "prompt=Once, ", "max_tokens=3"]
    code, out, err = fmkit(*words)
    assert (code, out.startswith("Once, ")) == (0, True), err
    code, out, err = fmkit(*words, "chat=true", "system=Be brief.")
    assert (code, out.startswith("Once, ")) == (0, False), err
