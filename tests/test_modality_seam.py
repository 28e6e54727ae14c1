"""Code outside a modality's own files asks its row; a new modality is a row and its own files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from whole_runs import only_run

PACKAGE = Path(__file__).parent.parent / "fmkit"

OWN_FILES = (
    "core/modalities.py",
    "data/content/", "data/images/", "data/recognition/", "data/sources/",
    "data/loaders/image_loader.py", "data/loaders/text_loader.py", "data/loaders/packing.py",
    "data/predict_inputs.py", "data/predict_photos.py",
    "data/quality/image_*.py", "data/quality/document_checks.py",
    "models/vision/", "models/text/", "models/tokenizers/",
)  # fmt: skip
"""The files of a modality, where its content and configs may be told apart."""

CONTENT = (
    r"\w*(Image|Text|Photo|Document)\w*Data|"
    "ImageFiles|ImageArray|Recordings|Texts|Conversations|Documents|Sentences|Preferences|"
    "Encoded|Windows|TextInputs|ImageLoader|TextLoader"
)
BRANCHES = {
    "a comparison with the name of a modality": re.compile(
        r"modality\w*\s*(==|!=|in|not in)\s*[\[({]?[\"']\w|\w[\"']\s*(==|!=)\s*[\w.]*modality"
        r"|is_(text|image)s?\b"
    ),
    "a check for a modality's content, config or loader": re.compile(
        rf"isinstance\([^()]*\b({CONTENT})\b"
    ),
}

ALLOWED = {
    "tasks/language/": "instruction learns from conversations, dpo from rated answers",
    "tasks/question_answering/": "it learns from pairs of texts",
    "tasks/token_classification/": "it learns from words",
    "report/samples.py": "words are marked in texts, and in no other content of the same modality",
    "evaluation/token_classification.py": "it evaluates the rows that its task makes",
}
"""Files or folders with such a branch outside, each with the reason."""


def is_own(path: str) -> bool:
    return any(path.startswith(own) or Path(path).match(own) for own in OWN_FILES)


def branches() -> dict[str, list[str]]:
    """By file, the lines that branch on a modality outside its own files."""
    found: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        path = file.relative_to(PACKAGE).as_posix()
        if is_own(path):
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            for kind, pattern in BRANCHES.items():
                if pattern.search(line):
                    found.setdefault(path, []).append(f"{number}: {kind}: {line.strip()}")
    return found


def test_no_branch_on_a_modality_outside_its_files():
    found = branches()
    assert {
        path: lines for path, lines in found.items() if not path.startswith(tuple(ALLOWED))
    } == {}
    unneeded = [prefix for prefix in ALLOWED if not any(path.startswith(prefix) for path in found)]
    assert unneeded == []


@pytest.mark.parametrize(
    "line",
    [
        'if spec.modality == "text":',
        'if modality in ("image", "video"):',
        'if "text" == data.spec.modality:',
        "if isinstance(config, ImageFolderData | TextFolderData):",
        "return isinstance(examples.content, Texts)",
        "noun = 'texts' if is_text else 'photos'",
    ],
)
def test_the_search_finds_what_it_is_for(line):
    assert any(pattern.search(line) for pattern in BRANCHES.values())


RECORDINGS = '''
import wave
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from omegaconf import MISSING

from fmkit.config.registry import SourceEntry
from fmkit.config.schema.data import DataConfig
from fmkit.core.modalities import ModalityEntry
from fmkit.data.content.files import Recordings
from fmkit.data.examples import from_names
from fmkit.data.loaders.base import DatasetLoader
from fmkit.models.backbone import Backbone, Block
from fmkit.tasks.classification import Classification

SAMPLES = 256


@dataclass
class RecordingFolderData(DataConfig):
    name: str = "recording_folder"
    root: str = MISSING


def list_examples(config):
    """A folder per class with WAV files."""
    root = Path(config.root)
    paths = sorted(root.glob("*/*.wav"))
    ids = [path.relative_to(root).as_posix() for path in paths]
    sizes = np.array([path.stat().st_size for path in paths])
    content = Recordings(tuple(map(str, paths)), sizes)
    return from_names(ids, [path.parent.name for path in paths], content)


class RecordingLoader(DatasetLoader):
    input_spec = tf.TensorSpec((None, SAMPLES), tf.float32)

    def __init__(self, examples, targets, **options):
        super().__init__(targets, **options)
        self._content = examples.content

    def read(self, indices):
        rows = []
        for index in indices:
            with wave.open(self._content.paths[index]) as file:
                rows.append(np.frombuffer(file.readframes(SAMPLES), np.int16))
        return np.stack(rows).astype(np.float32) / 2**15

    def describe(self):
        return "read anew from WAV files"


def open_loader(examples, task, backbone, config, runtime):
    return RecordingLoader(
        examples, task.targets(examples), batch_size=config.batch_size,
        num_classes=task.num_classes, class_weights=task.class_weights,
    )


def small_conv(config):
    samples = keras.Input((SAMPLES,), name="samples")
    conv = keras.layers.Conv1D(8, 16, strides=4, activation="relu", name="conv")
    features = conv(keras.layers.Reshape((SAMPLES, 1), name="channels")(samples))
    features = keras.layers.GlobalAveragePooling1D(name="average")(features)
    model = keras.Model(samples, features)
    blocks = (Block("conv", (conv,)),)
    return Backbone("small_conv", model, None, blocks, "vector", modality="audio")


class Genre(Classification):
    name = "genre"


MODALITIES = {"audio": ModalityEntry("recording", "recordings", open_loader=open_loader)}
DATA = {"recording_folder": SourceEntry(RecordingFolderData, list_examples, "audio", ("classes",))}
MODELS = {"small_conv": small_conv}
TASKS = {"genre": Genre}
'''


@pytest.fixture
def recordings(tmp_path):
    """A folder of WAV files of two classes: a low tone and a high one, each in noise."""
    import wave

    rng = np.random.default_rng(0)
    for name, frequency in (("high", 40), ("low", 4)):
        folder = tmp_path / "recordings" / name
        folder.mkdir(parents=True)
        for number in range(20):
            tone = np.sin(2 * np.pi * (frequency * np.arange(256) / 256 + rng.random()))
            samples = 8000 * (tone + 0.2 * rng.normal(size=256))
            with wave.open(str(folder / f"{number:02d}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(samples.astype(np.int16).tobytes())
    (tmp_path / "audio.py").write_text(RECORDINGS)
    return tmp_path / "recordings"


def test_a_modality_of_a_plugin_is_inspected_trained_and_evaluated(fmkit, tmp_path, recordings):
    data = ["plugins=audio.py", "data=recording_folder", f"data.root={recordings}"]
    code, out, err = fmkit("check", *data)
    assert code == 0, err
    report = json.loads(next(tmp_path.glob("checks/*/data_report.json")).read_text())
    assert (report["modality"], report["examples"]) == ("audio", 40)
    assert "recordings" in out
    words = [*data, "model=small_conv", "model.weights=none", "task.name=genre", "stage=scratch",
             "stage.full.epochs=4", "data.batch_size=4", "optimizer.learning_rate=.02"]  # fmt: skip
    code, out, err = fmkit("finetune", *words)
    assert code == 0, err
    assert "small_conv on recordings" in err
    folder = only_run(tmp_path)
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["data"]["modality"] == "audio"
    assert environment["recordings"] == "read anew from WAV files"
    assert (folder / "model.keras").is_file()
    code, out, err = fmkit("eval", f"run={folder}", "plugins=audio.py")
    assert code == 0, err
    assert json.loads((folder / "eval/test.json").read_text())["accuracy"] > 0.8
    code, out, err = fmkit("predict", f"run={folder}", "input=x", "plugins=audio.py")
    assert (code, "does not read recordings" in err) == (2, True), err


def test_data_and_models_of_two_modalities_are_refused(fmkit, recordings):
    data = ["plugins=audio.py", "data=recording_folder", f"data.root={recordings}"]
    code, _, err = fmkit("finetune", *data, "model=small_cnn", "model.weights=none")
    assert code == 2
    assert "reads images, and the data are recordings" in err
    code, _, err = fmkit("finetune", *data, "task=masked_lm", "model=small_bert")
    assert code == 2
    assert "learns from texts" in err
    assert "recordings" in err
