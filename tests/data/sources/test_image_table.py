"""A table's cells stay as they are written, and everything wrong with its rows is told at once."""

import shutil

import pytest
from pictures import picture

from fmkit.config.schema.commands import PredictConfig
from fmkit.config.schema.data import ImageTableData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.predict_photos import read_photos
from fmkit.data.quality import inspect as inspection
from fmkit.data.sources.registry import list_examples

NAMES = ("012", "True", "NA", "null", "12", "é")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "img").mkdir()
    for index in range(24):
        picture(index).save(tmp_path / "img" / f"{index}.png")
    return tmp_path


def write(folder, lines, name="table.csv", encoding="utf-8"):
    (folder / name).write_text("\n".join(lines) + "\n", encoding=encoding)
    return folder / name


def listed(table, **more):
    return list_examples(ImageTableData(root=str(table), **more))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_labels_stay_text(folder, separator):
    lines = [f"path{separator}label"]
    lines += [f"img/{index}.png{separator} {NAMES[index % 6]} " for index in range(24)]
    examples = listed(write(folder, lines, encoding="utf-8-sig"))
    assert examples.classes == tuple(sorted(NAMES))
    assert examples.ids[:2] == ("img/0.png", "img/1.png")
    assert examples.classes[examples.labels[0]] == "012"
    assert examples.classes[examples.labels[2]] == "NA"


def test_parquet_labels_become_text(folder):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"path": [f"img/{index}.png" for index in range(12)], "label": [7, 70, 8] * 4}
    )
    frame.to_parquet(folder / "table.parquet")
    assert listed(folder / "table.parquet").classes == ("7", "70", "8")
    frame.loc[3, "label"] = None
    frame.astype({"label": "Int64"}).to_parquet(folder / "table.parquet")
    with pytest.raises(DataError, match="row 4: no label"):
        listed(folder / "table.parquet")


def judged(table, **more):
    """The examples, however few."""
    return list_examples(ImageTableData(root=str(table), **more), training=False)


def moved(folder, *places):
    """A photo in each place, and where they come from."""
    for number, place in enumerate(places):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        picture(100 + number).save(folder / place)


@pytest.mark.parametrize("names", [("7", "8", "9"), ("7.png", "8.png", "9.png")])
def test_photos_in_subfolders_are_found_by_the_names_that_one_file_has(tmp_path, names):
    moved(tmp_path, "p/0/7.png", "p/1/8.png", "p/1/9.png", "p/2/9.png", ".p/8.png")
    table = write(tmp_path, ["path,label", *(f"{name},a" for name in names)])
    with pytest.raises(DataError) as error:
        judged(table)
    assert f"row 3: '{names[2]}' is not in {tmp_path}" in str(error.value)
    assert "row 1" not in str(error.value)
    (tmp_path / "p/2/9.png").unlink()
    examples = judged(table)
    assert examples.ids == ("p/0/7.png", "p/1/8.png", "p/1/9.png")
    (note,) = (finding for finding in examples.findings if finding.kind == "moved_photo")
    assert note.text.startswith("3 photos are not at the path in the table")
    assert note.count == 3


def test_a_table_of_which_some_photos_are_in_place_is_not_searched_for(tmp_path):
    moved(tmp_path, "7.png", "old/8.png")
    with pytest.raises(DataError, match=r"row 2: '8\.png' is not in"):
        judged(write(tmp_path, ["path,label", "7.png,a", "8.png,b"]))


@pytest.mark.parametrize(
    "start",
    ["/data/upload/", "C:\\Users\\me\\", "/data/local-files/?d=me/", "../me/a b/", "/old/upload\\"],
)
def test_paths_of_elsewhere_are_known_by_their_ends_below_the_folder_that_is_named(tmp_path, start):
    ends = ["3/a.png", "4/a.png", "3/b.png"]
    moved(tmp_path, *(f"media/upload/{end}" for end in ends), "media/a.png")
    rows = [f"{start}{end},x" for end in ends]
    table = write(tmp_path, ["path,label", *rows])
    with pytest.raises(DataError, match=r"data\.image_root="):
        judged(table)
    for root in ("media/upload", "media") if "upload" in start else ("media/upload",):
        examples = judged(table, image_root=str(tmp_path / root))
        assert [name.removeprefix("upload/") for name in examples.ids] == ends
        kinds = {finding.kind for finding in examples.findings}
        assert ("moved_photo" in kinds) == (start != "/data/upload/")  # which is the tool's own


@pytest.mark.parametrize("listed", [["7", "8"], ["C:\\x\\7.png", "C:\\x\\8.png"]])
def test_predict_finds_the_photos_of_a_table_as_training_does(tmp_path, capsys, listed):
    moved(tmp_path, "p/0/7.png", "p/1/8.png", "m/7.png", "m/8.png")
    root = None
    if len(listed[0]) > 1:
        root = str(tmp_path / "m")
    else:
        shutil.rmtree(tmp_path / "m")
    table = write(tmp_path, ["path", *listed])
    photos = read_photos(PredictConfig(run="", input=str(table), image_root=root), None)
    names = ("m/7.png", "m/8.png") if root else ("p/0/7.png", "p/1/8.png")
    assert photos.names == tuple(str(tmp_path / name) for name in names)
    assert not any(photos.errors)
    assert "2 photos are not at the path in the table" in capsys.readouterr().err


def test_ends_that_two_rows_share_are_not_taken(tmp_path):
    moved(tmp_path, "media/a.png", "media/b.png")
    table = write(tmp_path, ["path,label", "x/1/a.png,p", "x/2/a.png,q", "x/1/b.png,p"])
    with pytest.raises(DataError) as error:
        judged(table, image_root=str(tmp_path / "media"))
    assert all(f"row {number}: " in str(error.value) for number in (1, 2, 3))


def test_the_folder_that_all_paths_start_from_is_proposed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moved(tmp_path, "shop/my photos/jan/a.png", "shop/my photos/feb/b.png")
    table = write(tmp_path / "shop", ["path,label", "jan/a.png,p", "feb/b.png,q"])
    with pytest.raises(DataError) as error:
        judged(table)
    assert "Set \"data.image_root='shop/my photos'\", the folder" in str(error.value)
    assert judged(table, image_root="shop/my photos").ids == ("jan/a.png", "feb/b.png")


def test_a_path_of_windows_is_shown_as_it_is(tmp_path):
    with pytest.raises(DataError) as error:
        judged(write(tmp_path, ["path,label", r"C:\new\a.png,p"]))
    assert r"'C:\new\a.png' is not in" in str(error.value)


def test_splits_groups_and_another_root(folder):
    names = ["train", "Training", "VAL", "test"]
    lines = ["file,kind,part,patient"]
    lines += [f"{i}.png,{'ab'[i % 2]},{names[i // 2 % 4]},p{i // 2}" for i in range(16)]
    (folder / "tables").mkdir()
    examples = listed(
        write(folder / "tables", lines),
        image_root=str(folder / "img"),
        path_column="file",
        label_column="kind",
        split_column="part",
        group_column="patient",
    )
    assert examples.ids[0] == "0.png"
    assert sorted(set(examples.splits.tolist())) == ["test", "train", "val"]
    assert (examples.splits == "train").sum() == 8
    assert examples.groups[:4].tolist() == ["p0", "p0", "p1", "p1"]


def test_all_problems_are_told_at_once(folder):
    lines = ["path,label,split,group"]
    lines += [f"img/{index}.png,{'ab'[index % 2]},train,g" for index in range(10)]
    lines += ["img/10.png,,train,g", "img/none.png,a,train,g", "img/11.png,a,trian,g"]
    lines += ["img/12.png,a,,", ",a,val,g", "img/1.png,a,train,g"]
    with pytest.raises(DataError) as caught:
        listed(write(folder, lines), split_column="split", group_column="group")
    message = caught.value.message
    assert "row 11: no label" in message
    assert f"row 12: 'img/none.png' is not in {folder}" in message
    assert "row 13: unknown split 'trian' (expected train, val or test)" in message
    assert "row 14: no split in column 'split'" in message
    assert "row 14: no group in column 'group'" in message
    assert "row 15: no path" in message
    assert "rows 2 and 16: 'img/1.png'" in message


def test_missing_columns_are_told_with_those_there(folder):
    table = write(folder, ["file,lable", "img/0.png,a"])
    with pytest.raises(DataError) as caught:
        listed(table, split_column="split")
    message = caught.value.message
    assert "it has no column 'path'" in message
    assert "no column 'label' (did you mean lable?)" in message
    assert "no column 'split'" in message
    assert "its columns are file, lable" in message


def test_repeated_rows_count_once(folder):
    lines = ["path,label"] + [f"img/{index % 12}.png,{'ab'[index % 2]}" for index in range(24)]
    examples = listed(write(folder, lines))
    assert len(examples) == 12
    assert "12 rows of table.csv repeat" in examples.findings[0].why


def test_paths_that_no_disk_can_have_are_missing_files(folder):
    lines = ["path,label"] + [f"img/{index}.png,{'ab'[index % 2]}" for index in range(8)]
    lines += ["~nobody-at-all/x.png,a", f"{'x' * 5000}.png,a", "img/..,b"]
    with pytest.raises(DataError, match=r"does not exist \(3\)"):
        listed(write(folder, lines))


def test_windows_paths_and_quotes(folder):
    lines = ["path,label"] + [f'"img\\{i}.png","{"ab"[i % 2]}, ""so"""' for i in range(8)]
    examples = listed(write(folder, lines))
    assert examples.ids[0] == "img/0.png"
    assert examples.classes == ('a, "so"', 'b, "so"')


def test_files_that_are_no_table(folder):
    with pytest.raises(DataError, match="is not UTF-8"):
        listed(write(folder, ["path,label", "img/0.png,é"], encoding="latin-1"))
    with pytest.raises(DataError, match="line 2 has 3 cells, the header has 2"):
        listed(write(folder, ["path,label", "img/0.png,a,b"]))
    with pytest.raises(DataError, match="is empty"):
        listed(_empty(folder))
    with pytest.raises(DataError, match="not a readable parquet"):
        listed(write(folder, ["x"], name="t.parquet"))
    with pytest.raises(ConfigError, match="file extension"):
        listed(write(folder, ["x"], name="t.docx"))


def test_a_row_with_too_many_cells_costs_only_itself(folder):
    rows = ["path,label", *(f"img/{k % 6}.png,{'ab'[k % 2]}" for k in range(6))]
    table = write(folder, [*rows, "img/5.png,a,b"])
    config = ImageTableData(root=str(table), on_bad="skip")
    inspected = inspection.inspect(config, 0, None, training=False)
    assert len(inspection.accept(inspected, "skip").examples) == 6
    with pytest.raises(DataError, match=r"line 8 has 3 cells(.|\n)*data\.on_bad=skip"):
        inspection.accept(inspected, "error")


def _empty(folder):
    (folder / "empty.csv").write_text("")
    return folder / "empty.csv"


def test_paths_with_splits_in_them_and_no_column_of_splits_are_a_warning(folder):
    rows = []
    for index in range(24):
        split = "test" if index % 4 == 0 else "train"
        (folder / split).mkdir(exist_ok=True)
        (folder / "img" / f"{index}.png").rename(folder / split / f"{index}.png")
        rows.append(f"{split}\\{index}.png,{'ab'[index % 2]},{split}")
    table = write(folder, ["path,label,part", *rows])
    (finding,) = listed(table).findings
    assert finding.kind == "unclear_folders"
    assert "data.split_column=COLUMN" in finding.why
    examples = listed(table, split_column="part")
    assert (examples.findings, (examples.splits == "test").sum()) == ((), 6)


def test_ids_without_an_ending_name_their_photos(folder):
    (folder / "img" / "7.png").rename(folder / "img" / "7.JPG")
    lines = ["id,label", *(f"{index},{'ab'[index % 2]}" for index in range(24))]
    table = write(folder, lines)
    examples = listed(table, path_column="id", image_root=str(folder / "img"))
    assert examples.ids == tuple("7.JPG" if i == 7 else f"{i}.png" for i in range(24))


def test_urls_are_not_downloaded_and_the_message_says_so(folder):
    lines = ["path,label", *(f"https://x.org/{index}.jpg,{'ab'[index % 2]}" for index in range(4))]
    with pytest.raises(
        DataError, match=r"'https://x.org/0.jpg' is an address, .*: download the photos"
    ):
        listed(write(folder, lines))
