"""`fmkit predict` reads what training reads, by its settings, and its table is usable as it is."""

import gzip
import io
import json
import shutil
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kept_runs import kept_run
from PIL import Image

from fmkit.core import console
from fmkit.core.machine import available_cores
from fmkit.evaluation import new_inputs
from fmkit.evaluation.progress import Progress
from fmkit.train.features import engine

TEXTS = ["the price is 7", "his name is Ada"]


@pytest.fixture
def images(tmp_path):
    return kept_run("images", tmp_path)


@pytest.fixture
def texts(tmp_path):
    return kept_run("texts", tmp_path)


@pytest.fixture
def predicted(fmkit, tmp_path):
    """Predict: the table, stdout and stderr."""

    def run(*words, code=0):
        (tmp_path / "out.csv").unlink(missing_ok=True)
        returned, out, err = fmkit("predict", "run=last", "output=out.csv", *words)
        assert returned == code, err
        table = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
        return SimpleNamespace(table=table, out=out, err=" ".join(err.split()))

    return run


def stdin(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_photos_as_words_each_file_with_a_row(images, predicted, tmp_path):
    folder = tmp_path / "new"
    for name in ("deep/.hidden", "@eaDir", "__MACOSX", ".ipynb_checkpoints"):
        (folder / name).mkdir(parents=True)
        shutil.copy(tmp_path / "photos/red/00.png", folder / name / "a.png")
    shutil.copy(tmp_path / "photos/red/00.png", folder / "deep" / "a.png")
    shutil.copy(tmp_path / "photos/red/00.png", folder / "b.png")
    (folder / "notes.txt").write_text("to do")
    (folder / "c.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(100))
    (folder / "deep" / "IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt  " + bytes(100))
    result = predicted("new", "photos/green/00.png")
    names = ["new/b.png", "new/c.heic", "new/deep/a.png", "photos/green/00.png"]
    assert list(result.table["path"]) == [str(tmp_path / name) for name in names]
    has_error = [bool(error) for error in result.table["error"]]
    assert has_error == [False, True, False, False]
    assert [bool(name) for name in result.table["prediction"]] == [not error for error in has_error]
    assert "HEIC" in result.table["error"][1]
    assert "4 images, 1 of them could not be read" in result.out
    said = "new: 2 files were left out, since they are not photos that fmkit reads: 1 .txt, 1 .mov."
    assert said in result.err
    assert f"predict: with run {images.name} " in result.err
    assert "predict: 4 images" in result.err


def test_a_table_of_photos_is_read_as_in_training(images, predicted, tmp_path):
    config = images / "config.yaml"
    text = config.read_text().replace("name: image_folder", "name: image_table")
    text = text.replace("outside_links: false", f"image_root: {tmp_path}/photos\n  path_column: f")
    config.write_text(text)
    (tmp_path / "lists").mkdir()
    shutil.copy(tmp_path / "photos/blue/00.png", tmp_path / "lists" / "own.png")
    rows = "id;f;colour\nA;red\\00.png;red\nB;own.png;blue\nC;gone.png;\n;;x\n"
    (tmp_path / "lists/new.csv").write_text(rows)
    result = predicted("lists/new.csv")
    assert list(result.table)[:5] == ["path", "f", "id", "colour", "prediction"]
    assert list(result.table["path"])[:2] == [
        str(tmp_path / "photos/red/00.png"),
        str(tmp_path / "lists/own.png"),
    ]
    assert list(result.table["id"]) == ["A", "B", "C", ""]
    assert list(result.table["colour"]) == ["red", "blue", "", "x"]
    assert "'gone.png' is not in lists or photos" in result.table["error"][2]
    assert "lists/new.csv: 1 photo is not near the table: read from photos" in result.err
    assert "no path" in result.table["error"][3]
    result = predicted("lists/new.csv", "image_root=lists", "path_column=f")
    assert "is not in lists" in result.table["error"][0]
    assert result.table["prediction"][1]


def test_images_of_an_array(images, predicted, tmp_path):
    paths = [tmp_path / f"photos/{name}/00.png" for name in ("red", "green")]
    np.savez(tmp_path / "new.npz", images=np.stack([np.asarray(Image.open(p)) for p in paths]))
    result = predicted("new.npz")
    assert list(result.table["id"]) == ["row-000000", "row-000001"]
    of_files = predicted(*map(str, paths)).table
    assert list(of_files["prediction"]) == list(result.table["prediction"])
    assert list(of_files["probability_red"]) == list(result.table["probability_red"])


RECORDS = [{"key": f"k{number}", "review": text} for number, text in enumerate(TEXTS)]


def write_records(path):
    frame = pd.DataFrame(RECORDS)
    if path.suffix == ".json":
        path.write_text(json.dumps(RECORDS, indent=2))
    elif path.name.endswith(".jsonl"):
        path.write_text("".join(f"{json.dumps(record)}\n" for record in RECORDS))
    elif path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    else:
        frame.to_csv(path, index=False, sep=";", encoding="utf-16")
    return path


def test_every_format_of_texts_gives_the_same_rows(texts, predicted, tmp_path):
    known = predicted(*TEXTS)
    assert list(known.table)[:3] == ["id", "text", "prediction"]
    assert list(known.table["text"]) == TEXTS
    files = ["a.json", "a.jsonl", "a.csv.gz", "a.parquet", "a.csv"]
    for name in files:
        write_records(tmp_path / name)
        words = ["encoding=utf-16"] if name == "a.csv" else []
        table = predicted(name, "text_column=review", *words).table
        assert list(table)[:4] == ["id", "review", "key", "prediction"], name
        assert list(table["review"]) == TEXTS, name
        assert list(table["key"]) == ["k0", "k1"], name
        assert list(table["probability_price"]) == list(known.table["probability_price"]), name


def test_settings_of_a_table_are_those_of_the_run(texts, predicted, tmp_path):
    config = texts / "config.yaml"
    text = config.read_text()
    for key, old, new in (("text_column", "text", "review"), ("encoding", "utf-8", "cp1252")):
        assert f"  {key}: {old}\n" in text
        text = text.replace(f"  {key}: {old}\n", f"  {key}: {new}\n")
    config.write_text(text)
    (tmp_path / "new.csv").write_bytes("id;review\nx1;na\xefve\n".encode("cp1252"))
    table = predicted("new.csv").table
    assert (list(table["id"]), list(table["review"])) == (["x1"], ["na\xefve"])


@pytest.mark.parametrize(
    "content",
    ["".join(f"{text}\n\n" for text in TEXTS), "".join(f'{{"text": "{t}"}}\n' for t in TEXTS),
     json.dumps([{"text": text} for text in TEXTS], indent=1)],
    ids=["lines", "json lines", "json"],
)  # fmt: skip
def test_texts_from_stdin(texts, predicted, monkeypatch, content):
    stdin(monkeypatch, content)
    table = predicted("-").table
    assert list(table["text"]) == TEXTS
    assert all(table["prediction"])


def test_photos_from_stdin(images, predicted, monkeypatch, tmp_path):
    stdin(monkeypatch, "photos/red/00.png\nphotos/none.png\n")
    table = predicted("-").table
    assert list(table["path"]) == [
        str(tmp_path / "photos" / name) for name in ("red/00.png", "none.png")
    ]
    assert [bool(name) for name in table["prediction"]] == [True, False]


def test_what_is_neither_a_file_nor_a_text_is_refused(texts, fmkit):
    for word, hint in {
        "lovely": "echo lovely | fmkit predict run=RUN -",
        "text.csv": "Did you mean texts.csv?",
        "./my lists": "a file or a folder that exists",
        "my lists.csv": "a file or a folder that exists",
    }.items():
        code, _, err = fmkit("predict", "run=last", word)
        assert (code, hint in err) == (3, True), err
    code, _, err = fmkit("predict", "run=last", "input=texts.csv", "I loved it")
    assert (code, "both name what to predict" in err) == (2, True)
    code, _, err = fmkit("predict", "I loved it", "batch_size=4")
    assert (code, "fmkit predict run=last 'I loved it' batch_size=4" in err) == (2, True)


def test_columns_of_the_input_that_have_a_name_of_ours(texts, predicted, tmp_path):
    (tmp_path / "new.csv").write_text("text,prediction,confidence\nthe price is 7,old,1\n")
    table = predicted("new.csv").table
    assert list(table["input_prediction"]) == ["old"]
    assert list(table["input_confidence"]) == ["1"]
    assert list(table["prediction"]) != ["old"]


def test_the_screen_shows_texts_and_how_many_more(texts, predicted, tmp_path):
    (tmp_path / "new.txt").write_text("".join(f"line {number}\n" for number in range(1, 14)))
    out = predicted("new.txt").out
    assert "line 10" in out
    assert "line 11" not in out
    assert "13 texts; 10 are shown, the table has all 13" in out


def test_a_long_prediction_shows_a_line_now_and_then(monkeypatch, capsys):
    always_due = SimpleNamespace(is_due=lambda: True)
    monkeypatch.setattr("fmkit.evaluation.progress.Throttle", lambda seconds: always_due)
    with Progress("predict", "images", 96, step=32) as progress:
        for batch in range(3):
            progress.on_predict_batch_end(batch)
    assert capsys.readouterr().err.splitlines() == [
        "predict: images, 32 of 96 done",
        "predict: images, 64 of 96 done",
    ]
    with Progress("predict", "images", 96, verbose=False) as progress:
        progress.advance(40)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    terminal = console.PipeSafeConsole(file=shown, force_terminal=True)
    monkeypatch.setattr(console, "stderr", terminal)
    with Progress("eval", "texts", 7) as progress:
        progress.advance(7)
    assert "eval: texts" in shown.getvalue()
    assert "7/7" in shown.getvalue()


@pytest.fixture
def openvino(monkeypatch):
    """Keras under the name of OpenVINO; the shapes of the batches that it ran."""
    shapes = []

    def exported(model, shape):
        keras = engine._keras(model)

        def run(batch):
            shapes.append(batch.shape)
            return keras(batch)

        return "openvino 0", run

    monkeypatch.setattr(engine, "_installed", lambda: True)
    monkeypatch.setattr(engine, "_openvino", exported)
    return shapes


def numbers(table):
    return table.filter(like="probability_").astype(float).to_numpy()


def test_texts_of_all_lengths_in_an_engine_keep_their_order(texts, predicted, openvino, tmp_path):
    words = np.random.default_rng(0).integers(1, 9, 50)
    lines = [f"{number} " + "gold and " * count for number, count in enumerate(words)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    plain = predicted("lines.txt", "batch_size=8", "runtime.extractor=keras").table
    assert not openvino
    result = predicted("lines.txt", "batch_size=8", "runtime.extractor=openvino")
    assert list(result.table["text"]) == list(plain["text"]) == [line.strip() for line in lines]
    np.testing.assert_allclose(numbers(result.table), numbers(plain), atol=1e-5)
    assert len({width for _, width in openvino}) > 1
    assert "computed by openvino 0" in result.err
    rows = [json.loads(row) for row in (texts / "predictions/record.jsonl").open()]
    assert [row["engine"]["name"] for row in rows] == ["keras", "openvino 0"]
    assert [row["rows"] for row in rows] == [50, 50]
    assert rows[1]["engine"]["parity"]["max_rel"] <= rows[1]["engine"]["parity"]["allowed"]


def test_photos_in_an_engine_are_predicted_as_by_keras(images, predicted, openvino, tmp_path):
    plain = predicted("photos", "batch_size=4").table
    table = predicted("photos", "batch_size=4", "runtime.extractor=openvino").table
    assert openvino
    assert list(table["path"]) == list(plain["path"])
    np.testing.assert_allclose(numbers(table), numbers(plain), atol=1e-5)
    one = predicted(table["path"][5]).table
    np.testing.assert_allclose(numbers(one)[0], numbers(plain)[5], atol=1e-5)


def test_eval_says_what_computed_it(images, openvino, fmkit):
    for setting, name in (("keras", "keras"), ("openvino", "openvino 0")):
        assert fmkit("eval", "run=last", "split=val", f"runtime.extractor={setting}")[0] == 0
        assert json.loads((images / "eval/val.json").read_text())["engine"]["name"] == name


def test_photos_are_decoded_a_few_batches_ahead():
    begun = []

    def decode(number):
        begun.append(number)
        return None if number % 5 == 0 else np.full((2, 2, 3), number, np.uint8)

    seen = []
    for numbers, batch in new_inputs._decode_ahead(decode, 35, 4, 2):
        assert len(begun) <= len(seen) + 5 + 4 * 3
        assert [int(row[0, 0, 0]) for row in batch[: len(numbers)]] == numbers
        assert len(batch) == 4
        seen += numbers
    assert seen == [number for number in range(35) if number % 5]
    assert sorted(begun) == list(range(35))


def test_photos_that_nobody_waits_for_are_not_decoded():
    begun, may_go_on = [], threading.Event()

    def decode(number):
        begun.append(number)
        assert number < 4 or may_go_on.wait(10)
        return np.zeros((2, 2, 3), np.uint8)

    batches = new_inputs._decode_ahead(decode, 1000, 4, 100)
    next(batches)
    threading.Timer(0.1, may_go_on.set).start()
    batches.close()
    assert len(begun) <= 4 + available_cores()


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_keras_has_two_batches_at_a_time_on_a_cpu_and_their_outputs_come_in_order(kind):
    running, most = [], []

    def run(images):
        running.append(1)
        if images[0] == 1:  # on a CPU, until the next one has come
            deadline = time.monotonic() + 5
            while kind == "cpu" and len(running) < 2 and time.monotonic() < deadline:
                time.sleep(0.001)
        most.append(len(running))
        running.pop()
        return [10 * images]

    chosen = engine.Engine("keras", "", None, run)
    inference = SimpleNamespace(kind=kind, choose=lambda images, count: chosen)
    batches = [([number] if number != 3 else [], np.array([number])) for number in range(6)]
    outputs = list(new_inputs._run_ahead(inference, iter(batches), 6))
    values = {numbers[0]: int(arrays[0][0]) for numbers, arrays in outputs if numbers}
    assert values == {number: 10 * number for number in range(6) if number != 3}
    assert max(most) == (2 if kind == "cpu" else 1)


def test_an_error_of_the_network_in_another_thread_is_raised():
    def run(images):
        if images[0]:
            raise ValueError("no memory")
        return [images]

    inference = SimpleNamespace(
        kind="cpu", choose=lambda images, count: engine.Engine("keras", "", None, run)
    )
    batches = iter([([number], np.array([number])) for number in range(2)])
    with pytest.raises(ValueError, match="no memory"):
        list(new_inputs._run_ahead(inference, batches, 2))


@pytest.mark.parametrize("name", ["images", "texts"])
def test_one_batch_is_not_traced_and_gives_the_same(name, predicted, tmp_path, monkeypatch):
    kept_run(name, tmp_path)
    inputs = "photos" if name == "images" else "texts.csv"
    many = predicted(inputs, "batch_size=2").table  # several batches
    traced = []
    monkeypatch.setattr("keras.Model.make_predict_function", lambda *_, **__: traced.append(1))
    one = predicted(inputs, "batch_size=1000").table
    assert not traced
    assert list(one["prediction"]) == list(many["prediction"])
    np.testing.assert_allclose(numbers(one), numbers(many), atol=1e-5)
