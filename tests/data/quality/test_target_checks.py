"""What a held-out split lacks is a warning in every source; an empty class can be left out."""

import pytest
from pictures import picture

from fmkit.config.schema.data import (
    ConllData,
    ImageFolderData,
    ImageTableData,
    TextFolderData,
    TextTableData,
)
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import DataError
from fmkit.data import load


def admitted(config, folder):
    return load.for_training(config, RuntimeConfig(verbose=False), 0, folder / "report.json")


TRAIN, TEST = ["PER"] * 4 + ["LOC"] * 4 + ["ORG"] * 4, ["PER"] * 2 + ["LOC"]
"""Class of each example; the test split has no `ORG`."""


def image_folder(root):
    for split, names in (("train", TRAIN), ("test", TEST)):
        for index, name in enumerate(names):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            picture(index + 50 * len(split)).save(root / split / name / f"{index}.png")
    return ImageFolderData(root=str(root))


def image_table(root):
    image_folder(root)
    rows = [
        f"{path.relative_to(root)},{path.parts[-2]},{path.parts[-3]}"
        for path in sorted(root.rglob("*.png"))
    ]
    (root / "t.csv").write_text("\n".join(["path,label,split", *rows]))
    return ImageTableData(root=str(root / "t.csv"), split_column="split")


def text_folder(root):
    for split, names in (("train", TRAIN), ("test", TEST)):
        (root / split).mkdir()
        for name in set(names):
            lines = "".join(f"{split} {name} {index}\n" for index in range(names.count(name)))
            (root / split / f"{name}.txt").write_text(lines)
    return TextFolderData(root=str(root))


def text_table(root, **more):
    rows = [
        f"{split} {index},{name},{split}"
        for split, names in (("train", TRAIN), ("test", TEST))
        for index, name in enumerate(names)
    ]
    (root / "t.csv").write_text("\n".join(["text,label,split", *rows]))
    return TextTableData(root=str(root / "t.csv"), split_column="split", **more)


def label_sets(root):
    return text_table(root, labels="sets")


def conll(root):
    for split, names in (("train", TRAIN), ("test", TEST)):
        lines = "".join(f"{split}{index} B-{name}\nis O\n\n" for index, name in enumerate(names))
        (root / f"{split}.conll").write_text(lines)
    return ConllData(root=str(root))


@pytest.mark.parametrize(
    "source", [image_folder, image_table, text_folder, text_table, label_sets, conll]
)
def test_a_class_that_the_test_split_lacks_is_a_warning(source, tmp_path, capsys):
    data = admitted(source(tmp_path), tmp_path)
    assert len(data.splits["test"]) == 3
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "test has no" in line]
    assert "test has no example of 'ORG': its figures say nothing about this one." in line


def test_an_empty_class_can_be_left_out(photos, tmp_path, capsys):
    root = photos(cats=5, dogs=5, birds=0)
    config = ImageFolderData(root=str(root))
    with pytest.raises(DataError, match=r"birds' has no photos\.(.|\n)*data\.on_bad=skip"):
        admitted(config, tmp_path)
    for on_bad in ("skip", "quarantine"):
        data = admitted(ImageFolderData(root=str(root), on_bad=on_bad), tmp_path)
        assert data.spec.classes == ("cats", "dogs")
        assert "left out: 1 (Class folder" in capsys.readouterr().err
    assert (root / "birds").is_dir()


def test_loose_files_can_be_left_out(photos, tmp_path, capsys):
    root = photos(cats=5, dogs=5)
    for index in range(3):
        picture(200 + index).save(root / f"loose{index}.png")
    with pytest.raises(DataError, match=r"3 photos are directly in(.|\n)*data\.on_bad=skip"):
        admitted(ImageFolderData(root=str(root)), tmp_path)
    data = admitted(ImageFolderData(root=str(root), on_bad="skip"), tmp_path)
    assert len(data.examples) == 10
    assert "left out: 3 (3 photos are directly in" in capsys.readouterr().err


def test_an_empty_class_file_can_be_left_out(tmp_path):
    for name, count in (("good", 5), ("bad", 5), ("empty", 0)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {i}\n" for i in range(count)))
    with pytest.raises(DataError, match=r"'empty\.txt' has no line with a text"):
        admitted(TextFolderData(root=str(tmp_path)), tmp_path)
    data = admitted(TextFolderData(root=str(tmp_path), on_bad="skip"), tmp_path)
    assert data.spec.classes == ("bad", "good")


@pytest.mark.parametrize("count", [1, 2])
def test_a_rare_class_of_one_group_ends_no_run_of_a_sweep(count, tmp_path):
    rows = [f"text {index},{'ab'[index % 2]},author{index // 4}" for index in range(60)]
    rows += [f"rare {index},c,author7" for index in range(count)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,by", *rows]))
    for seed in range(8):
        config = TextTableData(root=str(tmp_path / "t.csv"), group_column="by")
        data = load.for_training(config, RuntimeConfig(verbose=False), seed, tmp_path / "r.json")
        assert data.spec.class_counts["train"]["c"] == count
