"""How fast starts and bytes may follow each other. Time is a number here."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.flow.rate_limiters import (
    MAX_SEND_CHUNK_BYTES,
    MIN_SEND_CHUNK_BYTES,
    START_SLACK_SECONDS,
    BandwidthLimiter,
    RateLimiter,
)


def starts(pace: RateLimiter, at: list[float]) -> list[float]:
    """When each would begin that is ready at these times."""
    began = []
    now = 0.0
    for ready in at:
        now = max(now, ready, pace.next_start)
        pace.record_start(now)
        began.append(round(now, 6))
    return began


def test_starts_are_evenly_spaced():
    assert starts(RateLimiter(2), [0, 0, 0, 0]) == [0, 0.5, 1.0, 1.5]


def test_after_a_pause_there_is_no_burst():
    began = starts(RateLimiter(2), [0, 100, 100, 100])
    assert began[1] == 100
    assert all(later - earlier >= 0.5 - START_SLACK_SECONDS for earlier, later in pairwise(began))


def gone(bandwidth: BandwidthLimiter, pieces: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """When each piece goes that is ready at that time; many senders, who wait by themselves."""
    return [(ready + bandwidth.reserve(size, ready), size) for ready, size in pieces]


def test_bytes_follow_each_other_as_fast_as_allowed_and_no_faster():
    went = gone(BandwidthLimiter(1000), [(100, 500)] * 4)
    assert [round(at - 100, 6) for at, _ in went] == [0, 0.45, 0.95, 1.45]


def test_after_a_pause_only_what_a_coarse_timer_lost_is_caught_up():
    bandwidth = BandwidthLimiter(1000)
    assert bandwidth.reserve(500, 0.0) == 0
    assert bandwidth.reserve(500, 100.0) == 0
    assert bandwidth.reserve(500, 100.0) == pytest.approx(0.5 - START_SLACK_SECONDS)


@pytest.mark.parametrize(
    ("rate", "piece"), [(1, MIN_SEND_CHUNK_BYTES), (100_000, 10_000), (1e9, MAX_SEND_CHUNK_BYTES)]
)
def test_a_piece_takes_a_tenth_of_a_second_so_that_all_are_served_in_turn(rate, piece):
    assert BandwidthLimiter(rate).chunk_bytes == piece


@given(
    st.floats(1e3, 1e8),
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 1 << 16)), min_size=1, max_size=60),
)
def test_in_no_span_of_time_more_than_allowed(rate, steps):
    """Of all that went from one moment to another: not more than the rate, and one piece."""
    now, ready = 1000.0, []
    for pause, size in steps:
        now += pause
        ready.append((now, size))
    went = gone(BandwidthLimiter(rate), ready)
    assert [at for at, _ in went] == sorted(at for at, _ in went)
    for first, (begin, _) in enumerate(went):
        total = 0
        for at, size in went[first:]:
            assert total <= rate * (at - begin + START_SLACK_SECONDS) * (1 + 1e-6) + 1
            total += size
