"""Figures are true, and of a bounded size."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.report.aggregates import (
    MAX_DISTINCT_LABELS,
    MAX_TIMELINE_SLICES,
    LabelCounts,
    QuantileSketch,
    ScoreHistogram,
    Timeline,
)


@given(st.lists(st.floats(0.001, 10_000), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_exact_to_one_percent(values, share):
    spread = QuantileSketch()
    for value in values:
        spread.add(value)

    exact = sorted(values)[math.ceil(share * len(values)) - 1]
    assert spread.quantile(share) == pytest.approx(exact, rel=0.011)
    assert spread.maximum == max(values)
    assert sum(spread.histogram(5.0, 40)) == len(values)


def test_a_spread_of_nothing_has_no_quantile():
    assert QuantileSketch().quantile(0.5) is None


@given(
    st.floats(0.1, 1e7),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
)
def test_a_timeline_keeps_all_seconds_in_flight(length, attempts):
    line = Timeline(1_000_000.0, 1_000_000.0 + length)
    for begin, share in attempts:
        line.add_attempt(1_000_000.0 + begin * length, (1 - begin) * length * share)

    kept = sum(line.in_flight) * line.width
    assert kept == pytest.approx(
        sum((1 - begin) * length * share for begin, share in attempts), abs=1e-3, rel=1e-6
    )
    assert len(line.in_flight) <= MAX_TIMELINE_SLICES + 2


def test_two_attempts_at_once_are_two_in_flight():
    line = Timeline(100.0, 110.0)
    line.add_attempt(102.0, 4.0)
    line.add_attempt(104.0, 4.0)

    at = {second: line.in_flight[line.slice_index(second)] for second in (101, 103, 105, 107, 109)}
    assert at == {101: 0, 103: 1, 105: 2, 107: 1, 109: 0}


def test_a_ranking_counts_findings_and_items_and_holds_so_many_names():
    ranking = LabelCounts()
    ranking.add(["cat", "cat", "dog"])
    ranking.add(["cat"])
    for name in range(MAX_DISTINCT_LABELS + 10):
        ranking.add([str(name)])

    assert ranking.most_common(2) == [("cat", 3, 2), ("0", 1, 1)]
    assert len(ranking.findings) == MAX_DISTINCT_LABELS
    assert ranking.uncounted == 12
    assert ranking.findings.total() + ranking.uncounted == MAX_DISTINCT_LABELS + 14


def test_scores_are_of_one_or_of_a_hundred():
    ones, percents = ScoreHistogram(), ScoreHistogram()
    for score in (0.0, 0.52, 1.0, -3):
        ones.add(score)
    for score in (0.5, 52, 100):
        percents.add(score)

    assert (ones.scale_end, ones.outside, sum(ones.bins), ones.bins[10]) == (1, 1, 3, 1)
    assert (percents.scale_end, sum(percents.bins), percents.bins[10]) == (100, 3, 1)
