"""Texts as batches: exact, of like length, the same from any step on."""

import numpy as np
import pytest

from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.loaders import text_loader
from fmkit.data.loaders.base import restore_order
from fmkit.data.loaders.text_loader import PADDING, TextLoader

CLASSES = ("even", "odd")


class Letters:
    """A token a character, between marks; what is needed of a tokenizer here."""

    def encode(self, texts, pairs, max_length):
        whole = [[0, *map(ord, text), 1] for text in texts]
        cut = [[*row[: max_length - 1], 1] if len(row) > max_length else row for row in whole]
        rows = [np.array(row, np.int32) for row in cut]
        return rows, np.array([len(row) for row in whole])

    def fingerprint(self):
        return "letters"


def examples(count, longest=40):
    drawn = np.random.default_rng(0)
    texts = tuple("x" * length for length in drawn.integers(0, longest, count))
    labels = np.arange(count, dtype=np.int32) % 2
    return Examples(tuple(f"row-{i:06d}" for i in range(count)), labels, CLASSES, Texts(texts))


def loader(found, batch_size=4, max_length=32, **options):
    return TextLoader(
        found, found.labels, tokenizer=Letters(), max_length=max_length, batch_size=batch_size,
        num_classes=2, **options,
    )  # fmt: skip


def batches(dataset):
    return [tuple(each) for each in dataset.as_numpy_iterator()]


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a, b)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_rows_are_filled_up_on_the_right_and_cut_ones_are_counted():
    found = examples(30)
    texts = loader(found)
    (tokens, targets), *_ = batches(texts.ordered(np.array([3, 0, 7])))
    assert tokens.dtype == np.int32
    assert tokens.shape[1] in (16, 32)
    for row, index in zip(tokens, (3, 0, 7), strict=True):
        expected = Letters().encode([found.content.texts[index]], None, 32)[0][0]
        np.testing.assert_array_equal(row[: len(expected)], expected)
        assert (row[len(expected) :] == PADDING).all()
    np.testing.assert_array_equal(targets.argmax(1), found.labels[[3, 0, 7]])
    cut = sum(len(text) + 2 > 32 for text in found.content.texts)
    assert f"{cut} ({cut / 30:.0%}) cut to model.max_length=32" in texts.describe()
    assert texts.rows.lengths.max() == 32


def test_a_resume_starts_at_any_step():
    found, indices = examples(22), np.arange(22)
    texts = loader(found, class_weights=[1.0, 3.0])
    whole = batches(texts.train(indices, seed=3, steps=14))
    assert [len(each[0]) for each in whole] == [4, 4, 4, 4, 4, 2] * 2 + [4, 4]
    for first in (1, 5, 6, 13):
        rest = loader(found, class_weights=[1.0, 3.0]).train(indices, 3, 14 - first, first)
        assert same(batches(rest), whole[first:])
    assert not same(batches(texts.train(indices, seed=4, steps=14)), whole)


def test_batches_are_of_like_length():
    found = examples(600, longest=200)
    texts = loader(found, batch_size=16, max_length=256)
    filled = [tokens for tokens, _ in batches(texts.train(np.arange(600), 0, 38))]
    padding = sum((each == PADDING).sum() for each in filled) / sum(each.size for each in filled)
    ordered = [tokens for tokens, _ in batches(texts.ordered(np.arange(600)))]
    without = sum((each == PADDING).sum() for each in ordered) / sum(each.size for each in ordered)
    assert padding < 0.15 < 0.4 < without


def hidden(tokens, random):
    """Every real token plus a number that is drawn, and where they are."""
    drawn = random.integers(0, 1000, tokens.shape).astype(np.int32)
    return (tokens, np.where(tokens == PADDING, 0, drawn)), tokens


def test_a_task_may_draw_inputs_and_targets_of_its_own():
    found, indices = examples(22), np.arange(22)
    texts = loader(found, prepare_batch=hidden, num_inputs=2)
    whole = batches(texts.train(indices, 0, 12))
    assert all(len(inputs) == 2 for inputs, _ in whole)
    rest = batches(loader(found, prepare_batch=hidden, num_inputs=2).train(indices, 0, 5, 7))
    for (one, _), (other, _) in zip(whole[7:], rest, strict=True):
        np.testing.assert_array_equal(one[1], other[1])
    assert not np.array_equal(whole[0][0][1][:2, :8], whole[6][0][1][:2, :8])
    twice = [batches(texts.ordered(indices)) for _ in range(2)]
    for (one, _), (other, _) in zip(*twice, strict=True):
        np.testing.assert_array_equal(one[1], other[1])


def test_targets_must_be_as_many_as_texts():
    found = examples(4)
    with pytest.raises(ValueError, match="3 targets for 4 examples"):
        TextLoader(found, found.labels[:3], tokenizer=Letters(), max_length=8, batch_size=2)


def test_no_pipeline_is_tuned_while_it_runs():
    texts = loader(examples(10))
    for dataset in (texts.train(np.arange(10), 0, 3), texts.ordered(np.arange(10))):
        assert dataset.options().autotune.enabled is False


@pytest.mark.parametrize("window", [5, 16, 1000])
@pytest.mark.parametrize("count", [0, 3, 4, 50])
def test_a_pass_in_the_order_of_lengths_is_restored_and_has_little_padding(
    monkeypatch, window, count
):
    monkeypatch.setattr(text_loader, "_PASS_WINDOW", window)
    whole = examples(60, longest=200)
    texts, indices = loader(whole, max_length=200), np.random.default_rng(1).permutation(60)[:count]
    order = texts.pass_order(indices)
    assert sorted(order) == list(range(count))
    assert np.array_equal(order, texts.pass_order(indices))
    passed = [tokens for tokens, _ in texts.ordered(indices[order]).as_numpy_iterator()]
    restored = list(restore_order(([(rows >= 0).sum(axis=1)] for rows in passed), order))
    lengths = np.concatenate([np.zeros(0, int), *(rows for (rows,) in restored)])
    np.testing.assert_array_equal(lengths, texts.rows.lengths[indices])
    if count == 50 and window == 1000:
        plain = [tokens for tokens, _ in texts.ordered(indices).as_numpy_iterator()]
        assert sum(rows.size for rows in passed) < 0.8 * sum(rows.size for rows in plain)
        first = (passed[0] >= 0).sum(axis=1)  # what an engine is checked on has padding
        assert first.min() <= np.sort(lengths)[4]
        assert first.max() == lengths.max()


def test_rows_of_a_pass_come_as_soon_as_they_can():
    order = np.array([2, 0, 1, 3, 5, 4])
    rows = iter([np.array([20, 0, 10]), np.array([30, 50]), np.array([40])])
    taken = []

    def batches():
        for row in rows:
            taken.append(len(row))
            yield row, -row

    restored = restore_order(batches(), order)
    for expected, read in (([0, 10, 20], 3), ([30], 5), ([40, 50], 6)):
        values, negatives = next(restored)
        assert (values.tolist(), sum(taken)) == (expected, read)
        assert negatives.tolist() == [-value for value in expected]
    assert list(restored) == []
