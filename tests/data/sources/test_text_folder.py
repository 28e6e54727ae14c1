"""Folders and files of texts: a listing is complete, stable and strict, and says what is wrong."""

import os
import random
import shutil
from collections import Counter

import numpy as np
import pytest

from fmkit.config.schema.data import TextFolderData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import DataError
from fmkit.data import load
from fmkit.data.predict_inputs import list_texts
from fmkit.data.recognition.recognise import Request, recognise
from fmkit.data.sources.registry import collect, list_examples


def listed(root, **more):
    return list_examples(TextFolderData(root=str(root), **more))


def found(root, **more):
    return {
        (e.kind, e.where): e.why for e in collect(TextFolderData(root=str(root), **more)).findings
    }


@pytest.fixture
def texts(tmp_path):
    """A function that writes class folders: texts("set", good=5, bad=4)."""

    def write(folder="texts", **counts):
        root = tmp_path / folder
        for name, count in counts.items():
            (root / name).mkdir(parents=True)
            for index in range(count):
                (root / name / f"{index}.txt").write_text(f"{name} text {index}\n", "utf-8")
        return root

    return write


@pytest.fixture
def lines(tmp_path):
    """A function that writes class files: lines("set", good=5, bad=4)."""

    def write(folder="lines", **counts):
        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        for name, count in counts.items():
            told = "".join(f"{name} line {index}\n" for index in range(count))
            (root / f"{name}.txt").write_text(told, "utf-8")
        return root

    return write


def test_a_folder_per_class(texts):
    root = texts(good=4, bad=3)
    (root / "good" / "deep").mkdir()
    (root / "good" / "deep" / "x.MD").write_bytes("\ufeffcafé\r\n".encode())
    (root / "good" / ".hidden.txt").write_text("hidden")
    (root / "bad" / "scan.pdf").write_bytes(b"%PDF")
    (root / "README.md").write_text("About these texts.")
    examples = listed(root)
    assert examples.classes == ("bad", "good")
    assert np.bincount(examples.labels).tolist() == [3, 5]
    assert dict(zip(examples.ids, examples.content.texts, strict=True))["good/deep/x.MD"] == "café"
    assert examples.content.texts[0] == "bad text 0"
    kinds = {each.kind: each.why for each in examples.findings}
    assert set(kinds) == {"unsupported", "hidden_file"}
    assert "1 README.md" in kinds["unsupported"]
    assert "1 .pdf" in kinds["unsupported"]


def test_a_file_per_class(lines):
    root = lines(good=4, bad=3)
    (root / "good.txt").write_bytes(b"\xef\xbb\xbfone\r\n\n  two  \nthree\xe2\x80\xa8still\r\rfour")
    examples = listed(root)
    assert examples.ids[3:] == tuple(f"good.txt:{n:06d}" for n in (1, 3, 4, 6))
    assert examples.content.texts[3:] == ("one", "two", "three\u2028still", "four")
    assert examples.splits is None


@pytest.mark.parametrize("kind", ["texts", "lines"])
def test_a_folder_per_split(request, kind):
    write = request.getfixturevalue(kind)
    write("set/Training", good=4, bad=3)
    write("set/dev", good=1, bad=2)
    root = write("set/test", bad=2).parent
    examples = listed(root)
    assert examples.classes == ("bad", "good")
    counts = {name: int((examples.splits == name).sum()) for name in ("train", "val", "test")}
    assert counts == {"train": 7, "val": 3, "test": 2}
    first = {"texts": "Training/bad/0.txt", "lines": "Training/bad.txt:000001"}[kind]
    assert first in examples.ids


def test_layouts_that_are_mixed_are_refused(texts, lines, tmp_path):
    root = texts("one", good=3, bad=3)
    (root / "loose.txt").write_text("which class?")
    with pytest.raises(DataError, match=r"1 text is directly in(.|\n)*loose\.txt"):
        listed(root)
    texts("two/train", good=3, bad=3)
    lines("two/test", good=3, bad=3)
    with pytest.raises(DataError, match="use one layout"):
        listed(tmp_path / "two")
    with pytest.raises(DataError, match=r"test\.txt, train\.txt(.|\n)*look like splits"):
        listed(lines("three", train=3, test=3))
    lines("four/train", a=3, b=3)
    lines("four/test", c=3)
    with pytest.raises(DataError, match="look like splits but hold no class"):
        listed(tmp_path / "four")
    shutil.rmtree(root / "bad")
    (root / "bad").mkdir()
    (root / "bad" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"it has 1 \.png for data=image_folder"):
        listed(root)
    (tmp_path / "five").mkdir()
    with pytest.raises(DataError, match="no class folders and no class files"):
        listed(tmp_path / "five")


def test_files_that_are_no_texts_are_told_with_the_reason(texts):
    root = texts(good=6, bad=6)
    (root / "good" / "latin.txt").write_bytes("un café".encode("latin-1"))
    (root / "good" / "wide.txt").write_bytes("wide".encode("utf-16"))
    (root / "good" / "unmarked.txt").write_bytes("wide".encode("utf-16-be"))
    (root / "good" / "nul.txt").write_bytes(b"one\0two")
    (root / "bad" / "empty.txt").write_bytes(b"")
    (root / "bad" / "blank.txt").write_bytes(b" \n\t\n")
    os.mkfifo(root / "bad" / "pipe.txt")
    (root / "bad" / "gone.txt").symlink_to(root / "nowhere")
    (root.parent / "secret.txt").write_text("not in the root")
    (root / "bad" / "out.txt").symlink_to(root.parent / "secret.txt")
    told = found(root)
    assert told.pop(("broken_link", "bad/gone.txt"))
    assert told.pop(("outside_link", "bad/out.txt"))
    assert told == {
        ("other_encoding", ""): "3 texts of 18 are not utf-8, and read as what they seem to be, "
        "1 as cp1252, 1 as utf-16-be, 1 as utf-16: good/latin.txt, good/unmarked.txt, "
        "good/wide.txt.",
        ("not_text", "good/nul.txt"): "it has a NUL character, the first at character 3",
        ("empty_file", "bad/empty.txt"): "",
        ("empty_file", "bad/blank.txt"): "white space only",
        ("special_file", "bad/pipe.txt"): "a FIFO",
    }
    assert ("outside_link", "bad/out.txt") not in found(root, outside_links=True)


def test_lines_that_are_no_texts_cost_themselves_alone(lines):
    root = lines(good=9, bad=9)
    (root / "good.txt").write_bytes(b"fine\ncaf\xe9\nnul\0\nfine too\n")
    (root / "empty.txt").write_text("\n\n")
    told = found(root)
    assert told[("bad_encoding", "good.txt:000002")].startswith("byte 8 (0xe9)")
    assert ("not_text", "good.txt:000003") in told
    assert "'empty.txt' has no line with a text" in told[("empty_class", "")]
    assert listed(lines("latin", a=9, b=9), encoding="latin-1").content.texts[0] == "a line 0"
    (root / "empty.txt").unlink()
    (root / "good.txt").write_bytes(b"\xef\xbb\xbffine\ncaf\xe9\nfine too\n")
    assert set(found(root)) == {("bad_encoding", "good.txt:000002")}
    assert set(found(root, encoding="cp1252")) == {("bad_encoding", "good.txt")}
    (root / "good.txt").write_bytes("wide\nlines\n".encode("utf-16"))
    assert found(root) == {
        ("bad_encoding", "good.txt"): "it begins with the mark of UTF-16; perhaps it is utf-16"
    }


def admitted(root, report, **more):
    config = TextFolderData(root=str(root), **more)
    return load.for_training(config, RuntimeConfig(verbose=False), 0, report)


def test_what_is_wrong_can_be_left_out_or_moved(texts, lines, tmp_path):
    root = texts(good=6, bad=6)
    (root / "good" / "latin.txt").write_bytes(b"caf\x81\xe9")
    with pytest.raises(DataError, match=r"\(1 of 13 texts\)"):
        admitted(root, tmp_path / "r.json")
    assert len(admitted(root, tmp_path / "r.json", on_bad="skip").examples) == 12
    assert (root / "good" / "latin.txt").exists()
    assert len(admitted(root, tmp_path / "r.json", on_bad="quarantine").examples) == 12
    assert (tmp_path / "quarantine" / "texts" / "good" / "latin.txt").exists()
    assert len(admitted(root, tmp_path / "r.json").examples) == 12
    root = lines(good=6, bad=6)
    (root / "good.txt").write_bytes((root / "good.txt").read_bytes() + b"caf\xe9\n")
    assert len(admitted(root, tmp_path / "r.json", on_bad="quarantine").examples) == 12
    assert (root / "good.txt").exists()


def test_a_limit_leaves_files_unread(texts):
    root = texts(good=20, bad=20)
    kept = set(listed(root, limit=10).ids)
    left = next(each for each in listed(root).ids if each not in kept)
    (root / left).write_bytes(b"\xff\0")
    assert set(listed(root, limit=10).ids) == kept
    with pytest.raises(DataError, match=left):
        listed(root)


def test_identity_does_not_depend_on_the_roots_place(texts, tmp_path):
    root = texts(good=4, bad=4)
    here = listed(root)
    assert listed(shutil.copytree(root, tmp_path / "deep" / "er")).fingerprint == here.fingerprint
    (root / "good" / "0.txt").write_text("good text O\n")
    assert listed(root).fingerprint != here.fingerprint


def test_random_bytes_are_told_or_read(tmp_path):
    """Whatever the files hold: examples, or one clean message."""
    chance, told = random.Random(0), 0
    parts = [b"fine words\n", b"\r", b"\0", b"\xff\xfe", b"\xe9", b"\xef\xbb\xbf", b"", b"x" * 9999]
    weights = (60, *[1] * 8)
    for number in range(150):
        root = tmp_path / str(number)
        for name in ("a", "b"):
            for each in range(2):
                folder = root / name if number % 2 else root
                folder.mkdir(parents=True, exist_ok=True)
                content = b"".join(chance.choices([*parts, chance.randbytes(5)], weights, k=3))
                (folder / f"{name}{each}.txt").write_bytes(content)
        encoding = chance.choice(("utf-8", "utf-16", "cp1252", "utf-16-be", "shift_jis"))
        config = TextFolderData(root=str(root), encoding=encoding, val_fraction=0, test_fraction=0)
        assert collect(config).ids or collect(config).findings
        try:
            list_examples(config)
        except DataError:
            told += 1
    assert 30 < told < 150


@pytest.mark.parametrize(("train", "test"), [("training", "holdout"), ("my_train", "my_test")])
@pytest.mark.parametrize("kind", ["texts", "lines"])
def test_a_folder_per_split_by_any_usual_name(request, kind, train, test):
    write = request.getfixturevalue(kind)
    write(f"set/{train}", good=4, bad=3)
    root = write(f"set/{test}", good=1, bad=2).parent
    examples = listed(root)
    assert examples.classes == ("bad", "good")
    assert Counter(examples.splits.tolist()) == {"train": 7, "test": 3}


@pytest.mark.parametrize(
    "files", [("train", "test"), ("train_set", "test_set"), ("my_train", "my_holdout", "labels")]
)
def test_files_with_names_of_splits_are_no_classes(lines, files):
    root = lines(**dict.fromkeys(files, 4))
    with pytest.raises(DataError, match=r"look like splits, and here a file is a class"):
        listed(root)
    assert listed(lines("fine", training_shoes=4, boots=4)).classes == ("boots", "training_shoes")


def test_splits_in_class_folders(texts):
    root = texts("set/good", train=4, test=2).parent
    texts("set/bad", training_set=3, test=1)
    examples = listed(root)
    assert examples.classes == ("bad", "good")
    cells = Counter(zip(examples.splits.tolist(), examples.labels.tolist(), strict=True))
    assert cells == {("train", 1): 4, ("test", 1): 2, ("train", 0): 3, ("test", 0): 1}


GERMAN = "Sehr schön, größer für Müller"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "mac_roman"])
def test_texts_of_two_encodings_are_read_each_as_its_own(texts, encoding):
    root = texts(good=6, bad=6)
    (root / "good" / "0.txt").write_bytes(GERMAN.encode(encoding))
    (root / "good" / "1.txt").write_text(GERMAN)
    examples = collect(TextFolderData(root=str(root)))
    assert examples.content.texts.count(GERMAN) == 2
    (finding,) = examples.findings
    assert (finding.kind, finding.is_error) == ("other_encoding", False)
    assert f"1 text of 12 is not utf-8, and read as what they seem to be, 1 as {encoding}" in (
        finding.why
    )
    for path in [*root.glob("*/*.txt")][:9]:
        path.write_bytes(GERMAN.encode(encoding))
    (root / "good" / "1.txt").write_text(GERMAN)  # so there are texts in the one that is named
    assert {kind for kind, _ in found(root)} == {"other_encoding"}
    (root / "good" / "1.txt").write_bytes(GERMAN.encode(encoding))
    assert {kind for kind, _ in found(root)} == {"bad_encoding"}


def test_bytes_that_may_be_any_text_are_not_guessed(texts):
    root = texts(good=6, bad=6)
    (root / "good" / "0.txt").write_bytes(b"un caf\x81 \x8d\n")
    assert {kind for kind, _ in found(root)} == {"bad_encoding"}


@pytest.mark.parametrize("name", ["{}.eml", "{}", "{:04d}.7c53336b37003a9286aba55d2945844c"])
def test_texts_without_a_usual_ending_are_read_where_all_are_texts(tmp_path, name):
    for folder in ("spam", "ham"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            path = tmp_path / folder / name.format(number)
            path.write_text(f"From: a@b.c\n\nmail {number} of {folder}")
    assert recognise(Request("mails"), tmp_path).settings["data"] == "text_folder"
    examples = collect(TextFolderData(root=str(tmp_path)))
    assert examples.classes == ("ham", "spam")
    assert len(examples) == 6
    assert "mail 2 of spam" in examples.content.texts[5]
    assert list_texts(tmp_path / "spam").texts.texts == examples.content.texts[3:]
    (tmp_path / "ham" / name.format(9)).write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(DataError, match="no text"):
        listed(tmp_path)


SOURCES = {
    "mails": "From: a@x.de\nSubject: Hi\nMIME-Version: 1.0\n\nR3Jvw59lciBTYWxl\n",
    "web pages": "<!DOCTYPE html>\n<html><body><p>some text</p></body></html>",
    "rich text": "{\\rtf1\\ansi some text}",
    "": "Subject: a mail without parts\n\n<html> is a tag",
}


@pytest.mark.parametrize("name", SOURCES)
def test_mails_and_pages_are_read_with_a_warning(name, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            (tmp_path / folder / f"{number}.txt").write_text(f"{SOURCES[name]}{folder}{number}")
    examples = collect(TextFolderData(root=str(tmp_path)))
    why = [finding.why for finding in examples.findings if finding.kind == "source_text"]
    assert len(why) == bool(name)
    assert not name or why[0].startswith(f"4 texts of 4 are {name}")
