"""`fmkit explain` for texts as users type it: marked words, a page, and what is refused."""

import json
from pathlib import Path

import pytest
from kept_runs import kept_run


@pytest.fixture
def run(tmp_path):
    return kept_run("texts", tmp_path)


def test_a_text_with_its_words_marked(run, fmkit, tmp_path):
    text = "[red]25[/red] euros, <i>Ada</i>"
    code, out, err = fmkit("explain", "run=last", text, "output=made")
    assert code == 0, err
    content = json.loads(Path("made/explanations.json").read_text(encoding="utf-8"))
    (row,) = content["explanations"]
    assert content["method"] == "integrated_gradients"
    assert row["texts"] == [text]
    assert f"row-000000  predicted {row['prediction']}; {row['target']}: " in out
    assert text in out  # without colours it is as it stands
    scores = [word["score"] for word in row["words"]]
    assert abs(sum(scores) - row["score_change"]) <= 0.02 * sum(map(abs, scores))
    strongest = max(row["words"], key=lambda word: word["score"])
    assert f"for: {strongest['word']} {strongest['score']:+.3g}" in out
    assert "<i>" not in Path("made/explanations.html").read_text(encoding="utf-8")
    assert "1 text explained\n" in out


@pytest.mark.slow
@pytest.mark.parametrize("method", ["occlusion", "nearest", "counterfactual"])
def test_other_methods_of_a_split(run, fmkit, method):
    words = ["split=test", "limit=3", f"method={method}", "output=made"]
    code, out, err = fmkit("explain", "run=last", *words)
    assert code == 0, err
    rows = json.loads(Path("made/explanations.json").read_text(encoding="utf-8"))["explanations"]
    assert len(rows) == 3
    for row in rows:
        assert f"{row['id']}  predicted {row['prediction']}, true {row['truth']}" in out


@pytest.mark.slow
def test_photos_by_their_neighbours_and_smallest_changes(fmkit, tmp_path):
    kept_run("images", tmp_path)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    for method in ("nearest", "counterfactual"):
        words = ["photos/red/00.png", "broken.png", f"method={method}", f"output={method}"]
        code, _, err = fmkit("explain", "run=last", *words)
        assert code == 0, err
        content = json.loads((tmp_path / method / "explanations.json").read_text("utf-8"))
        good, broken = content["explanations"]
        assert (tmp_path / method / good["picture"]).exists()
        assert "broken.png" in broken["error"]
    assert good["turned"] == (good["becomes"] != good["prediction"])


@pytest.mark.parametrize("method", ["grad_cam", "attention_rollout"])
def test_methods_of_photos_are_refused(run, fmkit, method):
    code, _, err = fmkit("explain", "run=last", "I loved it", f"method={method}")
    assert code == 2
    assert "explains models of images, and the run reads texts" in err


def test_a_method_without_scores_has_nothing_to_check(run, fmkit):
    code, _, err = fmkit("explain", "run=last", "I loved it", "method=nearest", "check=true")
    assert code == 2
    assert "method=nearest gives no scores that could be checked" in err


@pytest.mark.slow
def test_scores_of_words_are_checked(run, fmkit):
    code, out, err = fmkit("explain", "run=last", "limit=4", "check=true", "output=made")
    assert code == 0, err
    check = json.loads(Path("made/explanations.json").read_text(encoding="utf-8"))["check"]
    assert check["texts"] == 4
    assert check["randomised_weights"]["passed"]
    for kind in ("deletion", "insertion"):
        assert len(check[kind]["curve"]) == len(check["shares"])
        assert f"{kind}: words " in out
