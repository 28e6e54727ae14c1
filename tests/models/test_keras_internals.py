"""What fmkit uses of Keras' private API is in one file, and does there what that file says."""

import ast
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from fmkit.models import keras_internals

PACKAGE = Path(keras_internals.__file__).parents[1]
OWN = Path(keras_internals.__file__)
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != OWN)


def imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def own_names(tree: ast.Module) -> set[str]:
    """Private names that a file itself defines: functions, fields, and attributes of `self`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                names |= {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {node.attr} if ast.unparse(node.value) in ("self", "cls") else set()
    return names


def private_uses(text: str) -> list[str]:
    """Imports of Keras' inner modules, and private attributes that are not the file's own."""
    tree = ast.parse(text)
    names = imported(tree)
    uses = [name for name in names if name.startswith(("keras.src", "keras_hub.src"))]
    if not {name.partition(".")[0] for name in names} & {"keras", "keras_hub"}:
        return uses
    own = own_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            of_super = ast.unparse(node.value) == "super()"
            if not node.attr.startswith("__") and (of_super or node.attr not in own):
                uses.append(f"line {node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.Constant) and str(node.value).startswith("keras.src"):
            uses.append(f"line {node.lineno}: {node.value!r}")
    return uses


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_parts_of_keras_are_used_nowhere_else(path):
    assert private_uses(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "from keras.src.saving import saving_lib",
        "from keras_hub.src.utils import preset_utils",
        "import keras; layer._kernel.assign(0)",
        "import keras; layer._flatten_layers()",
        "import keras; layer._kernel = 0",
        "import keras; super()._clip_gradients(gradients)",
        "import keras; type(layer).__module__.startswith('keras.src.layers')",
        "import keras_hub; self._self_attention_layer",
    ],
)
def test_the_test_sees_it(line):
    assert private_uses(line)


def nested():
    """A model with a model inside it, two branches, and a BatchNorm."""
    inner_input = keras.Input((4,))
    inner = keras.Model(inner_input, keras.layers.Dense(4, name="deep")(inner_input), name="inner")
    inputs = keras.Input((4,))
    x = keras.layers.BatchNormalization(name="norm")(inner(inputs))
    return keras.Model(inputs, keras.layers.Add(name="sum")([x, inputs]))


def test_layers_at_every_depth():
    model = nested()
    names = [layer.name for layer in keras_internals.all_layers(model)]
    assert {"inner", "deep", "norm", "sum"} <= set(names)
    assert names.index("inner") < names.index("deep")
    assert keras_internals.all_layers(model, include_self=True)[0] is model
    assert "deep" not in [layer.name for layer in keras_internals.child_layers(model)]
    assert all(keras_internals.is_keras_layer(layer) for layer in model.layers[2:])


def test_variables_of_a_frozen_layer():
    norm = nested().get_layer("norm")
    norm.trainable = False
    assert norm.trainable_variables == []
    own = keras_internals.own_trainable_variables(norm)
    assert [variable.name for variable in own] == ["gamma", "beta"]
    state = keras_internals.own_state_variables(norm)
    assert [variable.name for variable in state] == ["moving_mean", "moving_variance"]


def test_a_graph_is_run_layer_by_layer():
    model = nested()
    inputs = keras.Input((4,))
    again = keras.Model(inputs, keras_internals.run_graph(model, [inputs]))
    assert again.get_layer("norm") is model.get_layer("norm")
    values = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_array_equal(again(values), model(values))
    operations = [node.operation.name for node in keras_internals.graph_nodes(model)]
    assert operations[-1] == "sum"


def test_a_graph_is_run_in_the_mode_that_is_asked_for():
    inputs = keras.Input((50,))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs))

    def run(operation):
        return keras_internals.call_operation(operation, training=True)

    ones = keras_internals.standardize_inputs(model, np.ones((2, 50), "float32"))
    assert (ops.convert_to_numpy(keras_internals.run_graph(model, ones)) == 1).all()
    assert (ops.convert_to_numpy(keras_internals.run_graph(model, ones, run)) == 0).any()


def test_storage_paths_are_those_of_the_file(tmp_path):
    model = nested()
    model.save_weights(tmp_path / "a.weights.h5")
    paths = keras_internals.storage_paths(model)
    with h5py.File(tmp_path / "a.weights.h5") as file:
        for variable in model.weights:
            np.testing.assert_array_equal(file[paths[id(variable)]], variable)


def test_lora_leaves_no_trace():
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    kernel = layer.kernel
    layer.enable_lora(1)
    assert keras_internals.dense_kernel(layer) is kernel
    assert layer.kernel is not kernel
    keras_internals.delete_lora_variables(layer, ["lora_kernel_a", "lora_kernel_b"])
    assert [variable.name for variable in layer.weights] == ["kernel", "bias"]


def test_keras_calls_the_corrected_hooks_of_an_optimizer():
    class Mine(keras_internals.RunOptimizer, keras.optimizers.SGD):
        pass

    hooks = [
        name
        for name in vars(keras_internals.RunOptimizer)
        if name.startswith("_") and name[1] != "_"
    ]
    assert all(callable(getattr(keras.optimizers.SGD, name)) for name in hooks)
    variable = keras.Variable(np.ones(2, "float32"))
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.5])
    optimizer = Mine(
        schedule, weight_decay=0.5, use_ema=True, ema_momentum=0.0, clipnorm=1.0,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    optimizer.build([variable])
    for _ in range(4):
        optimizer.apply([ops.array([3.0, 4.0])])
    # Two updates: the first at rate 1, the second at 0.5, each of norm 1, and no weight decay here.
    np.testing.assert_allclose(variable, [1 - 1.5 * 0.6, 1 - 1.5 * 0.8], rtol=1e-6)
    ((trained, average),) = keras_internals.moving_averages(optimizer)
    assert trained is variable
    np.testing.assert_allclose(average, variable)
    assert keras_internals.replica_count(optimizer) == 1
    assert optimizer.variable_index(variable) == 0
    assert keras_internals.learning_rate_or_schedule(keras.optimizers.SGD(schedule)) is schedule


def test_variables_can_begin_at_zero_and_do_not_otherwise():
    def kernel():
        keras.utils.set_random_seed(0)
        layer = keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal())
        layer.build((None, 2))
        return ops.convert_to_numpy(layer.kernel)

    before = kernel()
    with keras_internals.begin_at_zero():
        assert not kernel().any()
    assert before.all()
    np.testing.assert_array_equal(kernel(), before)
