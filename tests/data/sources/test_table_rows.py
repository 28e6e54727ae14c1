"""Labels and numbers in tables and arrays, and what is wrong with them, row by row."""

import numpy as np
import pandas as pd
import pytest
from pictures import picture

from fmkit.config.schema.data import ArraysData, ElpvData, ImageTableData, TextTableData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.quality import inspect
from fmkit.data.sources.label_readers import number_problem
from fmkit.data.sources.registry import collect, list_examples


def texts(tmp_path, content, **keys):
    (tmp_path / "table.csv").write_text(content, encoding="utf-8")
    return list_examples(TextTableData(root=str(tmp_path / "table.csv"), **keys))


def test_labels_in_one_cell(tmp_path):
    found = texts(tmp_path, "text,label\none,b| a|\ntwo,\nthree,a|a\n", labels="sets")
    assert found.classes == ()
    assert found.annotations.names == ("a", "b")
    assert found.annotations.indicators.tolist() == [[True, True], [False, False], [True, False]]


@pytest.mark.parametrize(
    "one", ['{"label": %s}', '{"tagName": %s, "tagId": "t"}', '{"choices": [%s]}', '{"name": %s}']
)
def test_labels_that_are_objects_are_read_by_their_names(one, tmp_path):
    cells = [f"[{one % name}]".replace('"', '""') for name in ('"a"', '"b"')]
    rows = "".join(f'text {number},"{cell}"\n' for number, cell in enumerate(cells))
    result = texts(tmp_path, f"text,label\n{rows}", labels="sets")
    assert result.annotations.names == ("a", "b")
    assert result.annotations.indicators.tolist() == [[True, False], [False, True]]


def test_boxes_are_not_names(tmp_path):
    cell = '[{""label"": ""a"", ""coordinates"": {""x"": 1}}]'
    with pytest.raises(DataError, match="is a list of boxes, not of names"):
        texts(tmp_path, f'text,label\none,b\ntwo,a\nthree,"{cell}"\n', labels="sets")


@pytest.mark.parametrize(("separator", "cell"), [(";", "b; a"), (" ", "b   a"), ("; ", "b; a")])
def test_other_separators(tmp_path, separator, cell):
    found = texts(
        tmp_path, f"text,label\none,{cell}\ntwo,a\n", labels="sets", label_separator=separator
    )
    assert found.annotations.indicators.tolist() == [[True, True], [True, False]]


def test_a_separator_that_never_occurs_is_told_when_another_one_does(tmp_path):
    rows = "".join(f'text {each},"a,b"\n' for each in range(6))
    found = texts(tmp_path, f"text,label\n{rows}", labels="sets")
    (finding,) = found.findings
    assert finding.kind == "separator"
    assert "data.label_separator=','" in finding.why


@pytest.mark.parametrize("cell", ['"[a, b]"', "[a]", '"[a,b"'])
def test_lists_without_quotes_are_told(tmp_path, cell):
    found = texts(tmp_path, f"text,label\none,{cell}\ntwo,{cell}\n", labels="sets")
    (finding,) = found.findings
    assert finding.kind == "separator"
    assert "quotes around each label" in finding.why


def test_a_list_is_not_a_number(tmp_path):
    with pytest.raises(DataError, match=r"'\[1, 2\]' is a list.*data\.label_columns"):
        texts(tmp_path, 'text,label\none,"[1, 2]"\n', labels="numbers")


@pytest.mark.parametrize("last", [(0, 1), (1, 1), (0, 0)], ids=str)
def test_labels_that_exclude_each_other_are_told_to_be_classes(last, tmp_path):
    rows = [(1, 0), (0, 1), last]
    cells = "".join(f"text {n},{hot},{cold}\n" for n, (hot, cold) in enumerate(rows))
    keys = {"labels": "sets", "label_columns": ["hot", "cold"]}
    table = texts(tmp_path, f"text,hot,cold\n{cells}", **keys)
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4), np.uint8), labels=np.array(rows))
    arrays = list_examples(ArraysData(root=str(tmp_path / "a.npz"), labels="sets"))
    for examples in (table, arrays):
        why = [finding.why for finding in examples.findings if finding.kind == "one_hot"]
        assert len(why) == (last == (0, 1))
        assert all("exactly one" in text and "task=classification" in text for text in why)


def test_a_column_a_label(tmp_path):
    content = "text,hot,cold\none,1,no\ntwo,TRUE,0\nthree,Yes,false\n"
    found = texts(tmp_path, content, labels="sets", label_columns=["cold", "hot"])
    assert found.annotations.names == ("cold", "hot")
    assert found.annotations.indicators.tolist() == [[False, True]] * 3
    with pytest.raises(DataError) as error:
        texts(tmp_path, "text,hot\na,1\nb,\nc,2\nd,maybe\n", labels="sets", label_columns=["hot"])
    for told in ("nothing in 'hot' (line 3)", "'hot' is '2', neither 1 nor 0 (line 4)", "'maybe'"):
        assert told in str(error.value)


def test_numbers_and_every_slip_with_its_line(tmp_path):
    cells = ["1", "-2.5e3", ".5", "3,14", "nan", "inf", "", "12 kg", "1e39", "1_000", "٣", "0x10"]
    content = "text;y\n" + "".join(f"text {k};{each}\n" for k, each in enumerate(cells))
    with pytest.raises(DataError) as error:
        texts(tmp_path, content, labels="numbers", label_column="y")
    told = str(error.value)
    assert "a point, not by a comma (line 5)" in told
    for line in range(5, 14):
        assert f"(line {line})" in told
    for line in (2, 3, 4):
        assert f"(line {line})" not in told
    config = TextTableData(
        root=str(tmp_path / "table.csv"), labels="numbers", label_column="y", on_bad="skip",
        val_fraction=0, test_fraction=0,
    )  # fmt: skip
    looked = inspect.inspect(config, 0, None)
    assert looked.usable.annotations.values.ravel().tolist() == [1, -2500, 0.5]
    with pytest.raises(DataError, match="more than half"):
        inspect.accept(looked, "skip")


@pytest.mark.parametrize("text", ["0", "+7.", "1e-400", "-0.0", "3.4e38", "1E5"])
def test_plain_decimals_are_numbers(text):
    assert number_problem(text) == ""


def test_numbers_with_a_unit(tmp_path):
    content = "text;y;z\na;573.000,00 €;5%\nb;12,50 €;12.5%\nc;7;8%\n"
    with pytest.raises(DataError, match=r"'y': '7' has no unit, and others are in EUR \(line 4\)"):
        texts(tmp_path, content, labels="numbers", label_columns=["y", "z"])
    content = content.replace("c;7;8%\n", "c;1,00 €;\n")
    with pytest.raises(DataError, match=r"'z': no number \(line 4\)"):
        texts(tmp_path, content, labels="numbers", label_columns=["y", "z"])
    found = texts(tmp_path, content, labels="numbers", label_column="y")
    assert found.annotations.values.ravel().tolist() == [573_000, 12.5, 1]
    with pytest.raises(DataError, match="'y' has numbers in"):
        texts(tmp_path, "text,y\na,$5\nb,5 €\n", labels="numbers", label_column="y")
    with pytest.raises(DataError, match="is in %, and others have no unit"):
        texts(tmp_path, "text,y\na,5\nb,6\nc,7%\n", labels="numbers", label_column="y")


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("3/5", "4/5"), "numbers out of a whole that fmkit does not read, such as 3/5"),
        (("6,9 bar", "1,2 bar"), "numbers with a unit that fmkit does not read, such as 6,9 bar"),
        (("6,9", "1,2"), "numbers with a comma before decimals, such as 6,9"),
    ],
)
def test_a_column_without_a_number_that_is_read_is_refused_once(cells, said, image, tmp_path):
    rows = "".join(f"{n}.png;{cell}\n" for n, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text("text;y\n" + rows)
    root = str(tmp_path / "t.csv")
    config = TextTableData(root=root, labels="numbers", label_column="y")
    if image:
        config = ImageTableData(root=root, path_column="text", labels="numbers", label_column="y")
    with pytest.raises(DataError, match=f"column 'y' has {said}") as caught:
        list_examples(config)
    assert "Write them as plain numbers" in caught.value.hint


@pytest.mark.parametrize("mark", ["x", "X", "✓", "ja"])
def test_a_mark_or_nothing(tmp_path, mark):
    content = f"text,hot,cold,rare\none,{mark},,\ntwo,,{mark},\nthree,,,\n"
    found = texts(tmp_path, content, labels="sets", label_columns=["hot", "cold", "rare"])
    assert found.annotations.indicators.tolist() == [
        [True, False, False], [False, True, False], [False, False, False],
    ]  # fmt: skip
    content += f"more,{mark},{mark},\n" * 20 + "last,0,,\n"
    with pytest.raises(DataError, match="'0', neither a mark nor empty"):
        texts(tmp_path, content, labels="sets", label_columns=["cold", "hot"])


@pytest.mark.parametrize("separator", [",", ";", "|", "/"])
def test_classes_that_join_others_are_a_warning(tmp_path, separator):
    rows = ["a", "b", f"a{separator} b"] * 4
    found = texts(
        tmp_path, "text,label\n" + "".join(f'text {k},"{row}"\n' for k, row in enumerate(rows))
    )
    (finding,) = [each for each in found.findings if each.kind == "separator"]
    assert "1 class of column 'label' consists of others" in finding.why
    assert f"data.label_separator='{separator}'" in finding.why
    rows = ["a", "b", "c, d"] * 4
    found = texts(
        tmp_path, "text,label\n" + "".join(f'text {k},"{row}"\n' for k, row in enumerate(rows))
    )
    assert not found.findings


def test_numbers_of_photos_and_rows_that_contradict(tmp_path):
    for number in range(3):
        picture(number).save(tmp_path / f"{number}.png")
    table = tmp_path / "table.csv"
    table.write_text("path,x,y\n0.png,1,2\n1.png,3,4\n0.png,1,2\n2.png,5,6\n2.png,5,7\n")
    config = ImageTableData(root=str(table), labels="numbers", label_columns=["y", "x"])
    looked = inspect.inspect(config, 0, None)
    kinds = {each.kind: each for each in looked.findings}
    assert kinds["conflicting_rows"].where == "rows 4 and 5"
    assert kinds["repeated_rows"].count == 1
    assert looked.examples.annotations.names == ("y", "x")
    assert looked.examples.annotations.values.tolist() == [[2, 1], [4, 3], [6, 5]]
    table.write_text("path,x\n0.png,\n1.png,7\n2.png,1\n")
    config = ImageTableData(root=str(table), labels="numbers", label_column="x")
    (finding,) = list(inspect.inspect(config, 0, None).examples.findings)
    assert (finding.where, finding.why) == ("row 1", "'x': no number")


def arrays(tmp_path, labels, kind, **more):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=labels, **more)
    return list_examples(ArraysData(root=str(tmp_path / "a.npz"), labels=kind), training=False)


def test_arrays_of_sets_and_numbers(tmp_path):
    flags = np.array([[1, 0], [0, 1], [1, 1]])
    found = arrays(tmp_path, flags, "sets").annotations
    assert (found.names, found.indicators.tolist()) == (
        ("labels_0", "labels_1"),
        flags.astype(bool).tolist(),
    )
    assert arrays(tmp_path, flags > 0, "sets", names=np.array(["x", "y"])).annotations.names == (
        "x", "y",
    )  # fmt: skip
    found = arrays(tmp_path, np.array([0.5, 2, -1]), "numbers").annotations
    assert (found.names, found.values.tolist()) == (("labels",), [[0.5], [2], [-1]])
    assert arrays(tmp_path, flags * 1.5, "numbers").annotations.values.shape == (3, 2)
    assert arrays(tmp_path, np.array([0, 1, 2]), "auto").classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("labels", "kind", "names", "told"),
    [
        (np.array([0, 1, 1]), "sets", None, r"labels.reshape\(-1, 1\)"),
        (
            np.array([[0, 2], [1, 1]]),
            "sets",
            None,
            "other values than 0 and 1 in 1 row: row-000000",
        ),
        (np.array([["a"], ["b"]]), "sets", None, "type of labels"),
        (np.array([0.5, np.nan]), "numbers", None, "NaN.*row-000001"),
        (np.array([0.5, 1e39]), "numbers", None, "row-000001"),
        (np.array(["1", "2"]), "numbers", None, "type of labels"),
        (np.zeros((2, 2, 2)), "numbers", None, "shape of labels"),
        (np.zeros((2, 2)), "numbers", np.array(["a"]), "a name per column"),
        (np.zeros((2, 2)), "numbers", np.array(["a", "a "]), "empty or duplicate names"),
    ],
)
def test_arrays_that_cannot_be(tmp_path, labels, kind, names, told):
    more = {} if names is None else {"names": names}
    with pytest.raises(DataError, match=told):
        arrays(tmp_path, labels, kind, **more)


def test_elpv_has_its_probabilities_as_numbers(tmp_path, monkeypatch):
    folder = tmp_path / "elpv_dataset" / "data" / "images"
    folder.mkdir(parents=True)
    (tmp_path / "elpv_dataset" / "__init__.py").write_text("raise ImportError('never imported')")
    lines = []
    for index in range(4):
        picture(index).save(folder / f"cell{index:04d}.png")
        lines.append(f"images/cell{index:04d}.png  {(0.0, 1.0, 1 / 3, 2 / 3)[index]}    mono")
    (folder.parent / "labels.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = list_examples(ElpvData(labels="numbers"))
    assert found.annotations.names == ("defect_probability",)
    assert found.annotations.values.ravel().tolist() == pytest.approx([0, 1, 1 / 3, 2 / 3])
    with pytest.raises(ConfigError, match=r"data\.labels"):
        list_examples(ElpvData(labels="sets"))


def inspected(tmp_path, content, **keys):
    (tmp_path / "table.csv").write_text(content)
    return inspect.inspect(TextTableData(root=str(tmp_path / "table.csv"), **keys), 0, None)


def kinds(looked):
    return {each.kind: each for each in looked.findings}


def test_what_stands_out_in_labels(tmp_path):
    rows = ["landscape"] * 30 + ["landscpae|once", "landscpae", ""] + ["landscape"] * 4
    content = "text,label\n" + "".join(f"text {k},always|{each}\n" for k, each in enumerate(rows))
    found = kinds(inspected(tmp_path, content, labels="sets"))
    assert found["label_typo"].where == "'landscpae'"
    assert "single_label" in found
    assert found["constant_label"].where == "'always'"
    plain = content.replace("always|", "")
    assert "has no label" in kinds(inspected(tmp_path, plain, labels="sets"))["without_label"].why
    empty = "text,label\n" + "".join(f"text {k},\n" for k in range(9))
    looked = inspected(tmp_path, empty, labels="sets")
    with pytest.raises(DataError, match="No example has a label"):
        inspect.accept(looked, "error")


def test_what_stands_out_in_numbers(tmp_path):
    content = "text,x,y,z\n" + "".join(f"text {k},{k},5,{1e9 + k}\n" for k in range(30))
    columns = ["x", "y", "z"]
    found = kinds(inspected(tmp_path, content, labels="numbers", label_columns=columns))
    assert found["constant_target"].where == "'y'"
    assert found["far_target"].where == "'z'"
    looked = inspected(tmp_path, content, labels="numbers", label_column="y")
    with pytest.raises(DataError, match="y is 5"):
        inspect.accept(looked, "error")


def test_equal_texts_with_different_answers_are_told(tmp_path):
    content = "text,x\n" + "".join(f"text {k % 15},{k}\n" for k in range(30))
    found = kinds(inspected(tmp_path, content, labels="numbers", label_column="x"))
    assert found["two_answers"].count == 2


@pytest.mark.parametrize("ending", ["csv", "xlsx", "jsonl"])
def test_errors_of_excel_are_missing_values(ending, tmp_path):
    cells = ["good", "#N/A", "bad", "#REF!", "#1 of all"]
    frame = pd.DataFrame({"text": ["a", "b", "c", "d", "#VALUE!"], "label": cells})
    if ending == "xlsx":
        pytest.importorskip("openpyxl")
    write = {"csv": frame.to_csv, "xlsx": frame.to_excel}.get(ending)
    if write:
        write(tmp_path / f"a.{ending}", index=False)
    else:
        frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    examples = collect(TextTableData(root=str(tmp_path / f"a.{ending}")))
    assert examples.classes == ("bad", "good")
    reasons = [finding.why for finding in examples.findings if finding.kind == "incomplete_row"]
    assert len(reasons) == 3
    assert "'label' is #N/A, an error of Excel" in reasons[0]
    assert "'text' is #VALUE!, an error of Excel" in reasons[2]


def test_sheets_called_train_and_test_are_the_splits(tmp_path):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "a.xlsx") as writer:
        for title, names in (("train", "abab"), ("test", "ba")):
            frame = pd.DataFrame({"text": [f"{title} {n}" for n in range(len(names))]})
            frame.assign(label=[*names]).to_excel(writer, sheet_name=title, index=False)
    examples = collect(TextTableData(root=str(tmp_path / "a.xlsx")))
    assert examples.splits.tolist() == ["train"] * 4 + ["test"] * 2
    assert examples.content.texts[4:] == ("test 0", "test 1")


def test_numbers_that_all_have_three_decimals_are_doubted(tmp_path):
    content = "text;y\n" + "".join(f"text {n};1.{200 + n}\n" for n in range(9))
    found = texts(tmp_path, content, labels="numbers", label_column="y")
    assert found.annotations.values[0] == 1.2
    assert [finding.why for finding in found.findings if "three digits" in finding.why]
    found = texts(tmp_path, content + "text;1.5\n", labels="numbers", label_column="y")
    assert not [finding.why for finding in found.findings if "three digits" in finding.why]


def test_dates_that_a_spreadsheet_made_and_labels_joined_by_spaces_are_named(tmp_path):
    sizes = ["10-12", "2026-01-02 00:00:00", "2026-03-04 00:00:00"]
    tags = ["clear", "clear road", "haze", "haze road", "clear water", "haze water", "road water"]
    for names, said in ((sizes, "2026-01-02 of 1-2"), (tags, "label_separator=' '"), (["a b"], "")):
        content = "text,y\n" + "".join(f"text {n},{name}\n" for n in range(4) for name in names)
        (tmp_path / "t.csv").write_text(content)
        config = TextTableData(root=str(tmp_path / "t.csv"), label_column="y")
        why = " ".join(finding.why for finding in collect(config).findings)
        assert said in why if said else not why
