"""The defaults of a task, which a plugin's object gets, too."""

import types

import numpy as np

from fmkit.config import registry as rows
from fmkit.config.schema.task import ClassificationConfig
from fmkit.core import registry
from fmkit.core.types import DataSpec
from fmkit.tasks import registry as task_registry
from fmkit.tasks.base import Task, add_defaults


def test_every_task_derives_from_the_base_class():
    for name in ("classification", "masked_lm", "dpo", "question_answering", "simclr"):
        assert issubclass(registry.load(rows.task_entry(name).task), Task)


def test_an_object_that_does_not_derive_from_task_gets_its_defaults():
    def head(backbone, config):
        return backbone

    task = add_defaults(types.SimpleNamespace(name="plain", num_classes=3, head=head))
    assert (task.name, task.num_classes, task.head) == ("plain", 3, head)
    assert (task.input_format, task.views_per_image, task.extra_inputs) == ("examples", 1, ())
    np.testing.assert_array_equal(task.targets("abc"), [0, 0, 0])
    assert task.epoch_evaluator(None, None, None, {}) is None
    assert task.inference("outputs") == "outputs"


def test_a_task_of_ours_is_left_as_it_is():
    spec = DataSpec("image", ("a", "b"), {"train": {"a": 1, "b": 1}})
    task = task_registry.build(ClassificationConfig(), spec)
    assert "input_format" not in vars(task)
    assert task.num_classes == 2
