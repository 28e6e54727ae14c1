"""The sections of a report about what a run was made of: data, settings, machine, its command."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fmkit.config import registry, saved_config
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.core import files, safe_io
from fmkit.core.errors import FmkitError
from fmkit.report import html
from fmkit.report.record import RunRecord, finite, mapping
from fmkit.report.training import duration
from fmkit.store import run_content, run_dir, run_lineage

_MOST_CLASSES = 200  # in the table of the data
_MOST_ITEMS = 20  # of a finding
_QUANTILES = ("minimum", "5%", "25%", "median", "75%", "95%", "maximum")
_SEVERITIES = {"error": "bad", "warning": "bad", "note": ""}


def data_card(record: RunRecord) -> Markup | None:
    """What the data was: where from, how many of each class in each split, what the scan found."""
    data, report = record.data, record.json(run_dir.DATA_REPORT)
    counts = mapping(data.get("counts"))
    facts = html.pairs([
        ("source", data.get("name")),
        ("folder or file", html.code(root) if (root := record.summary.data_root) else None),
        ("modality", data.get("modality")),
        ("classes", len(data["classes"]) if data.get("classes") else None),
        ("outputs", len(data["names"]) if data.get("names") else None),
        ("examples", ", ".join(f"{html.number(n)} {split}" for split, n in counts.items()) or None),
        ("formats", _counted(report.get("formats"))),
        ("fingerprint", _hash(data.get("fingerprint"))),
        ("fingerprint of the splits", _hash(data.get("split_fingerprint"))),
    ])  # fmt: skip
    parts = [facts, _class_counts(data), _sizes(report), _findings(report)]
    return html.join(part for part in parts if part) if any(parts) else None


def _hash(value: Any) -> Markup | None:
    return html.code(value[:16]) if isinstance(value, str) and value else None


def _counted(counts: Any) -> str | None:
    if not isinstance(counts, dict):
        return None
    return ", ".join(f"{html.number(count)} {name}" for name, count in counts.items()) or None


def _class_counts(data: Mapping[str, Any]) -> Markup | None:
    by_split = data.get("class_counts")
    if not isinstance(by_split, dict) or not by_split:
        return None
    order = {"train": 0, "val": 1, "test": 2}
    splits = sorted(by_split, key=lambda split: order.get(split, 3))
    names = list(dict.fromkeys(name for split in splits for name in by_split[split]))
    rows = [
        [html.name(name), *(by_split[split].get(name, 0) for split in splits)]
        for name in names[:_MOST_CLASSES]
    ]
    left_out = len(names) - _MOST_CLASSES
    more = f"; {left_out:,} more are left out" if left_out > 0 else ""
    caption = f"Examples of each class or label by split{more}"
    table = html.table(["class", *map(html.name, splits)], rows, caption, sortable=True)
    return table if len(rows) <= 30 else html.details(caption, table)


def _sizes(report: Mapping[str, Any]) -> Markup | None:
    sizes = report.get("sizes")
    rows = [
        [name, *(html.number(value) for value in values)]
        for name, values in mapping(sizes).items()
        if isinstance(values, list) and len(values) == len(_QUANTILES)
    ]
    return html.table(["", *_QUANTILES], rows, "Sizes of the examples")


def _findings(report: Mapping[str, Any]) -> Markup | None:
    findings = report.get("findings")
    if not isinstance(findings, list):
        return None
    if not findings:
        return html.element("p", html.element("span", "The check found no problem.", class_="good"))
    parts: list[Any] = [html.element("h3", "What the check found")]
    for row in findings:
        if not isinstance(row, dict):
            continue
        severity = str(row.get("severity"))
        items = [item for item in row.get("items") or () if isinstance(item, dict)]
        listed = [
            html.element("li", html.name(item.get("where") or ""), " ", str(item.get("why") or ""))
            for item in items[:_MOST_ITEMS]
        ]
        count = html.number(row.get("count"))
        heading = html.join([
            html.element("strong", severity, class_=_SEVERITIES.get(severity) or None),
            f": {row.get('title')} ({count}). {row.get('advice') or ''}",
        ])  # fmt: skip
        shown = html.details(f"Examples ({min(len(items), _MOST_ITEMS)} of {count})",
                             html.element("ul", *listed)) if listed else None  # fmt: skip
        parts += [html.element("p", heading), shown]
    return html.join(parts)


def defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The schema's default of each key of a config, so far as it has one."""
    values_of_keys: dict[str, Any] = _defaults_of(TrainConfig, "")
    for group in ("model", "data", "optimizer", "task", "runtime"):
        values = config.get(group)
        if isinstance(values, dict):
            name = str(values.get("name"))
            values_of_keys |= _defaults_of(registry.config_class(group, name), f"{group}.")
    stage = config.get("stage")
    for phase in stage if isinstance(stage, dict) else ():
        values_of_keys |= _defaults_of(PhaseConfig, f"stage.{phase}.")
    return values_of_keys


def _defaults_of(schema: Any, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}{field.name}": field.default
        for field in dataclasses.fields(schema)
        if field.default is None or isinstance(field.default, str | int | float | bool)
        if field.default != "???"
    }


def settings(record: RunRecord) -> Markup | None:
    """The command as it was typed, what differs from the defaults, and the whole config."""
    config, defaults_by_key = record.flat_config, defaults(record.config)
    chosen, recipe = _chosen(record), _recipe(record)
    rows = []
    for key, value in config.items():
        is_chosen = key in chosen or any(key.startswith(f"{name}.") for name in chosen)
        differs = key in defaults_by_key and str(defaults_by_key[key]) != str(value)
        if key.endswith(".name") or not (key in chosen or key in recipe or differs):
            continue
        origin = "recipe" if key in recipe else "you" if is_chosen else "option or data"
        default = _shown(defaults_by_key[key]) if key in defaults_by_key else html.NOTHING
        rows.append([html.code(key), _shown(value), default, origin, recipe.get(key, "")])
    columns = ["key", "value", "default", "set by", "reason"]
    if not recipe:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    table = html.table(columns, rows, "Settings that differ from the defaults or were set",
                       sortable=True, texts=range(5))  # fmt: skip
    all_rows = [[html.code(key), _shown(value)] for key, value in config.items()]
    everything = html.table(["key", "value"], all_rows,
                            texts=(0, 1))  # fmt: skip
    parts = [table, _parent(record), html.details("The whole config", everything)]
    return html.join(part for part in parts if part) if any(parts) else None


def _shown(value: Any) -> Markup:
    """A value as YAML has it, but for quotes."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if value is None or isinstance(value, bool):
        text = "null" if value is None else text.lower()
    return html.code(html.shorten(text, 300) or "''")


def _chosen(record: RunRecord) -> list[str]:
    """Keys that the user set; of an old run without that record, those in what was typed."""
    chosen = record.status.get("chosen")
    if isinstance(chosen, list):
        return [str(key) for key in chosen]
    return [word.partition("=")[0].lstrip("+~") for word in record.overrides]


def _recipe(record: RunRecord) -> dict[str, str]:
    """Reasons of `recipe=auto` by key, of the choices that applied."""
    try:
        rows = safe_io.read_json(record.folder / run_dir.RECIPE)
    except (OSError, ValueError):
        return {}
    return {
        str(row.get("key")): str(row.get("reason", ""))
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and row.get("applied", True)
    }


def _parent(record: RunRecord) -> Markup | None:
    """What differs from the run that this one started from (`init`)."""
    init = record.summary.init or record.config.get("init")
    if not isinstance(init, str) or not init:
        return None
    heading = html.element("h3", "Compared with the parent run ", html.name(Path(init).name))
    try:
        before = run_content.settings(Path(init))
    except (FmkitError, OSError):
        return html.join([heading, html.note("It is not there any more, or is a file of weights.")])
    rows = difference_rows(before, record.flat_config)
    if not rows:
        return html.join([heading, html.note("No setting differs.")])
    return html.join([heading, html.table(["key", "parent", "this run"], rows, texts=(0, 1, 2))])


def difference_rows(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[list[Any]]:
    """Rows of keys whose values differ; `(absent)` where one run has no such key."""
    rows = [
        row for row in run_content.differing(first, second) if not row["key"].startswith("(state")
    ]
    return [
        [html.code(row["key"]),
         *(_shown(row[side]) if side in row else "(absent)" for side in ("first", "second"))]
        for row in rows
        if not (row["key"].startswith("(data") and len(row) < 3)
    ]  # fmt: skip


def environment(record: RunRecord) -> Markup | None:
    """Versions, hardware, precision, git commit, weights."""
    environment = record.environment
    versions, devices, weights = (
        mapping(environment.get(key)) for key in ("versions", "devices", "weights")
    )
    git = environment.get("git")
    commit = git.get("commit") if isinstance(git, dict) else git
    memory = finite(record.status.get("rss_bytes"))
    started_from = ", ".join(
        f"{key} {value}" for key, value in weights.items() if key != "fingerprint"
    )
    facts = html.pairs([
        ("platform", environment.get("platform")),
        ("processor", environment.get("processor")),
        ("cores", environment.get("cores")),
        ("devices", ", ".join(map(str, devices.get("names") or ())) or None),
        ("precision", devices.get("precision")),
        ("XLA", {"True": "on", "False": "off"}.get(str(devices.get("jit_compile")))),
        ("seed", environment.get("seed")),
        ("memory at the end", files.format_bytes(int(memory)) if memory else None),
        ("git commit", html.code(commit) if commit else None),
        ("weights at the start", started_from or None),
        ("fingerprint of the backbone", _hash(weights.get("fingerprint"))),
        ("in memory", environment.get("images") or environment.get("texts")),
    ])  # fmt: skip
    rows = [[html.name(name), html.code(version)] for name, version in versions.items()]
    parts = [facts, html.table(["package", "version"], rows, texts=(0, 1))]
    return html.join(part for part in parts if part) if any(parts) else None


def command_line(record: RunRecord) -> str:
    """The command that makes the run again: what was typed, and a seed that was drawn."""
    command = record.summary.command or "finetune"
    words = record.overrides
    if not words:
        config = record.flat_config
        keys = [key for key in _chosen(record) if key in config]
        words = [saved_config.setting(key, config[key]) for key in keys]
    return " ".join(["fmkit", command, *(saved_config.shell_word(word) for word in words)])


def reproduce(record: RunRecord) -> Markup:
    """One command that reproduces the run, and what else it takes."""
    status = record.status
    git = record.environment.get("git")
    commit = git.get("commit") if isinstance(git, dict) else git
    needs = [f"fmkit {status.get('fmkit')}" if status.get("fmkit") else None,
             f"seed {status.get('seed')}" if status.get("seed") is not None else None,
             f"git commit {str(commit)[:12]}" if commit else None]  # fmt: skip
    resumes = run_lineage.resumes(status)
    stops = " It was stopped and resumed, which changes nothing." if resumes else ""
    return html.join([
        html.command(command_line(record)),
        html.note(
            f"{', '.join(filter(None, needs))}. Equal bit for bit on a CPU of the same kind with "
            f"the same packages; the data's fingerprint tells whether it is the same.{stops}"
        ),
        html.pairs([
            ("run folder", html.code(files.display_path(record.folder))),
            ("started", status.get("started")), ("ended", status.get("ended")),
            ("took", duration(status.get("total_seconds") or status.get("seconds"))),
            ("host", status.get("host")),
        ]),
        _resumes(resumes),
    ])  # fmt: skip


def _resumes(resumes: Sequence[Mapping[str, Any]]) -> Markup | None:
    """A row for each time that the run was stopped and went on."""
    rows = [
        [row["time"], run_lineage.describe_resume(row), row["host"],
         row["fmkit"] and html.code(row["fmkit"])]
        for row in resumes
    ]  # fmt: skip
    return html.table(["resumed", "from", "host", "fmkit"], rows, "Resumes", texts=(0, 1, 2, 3))


def exports(record: RunRecord) -> Markup | None:
    """What each export was compared by; None where there is none."""
    rows = []
    for row in run_content.exports(record.folder):
        difference, agreement = row["max_abs"], row["agreement"]
        rows.append([
            html.name(row["format"]),
            html.NOTHING if difference is None else f"{difference:.1e}",
            html.NOTHING if agreement is None else f"{agreement:.2%}",
            html.NOTHING if row["examples"] is None else row["examples"],
            files.format_bytes(int(row["model_bytes"] or 0)),
        ])  # fmt: skip
    columns = ["format", "largest difference", "same answers", "examples", "size"]
    return html.table(columns, rows, "Exported models, run by their runtimes, against the run")
