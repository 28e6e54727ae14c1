"""Set-up of Keras on the devices: seeds, precision, XLA, GPUs, several devices, gradients."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import ConfigError, received
from fmkit.store import environment


@dataclass(frozen=True)
class Devices:
    """The devices that a run uses, and how.

    Attributes:
        kind: `cpu` or `gpu`.
            precision: Keras' name of the dtype policy.
        jit: `true`, `false` or `auto`, as in the config.
        deterministic: whether operations that depend on timing are refused.
    """

    kind: str
    names: tuple[str, ...]
    precision: str
    jit: str
    deterministic: bool

    def jit_compile(self) -> bool:
        """Whether a phase runs through XLA.

        `auto` is on for a GPU and off for a CPU: there XLA ran convolutions 3 to 8 times slower in
        unfrozen phases, and made no measurable difference in frozen ones.
        """
        return self.kind == "gpu" if self.jit == "auto" else self.jit == "true"


def prepare(config: RuntimeConfig) -> Devices:
    """Seed everything, choose the precision, and find the devices."""
    is_tensorflow = keras.backend.backend() == "tensorflow"
    if is_tensorflow:
        import tensorflow as tf

        # A sweep's earlier job: Keras' optimizers register a gradient function per trace, for good.
        # It holds the outermost graph, and so all Python functions that tf.data called: with them
        # every decoded image.
        getattr(tf.compat.v1.get_default_graph(), "_py_funcs_used_in_graph", []).clear()
    keras.backend.clear_session(free_memory=True)
    keras.utils.set_random_seed(config.seed)
    kind, names, capability = _accelerators()
    if config.deterministic and is_tensorflow:
        tf.config.experimental.enable_op_determinism()
    precision = config.precision
    if precision == "auto" and kind == "cpu":
        precision = "float32"  # bfloat16 on a CPU was faster in one run and slower in another
    elif precision == "auto":
        fast = "mixed_float16" if capability >= 7.0 else "float32"
        precision = "mixed_bfloat16" if capability >= 8.0 else fast
    keras.config.set_dtype_policy(precision)
    if config.devices == "all" and not is_tensorflow:
        raise ConfigError(
            f"runtime.devices=all needs the TensorFlow backend; this is {keras.backend.backend()}."
        )
    used = names if config.devices == "all" else names[:1]
    return Devices(kind, used, precision, config.jit, config.deterministic)


def _accelerators() -> tuple[str, tuple[str, ...], float]:
    """Kind, device names, and a GPU's compute capability (0 for a CPU)."""
    if keras.backend.backend() != "tensorflow":
        names: tuple[str, ...] = ()
        with contextlib.suppress(RuntimeError):  # JAX raises where it has no platform of that kind
            names = tuple(keras.distribution.list_devices("gpu"))
        return ("gpu", names, 8.0) if names else ("cpu", ("cpu:0",), 0.0)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        count = max(1, len(tf.config.list_logical_devices("CPU")))
        return "cpu", tuple(f"/cpu:{number}" for number in range(count)), 0.0
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # a GPU that is already in use keeps its setting
            tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    major, minor = details.get("compute_capability", (0, 0))
    return "gpu", tuple(f"/gpu:{number}" for number in range(len(gpus))), major + minor / 10


def versions() -> dict[str, str | None]:
    """The versions of the packages that may change what comes out of a network."""
    return environment.versions("keras", "keras-hub", "tensorflow", "openvino", "pillow")


_strategies: dict[tuple[str, ...], Any] = {}


@contextlib.contextmanager
def scope(devices: Devices) -> Iterator[None]:
    """Where models are built and trained: over all devices when there are several.

    `tf.distribute.MirroredStrategy` keeps a copy of the variables on each and splits every batch.
    """
    if len(devices.names) < 2:
        yield
        return
    import tensorflow as tf

    # The same object each time: TensorFlow cannot mix variables of two strategies.
    if devices.names not in _strategies:
        _strategies[devices.names] = tf.distribute.MirroredStrategy(list(devices.names))
    with _strategies[devices.names].scope():
        yield


def gradients(compute_loss: Callable[[], Any], variables: Sequence[keras.Variable]) -> list[Any]:
    """The gradient of a loss with respect to variables; None for one that it does not depend on."""
    # Keras has no function for it that works with every backend.
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            "this task's update rule needs the TensorFlow backend; this is "
            f"{keras.backend.backend()}."
        )
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = compute_loss()
    return list(tape.gradient(loss, list(variables)))


def input_gradients(function: Callable[[Any], Any], inputs: Any) -> np.ndarray:
    """The gradient of a scalar function with respect to its argument, an array of its shape.

    Args:
        function: from a tensor to a scalar; of `keras.ops` and layers at inference.
        inputs: an array of floats.

    Raises:
        ConfigError: the backend is neither TensorFlow nor JAX.
    """
    # Keras has no function for it that works with every backend.
    backend, tensor = keras.backend.backend(), keras.ops.convert_to_tensor(inputs)
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(tensor), np.float32)
    if backend != "tensorflow":
        raise ConfigError(
            received("KERAS_BACKEND", backend, ("tensorflow", "jax"), "Gradients need one of them.")
        )
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tensor)
        value = function(tensor)
    return np.asarray(tape.gradient(value, tensor), np.float32)


def check_batches(machine: Devices, task: Any, examples: int, batch_size: int) -> None:
    """Refuse batches of a training split that several devices cannot share.

    Raises:
        ConfigError: there are several views of each image, or a device would get no example of the
            first or the last batch of an epoch: BatchNorm makes NaN of that.
    """
    count = len(machine.names)
    if count == 1:
        return
    if task.views_per_image > 1:
        raise ConfigError(
            f"runtime.devices: task.name={task.name} compares all images of a batch with each "
            f"other, which {count} devices would share.",
            "Set runtime.devices=one.",
        )

    def is_shared(size: int) -> bool:  # as MirroredStrategy does: shares are rounded up
        batches = (min(size, examples), examples % size)
        return all(-(-batch // count) * (count - 1) < batch for batch in batches if batch)

    if is_shared(batch_size):
        return
    sizes = [size for size in range(1, examples + 1) if is_shared(size)]
    hint = "Set runtime.devices=one."
    if sizes:
        nearest = min(sizes, key=lambda size: abs(size - batch_size))
        hint = f"data.batch_size={nearest} is the nearest that gives every device an example."
    raise ConfigError(
        f"data.batch_size: received {batch_size}. With {examples} examples to train on, {count} "
        "devices cannot share each batch.",
        hint,
    )
