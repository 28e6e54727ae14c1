"""Requirements that do not hold, extras that are missing, packages that shadow each other."""

import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fmkit.core import requirements


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make packages that are installed as far as their metadata say, and nothing else."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    def install(name, version, *requires):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = [f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {row}" for row in requires]
        (folder / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")

    return install


def test_what_does_not_hold_is_found_at_any_depth(install):
    install("fmkit", "1.0", "a>=2", "b", "c", "d; python_version < '3'", "e; extra == 'more'")
    install("a", "1.9")
    install("b", "1.0", "f<2.4")
    install("f", "2.3.9rc1", "fmkit")
    rows = {(package, str(row), version) for package, row, version in requirements.unmet()}
    assert rows == {("fmkit", "a>=2", "1.9"), ("fmkit", "c", None)}
    assert requirements.missing([Requirement("f<2.4")]) == []  # a version ahead of a release is one


def test_a_version_that_is_too_new(install):
    install("fmkit", "1.0", "hydra-core")
    install("hydra-core", "1.3.8", "omegaconf<2.4")
    install("omegaconf", "2.4.1")
    ((package, requirement, version),) = requirements.unmet()
    assert (package, str(requirement), version) == ("hydra-core", "omegaconf<2.4", "2.4.1")


def test_missing_packages_of_an_extra_of_a_requirement(install):
    install(
        "tensorflow",
        "2.21.0",
        "numpy",
        "cuda-a==12; extra == 'and-cuda'",
        "cuda-b; extra == 'and-cuda'",
    )
    install("cuda-a", "11")
    rows = [Requirement("tensorflow[and-cuda]>=2.21"), Requirement("absent")]
    assert requirements.missing(rows) == ["cuda-a", "cuda-b", "absent"]
    install("cuda-b", "1")
    assert requirements.missing(rows[:1]) == ["cuda-a"]


def test_two_packages_with_one_module(install):
    install("tensorflow", "2.21.0")
    install("keras", "3.15.1")
    assert [*requirements.shadowed()] == []
    install("tf-nightly", "2.22.0.dev1")
    assert [*requirements.shadowed()] == [("tensorflow", "tf-nightly")]


def test_extras_are_those_of_the_project():
    path = Path(__file__).parents[2] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    extras = {name: [*map(str, rows)] for name, rows in requirements.extras().items()}
    assert extras == {
        name: [str(Requirement(row)) for row in rows]
        for name, rows in project["optional-dependencies"].items()
    }


def test_extras_of_an_installed_package(install, monkeypatch, tmp_path):
    monkeypatch.setattr(requirements, "__file__", str(tmp_path / "a" / "b" / "requirements.py"))
    install("fmkit", "1.0", "numpy", "gguf>=0.17; extra == 'text'")
    metadata = tmp_path / "fmkit-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Provides-Extra: text\n")
    (requirement,) = requirements.extras()["text"]
    assert (requirement.name, str(requirement.specifier)) == ("gguf", ">=0.17")


def test_here_everything_holds():
    assert requirements.unmet() == []
