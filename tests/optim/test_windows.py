"""Which batches make an update together, against going through them one by one."""

import pytest
from keras import ops

from fmkit.optim.windows import UpdateWindows


def by_going_through(size, epoch, total):
    """For each batch the first of its window, and whether the window ends with it."""
    first, rows = 0, []
    for batch in range(total):
        is_whole = batch + 1 - first == size
        ends = is_whole or batch + 1 == total or (size <= epoch and (batch + 1) % epoch == 0)
        rows.append((first, ends))
        first = batch + 1 if ends else first
    return rows


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize(("epoch", "total"), [(7, 7), (7, 21), (7, 17), (7, 5), (1, 6), (3, 20)])
def test_windows_end_with_epochs_and_with_the_phase(size, epoch, total):
    windows, rows = UpdateWindows(size, epoch, total), by_going_through(size, epoch, total)
    done = 0
    for batch, (first, ends) in enumerate(rows):
        assert windows.first_batch(batch) == first
        assert windows.updates_after(batch) == done == int(windows.updates_after(ops.array(batch)))
        assert bool(windows.ends(ops.array(batch + 1))) == ends
        done += ends
    assert windows.updates == windows.updates_after(total) == done
    assert int(windows.updates_after(ops.array(total))) == done
