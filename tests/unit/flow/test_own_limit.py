"""What this machine bears, beside what the service serves."""

import pytest

from batchinfer.flow import Condition, Fixed, Gate, Health, OwnLimit

pytestmark = pytest.mark.event_loops("asyncio", "trio")


def test_a_shortage_lowers_it_below_what_was_in_flight():
    own = OwnLimit()
    own.ran_short(in_flight=50, began=0, now=1)
    assert own.value == 40


def test_those_that_ran_short_together_lower_it_once():
    own = OwnLimit(100)
    for _ in range(50):
        own.ran_short(in_flight=50, began=0, now=1)
    assert own.value == 40


def test_it_never_goes_below_one():
    own = OwnLimit(2)
    for time in range(20):
        own.ran_short(in_flight=1, began=time, now=time)
    assert own.value == 1


def test_it_climbs_back_to_where_it_began_and_no_further():
    own = OwnLimit(10)
    own.ran_short(in_flight=10, began=0, now=1)
    own.answered(now=2)
    assert own.value == 8
    for time in range(10, 100, 10):
        own.answered(now=time)
    assert own.value == 10


def test_an_answer_alone_changes_nothing():
    own = OwnLimit(10)
    own.answered(now=100)
    assert (own.value, own.opens_at) == (10, None)


def test_the_rest_grows_until_somebody_is_answered():
    own, rests = OwnLimit(10), []
    for time in range(0, 60, 10):
        own.ran_short(in_flight=1, began=time, now=time)
        rests.append(own.opens_at - time)
    assert rests == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
    own.answered(now=60)
    assert own.opens_at is None


async def test_the_gate_keeps_the_lower_of_both():
    gate = Gate(Fixed(8), health=Health(Condition.WARM), own=OwnLimit(2))
    assert [gate.enter() for _ in range(3)] == [True, True, False]
    assert gate.bound == 2
