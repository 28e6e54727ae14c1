"""Questions on texts from the command line: trained, judged, predicted, checked, started from."""

import json

import pandas as pd
import pytest
from question_sets import articles, write, write_tokenizer
from whole_runs import only_run

from fmkit.cli import main
from fmkit.tasks.question_answering import squad_metrics

QUICK = [
    "model=small_bert", "model.max_length=24", "stage=scratch", "data.batch_size=16",
    "optimizer.learning_rate=3e-3", "runtime.verbose=false",
]  # fmt: skip


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Questions of which a third has no answer, in texts of two windows or more."""
    root = tmp_path_factory.mktemp("questions")
    write(root / "v2.json", articles(120, unanswerable=True, filler=24), "v2.0")
    write(root / "other.json", articles(20, seed=1))
    write_tokenizer(root / "words")
    return root


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    root = tmp_path_factory.mktemp("finished")
    words = ["task=question_answering", "data=squad", f"data.root={data / 'v2.json'}", *QUICK,
             f"model.tokenizer={data / 'words'}", "task.stride=8", "task.monitor=val_f1",
             "stage.full.epochs=6", f"runs_dir={root / 'runs'}"]  # fmt: skip
    assert main(["finetune", *words]) == 0
    return only_run(root)


def test_answers_are_found_and_the_threshold_is_that_of_validation(finished):
    status = read(finished, "status.json")
    assert status["best"]["monitor"] == "val_f1"
    assert status["test"]["exact_match"] > 0.8  # chance has 1 of some 25 words
    val, test = read(finished, "eval/val.json"), read(finished, "eval/test.json")
    assert val["null_threshold"] == val["best"]["f1"]["null_threshold"] == test["null_threshold"]
    assert test["best"]["f1"]["value"] >= test["f1"]
    assert test["parts"]["with an answer"]["n"] + test["parts"]["without"]["n"] == test["n"]
    assert read(finished, "environment.json")["data"]["annotations"] == "spans"


def test_the_table_has_what_the_figures_were_taken_of(finished, data):
    table = pd.read_parquet(finished / "eval/test.parquet")
    figures = read(finished, "eval/test.json")
    assert table["f1"].mean() == pytest.approx(figures["f1"])
    assert table["exact_match"].mean() == pytest.approx(figures["exact_match"])
    predictions = read(finished, "eval/test.predictions.json")
    assert predictions == dict(zip(table["id"], table["prediction"], strict=True))
    scores = squad_metrics.score(list(table["prediction"]), list(map(list, table["answers"])))
    assert scores.exact.mean() == pytest.approx(figures["exact_match"])
    contexts = {
        each["qas"][0]["id"]: each["context"]
        for article in read(data, "v2.json")["data"] for each in article["paragraphs"]
    }  # fmt: skip
    for row in table.itertuples():
        left_out = row.null_score > figures["null_threshold"]
        assert (row.prediction == "") == left_out == (row.begin == -1)
        if not left_out:
            assert contexts[row.id][row.begin : row.end] == row.prediction


def test_eval_gives_the_same_and_judges_other_data(fmkit, finished, data):
    before = read(finished, "eval/test.json")
    code, out, err = fmkit("eval", f"run={finished}")
    assert code == 0, err
    again = read(finished, "eval/test.json")
    assert again.pop("loss") == pytest.approx(before.pop("loss"))
    assert again == before
    assert "exact match" in out
    assert "test, without" in out
    code, out, err = fmkit("eval", f"run={finished}", f"data.root={data / 'other.json'}")
    assert code == 0, err
    (found,) = (finished / "eval").glob("all-*[0-9a-f].json")
    figures = read(finished, f"eval/{found.name}")
    assert figures["n"] == 20
    assert figures["null_threshold"] == before["null_threshold"]
    assert "best" not in figures
    assert figures["unreachable"] == before["unreachable"] == 0
    (finished / "eval/val.json").rename(finished / "eval/kept.json")
    try:
        code, _, err = fmkit("eval", f"run={finished}", "bootstrap=0")
        assert code == 0, err
        figures = read(finished, "eval/test.json")
        assert figures["null_threshold"] == 0.0
        assert figures["intervals"] == {"exact_match": None, "f1": None}
    finally:
        (finished / "eval/kept.json").rename(finished / "eval/val.json")
        assert fmkit("eval", f"run={finished}")[0] == 0


def test_answers_inside_a_token_are_counted(fmkit, finished, data, tmp_path):
    parts = articles(8, seed=2)
    for article in parts[:3]:  # the town is one token
        (question,) = article["paragraphs"][0]["qas"]
        answer = question["answers"][0]
        answer |= {"text": answer["text"][:2]}
    path = write(tmp_path / "parts.json", parts)
    before = set((finished / "eval").glob("all-*.json"))
    code, _, err = fmkit("eval", f"run={finished}", f"data.root={path}", "bootstrap=0")
    assert code == 0, err
    (found,) = set((finished / "eval").glob("all-*[0-9a-f].json")) - before
    figures = read(finished, f"eval/{found.name}")
    assert (figures["n"], figures["unreachable"]) == (8, 3)
    assert figures["exact_match"] <= 5 / 8
    code, out, err = fmkit("check", "data=squad", f"data.root={path}")
    assert code == 0, err
    assert "Of 8 questions with an answer, 3 have one that is a part of a word" in out


def test_new_questions_are_answered_from_every_kind_of_file(fmkit, finished, data, tmp_path):
    texts = ["so ann lives in oslo now and then", "it was that day and so", ""]
    rows = [{"id": f"n{each}", "question": "Lives in?", "context": text}
            for each, text in enumerate(texts)]  # fmt: skip
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pd.DataFrame(rows).to_csv(tmp_path / "new.csv", index=False)
    pd.DataFrame(rows).to_parquet(tmp_path / "new.parquet")
    found = []
    for each in ("new.jsonl", "new.csv", "new.parquet"):
        code, out, err = fmkit("predict", f"run={finished}", f"input={each}", "output=o.parquet",
                               "overwrite=true")  # fmt: skip
        assert code == 0, err
        assert "3 texts, 1 of them could not be read" in out
        found.append(pd.read_parquet("o.parquet"))
    for table in found:
        assert table["id"].tolist() == ["n0", "n1", "n2"]
        assert table["context"].tolist() == texts
        assert table["prediction"].tolist()[:2] == ["oslo", ""]
        assert table[["prediction", "question", "begin", "score"]].iloc[2].isna().all()
        first = table.iloc[0]
        assert texts[0][first["begin"] : first["end"]] == "oslo"
        assert table["question"].tolist()[:2] == ["Lives in?", "Lives in?"]
        assert table["error"].tolist()[:2] == ["", ""]
    code, _, err = fmkit("predict", f"run={finished}", f"input={data / 'v2.json'}", "output=p.csv")
    assert code == 0, err
    assert len(pd.read_csv("p.csv")) == 120
    (tmp_path / "lines.txt").write_text("a line\n")
    code, _, err = fmkit("predict", f"run={finished}", "input=lines.txt")
    assert (code, "has no pairs of texts" in err) == (3, True)


@pytest.mark.slow
def test_a_run_starts_from_a_masked_model_of_the_same_texts(fmkit, data, tmp_path):
    place = ["data=squad", f"data.root={data / 'other.json'}", *QUICK, "stage.full.epochs=1"]
    code, _, err = fmkit("pretrain", "task=masked_lm", f"model.tokenizer={data / 'words'}", *place)
    assert code == 0, err
    before = only_run(tmp_path, "pretrain")
    words = [each for each in place if not each.startswith("model")]
    code, out, err = fmkit("finetune", f"init={before}", "task=question_answering", *words)
    assert code == 0, err
    assert "that run's task is masked_lm" in err
    assert "exact match" in out
    after = only_run(tmp_path)
    assert read(after, "status.json")["test"]["n"] == 3


@pytest.mark.slow
def test_questions_and_hidden_words_are_learned_together(fmkit, data, tmp_path):
    place = "task.objectives"
    code, out, err = fmkit(
        "finetune", "task=joint", "data=squad", f"data.root={data / 'other.json'}", *QUICK,
        f"model.tokenizer={data / 'words'}", "stage.full.epochs=1",
        f"{place}.words.task=masked_lm", f"{place}.answers.task=question_answering",
    )  # fmt: skip
    assert code == 0, err
    folder = only_run(tmp_path)
    row = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"answers_loss", "val_answers_accuracy", "words_perplexity"} <= row.keys()
    assert "f1" in read(folder, "status.json")["test"]
    assert "f1" in out
    code, _, err = fmkit("eval", f"run={folder}", "objective=words", "bootstrap=0")
    assert code == 0, err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["task=question_answering", "model=small_bert"],
         "data=mnist5k has class labels. Use data=squad"),
        (["task=question_answering", "data=text_table", "data.root=a.json", "model=small_bert"],
         "data=text_table has class labels. Use data=squad"),
        (["data=squad", "data.root=a.json", "model=small_bert"],
         "data=squad has answers to questions. Use task=question_answering"),
        (["task=question_answering", "data=squad", "data.root=a.json", "model=small_bert",
          "recipe=auto"], "recipe=auto"),
        (["task=question_answering", "data=squad", "data.root=a.json", "model=small_bert",
          "task.stride=0"], "task.stride"),
        (["task=question_answering", "data=squad", "data.root=a.json", "model=small_bert",
          "task.monitor=val_knn_accuracy"], "task.monitor"),
        (["task=question_answering", "data=squad", "data.root=a.json", "model=small_cnn"],
         "reads images, and the data are texts"),
        (["task=question_answering", "data=squad", "data.root=a.json", "model=small_bert",
          "data.on_bad=quarantine"], "data.on_bad=quarantine moves files"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(fmkit, tmp_path, words, told):
    write(tmp_path / "a.json", articles(12))
    code, _, err = fmkit("finetune", *words)
    assert (code, told in err) == (2, True), err


def test_questions_are_checked(fmkit, tmp_path):
    found = articles(12, unanswerable=True)
    write(tmp_path / "a.json", found, "v2.0")
    code, out, err = fmkit("check", "data=squad", "data.root=a.json")
    assert code == 0, err
    assert "12 examples, all usable, spans: 8 with an answer, 4 without" in out
    found[1]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 0
    write(tmp_path / "a.json", found, "v2.0")
    code, out, err = fmkit("check", "data=squad", "data.root=a.json", "output=report")
    assert code == 3
    assert "q0-1: " in out
    assert "is not in the text at 0" in out
    report = read(tmp_path, "report/data_report.json")
    assert report["annotations"]["counts"] == {"with an answer": 7, "without": 4}
    (tmp_path / "b.json").write_text('{"data": [')
    code, _, err = fmkit("check", "data=squad", "data.root=b.json")
    assert (code, "b.json: not valid JSON: Expecting value at line 1, column 11" in err) == (
        3,
        True,
    )
