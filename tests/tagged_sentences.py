"""Sentences whose entities can be learned: a person stands after "Mr", a place after "in"."""

import random

NAMES = ("Adams", "Baker", "Clark", "Davis", "Evans", "Moore")
PLACES = ("Berlin", "Paris", "London", "Madrid", "Rome")


def sentence(chance):
    """Pairs of a word and its tag; the same words are persons and places."""
    rows = [(each, "O") for each in chance.choice([["now"], ["so"], []])]
    rows += [("Mr", "O"), (chance.choice(NAMES + PLACES), "B-PER")]
    if chance.random() < 0.4:
        rows.append((chance.choice(NAMES), "I-PER"))
    rows += [(chance.choice(["was", "is"]), "O"), ("in", "O")]
    return [*rows, (chance.choice(PLACES + NAMES), "B-LOC")]


def sentences(count, seed=0):
    chance = random.Random(seed)
    return [sentence(chance) for _ in range(count)]


def conll(rows):
    """As a file has them."""
    return "\n".join("".join(f"{word} {tag}\n" for word, tag in each) for each in rows)


def write_folder(folder, train=200, held_out=40):
    folder.mkdir(parents=True)
    for seed, (name, count) in enumerate((("train", train), ("dev", held_out), ("test", held_out))):
        (folder / f"{name}.txt").write_text(conll(sentences(count, seed)), encoding="utf-8")
    return folder
