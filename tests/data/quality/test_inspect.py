"""What is wrong with a data set is told at once, and `data.on_bad` decides what becomes of it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hostile.images import encoded
from pictures import picture
from PIL import Image

from fmkit.config.schema.data import ArraysData, ImageFolderData, ImageTableData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import DataError
from fmkit.data import load
from fmkit.data.content.images import ImageArray
from fmkit.data.examples import from_names
from fmkit.data.quality import duplicates
from fmkit.data.quality import inspect as inspection
from fmkit.data.quality import report as data_report

RUNTIME = RuntimeConfig(verbose=False)


def inspect(root, **more):
    return inspection.inspect(ImageFolderData(root=str(root), **more), 0, None)


def kinds(found):
    return {each.kind for each in found.findings}


def admitted(root, report, **more):
    config = ImageFolderData(root=str(root), **more)
    return load.for_training(config, RUNTIME, 0, report)


@pytest.fixture
def broken(photos):
    """Twenty good photos and four that cannot be used, one of them only a name."""
    root = photos(cats=10, dogs=10)
    (root / "cats" / "zero.jpg").write_bytes(b"")
    (root / "dogs" / "page.jpg").write_text("<html></html>")
    (root / "cats" / "link.png").symlink_to("gone.png")
    shutil.copy(root / "cats" / "cats0.png", os.fsencode(root) + b"/cats/\xff.png")
    shutil.copy(root / "dogs" / "dogs1.png", root / "cats" / "really a dog.png")
    return root


def test_errors_stop_and_are_in_the_report(broken, tmp_path):
    with pytest.raises(DataError) as caught:
        admitted(broken, tmp_path / "report.json")
    for told in ("cats/zero.jpg", "dogs/page.jpg", "cats/link.png", r"cats/\xff.png", "a dog"):
        assert told in caught.value.message
    report = overview_of(tmp_path / "report.json")
    assert (report["ok"], report["errors"], report["left_out"]) == (False, 6, [])
    assert sum(path.is_file() for path in (broken / "cats").iterdir()) == 13


def overview_of(path):
    return json.loads(path.read_text())


def test_skip_leaves_out_says_so_and_changes_the_fingerprint(broken, tmp_path, capsys):
    data = admitted(broken, tmp_path / "report.json", on_bad="skip")
    assert len(data.examples) == 19  # both copies under two classes are gone
    assert not {"cats/zero.jpg", "dogs/dogs1.png", "cats/really a dog.png"} & set(data.examples.ids)
    assert "left out: 6" in capsys.readouterr().err
    report = overview_of(tmp_path / "report.json")
    assert len(report["left_out"]) == 6
    for name in ("cats/zero.jpg", "cats/link.png", "cats/really a dog.png"):
        (broken / name).unlink()
    (broken / "dogs" / "page.jpg").unlink()
    Path(os.fsdecode(os.fsencode(broken) + b"/cats/\xff.png")).unlink()
    whole = admitted(broken, tmp_path / "report.json")
    assert len(whole.examples) == 20
    assert whole.spec.fingerprint != data.spec.fingerprint


def test_quarantine_moves_what_cannot_be_used_and_the_log_moves_it_back(broken, tmp_path):
    before = sorted((broken / "cats").iterdir())
    data = admitted(broken, tmp_path / "report.json", on_bad="quarantine")
    assert len(data.examples) == 19
    away = tmp_path / "quarantine" / "photos"
    assert (away / "cats" / "zero.jpg").read_bytes() == b""
    assert (away / "cats" / "link.png").is_symlink()
    assert (broken / "cats" / "really a dog.png").exists()  # a good file stays where it is
    assert len(overview_of(tmp_path / "report.json")["quarantined"]) == 4
    again = admitted(broken, tmp_path / "report.json", on_bad="quarantine")
    assert again.spec.fingerprint == data.spec.fingerprint
    subprocess.run(["/bin/sh", tmp_path / "quarantine" / "undo.sh"], check=True)
    assert sorted((broken / "cats").iterdir()) == before


def test_quarantine_never_replaces_a_file(broken, tmp_path):
    away = tmp_path / "quarantine" / "photos" / "cats"
    away.mkdir(parents=True)
    (away / "zero.jpg").write_bytes(b"an earlier one")
    admitted(broken, tmp_path / "report.json", on_bad="quarantine")
    assert (away / "zero.jpg").read_bytes() == b"an earlier one"
    assert (away / "zero.jpg.1").read_bytes() == b""


def test_to_leave_out_most_of_a_set_is_refused(photos, tmp_path):
    root = photos(cats=4, dogs=4)
    for number in range(9):
        (root / "cats" / f"zero{number}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="9 of 17 examples, more than half"):
        admitted(root, tmp_path / "report.json", on_bad="skip")


def test_a_class_without_a_usable_photo_is_told(photos, tmp_path):
    root = photos(cats=9, dogs=9, cows=0)
    for number in range(3):
        (root / "cows" / f"{number}.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(DataError, match=r"No usable example is left of 'cows'"):
        admitted(root, tmp_path / "report.json", on_bad="skip")


def test_names_that_look_the_same(photos):
    root = photos(**{"caf\u00e9": 4, "cafe\u0301": 4, "Tea": 4, "tea": 4, "a b": 4, "a  b": 4})
    (root / "tea" / "new\nline\x1b[2J.png").write_bytes(encoded(picture(900), "PNG"))
    found = inspect(root)
    twins = {each.where for each in found.findings if each.kind == "twin_classes"}
    assert twins == {r"'cafe\u0301' and 'caf\xe9'", "'a  b' and 'a b'"}
    assert [each.where for each in found.findings if each.kind == "case_twins"] == [
        "'Tea' and 'tea'"
    ]
    (odd,) = [each for each in found.findings if each.kind == "control_characters"]
    assert odd.where == r"'tea/new\nline\x1b[2J.png'"


def test_links_out_of_the_folder_are_followed_only_where_allowed(photos, tmp_path):
    root, other = photos(cats=4, dogs=4), photos("other", birds=4)
    (root / "birds").symlink_to(other / "birds")
    (root / "cats" / "more.png").symlink_to(root / "dogs" / "dogs0.png")
    found = inspect(root)
    assert {"outside_link", "two_classes"} <= kinds(found)
    assert found.examples.classes == ("cats", "dogs")
    allowed = inspect(root, outside_links=True)
    assert "outside_link" not in kinds(allowed)
    assert allowed.examples.classes == ("birds", "cats", "dogs")


def test_hidden_unsupported_blank_single_and_uneven(photos):
    photos("set/train", cats=40, dogs=2, cows=1)
    root = photos("set/val", cats=1, dogs=1, cows=1).parent
    (root / "train" / "cats" / "._x.jpg").write_bytes(b"resource fork")
    (root / "train" / "cats" / "notes.txt").write_text("")
    Image.new("RGB", (20, 20), "navy").save(root / "train" / "cats" / "blank.png")
    found = inspect(root)
    assert {"hidden_file", "unsupported", "blank", "single_example", "imbalance"} <= kinds(found)
    assert not any(each.is_error for each in found.findings)


def test_near_copies_are_told_apart_from_like_photos(photos):
    root = photos(cats=0, dogs=0)
    draw = np.random.default_rng(0)
    base = draw.normal(0, 1, (60, 80, 3)).cumsum(0).cumsum(1)
    for number in range(12):  # alike at large, different in detail
        pixels = base * 4 + draw.normal(0, 12, base.shape) + 128
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(root / ("cats", "dogs")[number % 2] / f"{number}.png")
    assert not {"near_duplicate", "near_leak", "near_two_classes"} & kinds(inspect(root))
    with Image.open(root / "cats" / "0.png") as image:
        image.save(root / "dogs" / "again.jpg", quality=90)
        image.point(lambda value: value * 0.9).save(root / "dogs" / "darker.png")
    (group,) = [each for each in inspect(root).findings if each.kind == "near_two_classes"]
    assert set(group.examples) == {"cats/0.png", "dogs/again.jpg", "dogs/darker.png"}


def test_a_tables_rows_are_left_out_as_files_are(photos, tmp_path):
    photos("img", cats=8, dogs=8)
    lines = ["path,label"]
    lines += [
        f"img/{name}/{name}{index}.png,{name}" for name in ("cats", "dogs") for index in range(8)
    ]
    lines += ["img/none.png,cats", "img/cats/cats0.png,", ",dogs"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    (tmp_path / "img" / "dogs" / "dogs7.png").write_bytes(b"")
    config = ImageTableData(root=str(tmp_path / "t.csv"))
    with pytest.raises(DataError) as caught:
        load.for_training(config, RUNTIME, 0, tmp_path / "r.json")
    for told in ("row 17: 'img/none.png'", "row 18: no label", "row 19: no path", "dogs7.png"):
        assert told in caught.value.message
    config.on_bad = "quarantine"
    data = load.for_training(config, RUNTIME, 0, tmp_path / "r.json")
    assert len(data.examples) == 15
    moved = tmp_path.parent / "quarantine" / tmp_path.name / "img" / "dogs" / "dogs7.png"
    assert moved.exists()
    lines.append("img/cats/cats1.png,dogs")  # a contradiction is to be mended, not left out
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="rows 2 and 20"):
        load.for_training(config, RUNTIME, 0, tmp_path / "r.json")


def test_equal_arrays_under_two_classes_are_a_warning(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8)
    pixels[1], pixels[7] = pixels[0], pixels[5]
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(40) % 2)
    found = inspection.inspect(ArraysData(root=str(tmp_path / "a.npz")), 0, None)
    assert {"equal_two_classes"} <= kinds(found)
    assert kinds(found) & {"duplicate", "leak"}
    assert not any(each.is_error for each in found.findings)
    assert len(found.usable) == 40


def test_evaluation_looks_at_the_files_and_moves_none(broken, tmp_path, capsys):
    config = ImageFolderData(root=str(broken))
    with pytest.raises(DataError, match=r"cats/zero\.jpg"):
        load.for_evaluation(config, RUNTIME, 0, "all")
    config.on_bad = "quarantine"
    data = load.for_evaluation(config, RUNTIME, 0, "all")
    assert len(data.splits["all"]) == 19
    assert not (tmp_path / "quarantine").exists()
    config.test_fraction = 0.0
    with pytest.raises(DataError, match="has no such split"):
        load.for_evaluation(config, RUNTIME, 0, "test")


def test_the_report_of_a_good_set(photos):
    config = ImageFolderData(root=str(photos(cats=10, dogs=10)))
    found = inspection.inspect(config, 0, None)
    report = data_report.report(config, found)
    assert report["ok"]
    assert report["findings"] == []
    assert report["formats"] == {"PNG": 20}
    assert report["sizes"]["width"] == [20] * 7
    assert sum(report["classes"]["cats"].values()) == 10
    assert inspection.accept(found, "error").examples is found.examples


def test_a_large_set_of_arrays_costs_little():
    """Equal rows are found by digest: a set of copies is one group, not pairs."""
    pixels = np.zeros((5000, 28, 28), np.uint8)
    examples = from_names([str(each) for each in range(5000)], ["a"] * 5000, ImageArray(pixels))
    same = duplicates.find_duplicates(examples)
    assert [len(each) for each in same.exact] == [5000]
    assert same.near == []
