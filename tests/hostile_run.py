"""A finished run whose names and texts are meant to do harm to whoever shows them."""

import json

import pandas as pd

CLASSES = ['<script>alert("x")</script>', "$\\alpha$ & \u05d0\u05d1", "two\nlines\u202e"]


def with_hostile_names(folder):
    """A run whose classes, ids, texts and name are meant to do harm."""
    (folder / "metrics.jsonl").unlink()  # curves take time
    text = (folder / "eval" / "test.json").read_text()
    metrics = json.loads(text)
    names = dict(zip(metrics["confusion_classes"], CLASSES, strict=True))
    metrics["confusion_classes"] = CLASSES
    metrics["per_class"] = {names[key]: row for key, row in metrics["per_class"].items()}
    (folder / "eval" / "test.json").write_text(json.dumps(metrics))
    table = pd.read_parquet(folder / "eval" / "test.parquet")
    for column in ("label", "prediction"):
        table[column] = table[column].map(names)
    table["id"] = [f'"><img src=x onerror=alert({k})>\n' for k in range(len(table))]
    table.to_parquet(folder / "eval" / "test.parquet")
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "name": CLASSES[0]}))
    content = {name: {"text": "<b onclick=alert(1)>x</b>"} for name in table["id"]}
    kept = {"schema": 1, "examples": content, "batch": {CLASSES[0]: {"augment": "<i>", "images": [
        "https://example.org/x.png", "data:image/svg+xml,<svg onload=alert(1)>"]}}}  # fmt: skip
    (folder / "samples.json").write_text(json.dumps(kept))
    return folder
