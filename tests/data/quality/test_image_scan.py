"""The scan finds every bad file and no good one, is paid once, and keeps within its memory."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hostile import images
from pictures import picture
from PIL import Image

from fmkit.config.schema.data import ImageFolderData
from fmkit.core.errors import DataError
from fmkit.data.images import decode
from fmkit.data.quality import inspect, scan_cache
from fmkit.data.quality.image_probe import probe
from fmkit.data.quality.image_scan import scan
from fmkit.data.quality.scan_cache import ScanCache

LIMIT = 64_000_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return images.build(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def inspected(corpus, tmp_path_factory):
    config = ImageFolderData(root=str(corpus.root))
    return inspect.inspect(config, 0, tmp_path_factory.mktemp("cache"))


def test_every_bad_file_is_found_and_named(corpus, inspected):
    assert len(corpus.bad) == 290
    assert images.missed(corpus, inspected.findings) == []


def test_no_good_file_is_named(corpus, inspected):
    assert len(corpus.good) == 2000
    assert images.false_alarms(corpus, inspected.findings) == []


def test_what_the_scan_lets_pass_training_can_decode(inspected):
    files = inspected.usable.content
    for path in files.paths:
        assert decode.decode(path, 32, "squash").shape == (32, 32, 3)


def test_one_message_has_every_kind_and_what_to_do(inspected):
    with pytest.raises(DataError) as caught:
        inspect.accept(inspected, "error")
    message = caught.value.message
    assert message.startswith(f"{11 if images.HEIC_KIND == 'needs_package' else 10} problems:")
    assert "the file is empty (10 of 2,330 files):" in message
    assert "train/ant/0-page.jpg: it is an HTML or XML text" in message
    assert "and 60 more" in message
    assert "data.on_bad=skip" in message


def test_files_of_nothing_block_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path / "link.jpg"):
        assert probe(str(path), LIMIT).kind == "special_file"
        with pytest.raises(DataError, match="it is a FIFO"):
            decode.decode(str(path), 16, "squash")
    assert probe("/dev/zero", LIMIT).kind == "special_file"
    assert probe(str(tmp_path), LIMIT).kind == "special_file"
    assert probe(str(tmp_path / "gone"), LIMIT).kind == "unreadable"


def test_a_reduced_decode_judges_as_a_whole_one_does(tmp_path):
    """The scan decodes a JPEG at a fraction of its size: 150 random damages, the same verdicts."""
    draw = np.random.default_rng(3)
    noise = Image.fromarray(draw.integers(0, 256, (96, 128, 3), dtype=np.uint8))
    path, verdicts = tmp_path / "photo.jpg", []
    for number in range(150):
        whole = images.encoded(noise, "JPEG", progressive=bool(number % 2))
        content = bytearray(whole)
        if number % 3 == 0:
            del content[int(draw.integers(2, len(content))) :]
        for _ in range(number % 3):
            content[int(draw.integers(2, len(content)))] ^= 1 << int(draw.integers(0, 8))
        path.write_bytes(content)
        found = bool(probe(str(path), LIMIT).kind)
        verdicts.append(found)
        try:
            with Image.open(path, formats=("JPEG",)) as image:
                image.load()
        except Exception:
            assert found, number
        if content == whole:
            assert not found
    assert 50 <= sum(verdicts) < 150


def files_in(folder: Path, count: int) -> list[str]:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        picture(number).save(folder / f"{number}.png")
    return [str(folder / f"{number}.png") for number in range(count)]


def test_a_file_is_read_again_only_when_it_changed(tmp_path):
    paths = files_in(tmp_path / "photos", 40)
    Path(paths[7]).write_bytes(b"")
    cache = ScanCache(tmp_path / "cache")
    first = scan(paths, LIMIT, cache)
    again = scan(paths, LIMIT, ScanCache(tmp_path / "cache"))
    assert (first.files_read, again.files_read) == (40, 0)
    assert again.faults == first.faults == {7: ("empty_file", "")}
    assert np.array_equal(again.thumbnails, first.thumbnails)
    assert np.array_equal(again.digests, first.digests)
    picture(99).save(paths[3])
    os.utime(paths[3], ns=(1, 1))
    third = scan(paths, LIMIT, cache)
    assert third.files_read == 1
    assert not np.array_equal(third.digests[3], first.digests[3])
    small = scan(paths, 20, cache)  # another limit holds for what is known, too
    assert set(small.faults) == set(range(40))
    assert {kind for kind, _ in small.faults.values()} == {"too_large", "empty_file"}


@pytest.mark.parametrize("at_once", [1, 7, 500])
def test_the_cache_is_asked_in_parts(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(scan_cache, "_PATHS_AT_ONCE", at_once)
    paths, cache = files_in(tmp_path / "photos", 20), ScanCache(None)
    first = scan(paths, LIMIT, cache)
    assert scan(paths, LIMIT, cache).files_read == 0
    order = [13, 2, 2, 19, 0]
    halves = cache.thumbnails([paths[index] for index in order]).reshape(-1, 16, 2, 16, 2)
    assert np.array_equal(
        halves.mean(axis=(2, 4)).astype(int).reshape(5, -1), first.thumbnails[order]
    )
    assert not cache.thumbnails(["gone"]).any()


@pytest.mark.parametrize("content", [b"no database" * 99, b"SQLite format 3\0" + bytes(500)])
def test_a_damaged_cache_is_begun_anew(tmp_path, content):
    paths = files_in(tmp_path / "photos", 3)
    (tmp_path / "scans.sqlite").write_bytes(content)
    assert scan(paths, LIMIT, ScanCache(tmp_path)).files_read == 3
    assert scan(paths, LIMIT, ScanCache(tmp_path)).files_read == 0


def test_without_a_place_for_the_cache_the_scan_goes_on(tmp_path):
    paths = files_in(tmp_path / "photos", 3)
    (tmp_path / "file").write_bytes(b"")
    assert scan(paths, LIMIT, ScanCache(tmp_path / "file")).files_read == 3
    assert scan(paths, LIMIT, ScanCache(None)).files_read == 3


def test_an_interrupt_ends_it_and_keeps_what_was_found(tmp_path):
    paths = files_in(tmp_path / "photos", 200)
    many = paths * 20

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(many, LIMIT, ScanCache(tmp_path), threads=1, progress=interrupt)
    left = [each.name for each in threading.enumerate() if "fmkit-scan" in each.name]
    assert left == []
    assert scan(paths[:32], LIMIT, ScanCache(tmp_path)).files_read == 0


MEMORY = """
import resource, sys
from pathlib import Path
from fmkit.data.quality.image_probe import probe
from fmkit.data.quality.image_scan import scan
from fmkit.data.quality.scan_cache import ScanCache

paths = sorted(str(each) for each in Path(sys.argv[1]).iterdir())
probe(paths[0], 100)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
found = scan(paths, 64_000_000, ScanCache(None), threads=4)
print(peak() - before, len(found.faults), len(found.formats), "tensorflow" in sys.modules)
"""


def test_memory_stays_within_bounds_bombs_included(tmp_path):
    """Three photos of 64 million pixels, as large as may be, among bombs, on four threads."""
    folder = tmp_path / "photos"
    folder.mkdir()
    largest = images.png_of_zeros(8000, 8000)
    for number in range(3):
        (folder / f"a{number}.png").write_bytes(largest)
    for number in range(30):
        suffix, content = images._other_bomb(number)
        (folder / f"b{number}.{suffix}").write_bytes(content)
        (folder / f"c{number}.jpg").write_bytes(images._jpeg_bomb(number))
        (folder / f"d{number}.png").write_bytes(images.png_of_zeros(30_000, 30_000, rows=50))
    told = subprocess.run(
        [sys.executable, "-c", MEMORY, str(folder)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told[1:] == ["90", "93", "False"]
    assert float(told[0]) < 300  # MB


def test_the_count_for_the_scoreboard_adds_up(corpus, inspected):
    """`hostile.images.run` counts what a training run would see; a miss must lower it."""
    named = images.named_in(inspected.findings)
    without = [each for each in inspected.findings if each.kind != "leak"]
    assert len(images.missed(corpus, without)) == 10
    assert "leak" in set().union(*named.values())
