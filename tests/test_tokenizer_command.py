"""A vocabulary of one's own texts: made, measured, refused, and used by a model from then on."""

import json
import signal
import threading

import pandas as pd
import pytest
from whole_runs import only_run

from fmkit.commands import tokenizer as vocabulary
from fmkit.core import signals
from fmkit.models.tokenizers import tokenizer, training

SMALL = ["stage=scratch", "data.batch_size=8", "runtime.verbose=false", "model.max_length=32"]
SAYING = "the quick brown fox jumps over the lazy dog"


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "corpus").mkdir()
    for each in range(40):
        text = " ".join([*SAYING.split()[each % 4 :], f"number {each}."]) * 3
        (tmp_path / "corpus" / f"{each:02d}.txt").write_text(text)
    return tmp_path / "corpus"


def record(folder):
    return json.loads((folder / tokenizer.RECORD).read_text())


def whole(folder):
    """All files below a folder but the corpus's, so that nothing half is left."""
    return sorted(
        str(each.relative_to(folder))
        for each in folder.rglob("*")
        if each.is_file() and "corpus" not in each.parts
    )


@pytest.mark.parametrize("kind", ["byte_pair", "word_piece"])
def test_a_tokenizer_is_made_and_measured_on_what_it_has_not_seen(fmkit, corpus, tmp_path, kind):
    words = [f"data.root={corpus}", "output=out/mine", f"kind={kind}", "size=300"]
    code, out, err = fmkit("tokenizer", "train", *words, "runtime.seed=3")
    assert code == 0, err
    assert "val, held out" in out
    assert "tokens per word" in " ".join(out.split())
    assert "model.tokenizer=out/mine" in out
    assert "longest pieces: " in out
    assert "quick" in out
    assert whole(tmp_path) == ["out/mine/fmkit_tokenizer.json", "out/mine/tokenizer.json"]
    made = record(tmp_path / "out" / "mine")["made"]
    assert (made["kind"], made["split"], made["is_held_out"]) == (kind, "train", True)
    assert made["figures"]["unknown_share"] < 0.1
    assert made["figures"]["tokens_per_word"] < 2
    assert made["pieces"] == tokenizer.load(tmp_path / "out" / "mine").size
    first = (tmp_path / "out" / "mine" / tokenizer.RECORD).read_bytes()
    code, _, err = fmkit("tokenizer", "train", *words, "runtime.seed=3")
    assert (code, "overwrite=true" in err) == (2, True)
    code, _, err = fmkit("tokenizer", "train", *words, "runtime.seed=3", "overwrite=true")
    assert code == 0, err
    assert (tmp_path / "out" / "mine" / tokenizer.RECORD).read_bytes() == first
    code, out, err = fmkit("tokenizer", "train", *words, "overwrite=true", "split=all")
    assert (code, "all, learned from" in out) == (0, True), err
    assert (tmp_path / "out" / "mine" / tokenizer.RECORD).read_bytes() != first


def test_only_the_training_split_is_read(fmkit, tmp_path):
    rows = [f"{SAYING} {each},{split},x{each % 2}" for each, split in enumerate(["train"] * 20)]
    rows += [f"unheard unheard unheard {each},test,x{each % 2}" for each in range(6)]
    (tmp_path / "table.csv").write_text("\n".join(["text,split,label", *rows]))
    words = ["data=text_table", "data.root=table.csv", "data.split_column=split", "size=1000"]
    words += ["kind=word_piece", "data.val_fraction=0"]
    code, out, err = fmkit("tokenizer", "train", *words, "output=one")
    assert (code, "test, held out" in out) == (0, True), err
    assert "fewer than size=1000" in err
    code, _, err = fmkit("tokenizer", "train", *words, "output=two", "split=all")
    assert code == 0, err
    found = [tokenizer.load(tmp_path / each).pieces.vocabulary for each in ("one", "two")]
    assert ["unheard" in each for each in found] == [False, True]
    assert all("quick" in each for each in found)


def write_tables(folder):
    rows = [f"{SAYING} {each}" for each in range(40)]
    frame = pd.DataFrame({"body": rows, "kind": ["a", "b"] * 20})
    frame.to_csv(folder / "table.csv", index=False)
    frame.to_parquet(folder / "table.parquet")
    lines = [json.dumps({"body": each}) for each in rows]
    (folder / "lines.jsonl").write_text("\n".join(lines))
    for kind in ("a", "b"):
        (folder / "classes" / kind).mkdir(parents=True)
        for each in range(20):
            (folder / "classes" / kind / f"{each}.txt").write_text(f"{SAYING} {kind}{each}")


@pytest.mark.parametrize(
    "words",
    [
        ["data=text_lines", "data.root=table.csv", "data.text_column=body"],
        ["data=text_lines", "data.root=table.parquet", "data.text_column=body"],
        ["data=text_lines", "data.root=lines.jsonl", "data.text_column=body"],
        ["data=text_table", "data.root=table.csv", "data.text_column=body",
         "data.label_column=kind", "data.pair_column=body"],
        ["data=text_folder", "data.root=classes"],
    ],
)  # fmt: skip
def test_texts_of_every_source_are_read(fmkit, tmp_path, words):
    write_tables(tmp_path)
    code, out, err = fmkit("tokenizer", "train", *words, "output=new", "kind=word_piece")
    assert (code, "val, held out" in out) == (0, True), err
    vocabulary = tokenizer.load(tmp_path / "new").pieces.vocabulary
    assert set(SAYING.split()) < set(vocabulary)


def test_a_table_is_checked_and_its_rows_are_learned_from(fmkit, tmp_path):
    write_tables(tmp_path)
    with (tmp_path / "table.csv").open("a") as stream:
        stream.write("a,b,c\n,a\n")
    data = ["data=text_lines", "data.root=table.csv", "data.text_column=body"]
    code, out, err = fmkit("check", *data)
    assert (code, "rows that cannot be used (2)" in out) == (3, True), out + err
    assert "table.csv:000042: line 42 has 3 cells, the header has 2" in out
    words = ["task=causal_lm", "model=small_gpt", *SMALL, "stage.full.epochs=1 steps"]
    code, _, err = fmkit("pretrain", *data, *words)
    assert (code, "no text (line 43)" in err) == (3, True), err
    code, _, err = fmkit("pretrain", *data, *words, "data.on_bad=skip")
    assert (code, "left out: 2" in err) == (0, True), err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["output=new", "kind=word_piece", "size=20"], 2, "size: received 20. Expected"),
        (["output=new", "size=259"], 2, "260 pieces or more"),
        (["output=new", "size=0"], 2, "from 10 to 1000000 pieces"),
        (["output=new", "lowercase=true"], 2, "kind=word_piece"),
        (["output=new", "kind=word_piece", "pattern=qwen"], 2, "kind=byte_pair"),
        (["output=new", "kind=wordpiece"], 2, "Did you mean word_piece?"),
        (["output=new", "split=val"], 2, "Allowed: train, all"),
        (["output=new", "data=mnist5k"], 2, "data=mnist5k has images"),
        (["output=new", "data.encoding=utf-16"], 3, "is not utf-16"),
        (["output=new", "-m", "size=300,400"], 2, "fmkit tokenizer train does not take -m"),
        (["output=corpus"], 2, "does not hold a tokenizer"),
        (["output=corpus/00.txt"], 2, "it is a file"),
        (["output=/proc/new"], 2, "cannot be written"),
        ([], 2, "output is missing"),
        (["output=new", "data.root=empty"], 3, "has no text files"),
        (["output=new", "data.root=blank.txt"], 3, "the file is empty"),
        (["output=new", "data.root=bad.txt"], 3, "byte 3 (0xff) is not utf-8"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(fmkit, corpus, tmp_path, words, status, told):
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank.txt").write_text(" \n \n")
    (tmp_path / "bad.txt").write_bytes(b"abc\xff")
    before = whole(tmp_path)
    if "data=mnist5k" not in words:
        words = [f"data.root={corpus}", *words]
    code, out, err = fmkit("tokenizer", "train", *words)
    assert (code, told in err) == (status, True), err
    assert (out, whole(tmp_path)) == ("", before)


def test_the_word_train_is_needed(fmkit):
    for words in ([], ["trian"], ["output=x"]):
        code, _, err = fmkit("tokenizer", *words)
        assert (code, "fmkit tokenizer train data=" in err) == (2, True)
    code, out, _ = fmkit("tokenizer", "train", "--help")
    assert (code, "min_frequency=2" in out) == (0, True)


def test_a_signal_ends_it_at_once_and_leaves_nothing(fmkit, corpus, tmp_path, monkeypatch):
    reading, going_on, left = threading.Event(), threading.Event(), []

    def slow(wanted, texts):
        reading.set()
        going_on.wait(20)  # as the library does, which hears no signal
        try:
            list(texts())
        except BaseException as error:
            left.append(error)
            raise

    monkeypatch.setattr(training, "train", slow)

    def send():
        reading.wait(20)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    with signals.signal_handlers():
        code, out, err = fmkit("tokenizer", "train", f"data.root={corpus}", "output=new")
    thread.join()
    (worker,) = (each for each in threading.enumerate() if each.name == "tokenizer")
    going_on.set()
    worker.join(20)
    assert (code, "stopped by SIGINT" in err) == (130, True), err
    assert (out, whole(tmp_path)) == ("", [])
    assert [type(each) for each in left] == [vocabulary._Abandoned]


def test_a_signal_while_the_thread_starts_leaves_it_too(monkeypatch):
    progress, begin = vocabulary._Progress(verbose=False), threading.Thread.start

    def start(thread):
        begin(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start)
    going_on = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        vocabulary._in_thread(lambda: going_on.wait(20), progress)
    assert progress.is_abandoned
    going_on.set()


@pytest.mark.slow
def test_models_learn_with_it_and_a_classifier_goes_on(fmkit, corpus, tmp_path):
    data = ["data=text_files", f"data.root={corpus}"]
    chosen = {"small_bert": "word_piece", "small_gpt": "byte_pair"}
    rows = [f"{kind} {SAYING} {each},{kind}" for each in range(30) for kind in ("good", "bad")]
    (tmp_path / "table.csv").write_text("\n".join(["text,label", *rows]))
    for model, task in (("small_bert", "masked_lm"), ("small_gpt", "causal_lm")):
        words = [f"output={model}", f"kind={chosen[model]}", "size=320"]
        code, _, err = fmkit("tokenizer", "train", *data, *words)
        assert code == 0, err
        code, _, err = fmkit(
            "pretrain", f"task={task}", f"model={model}", f"model.tokenizer={model}", *data, *SMALL,
            "stage.full.epochs=2 steps", f"runs_dir={model}_runs",
        )  # fmt: skip
        assert code == 0, err
        (before,) = (tmp_path / f"{model}_runs" / "pretrain").iterdir()
        kept = tokenizer.load(before / "tokenizer")
        assert kept.pieces == tokenizer.load(tmp_path / model).pieces
    code, _, err = fmkit(
        "finetune", f"init={before}", "data=text_table", "data.root=table.csv", "stage=lp_ft",
        "stage.head.epochs=1", "stage.full.epochs=1", "runtime.verbose=false",
    )  # fmt: skip
    assert code == 0, err
    after = tokenizer.load(only_run(tmp_path) / "tokenizer")
    assert after.pieces == kept.pieces
