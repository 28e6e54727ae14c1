"""`fmkit export` as users type it: formats, the check against the run, and what is refused."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from kept_runs import kept_run
from PIL import Image

from fmkit.config.schema.commands import FORMATS
from fmkit.core import optional_packages
from fmkit.export import formats

NEEDS = {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",),
         "openvino": ("openvino",)}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    return kept_run("images", tmp_path)


def record(folder, name):
    return json.loads((folder / "export" / name / "parity.json").read_text(encoding="utf-8"))


def test_the_settings_name_every_format():
    assert set(formats.FORMATS) == set(FORMATS)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["last", "onx"], ["format: received 'onx'", "Did you mean onnx"]),
        (["run=last", "format=onx"], ["format: received 'onx'", "Did you mean onnx"]),
        (["run=last", "format=onnx,onnx"], ["each format once"]),
        (["last", "onnx", "format=litert"], ["both name formats"]),
        (["last", "run=last"], ["format: received 'last'"]),
        (["nowhere", "keras"], ["nowhere"]),
        (["last", "batch=0"], ["batch: received", "a number from 1 to 4096"]),
        (["last", "input=photos", "split=val"], ["input and split"]),
        (["onnx"], ["run"]),
    ],
    ids=" ".join,
)
def test_what_is_refused(words, parts, run, fmkit):
    code, _, err = fmkit("export", *words)
    assert code == (4 if "nowhere" in words else 2), err
    for part in parts:
        assert part in err


def test_formats_whose_packages_are_missing(run, fmkit, monkeypatch):
    monkeypatch.setattr(optional_packages, "is_installed", lambda module: False)
    code, _, err = fmkit("export", "last", "litert", "onnx", "keras")
    assert code == 2
    assert "ai-edge-litert, tf2onnx, onnx, onnxruntime are not installed" in err
    assert err.count("fmkit[onnx]") == 1


LOADS = """\
    weights = np.load(FOLDER / "model.npz")

    def run(inputs):
        images = np.asarray(inputs["images"], np.float64)
        return {"probabilities": weights["table"][images[:, 0, 0, 0].astype(int)]}
"""


def as_table(change):
    """A format whose file is a table of probabilities by the first pixel, changed on the way."""

    def write(model, path, signature):
        images = np.tile(np.arange(256.0)[:, None, None, None], model.input.shape[1:])
        table = np.asarray(model(images, training=False)["probabilities"])
        np.savez(path, table=change(table))

    return formats.Format("Table", "model.npz", write, "numpy", "", "", LOADS)


def test_an_export_that_disagrees_leaves_nothing(run, fmkit, monkeypatch, tmp_path):
    """One that is there stays as it was."""
    (tmp_path / "grey").mkdir()
    for value in (0, 90, 200):
        Image.new("RGB", (24, 30), (value,) * 3).save(tmp_path / "grey" / f"{value}.png")
    monkeypatch.setitem(formats.FORMATS, "keras", as_table(lambda table: table + 5e-5))
    code, out, err = fmkit("export", "last", "keras", "input=grey")
    assert code == 0, err
    before = record(run, "keras")
    assert before["examples"] == 3
    assert before["max_abs"] == pytest.approx(5e-5, rel=0.01)
    assert before["agreement"] == 1
    assert "5.0e-05" in out
    _, shown, _ = fmkit("runs", "show", "last", "--json")
    (row,) = json.loads(shown)["exports"]
    assert (row["format"], row["examples"]) == ("keras", 3)
    assert fmkit("report", "last")[0] == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Exported models" in page
    assert "5.0e-05" in page

    monkeypatch.setitem(formats.FORMATS, "keras", as_table(lambda table: table + 2e-4))
    monkeypatch.setitem(formats.FORMATS, "saved_model", as_table(lambda table: table * np.nan))
    code, out, err = fmkit("export", "last", "keras", "saved_model", "input=grey/0.png")
    assert code == 4
    assert out == ""
    assert "differ from the run's by up to 2.0e-04; allowed is 1.0e-04" in err
    assert "differ from the run's by up to nan" in err
    assert "Nothing was written" in err
    assert record(run, "keras") == before
    assert [path.name for path in (run / "export").iterdir()] == ["keras"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_an_export_predicts_what_the_run_does(name, run, fmkit, tmp_path):
    """A process without fmkit loads it and reads the photos' files."""
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    code, _, err = fmkit("export", "last", name, "split=val", "output=made")
    assert code == 0, err
    folder = tmp_path / "made" / name
    content = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
    assert content["split"] == "val"
    assert content["max_abs"] <= 1e-5
    assert content["agreement"] == 1
    assert set(content["latency_seconds"]) == {"1", "32"}
    photos = [f"photos/{kind}/00.png" for kind in ("red", "green", "blue")]
    assert fmkit("predict", "run=last", *photos, "output=table.csv")[0] == 0
    with (tmp_path / "table.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    command = [sys.executable, "-P", str(folder / "load.py"), *photos]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines == [
        f"{photo}\t{row['prediction']} {float(row['confidence']):.4f}"
        for photo, row in zip(photos, rows, strict=True)
    ]
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["names"] == ["blue", "green", "red"]
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saved_model", "onnx", "litert", "openvino"])
def test_a_batch_of_a_fixed_size(name, run, fmkit):
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    code, _, err = fmkit("export", "last", name, "batch=2", "calibrated=false", "limit=5")
    assert code == 0, err
    content = record(run, name)
    assert set(content["latency_seconds"]) == {"2"}
    metadata = json.loads((run / "export" / name / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["inputs"][0]["shape"][0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_texts_are_exported_with_their_tokenizer(name, fmkit, tmp_path):
    """GELU and segments need help in the converters of ONNX and LiteRT; lengths differ by batch."""
    for module in NEEDS[name]:
        pytest.importorskip(module)
    run = kept_run("texts", tmp_path)
    texts = ["it was good", "it was a bad, bad film and I hated all of it", "good"]
    (tmp_path / "new.txt").write_text("\n".join(texts * 3) + "\n")
    code, _, err = fmkit("export", "last", name, "input=new.txt", "batch=2")
    assert code == 0, err
    assert record(run, name)["max_abs"] <= 1e-5
    code, _, err = fmkit("export", "last", name, "input=new.txt")
    assert code == 0, err
    folder = run / "export" / name
    assert record(run, name)["examples"] == 9
    assert fmkit("predict", "run=last", "new.txt", "output=table.csv")[0] == 0
    with (tmp_path / "table.csv").open(newline="") as stream:
        expected = [row["prediction"] for row in csv.DictReader(stream)][:3]
    command = [sys.executable, "-P", str(folder / "load.py"), *texts]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    shown = [line.split("\t")[1].split()[0] for line in done.stdout.splitlines()]
    assert shown == expected
