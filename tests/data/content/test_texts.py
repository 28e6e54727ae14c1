"""Texts as a stream: all of them, in order, cut between words where they are long."""

import numpy as np
import pytest

from fmkit.config.schema.data import TextFilesData, TextLinesData
from fmkit.core.errors import DataError
from fmkit.data import dataset
from fmkit.data.content.texts import Texts, split_text, text_passages
from fmkit.data.examples import from_names


def test_a_long_text_is_cut_before_white_space_and_nothing_is_lost():
    text = " ".join(f"word{each}" for each in range(200)) + "\n" + "x" * 95 + " end"
    found = list(split_text(text, 40))
    assert "".join(found) == text
    assert max(map(len, found)) <= 40
    inside = [each for each in found[1:] if not each[0].isspace()]
    assert inside == [each for each in inside if set(each) <= set("x end")]  # of the long word only
    assert list(split_text("", 40)) == []
    assert list(split_text("a" * 41, 40)) == ["a" * 40, "a"]


def test_the_texts_of_a_split_come_in_order(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(f"line {each}" for each in range(100)))
    data = dataset.read(TextLinesData(root=str(tmp_path / "a.txt")), 0)
    whole = [f"line {each}" for each in range(100)]
    assert list(text_passages(data.examples, np.arange(100))) == whole
    told = []
    some = text_passages(data.examples, data.splits["val"], lambda *each: told.append(each))
    assert list(some) == [whole[each] for each in data.splits["val"]]
    assert told == [(each, 15) for each in range(15)]


def test_both_texts_of_a_pair_are_there():
    texts = Texts(("one", "two"), ("eins", "zwei"))
    found = from_names(["a", "b"], ["x", "y"], texts)
    assert list(text_passages(found, np.array([0, 1]))) == [
        "one",
        "eins",
        "two",
        "zwei",
    ]
    assert texts.text_size() == 14


def test_a_file_that_broke_meanwhile_is_told(tmp_path):
    for each in range(20):
        (tmp_path / f"{each}.txt").write_text("fine")
    data = dataset.read(TextFilesData(root=str(tmp_path)), 0)
    (tmp_path / "3.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match="cannot be read any more: byte 0"):
        list(text_passages(data.examples, np.arange(20)))
    (tmp_path / "1.txt").unlink()
    with pytest.raises(DataError, match="cannot be read any more"):
        list(text_passages(data.examples, np.arange(20)))
