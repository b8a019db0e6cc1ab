"""Figures are true, and of a bounded size."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.report.figures import NAMES, SLICES, Ranking, Scores, Spread, Timeline


@given(st.lists(st.floats(0.001, 10_000), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_exact_to_one_percent(values, share):
    spread = Spread()
    for value in values:
        spread.add(value)

    exact = sorted(values)[math.ceil(share * len(values)) - 1]
    assert spread.quantile(share) == pytest.approx(exact, rel=0.011)
    assert spread.most == max(values)
    assert sum(spread.bars(5.0, 40)) == len(values)


def test_a_spread_of_nothing_has_no_quantile():
    assert Spread().quantile(0.5) is None


@given(
    st.floats(0.1, 1e7),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
)
def test_a_timeline_keeps_all_seconds_in_flight(length, attempts):
    line = Timeline(1_000_000.0, 1_000_000.0 + length)
    for begin, share in attempts:
        line.attempt(1_000_000.0 + begin * length, (1 - begin) * length * share)

    kept = sum(line.in_flight) * line.width
    assert kept == pytest.approx(
        sum((1 - begin) * length * share for begin, share in attempts), abs=1e-3, rel=1e-6
    )
    assert len(line.in_flight) <= SLICES + 2


def test_two_attempts_at_once_are_two_in_flight():
    line = Timeline(100.0, 110.0)
    line.attempt(102.0, 4.0)
    line.attempt(104.0, 4.0)

    at = {second: line.in_flight[line.place(second)] for second in (101, 103, 105, 107, 109)}
    assert at == {101: 0, 103: 1, 105: 2, 107: 1, 109: 0}


def test_a_ranking_counts_findings_and_items_and_holds_so_many_names():
    ranking = Ranking()
    ranking.add(["cat", "cat", "dog"])
    ranking.add(["cat"])
    for name in range(NAMES + 10):
        ranking.add([str(name)])

    assert ranking.top(2) == [("cat", 3, 2), ("0", 1, 1)]
    assert len(ranking.found) == NAMES
    assert ranking.beyond == 12
    assert ranking.found.total() + ranking.beyond == NAMES + 14


def test_scores_are_of_one_or_of_a_hundred():
    ones, percents = Scores(), Scores()
    for score in (0.0, 0.52, 1.0, -3):
        ones.add(score)
    for score in (0.5, 52, 100):
        percents.add(score)

    assert (ones.highest, ones.outside, sum(ones.bars), ones.bars[10]) == (1, 1, 3, 1)
    assert (percents.highest, sum(percents.bars), percents.bars[10]) == (100, 3, 1)
