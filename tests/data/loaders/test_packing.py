"""Documents become windows of tokens: none is lost, none is mixed, and it is done once."""

import itertools
import threading
import tracemalloc

import numpy as np
import pytest

from fmkit.config.schema.data import TextFilesData, TextLinesData
from fmkit.core.errors import DataError, ResourceError
from fmkit.data import dataset, splits
from fmkit.data.content.texts import Texts
from fmkit.data.dataset import Dataset
from fmkit.data.examples import from_names
from fmkit.data.loaders import packing
from fmkit.data.loaders.text_loader import TextLoader
from fmkit.store import array_cache
from fmkit.store.array_cache import ArrayCache

START, END, MASK = 1, 2, 3


class Bytes:
    """A tokenizer of bytes, with marks."""

    size, start, end, mask, special = 260, START, END, MASK, (0, 1, 2, 3)

    def __init__(self):
        self.calls = 0

    def tokens(self, texts):
        self.calls += 1
        found = (np.frombuffer(each.encode(), np.uint8) for each in texts)
        return [each.astype(np.int32) + 4 for each in found]

    def fingerprint(self):
        return "bytes"


def read(row):
    return bytes((each - 4) % 256 if each > 3 else b"<>|"[each - 1] for each in row).decode()


def pack(data, cache, length=16, is_causal=False, tokenizer=None, tell=lambda done, total: None):
    settings = packing.Packing(tokenizer or Bytes(), length, is_causal)
    return packing.pack(data, settings, ArrayCache(cache, 2**30), "test", tell)


def rows(data, split):
    return data.examples.content.rows.read(data.splits[split])


def content(data, split, around):
    """All tokens of a split, the marks around its windows taken off."""
    found = rows(data, split)
    return np.concatenate([each[around : len(each) - around] for each in found])


@pytest.fixture
def lines(tmp_path):
    text = "\n".join(f"this is document {each}" for each in range(60))
    (tmp_path / "a.txt").write_text(text)
    return dataset.read(TextLinesData(root=str(tmp_path / "a.txt")), 0)


def expected(data, split):
    return [part.text for part in data.examples.content.take(data.splits[split]).text_parts()]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_windows_of_a_model_that_sees_all_have_marks_like_a_text(lines, split, tmp_path):
    packed = pack(lines, tmp_path)
    found = rows(packed, split)
    assert {len(each) for each in found[:-1]} == {16}
    assert all((each[0], each[-1]) == (START, END) for each in found)
    told = read(content(packed, split, 1))
    assert told == "".join(f"<{each}>" for each in expected(lines, split))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_windows_of_a_causal_model_are_one_stream(lines, split, tmp_path):
    packed = pack(lines, tmp_path, is_causal=True)
    told = read(content(packed, split, 0))
    assert told == "".join(f"<{each}>" for each in expected(lines, split))


def test_what_is_known_of_windows(lines, tmp_path):
    packed = pack(lines, tmp_path)
    counts = {name: len(each) for name, each in packed.splits.items()}
    assert (packed.spec.classes, packed.spec.counts) == ((), counts)
    assert packed.spec.fingerprint == lines.spec.fingerprint
    assert packed.spec.split_fingerprint == lines.spec.split_fingerprint
    examples = packed.examples
    assert len(examples) == sum(counts.values()) == len(examples.ids)
    assert (examples.ids[0], examples.ids[-1]) == (
        "window-000001",
        f"window-{len(examples):06d}",
    )
    members = np.sort(np.concatenate(list(packed.splits.values())))
    np.testing.assert_array_equal(members, np.arange(len(examples)))


def test_a_file_that_is_cut_goes_on_where_its_pieces_are_in_one_split(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"line {each}\n" for each in range(2000)))
    data = dataset.read(TextFilesData(root=str(tmp_path / "a.txt")), 0)
    packed = pack(data, tmp_path, length=64)
    told = {split: read(content(packed, split, 1)) for split in data.splits}
    lines = {name: text.translate({60: "", 62: ""}).splitlines() for name, text in told.items()}
    assert sorted(itertools.chain(*lines.values())) == sorted(
        f"line {each}" for each in range(2000)
    )
    for split, text in told.items():
        runs = 1 + int((np.diff(data.splits[split]) > 1).sum())
        assert text.count("<") == text.count(">") == runs


def test_texts_with_classes_are_packed_by_their_own_splits(tmp_path):
    texts = tuple(f"text number {each}" for each in range(30))
    pairs = tuple(f"pair {each}" for each in range(30))
    examples = from_names(
        [f"row-{each}" for each in range(30)], ["a", "b"] * 15, Texts(texts, pairs)
    )
    made = splits.make_splits(examples, 0.2, 0.2, 0)
    data = Dataset(examples, made, splits.describe(examples, made))
    packed = pack(data, tmp_path)
    for split, members in made.items():
        wanted = "".join(f"<text number {each}><pair {each}>" for each in members)
        assert read(content(packed, split, 1)) == wanted
    assert packed.spec.classes == ()


def test_a_text_that_questions_share_is_read_once(tmp_path):
    shared = "".join(["one ", "text"]), "".join(["another ", "text"])
    pairs = tuple(shared[each // 5] for each in range(10))
    texts = Texts(tuple(f"question {each}" for each in range(10)), pairs)
    examples = from_names([f"row-{each}" for each in range(10)], ["a"] * 10, texts)
    everything = {"all": np.arange(10)}
    data = Dataset(examples, everything, splits.describe(examples, everything))
    found = read(content(pack(data, tmp_path), "all", 1))
    assert [found.count(each) for each in (*shared, "question")] == [1, 1, 10]


def test_the_tokens_are_computed_once(lines, tmp_path):
    tokenizer = Bytes()
    first = pack(lines, tmp_path, tokenizer=tokenizer)
    assert tokenizer.calls
    before = tokenizer.calls
    second = pack(lines, tmp_path, tokenizer=tokenizer)
    assert tokenizer.calls == before
    for split in lines.splits:
        np.testing.assert_array_equal(content(first, split, 1), content(second, split, 1))
    pack(lines, tmp_path, length=32, tokenizer=tokenizer)
    assert tokenizer.calls > before


def test_another_seed_or_file_makes_other_windows(lines, tmp_path):
    config = TextLinesData(root=str(tmp_path / "a.txt"))
    first = pack(lines, tmp_path)
    other = pack(dataset.read(config, 1), tmp_path)
    assert read(content(first, "val", 1)) != read(content(other, "val", 1))
    changed = (tmp_path / "a.txt").read_text().replace("this", "that")
    (tmp_path / "a.txt").write_text(changed)
    again = pack(dataset.read(config, 0), tmp_path)
    assert "that is document" in read(content(again, "train", 1))


def test_two_jobs_at_once_compute_once(lines, tmp_path):
    tokenizers = [Bytes(), Bytes()]
    jobs = [
        threading.Thread(target=pack, args=(lines, tmp_path), kwargs={"tokenizer": each})
        for each in tokenizers
    ]
    for each in jobs:
        each.start()
    for each in jobs:
        each.join()
    assert sorted(bool(each.calls) for each in tokenizers) == [False, True]


def test_what_a_killed_job_leaves_is_not_trusted(lines, tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(array_cache.atomic_dir, "_write_synced", killed)
        with pytest.raises(KeyboardInterrupt):
            pack(lines, tmp_path)
    whole = content(pack(lines, tmp_path), "train", 1)
    assert whole.size
    (shard,) = (tmp_path / "features").glob("*/0-*.npy")
    written = bytearray(shard.read_bytes())
    written[-1] ^= 1
    shard.write_bytes(written)
    np.testing.assert_array_equal(content(pack(lines, tmp_path), "train", 1), whole)


def test_a_split_without_text_is_refused(tmp_path):
    examples = from_names(["a", "b", "c"], ["x"] * 3, Texts(("text", "", "other")))
    made = {"train": np.array([0, 2]), "val": np.array([1])}
    data = Dataset(examples, made, splits.describe(examples, made))
    with pytest.raises(DataError, match="the val split has no text"):
        pack(data, tmp_path, is_causal=True)


def test_a_cache_that_cannot_be_written_is_told(lines, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"runtime\.cache_dir"):
        pack(lines, tmp_path / "file")


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "_CHARACTERS_AT_ONCE", 2**14)
    monkeypatch.setattr(packing, "_BUFFERED_TOKENS", 2**12)
    monkeypatch.setattr(array_cache, "_SHARD_BYTES", 2**16)
    monkeypatch.setattr("fmkit.data.content.documents.CHUNK", 2**14)
    monkeypatch.setattr("fmkit.data.sources.text_corpus._SMALL", 2**10)
    peaks = []
    for size in (1, 8):
        path = tmp_path / f"{size}.txt"
        path.write_text("".join(f"a line of text with number {e}\n" for e in range(size * 10_000)))
        data = dataset.read(TextLinesData(root=str(path)), 0)
        tracemalloc.start()
        pack(data, tmp_path, length=2048)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert path.stat().st_size > 2_500_000
    assert peaks[1] < peaks[0] + 300_000


def test_a_window_takes_few_bytes_of_memory(tmp_path):
    peaks, counts = [], []
    for size in (1, 8):
        path = tmp_path / f"{size}.txt"
        path.write_text("".join(f"a line of text with number {e}\n" for e in range(size * 10_000)))
        data = dataset.read(TextLinesData(root=str(path)), 0)
        pack(data, tmp_path, length=16)
        tracemalloc.start()
        counts.append(len(pack(data, tmp_path, length=16).examples))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    (small, one), (large, other) = zip(peaks, counts, strict=True)
    assert other > 100_000
    # Its place in a split takes 8, its label 4, its length and split 4, and 2 of them twice.
    assert (large - small) / (other - one) < 24


def test_the_loader_goes_through_the_windows_in_the_order_of_the_seed(lines, tmp_path):
    packed = pack(lines, tmp_path)
    loader = TextLoader(
        packed.examples, np.zeros(len(packed.examples), np.int32), tokenizer=Bytes(),
        max_length=16, batch_size=4,
    )  # fmt: skip
    train = packed.splits["train"]
    steps = loader.steps_per_epoch(len(train))
    epoch = [tokens for tokens, _ in loader.train(train, 0, steps).as_numpy_iterator()]
    seen = sorted(read(row[row >= 0]) for batch in epoch for row in batch)
    assert seen == sorted(read(row) for row in rows(packed, "train"))
    later = loader.train(train, 0, 2, start=steps - 2).as_numpy_iterator()
    for (tokens, _), wanted in zip(later, epoch[-2:], strict=True):
        np.testing.assert_array_equal(tokens, wanted)
    assert loader.describe().startswith(f"{len(packed.examples)} windows of 16 tokens")
