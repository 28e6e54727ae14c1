"""Sets of questions whose answers can be learned in seconds, as SQuAD writes them."""

import json
from pathlib import Path

import numpy as np

from fmkit.models.tokenizers.subword import WordPieceModel
from fmkit.models.tokenizers.tokenizer import TextTokenizer

NAMES = ("ann", "bob", "cid", "dee", "eve", "fay", "gus", "hal")
TOWNS = ("rome", "oslo", "bonn", "lima", "kiev", "bern", "cork", "nice")
OTHERS = ("and", "then", "so", "it", "was", "that", "day", "in", "now", "lives")
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def articles(count: int, unanswerable: bool = False, seed: int = 0, filler: int = 0) -> list:
    """Articles of a text each, in which somebody lives in a town; that is asked.

    Args:
        count: articles.
        unanswerable: in every third text nobody lives anywhere.
        seed: of what is drawn.
        filler: words around the sentence, at most.
    """
    random, found = np.random.default_rng(seed), []
    for number in range(count):
        name, town = random.choice(NAMES), random.choice(TOWNS)
        ahead = int(random.integers(0, filler + 1))
        words = [*random.choice(OTHERS, ahead), "so", name, "lives", "in", town, "now",
                 *random.choice(OTHERS, filler - ahead)]  # fmt: skip
        has_answer = not unanswerable or number % 3 > 0
        if not has_answer:
            words = [each for each in words if each not in (name, town)]
        text = " ".join(words)
        answers = [{"text": town, "answer_start": text.index(town)}] if has_answer else []
        question = {"id": f"q{seed}-{number}", "question": "Lives in?", "answers": answers}
        if unanswerable:
            question["is_impossible"] = not has_answer
        paragraph = {"context": text, "qas": [question]}
        found.append({"title": f"t{seed}-{number}", "paragraphs": [paragraph]})
    return found


def write(path: Path, found: list, version: str = "1.1") -> Path:
    """A file as SQuAD's."""
    path.write_text(json.dumps({"version": version, "data": found}), encoding="utf-8")
    return path


def write_tokenizer(folder: Path) -> Path:
    """A tokenizer that knows the words of these texts."""
    words = (*NAMES, *TOWNS, *OTHERS, "who", "?", "##x")
    pieces = WordPieceModel((*_MARKS, *words))
    folder.mkdir(parents=True)
    TextTokenizer(pieces, "bert", 2, 3, 4, special_ids=[0]).save(folder)
    return folder
