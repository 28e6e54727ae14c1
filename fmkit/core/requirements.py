"""What fmkit's packages require of each other, and which of them are installed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

OWN = "fmkit"
FOR_DEVELOPERS = ("bench", "test")
"""Extras that bring nothing to a user."""

SAME_MODULE = (
    ("tensorflow", ("tensorflow-cpu", "tf-nightly", "tf-nightly-cpu", "intel-tensorflow")),
    ("keras", ("keras-nightly",)),
    ("keras-hub", ("keras-hub-nightly",)),
    ("pillow", ("pillow-simd",)),
    ("hydra-core", ("hydra",)),
)
"""Packages that write into the same module: of two of them the one that came last is imported."""


def extras() -> dict[str, list[Requirement]]:
    """The requirements of each of fmkit's extras, as installed, or as the checkout has them."""
    from packaging.requirements import Requirement

    checkout = Path(__file__).parents[2] / "pyproject.toml"
    if checkout.is_file():
        project = tomllib.loads(checkout.read_text(encoding="utf-8"))["project"]
        if project["name"] == OWN:
            return {
                extra: [Requirement(text) for text in texts]
                for extra, texts in project["optional-dependencies"].items()
            }
    names = metadata.metadata(OWN).get_all("Provides-Extra") or []
    plain = _requirements(OWN, "")
    return {
        extra: [row for row in _requirements(OWN, extra) if str(row) not in map(str, plain)]
        for extra in names
    }


def missing(requirements: Sequence[Requirement]) -> list[str]:
    """The packages among some requirements that are not installed, or not in such a version."""
    names = []
    for requirement in requirements:
        version = installed_version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            names.append(requirement.name)
            continue
        for extra in requirement.extras:
            base = [str(row) for row in _requirements(requirement.name, "")]
            own = [row for row in _requirements(requirement.name, extra) if str(row) not in base]
            names += missing([row for row in own if row.name != requirement.name])
    return names


def unmet() -> list[tuple[str, Requirement, str | None]]:
    """Requirements of fmkit and of all that it requires which do not hold.

    Returns:
        Rows of the package, what it requires, and the version that is installed instead, if any.
    """
    problems, queue, visited = [], [OWN], {OWN}
    while queue:
        package = queue.pop()
        for requirement in _requirements(package, ""):
            name, version = requirement.name.lower(), installed_version(requirement.name)
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                problems.append((package, requirement, version))
            if version is not None and name not in visited:
                visited.add(name)
                queue.append(name)
    return problems


def shadowed() -> Iterator[tuple[str, str]]:
    """Pairs of installed packages that write into the same module."""
    for package, others in SAME_MODULE:
        for other in others:
            if installed_version(package) and installed_version(other):
                yield package, other


def installed_version(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _requirements(package: str, extra: str) -> list[Requirement]:
    """What an installed package requires here, by itself or with an extra."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        texts = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []
    environment: Mapping[str, str] = {"extra": extra}
    rows = []
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # an old package's, which pip ignores as well
            continue
        if requirement.marker is None or requirement.marker.evaluate(dict(environment)):
            rows.append(requirement)
    return rows
