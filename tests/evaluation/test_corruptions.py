"""Corruptions do what they are called, more of it at each severity, the same for each seed."""

import io

import numpy as np
import pytest
from PIL import Image

from fmkit.core.errors import ConfigError
from fmkit.core.modalities import MODALITIES, ModalityEntry
from fmkit.evaluation.robustness import corruptions
from fmkit.evaluation.robustness.corruptions import OF_IMAGES, OF_TEXTS, SEVERITIES

TEXT = "the quick brown fox jumps over the LAZY dog while nobody is looking at it"


def random():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def images():
    """Smooth colours with edges, so that every corruption changes something."""
    y, x = np.mgrid[:48, :48] / 48
    image = np.stack([x, y, (np.hypot(x - 0.5, y - 0.5) < 0.3) * 0.7], axis=2)
    return np.stack([(image * 200 + 20).astype(np.uint8)] * 6)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_images_change_more_and_more(images, name):
    distances = []
    for severity in SEVERITIES:
        changed = OF_IMAGES[name](images, severity, random())
        assert changed.shape == images.shape
        assert changed.dtype == np.uint8
        np.testing.assert_array_equal(changed, OF_IMAGES[name](images, severity, random()))
        distances.append(np.abs(changed.astype(float) - images).mean())
    assert 0 < distances[0] < distances[-1]
    if name != "jpeg":  # of which a quality may suit an image by chance
        assert distances == sorted(distances)


def test_images_in_closed_form(images):
    image = images[:1]
    noisy = OF_IMAGES["noise"](np.full((40, 48, 48, 3), 128, np.uint8), 1, random())
    assert noisy.std() == pytest.approx(0.08 * 255, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.2)
    flat = OF_IMAGES["contrast"](image, 1, random())[0].astype(float)
    mean = image[0].mean(axis=(0, 1))
    np.testing.assert_allclose(flat, (image[0] - mean) * 0.4 + mean, atol=0.51)
    bright = OF_IMAGES["brightness"](image, 3, random())[0] / 255
    value = (image[0] / 255).max(axis=2)
    np.testing.assert_allclose(bright.max(axis=2), np.minimum(value + 0.3, 1), atol=0.003)
    hidden = OF_IMAGES["occlusion"](image, 3, random())[0]
    assert (hidden == 128).all(axis=2).sum() >= round(0.4 * 48) ** 2
    stream = io.BytesIO()
    Image.fromarray(image[0]).save(stream, "JPEG", quality=7)
    expected = np.asarray(Image.open(stream))
    np.testing.assert_array_equal(OF_IMAGES["jpeg"](image, 5, random())[0], expected)
    turned = OF_IMAGES["rotation"](images, 5, random()).astype(float)
    own = [np.asarray(Image.fromarray(image[0]).rotate(a, Image.Resampling.BILINEAR), float)
           for a in (45, -45)]  # fmt: skip
    inside = slice(16, 32)
    for one in turned:
        gaps = [np.abs(one - other)[inside, inside].mean() for other in own]
        assert min(gaps) < 3
    assert len(np.unique(turned, axis=0)) == 2  # to either side


@pytest.mark.parametrize("name", OF_TEXTS)
def test_texts_change_more_and_more(name):
    shares = []
    for severity in SEVERITIES:
        changed = OF_TEXTS[name]([TEXT] * 50, severity, random())
        assert changed == OF_TEXTS[name]([TEXT] * 50, severity, random())
        words = [set(text.split()) for text in changed]
        shares.append(np.mean([len({*TEXT.split()} - own) for own in words]))
    assert shares[0] > 0
    assert shares == sorted(shares)


def test_texts_in_closed_form():
    (capitals,) = OF_TEXTS["casing"]([TEXT], 5, random())
    assert capitals == TEXT.upper().replace("LAZY", "lazy")
    short = OF_TEXTS["dropped_words"]([TEXT] * 400, 5, random())
    assert np.mean([len(text.split()) for text in short]) == pytest.approx(7.5, abs=0.4)
    assert OF_TEXTS["dropped_words"](["one"] * 50, 5, random()) == ["one"] * 50
    assert OF_TEXTS["dropped_words"]([""], 5, random()) == [""]
    assert OF_TEXTS["typing_errors"](["1234 äöü"], 5, random()) == ["1234 äöü"]


def test_names_fit_the_examples(monkeypatch):
    assert corruptions.names_of(["all"], "image") == list(OF_IMAGES)
    assert corruptions.names_of(["casing"], "text") == ["casing"]
    with pytest.raises(ConfigError, match="casing"):
        corruptions.names_of(["casing"], "image")
    monkeypatch.setitem(MODALITIES, "sound", ModalityEntry(noun="sound", plural="sounds"))
    with pytest.raises(ConfigError, match="none for sounds"):
        corruptions.names_of(["all"], "sound")
