"""The wheel holds all that a user needs, and works from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, built and unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_conf_is_inside(installed):
    ours = {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    theirs = {
        path.relative_to(installed / "fmkit" / "conf")
        for path in (installed / "fmkit" / "conf").rglob("*.yaml")
    }
    assert ours == theirs
    assert not (installed / "tests").exists()


def test_the_guide_is_inside(installed):
    """Every page, and the pictures that they show."""
    files = {path.name for path in (ROOT / "fmkit" / "guide").iterdir()}
    assert "getting-started.md" in files
    assert files == {path.name for path in (installed / "fmkit" / "guide").iterdir()}


def test_it_trains_from_an_empty_folder(installed, tmp_path):
    words = ["finetune", "model=small_cnn", "stage=scratch", "stage.full.epochs=1", "data=digits",
             "data.limit=100"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    where = [sys.executable, "-c", "import fmkit; print(fmkit.__file__)"]
    imported = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert str(installed) in imported.stdout.decode()
    done = subprocess.run(
        [sys.executable, "-m", "fmkit", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["runs"]
