"""The comparison of methods: draws, ranks, paired tests, resuming, tables. Nothing trains here, but
in the last test."""

import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from fmkit.commands import launch
from fmkit.config.preflight import check
from fmkit.data import dataset
from fmkit.data.sources import registry

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from quality import comparison, datasets, debtags, features, methods, own_head, report, runner  # noqa: E402
from quality.results import Results, code_tag, key_of  # noqa: E402


def pool(counts, test_from=None, kind="texts"):
    """Examples of classes with these counts; from a position on they are the source's test part."""
    strata = np.repeat(np.arange(len(counts)), counts)
    is_test = None if test_from is None else np.arange(len(strata)) >= test_from
    items = [f"text {number}" for number in range(len(strata))]
    return datasets.Pool(kind, items, [f"class {k}" for k in strata], is_test, strata)


# What a seed draws


def test_a_draw_has_each_class_in_proportion():
    examples = pool([600, 300, 100])
    labelled, tested = datasets.draw(examples, "100", 3, 200)
    assert len(labelled) == 100
    assert len(tested) == 200
    for members, share in ((labelled, 0.1), (tested, 0.2)):
        counts = np.bincount(examples.strata[members])
        assert np.abs(counts - share * np.array([600, 300, 100])).max() <= 1
    assert not set(labelled) & set(tested)


def test_sizes_share_the_test_split_and_smaller_ones_are_part_of_larger_ones():
    examples = pool([50, 40, 30])
    draws = {size: datasets.draw(examples, size, 0, 30) for size in ("10", "20", "4-shot", "all")}
    assert len({tuple(tested) for _, tested in draws.values()}) == 1
    assert set(draws["10"][0]) < set(draws["20"][0]) < set(draws["all"][0])
    assert len(draws["all"][0]) == 120 - 30
    assert Counter(examples.strata[draws["4-shot"][0]]) == {0: 4, 1: 4, 2: 4}


def test_another_seed_draws_other_labels_and_another_test_split():
    examples = pool([50, 50])
    first, second = (datasets.draw(examples, "20", seed, 30) for seed in (0, 1))
    assert set(first[0]) != set(second[0])
    assert set(first[1]) != set(second[1])


def test_the_test_part_of_a_source_is_where_test_examples_come_from():
    examples = pool([100, 100], test_from=150)
    labelled, tested = datasets.draw(examples, "all", 0, 20)
    assert labelled.tolist() == list(range(150))
    assert len(tested) == 20
    assert tested.min() >= 150


def test_a_rare_class_has_two_labels_and_one_without_labels_is_not_tested():
    examples = pool([500, 3])
    assert np.bincount(examples.strata[datasets.draw(examples, "20", 0, 0)[0]])[1] == 2
    only_in_test = pool([10, 10], test_from=10)
    labelled, tested = datasets.draw(only_in_test, "all", 0, 10)
    assert len(labelled) == 10
    assert len(tested) == 0


def test_copies_are_drawn_once(tmp_path):
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in "abc"]
    assert datasets._unique("paths", paths).tolist() == [0, 1]
    assert datasets._unique("texts", ["a  b", "c", "a b"]).tolist() == [0, 1]
    pixels = np.array([[[1]], [[2]], [[1]]], np.uint8)
    assert datasets._unique("pixels", pixels).tolist() == [0, 1]


def read_words(words):
    line, names = launch.read_line("finetune", words)
    return check(line, names)


def test_fmkit_reads_the_table_of_a_draw_as_it_was_drawn(tmp_path):
    words = datasets.table(tmp_path, "digits", "100", 1, None)
    config = read_words(words)
    data = dataset.read(config.data, 0)
    drawn_from = datasets.read("digits", None)
    drawn = datasets.draw(drawn_from, "100", 1, 500)
    counts = {name: len(members) for name, members in data.splits.items()}
    assert counts["train"] + counts["val"] == len(drawn[0]) == 100
    assert counts["test"] == len(drawn[1]) == 500
    source = registry.list_examples(read_words(["data=digits"]).data)
    content = data.examples.content
    for path, label in list(zip(content.paths, data.examples.labels, strict=True))[::20]:
        index = int(Path(path).stem)
        assert np.array_equal(np.asarray(Image.open(path)), drawn_from.items[index])
        original = (source.content.pixels == drawn_from.items[index]).all(axis=(1, 2))
        assert source.classes[source.labels[original][0]] == data.examples.classes[label]


def test_labels_that_one_labelled_example_has_are_left_out_of_sets(tmp_path):
    table = tmp_path / "tags.jsonl"
    sets = ["a|b|rare", *["a", "b|c", "a|b", "", "b"] * 180]
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(sets)]
    table.write_text("\n".join(map(json.dumps, rows)))
    datasets.table(tmp_path, "debtags", "200", 0, str(table))
    written = pd.read_json(tmp_path / "tables" / "debtags@200" / "0.jsonl", lines=True)
    assert (written["split"] == "train").sum() == 200
    names = set(written["label"].str.split("|").explode())
    assert names == {"a", "b", "c", ""}


PACKAGES = """Package: gimp
Description: Image editor
Tag: field::arts, use::editing,
 works-with::image, works-with::image:raster
Section: graphics

Package: mutt
Description: Mail reader
Tag: use::viewing, works-with::TODO

Package: libc6
Description: C library
Tag: role::shared-lib

Package: untagged
Description: Something
"""


def test_tags_of_packages_become_labels():
    assert list(debtags.parse(PACKAGES)) == [
        {"text": "Image editor", "label": "use::editing|works-with::image"},
        {"text": "Mail reader", "label": "use::viewing"},
    ]


# Paired tests and ranks


def test_a_paired_test_is_student_s_over_common_seeds():
    ours, theirs = {0: 0.8, 1: 0.7, 2: 0.9, 7: 0.1}, {2: 0.85, 1: 0.72, 0: 0.7, 9: 0.9}
    difference = comparison.paired(ours, theirs)
    differences = [0.1, -0.02, 0.05]
    mean = sum(differences) / 3
    error = math.sqrt(sum((d - mean) ** 2 for d in differences) / 2 / 3)
    assert difference.count == 3
    assert difference.mean == pytest.approx(mean)
    assert difference.p == pytest.approx(2 * stats.t.sf(mean / error, 2))
    assert difference.high - difference.low == pytest.approx(2 * 4.302653 * error)
    assert difference.verdict(0.0) == "same"


def test_differences_that_are_all_equal_go_by_the_sign_test():
    assert comparison.paired({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}).p == 1.0
    for count, verdict in ((2, "same"), (5, "same"), (6, "better")):
        difference = comparison.paired(
            dict.fromkeys(range(count), 0.75), dict.fromkeys(range(count), 0.5)
        )
        assert difference.p == stats.binomtest(count, count).pvalue
        assert difference.verdict(0.002) == verdict
        assert difference.verdict(0.3) == "same"
    worse = comparison.paired(dict.fromkeys(range(6), 0.25), dict.fromkeys(range(6), 0.5))
    assert worse.verdict(0.002) == "worse"


def test_one_seed_decides_nothing_and_none_is_no_comparison():
    assert comparison.paired({0: 0.9}, {0: 0.1}).verdict(0.0) == "same"
    assert comparison.paired({0: 0.9}, {1: 0.1}) is None


def test_holm_multiplies_by_the_tests_that_are_left():
    assert comparison.holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert comparison.holm([0.9, 0.8]) == [1.0, 1.0]
    assert comparison.holm([]) == []


def test_ranks_are_means_over_the_data_sets_that_have_all_and_ties_share():
    values = {
        "one": {"a": 0.9, "b": 0.8, "c": 0.7},
        "two": {"a": 0.5, "b": 0.5, "c": 0.6},
        "three": {"a": 0.5, "b": 0.9},
    }
    ranks, count = comparison.mean_ranks(values, ["a", "b", "c"])
    assert (ranks, count) == ({"a": 1.75, "b": 2.25, "c": 2.0}, 2)
    assert comparison.mean_ranks(values, ["a", "d"]) == ({}, 0)


def test_a_test_over_data_sets_needs_five():
    differences = [0.01, 0.02, 0.03, 0.05, 0.04]
    assert comparison.over_sets(differences) == pytest.approx(2 / 2**5)
    assert comparison.over_sets([*differences[:4], 0.0]) is None


# Planning and resuming


def jobs_of(places, seeds=2, methods_of_fmkit=("default",)):
    command_lines = {name: methods.METHODS[name] for name in methods_of_fmkit}
    return runner.plan(places, command_lines, list(methods.PEERS), seeds, "tag")


def test_a_plan_has_cheap_sets_first_and_the_peers_of_the_task():
    jobs = jobs_of([("solar_cells", "50"), ("solar_cells_numbers", "200"), ("digits", "100")])
    assert [job.place for job in jobs[:12:6]] == ["digits@100", "digits@100"]
    assert [job.seed for job in jobs[:12]] == [0] * 6 + [1] * 6
    by_data = {job.data: set() for job in jobs}
    for job in jobs:
        by_data[job.data].add(job.method)
    assert by_data["digits"] == by_data["solar_cells"]
    assert by_data["digits"] == {"default"} | {
        name for name, peer in methods.PEERS.items() if peer.task == "classification"
    }
    assert by_data["solar_cells_numbers"] == {"default", "ridge_cv", "svr"}
    assert {job.tag for job in jobs if job.method in methods.PEERS} == {""}


def test_what_has_a_row_is_not_made_again_and_what_failed_only_on_request(tmp_path):
    results, jobs, calls = Results(tmp_path / "results.jsonl"), jobs_of([("digits", "100")]), []

    def make(job):
        calls.append(job)
        if job.method == "svm_rbf" and len(calls) <= len(jobs):
            raise RuntimeError("it broke")
        return job.row(value=0.5, seconds=1.0, processor_seconds=1.0)

    first = list(runner.run(jobs[:4], results, make))
    assert len(first) == 4
    list(runner.run(jobs, results, make))
    assert calls == jobs
    failed = [row for row in results.rows() if row["error"]]
    assert {(row["method"], row["error"]) for row in failed} == {
        ("svm_rbf", "RuntimeError: it broke")
    }
    list(runner.run(jobs, results, make))
    assert calls == jobs
    list(runner.run(jobs, results, make, retry=True))
    assert [job.method for job in calls[len(jobs) :]] == ["svm_rbf", "svm_rbf"]
    assert not any(row["error"] for row in results.rows())
    assert len(results.rows()) == len(jobs)


def test_no_run_begins_when_the_time_is_over(tmp_path):
    results = Results(tmp_path / "results.jsonl")
    assert list(runner.run(jobs_of([("digits", "100")]), results, pytest.fail, minutes=0)) == []


def test_the_file_of_results_has_one_row_for_each_key(tmp_path):
    results = Results(tmp_path / "folder" / "results.jsonl")
    job = jobs_of([("digits", "100")])[0]
    for value in (0.25, math.nan, 0.75):
        results.add(job.row(value=value))
    assert len((tmp_path / "folder" / "results.jsonl").read_text().splitlines()) == 3
    assert [row["value"] for row in results.rows()] == [0.75]
    assert results.done() == {key_of(job.row())}


def test_a_tag_is_that_of_the_content(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.py").write_text("1")
    first = code_tag([tmp_path / "one"])
    assert first == code_tag([tmp_path / "two"])
    (tmp_path / "two" / "inner" / "b.yaml").write_text("1")
    assert first != code_tag([tmp_path / "two"])


# Methods


@pytest.mark.parametrize("name", methods.METHODS)
def test_methods_are_settings_that_fmkit_takes(name):
    command, *words = methods.command_line(methods.METHODS[name])
    assert command == "finetune"
    read_words(words)


def test_a_method_of_the_command_line_is_words_of_finetune():
    assert methods.command_line("a.b=1 'c=[1, 2]'") == ["finetune", "a.b=1", "c=[1, 2]"]
    assert methods.command_line("pretrain a.b=1") == ["pretrain", "a.b=1"]


def test_a_peer_takes_the_strength_with_the_best_accuracy_over_five_folds():
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    x = rng.normal(size=(60, 4)) * [1, 1, 5, 5] + y[:, None] * [1, -1, 0, 0]
    peer = replace(methods.PEERS["logistic_cv_unit"], grid={"C": (0.01, 1.0, 10.0)})
    estimator, chosen = methods.fit(peer, x, y, 3)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    accuracy = {}
    for strength in peer.grid["C"]:
        model, scores = LogisticRegression(C=strength, max_iter=2000), []
        for train, test in StratifiedKFold(5, shuffle=True, random_state=3).split(x, y):
            scores.append(model.fit(unit[train], y[train]).score(unit[test], y[test]))
        accuracy[strength] = np.mean(scores)
    assert chosen == {"C": max(accuracy, key=accuracy.get)}
    model = LogisticRegression(C=chosen["C"], max_iter=2000).fit(unit, y)
    assert methods.score("classification", estimator, x, y)["accuracy"] == model.score(unit, y)


@pytest.mark.parametrize("name", [name for name in methods.PEERS if name != "logistic_cv_unit"])
def test_every_peer_learns_what_is_easy(name):
    peer, rng = methods.PEERS[name], np.random.default_rng(0)
    peer = replace(peer, grid={name: values[1:4] for name, values in peer.grid.items()})
    x = rng.normal(size=(80, 3)).astype(np.float32)
    y = {
        "classification": (x[:, 0] > 0).astype(int),
        "regression": x[:, 0] + 0.1 * rng.normal(size=80),
        "multi_label": (x[:, :2] > 0).astype(int),
    }[peer.task]
    estimator, chosen = methods.fit(peer, x, y, 0)
    assert json.loads(json.dumps(chosen)) == chosen
    assert methods.score(peer.task, estimator, x, y)[methods.METRICS[peer.task]] > 0.85


# A run beside its own head


def write_run(folder, labels, predictions, phases=("head", "full"), **metrics):
    (folder / "eval").mkdir(parents=True)
    frame = pd.DataFrame({"label": labels, "prediction": predictions})
    frame.to_parquet(folder / "eval" / "test.parquet")
    (folder / "eval" / "test.json").write_text(json.dumps({**metrics, "per_class": {}}))
    rows = [
        {"name": name, "epochs": 4, "seconds": 1.0, "best": {"value": 0.5}, "skipped": ""}
        for name in phases
    ]
    rows.append({"name": "left", "epochs": 0, "seconds": 0.0, "best": None, "skipped": "as set"})
    (folder / "status.json").write_text(json.dumps({"phases": rows}))
    return folder


def test_a_run_beside_its_head_has_the_paired_standard_error(tmp_path):
    labels = ["a", "b", "a", "b", "a", "b"]
    run = write_run(tmp_path / "run", labels, ["a", "b", "a", "b", "b", "b"], accuracy=5 / 6)
    head = write_run(tmp_path / "head", labels, ["a", "b", "b", "a", "b", "b"], accuracy=3 / 6)
    compared = own_head.compare(run, head, "accuracy")
    differences = [0, 0, 1, 1, 0, 0]
    error = np.std(differences, ddof=1) / math.sqrt(6)
    assert compared["value"] == 0.5
    assert compared["difference"] == pytest.approx(1 / 3)
    assert compared["standard_error"] == pytest.approx(error)


def test_what_examples_add_to_r2_has_it_as_mean(tmp_path):
    from sklearn.metrics import r2_score

    labels, predictions = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.5, 2.0, 3.0, 3.0])
    run = write_run(tmp_path / "run", labels, predictions)
    assert own_head.example_scores(run).mean() == pytest.approx(r2_score(labels, predictions))


def test_the_head_alone_is_the_run_without_its_later_phases(tmp_path):
    names = ["head", "full", "refit_head", "refit_full"]
    both = write_run(tmp_path / "both", ["a"], ["a"], names)
    words = ["recipe=auto", "stage.full.epochs=2", "stage.head.epochs=3"]
    without = own_head.words_without_later_phases(both, words)
    assert without == ["recipe=auto", "stage.head.epochs=3", "~stage.full"]
    assert list(read_words(["stage.head.epochs=3", "~stage.full"]).stage) == ["head"]
    for name, phases in (("head", ["head"]), ("full", ["full"])):
        run = write_run(tmp_path / name, ["a"], ["a"], phases)
        assert own_head.words_without_later_phases(run, words) is None


# Tables


def rows_of(values, data="digits", size="100", tag="0.3.0", metric="accuracy"):
    return [
        {
            "data": data, "size": size, "method": method, "seed": seed, "tag": tag,
            "metric": metric, "value": value, "metrics": {}, "seconds": 9.0,
            "processor_seconds": 2.0 + seed, "words": [], "own_head": None, "error": None,
        }
        for method, of_method in values.items()
        for seed, value in enumerate(of_method)
    ]  # fmt: skip


def table_below(text, heading):
    """The cells of the first table below a line."""
    lines = text[text.index(heading) :].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_report_has_means_ranks_differences_and_seconds():
    rows = rows_of({"default": [0.5, 0.6, 0.7], "head": [0.6, 0.7, 0.803]})
    rows += rows_of({"default": [0.5, 0.6], "head": [0.4, 0.6]}, data="solar_cells", size="50")
    rows += rows_of({"default": [0.5]}, data="newsgroups", size="8-shot")
    text = report.markdown(rows[::-1], "default", 0.002, ["default", "head"])
    head, _, digits, solar, _, ranks = table_below(text, "### accuracy")
    assert head == ["data", "seeds", "default", "head"]
    assert digits == ["digits@100", "3", "0.600 ± 0.100", "**0.701 ± 0.102**"]
    assert solar[0] == "solar_cells@50"
    assert ranks == ["mean rank over 2", "", "1.50", "1.50"]
    _, _, against = table_below(text, "Against `default`")
    assert against[:4] == ["head", "1", "1", "0"]
    _, _, digits, solar, _ = table_below(text, "By data set")
    assert digits == ["digits@100", "**+0.101 (0.000)**"]
    assert solar == ["solar_cells@50", "-0.050 (0.500)"]
    assert table_below(text, "### Processor seconds")[2] == ["digits@100", "3", "3"]
    assert "### Failed" not in text
    assert "own head" not in text


def test_versions_of_the_code_are_columns_and_peers_are_not():
    rows = rows_of({"default": [0.5]}) + rows_of({"default": [0.6]}, tag="new")
    rows += rows_of({"svm_rbf": [0.7]}, tag="")
    head = table_below(report.markdown(rows, "default@0.3.0", 0.0), "### accuracy")[0]
    assert head[2:] == ["default@0.3.0", "default@new", "svm_rbf"]


def test_failures_and_own_heads_are_shown():
    rows = rows_of({"default": [0.5, 0.6, 0.7]})
    rows[0]["error"], rows[0]["value"] = "exit 5: NaN", None
    rows[1]["own_head"] = {"value": 0.7, "difference": -0.1, "standard_error": 0.01}
    rows[2]["own_head"] = {"value": 0.71, "difference": -0.01, "standard_error": 0.02}
    text = report.markdown(rows, "default", 0.002)
    assert table_below(text, "own head")[2] == ["default", "2", "2", "1", "-0.0550", "-0.1000"]
    assert "- digits@100 seed 0 default: exit 5: NaN" in text
    assert table_below(text, "### accuracy")[2][1] == "2"


def test_features_are_those_that_the_network_gives_its_head(tmp_path):
    words = ["data=digits", "data.limit=60", "model=small_cnn", "model.weights=none"]
    words += [f"runtime.cache_dir={tmp_path}", "runtime.seed=3"]
    features.save(words, tmp_path / "features.npz")
    assembly, _ = features._assemble([*words, "stage=frozen"])
    network = keras.Model(assembly.model.input, assembly.model.get_layer("logits").input)
    saved = np.load(tmp_path / "features.npz")
    for names, suffix in ((("train", "val"), ""), (("test",), "_test")):
        indices = np.concatenate([assembly.splits[name] for name in names])
        expected = network.predict(assembly.loader.ordered(indices), verbose=0)
        np.testing.assert_allclose(saved[f"x{suffix}"], expected, rtol=1e-4, atol=1e-5)
        assert np.array_equal(saved[f"y{suffix}"], assembly.examples.labels[indices])


@pytest.mark.slow
def test_the_script_runs_resumes_and_reports(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent)}

    def quality(*words):
        done = subprocess.run(
            [sys.executable, SCRIPTS / "quality.py", *words, "--folder", tmp_path],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    words = ["run", "--only", "digits@100", "--seeds", "1", "--methods", "logistic_cv_unit"]
    words += ["--method", "short=stage=lp_ft stage.head.epochs=1 stage.full.epochs=1"]
    quality(*words)
    rows = {row["method"]: row for row in Results(tmp_path / "results.jsonl").rows()}
    assert set(rows) == {"short", "logistic_cv_unit"}
    assert 0.5 < rows["logistic_cv_unit"]["value"] < 1
    own = rows["short"]["own_head"]
    assert own["value"] + own["difference"] == pytest.approx(rows["short"]["value"])
    assert "2 runs, 0 to make" in quality(*words).stderr
    assert "digits@100" in quality("report", "--against", "short").stdout
