"""Counts of a range are those that one gets by counting."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.flow.range_counts import RangeCounter


@given(
    st.sampled_from([16, 32, 64, 256]),
    st.lists(st.integers(0, 40).map(float), max_size=1200),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_counting_one_by_one(capacity, values, seed):
    counter, kept, chance = RangeCounter(capacity), [], Random(seed)
    for value in values:
        kept.append(value)
        if counter.append(value):
            del kept[:capacity]
        first = chance.randint(0, len(kept))
        last = chance.randint(0, len(kept))
        bound = chance.uniform(-1, 41)
        expected = sum(one <= bound for one in kept[first:last])
        assert counter.count_up_to(bound, first, last) == expected


def test_it_keeps_what_it_promises_and_forgets_the_rest():
    counter, count = RangeCounter(64), 0
    for number in range(10_000):
        count = count + 1 - (64 if counter.append(number) else 0)
        assert count <= 128
        assert counter.count_up_to(number, 0, count) == count
        assert counter.count_up_to(number - 1, 0, count) == count - 1
    assert count >= 64


def test_the_cost_of_a_count_hardly_grows_with_the_range():
    class Bound(float):
        """Counts how often it is compared."""

        compared = 0

        def __lt__(self, other):
            Bound.compared += 1
            return float(self) < other

        def __ge__(self, other):
            Bound.compared += 1
            return float(self) >= other

    counter = RangeCounter(4096)
    for number in range(8_000):
        counter.append(number)
    bound = Bound(6_000.0)
    assert counter.count_up_to(bound, 5, 7_995) == 5_996
    assert Bound.compared < 250
