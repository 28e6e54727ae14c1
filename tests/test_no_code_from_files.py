"""No file of fmkit's can run what it reads: no pickle, no eval, no shell, no Keras objects."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fmkit"
FILES = sorted(PACKAGE.rglob("*.py"))

MODULES = {
    *("_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"),
    *("code", "codeop", "runpy", "imp", "pty", "commands"),
}
ONLY_IN = {  # each of these has one place, where it is looked at
    "subprocess": {
        *("store/environment.py", "store/loggers/follow.py"),  # with constant arguments
        "export/parity.py",  # of our own script, on an export that was just written
    },
    "pickle": {"models/weights/torch_pickle.py"},  # the opcodes of a state dict, and stand-ins
    "importlib.import_module": {  # of names in our own tables
        *("core/registry.py", "commands/help.py", "__init__.py"),
    },
    "exec_module": {"core/registry.py"},
}
NAMES = {"eval", "exec", "compile", "__import__", "execfile", "input"}
ATTRIBUTES = {
    *("os.system", "os.popen", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"),
    *("torch.load", "shutil.unpack_archive"),
}  # fmt: skip
ENDS = {
    *("load_model", "load_weights", "instantiate", "read_pickle", "extractall", "extract"),
    *("deserialize_keras_object", "enable_unsafe_deserialization", "model_from_json"),
    "exec_module",
}  # fmt: skip
FORBIDDEN_VALUES = {"allow_pickle": True, "shell": True, "safe_mode": False, "weights_only": False}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def problems(text: str, place: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        for name in names:
            allowed = ONLY_IN.get(name.split(".")[0], ONLY_IN.get(name))
            if name.split(".")[0] in MODULES or (allowed is not None and place not in allowed):
                found.append(f"{place}:{node.lineno}: imports {name}")
        if isinstance(node, ast.Call):
            found += [f"{place}:{node.lineno}: {each}" for each in _of_call(node, place)]
    return found


def _of_call(node: ast.Call, place: str) -> list[str]:
    name = dotted(node.func)
    last = name.rpartition(".")[2]
    wrong = name in NAMES or name in ATTRIBUTES or last in ENDS
    wrong = wrong or name in ONLY_IN or last in ONLY_IN
    if place in ONLY_IN.get(name, ONLY_IN.get(last, set())):
        wrong = False
    found = [f"calls {name}"] if wrong else []
    given = {each.arg: each.value for each in node.keywords}
    for key, value in FORBIDDEN_VALUES.items():
        if key in given and not (
            isinstance(given[key], ast.Constant) and given[key].value is not value
        ):
            found.append(f"sets {key}")
    if name in ("np.load", "numpy.load") and "allow_pickle" not in given:
        found.append("np.load without allow_pickle=False")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file(path):
    place = path.relative_to(PACKAGE).as_posix()
    assert problems(path.read_text(encoding="utf-8"), place) == []


def test_the_one_file_that_imports_pickle_takes_opcodes_and_the_unpickler_that_it_restricts():
    (place,) = ONLY_IN["pickle"]
    nodes = ast.walk(ast.parse((PACKAGE / place).read_text(encoding="utf-8")))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)
            and dotted(node.value) == "pickle"}  # fmt: skip
    assert {name for name in used if not name.isupper() and not name[:-1].isupper()} == {
        "_Unpickler"
    }


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal, os",
        "import subprocess",
        "eval(text)",
        "exec(text)",
        "__import__(name)",
        "os.system(words)",
        "yaml.load(text)",
        "yaml.unsafe_load(text)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "run(words, shell=True)",
        "keras.models.load_model(path)",
        "model.load_weights(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "hydra.utils.instantiate(config)",
        "archive.extractall(folder)",
        "importlib.import_module(name)",
        "spec.loader.exec_module(module)",
        "torch.load(path)",
    ],
)
def test_the_test_sees_it(line):
    assert problems(line, "data/somewhere.py")
