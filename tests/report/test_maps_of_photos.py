"""Heat maps beside the photos of the galleries: as many as there is time for, and no others."""

import base64
import io

import keras
import numpy as np
import pytest
from PIL import Image

from fmkit.data.content.images import ImageArray
from fmkit.data.examples import Examples
from fmkit.explain import gallery_maps
from fmkit.explain.network import Network
from fmkit.report import gallery, samples
from fmkit.report.samples import Sample

SAMPLE = Sample("<a>", "good", "bad", "80%")
JPEG = "data:image/jpeg;base64,AAAA"


def page(content):
    return str(gallery.galleries({"mistakes": [SAMPLE]}, {"<a>": content}))


def test_a_map_stands_beside_its_photo_and_says_what_it_is():
    shown = page({"image": JPEG, "map": f"{JPEG}B"})
    assert 'class="gallery pairs"' in shown
    assert f'src="{JPEG}B" alt="Grad-CAM of &lt;a&gt;: what speaks for bad"' in shown
    assert "Beside a photo Grad-CAM" in shown


@pytest.mark.parametrize(
    "content",
    [{"image": JPEG}, {"image": JPEG, "map": "https://x/y.jpg"}, {"image": JPEG, "map": 3}],
    ids=["none", "elsewhere", "number"],
)
def test_without_a_map_of_ours_the_gallery_is_as_before(content):
    shown = page(content)
    assert 'class="gallery"' in shown
    assert "Grad-CAM" not in shown
    assert "https" not in shown


@pytest.mark.parametrize(("seconds", "count"), [(8.0, 4), (16.5, 8), (1e9, 11)])
def test_no_more_maps_than_there_is_time_for(monkeypatch, seconds, count):
    clock = [0.0]
    monkeypatch.setattr(gallery_maps.time, "monotonic", lambda: clock[0])

    def overlays(network, photos, side):
        clock[0] += 2.0 * len(photos)
        return [side] * len(photos)

    monkeypatch.setattr(gallery_maps, "_overlays", overlays)
    photos = np.zeros((11, 8, 8, 3), np.uint8)
    assert len(gallery_maps.overlays(None, photos, 160, seconds)) == count
    assert clock[0] <= seconds


def test_the_map_is_over_the_place_that_decides():
    images = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(1, 2, strides=2, name="features")
    model = keras.Model(images, keras.layers.GlobalMaxPooling2D()(maps(images)))
    maps.set_weights([np.ones((2, 2, 3, 1), np.float32), np.zeros(1, np.float32)])
    photo = np.full((1, 8, 8, 3), 60, np.uint8)
    photo[0, 6:, :2] = 200
    (picture,) = gallery_maps.overlays(Network(model, "numbers"), photo, 80, 1e9)
    warmth = np.asarray(picture, np.float32)
    warmth = warmth[..., 0] - warmth[..., 2]  # red against blue
    top, left = np.unravel_index(warmth.argmax(), warmth.shape)
    assert top >= 60
    assert left < 20
    assert picture.size == (80, 80)


def test_a_map_of_a_squashed_photo_has_the_shape_of_the_photo():
    wide = ImageArray(np.zeros((3, 20, 60, 3), np.uint8))
    square = [Image.new("RGB", (48, 48)) for _ in range(2)]
    shapes = [
        picture.size for picture in gallery_maps.as_wide_as_photos(square, wide, [2, 0, 1], 48)
    ]
    assert len(shapes) == 2
    thumbnail = samples.of_examples(examples_of(wide), ["1"])["1"]["image"]
    with Image.open(io.BytesIO(base64.b64decode(thumbnail.partition(",")[2]))) as picture:
        assert picture.size == (160, 53)
    assert all(width == 3 * height for width, height in shapes)


def examples_of(content):
    names = tuple(map(str, range(len(content))))
    return Examples(names, np.zeros(len(names), np.int32), ("x",), content)


def test_maps_are_kept_with_the_photos_the_worst_mistake_first(tmp_path, monkeypatch):
    """In turn: the first mistake, the first right answer, the second mistake ..."""
    names = ("a", "b", "c", "d")
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    examples = Examples(names, np.zeros(4, np.int32), ("x",), ImageArray(pixels))
    chosen = {
        "mistakes": [Sample("d", "x", "y"), Sample("b", "x", "y")],
        "typical": [Sample("c", "x", "x")],
    }
    monkeypatch.setattr(samples, "choose", lambda predictions: chosen)
    monkeypatch.setattr(samples.RunRecord, "split", "test")
    asked = []

    def draw(positions):
        asked.extend(positions)
        from PIL import Image

        return [Image.new("RGB", (8, 8))] * 2  # there was no time for the third

    samples.keep(tmp_path, examples, draw=draw)
    kept = samples.RunRecord(tmp_path).json("samples.json")["examples"]
    assert asked == [3, 2, 1]
    assert {name for name, content in kept.items() if "map" in content} == {"d", "c"}
    assert set(kept) == {"b", "c", "d"}
