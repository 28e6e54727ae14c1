"""Documents of any size: what is listed, what is read of them, and what is told of broken ones."""

import json

import numpy as np
import pytest

from fmkit.config.schema.data import TextFilesData, TextLinesData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import DataError
from fmkit.data import dataset, load
from fmkit.data.content import documents
from fmkit.data.quality import document_checks, inspect
from fmkit.data.sources import text_corpus


def lines(path, **changes):
    return text_corpus.by_line(TextLinesData(root=str(path), **changes))


def files(path, **changes):
    return text_corpus.by_file(TextFilesData(root=str(path), **changes))


def texts(examples):
    """The documents, parts of one joined."""
    found, whole = [], ""
    for part in examples.content.text_parts():
        whole += part.text
        if part.is_last:
            found.append(whole)
            whole = ""
    assert not whole
    return found


def faults(examples):
    return [
        (each.kind, each.why)
        for each in document_checks.document_findings(examples.ids, examples.content, None)
    ]


def test_a_line_is_a_document(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\n\r\n  zwei ü \rthree\n".encode())
    found = lines(tmp_path / "a.txt")
    assert texts(found) == ["one", "zwei ü", "three"]
    assert found.ids == ("a.txt:000001", "a.txt:000003", "a.txt:000004")
    assert (found.classes, found.labels.tolist()) == ((), [0, 0, 0])
    assert texts(found.take(np.array([0, 2]))) == ["one", "three"]


def test_a_line_of_json_has_its_text_under_a_key(tmp_path):
    rows = [{"body": "one\ntwo"}, {"body": "three", "n": 1}]
    (tmp_path / "a.jsonl").write_text("\n\n".join(json.dumps(each) for each in rows))
    found = lines(tmp_path / "a.jsonl", text_column="body")
    assert texts(found) == ["one\ntwo", "three"]
    assert faults(found) == []
    ((kind, why),) = faults(lines(tmp_path / "a.jsonl"))
    assert (kind, "line 1 " in why, "'text'" in why) == ("empty_file", True, True)
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"text": \n')
    ((kind, why),) = faults(lines(tmp_path / "a.jsonl"))
    assert (kind, why.startswith("line 2 is not valid JSON")) == ("incomplete_row", True)


def test_a_file_is_a_document_and_a_folder_is_searched_to_the_bottom(tmp_path):
    for number in range(80):
        place = tmp_path / "texts" / f"{number % 3}" / f"{number}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"document {number}\nof two lines\n")
    (tmp_path / "texts" / "0" / "photo.jpg").write_bytes(b"\xff\xd8")
    found = files(tmp_path / "texts")
    assert len(found) == 80
    assert found.ids[0] == "0/0.txt"
    assert set(texts(found)) == {f"document {each}\nof two lines\n" for each in range(80)}
    assert [each.kind for each in found.findings] == ["unsupported"]
    assert len(files(tmp_path / "texts", limit=10)) == 10


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("long_lines", [False, True])
def test_a_large_file_is_cut_and_nothing_is_lost(tmp_path, monkeypatch, encoding, long_lines):
    monkeypatch.setattr(documents, "CHUNK", 100)
    text = "".join(f"{each} ü{' ' if long_lines else chr(10)}" for each in range(1000))
    (tmp_path / "a.txt").write_text(text, encoding=encoding, newline="")
    found = files(tmp_path / "a.txt", encoding=encoding)
    assert len(found) >= 64
    assert texts(found) == [text]
    pieces = [each.index for each in found.content.text_parts()]
    assert pieces == sorted(pieces)
    assert len(set(pieces)) > 50
    again = files(tmp_path / "a.txt", encoding=encoding)
    assert list(again.content.text_parts()) == list(found.content.text_parts())


def test_of_many_lines_a_piece_holds_several(tmp_path, monkeypatch):
    monkeypatch.setattr(text_corpus, "_SMALL", 1000)
    monkeypatch.setattr(text_corpus, "BLOCK", 256)
    written = [f"line {each}" for each in range(1000)]
    (tmp_path / "a.txt").write_text("\n".join(written))
    found = lines(tmp_path / "a.txt")
    assert 30 < len(found) < 50
    assert texts(found) == written
    some = found.take(np.array([3, 7]))
    assert set(texts(some)) < set(written)
    assert {each.index for each in some.content.text_parts()} == {0, 1}


def test_the_limit_takes_the_first_lines(tmp_path, monkeypatch):
    for name in ("a.txt", "b.txt", "c.txt"):
        text = "\n\n".join(f"{name} {each}" for each in range(10))
        (tmp_path / name).write_text(text)
    expected = [f"a.txt {each}" for each in range(10)] + ["b.txt 0", "b.txt 1"]
    assert texts(lines(tmp_path, limit=12)) == expected
    monkeypatch.setattr(text_corpus, "_SMALL", 10)
    assert texts(lines(tmp_path, limit=12)) == expected


BROKEN = {
    "latin": ("grün".encode("latin-1"), "bad_encoding", "byte 2 (0xfc) is not utf-8"),
    "cut": (b"a" * 300 + b"\xc3", "bad_encoding", "byte 300 (0xc3) is not utf-8"),
    "marked": ("text".encode("utf-16"), "bad_encoding", "UTF-16"),
    "nul": (b"one\ntwo\0\n", "not_text", "line 2 has a NUL"),
    "empty": (b"", "empty_file", ""),
    "blank": (b" \n\n", "empty_file", "white space only"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("list_them", [lines, files])
def test_a_broken_file_is_told_with_its_place(tmp_path, monkeypatch, name, list_them):
    monkeypatch.setattr(documents, "CHUNK", 128)
    content, kind, why = BROKEN[name]
    (tmp_path / "a.txt").write_bytes(content)
    found = list_them(tmp_path / "a.txt")
    ((found_kind, found_why),) = faults(found)
    assert (found_kind, why in found_why) == (kind, True), found_why


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MAX_CHARACTERS", 1000)
    (tmp_path / "a.txt").write_text("x" * 2000)
    ((kind, why),) = faults(lines(tmp_path / "a.txt"))
    assert (kind, "data=text_files" in why) == ("not_text", True)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(DataError, match=r"no text files .* it has 1 \.pdf"):
        files(tmp_path)


def write(folder, count=40):
    for each in range(count):
        (folder / f"{each:02d}.txt").write_text(f"document {each}\n" * 5)


def test_splits_are_made_of_whole_documents_and_by_the_seed(tmp_path):
    write(tmp_path)
    config = TextFilesData(root=str(tmp_path), val_fraction=0.2, test_fraction=0.1)
    one, other = (dataset.read(config, seed) for seed in (0, 1))
    assert one.spec.counts == {"train": 28, "val": 8, "test": 4}
    assert (one.spec.classes, one.spec.modality) == ((), "text")
    assert one.spec.split_fingerprint != other.spec.split_fingerprint
    again = dataset.read(config, 0)
    assert again.spec == one.spec
    single = TextFilesData(root=str(tmp_path / "00.txt"), val_fraction=0.2)
    assert set(dataset.read(single, 0).splits) == {"train", "val", "test"}


def test_inspection_refuses_skips_and_remembers(tmp_path, monkeypatch):
    (tmp_path / "texts").mkdir()
    write(tmp_path / "texts")
    (tmp_path / "texts" / "bad.txt").write_bytes(b"\x81\xff")  # of no encoding that is likely
    runtime = RuntimeConfig(cache_dir=str(tmp_path / "cache"), verbose=False)
    config = TextFilesData(root=str(tmp_path / "texts"))
    report = tmp_path / "report.json"
    with pytest.raises(DataError, match=r"bad\.txt.*byte 0"):
        load.for_training(config, runtime, 0, report)
    config.on_bad = "skip"
    data = load.for_training(config, runtime, 0, report)
    assert len(data.examples) == 40
    assert len(texts(data.examples)) == 40
    (tmp_path / "texts" / "bad.txt").unlink()
    assert len(inspect.inspect(config, 0, tmp_path / "cache").findings) == 0
    monkeypatch.setattr(documents, "open_regular", None)  # nothing is read again
    assert len(inspect.inspect(config, 0, tmp_path / "cache").findings) == 0
