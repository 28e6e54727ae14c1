"""Runs a model over photos or texts once: Keras, or OpenVINO where that is as exact.

B batch, S side of the image in pixels, T tokens of the longest text in a batch.
"""

import importlib.util
import math
import queue
import re
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.core import console
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.models.backbone import PADDING

TOLERANCE = 2e-4
"""Most an output may differ from Keras', as a share of the largest value in it.

float32 differs by about 1e-6 (MobileNet) to 1e-5 (EfficientNet-Lite); one bfloat16 product rounds
by 4e-3 and one float16 product by 5e-4, so an engine that computes in either is caught.
"""

WORTH_PRODUCTS = 2e12
"""Products of a weight and a position, over a whole pass, below which `auto` saves an export.

An export takes some 5 s of processor time, of whichever network. ResNet50 at 224 px repays it after
300 photos of 4e9 products each; EfficientNet-Lite0 runs about as fast in Keras, so that the export
must be a small part of the pass.
"""

_CHUNK = 8
"""Examples per request. EfficientNet-Lite0 ran 1.5 times as fast in a fixed shape as in a free."""

RUNS_AT_ONCE = 2
"""Batches that an engine may have at a time; at the end of one, cores would wait for each other."""

_HINT = "Remove runtime.extractor, or set runtime.extractor=keras."

Runner = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Engine:
    """Runs the one pass.

    Attributes:
        name: `keras`, or `openvino` and its version.
        reason: why this one, as a phrase.
        parity: the first batch against Keras, over all outputs: `max_abs`, `max_rel` (a share of
            the output's largest value), the `engine` and the `allowed` max_rel; None for Keras.
        run: images (B, S, S, 3), uint8 or float32, 0 to 255, or tokens (B, T) int32, padded with
            -1 -> an array for each of `model.outputs`, in that order, in the model's dtype. B and T
            may differ from call to call.
    """

    name: str
    reason: str
    parity: dict[str, Any] | None
    run: Runner

    def run_all(self, batches: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """The outputs of batches of any sizes, in their order."""
        if self.parity is None:  # Keras traces a new size, and not in a thread without its settings
            return map(self.run, batches)
        return run_ahead(self.run, batches)


def choose(
    model: keras.Model,
    setting: str,
    kind: str,
    first_batch: np.ndarray,
    precision: str,
    count: int | None = None,
) -> Engine:
    """The engine for a pass of a model that does not train.

    Args:
        model: Functional model with one input, (B, S, S, 3) or (B, T); its weights must stay as
            they are. Of texts its outputs are vectors, which depend on no padding.
        setting: `runtime.extractor`. `auto` never fails because of OpenVINO: it uses Keras then.
        kind: `cpu` or `gpu`.
        first_batch: images (B, S, S, 3) or tokens (B, T), on which OpenVINO has to agree with
            Keras; texts of several lengths, as are those of the pass.
        precision: Keras' name of the dtype policy; an engine computes in float32 only.
        count: examples of the pass, so that `auto` exports for a long one only; None where that is
            not known.

    Raises:
        ConfigError: `openvino` is set and is not installed, or cannot compute in this precision.
        ArtifactError: `openvino` is set and cannot run the model, or disagrees with Keras.
    """
    run_keras, is_required = _keras(model), setting == "openvino"
    reason = why_keras(setting, kind, precision)
    if not reason and not is_required:
        reason = _why_not_worth(model, first_batch, count)
    if reason:
        return Engine("keras", reason, None, run_keras)
    problem, cause = "", None
    try:
        name, run = _openvino(model, first_batch.shape)
        parity = compare(name, run, run_keras, first_batch)
        if not parity["max_rel"] <= TOLERANCE:  # so that NaN is a problem
            problem = (
                f"{name} differs from Keras on the first batch by {parity['max_rel']:.1e} of the "
                f"largest value ({parity['max_abs']:.1e}); allowed is {TOLERANCE:.0e}"
            )
    except Exception as error:  # auto must not lose a run to a faster way of doing the same
        problem, cause = f"OpenVINO failed: {_short(error)}", error
    if problem and is_required:
        raise ArtifactError(f"runtime.extractor=openvino: {problem}.", _HINT) from cause
    if problem:
        return Engine("keras", problem, None, run_keras)
    if is_required:
        return Engine(name, "runtime.extractor=openvino", parity, run)
    reason = "installed, on a CPU, and equal to Keras on the first batch"
    return Engine(name, reason, parity, _with_fallback(run, run_keras))


def run_ahead(run: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
    """What comes of batches, in their order, `RUNS_AT_ONCE` of which are run at a time."""
    running: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
        for batch in batches:
            running.append(pool.submit(run, batch))
            if len(running) == RUNS_AT_ONCE:
                yield running.popleft().result()
        for future in running:
            yield future.result()


def compare(name: str, run: Runner, reference: Runner, inputs: np.ndarray) -> dict[str, Any]:
    """The `parity` of an engine with Keras on a batch; ArtifactError if the shapes differ.

    Shorter texts are compared a second time, with less padding than Keras saw them with.
    """
    expected = reference(inputs)
    pairs = [(run(inputs), expected)]
    if _has_tokens(inputs) and (is_short := _shorter_texts(inputs)).any():
        longest = int((inputs[is_short] != PADDING).sum(axis=1).max())
        pairs.append((run(inputs[is_short, :longest]), [output[is_short] for output in expected]))
    differences, shares = [0.0], [0.0]
    for outputs, references in pairs:
        shapes = [output.shape for output in outputs]
        expected_shapes = [output.shape for output in references]
        if shapes != expected_shapes:
            raise ArtifactError(
                f"{name} gave outputs of shapes {shapes}; Keras gives {expected_shapes}."
            )
        for ours, theirs in zip(outputs, references, strict=True):
            difference = np.max(np.abs(ours.astype(np.float64) - theirs), initial=0.0)
            largest = np.max(np.abs(theirs), initial=0.0)
            differences.append(float(difference))
            shares.append(float(difference / largest) if largest else float(difference))
    # NumPy's maximum, unlike Python's, is NaN when one of them is.
    return {
        "engine": name,
        "max_abs": float(np.max(differences)),
        "max_rel": float(np.max(shares)),
        "allowed": TOLERANCE,
    }


def why_keras(setting: str, kind: str, precision: str) -> str:
    """Why no other engine is to be tried, whatever the inputs; empty where one may be.

    Raises:
        ConfigError: `openvino` is set and is not installed, or cannot compute in this precision.
    """
    if setting == "keras":
        return "runtime.extractor=keras"
    if setting == "openvino":
        if not _installed():
            raise ConfigError(
                "runtime.extractor=openvino: OpenVINO is not installed.",
                "Install it: pip install 'fmkit[openvino]'",
            )
        if precision != "float32":
            raise ConfigError(
                "runtime.extractor=openvino computes in float32, but the precision is "
                f"{precision}.",
                "Set runtime.precision=float32, or remove runtime.extractor.",
            )
        return ""
    if kind != "cpu":
        return "on a GPU"
    if precision != "float32":
        return f"the precision is {precision}"
    return "" if _installed() else "OpenVINO is not installed"


def _why_not_worth(model: keras.Model, first_batch: np.ndarray, count: int | None) -> str:
    """Why an export would not be repaid by a pass over `count` examples; empty where it would."""
    if has_tokens := _has_tokens(first_batch):
        tokens = float((first_batch != PADDING).sum(axis=1).mean())
    elif first_batch.ndim == 4:
        tokens = 1.0  # maps have sizes of their own
    else:
        return "the model reads neither images nor texts"
    if count is not None and count * _products(model, tokens) < WORTH_PRODUCTS:
        return f"too few {'texts' if has_tokens else 'images'} to repay an export to OpenVINO"
    return ""


def _has_tokens(inputs: np.ndarray) -> bool:
    return inputs.ndim == 2 and np.issubdtype(inputs.dtype, np.integer)


def _shorter_texts(tokens: np.ndarray) -> np.ndarray:
    """Which of the texts are shorter than the median, (B,) bool."""
    lengths = (tokens != PADDING).sum(axis=1)
    return np.asarray((lengths < np.median(lengths)) & (lengths > 0))


def _products(model: keras.Model, tokens: float) -> float:
    """Products of a weight and a position for one example; embeddings are looked up.

    Args:
        model: Functional model.
        tokens: positions where the model does not know how many.
    """
    total = 0.0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += _products(layer, tokens)
            continue
        sizes = keras.tree.flatten(layer.output)[0].shape[1:-1]
        positions = math.prod(tokens if size is None else size for size in sizes)
        kernels = (weight.shape for weight in layer.weights if "embedding" not in weight.path)
        total += positions * sum(math.prod(shape) for shape in kernels if len(shape) > 1)
    return total


def _installed() -> bool:
    return importlib.util.find_spec("openvino") is not None


def _keras(model: keras.Model) -> Runner:
    def run(inputs: np.ndarray) -> list[np.ndarray]:
        # Under MirroredStrategy every replica gets the whole batch and the results are joined.
        outputs = keras.tree.flatten(model.predict_on_batch(inputs))
        return [np.asarray(output)[: len(inputs)] for output in outputs]

    return run


def write_openvino(model: keras.Model, path: Path, **options: Any) -> None:
    """Write a model for OpenVINO, `.xml` with `.bin` beside it; options are those of `export`."""
    # Its converter reports each use to an analytics service where this package is installed.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    model.export(str(path), format="openvino", verbose=False, **options)


def _openvino(model: keras.Model, shape: tuple[int, ...]) -> tuple[str, Runner]:
    """The name and version of OpenVINO, and what runs the model; batches are mostly of `shape`."""
    import openvino

    chunk = min(_CHUNK, shape[0])
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file is removed
    with tempfile.TemporaryDirectory(prefix="fmkit-openvino-") as folder:
        path = Path(folder) / "model.xml"
        write_openvino(model, path)
        graph = core.read_model(path)
        has_tokens = len(shape) == 2
        graph.reshape([chunk, -1] if has_tokens else [chunk, *shape[1:]])
        settings = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "PERFORMANCE_HINT_NUM_REQUESTS": -(-shape[0] // chunk),
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 on a CPU that has it
            "EXECUTION_MODE_HINT": "ACCURACY",
            "ENABLE_CPU_PINNING": False,  # the input pipeline works on the same cores
        }
        compiled = core.compile_model(graph, "CPU", settings)
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = [
        [compiled.create_infer_request() for _ in range(count)] for _ in range(RUNS_AT_ONCE)
    ]
    name = f"openvino {openvino.__version__.split('-')[0]}"
    dtype = np.int32 if has_tokens else np.float32
    return name, _in_chunks(requests, chunk, _order(compiled.outputs), dtype)


def _order(outputs: list[Any]) -> list[int]:
    """Where each output of the model is among those of the engine.

    TensorFlow names them Identity, Identity_1 and so on, and the converter sorts them as text:
    the eleventh comes before the third. It adds outputs that nothing reads, as attention has.
    """
    numbered = []
    for index, output in enumerate(outputs):
        matches = (re.fullmatch(r"Identity(?:_(\d+))?:0", name) for name in output.get_names())
        numbers = [int(match.group(1) or 0) for match in matches if match]
        if numbers:
            numbered.append((numbers[0], index))
    if not numbered:  # another backend's names
        return list(range(len(outputs)))
    return [index for _, index in sorted(numbered)]


def _in_chunks(groups: list[list[Any]], chunk: int, order: list[int], dtype: Any) -> Runner:
    """Runs a batch of any size in chunks of a fixed one, each on the next of the requests of a
    group; as many batches may be run at a time as there are groups, by threads."""
    idle: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
    for group in groups:
        idle.put(group)

    def run(inputs: np.ndarray) -> list[np.ndarray]:
        requests = idle.get()
        try:
            return run_on(requests, inputs)
        finally:
            idle.put(requests)

    def run_on(requests: list[Any], inputs: np.ndarray) -> list[np.ndarray]:
        rows = np.ascontiguousarray(inputs, dtype)
        outputs: list[np.ndarray] = []

        def collect(start: int) -> None:
            request = requests[start // chunk % len(requests)]
            request.wait()
            results = [request.output_tensors[index].data for index in order]
            if not outputs:
                shapes = [(len(rows), *result.shape[1:]) for result in results]
                outputs.extend(np.empty(shape, np.float32) for shape in shapes)
            for whole, part in zip(outputs, results, strict=True):
                whole[start : start + chunk] = part[: len(rows) - start]

        starts = range(0, len(rows), chunk)
        for number, start in enumerate(starts):
            if number >= len(requests):
                collect(starts[number - len(requests)])
            part = rows[start : start + chunk]
            if len(part) < chunk:  # filled with rows that are there: of nothing a softmax is NaN
                part = part[np.arange(chunk) % len(part)]
            requests[number % len(requests)].start_async({0: part})
        for start in starts[-len(requests) :]:
            collect(start)
        return outputs

    return run


def _with_fallback(run: Runner, run_keras: Runner) -> Runner:
    """Keras from the first failure on."""

    def guarded(inputs: np.ndarray) -> list[np.ndarray]:
        nonlocal run
        current = run  # another thread may change it
        try:
            return current(inputs)
        except Exception as error:
            if current is run_keras:
                raise
            console.warning(
                f"OpenVINO failed during the pass, so Keras takes over: {_short(error)}"
            )
            run = run_keras
            return run_keras(inputs)

    return guarded


def _short(error: Exception) -> str:
    """Type and first line of an error; those of native code have hundreds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
