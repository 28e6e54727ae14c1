"""Batches are a function of seed and step: not of memory, threads, or where a resume starts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from pictures import picture

from fmkit.config.schema.data import ImageFolderData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.images.decode import decode, from_array
from fmkit.data.images.pixel_cache import PixelCache
from fmkit.data.loaders.image_loader import ImageLoader
from fmkit.data.loaders.sampler import EpochOrder
from fmkit.data.sources.registry import list_examples

SIZE = 12


def loader(examples, **options):
    settings = {"image_size": SIZE, "batch_size": 4, "num_classes": len(examples.classes)}
    return ImageLoader(examples, examples.labels, **{**settings, **options})


def batches(dataset):
    return [tuple(np.asarray(part) for part in batch) for batch in dataset]


def same(left, right):
    return len(left) == len(right) and all(
        np.array_equal(a, b) for one, two in zip(left, right, strict=True)
        for a, b in zip(one, two, strict=True)
    )  # fmt: skip


def positions_of(examples):
    """By its pixels, the position of each image."""
    return {
        from_array(pixels, SIZE, "squash").tobytes(): index
        for index, pixels in enumerate(examples.content.pixels)
    }


@pytest.mark.parametrize(("count", "batch"), [(11, 4), (12, 4), (3, 8), (1, 1)])
def test_each_example_exactly_once_an_epoch(rows, count, batch):
    examples = rows(count + 5)
    indices = np.arange(5, count + 5)
    found = loader(examples, batch_size=batch)
    steps = found.steps_per_epoch(count)
    position = positions_of(examples)
    orders = []
    for epoch in range(4):
        part = batches(found.train(indices, seed=7, steps=steps, start=epoch * steps))
        assert [len(images) for images, _ in part[:-1]] == [batch] * (steps - 1)
        order = [position[image.tobytes()] for images, _ in part for image in images]
        labels = np.concatenate([targets for _, targets in part]).argmax(axis=1)
        assert sorted(order) == indices.tolist()
        assert np.array_equal(labels, examples.labels[order])
        orders.append(tuple(order))
    if count > 3:
        assert len(set(orders)) == 4


@pytest.mark.parametrize("augment", ["none", "strong"])
def test_a_resume_starts_at_any_step(rows, augment):
    examples = rows(10)
    found = loader(examples, augment=augment, class_weights=[1.0, 2.0, 3.0])
    indices, steps = np.arange(10), 7  # 3 steps an epoch, the last with 2 examples
    whole = batches(found.train(indices, seed=3, steps=steps))
    assert [len(each[0]) for each in whole] == [4, 4, 2, 4, 4, 2, 4]
    fresh = loader(examples, augment=augment, class_weights=[1.0, 2.0, 3.0])
    for first in range(1, steps):
        rest = fresh.train(indices, seed=3, steps=steps - first, start=first)
        assert same(batches(rest), whole[first:])
    assert not same(batches(found.train(indices, seed=4, steps=steps)), whole)


@pytest.mark.parametrize("augment", ["none", "strong"])
def test_neither_memory_nor_threads_change_anything(photos, augment):
    examples = list_examples(ImageFolderData(root=str(photos(cats=9, dogs=6))))
    indices = np.arange(1, 15)
    kept = loader(examples, augment=augment)
    kept.prepare()
    streamed = loader(examples, augment=augment, memory_budget_bytes=0)
    single = loader(examples, augment=augment, memory_budget_bytes=0, parallel=1)
    assert kept.pixels.in_memory
    assert not streamed.pixels.in_memory
    expected = batches(kept.train(indices, seed=0, steps=9))
    assert same(batches(streamed.train(indices, seed=0, steps=9)), expected)
    assert same(batches(single.train(indices, seed=0, steps=9)), expected)
    assert same(batches(kept.train(indices, seed=0, steps=9)), expected)
    assert same(batches(single.ordered(indices)), batches(kept.ordered(indices)))


@pytest.mark.parametrize("augment", ["none", "medium"])
def test_no_pipeline_is_tuned_while_it_runs(rows, augment):
    # tf.data's tuner sleeps for longer and longer, and an iterator's end may wait until it wakes.
    found = loader(rows(10), augment=augment)
    every = np.arange(10)
    for dataset in (found.train(every, 0, 3), found.ordered(every), found.augmented(every, 0, 1)):
        assert dataset.options().autotune.enabled is False


def test_ordered_is_in_order_unaugmented_and_unweighted(rows):
    examples = rows(11)
    found = loader(examples, augment="strong", class_weights=[1.0, 2.0, 3.0])
    indices = np.array([9, 2, 5, 1, 0])
    part = batches(found.ordered(indices))
    assert [len(each) for each in part] == [2, 2]
    images = np.concatenate([each[0] for each in part])
    assert images.dtype == np.uint8
    for image, index in zip(images, indices, strict=True):
        expected = from_array(examples.content.pixels[index], SIZE, "squash")
        assert np.array_equal(image, expected)
    labels = np.concatenate([each[1] for each in part]).argmax(axis=1)
    assert np.array_equal(labels, examples.labels[indices])
    assert batches(found.ordered(np.array([], np.int64))) == []


def test_what_a_batch_looks_like(rows):
    examples = rows(8)
    found = loader(examples, augment="light", class_weights=[1.0, 2.0, 4.0])
    images, targets, weights = found.train(np.arange(8), 0, 2).element_spec
    assert images.shape.as_list() == [None, SIZE, SIZE, 3]
    assert (images.dtype, targets.dtype, weights.dtype) == (tf.float32,) * 3
    assert targets.shape.as_list() == [None, 3]
    assert found.train(np.arange(8), 0, 5).cardinality() == 5
    plain = ImageLoader(examples, examples.labels, image_size=SIZE, batch_size=4)
    images, targets = plain.train(np.arange(8), 0, 2).element_spec
    assert (images.dtype, targets.dtype) == (tf.uint8, tf.int32)
    dense = np.random.default_rng(0).random((8, 5), np.float32)
    several = ImageLoader(examples, dense, image_size=SIZE, batch_size=4, augment="strong")
    assert several.train(np.arange(8), 0, 2).element_spec[1].shape.as_list() == [None, 5]
    assert np.array_equal(batches(several.ordered(np.arange(8)))[1][1], dense[4:])


def test_class_weights_follow_the_targets(rows):
    examples, scale = rows(24), np.array([1.0, 2.0, 4.0], np.float32)
    for augment in ("none", "medium", "strong"):
        found = loader(examples, augment=augment, class_weights=scale)
        for _, targets, weights in batches(found.train(np.arange(24), 0, 6)):
            assert np.allclose(weights, targets @ scale, atol=1e-5)
    plain = ImageLoader(
        examples, examples.labels, image_size=SIZE, batch_size=4, class_weights=scale
    )
    for _, targets, weights in batches(plain.train(np.arange(24), 0, 6)):
        assert np.array_equal(weights, scale[targets])


def test_strong_needs_labels_that_mix(rows):
    with pytest.raises(ConfigError, match="mixes labels"):
        loader(rows(6), num_classes=None, augment="strong")


def test_the_order_is_uniform():
    """Chi-square over which example comes at which place: 1 a degree of freedom, give or take."""
    count, epochs = 30, 3000
    order = EpochOrder(np.arange(count), seed=5, batch_size=count)
    table = np.zeros((count, count))
    for epoch in range(epochs):
        table[np.arange(count), order.indices(epoch)] += 1
    expected = epochs / count
    assert ((table - expected) ** 2 / expected).sum() / (count - 1) ** 2 == pytest.approx(
        1, abs=0.2
    )


def broken(photos):
    root = photos(cats=9, dogs=9)
    for number in (2, 5):
        path = root / "cats" / f"cats{number}.png"
        path.write_bytes(path.read_bytes()[:150])  # the header is whole, the pixels are not
    return list_examples(ImageFolderData(root=str(root)))


@pytest.mark.parametrize("budget", [0, 2**30])
def test_broken_files_are_found_before_training(photos, budget):
    found = loader(broken(photos), memory_budget_bytes=budget)
    seen = []
    with pytest.raises(DataError) as caught:
        found.prepare(progress=lambda done, total: seen.append((done, total)))
    message = caught.value.message
    assert "2 of 18 files are not readable images" in message
    assert "cats2.png: it is damaged" in message
    assert "cats5.png: it is damaged" in message
    assert seen == [(18, 18)]


@pytest.mark.parametrize("budget", [0, 2**30])
def test_a_file_that_breaks_under_way_is_named(photos, budget):
    examples = broken(photos)
    found = loader(examples, memory_budget_bytes=budget)
    assert found.data_error(ValueError("another")) is None
    model = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    model.compile("sgd", "mse")
    with pytest.raises(tf.errors.OpError) as caught:
        model.fit(found.train(np.arange(18), seed=0, steps=5), verbose=0)
    explained = found.data_error(caught.value)
    assert isinstance(explained, DataError)
    assert ".png: it is damaged" in explained.message


def test_many_files_do_not_swell_the_graph(photos):
    """Neither paths nor targets are constants of the graph."""
    root = photos(cats=3, dogs=3)
    examples = list_examples(ImageFolderData(root=str(root)))
    many = examples.take(np.tile(np.arange(6), 20_000))
    found = ImageLoader(
        many, many.labels, image_size=SIZE, batch_size=4, num_classes=2, memory_budget_bytes=10**6
    )
    assert "decoded anew" in found.describe()
    dataset = found.train(np.arange(len(many)), seed=0, steps=10**6, start=10**6)
    graph = dataset._as_serialized_graph().numpy()
    assert len(graph) < 100_000
    assert batches(dataset.take(2))[1][0].shape == (4, SIZE, SIZE, 3)


def test_replicas_share_a_batch():
    """Two replicas get halves of each batch, in order; run apart since devices are set up once."""
    import subprocess
    import sys

    code = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from fmkit.data.content.images import ImageArray
from fmkit.data.examples import from_names
from fmkit.data.loaders.image_loader import ImageLoader
pixels = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
examples = from_names([str(i) for i in range(10)], list("ab") * 5, ImageArray(pixels))
loader = ImageLoader(examples, examples.labels, image_size=4, batch_size=4)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
batches = strategy.experimental_distribute_dataset(loader.ordered(np.arange(10)))
parts = [strategy.experimental_local_results(images) for images, _ in batches]
print([[part[:, 0, 0, 0].numpy().tolist() for part in each] for each in parts])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    expected = [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8], [9]]]
    assert done.stdout.strip().endswith(str(expected)), done.stderr[-2000:]


def test_a_picture_of_the_whole(photos):
    """A net learns two classes that differ through the whole pipeline, augmentation on."""
    keras.utils.set_random_seed(0)
    root = photos(dark=12, light=12)
    for path in (root / "dark").iterdir():
        picture(1).point(lambda value: value // 4).save(path)
    examples = list_examples(ImageFolderData(root=str(root)))
    found = loader(examples, augment="light", batch_size=8)
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.1), "categorical_crossentropy", metrics=["accuracy"])
    model.fit(found.train(np.arange(24), 0, 60), verbose=0)
    assert model.evaluate(found.ordered(np.arange(24)), verbose=0)[1] == 1.0


@pytest.mark.parametrize("budget", [0, 2**20])
def test_a_batch_is_what_the_decoder_makes_and_needs_no_copy(photos, budget):
    examples = list_examples(ImageFolderData(root=str(photos(cats=9, dogs=6))))
    pixels, order = PixelCache(examples, SIZE, "squash", budget), np.array([14, 3, 0, 7, 3, 9, 1])
    expected = [decode(examples.content.paths[index], SIZE, "squash") for index in order]
    for _ in range(2):
        batch = pixels.read(order)
        assert np.array_equal(batch, expected)
        assert batch.ctypes.data % 64 == 0  # else TensorFlow would copy it
    with pytest.raises(IndexError):
        pixels.read(np.array([0, 15]))
