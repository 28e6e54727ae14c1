import math
import sys
import threading
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.models import heads, registry
from fmkit.models.backbone import PADDING
from fmkit.train.features import engine as extract

NAME = "openvino 0"


@pytest.fixture(scope="module")
def model():
    """Twelve outputs of different sizes, so that one in another's place is seen."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(images)
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    maps = keras.layers.ReLU()(x)
    vector = keras.layers.GlobalAveragePooling2D()(maps)
    outputs = [maps, *(keras.layers.Dense(units)(vector) for units in range(11, 0, -1))]
    return keras.Model(images, outputs)


def photos(count):
    return np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


def choose(model, wanted, kind="cpu", precision="float32", **more):
    return extract.choose(model, wanted, kind, photos(11), precision, **more)


def expected(model, images):
    outputs = model(images.astype(np.float32), training=False)
    return [keras.ops.convert_to_numpy(each) for each in outputs]


def assert_agree(engine, model, images):
    ours, theirs = engine.run(images), expected(model, images)
    assert [each.shape for each in ours] == [each.shape for each in theirs]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def as_openvino(monkeypatch, run):
    """Let a function stand for what OpenVINO compiled."""
    monkeypatch.setattr(extract, "_installed", lambda: True)
    monkeypatch.setattr(extract, "_openvino", lambda model, shape: (NAME, run))


@pytest.mark.parametrize("count", [11, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_keras_gives_every_output(model, count, dtype):
    engine = choose(model, "keras")
    assert (engine.name, engine.parity) == ("keras", None)
    assert_agree(engine, model, photos(count).astype(dtype))


def test_without_openvino(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine = choose(model, "auto")
    assert (engine.name, engine.reason) == ("keras", "OpenVINO is not installed")
    with pytest.raises(ConfigError, match=r"pip install 'fmkit\[openvino\]'"):
        choose(model, "openvino")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"kind": "gpu"}, "GPU"),
        ({"precision": "mixed_bfloat16"}, "mixed_bfloat16"),
        ({"count": 100}, "too few images"),
    ],
)
def test_auto_stays_with_keras(model, monkeypatch, setting, reason):
    as_openvino(monkeypatch, lambda images: expected(model, images))
    engine = choose(model, "auto", **setting)
    assert engine.name == "keras"
    assert reason in engine.reason
    # 8 x 8 positions of a 3 x 3 kernel from 3 to 4 channels, then 66 units from 4 numbers.
    worth = math.ceil(extract.WORTH_PRODUCTS / (8 * 8 * 3 * 3 * 3 * 4 + 4 * 66))
    assert choose(model, "auto", count=worth - 1).name == "keras"
    assert choose(model, "auto", count=worth).name == NAME


@pytest.fixture(scope="module")
def text_model():
    """A small BERT of random weights and the mean of its tokens."""
    keras.utils.set_random_seed(0)
    backbone = registry.build(ModelConfig("small_bert", "none"))
    return keras.Model(backbone.model.input, heads.pool(backbone))


def tokens(lengths, width):
    rows = np.full((len(lengths), width), PADDING, np.int32)
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = np.random.default_rng(length).integers(4, 200, length)
    return rows


def choose_for_texts(model, setting, count=None, lengths=(30, 3, 17, 22, 9)):
    return extract.choose(model, setting, "cpu", tokens(lengths, 32), "float32", count)


def text_outputs(model, batch):
    return [np.asarray(model.predict_on_batch(batch))]


def test_texts_go_to_an_engine_where_there_are_many(text_model, monkeypatch):
    as_openvino(monkeypatch, lambda batch: text_outputs(text_model, batch))
    few = choose_for_texts(text_model, "auto", 1000)
    assert (few.name, few.reason) == ("keras", "too few texts to repay an export to OpenVINO")
    assert choose_for_texts(text_model, "auto", 10**8).name == NAME


def test_an_engine_whose_features_depend_on_the_padding_is_refused(text_model, monkeypatch):
    def run(batch):
        return [output * (1 if batch.shape[1] == 32 else 1.01) for output in exact(batch)]

    def exact(batch):
        return text_outputs(text_model, batch)

    as_openvino(monkeypatch, run)
    engine = choose_for_texts(text_model, "auto", 10**8)
    assert engine.name == "keras"
    assert "differs from Keras" in engine.reason


def test_what_is_neither_text_nor_image_stays_with_keras(monkeypatch):
    as_openvino(monkeypatch, None)
    waves = keras.Input((16,))
    model = keras.Model(waves, keras.layers.Dense(4)(waves))
    batch = np.ones((3, 16), np.float32)
    engine = extract.choose(model, "auto", "cpu", batch, "float32", 10**9)
    assert (engine.name, engine.reason) == ("keras", "the model reads neither images nor texts")
    assert engine.run(batch)[0].shape == (3, 4)


def test_openvino_refuses_another_precision(model, monkeypatch):
    as_openvino(monkeypatch, lambda images: expected(model, images))
    with pytest.raises(ConfigError, match="mixed_float16"):
        choose(model, "openvino", precision="mixed_float16")


def rounded(model):
    """An engine that keeps the 8 bits of bfloat16's mantissa."""

    def run(images):
        bits = [each.view(np.uint32) for each in expected(model, images)]
        return [(each & np.uint32(0xFFFF0000)).view(np.float32) for each in bits]

    return run


def swapped(model):
    return lambda images: expected(model, images)[::-1]


def not_a_number(model):
    return lambda images: [each * np.nan for each in expected(model, images)]


def broken(model):
    def run(images):
        raise RuntimeError("Check failed\n at some line of C++")

    return run


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        (rounded, "differs from Keras on the first batch by .* allowed is 2e-04"),
        (not_a_number, "differs from Keras on the first batch by nan"),
        (swapped, "gave outputs of shapes"),
        (broken, "RuntimeError: Check failed"),
    ],
)
def test_a_wrong_engine_is_refused(model, monkeypatch, engine, told):
    as_openvino(monkeypatch, engine(model))
    chosen = choose(model, "auto")
    assert (chosen.name, chosen.parity) == ("keras", None)
    with pytest.raises(ArtifactError, match=told) as refused:
        choose(model, "openvino")
    assert chosen.reason.splitlines() == [chosen.reason]
    assert chosen.reason.removeprefix("OpenVINO failed: ") in refused.value.message
    assert_agree(chosen, model, photos(3))


def test_auto_goes_on_when_the_engine_fails_under_way(model, monkeypatch, capsys):
    def run(images):
        if len(images) == 3:
            raise RuntimeError("out of memory")
        return expected(model, images)

    as_openvino(monkeypatch, run)
    engine = choose(model, "auto")
    assert engine.name == NAME
    assert_agree(engine, model, photos(3))
    assert "out of memory" in capsys.readouterr().err


class FakeRequest:
    """Adds 1 to its input in a thread, as OpenVINO computes."""

    def start_async(self, inputs):
        assert not hasattr(self, "thread"), "two batches at a time on one request"
        self.output_tensors = [SimpleNamespace(data=None)]
        self.thread = threading.Thread(target=self._compute, args=(inputs[0],))
        self.thread.start()

    def _compute(self, rows):
        time.sleep(0.002)
        self.output_tensors[0].data = rows + 1

    def wait(self):
        self.thread.join()
        del self.thread


def test_batches_at_a_time_have_requests_of_their_own_and_come_in_order():
    groups = [[FakeRequest() for _ in range(3)] for _ in range(extract.RUNS_AT_ONCE)]
    run = extract._in_chunks(groups, 4, [0], np.float32)
    batches = [np.full((size, 2), number, np.uint8) for number, size in enumerate([9, 30, 1, 4, 7])]
    outputs = list(extract.Engine(NAME, "", {}, run).run_all(iter(batches)))
    assert [rows.shape for (rows,) in outputs] == [batch.shape for batch in batches]
    assert all((rows == number + 1).all() for number, (rows,) in enumerate(outputs))


def test_keras_takes_over_though_two_batches_fail_at_a_time(capsys):
    both = threading.Barrier(2, timeout=10)

    def fail(images):
        both.wait()
        raise RuntimeError("out of memory")

    run = extract._with_fallback(fail, lambda images: [images])
    outputs = extract.Engine(NAME, "", {}, run).run_all(np.arange(5)[:, None])
    assert [int(rows[0]) for (rows,) in outputs] == list(range(5))
    assert "out of memory" in capsys.readouterr().err


def test_openvino_agrees_with_keras(model):
    pytest.importorskip("openvino")
    engine = choose(model, "auto")
    assert engine.name.startswith("openvino 20")
    assert engine.parity["max_rel"] <= engine.parity["allowed"]
    for count in (1, 8, 11, 37):  # a chunk is 8
        assert_agree(engine, model, photos(count))
    first, again = engine.run(photos(11)), engine.run(photos(11))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_openvino_takes_attention():
    pytest.importorskip("openvino")
    images = keras.Input((8, 8, 3))
    tokens = keras.layers.Reshape((16, 12))(images)
    attention = keras.layers.MultiHeadAttention(2, 4)(tokens, tokens)
    model = keras.Model(images, keras.layers.Rescaling(1 / 255)(attention))
    engine = choose(model, "openvino")
    ours, theirs = engine.run(photos(3)), model.predict_on_batch(photos(3))
    assert [each.shape for each in ours] == [theirs.shape]
    np.testing.assert_allclose(ours[0], theirs, rtol=1e-3, atol=1e-5)


def test_openvino_agrees_with_keras_on_texts_whatever_the_padding(text_model):
    pytest.importorskip("openvino")
    engine = choose_for_texts(text_model, "openvino")
    assert engine.name.startswith("openvino 20")
    for lengths, width in (((5,), 16), ((40, 2, 33, 7, 7, 7, 12, 1, 39, 20, 11), 48)):
        batch = tokens(lengths, width)
        (ours,) = engine.run(batch)
        np.testing.assert_allclose(ours, text_outputs(text_model, batch)[0], rtol=1e-3, atol=1e-5)
    short = tokens((7, 7, 12), 16)
    wide = np.pad(short, ((0, 0), (0, 48)), constant_values=PADDING)
    np.testing.assert_allclose(engine.run(short)[0], engine.run(wide)[0], rtol=1e-3, atol=1e-5)
