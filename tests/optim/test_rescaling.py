"""A learning-rate schedule whose phase becomes shorter or longer under way."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fmkit.optim.rescaling import MOST_CHANGES, Rescaling
from fmkit.optim.schedules import KINDS, Schedule

LENGTH = 40
LARGE = 1 << 23  # updates, of which float32 still holds each


def schedule(kind, *changes, **settings):
    result = Schedule(
        0.3, LENGTH, warmup_steps=8, kind=kind, final_fraction=0.1, step_every=7, **settings
    )
    result.rescaling = Rescaling()
    for change in changes:
        result.rescaling.change(*change)
    return result


def rates(schedule, updates):
    return np.array([schedule(update) for update in updates])


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_change_the_rates_are_the_same_bit_for_bit(kind):
    plain, same = Schedule(0.3, LENGTH, 8, kind, 0.1, 7), schedule(kind)
    for updates in (range(60), (LARGE - 1, LARGE)):
        np.testing.assert_array_equal(rates(same, updates), rates(plain, updates))
        tensors = [tf.constant(update, "int64") for update in updates]
        for update in tensors:
            assert float(same(update)) == float(plain(update))


def test_what_is_left_is_gone_through_in_the_updates_that_are_left():
    plain = Schedule(0.3, LENGTH, warmup_steps=8, final_fraction=0.1)
    # After 16 updates 24 are left, and 8 are given: 3 updates of the schedule each.
    shorter = schedule("cosine", (16, LENGTH, 24))
    np.testing.assert_array_equal(rates(shorter, range(17)), rates(plain, range(17)))
    np.testing.assert_allclose(
        rates(shorter, range(16, 25)), rates(plain, range(16, 41, 3)), rtol=1e-6
    )
    # And longer again after 20, from where the schedule is at 28: 12 updates of it in 6.
    longer = schedule("cosine", (16, LENGTH, 24), (20, 24, 26))
    np.testing.assert_allclose(
        rates(longer, range(20, 27)), rates(plain, range(28, 41, 2)), rtol=1e-6
    )
    assert longer.rescaling.position(26) == pytest.approx(LENGTH)
    assert float(longer(26)) == pytest.approx(0.03)


def test_a_change_before_an_earlier_one_ends_where_that_would_have_ended():
    """A refit follows the changes of its phase, and may be shortened at any step."""
    refit = schedule("linear", (20, LENGTH, 30), (10, 30, 20))
    assert refit.rescaling.position(10) == 10
    assert refit.rescaling.position(20) == pytest.approx(LENGTH)
    assert refit.rescaling.position(15) == pytest.approx(25)


def test_a_compiled_step_follows_a_change_without_being_traced_again():
    shorter, traces = schedule("linear"), []

    @tf.function
    def rate(update):
        traces.append(update)
        return shorter(update)

    before = float(rate(tf.constant(30, "int64")))
    shorter.rescaling.change(16, LENGTH, 24)
    after = float(rate(tf.constant(20, "int64")))
    assert len(traces) == 1
    assert before == float(Schedule(0.3, LENGTH, 8, "linear", 0.1)(30))
    assert after == pytest.approx(float(shorter(20)), rel=1e-6)
    assert after != before


def test_it_is_no_part_of_what_is_saved():
    saved = keras.saving.serialize_keras_object(schedule("cosine", (3, LENGTH, 20)))
    assert keras.saving.deserialize_keras_object(saved).rescaling is None
    rescaling = Rescaling()
    for number in range(MOST_CHANGES):
        rescaling.change(number + 1, 1000 - number, 999 - number)
    with pytest.raises(ValueError, match="31 changes"):
        rescaling.change(99, 900, 800)
