"""The import rules: packages import from lower floors, and nothing imports in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fmkit"
FLOORS = {
    "core": 0,
    "config": 1, "store": 1,
    "data": 2, "models": 2,
    "tasks": 3, "optim": 3,
    "train": 4,
    "evaluation": 5, "export": 5.5, "explain": 5.5,
    "report": 6, "sweep": 6, "serve": 6.5,
    "commands": 7, "cli": 7, "api": 7, "__main__": 7, "__init__": 7,
}  # fmt: skip
FRAMEWORKS = {"tensorflow", "keras", "keras_hub"}
MAY_IMPORT_TENSORFLOW = ("data/", "export/", "train/devices.py")
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
MODULES = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in FILES}


def imports(path: Path) -> set[str]:
    """Full names of what a file imports, in functions too; our own modules without `fmkit.`."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {own_name(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = {own_name(f"{node.module}.{alias.name}") for alias in node.names}
            names |= full & MODULES or {own_name(node.module)}
    return names


def own_name(name: str) -> str:
    """A module of ours without `fmkit.`; the package itself is the top floor's `__init__`."""
    return "__init__" if name == "fmkit" else name.removeprefix("fmkit.")


IMPORTS = {path: imports(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_imports_from_its_package_and_lower_floors(path):
    package = path.parts[0].removesuffix(".py")
    for name in IMPORTS[path] & MODULES:
        other = name.partition(".")[0]
        front = len(path.parts) == 1 and FLOORS[package] >= FLOORS[other]  # cli, the Python front
        assert other == package or FLOORS[other] < FLOORS[package] or front, f"{path}: {name}"


def cycle(level: int) -> list[str]:
    """A circle of imports between names of at most `level` parts, or nothing."""
    graph: dict[str, set[str]] = {}
    for path, names in IMPORTS.items():
        module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        node, *others = (".".join(name.split(".")[:level]) for name in (module, *(names & MODULES)))
        graph.setdefault(node, set()).update({*others} - {node})
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("level", [1, 2, 3, 4], ids=["packages", "sub-packages", "files", "all"])
def test_nothing_imports_in_a_circle(level):
    assert not cycle(level)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_frameworks_stay_on_their_floors(path):
    used = {name.partition(".")[0] for name in IMPORTS[path]} & FRAMEWORKS
    if FLOORS[path.parts[0].removesuffix(".py")] <= 1:
        assert not used
    assert "tensorflow" not in used or path.as_posix().startswith(MAY_IMPORT_TENSORFLOW)
