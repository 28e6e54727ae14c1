"""From files of tagged words to a model that tags texts, by the command line."""

import csv
import json

import pandas
import pytest
from tagged_sentences import conll, sentences, write_folder
from whole_runs import only_run

from fmkit.store import run_dir

LEARN = ["task=token_classification", "model=small_bert", "model.dropout=0", "data.batch_size=16"]
SCRATCH = [*LEARN, "stage=scratch", "optimizer.learning_rate=3e-3", "task.monitor=val_f1"]
QUIET = "runtime.verbose=false"


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "ner")


def figures(run, name="test"):
    return json.loads((run / "eval" / f"{name}.json").read_text())


@pytest.mark.slow
def test_entities_are_learned_judged_and_found_in_new_texts(fmkit, folder, tmp_path):
    words = ["data=conll", f"data.root={folder}", *SCRATCH, "stage.full.epochs=14"]
    code, out, err = fmkit("finetune", *words)
    assert code == 0, err
    assert "4 tags, 200 train, 40 val, 40 test" in err
    assert "F1" in out
    run = only_run(tmp_path)
    found = figures(run)
    assert found["f1"] > 0.9
    assert set(found["per_entity"]) == {"LOC", "PER"}
    status = json.loads((run / "status.json").read_text())
    assert status["test"]["f1"] == found["f1"]
    rows = [json.loads(each) for each in (run / "metrics.jsonl").read_text().splitlines()]
    best = max(rows, key=lambda row: row["val_f1"])
    assert figures(run, "val")["f1"] == pytest.approx(best["val_f1"], abs=1e-6)
    assert figures(run, "val")["loss"] == pytest.approx(best["val_loss"], rel=1e-4)
    table = pandas.read_parquet(run / "eval" / "test.parquet")
    assert (table["prediction"] == table["label"]).mean() == pytest.approx(found["accuracy"])
    assert list(table) == ["id", "place", "word", "label", "prediction", "confidence"]
    assert len(table) == found["words"]
    _evaluates_others(fmkit, run, folder, tmp_path)
    _predicts(fmkit, run, tmp_path)


def _evaluates_others(fmkit, run, folder, tmp_path):
    code, out, err = fmkit("eval", f"run={run}", "bootstrap=20")
    assert code == 0, err
    assert "LOC" in out
    (tmp_path / "new.txt").write_text(conll([[("Mr", "O"), ("Moore", "B-PER")]] * 3))
    code, _, err = fmkit("eval", f"run={run}", f"data.root={tmp_path / 'new.txt'}", "bootstrap=0")
    assert code == 0, err
    (new,) = (run / "eval").glob("all-*.json")
    assert json.loads(new.read_text())["per_entity"]["PER"]["support"] == 3
    (tmp_path / "odd.txt").write_text("Mr O\nMoore B-DOG\n")
    code, _, err = fmkit("eval", f"run={run}", f"data.root={tmp_path / 'odd.txt'}")
    assert (code, "'B-DOG' was not in the training data" in err) == (3, True), err


def _predicts(fmkit, run, tmp_path):
    text = "Now Mr Rome  Moore was in Paris\n\nso Mr Adams is in Baker"
    (tmp_path / "in.txt").write_text(text)
    code, out, err = fmkit("predict", f"run={run}", "input=in.txt", "output=o.csv")
    assert code == 0, err
    assert "B-PER" in out
    with (tmp_path / "o.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    lines = text.split("\n")
    for row in rows:
        line = lines[int(row["id"].split(":")[1]) - 1]
        assert line[int(row["begin"]) : int(row["end"])] == row["word"]
    first = [row for row in rows if row["id"] == "in.txt:000001"]
    assert [row["prediction"] for row in first] == [
        "O", "O", "B-PER", "I-PER", "O", "O", "B-LOC",
    ]  # fmt: skip
    assert [row["entity"] for row in first] == ["0", "0", "1", "1", "0", "0", "2"]
    (tmp_path / "w.conll").write_text("Mr x\nRome x\n\n\nis x\nodd\n\nin x\nParis x\n")
    code, _, err = fmkit("predict", f"run={run}", "input=w.conll", "output=w.parquet")
    assert code == 0, err
    assert "w.conll:6: 1 column" in err
    table = pandas.read_parquet(tmp_path / "w.parquet")
    assert table["word"].dropna().tolist() == ["Mr", "Rome", "in", "Paris"]
    assert table["id"].tolist()[2:] == ["sentence-000002", "sentence-000003", "sentence-000003"]
    assert table["error"][2] == "w.conll:6: 1 column, and most lines have 2"
    (tmp_path / "texts.csv").write_text("text\nMr Moore is in Rome\n")
    code, _, err = fmkit("predict", f"run={run}", "input=texts.csv", "output=t.parquet")
    assert code == 0, err
    assert pandas.read_parquet(tmp_path / "t.parquet")["word"].tolist()[-1] == "Rome"
    (tmp_path / "words.txt").write_text("Mr\nMoore\n\nhere\n")
    words = ["input=words.txt", "by_word=true", "output=b.csv"]
    code, _, err = fmkit("predict", f"run={run}", *words)
    assert code == 0, err
    (tmp_path / "blank.conll").write_text("odd one\nodd\n")
    code, _, err = fmkit("predict", f"run={run}", "input=blank.conll", "output=e.csv")
    assert (code, "none of 1 text could be read" in err) == (3, True), err


@pytest.mark.slow
def test_a_head_first_then_all_from_a_table_and_on_from_that_run(fmkit, tmp_path):
    rows = [
        {"tokens": [word for word, _ in each], "ner_tags": [tag for _, tag in each]}
        for each in sentences(40)
    ]
    (tmp_path / "t.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    data = ["data=token_table", f"data.root={tmp_path / 't.jsonl'}", QUIET]
    phases = ["stage=lp_ft", "stage.head.epochs=2", "stage.full.epochs=1"]
    code, _, err = fmkit("finetune", *data, *LEARN, *phases)
    assert code == 0, err
    run = only_run(tmp_path)
    rows = [json.loads(each) for each in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["phase"] for row in rows] == ["head", "head", "full"]
    freeze = json.loads((run / "freeze.json").read_text())["phases"][0]["blocks"]
    trained = {row["block"]: row["trainable_parameters"] for row in freeze}
    assert trained.pop("head") > 0
    assert not any(trained.values())
    code, _, err = fmkit("finetune", f"init={run}", "task=token_classification", "stage=lp_ft",
                         "stage.full.epochs=1", QUIET)  # fmt: skip
    assert code == 0, err
    assert "phase head is skipped" in err


def test_sentences_longer_than_the_model_reads_lose_no_word(fmkit, tmp_path):
    long = [[pair for each in sentences(12, seed) for pair in each] for seed in range(12)]
    (tmp_path / "long.txt").write_text(conll(long))
    words = ["data=conll", f"data.root={tmp_path / 'long.txt'}", *SCRATCH, "model.max_length=32"]
    code, _, err = fmkit("finetune", *words, "stage.full.epochs=1")
    assert code == 0, err
    assert "in parts" in err
    run = only_run(tmp_path)
    parts = {name: figures(run, name) for name in ("val", "test")}
    table = pandas.read_parquet(run / "eval" / "test.parquet")
    by_id = {f"sentence-{number:06d}": each for number, each in enumerate(long, start=1)}
    assert parts["test"]["n"] == table["id"].nunique() == 2
    for name, rows in table.groupby("id"):
        assert list(zip(rows["word"], rows["label"], strict=True)) == by_id[name]
    assert table["confidence"].notna().all()
    environment = json.loads((run / run_dir.ENVIRONMENT).read_text())
    assert environment["data"]["counts"]["train"] == 8
    assert environment["rows"] > 8


def test_parts_of_speech_have_figures_of_words_only(fmkit, tmp_path):
    rows = [[(word, "NOUN" if word.istitle() else "VERB") for word, _ in e] for e in sentences(30)]
    (tmp_path / "pos.txt").write_text(conll(rows))
    data = ["data=conll", f"data.root={tmp_path / 'pos.txt'}", QUIET]
    code, out, err = fmkit("finetune", *data, *LEARN, "stage=scratch", "stage.full.epochs=2")
    assert code == 0, err
    assert "macro F1" in out
    run = only_run(tmp_path)
    assert "f1" not in figures(run)
    assert set(figures(run)["per_tag"]) == {"NOUN", "VERB"}
    code, out, _ = fmkit("eval", f"run={run}", "bootstrap=0")
    assert (code, "NOUN" in out) == (0, True)
    (tmp_path / "in.txt").write_text("Mr Moore is in Rome\n")
    code, _, err = fmkit("predict", f"run={run}", "input=in.txt", "output=o.csv")
    assert code == 0, err
    assert "entity" not in (tmp_path / "o.csv").read_text().splitlines()[0]
    code, _, err = fmkit("finetune", *data, *SCRATCH)
    assert (code, "task.monitor: received 'val_f1'" in err) == (2, True), err


@pytest.mark.slow
def test_tags_and_hidden_words_are_learned_together(fmkit, folder, tmp_path):
    words = ["data=conll", f"data.root={folder}", "model=small_bert", "stage=scratch", QUIET]
    task = ["task=joint", "task.alpha=0.3", "task.objectives.words.task=masked_lm"]
    task += ["task.objectives.tags.task=token_classification", "task.monitor=val_tags_f1"]
    code, _, err = fmkit("finetune", *words, *task, "stage.full.epochs=1")
    assert code == 0, err
    run = only_run(tmp_path)
    assert "f1" in figures(run)
    assert "perplexity" in figures(run, "test-words")
    code, _, err = fmkit("eval", f"run={run}", "objective=tags", "bootstrap=0")
    assert code == 0, err
    (tmp_path / "in.txt").write_text("Mr Moore is in Rome\n")
    code, _, err = fmkit("predict", f"run={run}", "input=in.txt", "output=o.csv")
    assert code == 0, err


def test_a_set_is_checked(fmkit, folder, tmp_path):
    code, out, err = fmkit("check", "data=conll", f"data.root={folder}", "output=report")
    assert code == 0, err
    assert "2 entity types" in out
    report = json.loads((tmp_path / "report" / "data_report.json").read_text())
    assert report["entities"]["LOC"] == {"train": 200, "val": 40, "test": 40}
    assert sum(report["tags"]["O"].values()) > 600
    assert len(report["samples"]["PER"]) == 3
    assert report["sizes"]["words"][0] >= 5
    with (folder / "train.txt").open("a") as stream:
        stream.write("\nBo X-PER\n")
    code, out, err = fmkit("check", "data=conll", f"data.root={folder}")
    assert (code, "unknown tag 'X-PER'" in out) == (3, True), out
    code, out, err = fmkit("check", "data=conll", f"data.root={folder}", "data.on_bad=skip")
    assert code == 0, err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data=conll", "data.root=a.txt"], "Use task=token_classification"),
        (["task=token_classification", "data=text_table", "data.root=a.csv"], "data=conll"),
        (["task=token_classification", "data=conll", "data.root=a.txt", "recipe=auto"], "recipe"),
        (["task=token_classification", "data=conll", "data.root=a.txt", "data.word_column=0"],
         "data.word_column"),
        (["task=token_classification", "data=conll", "data.root=a.txt", "data.tag_column=1"],
         "that of the words, too"),
        (["task=token_classification", "data=token_table", "data.root=a.csv",
          "data.tag_names=[O,O]"], "duplicate entries: O"),
        (["task=token_classification", "data=token_table", "data.root=a.csv",
          "data.tag_names=O"], "a list of texts"),
        (["task=token_classification", "data=conll", "data.root=a.txt",
          "stage.head.solver=lbfgs"], "lbfgs"),
        (["task=token_classification", "data=conll", "data.root=a.txt",
          "task.monitor=val_knn_accuracy"], "task.monitor"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(fmkit, tmp_path, words, told):
    (tmp_path / "a.txt").write_text("a O\nb B-X\n")
    code, _, err = fmkit("finetune", *words, "model=small_bert")
    assert (code, told in err) == (2, True), err


def test_a_model_of_images_is_refused(fmkit, folder):
    words = ["task=token_classification", "data=conll", f"data.root={folder}", "model=small_cnn"]
    code, _, err = fmkit("finetune", *words)
    assert (code, "reads images" in err) == (2, True), err
