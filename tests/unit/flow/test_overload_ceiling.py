"""After an overload: never back up at once, never above what was known, and soon there again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.flow import AttemptSample, ServiceSignal
from batchinfer.flow.overload_ceiling import CLIMB_DELAY_SECONDS, OverloadCeiling


def sample(
    now: float, in_flight: int, sign: ServiceSignal = ServiceSignal.OVERLOADED
) -> AttemptSample:
    return AttemptSample(sign, now, 0.05, in_flight, in_flight)


def test_it_climbs_in_steps_of_one_two_four_to_what_was_served_before():
    refusals, value, steps = OverloadCeiling(512), 4, []
    refusals.reduce(sample(0.0, 5), value, 22.0)
    now = 0.0
    while (
        wanted := refusals.next_step(sample(now, value, ServiceSignal.ANSWERED), value, 22.0)
    ) is None:
        now += 0.1
    assert now > CLIMB_DELAY_SECONDS
    while wanted is not None:
        value = round(wanted)
        steps.append(value)
        now += 1.0
        wanted = refusals.next_step(sample(now, value, ServiceSignal.ANSWERED), value, 22.0)
    assert steps == [5, 7, 11, 19, 22]


def test_a_step_that_is_refused_is_taken_back():
    refusals = OverloadCeiling(512)
    refusals.reduce(sample(0.0, 9), 8, 22.0)
    assert refusals.next_step(sample(5.0, 8, ServiceSignal.ANSWERED), 8, 22.0) == 9
    assert refusals.next_step(sample(6.0, 9, ServiceSignal.ANSWERED), 9, 22.0) == 11
    assert refusals.reduce(sample(6.1, 11), 11, 22.0) == 9
    assert refusals.next_step(sample(7.0, 9, ServiceSignal.ANSWERED), 9, 22.0) is None


def test_refused_although_no_more_were_in_flight_than_before_is_halved_once():
    refusals = OverloadCeiling(512)
    assert refusals.reduce(sample(0.0, 30), 30, 20.0) == 29
    assert refusals.reduce(sample(0.1, 20), 20, 20.0) == 10
    assert refusals.reduce(sample(0.2, 10), 10, 20.0) == 9


def test_a_ceiling_rises_with_the_number_served():
    refusals = OverloadCeiling(512)
    refusals.hit(sample(0.0, 12), 0.0, 1.0)
    assert refusals.current_ceiling(1.0) == pytest.approx(0.9 * 12)
    refusals.on_servers(9.0)
    assert refusals.current_ceiling(1.0) == pytest.approx(9 * 0.9 * 12)
    refusals.on_servers(1000.0)
    assert refusals.current_ceiling(1.0) == 512


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 20), st.floats(0, 60)), max_size=200))
def test_nothing_climbs_soon_after_a_refusal_nor_above_what_was_known(story):
    refusals, now, refused_at, value = OverloadCeiling(512), 0.0, None, 20
    for is_refused, later, known in story:
        now += later
        if is_refused:
            left = refusals.reduce(sample(now, value), value, known)
            assert left < max(value, 1)
            value, refused_at = max(1, round(left)), now
            continue
        wanted = refusals.next_step(sample(now, value, ServiceSignal.ANSWERED), value, known)
        if wanted is not None:
            assert refused_at is not None
            assert now - refused_at > CLIMB_DELAY_SECONDS
            assert wanted <= max(known, value)
            value = max(1, round(wanted))
