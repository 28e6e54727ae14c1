"""Features of a trained run are what its last layer reads, for its own data and for new inputs."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kept_runs import kept_run
from scipy.special import log_softmax

from fmkit.config import saved_config
from fmkit.config.schema.commands import PredictConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import registry
from fmkit.core.errors import ConfigError
from fmkit.core.modalities import modality_entry
from fmkit.evaluation import load_run, run_data
from fmkit.evaluation.features import FeatureExtractor
from fmkit.models import heads
from fmkit.store.run_reader import RunReader
from fmkit.train import build_model

RUNTIME = RuntimeConfig(verbose=False)


@pytest.fixture(scope="module", params=["images", "texts"])
def trained(request, tmp_path_factory):
    run = kept_run(request.param, tmp_path_factory.mktemp(request.param))
    return load_run.load(RunReader(run), RUNTIME)


def probabilities(trained, values):
    """What the last layer makes of features, by NumPy."""
    kernel, bias = map(np.asarray, trained.model.get_layer("logits").get_weights())
    return np.exp(log_softmax(values.astype(np.float64) @ kernel + bias, axis=1))


def recorded(trained, split):
    table = pd.read_parquet(trained.run.folder / "eval" / f"{split}.parquet")
    columns = [f"probability_{name}" for name in trained.spec.classes]
    return list(table["id"]), table[columns].to_numpy()


def test_the_last_layer_makes_the_recorded_probabilities_of_them(trained):
    features = FeatureExtractor(trained).of_split("test", RUNTIME)
    ids, expected = recorded(trained, "test")
    assert list(features.examples.ids) == ids
    assert features.values.dtype == np.float32
    np.testing.assert_allclose(probabilities(trained, features.values), expected, atol=1e-5)


def test_new_inputs_have_the_same_features_as_the_data_they_are_copies_of(trained):
    extractor = FeatureExtractor(trained)
    own = extractor.of_split("all", RUNTIME)
    entry = modality_entry(trained.spec.modality)
    root = Path(trained.run.config()["data"]["root"])
    config = PredictConfig(str(trained.run.folder), str(root))
    learned = saved_config.section(trained.run.config(), "data")
    inputs = registry.load(entry.read_inputs)(config, learned)
    broken = dataclasses.replace(inputs, errors=("cannot be read", *inputs.errors[1:]))
    values = extractor.of_inputs(broken, batch_size=7)
    assert values.shape == own.values.shape == (len(inputs), extractor.width)
    assert np.isnan(values[0]).all()
    np.testing.assert_allclose(values[1:], own.values[1:], atol=1e-5)


def test_beside_the_outputs_they_come_of_one_pass_that_leaves_the_outputs_as_they_are(trained):
    half = loader_of_half(trained)
    outputs = trained.inference.outputs(*half)
    both = FeatureExtractor(trained, outputs_too=True).inference.all_outputs(*half)
    alone = FeatureExtractor(trained).of_loader(*half)
    np.testing.assert_array_equal(both[0], outputs)
    np.testing.assert_array_equal(both[1], alone)


def loader_of_half(trained):
    """A loader of the run's data, and the positions of every second of its examples."""
    read = run_data.read_own_split(trained.run, RUNTIME, "all")
    config = saved_config.section(trained.run.config(), "data")
    loader = build_model.open_loader(
        config, RUNTIME, read.data.examples, trained.task, trained.backbone
    )
    return loader, np.arange(len(read.data.examples.ids))[::2]


def test_a_task_without_a_vector_for_each_example_is_refused(trained, monkeypatch):
    monkeypatch.setattr(trained.task, "input_format", "rows")
    with pytest.raises(ConfigError, match="no vector of features"):
        FeatureExtractor(trained)


def test_a_head_without_that_layer_has_those_that_its_backbone_gives(trained, monkeypatch):
    monkeypatch.setattr(heads, "LOGITS", "verdict")
    assert FeatureExtractor(trained).width == trained.backbone.model.output.shape[-1]
