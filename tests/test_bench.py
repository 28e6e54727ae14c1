"""The benchmark runs at tiny sizes, and its ratios are what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_pipeline_section_prints_both_tables(tmp_path):
    words = ["pipeline", "--images", "8", "--repeats", "1", "--files", "2000"]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench.py", *words],
        cwd=tmp_path, env={"PATH": "", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| 8 photos"))
    ours, bare, generator, to_bare, to_generator = map(float, re.findall(r"[\d.]+", row)[2:])
    assert abs(ours / bare - to_bare) < 0.02 * to_bare
    assert abs(ours / generator - to_generator) < 0.02 * to_generator
    assert re.search(r"^\| 2,000 \|", done.stdout, re.MULTILINE)


def test_scan_section_prints_its_table(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench.py", "scan", "--images", "8", "--repeats", "1"],
        cwd=tmp_path, env={"PATH": "", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| 10 photos"))
    ours, bare, known = map(float, re.findall(r"[\d.]+", row)[2:5])
    assert min(ours, bare, known) > 0


def test_a_ratio_is_the_median_of_the_ratios_within_a_repeat(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from benchmarks import measuring as bench

    figures = {"fmkit": [1.0, 20.0, 3.0], "bare": [1.0, 10.0, 1.0]}
    assert bench.ratio(figures, "bare") == 2.0
    told = bench.table("Title", "s", {"row": figures})
    assert "| row | 3 | 1 | 2 |" in told
