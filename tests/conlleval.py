"""What entities are, after the rules of the `conlleval` script, word by word: a slow reference."""


def entities(tags):
    """Triples (type, first word, last word) of one sentence's tags."""
    found, begun, before = [], None, ("O", "")
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        here = (prefix, kind)
        if begun is not None and _ends(before, here):
            found.append((before[1], begun, place - 1))
            begun = None
        if _begins(before, here):
            begun = place
        before = here
    return set(found)


def _ends(before, here):
    (last, kind), (prefix, other) = before, here
    if last in ("E", "S"):
        return True
    if last in ("B", "I") and prefix in ("B", "S", "O"):
        return True
    return last != "O" and kind != other


def _begins(before, here):
    (last, kind), (prefix, other) = before, here
    if prefix in ("B", "S"):
        return True
    if last in ("E", "S", "O") and prefix in ("E", "I"):
        return True
    return prefix != "O" and kind != other


def counts(truth, guess):
    """By type: right, found and there, over many sentences."""
    kinds = {}
    for one, other in zip(truth, guess, strict=True):
        true, mine = entities(one), entities(other)
        for name, those in (("right", true & mine), ("found", mine), ("there", true)):
            for kind, *_ in those:
                row = kinds.setdefault(kind, {"right": 0, "found": 0, "there": 0})
                row[name] += 1
    return kinds


def f1(right, found, there):
    return 2 * right / (found + there) if found + there else 0.0
