"""The benchmark runs at tiny sizes, and its ratios are what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def bench_prints(words, folder):
    """What `scripts/bench.py` prints, from another folder."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench.py", *words],
        cwd=folder, env={"PATH": "", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_every_script_says_how_it_is_called(script, tmp_path):
    words = [sys.executable, ROOT / "scripts" / script, "--help"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, script in done.stdout) == (0, True), done.stderr
    assert "'prog'" not in done.stdout  # a per cent sign that argparse takes for a format


@pytest.mark.slow
def test_pipeline_section_prints_both_tables(tmp_path):
    words = ["pipeline", "--images", "8", "--repeats", "1", "--files", "2000"]
    printed = bench_prints(words, tmp_path)
    row = next(line for line in printed.splitlines() if line.startswith("| 8 photos"))
    ours, bare, generator, to_bare, to_generator = map(float, re.findall(r"[\d.]+", row)[2:])
    assert abs(ours / bare - to_bare) < 0.02 * to_bare
    assert abs(ours / generator - to_generator) < 0.02 * to_generator
    assert re.search(r"^\| 2,000 \|", printed, re.MULTILINE)


def test_scan_section_prints_its_table(tmp_path):
    printed = bench_prints(["scan", "--images", "8", "--repeats", "1"], tmp_path)
    row = next(line for line in printed.splitlines() if line.startswith("| 10 photos"))
    ours, bare, known = map(float, re.findall(r"[\d.]+", row)[2:5])
    assert min(ours, bare, known) > 0


def test_a_ratio_is_the_median_of_the_ratios_within_a_repeat(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from benchmarks import measuring as bench

    figures = {"fmkit": [1.0, 20.0, 3.0], "bare": [1.0, 10.0, 1.0]}
    assert bench.ratio(figures, "bare") == 2.0
    told = bench.table("Title", "s", {"row": figures})
    assert "| row | 3 | 1 | 2 |" in told


def test_a_round_that_other_work_disturbed_is_measured_again(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from benchmarks import measuring as bench

    shares, ours = iter([0.5, 0.0, 0.3, 0.05]), iter([9.0, 1.0, 8.0, 3.0])
    monkeypatch.setattr(bench.CoreClock, "share_of_others", lambda clock: next(shares))
    figures = bench.interleaved({"fmkit": lambda: next(ours), "bare": lambda: 1.0}, 2)
    assert figures == {"fmkit": [1.0, 3.0], "bare": [1.0, 1.0]}
    assert "other work took 50% of the cores" in capsys.readouterr().err
    assert bench.disturbance() == ""
    monkeypatch.setattr(bench.CoreClock, "share_of_others", lambda clock: 0.4)
    assert bench.interleaved({"fmkit": lambda: 1.0}, 1) == {"fmkit": [1.0]}
    assert bench.disturbance() == "Not quiet: in 1 round other work took up to 40% of the cores.\n"
    assert bench.disturbance() == ""


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux says what all cores did")
def test_time_of_other_processes_is_told_from_ones_own(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from benchmarks import measuring as bench

    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(walls))
    monkeypatch.setattr(bench, "_own_seconds", lambda: next(own))
    monkeypatch.setattr(bench, "_all_seconds", lambda: next(everything))
    monkeypatch.setattr(bench.os, "cpu_count", lambda: 2)
    walls, own, everything = iter([0.0, 10.0]), iter([1.0, 13.0]), iter([50.0, 66.0])
    assert bench.CoreClock().share_of_others() == pytest.approx((16 - 12) / 20)
    monkeypatch.undo()
    monkeypatch.syspath_prepend(ROOT / "scripts")
    assert bench._all_seconds() >= bench._own_seconds() > 0


@pytest.mark.slow
@pytest.mark.parametrize("section", ["text_features", "predict"])
def test_sections_of_texts_and_predictions_print_their_tables_or_what_they_need(section, tmp_path):
    words = [section, "--texts", "40", "--images", "16", "--side", "64", "--repeats", "1"]
    printed = bench_prints(words, tmp_path)
    assert "### " in printed
    if "Not run" not in printed:
        assert re.search(r"^\| (fmkit in Keras|16 photos, Keras) \| [\d.]+", printed, re.MULTILINE)
