"""The typical side of a data set's images."""

import numpy as np
from PIL import Image

from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.images.image_size import typical_side


def test_arrays_say_it_exactly():
    assert typical_side(ImageArray(np.zeros((3, 20, 28), np.uint8))) == 28


def test_files_are_probed_and_broken_ones_passed_over(tmp_path):
    paths = []
    for number, size in enumerate([(30, 40)] * 30 + [(500, 900)] * 3):
        paths.append(tmp_path / f"{number}.png")
        Image.new("L", size).save(paths[-1])
    paths[0].write_text("no image")
    files = ImageFiles(tuple(map(str, paths)), np.zeros(len(paths), np.int64))
    assert typical_side(files) == 40
    assert typical_side(files.take(np.array([0]))) is None
