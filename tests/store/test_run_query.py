"""Conditions on runs, their order, and what is said about runs without a value."""

import json
import time

import pytest

import fmkit
from fmkit.core.errors import ConfigError
from fmkit.store import array_cache, run_files, run_query
from fmkit.store.run_query import Condition, Query
from fmkit.store.run_table import RunTable

CONFIG = "model: {{name: {model}}}\noptimizer: {{learning_rate: {rate}}}\ninit: null\nfast: true\n"


def make(root, identity, started, **status):
    folder = root / "finetune" / identity
    (folder / "eval").mkdir(parents=True)
    model, rate = status.pop("model_name", "small_cnn"), status.pop("rate", "1e-3")
    (folder / "config.yaml").write_text(CONFIG.format(model=model, rate=rate))
    content = {"state": "done", "started": started, **status}
    (folder / "status.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "runs"
    recent = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 3600))
    make(root, "a", "2026-01-01T00:00:00+00:00", test={"accuracy": 0.95}, seconds=30.0, rate=0.001)
    make(root, "b", "2026-01-02T00:00:00+00:00", test={"accuracy": 0.5}, name="lr 3", rate="3e-4")
    make(root, "c", "2026-01-03T00:00:00+00:00", model_name="minilm", state="failed", reason="x")
    folder = make(root, "d", recent, test={"accuracy": 1}, parameters=17)
    figures = {"accuracy": 1.0, "per_class": {"cat": {"f1": 0.25}}, "confusion": [[1, 2]]}
    (folder / "eval" / "test.json").write_text(json.dumps(figures))
    (folder / "eval" / "val.json").write_text(json.dumps({"loss": 0.5}))
    return root


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("test.accuracy>0.9", "da"), ("test.accuracy>=0.95", "da"), ("test.accuracy<.95", "b"),
        ("test.accuracy<=0.5", "b"), ("test.accuracy=1.0", "d"), ("test.accuracy!=1", "ba"),
        ("test.accuracy == 1", "d"),
        ("optimizer.learning_rate=1e-3", "dca"), ("optimizer.learning_rate=0.0003", "b"),
        ("model.name=minilm", "c"), ("model.name~MINI", "c"), ("model.name~*cnn", "dba"),
        ("model.name!~mini*", "dba"), ("state!=done", "c"), ("age<2d", "d"), ("age>=1 day", "cba"),
        ("age<90min", "d"), ("seconds<1 min", "a"), ("started>2026-01-01T12:00", "dcb"),
        ("name=lr 3", "b"), ("name=null", "dca"), ("name!=null", "b"), ("init=null", "dcba"),
        ("fast=true", "dcba"), ("fast=False", ""), ("parameters=17", "d"),
        ("test.per_class.cat.f1<0.5", "d"), ("val.loss=0.5", "d"), ("id~*", "dcba"),
        ("test.accuracy > 0.9 and age < 2d", "d"), ("state=done name~lr", "b"),
    ],
)  # fmt: skip
def test_conditions(root, condition, expected):
    table = RunTable(root)
    selected = run_query.select(table, Query(run_query.parse_words([condition])))
    assert "".join(run.id for run in selected.runs) == expected
    if condition != "name=lr 3":  # a shell takes the quotes off; a text field has them
        parsed = run_query.parse_text(condition.replace("1 day", "1day").replace("1 min", "1min"))
        assert [run.id for run in run_query.select(table, Query(parsed)).runs] == list(expected)


def test_a_text_has_quotes_as_in_a_shell():
    assert run_query.parse_text("name = 'lr 3' and age<2d") == [
        Condition("name", "=", "lr 3"), Condition("age", "<", "2d"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="quote"):
        run_query.parse_text("name='lr")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["test.acuracy>0.9"], "Did you mean test.accuracy"),
        (["model.nam=x"], "Did you mean model.name"),
        (["test.accuracy>high"], "a number"),
        (["age<soon"], "a time"),
        (["started>soon"], "a date"),
        (["model.name>3"], "not numbers, such as 'small_cnn'"),
        (["test.accuracy"], "in quotes"),
        (["test.accuracy>"], "has no value"),
    ],
    ids=str,
)
def test_a_wrong_condition_is_one_sentence(root, words, part):
    with pytest.raises(ConfigError) as caught:
        run_query.select(RunTable(root), Query(run_query.parse_words(words)))
    assert part in str(caught.value)


def test_the_order_and_who_has_no_value(root):
    table = RunTable(root)
    selected = run_query.select(table, Query((), ["-test.accuracy"]))
    assert [run.id for run in selected.runs] == ["d", "a", "b", "c"]
    assert selected.remarks == ["1 run without test.accuracy is last"]
    selected = run_query.select(table, Query((), ["model.name", "test.accuracy"], limit=2))
    assert [run.id for run in selected.runs] == ["c", "b"]
    assert selected.matching == 4
    conditions = run_query.parse_words(["test.accuracy>0", "state=done"])
    selected = run_query.select(table, Query(conditions, ["test.accuracy"]), ["parameters"])
    assert selected.remarks == ["1 run without test.accuracy is left out"]
    assert selected.values["parameters"] == [None, None, 17]


def test_a_stopped_run_that_was_evaluated_has_these_figures(root):
    folder = make(root, "e", "2026-01-04T00:00:00+00:00", state="interrupted")
    (folder / "eval" / "test.json").write_text('{"accuracy": 0.75}')
    assert RunTable(root).column("test.accuracy")[1] == 0.75


@pytest.mark.parametrize("content", ["{", "[1]", "a: *b", "- 1\n- 2", "\0", "x" * 300_000])
def test_a_damaged_config_hides_no_other_run(root, content):
    (root / "finetune" / "b" / "config.yaml").write_text(content)
    assert RunTable(root).column("model.name") == ["small_cnn", "minilm", None, "small_cnn"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3_660, "1 h 01 min"), (93_600, "1 d 2 h")],
)
def test_an_age_in_words(seconds, text):
    assert run_query.age_text(seconds) == text


def test_the_python_front_has_the_same_conditions(root):
    table = fmkit.runs(root, where="test.accuracy>0.9", sort="-test.accuracy")
    assert list(table["id"]) == ["d", "a"]
    table = fmkit.runs(root, columns=["model.name", "test.accuracy"])
    assert list(table.columns) == ["id", "model.name", "test.accuracy"]
    assert list(table["model.name"]) == ["small_cnn", "minilm", "small_cnn", "small_cnn"]
    with pytest.raises(ConfigError, match="Did you mean"):
        fmkit.runs(root, sort="test.acuracy")


class TestCache:
    """Files of many runs are read once, and again when they change."""

    @pytest.fixture
    def settled(self, root, monkeypatch):
        monkeypatch.setattr(run_files, "_LEAST_FILES", 1)
        monkeypatch.setattr(run_files, "_SETTLED_NANOSECONDS", 0)
        return root

    def answers(self, root):
        table = RunTable(root)
        keys = ("test.accuracy", "model.name", "parameters", "test.per_class.cat.f1")
        return [run.id for run in table.runs], table.columns(keys)

    def test_nothing_is_parsed_twice(self, settled, monkeypatch):
        first = self.answers(settled)
        for function in ("_summary", "_config_of", "_figures"):
            monkeypatch.setattr(f"fmkit.store.run_table.{function}", None)  # would fail
        assert self.answers(settled) == first

    def test_changes_are_seen(self, settled):
        self.answers(settled)
        status = settled / "finetune" / "b" / "status.json"
        status.write_text(status.read_text().replace("0.5", "0.625"))
        config = settled / "finetune" / "c" / "config.yaml"
        config.write_text(config.read_text().replace("minilm", "small_bert"))
        make(settled, "f", "2026-02-01T00:00:00+00:00", test={"accuracy": 0.125})
        ids, columns = self.answers(settled)
        assert ids == ["d", "f", "c", "b", "a"]
        assert columns["test.accuracy"] == [1, 0.125, None, 0.625, 0.95]
        assert columns["model.name"][2] == "small_bert"

    def test_what_changed_just_now_is_not_trusted(self, settled, monkeypatch):
        monkeypatch.setattr(run_files, "_SETTLED_NANOSECONDS", 10**12)
        first = self.answers(settled)
        calls = []
        monkeypatch.setattr("fmkit.store.run_table._figures", lambda path: calls.append(path) or {})
        assert self.answers(settled) != first
        assert calls

    def test_it_is_cleared_with_the_feature_cache(self, settled):
        self.answers(settled)
        cache = run_files.RunFiles(settled)._cache
        assert cache.is_file()
        array_cache.clear_scans(cache.parent.parent)
        assert not cache.exists()

    @pytest.mark.parametrize("damage", [b"no database", b"SQLite format 3\0", None])
    def test_a_damaged_cache_changes_nothing(self, settled, damage):
        first = self.answers(settled)
        (path,) = [run_files.RunFiles(settled)._cache]
        if damage is None:
            path.unlink()
            path.mkdir()
        else:
            path.write_bytes(damage)
        assert self.answers(settled) == first
