"""From files of texts to a model that writes, and to one that a classifier starts from."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from fmkit.store import run_dir

SMALL = ["stage=scratch", "data.batch_size=8", "runtime.verbose=false"]
SAYING = "the quick brown fox jumps over the lazy dog"


def only_run(folder, command="pretrain"):
    (found,) = (folder / "runs" / command).iterdir()
    return found


def loss_of_the_saying(folder):
    """The perplexity of the text, token by token, by the deployed model."""
    import fmkit

    run = fmkit.load(folder)
    tokenizer = run._loaded.backbone.tokenizer
    tokens = [*tokenizer.tokens([SAYING])[0], tokenizer.end]
    if tokenizer.start not in (None, tokenizer.end):
        tokens = [tokenizer.start, *tokens]
    logits = run.model()(np.array([tokens], np.int32)).numpy()[0].astype(float)
    losses = [-log_softmax(logits[place])[token] for place, token in enumerate(tokens[1:])]
    return np.exp(np.mean(losses))


@pytest.fixture
def fables(tmp_path):
    (tmp_path / "texts").mkdir()
    for each in range(24):
        (tmp_path / "texts" / f"{each:02d}.txt").write_text(SAYING)
    return tmp_path / "texts"


@pytest.mark.slow
def test_a_causal_model_learns_a_text_by_heart_and_writes_it(fmkit, fables, tmp_path):
    words = ["task=causal_lm", "data=text_files", f"data.root={fables}", "model=small_gpt"]
    code, out, err = fmkit("pretrain", *words, *SMALL, "stage.full.epochs=200 steps",
                           "model.max_length=64", "optimizer.learning_rate=5e-3")  # fmt: skip
    assert code == 0, err
    assert "perplexity" in out
    folder = only_run(tmp_path)
    recorded = json.loads((folder / run_dir.ENVIRONMENT).read_text())["data"]
    assert recorded["classes"] == []
    assert (folder / "model.keras").exists()
    code, out, err = fmkit("generate", f"run={folder}", "prompt=the quick", "temperature=0")
    assert (code, out) == (0, f"{SAYING}\n"), err
    (tmp_path / "begin").write_text("the quick")
    code, out, err = fmkit("generate", f"run={folder}", f"input={tmp_path / 'begin'}",
                           "max_tokens=6", "temperature=0")  # fmt: skip
    assert (code, out) == (0, "the quick brown\n"), err
    code, out, err = fmkit("eval", f"run={folder}", "by_document=true")
    assert code == 0, err
    found = json.loads((folder / "eval" / "test.json").read_text())
    assert found["perplexity"] < 3
    table = pd.read_csv(folder / "eval" / "test" / "documents.csv")
    figures = found["documents"]
    assert figures["n"] == len(table) > 1
    # All documents are the same text, which is read from the same beginning.
    assert table["perplexity"].std() < 1e-4
    assert table["perplexity"][0] == pytest.approx(loss_of_the_saying(folder), rel=1e-3)
    assert figures["perplexity"] == pytest.approx(table["perplexity"][0], rel=1e-4)
    assert f"{len(table)} documents one by one: perplexity" in out
    code, _, err = fmkit("predict", f"run={folder}", "input=begin")
    assert (code, "fmkit generate" in err) == (2, True)
    for wrong in ("temperature=-1", "top_p=0", "top_k=0", "max_tokens=0"):
        code, _, err = fmkit("generate", f"run={folder}", wrong)
        assert (code, wrong.split("=")[0] in err) == (2, True)


@pytest.mark.slow
def test_a_classifier_starts_from_a_masked_model_of_its_texts(fmkit, tmp_path):
    rows = [f"{kind} {SAYING} {each},{kind}" for each in range(30) for kind in ("good", "bad")]
    (tmp_path / "table.csv").write_text("\n".join(["text,label", *rows]))
    data = ["data=text_table", f"data.root={tmp_path / 'table.csv'}", "model=small_bert"]
    code, _, err = fmkit("pretrain", "task=masked_lm", *data, *SMALL, "stage.full.epochs=1",
                         "model.max_length=32", "runtime.seed=7")  # fmt: skip
    assert code == 0, err
    before = only_run(tmp_path)
    status = json.loads((before / "status.json").read_text())
    assert status["val"]["perplexity"] > 1
    words = ["stage=lp_ft", "stage.head.epochs=1", "stage.full.epochs=1"]
    code, _, err = fmkit("finetune", f"init={before}", *data, "model.max_length=32", *words)
    assert code == 0, err
    assert "that run's task is masked_lm" in err
    after = only_run(tmp_path, "finetune")
    one, other = (json.loads((each / run_dir.ENVIRONMENT).read_text()) for each in (before, after))
    assert one["data"]["split_fingerprint"] == other["data"]["split_fingerprint"]
    assert other["weights"]["init"] == str(before)
    assert other["weights"]["head"] is False


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["task=masked_lm", "model=small_bert"], "data=mnist5k has images"),
        (["data=text_lines", "data.root=a.txt", "model=small_bert"],
         "data=text_lines has no labels"),
        (["task=masked_lm", "data=text_lines", "data.root=a.txt", "model=small_bert",
          "recipe=auto"], "recipe=auto"),
        (["task=masked_lm", "data=text_lines", "data.root=a.txt", "model=small_bert",
          "task.mask_rate=1"], "above 0 and below 1"),
        (["task=causal_lm", "data=text_lines", "data.root=a.txt", "model=small_gpt",
          "task.monitor=val_f1"], "task.monitor"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(fmkit, tmp_path, words, told):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    code, _, err = fmkit("pretrain", *words)
    assert (code, told in err) == (2, True), err


def test_documents_are_checked(fmkit, tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(f"line {each}" for each in range(50)))
    code, out, err = fmkit("check", "data=text_lines", "data.root=a.txt")
    assert code == 0, err
    assert "50 examples" in out
    (tmp_path / "b.txt").write_bytes(b"fine\nnot \xff\n")
    code, out, err = fmkit("check", "data=text_lines", "data.root=b.txt")
    assert (code, "byte 9 (0xff) is not utf-8" in out) == (3, True), out


def test_prompts_of_a_file_give_what_each_gives_alone(fmkit, tmp_path):
    words = ["generate", "model=small_gpt", "temperature=1", "max_tokens=5"]
    (tmp_path / "prompts.txt").write_text("the quick\n\na\nfox and hound\n")
    code, out, err = fmkit(*words, "prompts=prompts.txt", "batch_size=2", "seed=4")
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["prompt"] for row in rows] == ["the quick", "a", "fox and hound"]
    code, out, err = fmkit("--json", *words, "prompt=fox and hound", "seed=6")
    assert (code, json.loads(out)["text"]) == (0, rows[2]["text"]), err
    code, _, err = fmkit(*words, "prompts=prompts.txt", "prompt=a")
    assert (code, "name one of them" in err) == (2, True)
