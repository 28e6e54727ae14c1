"""The machine's side: seeds, precision, XLA, GPUs."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import keras

from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import ConfigError


@dataclass(frozen=True)
class Devices:
    """What was decided about the machine.

    Attributes:
        kind: `cpu` or `gpu`.
        names: the devices in use.
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
        unfrozen phases and made no difference that could be told from noise in frozen ones.
        """
        return self.kind == "gpu" if self.jit == "auto" else self.jit == "true"

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON wants it."""
        return {**asdict(self), "jit_compile": self.jit_compile()}


def prepare(config: RuntimeConfig) -> Devices:
    """Seed everything, choose precision, and say which devices are there.

    Raises:
        ConfigError: `runtime.devices=all` on a backend other than TensorFlow.
    """
    _forget_last_job()
    keras.utils.set_random_seed(config.seed)
    kind, names, capability = _accelerators()
    if config.deterministic:
        _determinism()
    precision = _precision(config.precision, kind, capability)
    keras.config.set_dtype_policy(precision)
    if config.devices == "all" and keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"runtime.devices=all needs the TensorFlow backend; this is {keras.backend.backend()}."
        )
    used = names if config.devices == "all" else names[:1]
    return Devices(kind, used, precision, config.jit, config.deterministic)


def _forget_last_job() -> None:
    """Let go of the names and the memory of a sweep's earlier job."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Keras' optimizers register a gradient function a trace, for good. It holds the outermost
        # graph, and that all Python functions that tf.data called: with them every decoded image.
        getattr(tf.compat.v1.get_default_graph(), "_py_funcs_used_in_graph", []).clear()
    keras.backend.clear_session(free_memory=True)


def _accelerators() -> tuple[str, tuple[str, ...], float]:
    """Kind, device names, and a GPU's compute capability (0 for a CPU)."""
    if keras.backend.backend() != "tensorflow":
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


def _precision(wanted: str, kind: str, capability: float) -> str:
    if wanted != "auto":
        return wanted
    if kind == "cpu":
        return "float32"  # bfloat16 on a CPU was faster in one run and slower in another
    if capability >= 8.0:
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= 7.0 else "float32"


def _determinism() -> None:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


_PACKAGES = ("keras", "keras-hub", "tensorflow", "openvino", "pillow")
"""Their versions may change what comes out of a network."""


def versions() -> dict[str, str | None]:
    """The packages that compute what is cached, each with its version; None: not installed."""
    return {each: _installed(each) for each in _PACKAGES}


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def scope(devices: Devices) -> Iterator[None]:
    """Where models are built and trained: over all devices when there are several.

    `tf.distribute.MirroredStrategy` keeps a copy of the variables on each and splits every batch.
    """
    if len(devices.names) < 2:
        yield
        return
    with _strategy(devices.names).scope():
        yield


@functools.cache
def _strategy(names: tuple[str, ...]) -> Any:
    """The same object each time: variables refuse to meet those of another strategy."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(names))
