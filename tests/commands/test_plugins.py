"""A user's own model, data and task, named on the command line, have the same rights as ours."""

import json

from whole_runs import only_run

PLUGINS = '''
import numpy as np
from fmkit.data.content.images import ImageArray
from fmkit.data.examples import from_names
from fmkit.models.vision.small import small_cnn
from fmkit.tasks.classification import Classification


def stripes(config):
    """Horizontal and vertical stripes."""
    noise = np.random.default_rng(0).integers(0, 60, (80, 16, 16))
    pixels = noise.astype(np.uint8)
    pixels[:40, ::2] += 150
    pixels[40:, :, ::2] += 150
    names = ["across"] * 40 + ["down"] * 40
    return from_names([f"{each:03d}" for each in range(80)], names, ImageArray(pixels))


class Sharp(Classification):
    name = "sharp"


DATA = {"stripes": stripes}
MODELS = {"mine": small_cnn}
TASKS = {"sharp": Sharp}
'''


def test_a_plugin_file_adds_models_data_and_tasks(fmkit, tmp_path):
    (tmp_path / "own.py").write_text(PLUGINS)
    words = ["plugins=own.py", "model=mine", "model.weights=none", "data=stripes",
             "task.name=sharp", "stage=scratch", "stage.full.epochs=3", "data.batch_size=8",
             "data.augment=none"]  # fmt: skip
    code, _, err = fmkit("finetune", *words)
    assert code == 0, err
    folder = only_run(tmp_path)
    status = json.loads((folder / "status.json").read_text())
    assert (status["model"], status["data"], status["task"]) == ("mine", "stripes", "sharp")
    code, out, err = fmkit("eval", f"run={folder}", "plugins=own.py")
    assert code == 0, err
    assert "stripes, test" in out
    code, _, err = fmkit("finetune", "plugins=own.py", "data=stripe")
    assert code == 2
    assert "stripes" in err
