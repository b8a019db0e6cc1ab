"""How many attempts this machine bears, beside what the service serves."""

import pytest

from batchinfer.flow import FixedLimit, Gate, MachineCapacity, ServiceHealth, ServiceState

pytestmark = pytest.mark.event_loops("asyncio", "trio")


def test_a_shortage_lowers_it_below_what_was_in_flight():
    own = MachineCapacity()
    own.on_shortage(in_flight=50, began=0, now=1)
    assert own.value == 40


def test_those_that_ran_short_together_lower_it_once():
    own = MachineCapacity(100)
    for _ in range(50):
        own.on_shortage(in_flight=50, began=0, now=1)
    assert own.value == 40


def test_it_never_goes_below_one():
    own = MachineCapacity(2)
    for time in range(20):
        own.on_shortage(in_flight=1, began=time, now=time)
    assert own.value == 1


def test_it_climbs_back_to_where_it_began_and_no_further():
    own = MachineCapacity(10)
    own.on_shortage(in_flight=10, began=0, now=1)
    own.on_answer(now=2)
    assert own.value == 8
    for time in range(10, 100, 10):
        own.on_answer(now=time)
    assert own.value == 10


def test_an_answer_alone_changes_nothing():
    own = MachineCapacity(10)
    own.on_answer(now=100)
    assert (own.value, own.next_open_at) == (10, None)


def test_the_rest_grows_until_somebody_is_answered():
    own, rests = MachineCapacity(10), []
    for time in range(0, 60, 10):
        own.on_shortage(in_flight=1, began=time, now=time)
        rests.append(own.next_open_at - time)
    assert rests == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
    own.on_answer(now=60)
    assert own.next_open_at is None


async def test_the_gate_keeps_the_lower_of_both():
    gate = Gate(
        FixedLimit(8), health=ServiceHealth(ServiceState.WARM), machine_capacity=MachineCapacity(2)
    )
    assert [gate.try_acquire() for _ in range(3)] == [True, True, False]
    assert gate.effective_limit == 2
