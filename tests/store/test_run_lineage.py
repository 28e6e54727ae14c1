"""Trees of runs, by the run that each started from."""

import json

import pytest

from fmkit.store import run_lineage
from fmkit.store.run_table import RunTable


@pytest.fixture
def root(tmp_path):
    def make(day, name, **status):
        folder = tmp_path / "finetune" / name
        folder.mkdir(parents=True)
        content = {"state": "done", "started": f"2026-01-{day:02d}T00:00:00+00:00", **status}
        (folder / "status.json").write_text(json.dumps(content))
        return folder

    first = make(1, "first")
    second = make(2, "second", init=str(first))
    make(3, "third", init=str(first))
    make(4, "grandchild", init=str(second))
    make(5, "alone")
    make(6, "of_another_place", init="/gone/runs/finetune/x")
    by_weights = make(7, "by_weights")
    weights = f"model: {{weights: {first / 'model.keras'}}}\n"
    (by_weights / "config.yaml").write_text(weights)
    return tmp_path


def shown(nodes):
    return [(node.run.id, node.depth, node.is_last) for node in nodes]


def test_a_run_stands_below_the_one_that_it_started_from(root):
    nodes = list(run_lineage.tree(RunTable(root)))
    assert shown(nodes) == [
        ("of_another_place", 0, True),
        ("first", 0, True), ("second", 1, False), ("grandchild", 2, True), ("third", 1, False),
        ("by_weights", 1, True),
    ]  # fmt: skip
    assert nodes[0].link.parent is None
    assert nodes[0].link.path == "/gone/runs/finetune/x"
    assert nodes[-1].link.key == "model.weights"


def test_one_run_has_its_whole_family(root):
    table = RunTable(root)
    family = shown(run_lineage.tree(table, root / "finetune" / "grandchild"))
    assert family[0] == ("first", 0, True)
    assert len(family) == 5
    assert shown(run_lineage.tree(table, root / "finetune" / "alone")) == [("alone", 0, True)]


def test_records_that_name_each_other_end(root):
    status = root / "finetune" / "first" / "status.json"
    content = json.loads(status.read_text())
    status.write_text(json.dumps(content | {"init": str(root / "finetune" / "grandchild")}))
    table = RunTable(root)
    assert len(list(run_lineage.tree(table, root / "finetune" / "second"))) == 5
    assert "first" in {node.run.id for node in run_lineage.tree(table, root / "finetune" / "first")}
