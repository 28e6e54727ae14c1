"""Keys of labels: lists of columns, and what does not go together."""

import pytest

from fmkit.config import command_line
from fmkit.config.preflight import check
from fmkit.config.saved_config import overrides, quote
from fmkit.core.errors import ConfigError
from fmkit.data.sources import registry as source_registry
from fmkit.models import registry as model_registry
from fmkit.tasks import registry as task_registry

NAMES = {
    "model.name": model_registry.names(),
    "data.name": source_registry.names(),
    "task.name": task_registry.names(),
}
TEXTS = ("data=text_table", "data.root=texts.csv", "model=small_bert")


def checked(*words, command="finetune"):
    return check(command_line.parse(command, words), NAMES)


@pytest.mark.parametrize(
    ("task", "kind"),
    [("classification", "classes"), ("multi_label", "sets"), ("regression", "numbers"),
     ("masked_lm", "classes")],
)  # fmt: skip
def test_the_task_decides_what_labels_are(task, kind):
    assert checked(*TEXTS, f"task={task}").data.labels == kind


def test_columns_are_a_list_that_a_record_gives_back():
    columns = ["a b", "it's", "2020", "x,y", "[z]", "\\"]
    config = checked(*TEXTS, "task=regression", f"data.label_columns={quote(columns)}")
    assert config.data.label_columns == columns
    recorded = {"data": {"name": "text_table", "root": "t.csv", "label_columns": columns}}
    again = checked(*overrides(recorded, "data", set()), "task=regression", "model=small_bert")
    assert again.data.label_columns == columns
    assert checked(*TEXTS, "task=regression", "data.label_columns=null").data.label_columns is None


def test_a_file_of_the_users_may_name_columns(tmp_path):
    (tmp_path / "data").mkdir()
    text = "defaults: [text_table, _self_]\nroot: t.csv\nlabel_columns: [one, 2]\n"
    (tmp_path / "data" / "mine.yaml").write_text(text)
    words = (f"--config-dir={tmp_path}", "data=mine", "task=multi_label", "model=small_bert")
    assert checked(*words).data.label_columns == ["one", "2"]
    (tmp_path / "data" / "mine.yaml").write_text(text.replace("[one, 2]", "one"))
    with pytest.raises(ConfigError, match=r"mine.yaml:3: .*Expected a list of texts"):
        checked(*words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*TEXTS, "task=regression", "data.label_columns=a"), "Expected a list of texts"),
        ((*TEXTS, "task=regression", "data.label_columns=[]"), "must not be empty"),
        ((*TEXTS, "task=regression", "data.label_columns=[a,b,a]"), "duplicate entries: a"),
        ((*TEXTS, "task=regression", "data.label_columns=[a,[b]]"), "a list of names"),
        ((*TEXTS, "task=regression", "data.label_columns=['${oc.env:HOME}']"), "refers to"),
        ((*TEXTS, "task=regression", "data.label_columns=[null]"), "a list of names"),
        ((*TEXTS, "data.label_columns=[a,b]"), "Take task=multi_label or task=regression"),
        ((*TEXTS, "task=regression", "data.labels=sets"), "or use task=multi_label"),
        ((*TEXTS, "data.labels=numbers"), "or use task=regression"),
        ((*TEXTS, "task=multi_label", "data.shots=4"), "Take data.limit"),
        (("task=regression", "data=digits"), "data=digits has class labels"),
        (("task=multi_label", "data=photos", "data.root=photos"), "data=photos has no labels"),
        (("task=regression", "data=elpv", "task.loss=mea"), "Did you mean mse or mae?"),
        (("task=regression", "data=elpv", "task.monitor=val_accuracy"), "val_mae"),
        (("task=regression", "data=elpv", "task.huber_delta=0"), "a number above 0"),
        (
            ("task=regression", "data=elpv", "task.loss=mae", "stage.head.solver=lbfgs"),
            "least squares",
        ),
    ],
)
def test_what_does_not_go_together_is_told(words, told):
    with pytest.raises(ConfigError) as error:
        checked(*words)
    assert told in str(error.value)


def test_check_wants_to_know_what_columns_are():
    words = ("data=text_table", "data.root=t.csv", "data.label_columns=[a,b]")
    with pytest.raises(ConfigError, match=r"data\.labels=sets or data\.labels=numbers"):
        checked(*words, command="check")
    assert checked(*words, "data.labels=sets", command="check").data.labels == "sets"


def test_a_recipe_and_numbers_go_together():
    config = checked("task=regression", "data=elpv", "recipe=auto")
    assert (config.recipe, config.data.labels) == ("auto", "numbers")
