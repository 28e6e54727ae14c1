"""From texts to a model that writes, and from pairs of answers to one that writes the preferred."""

import json
import random
import shutil

import numpy as np
import pandas as pd
import pytest
from whole_runs import only_run

from fmkit.store import metrics_log, run_dir

THINGS = ("fox", "dog", "cat", "owl")
SMALL = ["data.batch_size=8", "runtime.verbose=false"]


def pair(number):
    thing = random.Random(number).choice(THINGS)
    begin = f"{thing} {number}:"
    return {"prompt": begin, "chosen": f" the {thing} runs", "rejected": f" no {thing} at all"}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Pairs, and a model of texts in which both kinds of answer are as likely."""
    from fmkit.cli import main

    place = tmp_path_factory.mktemp("begun")
    rows = [pair(number) for number in range(48)]
    (place / "pairs.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    texts = [f"{e['prompt']}{e[kind]}" for e in rows for kind in ("chosen", "rejected")]
    (place / "texts.txt").write_text("\n".join(texts))
    code = main([
        "pretrain", "task=causal_lm", "data=text_lines", f"data.root={place / 'texts.txt'}",
        "model=small_gpt", "model.max_length=64", "stage=scratch", "stage.full.epochs=100 steps",
        "optimizer.learning_rate=5e-3", f"runs_dir={place / 'runs'}", *SMALL,
    ])  # fmt: skip
    assert code == 0
    return place, only_run(place, "pretrain")


def figures(folder, split):
    return json.loads((folder / "eval" / f"{split}.json").read_text())


@pytest.mark.slow
def test_preferences_are_learned_judged_and_written(fmkit, begun, tmp_path):
    place, before = begun
    words = ["task=dpo", "data=preferences", f"data.root={place / 'pairs.jsonl'}", *SMALL]
    tuned = [*words, "stage=preference", "stage.all.epochs=4", "optimizer.learning_rate=0.1",
             "task.sft_weight=0.2", "task.monitor=val_margin"]  # fmt: skip
    code, out, err = fmkit("finetune", *tuned, f"init={before}")
    assert code == 0, err
    assert "margin" in out
    folder = only_run(tmp_path)
    kept = json.loads((folder / run_dir.ENVIRONMENT).read_text())
    assert kept["weights"]["head"] is True
    assert kept["reference"]["computed"] == 48
    assert kept["data"]["classes"] == []
    rows = [json.loads(each) for each in (folder / metrics_log.METRICS).read_text().splitlines()]
    assert rows[-1]["val_margin"] > rows[0]["val_margin"] > 0
    assert rows[-1]["val_rewards_chosen"] > 0  # likelier than at the start

    first = figures(folder, "test")
    assert first["accuracy"] == 1
    low, high = first["intervals"]["margin"]
    assert 0 < low < first["margin"] < high
    table = pd.read_parquet(folder / "eval" / "test.parquet")
    assert len(table) == first["n"]
    gained = table["logp_chosen"] - table["reference_chosen"]
    np.testing.assert_allclose(table["reward_chosen"], 0.1 * gained, atol=1e-5)
    np.testing.assert_allclose(table["margin"].mean(), first["margin"], rtol=1e-6)

    code, out, err = fmkit("generate", f"run={folder}", "prompt=dog 3:", "temperature=0")
    assert (code, " no " in out, "the" in out) == (0, False, True), (out, err)
    code, _, err = fmkit("predict", f"run={folder}", f"input={place / 'texts.txt'}")
    assert (code, "fmkit generate" in err) == (2, True)

    import keras

    deployed = keras.models.load_model(folder / "model.keras")
    assert len(deployed.inputs) == 1
    assert deployed(np.array([[5, 6, 7]])).shape == (1, 3, 260)

    # New pairs, of which the start was never asked; and then it is gone.
    more = "".join(f"{json.dumps(pair(each))}\n" for each in range(100, 110))
    (tmp_path / "more.jsonl").write_text(more)
    judged = ["data=preferences", f"data.root={tmp_path / 'more.jsonl'}"]
    code, out, err = fmkit("eval", f"run={folder}", *judged)
    assert (code, "table: " in out) == (0, True), err
    (found,) = (folder / "eval").glob("all-*.json")
    assert json.loads(found.read_text())["accuracy"] == 1
    moved = before.rename(before.with_name("elsewhere"))
    code, _, err = fmkit("eval", f"run={folder}", *judged)
    assert code == 0, err  # as the cache has it
    (tmp_path / "more.jsonl").write_text(more.splitlines()[0])
    code, _, err = fmkit("eval", f"run={folder}", *judged)
    assert (code, "the run to start from, is gone" in err) == (4, True), err
    moved.rename(before)

    code, _, err = fmkit("finetune", "task=causal_lm", f"init={folder}", "data=text_lines",
                         f"data.root={place / 'texts.txt'}", "stage=continued",
                         "stage.all.epochs=1", "name=on", *SMALL)  # fmt: skip
    assert code == 0, err
    (on,) = (each for each in (tmp_path / "runs" / "finetune").iterdir() if each != folder)
    assert json.loads((on / run_dir.ENVIRONMENT).read_text())["weights"]["head"] is True


@pytest.mark.slow
def test_a_run_goes_on_without_its_cache_but_not_without_what_it_began_with(fmkit, begun, tmp_path):
    place, before = begun
    cache = tmp_path / "cache"
    words = ["task=dpo", "data=preferences", f"data.root={place / 'pairs.jsonl'}", *SMALL]
    code, _, err = fmkit("finetune", *words, f"init={before}", "stage=preference",
                         f"runtime.cache_dir={cache}")  # fmt: skip
    assert code == 0, err
    folder = only_run(tmp_path)
    shutil.rmtree(cache)
    moved = before.rename(before.with_name("elsewhere"))
    code, _, err = fmkit("resume", str(folder), "stage.all.epochs=2")
    assert (code, "is gone" in err) == (4, True), err
    moved.rename(before)
    code, _, err = fmkit("resume", str(folder), "stage.all.epochs=2")
    assert code == 0, err
    assert (folder / run_dir.LOG).read_text().count("48 computed") == 2
    assert len(list(cache.glob("features/*/manifest.json"))) == 3
    status = json.loads((folder / run_dir.STATUS).read_text())
    assert status["phases"][0]["epochs"] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["task=dpo", "data=text_lines", "data.root=pairs.jsonl"], "data=preferences"),
        (["task=causal_lm", "data=preferences", "data.root=pairs.jsonl"], "Use task=dpo"),
        (["task=classification", "data=preferences", "data.root=pairs.jsonl"], "Use task=dpo"),
        (["task=dpo", "data=preferences", "data.root=pairs.jsonl", "task.beta=0"], "task.beta"),
        (["task=dpo", "data=preferences", "data.root=pairs.jsonl", "task.loss_type=kto"],
         "sigmoid"),
        (["task=dpo", "data=preferences", "data.root=pairs.jsonl", "task.label_smoothing=0.5"],
         "below 0.5"),
        (["task=dpo", "data=preferences", "data.root=pairs.jsonl", "task.loss_type=ipo",
          "task.label_smoothing=0.1"], "is for task.loss_type=sigmoid"),
        (["task=dpo", "data=preferences", "data.root=pairs.jsonl", "recipe=auto"], "recipe=auto"),
        (["task=dpo", "data=preferences", "data.root=pairs.jsonl", "task.monitor=val_f1"],
         "val_margin"),
        (["task=joint", "data=preferences", "data.root=pairs.jsonl",
          "task.objectives.one.task=dpo", "task.objectives.two.task=causal_lm"],
         "cannot be an objective of a joint run"),
        (["task=dpo", "data=preferences", "data.root=pairs.jsonl", "model=small_bert"],
         "only those before it"),
        (["task=dpo", "data=preferences", "data.root=pairs.jsonl", "model=small_cnn"],
         "reads images"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(fmkit, begun, tmp_path, words, told):
    shutil.copy(begun[0] / "pairs.jsonl", tmp_path)
    model = [] if any(each.startswith("model=") for each in words) else ["model=small_gpt"]
    code, _, err = fmkit("finetune", *words, *model)
    assert (code, told in err) == (2, True), err


def test_data_that_are_no_pairs_are_told_by_their_lines(fmkit, tmp_path):
    rows = [json.dumps(pair(each)) for each in range(10)]
    rows[3] = '{"prompt": "a", "chosen": "b"}'
    rows[6] = "{"
    (tmp_path / "pairs.jsonl").write_text("\n".join(rows))
    words = ["data=preferences", "data.root=pairs.jsonl"]
    code, out, err = fmkit("check", *words)
    assert code == 3, err
    assert "pairs.jsonl:000004: no rejected" in out
    assert "pairs.jsonl:000007: not valid JSON" in out
    code, out, err = fmkit("check", *words, "data.on_bad=skip")
    assert code == 0, err
