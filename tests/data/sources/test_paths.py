"""What paths users type name, and which names are not data: the same for every reader."""

from pathlib import Path

import pytest

from fmkit.config import command_line
from fmkit.config.schema.data import ChatData, ConllData, ImageFolderData, SquadData, TextLinesData
from fmkit.core.errors import ConfigError, DataError
from fmkit.core.files import is_ignored
from fmkit.data.sources import directory
from fmkit.data.sources.directory import FileKind
from fmkit.data.sources.paths import existing_path, find_file, name_findings
from fmkit.data.sources.registry import collect
from fmkit.data.split_names import split_of_name

CHAT = '{"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]}\n'
ANSWER = '{"text": ["Ann"], "answer_start": [0]}'
SQUAD = f'{{"question": "Who?", "context": "Ann came.", "answers": {ANSWER}}}\n'


@pytest.mark.parametrize(
    "name",
    [".x", "._a.jpg", ".ipynb_checkpoints", "__MACOSX", "@eaDir", "Thumbs.db", "~$a.csv"],
)
def test_what_systems_leave_in_folders_is_not_data(name, photos):
    assert is_ignored(name)
    root = photos(cats=3, dogs=3)
    (root / "cats" / name).mkdir()
    (root / name).mkdir(exist_ok=True)
    for folder in (root / name, root / "cats" / name):
        (folder / "x.png").write_bytes((root / "cats" / "cats0.png").read_bytes())
    assert len(collect(ImageFolderData(root=str(root))).ids) == 6
    listing = directory.files_at(str(root), FileKind("photo", (".png",)), False, key="input")
    assert len(listing.paths) == 6
    for pattern in (f"{root}/*", f"{root}/**/*.png"):
        assert len(directory.files_at(pattern, FileKind("photo", (".png",)), False).paths) == 6


def test_ordinary_names_are_data():
    for name in ("a.jpg", "eaDir", "MACOSX", "thumbs", "_private", "~backup"):
        assert not is_ignored(name)


def test_a_table_names_files_in_several_spellings(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "photos" / "a b.png"
    file.parent.mkdir()
    file.write_bytes(b"")
    urls = (f"file://{tmp_path}/photos/a%20b.png", "~/photos/a b.png", str(file))
    for name in ("photos/a b.png", "photos\\a b.png", ".\\photos\\a b.png", *urls):
        assert find_file(tmp_path, name) == file
    assert find_file(tmp_path, "photos/b.png") is None
    assert find_file(tmp_path, "photos") is None


def test_one_folder_is_read_where_a_pattern_fits_one(photos, monkeypatch):
    root = photos("set2024", cats=3, dogs=3)
    monkeypatch.chdir(root.parent)
    assert existing_path("set*", "folder") == root
    assert len(collect(ImageFolderData(root=f"file://{root}")).ids) == 6
    with pytest.raises(
        DataError, match=r"'set2024/\*' fits 2 paths \(set2024/cats, set2024/dogs\)"
    ):
        existing_path("set2024/*", "folder")
    with pytest.raises(DataError, match=r"'none\*'.*no such folder"):
        existing_path("none*", "folder")
    with pytest.raises(ConfigError, match=r"data\.root is missing"):
        existing_path("", "folder")


@pytest.mark.parametrize(
    ("config", "ending", "content"),
    [
        (TextLinesData, "txt", "one\ntwo\n"),
        (ConllData, "conll", "Ann B-PER\ncame O\n\nBob B-PER\n\n"),
        (ChatData, "jsonl", CHAT * 2),
        (SquadData, "jsonl", SQUAD + SQUAD.replace("Who", "And who")),
    ],
)
def test_sources_of_files_read_all_that_fit_a_pattern(config, ending, content, tmp_path):
    for name in ("train-1", "train-2", "test-1", "other"):
        (tmp_path / f"{name}.{ending}").write_text(content.replace("?", f" of {name}?"))
    (tmp_path / "train-3.pdf").write_text("")
    assert len(collect(config(root=str(tmp_path / "t*"))).ids) == 6
    assert len(collect(config(root=str(tmp_path / f"o*.{ending}"))).ids) == 2


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("Mängel", "Mängel"),
        ("Größe in cm", "Größe in cm"),
        ("日本", "日本"),
        ("[Größe, kind,Zustand der Räder]", ["Größe", "kind", "Zustand der Räder"]),
        ("'schon zitiert: Ä'", "schon zitiert: Ä"),
    ],
)
def test_letters_beyond_ascii_need_no_quotes(value, read):
    line = command_line.parse("check", [f"data.label_column={value}"])
    assert line.value("data.label_column") == read


@pytest.mark.parametrize("value", ["Ä (x)", "{ä:1}", "ä'"])
def test_other_values_beyond_ascii_say_how_to_quote_them(value):
    with pytest.raises(ConfigError, match="Quote what has spaces or special characters twice"):
        command_line.parse("check", [f"data.label_column={value}"])


@pytest.mark.parametrize("value", ["~/photos", "IMG (1).jpg", "a[1].jpg", "x=(1)"])
def test_paths_need_no_quotes(value):
    for key in ("input", "data.root"):
        line = command_line.parse("predict", [f"{key}={value}"])
        assert line.value(key) == value
    with pytest.raises(ConfigError, match=r"cannot read the value of 'data\.name': '~x'"):
        command_line.parse("predict", ["data.name=~x"])


def test_a_sweep_over_paths_needs_no_quotes_either():
    line = command_line.parse("finetune", ["-m", "data.root=~/a,~/b"])
    assert line.words == ["data.root='~/a','~/b'"]
    assert [value.text for value in line.overrides[0].value().list] == ["~/a", "~/b"]


@pytest.mark.parametrize(
    ("config", "ending", "content"),
    [
        (ConllData, "conll", "Ann B-PER\ncame O\n\n"),
        (ChatData, "jsonl", CHAT),
        (SquadData, "jsonl", SQUAD),
    ],
)
def test_files_of_records_are_splits_by_any_usual_name(config, ending, content, tmp_path):
    names = {"my_train": "train", "x-eval": "val", "news.holdout": "test", "Test Set": "test"}
    for name in names:
        (tmp_path / f"{name}.{ending}").write_text(content.replace("?", f" of {name}?"))
    examples = collect(config(root=str(tmp_path)))
    assert sorted(examples.splits) == sorted(names.values())
    for name, split in zip(examples.ids, examples.splits, strict=True):
        assert names[name.partition(f".{ending}")[0]] == split


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("train", "train"), ("Train Set", "train"), ("training_data", "train")),
        *(("seg_test", "test"), ("test1", "test"), ("hold-out", "test"), ("X_train", "train")),
        *(("val2017", "val"), ("trainset", "train"), ("my_test_images", "test"), ("eval", "val")),
        *(("invalid", ""), ("latest", ""), ("contest", ""), ("strain", ""), ("train_test", "")),
        *(("2020", ""), ("", ""), ("cats", "")),
    ],
)
def test_the_split_of_a_name(name, split):
    assert split_of_name(name) == split


@pytest.mark.parametrize(
    ("names", "kind", "where"),
    [
        (["dog", "dog ", "cat"], "twin_classes", "'dog' and 'dog '"),
        (["Dog", "dog", "cat"], "case_twins", "'Dog' and 'dog'"),
        (["dog", "dogs", "cat"], "plural_twins", "'dog' and 'dogs'"),
        (["Dogs", "dog", "cat"], "plural_twins", "'Dogs' and 'dog'"),
        (["gras", "grass", "as", "a", "cats"], "", ""),
    ],
)
def test_class_names_that_may_be_one(names, kind, where):
    findings = [(finding.kind, finding.where) for finding in name_findings(names, [])]
    assert findings == ([(kind, where)] if kind else [])


@pytest.mark.parametrize("address", ["https://example.com/a.csv", "hf://datasets/a", "s3://a/b"])
def test_an_address_is_not_a_path(address):
    for typed in (address, str(Path.cwd() / address)):  # the config has the absolute path
        with pytest.raises(DataError, match="is an address, and fmkit reads files of this"):
            existing_path(typed, "file")
