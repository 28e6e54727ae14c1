"""Entities of tags in any scheme, and any mistake a model may make in one."""

import numpy as np
import pytest
from conlleval import entities

from fmkit.core.errors import DataError
from fmkit.data.content import tags
from fmkit.data.content.tags import Tags

KINDS = ("LOC", "PER", "X-Y")
NAMES = ("O", *(f"{prefix}-{kind}" for kind in KINDS for prefix in "BIES"))


def found(sentences, names=NAMES):
    number = {name: place for place, name in enumerate(names)}
    flat = np.array([number[each] for one in sentences for each in one], np.int64)
    lengths = np.array([len(each) for each in sentences])
    scheme = tags.tag_scheme(names)
    ends = np.cumsum(lengths)
    rows = [set() for _ in sentences]
    spans = tags.entity_spans(flat, lengths, scheme)
    for begin, end, kind in zip(spans.begins, spans.ends, spans.kinds, strict=True):
        at = int(np.searchsorted(ends, begin, side="right"))
        first = int(begin) - (int(ends[at]) - int(lengths[at]))
        rows[at].add((scheme.types[kind], first, first + int(end - begin) - 1))
    return rows


def test_any_tags_give_the_entities_of_conlleval():
    drawn = np.random.default_rng(0)
    sentences = [
        drawn.choice(NAMES, drawn.integers(1, 9), p=[0.4, *[0.05] * 12]).tolist()
        for _ in range(3000)
    ]
    sentences.insert(5, [])
    assert found(sentences) == [entities(each) for each in sentences]


@pytest.mark.parametrize(
    "sentence",
    [
        ["I-PER", "I-PER", "O", "I-LOC", "B-LOC"],  # IOB1
        ["B-PER", "I-PER", "O", "B-LOC", "B-LOC"],  # IOB2
        ["B-PER", "E-PER", "O", "S-LOC", "S-LOC"],  # BIOES
        ["B-PER", "L-PER", "O", "U-LOC", "U-LOC"],  # BILOU
        ["B-PER", "M-PER", "O", "S-LOC", "S-LOC"],  # BMES
    ],
)
def test_schemes_mean_the_same(sentence):
    names = tags.order_tags(sentence)
    assert found([sentence], names) == [{("PER", 0, 1), ("LOC", 3, 3), ("LOC", 4, 4)}]


@pytest.mark.parametrize(
    ("outside", "spelling"),
    [
        ("O", "{0}_{1}"),
        ("o", "{2}-{3}"),
        ("O", "{2}_{1}"),
        ("O", "{0}:{1}"),
        ("O", "{1}-{0}"),
        ("o", "{3}_{2}"),
    ],
)
@pytest.mark.parametrize("prefixes", ["BIBB", "BEBB", "BLUU"])
def test_other_spellings_are_the_same_entities(outside, spelling, prefixes):
    standard = ["O", "B-PER", "I-PER", "O", "B-LOC", "B-LOC"]
    pairs = zip(prefixes, ["PER", "PER", "LOC", "LOC"], strict=True)
    first, second, third, last = (
        spelling.format(prefix, kind, prefix.lower(), kind.lower()) for prefix, kind in pairs
    )
    sentence = [outside, first, second, outside, third, last]
    names = tags.order_tags(sentence)
    assert names[0] == outside
    assert tags.outside_tag(names) == 0
    spans = [{(kind.upper(), *ends) for kind, *ends in row} for row in found([sentence], names)]
    assert spans == found([standard], tags.order_tags(standard)) == [entities(standard)]


def test_a_prefix_alone_is_one_type():
    names = tags.order_tags(["B", "I", "O"])
    assert names == ("O", "B", "I")
    assert found([["B", "I", "O", "I"]], names) == [{("_", 0, 1), ("_", 3, 3)}]


@pytest.mark.parametrize(
    "names",
    [
        ("ADJ", "NOUN", "O"),
        ("-LRB-", "NN", "PRP$"),
        ("O", "art-film", "person-actor"),
        ("O", "PER", "LOC"),
        ("S_x", "B_y", "I_z"),  # another form than B-PER, and no O
        ("o", "noun", "verb"),
        ("B", "I", "S"),  # parts of speech of a single letter
        ("O",),
    ],
)
def test_names_without_prefixes_mark_no_entities(names):
    assert tags.tag_scheme(names) is None


def test_the_order_is_that_of_outside_then_types_then_prefixes():
    assert tags.order_tags(["I-B", "B-A", "O", "I-A", "B-B"]) == ("O", "B-A", "I-A", "B-B", "I-B")
    assert tags.order_tags(["VERB", "ADJ"]) == ("ADJ", "VERB")


def test_annotations_are_matched_by_name():
    mine = Tags(("B-A", "O"), (np.array([0, 1, 1], np.int32), np.array([1], np.int32)))
    other = mine.align(("O", "B-A", "I-A"))
    assert [each.tolist() for each in other.values] == [[1, 0, 0], [0]]
    assert [other.identity(each) for each in range(2)] == [mine.identity(each) for each in range(2)]
    with pytest.raises(DataError, match="tags do not match: 'B-A' was not in the training data"):
        mine.align(("O", "B-B"))
