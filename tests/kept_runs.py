"""Runs that fmkit 0.1 made, as runs of a test's own: trained already, and their data is at hand."""

import shutil
from pathlib import Path

KEPT = Path(__file__).parent / "data_files" / "runs_0_1"
DATA = {"images": "photos", "texts": "texts.csv"}
"""By the run's name, its data beside the folder `runs`."""


def kept_run(name: str, folder: Path) -> Path:
    """A copy of a run whose data is in `folder`, where the run's config says it is."""
    shutil.copytree(KEPT / name, folder, dirs_exist_ok=True)
    (run,) = (folder / "runs" / "finetune").iterdir()
    config = run / "config.yaml"
    text = config.read_text().replace(f"/tmp/example/{name}/", f"{folder}/")  # noqa: S108 - as it was trained
    assert f"root: {folder / DATA[name]}" in text
    config.write_text(text)
    return run
