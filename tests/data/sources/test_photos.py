"""Photos without labels: listed to the bottom, split, and never asked for a class."""

import dataclasses
import json

import numpy as np
import pytest
from pictures import picture

from fmkit.config.schema.data import ImageFolderData, PhotosData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import DataError
from fmkit.data import dataset, load, splits
from fmkit.data.sources import registry as source_registry

RUNTIME = RuntimeConfig(verbose=False)


@pytest.fixture
def root(tmp_path):
    """Twelve photos here and there, and a few other things."""
    for index, name in enumerate(["a.png", "train/b.png", "train/deep/er/c.jpg", "test/d.png"]):
        for copy in range(3):
            path = tmp_path / "all" / name.replace(".", f"{copy}.")
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(10 * index + copy).save(path)
    (tmp_path / "all" / "notes.txt").write_text("hello")
    (tmp_path / "all" / ".hidden.png").write_bytes(b"")
    return tmp_path / "all"


def config(root, **more):
    return PhotosData(root=str(root), **more)


def admitted(root, report, **more):
    return load.for_training(config(root, **more), RUNTIME, 0, report)


def test_all_photos_below_the_root_are_listed_without_classes(root, tmp_path):
    data = admitted(root, tmp_path / "report.json")
    assert sorted(data.examples.ids)[:4] == ["a0.png", "a1.png", "a2.png", "test/d0.png"]
    assert len(data.examples) == 12
    assert (data.spec.classes, data.spec.class_counts) == ((), {})
    assert data.spec.counts == {"train": 8, "val": 2, "test": 2}
    assert not data.examples.labels.any()
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["ok"], report["classes"], report["usable"]) == (True, {}, 12)
    assert {each["kind"] for each in report["findings"]} == {"unsupported", "hidden_file"}


def test_order_and_splits_depend_on_names_alone(root, tmp_path):
    first = dataset.read(config(root), 3)
    moved = root.rename(tmp_path / "elsewhere")
    second = dataset.read(config(moved), 3)
    assert second.spec == first.spec
    picture(99).save(moved / "more.png")
    assert dataset.read(config(moved), 3).spec.fingerprint != first.spec.fingerprint
    assert dataset.read(config(moved, limit=7), 3).spec.counts == {"train": 5, "val": 1, "test": 1}


def test_groups_stay_together_without_classes(rows):
    groups = np.array([f"scene {each // 4}" for each in range(40)])
    examples = dataclasses.replace(rows(40), classes=(), labels=np.zeros(40, int), groups=groups)
    found = splits.make_splits(examples, 0.2, 0.2, 0)
    assert sorted(len(each) for each in found.values()) == [8, 8, 24]
    whole = [set(groups[each]) for each in found.values()]
    assert sum(map(len, whole)) == len(set.union(*whole))


def test_what_cannot_be_is_told(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="There is no photo below"):
        admitted(tmp_path / "empty", tmp_path / "report.json")
    with pytest.raises(DataError, match="2 examples are too few for 3 splits"):
        admitted(root, tmp_path / "report.json", limit=2)
    (root / "broken.png").write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"broken\.png"):
        admitted(root, tmp_path / "report.json")
    data = admitted(root, tmp_path / "report.json", on_bad="skip")
    assert len(data.examples) == 12
    data = admitted(root, tmp_path / "report.json", on_bad="quarantine")
    assert len(data.examples) == 12
    assert (tmp_path / "quarantine" / "all" / "broken.png").exists()


def test_copies_are_found_and_no_class_is_asked_for(root, tmp_path):
    (root / "copy.png").write_bytes((root / "a0.png").read_bytes())
    admitted(root, tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    found = {each["kind"] for each in report["findings"]}
    assert found & {"duplicate", "leak"}
    assert not found & {"two_classes", "classes", "single_example"}
    # As a folder of classes the same would be refused.
    with pytest.raises(DataError, match="directly in"):
        source_registry.list_examples(ImageFolderData(root=str(root)))


def test_folders_with_names_of_splits_are_kept_apart_where_all_files_are_in_one(root):
    for path in root.glob("a*.png"):
        path.unlink()
    data = dataset.read(config(root, val_fraction=0.0), 0)
    assert data.spec.counts == {"train": 6, "test": 3}
    names = [data.examples.ids[index] for index in data.splits["test"]]
    assert names == ["test/d0.png", "test/d1.png", "test/d2.png"]
    (root / "more").mkdir()
    picture(99).save(root / "more" / "e.png")
    examples = source_registry.collect(config(root))
    assert examples.splits is None
    (why,) = [finding.why for finding in examples.findings if finding.kind == "unclear_folders"]
    assert "test/d0.png, train/b0.png look like parts of splits, and more/e.png does not" in why
