"""`data.sheet` in every source that reads workbooks, and `sheet` of predict."""

import pytest
from PIL import Image

from fmkit.config.schema import data as schema
from fmkit.config.schema.commands import PredictConfig
from fmkit.core.errors import ConfigError
from fmkit.data.predict_inputs import read_texts
from fmkit.data.predict_photos import read_photos
from fmkit.data.sources.registry import collect

openpyxl = pytest.importorskip("openpyxl")
CHAT = '[{"role": "user", "content": "%s"}, {"role": "assistant", "content": "yes"}]'
ROWS = {  # by source, its header and the row of a sheet; %s is the sheet's title
    "TextTableData": (["text", "label"], ["say %s", "a"]),
    "ImageTableData": (["path", "label"], ["%s.png", "a"]),
    "TokenTableData": (["tokens", "ner_tags"], ['["at", "%s"]', '["O", "B-PLACE"]']),
    "SquadData": (["question", "context", "answers"],
                  ["who?", "it is %s", '{"text": ["it"], "answer_start": [0]}']),
    "PreferencesData": (["prompt", "chosen", "rejected"], ["hello", "%s", "no"]),
    "ChatData": (["messages"], [CHAT]),
}  # fmt: skip


def write(path, header, row, titles=("north", "south")):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title in titles:
        sheet = book.create_sheet(title)
        sheet.append(header)
        sheet.append([cell.replace("%s", title) for cell in row])
    book.save(path)
    return str(path)


@pytest.mark.parametrize("name", ROWS)
def test_each_source_reads_the_sheet_that_is_named(name, tmp_path):
    for title in ("north", "south"):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{title}.png")
    root = write(tmp_path / "a.xlsx", *ROWS[name])
    config = getattr(schema, name)(root=root, sheet="south")
    examples = collect(config)
    assert len(examples.ids) == 1
    assert "south" in repr(examples.content)
    assert "north" not in repr(examples.content)
    config.sheet = "1"
    assert "north" in repr(collect(config).content)
    config.sheet = "nort"
    with pytest.raises(ConfigError, match="Did you mean north"):
        collect(config)


def predict_config(**keys):
    return PredictConfig(run="r", **keys)


def test_predict_goes_on_with_the_sheet_of_training_where_there_is_one(tmp_path):
    header, row = ROWS["TextTableData"]
    path = write(tmp_path / "a.xlsx", header, row)
    learned = schema.TextTableData(root=path, sheet="south")
    assert read_texts(predict_config(input=path), learned).texts.texts == ("say south",)
    assert read_texts(predict_config(input=path, sheet="1"), learned).texts.texts == ("say north",)
    other = write(tmp_path / "b.xlsx", header, row, titles=["others"])
    assert read_texts(predict_config(input=other), learned).texts.texts == ("say others",)


def test_photos_of_a_sheet_are_predicted(tmp_path):
    for title in ("north", "south"):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{title}.png")
    path = write(tmp_path / "a.xlsx", *ROWS["ImageTableData"])
    learned = schema.ImageTableData(root=path, sheet="north")
    assert "north.png" in repr(read_photos(predict_config(input=path), learned))
    assert "south.png" in repr(read_photos(predict_config(input=path, sheet="2"), learned))


def test_a_workbook_is_recognised_by_the_sheet_that_is_named(tmp_path, monkeypatch, capsys):
    from fmkit.cli import main

    monkeypatch.chdir(tmp_path)
    header, row = ROWS["TextTableData"]
    write(tmp_path / "a.xlsx", header, row)
    assert main(["finetune", "a.xlsx", "--cfg", "job"]) == 3
    assert "data.sheet=north" in capsys.readouterr().err
    assert main(["finetune", "a.xlsx", "data.sheet=2", "--cfg", "job"]) == 0
    assert "sheet: '2'" in capsys.readouterr().out
