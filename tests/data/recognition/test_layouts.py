"""Layouts that public data sets and people's own folders have, from a bare path."""

import pandas as pd
import pytest
from PIL import Image

from fmkit.config.registry import config_class
from fmkit.config.schema.commands import PredictConfig
from fmkit.core.errors import ConfigError
from fmkit.data.predict_photos import read_photos
from fmkit.data.recognition.recognise import Request, recognise
from fmkit.data.sources.registry import collect, list_examples


def photos(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / path)


def listed(settings):
    """The examples that a path was taken for."""
    keys = {key.removeprefix("data."): value for key, value in settings.items() if "." in key}
    return collect(config_class("data", settings["data"])(**keys))


PARTS = {
    "numbers": ("images_part_1", "images_part_2"),
    "months": ("2026-01", "2026-02"),
    "cameras": ("100CANON", "101CANON"),
}


@pytest.fixture(params=PARTS)
def parts(request, tmp_path):
    """Photos in two folders, the first of which has the first 210 rows of a table."""
    names = [f"a{number:03d}.png" for number in range(240)]
    photos(tmp_path, *(f"{PARTS[request.param][k >= 210]}/{name}" for k, name in enumerate(names)))
    kinds = {"kind": ["cup", "plate"] * 120, "place": ["hall", "yard", "attic"] * 80}
    pd.DataFrame({"file": names, **kinds}).to_csv(tmp_path / "list.csv", index=False)
    return tmp_path


def test_photos_in_several_folders_are_those_of_one_table(parts):
    settings = recognise(Request("data", {"label_column": "kind"}), parts).settings
    assert (settings["data"], settings.get("data.image_root")) == ("image_table", None)
    keys = {key.removeprefix("data."): value for key, value in settings.items() if "." in key}
    assert len(listed(settings)) == 240
    for image_root in (None, str(parts)):
        learned = config_class("data", "image_table")(**keys, image_root=image_root)
        inputs = read_photos(PredictConfig(run="", input=str(parts / "list.csv")), learned)
        assert not any(inputs.errors)


@pytest.mark.parametrize("command", ["finetune", "check"])
def test_folders_of_parts_are_not_classes_where_a_table_asks(command, parts):
    request = Request("data", needs_labels=command == "finetune", line=f"fmkit {command} data")
    with pytest.raises(ConfigError, match="kind or place") as caught:
        recognise(request, parts)
    assert caught.value.hint == f"Say which: fmkit {command} data data.label_column=kind"


def test_folders_of_parts_without_a_table(parts):
    (parts / "list.csv").unlink()
    request = Request("data", needs_labels=False, line="fmkit pretrain data")
    assert recognise(request, parts).settings["data"] == "photos"
    examples = list_examples(config_class("data", "image_folder")(root=str(parts)))
    (finding,) = examples.findings
    assert finding.kind == "unclear_folders"
    assert "have names of parts" in finding.why


@pytest.mark.parametrize(
    "names", [("c0", "c1"), ("1990", "1995"), ("n01440764", "n01443537"), ("0", "1")]
)
def test_numbered_classes_are_classes(names, tmp_path):
    photos(tmp_path, *(f"{name}/{k}.png" for name in names for k in range(3)))
    examples = list_examples(config_class("data", "image_folder")(root=str(tmp_path)))
    assert examples.classes == names
    assert not examples.findings
