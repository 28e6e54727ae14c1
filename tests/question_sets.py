"""Sets of questions whose answers can be learned in seconds, as SQuAD writes them."""

import json
from pathlib import Path

import numpy as np

NAMES = ("ann", "bob", "cid", "dee", "eve", "fay", "gus", "hal")
TOWNS = ("rome", "oslo", "bonn", "lima", "kiev", "bern", "cork", "nice")


def articles(count: int, unanswerable: bool = False, seed: int = 0, filler: int = 0) -> list:
    """Articles of a text each: `... < town > ...`; what stands between the marks is asked for.

    Args:
        count: articles.
        unanswerable: every other text has no marks.
        seed: of what is drawn.
        filler: words before the sentence, at most.
    """
    random, found = np.random.default_rng(seed), []
    for number in range(count):
        name, town = random.choice(NAMES), random.choice(TOWNS)
        ahead = " ".join(random.choice(TOWNS, int(random.integers(0, filler + 1))))
        has_answer = not unanswerable or number % 2 == 0
        text = f"{ahead} {name} in < {town} > now".strip()
        if not has_answer:
            text = f"{ahead} {name} in {town} now".strip()
        answers = [{"text": town, "answer_start": text.index("<") + 2}] if has_answer else []
        question = {"id": f"q{seed}-{number}", "question": "where?", "answers": answers}
        if unanswerable:
            question["is_impossible"] = not has_answer
        found.append({"title": f"t{seed}-{number}",
                      "paragraphs": [{"context": text, "qas": [question]}]})  # fmt: skip
    return found


def write(path: Path, found: list, version: str = "1.1") -> Path:
    """A file as SQuAD's."""
    path.write_text(json.dumps({"version": version, "data": found}), encoding="utf-8")
    return path
