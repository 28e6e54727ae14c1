"""Passes of a trained network over new photos and texts, which are read while it runs.

N inputs, B batch, K numbers in an output, S side of a photo in pixels.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from fmkit.config import saved_config
from fmkit.core.errors import ConfigError, FmkitError
from fmkit.core.machine import available_cores
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.data.images import decode as image_decoding
from fmkit.data.loaders.text_loader import TextLoader
from fmkit.data.predict_inputs import TextInputs
from fmkit.data.predict_photos import PhotoInputs
from fmkit.evaluation.inference import Inference
from fmkit.evaluation.load_run import LoadedRun
from fmkit.train import task_data
from fmkit.train.features import engine as engines

SPLIT = "all"
"""The one split of new texts."""
_LEAST_AHEAD, _MOST_AHEAD, _BYTES_AHEAD = 2, 16, 2**26
"""Batches of photos that are decoded while the network has others, or is traced, which takes a
second of one core: as many as fit into so many bytes."""


def photo_outputs(
    trained: LoadedRun, inference: Inference, inputs: PhotoInputs, batch_size: int
) -> tuple[list[np.ndarray], list[str]]:
    """Outputs of a network for photos.

    Args:
        trained: the run, which says how photos are read.
        inference: the network, which reads what the run's does.
        inputs: the photos.
        batch_size: photos per step.

    Returns:
        Each output of the network, (N, K), NaN in the rows of photos that could not be read, and
        why a photo could not be read, empty where it could.

    Raises:
        ConfigError: the run reads texts.
    """
    if trained.backbone.image_size is None:
        raise ConfigError(f"run {trained.run.id} reads texts, and input= has photos.")
    arrays = _unknown(inference, len(inputs))
    errors = list(inputs.errors)
    # Of one size, so that one traced graph serves every batch.
    batch_size = max(1, min(batch_size, len(inputs)))
    decoded = decode_photos(trained, inputs, errors, batch_size)
    with trained.progress("images", len(inputs)) as progress:
        for numbers, outputs in _run_ahead(inference, decoded, len(inputs)):
            if numbers:
                for array, rows in zip(arrays, outputs, strict=True):
                    array[numbers] = rows[: len(numbers)]
            progress.advance(batch_size)
    return arrays, errors


def _run_ahead(
    inference: Inference, batches: Iterator[tuple[list[int], np.ndarray]], count: int
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """The numbers of each batch of photos with the outputs of a network, which are empty where no
    photo could be read.

    On a CPU the network gets another batch before it is done with one: at the end of each operation
    Keras' threads wait for each other, which took a seventh of the time of two cores.
    """
    for numbers, images in batches:
        if not numbers:
            yield [], []
            continue
        chosen = inference.choose(images, count)
        # Here, since a thread of its own would trace the network without its settings.
        yield numbers, chosen.run(images)
        break
    else:
        return

    def run(batch: tuple[list[int], np.ndarray]) -> tuple[list[int], list[np.ndarray]]:
        numbers, images = batch
        return numbers, chosen.run(images) if numbers else []

    yield from engines.run_ahead(run, batches) if inference.kind == "cpu" else map(run, batches)


def _unknown(inference: Inference, count: int) -> list[np.ndarray]:
    """An array of NaN, (N, K), for each output of a network."""
    return [np.full((count, output.shape[-1]), np.nan) for output in inference.model.outputs]


def decode_photos(
    trained: LoadedRun, inputs: PhotoInputs, errors: list[str], batch_size: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Batches of photos as the network takes them, of one size; see `_decode_ahead`.

    Args:
        trained: the run, which says how photos are read.
        inputs: the photos.
        errors: why a photo cannot be read; what is found while it is decoded is added.
        batch_size: photos of a batch.
    """
    batch_bytes = 3 * batch_size * (trained.backbone.image_size or 0) ** 2
    ahead = min(max(_LEAST_AHEAD, _BYTES_AHEAD // max(batch_bytes, 1)), _MOST_AHEAD)
    return _decode_ahead(_decoder(trained, inputs, errors), len(inputs), batch_size, ahead)


def _decoder(
    trained: LoadedRun, inputs: PhotoInputs, errors: list[str]
) -> Callable[[int], np.ndarray | None]:
    """From a photo's number to its pixels, (S, S, 3) uint8, or None and its error in `errors`."""
    image_size, grey_range = trained.backbone.image_size or 0, trained.spec.grey_range
    resize = saved_config.section(trained.run.config(), "data").resize  # as in training

    def decode(number: int) -> np.ndarray | None:
        if errors[number]:
            return None
        pixels = inputs.pixels[number] if inputs.pixels else None
        if pixels is not None:
            return image_decoding.from_array(pixels, image_size, resize)
        try:
            return image_decoding.decode(inputs.names[number], image_size, resize, grey_range)
        except FmkitError as error:
            errors[number] = error.message
            return None

    return decode


def _decode_ahead(
    decode: Callable[[int], np.ndarray | None], count: int, batch_size: int, ahead: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Batches of photos, decoded by threads while the network has those before.

    Args:
        decode: from a photo's number to its pixels, or None.
        count: photos.
        batch_size: of a batch.
        ahead: batches that are decoded before they are asked for.

    Yields:
        The numbers of the photos that could be read, and their pixels (B, S, S, 3) uint8; rows
        after those are zero.
    """
    starts = range(0, count, batch_size)
    waiting: deque[tuple[range, list[Future[np.ndarray | None]]]] = deque()
    pool = ThreadPoolExecutor(available_cores())
    try:
        for start in [*starts, *[count] * ahead]:
            numbers = range(start, min(start + batch_size, count))
            waiting.append((numbers, [pool.submit(decode, number) for number in numbers]))
            if len(waiting) <= ahead:
                continue
            numbers, futures = waiting.popleft()
            yield _batch(dict(zip(numbers, futures, strict=True)), batch_size)
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody waits for what is not begun


def _batch(
    futures: Mapping[int, Future[np.ndarray | None]], batch_size: int
) -> tuple[list[int], np.ndarray]:
    """A batch of what threads decode, by number; see `_decode_ahead`."""
    images = {
        number: image
        for number, future in futures.items()
        if (image := future.result()) is not None
    }
    batch = np.zeros((0,), np.uint8)
    if images:
        first = next(iter(images.values()))
        batch = np.zeros((batch_size, *first.shape), first.dtype)
        batch[: len(images)] = list(images.values())
    return list(images), batch


def text_outputs(
    trained: LoadedRun, inference: Inference, inputs: TextInputs, batch_size: int
) -> tuple[list[np.ndarray], list[str]]:
    """Outputs of a network for texts; arguments and results are those of `photo_outputs`.

    Raises:
        ConfigError: the run reads photos.
    """
    data, loader = text_loader(trained, inputs, batch_size)
    arrays, readable = _unknown(inference, len(inputs)), inputs.readable
    if len(readable):
        with trained.progress("texts", len(readable), batch_size) as progress:
            results = inference.all_outputs(loader, data.splits[SPLIT], [progress], once=True)
        for array, rows in zip(arrays, results, strict=True):
            array[readable] = rows
    return arrays, list(inputs.errors)


def text_loader(
    trained: LoadedRun, inputs: TextInputs, batch_size: int
) -> tuple[Dataset, TextLoader]:
    """The readable texts as a data set of the split `SPLIT`, in the form that the task reads.

    Raises:
        ConfigError: the run reads photos.
    """
    tokenizer, max_length = trained.backbone.tokenizer, trained.backbone.max_length
    if tokenizer is None or max_length is None:
        raise ConfigError(f"run {trained.run.id} reads photos, and input= has texts.")
    readable = inputs.readable
    ids = tuple(inputs.ids[index] for index in readable)
    labels, texts = np.zeros(len(readable), np.int32), inputs.texts.take(readable)
    examples = Examples(ids, labels, trained.spec.classes, texts)
    data = Dataset(examples, {SPLIT: np.arange(len(readable))}, trained.spec)
    task = trained.task
    if task.input_format == "rows" and len(readable):
        data = task_data.rows_of(data, task, trained.backbone)
    loader = TextLoader(
        data.examples, data.examples.labels, tokenizer=tokenizer, max_length=max_length,
        prepare_batch=task.prepare_batch, num_inputs=1 + len(task.extra_inputs),
        target_rank=task.target_rank, batch_size=batch_size,
    )  # fmt: skip
    return data, loader
