"""When what was named is due, and that it is never more than so much."""

import pytest

from batchinfer.backends.bucket_client import ListedObject
from batchinfer.backends.named_outputs import (
    FIRST_POSTPONEMENT,
    MAX_DUE_ATTEMPTS,
    MAX_NAMED_ATTEMPTS,
    MAX_POSTPONEMENTS,
    SECOND_OUTPUT_DELAY,
    NamedOutputs,
)

LOG, JSON = ListedObject("outputs/a.log", 3), ListedObject("outputs/a.json", 5)


@pytest.fixture
def named() -> NamedOutputs:
    return NamedOutputs()


def test_both_outputs_are_due_at_once(named):
    named.add("a", LOG, 10.0)
    assert named.next_due_at == 10.0 + SECOND_OUTPUT_DELAY
    named.add("a", JSON, 10.01)
    assert named.next_due_at == 10.01
    assert named.take_due(10.01) == [[JSON, LOG]]
    assert named.next_due_at is None


def test_one_output_is_due_a_moment_later_and_again_with_the_other(named):
    named.add("a", LOG, 10.0)
    assert named.take_due(10.05) == []
    assert named.take_due(10.2) == [[LOG]]
    assert named.has_undecided()
    named.add("a", JSON, 12.0)
    assert not named.has_undecided()
    assert named.take_due(12.0) == [[JSON, LOG]]


def test_what_is_told_twice_is_looked_at_once(named):
    for _ in range(3):
        named.add("a", LOG, 10.0)
        named.add("a", JSON, 10.0)
    assert len(named.take_due(10.0)) == 1
    named.add("a", LOG, 11.0)
    assert named.take_due(99.0) == []
    named.add("a", ListedObject("outputs/a.json", 6), 12.0)  # another one of this name
    assert len(named.take_due(12.0)) == 1


def test_what_was_forgotten_is_not_due(named):
    named.add("a", LOG, 10.0)
    named.forget("a")
    assert named.next_due_at is None
    assert named.take_due(99.0) == []
    assert not named.has_undecided()


def test_what_is_put_off_comes_again_later_and_later_but_not_for_ever(named):
    named.add("a", LOG, 0.0)
    named.add("a", JSON, 0.0)
    now, waited = 0.0, []
    while named.next_due_at is not None:
        waited.append(named.next_due_at - now)
        now = named.next_due_at
        assert len(named.take_due(now)) == 1
        named.postpone("a", now)
    expected = [FIRST_POSTPONEMENT * 2**times for times in range(MAX_POSTPONEMENTS)]
    assert waited == pytest.approx([0.0, *expected])
    assert len(named) == 0


def test_a_flood_has_bounds(named):
    entries = [ListedObject(f"outputs/{n}.log", 1) for n in range(MAX_NAMED_ATTEMPTS + 5)]
    taken = [named.add(str(n), entry, 0.0) for n, entry in enumerate(entries)]
    assert taken.count(False) == 5
    assert len(named) == MAX_NAMED_ATTEMPTS
    assert len(named.take_due(1.0)) == MAX_DUE_ATTEMPTS
    assert len(named.take_due(1.0)) == MAX_DUE_ATTEMPTS


def test_a_listing_clears_what_was_looked_at_and_is_not_open(named):
    for name in "abc":
        named.add(name, ListedObject(f"outputs/{name}.log", 1), 0.0)
    named.take_due(1.0)
    named.add("new", LOG, 1.0)
    named.forget_settled({"b"})
    assert [name for name in ("a", "b", "c", "new") if name in named] == ["b", "new"]
