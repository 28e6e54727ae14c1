"""The formats of an export, a row each: what writes one, what runs it, and how it is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.core.registry import Code
from fmkit.train.features import engine

LOADER = "load.py"
"""The file in each export that loads it."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        title: in messages.
        file: the model's name in its folder; that of a folder for SavedModel.
        write: `(deployed Keras model, path, input signature) -> None`.
        runtime: the distribution that runs it.
        install: distributions that a user of the file needs.
        imports: lines at the top of its loader.
        loads: lines of its loader that define `run`, from arrays by input to arrays by output.
        resizes: its graph has the antialiased resize, so that images of any size go in.
    """

    title: str
    file: str
    write: Code
    runtime: str
    install: str
    imports: str
    loads: str
    resizes: bool = False


_SAVED_MODEL = """\
    signature = tf.saved_model.load(str(FOLDER / "model")).signatures["serving_default"]

    def run(inputs):
        inputs = {name: tf.constant(array) for name, array in inputs.items()}
        return {name: value.numpy() for name, value in signature(**inputs).items()}
"""
_KERAS = """\
    model = keras.saving.load_model(FOLDER / "model.keras", compile=False)

    def run(inputs):
        (array,) = inputs.values()
        outputs = model.predict_on_batch(array)
        return {name: np.asarray(value) for name, value in outputs.items()}
"""
_ONNX = """\
    session = onnxruntime.InferenceSession(
        str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def run(inputs):
        return dict(zip(names, session.run(names, inputs)))
"""
_LITERT = """\
    signature = Interpreter(str(FOLDER / "model.tflite")).get_signature_runner()

    def run(inputs):
        return {name: np.array(value) for name, value in signature(**inputs).items()}
"""
_OPENVINO = """\
    # A processor that has bfloat16 would compute in it.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(str(FOLDER / "model.xml"), "CPU", settings)

    def run(inputs):
        results = model(inputs)  # which may have other names, and others beside them
        return {output["name"]: results[output["name"]] for output in METADATA["outputs"]}
"""


def write_saved_model(model: keras.Model, path: Path, signature: Sequence[Any]) -> None:
    """TensorFlow's SavedModel, a folder."""
    model.export(str(path), format="tf_saved_model", verbose=False, input_signature=signature)


def write_keras(model: keras.Model, path: Path, signature: Sequence[Any]) -> None:
    """Keras' own format."""
    model.save(path)


def write_onnx(model: keras.Model, path: Path, signature: Sequence[Any]) -> None:
    """ONNX, by tf2onnx."""
    _teach_erfc()
    model.export(str(path), format="onnx", verbose=False, input_signature=signature)


def _teach_erfc() -> None:
    """Let tf2onnx write 1 - erf(x) for erfc(x), which ONNX does not have: GELU computes with it.

    In float32 it is as exact here: GELU multiplies it by x / 2, and where it is small so is that.
    """
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        """The handler, by the name of the method for the first opset with its operations."""

        @classmethod
        def version_9(cls, context: Any, node: Any, **_: Any) -> None:
            """Replace the node."""
            one = context.make_const(f"{node.name}_one", np.ones((), np.float32))
            erf = context.make_node("Erf", node.input)
            shapes, dtypes = node.output_shapes, node.output_dtypes
            context.remove_node(node.name)
            context.make_node(
                "Sub", [one.output[0], erf.output[0]], name=node.name, outputs=node.output,
                shapes=shapes, dtypes=dtypes,
            )  # fmt: skip


def write_litert(model: keras.Model, path: Path, signature: Sequence[Any]) -> None:
    """LiteRT, by TensorFlow's converter, of built-in operations alone.

    Raises:
        Exception: the model needs others, for which a LiteRT runtime has no code.
    """
    import tensorflow as tf

    model.export(
        str(path), format="litert", verbose=False, input_signature=signature,
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
    )  # fmt: skip


def write_openvino(model: keras.Model, path: Path, signature: Sequence[Any]) -> None:
    """OpenVINO's `.xml` with `.bin` beside it."""
    engine.write_openvino(model, path, input_signature=signature)


FORMATS: dict[str, Format] = {
    "saved_model": Format(
        "SavedModel", "model", write_saved_model, "tensorflow", "tensorflow",
        "import tensorflow as tf", _SAVED_MODEL, resizes=True,
    ),
    "keras": Format(
        "Keras", "model.keras", write_keras, "keras", "tensorflow keras keras-hub",
        "import keras\nimport keras_hub  # noqa: F401 - the layers of its models", _KERAS,
        resizes=True,
    ),
    "onnx": Format(
        "ONNX", "model.onnx", write_onnx, "onnxruntime", "onnxruntime", "import onnxruntime", _ONNX,
    ),
    "litert": Format(
        "LiteRT", "model.tflite", write_litert, "ai-edge-litert", "ai-edge-litert",
        "from ai_edge_litert.interpreter import Interpreter", _LITERT,
    ),
    "openvino": Format(
        "OpenVINO", "model.xml", write_openvino, "openvino", "openvino", "import openvino",
        _OPENVINO,
    ),
}  # fmt: skip
"""By the name in `format`."""
