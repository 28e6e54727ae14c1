"""The page of a run: its figures are those of the files, and it needs nothing but itself."""

import base64
import contextlib
import hashlib
import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from hostile_run import CLASSES, with_hostile_names
from html_content import tables, text_of
from kept_runs import kept_run
from PIL import Image

from fmkit.cli import main
from fmkit.core.errors import ArtifactError
from fmkit.report import background, model_card, run_page, samples
from fmkit.report.record import RunRecord


@pytest.fixture(scope="module", params=["images", "texts"])
def reported(request, tmp_path_factory):
    """A run of fmkit 0.1 with its page, by the command line; of the texts the data is gone.

    The folder, the answer with `--json`, and the page.
    """
    root = tmp_path_factory.mktemp(request.param)
    folder = kept_run(request.param, root)
    if request.param == "texts":
        (root / "texts.csv").unlink()
    output, messages = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(messages):
        assert main(["report", str(folder), "--json"]) == 0, messages.getvalue()
    assert ("are left out" in messages.getvalue()) == (request.param == "texts")
    return folder, json.loads(output.getvalue()), (folder / "report.html").read_text()


def test_it_shows_the_figures_of_the_run(reported):
    folder, answer, page = reported
    assert answer["problems"] == []
    metrics = json.loads((folder / "eval" / "test.json").read_text())
    figures = tables(page)["Figures by split, with 95% bootstrap intervals"]
    low, high = metrics["intervals"]["accuracy"]
    row = next(row for row in figures if row[0] == "accuracy")
    assert row[1] == f"{metrics['accuracy']:.4f} ({low:.4f} to {high:.4f})"
    of_classes = next(rows for title, rows in tables(page).items() if "each class, test" in title)
    assert {row[0]: row[2] for row in of_classes} == {
        name: f"{values['precision']:.4f}" for name, values in metrics["per_class"].items()
    }


def test_confusions_are_those_of_the_predictions(reported):
    folder, _, page = reported
    table = pd.read_parquet(folder / "eval" / "test.parquet")
    wrong = table[table.label != table.prediction].groupby(["label", "prediction"]).size()
    shown = tables(page).get("Most frequent confusions", [])
    assert {(row[0], row[1]): int(row[2]) for row in shown} == wrong.to_dict()


def test_it_needs_no_network_and_runs_only_its_own_script(reported):
    _, answer, page = reported
    assert len(page.encode()) == answer["bytes"] < 3_000_000
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"sha256-{digest}" in page.replace("&#39;", "'")
    for name, address in re.findall(r'\b(src|href|action|srcset)="([^"]*)"', page):
        assert address.startswith(("#", "data:")), (name, address)
    assert not re.search(r"url\((?!#)|@import", page)


def test_its_parts_can_be_reached_and_are_named(reported):
    page = reported[2]
    assert page.count("<h1") == 1
    anchors = re.findall(r'<a href="#([\w-]+)">', page)
    assert len(anchors) > 6
    assert all(f'id="{anchor}"' in page for anchor in anchors)
    drawings = re.findall(r"<svg[^>]*>", page)
    assert drawings
    assert all('role="img"' in tag and re.search('aria-label="[^"]{20,}', tag) for tag in drawings)
    assert all(re.search('alt="[^"]+', tag) for tag in re.findall(r"<img[^>]*>", page))


def test_plots_are_beside_it(reported):
    folder, answer, _ = reported
    plots = sorted((folder / "plots").iterdir())
    names = {path.name for path in plots}
    assert list(map(str, plots)) == sorted(answer["plots"])
    assert {"confusion_test.png", "reliability_test.png", "curve_learning_rate.png"} <= names
    for path in plots:
        with Image.open(path) as picture:
            assert picture.width > 400


def test_curves_can_be_read_by_pointer_and_have_the_values_of_the_rows(reported):
    folder, _, page = reported
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    hovers = [json.loads(text) for text in attributes(page, "data-hover")]
    loss = next(hover for hover in hovers if hover["series"][0]["name"] == "training")
    assert [point["x"] for point in loss["points"]] == [row["step"] for row in rows]
    assert loss["series"][1]["y"] == [f"{row['val_loss']:.5g}" for row in rows]


def attributes(page, name):
    from html.parser import HTMLParser

    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.extend(value for key, value in attrs if key == name)

    Reader().feed(page)
    return found


def test_the_command_that_makes_it_again(tmp_path):
    folder = kept_run("images", tmp_path)
    line = background.command_line(RunRecord(folder))
    assert line.startswith("fmkit finetune name=images data=image_folder data.root=photos")
    shutil.rmtree(folder / ".hydra")  # then from the keys on record
    line = background.command_line(RunRecord(folder))
    assert "optimizer.learning_rate=0.02" in line
    assert "data.root=" in line


def test_galleries_have_the_surest_mistakes_and_the_photos(reported):
    folder, _, page = reported
    table = pd.read_parquet(folder / "eval" / "test.parquet")
    wrong = table[table.label != table.prediction].sort_values("confidence", ascending=False)
    chosen = samples.choose(table)
    assert [sample.id for sample in chosen["mistakes"]] == list(wrong.id)
    if not (folder / "samples.json").exists():  # the data is gone
        assert "are not on record" in page
        return
    kept = json.loads((folder / "samples.json").read_text())["examples"]
    assert kept.keys() == {sample.id for group in chosen.values() for sample in group}
    assert page.count("data:image/jpeg;base64,") == len(wrong) + len(chosen["typical"])
    photo = base64.b64decode(kept[wrong.id.iloc[0]]["image"].partition(",")[2])
    original = folder.parents[2] / "photos" / wrong.id.iloc[0]
    assert mean_colour(io.BytesIO(photo)) == pytest.approx(mean_colour(original), abs=6)


def mean_colour(file):
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"), float).mean(axis=(0, 1))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = with_hostile_names(kept_run("images", tmp_path_factory.mktemp("hostile")))
    return folder, run_page.write(folder)


def test_hostile_names_are_text(hostile):
    folder, report = hostile
    assert not report.problems
    page = report.path.read_text()
    assert page.count("<script") == 1
    assert "<img src=x" not in page
    assert "example.org" not in page
    assert "<b onclick" not in page
    assert "\u202e" not in page
    assert CLASSES[0] in text_of(page)
    assert "$\\alpha$" in text_of(page)  # and no formula of Matplotlib's
    assert "<script" not in header_of((folder / "README.md").read_text())[1]


def test_a_damaged_part_does_not_spoil_the_others(tmp_path):
    folder = kept_run("images", tmp_path)
    metrics = json.loads((folder / "eval" / "test.json").read_text())
    (folder / "eval" / "test.json").write_text(json.dumps({**metrics, "per_class": {"a": 3}}))
    (folder / "freeze.json").write_text("[")
    (folder / "metrics.jsonl").write_text("{")
    logged = []
    report = run_page.write(folder, logged.append)
    parts = [problem.partition(":")[0] for problem in report.problems]
    assert parts == ["By class", "model card"]
    assert "Traceback" in logged[0]
    assert "This part could not be made" in report.path.read_text()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"status\.json"):
        run_page.write(tmp_path)


@pytest.mark.parametrize(("words", "part"), [
    ([], "needs a run"), (["a", "b", "c"], "two runs"), (["last", "colour=red"], "colour"),
])  # fmt: skip
def test_wrong_command_lines(words, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *words]) == 2
    assert part in capsys.readouterr().err


def header_of(card):
    _, header, body = card.split("---\n", 2)
    return yaml.safe_load(header), body


def test_the_header_has_the_results(reported):
    folder = reported[0]
    header, body = header_of((folder / "README.md").read_text())
    metrics = json.loads((folder / "eval" / "test.json").read_text())
    kind = json.loads((folder / "environment.json").read_text())["data"].get("modality", "image")
    assert header["pipeline_tag"] == f"{kind}-classification"
    (result,) = header["model-index"][0]["results"]
    values = {row["type"]: row["value"] for row in result["metrics"]}
    assert values["accuracy"] == pytest.approx(metrics["accuracy"], abs=1e-6)
    assert values["f1"] == pytest.approx(metrics["macro_f1"], abs=1e-6)
    assert f"| accuracy | {metrics['accuracy']:.4f} |" in body
    assert "plots/confusion_test.png" in body


def test_the_library_of_the_hub_reads_it(reported):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard((reported[0] / "README.md").read_text())
    (accuracy, *_) = card.data.eval_results
    assert accuracy.metric_type == "accuracy"
    assert accuracy.dataset_split == "test"


def test_a_card_that_somebody_wrote_stays(tmp_path):
    folder = kept_run("images", tmp_path)
    assert model_card.write(RunRecord(folder), []) == folder / "README.md"
    assert model_card.write(RunRecord(folder), []) is not None  # its own is replaced
    (folder / "README.md").write_text("# Mine\n")
    assert model_card.write(RunRecord(folder), []) is None
    assert (folder / "README.md").read_text() == "# Mine\n"


@pytest.mark.parametrize("word", ["<b>x</b>", "a|b", "[x](y)", "`c`", "# h", "a\n---\nb"])
def test_names_are_literal(word):
    shown = model_card.escape(word)
    assert "<" not in shown
    assert "\n" not in shown
    assert not any(shown[k] in "|[`#" and shown[k - 1 : k] != "\\" for k in range(len(shown)))
