"""The one import rule: a file imports from lower floors, or from earlier files of its room."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fmkit"
FLOORS = {
    "errors": 0, "untrusted": 0, "lookup": 0, "faults": 0, "memory": 0, "files": 0, "unseen": 0,
    "strict_yaml": 0, "redaction": 0, "console": 0, "spec": 0, "signals": 0,
    "config": 1, "store": 1,
    "data": 2, "models": 2, "optim": 2,
    "tasks": 3,
    "train": 4,
    "evaluate": 5, "export": 5,
    "report": 6,
    "tables": 7, "checkup": 7, "plugins": 7, "failures": 7, "reopen": 7, "again": 7, "jobs": 7,
    "uses": 7, "vocabulary": 7, "guide": 7, "commands": 7, "cli": 7,
}  # fmt: skip
ORDER = {
    "": ["errors", "untrusted", "lookup", "faults", "memory", "files", "unseen", "strict_yaml",
         "redaction", "console", "spec", "signals", "tables", "checkup", "plugins", "failures",
         "reopen", "again", "jobs", "uses", "vocabulary", "guide", "commands", "cli"],
    "config": ["data_schema", "task_schema", "schema", "kinds", "documentation", "amounts",
               "durations", "encodings", "trainable", "source", "user_file", "suggest",
               "option_files", "interpolation", "ranges", "labels", "problem", "fits",
               "combinations", "validate", "facts", "recipe", "refused", "command_line",
               "recorded", "objectives", "compose", "chosen", "check"],
    "store": ["lock", "sealed", "machine", "run", "events_file", "metrics_log", "index", "finished",
              "show", "features", "cached"],
    "models": ["backbone", "adapters", "blocks", "families", "preprocessing", "arrays",
               "safetensors_file", "zip_file", "npz_file", "hdf5_file", "keras_file",
               "weights_file", "matching", "weights", "installed", "torch_file", "text_pooling",
               "heads", "shared", "pieces", "tokenizers", "piece_training", "piece_figures",
               "word_tokens", "chat", "sentence_rows", "layer_settings", "text_input",
               "small", "small_text", "text_families", "presets", "hub_tokenizers", "text_hub",
               "applications", "packaged", "packaged_text", "hub", "table"],
    "optim": ["schedules", "rates", "optimizers"],
    "tasks": ["base", "linear", "tokens", "entity_score", "token_classification",
              "classification", "multi_label", "regression", "masked_lm", "causal_lm",
              "instruction", "answer_scores", "answer_search", "answer_watch",
              "question_answering", "preference_rows", "dpo", "neighbours", "self_supervised",
              "contrastive", "simmim", "mae", "masked_image", "table", "joint"],
    "train": ["phases", "freeze", "proof", "devices", "learner", "part", "average", "named",
              "tensor_file", "room", "checkpoint", "progress", "reading", "reference", "ancestor",
              "building", "assemble", "survey", "stopper", "callbacks", "guard", "state", "resume",
              "keeper", "cut", "extract", "feature_key", "features", "session", "material", "loop"],
    "evaluate": ["metrics", "resampling", "judge", "multi_label", "regression", "answers",
                 "preferences", "loaded", "written", "predict", "tag_figures", "tagging",
                 "beginning", "generate"],
}  # fmt: skip
MAY_IMPORT_TENSORFLOW = ("data/", "export/", "train/devices.py")
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.extend(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found.extend(f"{node.module}.{each.name}" for each in node.names)
    return found


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_only_from_below(path):
    room = path.parts[0].removesuffix(".py")
    if room == "__init__":
        return
    for name in imports(path):
        if not name.startswith("fmkit.") or not is_module(name):
            continue
        other = room_of(name)
        if other != room:
            same = FLOORS[other] == FLOORS[room] and len(path.parts) == 1
            below = FLOORS[other] < FLOORS[room]
            order = ORDER[""]
            assert below or (same and order.index(other) < order.index(room)), f"{path}: {name}"
        elif room in ORDER and name.count(".") == 2:
            order, mine = ORDER[room], path.stem
            assert order.index(name.split(".")[2]) < order.index(mine), f"{path}: {name}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_tensorflow_stays_in_its_rooms(path):
    uses = any(name.split(".")[0] == "tensorflow" for name in imports(path))
    assert not uses or path.as_posix().startswith(MAY_IMPORT_TENSORFLOW), path


@pytest.mark.parametrize("path", [path for path in FILES if FLOORS.get(path.parts[0], 9) <= 1])
def test_the_lower_floors_know_no_framework(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"tensorflow", "keras", "keras_hub"}
