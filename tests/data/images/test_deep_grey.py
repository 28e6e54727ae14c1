"""Grey of 12 and 16 bits is scaled by the values of the training photos, wherever it is read."""

import dataclasses
import struct
import zlib

import numpy as np
import pytest
from hostile.images import chunk
from PIL import Image

from fmkit.config.schema.data import ImageFolderData, ImageTableData, grey_range_problem
from fmkit.core.types import DataSpec
from fmkit.data import dataset
from fmkit.data.images.decode import decode, grey_levels, thumbnail, values_range
from fmkit.data.images.pixel_cache import PixelCache
from fmkit.data.quality import inspect
from fmkit.data.quality.image_probe import probe

SIZE = 16
LOW, HIGH = 272, 1632


def ramp(low=LOW, high=HIGH, side=SIZE):
    """(side, side) values that go evenly from the lowest to the highest."""
    return np.linspace(low, high, side * side).round().reshape(side, side)


def levels(values, low=LOW, high=HIGH):
    """What the rule says: a straight line through (low, 0) and (high, 255), clipped."""
    return np.clip(np.round((np.asarray(values, np.float64) - low) / (high - low) * 255), 0, 255)


def save(path, values, dtype="<u2"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values).astype(dtype)).save(path)
    return str(path)


def twelve_bits(path, values):
    """An uncompressed TIFF with 12 bits a pixel, two pixels in three bytes."""
    height, width = values.shape
    left, right = values.reshape(-1, 2).astype(np.uint32).T
    packed = np.stack([left >> 4, (left & 15) << 4 | right >> 8, right & 255], 1)
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 12), (259, 3, 1), (262, 3, 1),
        (273, 4, 8 + 2 + 9 * 12 + 4), (277, 3, 1), (278, 4, height), (279, 4, packed.size),
    ]  # fmt: skip
    entries = b"".join(
        np.array([tag, kind], "<u2").tobytes() + np.array([1, value], "<u4").tobytes()
        for tag, kind, value in tags
    )
    head = b"II*\0\x08\0\0\0" + np.array([len(tags)], "<u2").tobytes() + entries + bytes(4)
    path.write_bytes(head + packed.astype(np.uint8).tobytes())
    return str(path)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("a.png", "<u2"), ("a.tif", "<u2"), ("a.tif", ">u2"), ("a.tif", "<i4"), ("a.tif", "<f4"),
        ("a.tif", "12 bits"),
    ],
)  # fmt: skip
def test_values_are_scaled_in_every_kind_of_file(tmp_path, name, dtype):
    values = ramp()
    path = tmp_path / name
    path = twelve_bits(path, values) if dtype == "12 bits" else save(path, values, dtype)
    pixels = decode(path, SIZE, "squash", (LOW, HIGH))
    assert np.array_equal(pixels, np.repeat(levels(values)[..., None], 3, -1))
    assert len(np.unique(pixels)) > 250  # it was 6
    facts = probe(path, 10**6)
    assert (facts.kind, facts.low, facts.high) == ("", LOW, HIGH)
    assert np.ptp(np.frombuffer(facts.thumbnail, np.uint8)) > 240  # near duplicates can be told


def test_runs_before_there_was_a_range_keep_their_pixels(tmp_path):
    every = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(grey_levels(every, 0, 65535), (every.astype(int) * 255 + 32767) // 65535)
    values = ramp(0, 65535)
    pixels = decode(save(tmp_path / "a.png", values), SIZE, "squash")
    assert np.array_equal(pixels[..., 0], levels(values, 0, 65535))


def test_numbers_that_are_none_are_black_and_outliers_do_not_count():
    values = (ramp(0, 4096, 64) / 4096 - 0.5).astype(np.float32)
    values[0, :2] = 1e30, np.nan
    values[1, 0] = -np.inf
    low, high = values_range(values)
    assert low == pytest.approx(-0.5, abs=0.02)
    assert high == pytest.approx(0.5, abs=0.01)
    assert grey_levels(np.array([np.nan, low, high, 9e9]), low, high).tolist() == [0, 0, 255, 255]
    assert values_range(np.full((4, 4), np.nan, np.float32)) == (0, 0)
    assert not grey_levels(np.full((4, 4), 7), 7.0, 7.0).any()
    spot = np.zeros((64, 64), np.uint16)
    spot[5, 5] = 900  # all that there is to see
    assert values_range(spot) == (0, 900)


@pytest.fixture
def root(tmp_path):
    """Photos of 16 bits; those of the test split are brighter, and each has a dead pixel."""
    for split, high in (("train", HIGH), ("val", HIGH), ("test", 3000)):
        for number in range(6):
            values = ramp(LOW, high, 40)
            values.flat[:5], values.flat[-5:] = LOW, high
            values[0, 7] = 65535
            values.flat[8 + number] = 1000  # no copies
            ending = "tif" if number % 2 else "png"
            save(
                tmp_path / "photos" / split / f"class {number // 3}" / f"{number}.{ending}", values
            )
    return tmp_path / "photos"


def inspected(root, **more):
    return inspect.inspect(ImageFolderData(root=str(root), **more), 0, None)


def test_the_training_photos_decide_and_the_screen_says_so(root):
    found = inspected(root)
    content = found.usable.content
    assert content.grey_range == (LOW, HIGH)
    (finding,) = [each for each in found.findings if each.kind == "deep_grey"]
    assert "18 photos are grey with more than 8 bits" in finding.why
    assert "values from 272 to 1,632 become 0 to 255 (those of the training photos)" in finding.why
    data = inspect.accept(found, "error")
    assert data.spec.grey_range == (LOW, HIGH)
    assert data.spec.as_dict()["grey_range"] == [LOW, HIGH]
    chosen = inspected(root, grey_range=[0.0, 4095.0])
    assert chosen.usable.content.grey_range == (0, 4095)
    assert any("0 to 4,095 become 0 to 255 (data.grey_range)" in f.why for f in chosen.findings)


def test_a_table_of_photos_is_read_alike(root, tmp_path):
    rows = [f"{path.relative_to(root)},{path.parts[-2]},{path.parts[-3]}\n"
            for path in sorted(root.rglob("*.*"))]  # fmt: skip
    (root / "table.csv").write_text("path,label,split\n" + "".join(rows))
    config = ImageTableData(root=str(root / "table.csv"), split_column="split")
    assert inspect.inspect(config, 0, None).usable.content.grey_range == (LOW, HIGH)


def test_a_test_card_among_many_photos_does_not_decide(tmp_path):
    for number in range(240):
        values = ramp(LOW, HIGH, 12)
        values.flat[5] += number
        save(tmp_path / "ab"[number % 2] / f"{number}.png", values)
    save(tmp_path / "a" / "card.png", ramp(0, 65535, 12))
    assert inspected(tmp_path).usable.content.grey_range == (LOW, HIGH)


def test_all_that_reads_photos_gives_the_same_pixels(root, tmp_path):
    examples = inspected(root).usable
    cache = PixelCache(examples, SIZE, "squash", 2**20)
    expected = [decode(path, SIZE, "squash", (LOW, HIGH)) for path in examples.content.paths]
    assert np.array_equal(cache.read(np.arange(len(examples))), expected)
    values = np.asarray(Image.open(examples.content.paths[0]))
    assert np.array_equal(np.asarray(thumbnail(examples.content, 0, 40))[..., 0], levels(values))
    undecided = dataclasses.replace(examples.content, grey_range=None)  # as where nothing is split
    shown = np.asarray(thumbnail(undecided, 0, 40))[..., 0]
    assert np.array_equal(shown, levels(values, LOW, 3000))


def test_caches_of_features_know_the_range(root):
    content = inspected(root).usable.content
    plain = dataclasses.replace(content, grey_range=None)
    other = dataclasses.replace(content, grey_range=(0.0, 4095.0))
    assert len({content.digest(), plain.digest(), other.digest()}) == 3
    assert content.take(np.array([1, 2])).grey_range == (LOW, HIGH)


def test_evaluation_reads_as_the_run_did_whatever_the_data_would_decide(root, capsys):
    data = inspect.accept(inspected(root / "test"), "error")
    assert data.spec.grey_range == (LOW, 3000)
    learned = DataSpec("image", (), {}, grey_range=(LOW, HIGH))
    assert dataset.with_grey_range(data, None, learned).examples.content.grey_range == (LOW, HIGH)
    warning = " ".join(capsys.readouterr().err.split())
    assert "go from 272 to 3,000, and the run learned those from 272 to 1,632" in warning
    dataset.with_grey_range(data, None, DataSpec("image", (), {}, grey_range=(0.0, 2500.0)))
    assert not capsys.readouterr().err  # some is clipped in most new data
    before = DataSpec("image", (), {})
    assert dataset.with_grey_range(data, None, before).examples.content.grey_range is None
    chosen = dataset.with_grey_range(data, [0, 4095], learned)
    assert chosen.examples.content.grey_range == (0, 4095)


@pytest.mark.parametrize("pair", [[1.0], [3.0, 3.0], [4095.0, 0.0], [0.0, float("inf")]])
def test_a_range_is_two_numbers(pair):
    assert "Expected two numbers, the lower one first" in grey_range_problem(
        "data.grey_range", pair
    )
    assert not grey_range_problem("data.grey_range", [-1000.0, 400.0])


def test_dark_colours_of_16_bits_are_a_warning(tmp_path):
    """Pillow reads the upper half of each colour."""
    for number, (low, high) in enumerate([(LOW, HIGH), (0, 65535)] * 4):
        values = np.repeat(ramp(low, high).astype(">u2")[..., None], 3, -1)
        rows = b"".join(b"\0" + row.tobytes() for row in values)
        header = struct.pack(">IIBBBBB", SIZE, SIZE, 16, 2, 0, 0, 0)
        parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"tEXt", b"%d" % number)
        content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
        path = tmp_path / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content + chunk(b"IEND", b""))
    findings = inspected(tmp_path).findings
    dark = {each.where for each in findings if each.kind == "few_levels"}
    assert dark == {f"class 0/{number}.png" for number in (0, 2, 4, 6)}
    (converted,) = [each for each in findings if each.kind == "converted"]
    assert converted.why == "8 16-bit RGB photos become 8-bit RGB."


def test_bands_beyond_three_are_dropped_with_a_word(tmp_path):
    for name in "ab":
        for number in range(4):
            path = tmp_path / name / f"{number}.tif"
            path.parent.mkdir(exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 4), np.uint8)
            # The fourth band is near infrared, not transparency.
            Image.frombytes("RGBX", (8, 8), pixels.tobytes()).save(path)
    (converted,) = [each for each in inspected(tmp_path).findings if each.kind == "converted"]
    assert (
        converted.why == "8 4-band RGB photos become 8-bit RGB. Bands after the third are dropped."
    )
