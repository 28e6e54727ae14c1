"""`fmkit models` and `fmkit data`: what there is, how large it is, and how to get the rest."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.commands.options import parse_words
from fmkit.commands.output import json_output
from fmkit.commands.output.result_tables import new_table, print_table
from fmkit.config.registry import config_class, sources
from fmkit.config.schema.data import FashionMnistData
from fmkit.config.schema.model import ModelConfig
from fmkit.core import optional_packages
from fmkit.core.console import escape_markup, stdout
from fmkit.core.errors import ConfigError, plural
from fmkit.models import registry
from fmkit.models.hub import preset_list

_BYTES = 4  # of a parameter in float32
_FETCHED, _RANDOM, _INSTALLED = "fetched on first use", "random weights", "installed"


def models(arguments: Sequence[str]) -> None:
    """Run `fmkit models [WORD]`: models whose names have the word, with KerasHub's presets.

    Raises:
        ConfigError: no name has it.
    """
    words, _ = parse_words("fmkit models", arguments, ())
    rows = [_model(name) for name in registry.names()]
    presets = [
        _sizes(name, row.modality, row.parameters) | {"description": row.description}
        for name, row in sorted(preset_list.presets().items())
    ]
    if words:
        rows, presets = (_with_words(table, words) for table in (rows, presets))
        if not rows and not presets:
            raise ConfigError(
                f"no model and no preset has {' '.join(words)!r} in its name.",
                "fmkit models lists the models, fmkit models WORD also KerasHub's presets.",
            )
    content = {"models": rows, "presets": presets}
    json_output.show("models", content, lambda: _print_models(content, bool(words)))


def data(arguments: Sequence[str]) -> None:
    """Run `fmkit data [WORD]`: packaged data sets, and the sources of a user's own files.

    Raises:
        ConfigError: no name has the word.
    """
    words, _ = parse_words("fmkit data", arguments, ())
    rows = [_source(name) for name, _ in sources()]
    rows = _with_words(rows, words)
    if not rows:
        message = f"no data set has {' '.join(words)!r} in its name."
        raise ConfigError(message, "fmkit data lists them.")
    json_output.show("data", {"data": rows}, lambda: _print_data(rows))


def _with_words(rows: list[dict[str, Any]], words: Sequence[str]) -> list[dict[str, Any]]:
    return [row for row in rows if all(word.lower() in row["name"].lower() for word in words)]


def _sizes(name: str, modality: str, parameters: int | None) -> dict[str, Any]:
    size = None if parameters is None else parameters * _BYTES
    return {"name": name, "modality": modality, "parameters": parameters, "bytes": size}


def _model(name: str) -> dict[str, Any]:
    row = _sizes(name, registry.modality(ModelConfig(name)), registry.parameters(name))
    packages = registry.packages(ModelConfig(name))
    missing = optional_packages.missing(packages)
    weights, install = _FETCHED, None
    if missing:
        weights, install = "not installed", " && ".join(one.install for one in missing)
    elif packages:
        weights = _INSTALLED
    elif name.startswith("small_"):
        weights = _RANDOM
    elif name not in registry.MODELS:
        weights = "of a plugin"
    return row | {"weights": weights, "install": install}


def _source(name: str) -> dict[str, Any]:
    entry = dict(sources())[name]
    missing = optional_packages.missing((entry.package,) if entry.package else ())
    summary = (config_class("data", name).__doc__ or "").split("\n", 1)[0]
    installed = not missing if entry.package else None
    install = missing[0].install if missing else None
    if name == "fashion_mnist":
        installed = Path(FashionMnistData.root).is_dir()
        install = None if installed else "apt-get install dataset-fashion-mnist"
    return {
        "name": name,
        "modality": entry.modality,
        "packaged": entry.is_packaged,
        "examples": entry.examples or None,
        "classes": entry.classes or None,
        "labels": list(entry.labels or ()),
        "installed": installed,
        "install": install,
        "description": summary,
    }


def _print_models(content: dict[str, Any], with_presets: bool) -> None:
    rows = content["models"]
    if rows:
        _print_sizes("model", rows, "weights")
    if with_presets and content["presets"]:
        _print_sizes("model=hub model.preset=", content["presets"], "")
    _print_installs(rows)
    stdout.print("parameters are those of the backbone; MB in float32")
    if not with_presets:
        count = plural(len(content["presets"]), "preset")
        stdout.print(f"and {count} of KerasHub, such as: fmkit models bert")


def _print_sizes(title: str, rows: list[dict[str, Any]], last: str) -> None:
    table = new_table(title, "reads", "parameters", "MB", *([last] if last else []))
    for row in rows:
        sizes = ["", ""]
        if row["parameters"]:
            sizes = [f"{row['parameters']:,}", f"{row['bytes'] / 1e6:,.0f}"]
        cells = [row["name"], f"{row['modality']}s" if row["modality"] else "", *sizes]
        table.add_row(*map(escape_markup, cells), *([row[last]] if last else []))
    print_table(table)


def _print_installs(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["install"]:
            stdout.print(f"{escape_markup(row['name'])}: {escape_markup(row['install'])}")


def _print_data(rows: list[dict[str, Any]]) -> None:
    packaged = [row for row in rows if row["packaged"]]
    if packaged:
        table = new_table("data", "of", "examples", "classes", "")
        for row in packaged:
            state = {True: _INSTALLED, False: "not installed", None: ""}[row["installed"]]
            counts = [f"{row[key]:,}" if row[key] else "" for key in ("examples", "classes")]
            table.add_row(escape_markup(row["name"]), f"{row['modality']}s", *counts, state)
        print_table(table)
        _print_installs(packaged)
    own = [row for row in rows if not row["packaged"]]
    if own:
        stdout.print("\nYour own files, fmkit finetune PATH, are read by:")
        for row in own:
            indent = " " * 15
            lines = map(escape_markup, textwrap.wrap(row["description"], 63))
            stdout.print(f"  {escape_markup(row['name']):15}" + f"\n  {indent}".join(lines))
