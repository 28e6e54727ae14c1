"""`fmkit explain` as users type it: inputs, splits, targets, pictures and what is refused."""

import json

import numpy as np
import pytest
from kept_runs import kept_run
from PIL import Image
from whole_runs import QUICK, make_photos

from fmkit.cli import main
from fmkit.config.schema.commands import EXPLANATIONS
from fmkit.explain import methods


@pytest.fixture
def run(tmp_path):
    return kept_run("images", tmp_path)


def explanations(folder):
    return json.loads((folder / "explanations.json").read_text(encoding="utf-8"))


def test_the_settings_name_every_method():
    assert set(EXPLANATIONS) == {"auto", *methods.names()}


def test_photos_with_a_picture_each(run, fmkit, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    words = ["photos/red/00.png", "photos/green/01.png", "broken.png", "output=made"]
    code, out, err = fmkit("explain", "run=last", *words)
    assert code == 0, err
    content = explanations(tmp_path / "made")
    first, _, broken = content["explanations"]
    assert content["method"] == "grad_cam"
    assert first["target"] == first["prediction"]
    assert first["id"] == str(tmp_path / "photos/red/00.png")
    assert 0 < first["value"] <= 1
    heat = np.array(first["map"])
    assert heat.min() >= 0
    assert heat.max() in (0, 1)
    assert "picture" not in broken
    assert "broken.png" in broken["error"]
    with Image.open(tmp_path / "made" / first["picture"]) as picture:
        assert picture.width > 2 * 320
    assert "2 images explained, 1 could not be read\nexplanations: made\n" in out


def test_a_split_with_its_mistakes_first(run, fmkit, tmp_path):
    code, _, err = fmkit("explain", "run=last", "split=test", "limit=3", "target=red")
    assert code == 0, err
    (folder,) = (run / "explain").iterdir()
    rows = explanations(folder)["explanations"]
    assert len(rows) == 3
    assert {row["target"] for row in rows} == {"red"}
    is_wrong = [row["prediction"] != row["truth"] for row in rows]
    assert is_wrong == sorted(is_wrong, reverse=True)
    assert len(list(folder.glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (["photos", "split=test"], 2, ["input and split", "name one"]),
        (["photos", "target=rde"], 2, ["target", "'rde'", "Did you mean red"]),
        (["nowhere"], 3, ["nowhere"]),
        (["photos", "output=photos"], 2, ["output", "new or empty"]),
    ],
)
def test_what_is_refused_before_tensorflow(run, fmkit, words, code, parts):
    returned, _, err = fmkit("explain", "run=last", *words)
    assert returned == code
    text = " ".join(err.split())
    for part in parts:
        assert part in text


def test_a_run_is_needed(fmkit):
    code, _, err = fmkit("explain", "photo.jpg")
    assert code == 2
    assert "fmkit explain run=last photo.jpg" in err


def test_a_model_of_texts_has_other_methods(tmp_path, monkeypatch, capsys):
    kept_run("texts", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "run=last", "I loved it", "method=grad_cam"]) == 2
    assert "explains models of images, and the run reads texts" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "target", "method"),
    [
        (["data.label_columns=[size]", "data.labels=numbers"], "size", "integrated_gradients"),
        (["data.label_column=marks", "data.labels=sets"], "red", "grad_cam"),
        (["data.label_column=kind", "model=small_vit"], "red", "attention_rollout"),
    ],
    ids=["numbers", "sets", "vit"],
)
def test_numbers_labels_and_transformers(fmkit, tmp_path, settings, target, method):
    make_photos(tmp_path / "photos", classes=("red", "blue"), count=12)
    rows = [
        f"{kind}/{number:02d}.png,{kind},{number + 10 * (kind == 'red')},{kind}|{kind[0]}"
        for kind in ("red", "blue")
        for number in range(12)
    ]
    table = tmp_path / "photos" / "all.csv"
    table.write_text("\n".join(["path,kind,size,marks", *rows]) + "\n")
    task = {"numbers": "regression", "sets": "multi_label"}
    kind = settings[1].partition("=")[2]
    words = [*QUICK, "data=image_table", f"data.root={table}", *settings]
    words += [f"task={task[kind]}"] if kind in task else []
    code, _, err = fmkit("finetune", *words, "runtime.report=true")
    assert code == 0, err
    choice = [f"target={target}", "limit=3", "check=true", "output=made"]
    choice += [f"method={method}"] if kind == "numbers" else []
    code, out, err = fmkit("explain", "run=last", *choice)
    assert code == 0, err
    content = explanations(tmp_path / "made")
    assert content["method"] == method
    assert {row["target"] for row in content["explanations"]} == {target}
    assert content["check"]["photos"] == 3
    assert "randomised weights: " in out
    (run,) = (tmp_path / "runs" / "finetune").iterdir()
    samples = json.loads((run / "samples.json").read_text(encoding="utf-8"))["examples"]
    has_maps = any("map" in content for content in samples.values())
    assert has_maps == (method != "attention_rollout")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert ('class="gallery pairs"' in page) == has_maps
