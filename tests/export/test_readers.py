"""The loader's `read` makes what fmkit makes of photos and texts."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fmkit.data.images.decode import RESIZES, decode
from fmkit.export.photos import PHOTOS
from fmkit.export.texts import TEXTS
from fmkit.models.tokenizers.subword import WordPieceModel
from fmkit.models.tokenizers.tokenizer import TextTokenizer

SIZE, GREY_RANGE = 20, (100.0, 3000.0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """One of each kind that is decoded in its own way."""
    folder, noise = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    pixels = noise.integers(0, 256, (90, 130, 4), np.uint8)
    smooth = Image.fromarray(pixels[..., :3]).resize((300, 200), Image.Resampling.BICUBIC)
    smooth.save(folder / "large.jpg", quality=95)
    turned = Image.Exif()
    turned[0x0112] = 6
    smooth.save(folder / "turned.jpg", exif=turned)
    Image.fromarray(pixels).save(folder / "transparent.png")
    Image.fromarray(pixels[..., :2], "LA").save(folder / "grey_transparent.png")
    Image.fromarray(pixels[..., 0]).save(folder / "grey.png")
    Image.fromarray(pixels[..., :3]).convert("P").save(folder / "palette.png")
    Image.fromarray(noise.integers(0, 4000, (40, 50), np.uint16)).save(folder / "deep.png")
    Image.fromarray(pixels[..., 0] > 99).save(folder / "black_white.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("resize", RESIZES)
def test_photos_are_read_as_for_predict(resize, photos):
    trained = SimpleNamespace(
        backbone=SimpleNamespace(image_size=SIZE), spec=SimpleNamespace(grey_range=GREY_RANGE)
    )
    read = reader(PHOTOS, trained, SimpleNamespace(resize=resize))
    ours = read(photos)
    assert ours.shape == (len(photos), SIZE, SIZE, 3)
    for path, image in zip(photos, ours, strict=True):
        expected = decode(str(path), SIZE, resize, GREY_RANGE)
        assert np.array_equal(image, expected), path.name


def reader(source, trained, data, **names):
    space = {"np": np, **names}
    exec(source.imports + "\n" + source.reader(trained, data), space)  # noqa: S102
    return space["read"]


def test_texts_are_read_as_for_predict(tmp_path):
    pieces = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "b", "##a", "##b", "##c", "c")
    model = WordPieceModel(pieces, True, True, "##", "[UNK]")
    tokenizer = TextTokenizer(model, "bert", 1, 2)
    trained = SimpleNamespace(backbone=SimpleNamespace(tokenizer=tokenizer, max_length=8))
    TEXTS.write_files(trained, tmp_path)
    read = reader(TEXTS, trained, None, FOLDER=tmp_path)
    texts = ["a", "Ab c", "abc abc abc abc", ""]
    for raw, pairs in ((texts, None), (list(zip(texts, texts[::-1], strict=True)), texts[::-1])):
        rows, _ = tokenizer.encode(texts, pairs, 8)
        tokens = read(raw)
        assert tokens.shape == (4, 8)
        for ours, expected in zip(tokens, rows, strict=True):
            assert ours[ours >= 0].tolist() == expected.tolist()
    assert TEXTS.metadata(trained, None)["special_tokens"] == [[1], [2], [2]]
