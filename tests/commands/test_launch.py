"""How a command starts, before anything is read: what a line inherits, and what it is taken for."""

from pathlib import Path

import yaml

from fmkit.cli import main

OLD_RUN = Path(__file__).parents[1] / "data_files" / "runs_0_1" / "images"


def test_a_run_without_adapters_leaves_the_rank_to_the_new_stage(capsys):
    folder = next(path.parent for path in OLD_RUN.rglob("status.json"))
    assert main(["finetune", f"init={folder}", "stage=lora", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["lora_rank"] is None
