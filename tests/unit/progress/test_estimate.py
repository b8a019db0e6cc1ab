"""The range is sane whatever came in: it holds the likely time, tightens with more, and scales."""

import math
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchinfer import api
from batchinfer.domain import Counts
from batchinfer.ports import Committed, Progress
from batchinfer.progress import format_range
from batchinfer.progress.progress_format import format_time_left
from batchinfer.progress.progress_state import ProgressState, RateWindow
from batchinfer.progress.remaining_time import (
    MIN_FINISHED,
    MIN_FINISHED_IN_WINDOW,
    MIN_RELATIVE_ERROR,
    RateSamples,
    RemainingTime,
    estimate_remaining_time,
)
from batchinfer.store.sqlite import SqliteStore
from support.records import INFO, failed, page, reply

pytestmark = pytest.mark.event_loops("asyncio", "trio")

slices = st.lists(st.integers(0, 500), min_size=1, max_size=12).filter(
    lambda s: sum(s) >= MIN_FINISHED
)
lengths = st.floats(0.1, 10_000)
rests = st.integers(1, 10**7)


def told(remaining, finished, seconds) -> RemainingTime:
    found = estimate_remaining_time(remaining, RateSamples(finished, seconds))
    assert found is not None
    return found


def width(found: RemainingTime) -> float:
    return found.high / found.low


@given(rests, slices, lengths)
def test_the_range_holds_the_likely_time_which_is_the_mean_rates(rest, finished, seconds):
    found = told(rest, finished, seconds)

    assert 0 < found.low < found.likely < found.high < math.inf
    assert found.likely == pytest.approx(rest * seconds / sum(finished))
    assert width(found) >= (1 + MIN_RELATIVE_ERROR) ** 2 * 0.999


@given(rests, slices, lengths, st.integers(2, 9))
def test_more_of_the_same_never_widens_it(rest, finished, seconds, times):
    once, more = told(rest, finished, seconds), told(rest, finished * times, seconds * times)

    assert more.likely == pytest.approx(once.likely)
    assert width(more) <= width(once) * 1.000001
    if width(more) > (1 + MIN_RELATIVE_ERROR) ** 2 * 1.001:
        assert width(more) < width(once)


@given(rests, slices, lengths, st.integers(2, 50))
def test_it_scales_with_the_rest_and_with_the_time(rest, finished, seconds, times):
    once = told(rest, finished, seconds)

    for more in (told(rest * times, finished, seconds), told(rest, finished, seconds * times)):
        assert (more.low, more.likely, more.high) == pytest.approx(
            (once.low * times, once.likely * times, once.high * times)
        )


@given(st.integers(MIN_FINISHED, 200), st.integers(2, 12), lengths)
def test_the_more_uneven_the_wider(each, count, seconds):
    even = told(100, [each] * count, seconds)
    uneven = told(100, [each * count, *[0] * (count - 1)], seconds)

    assert uneven.likely == pytest.approx(even.likely)
    assert width(uneven) > width(even)


@given(st.lists(st.integers(0, 1), max_size=12), lengths)
def test_too_little_says_nothing(finished, seconds):
    assume(sum(finished) < MIN_FINISHED)

    assert estimate_remaining_time(100, RateSamples(finished, seconds)) is None
    assert estimate_remaining_time(100, RateSamples([50], 0.0)) is None


def test_nothing_left_takes_no_time():
    assert told(0, [5, 5], 10.0) == RemainingTime(0.0, 0.0, 0.0)


def test_where_many_are_finished_only_the_latest_count():
    long = RateSamples([1] * 12, 1200.0)

    assert estimate_remaining_time(100, RateSamples([MIN_FINISHED_IN_WINDOW], 10.0), long) == told(
        100, [MIN_FINISHED_IN_WINDOW], 10.0
    )
    assert estimate_remaining_time(
        100, RateSamples([MIN_FINISHED_IN_WINDOW - 1], 10.0), long
    ) == told(100, [1] * 12, 1200.0)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (65 * 60, 90 * 60, "1h 05m to 1h 30m"),
        (40, 70, "40s to 1m 10s"),
        (625, 3610, "10m to 1h 00m"),
        (86_400, 90_000, "1d 00h to 1d 01h"),
        (3601, 3602, "1h 00m"),
    ],
)
def test_a_range_in_words(low, high, shown):
    assert format_range(RemainingTime(low, low, high)) == shown


def test_a_range_stands_where_it_tells_more_than_the_bare_time():
    assert format_time_left(45.0, RemainingTime(40.0, 45.0, 50.0)) == "ETA 45s"
    assert format_time_left(45.0, RemainingTime(20.0, 45.0, 100.0)) == "20s to 1m 40s left"
    assert format_time_left(45.0, None) == "ETA 45s"
    assert format_time_left(None, None) == ""


# --- the run directory


@pytest.fixture
async def run(tmp_path) -> Path:
    """A hundred items, of which forty were finished, one each second until now."""
    now = time.time()
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        await store.add(page(100))
        await store.commit_records(
            [reply(n, at=now - 40.5 + n, seconds=0.4) for n in range(1, 40)]
            + [failed(40, at=now - 0.5, seconds=0.4)]
        )
    return tmp_path / "run"


async def test_how_long_the_process_at_work_will_take(run):
    began = time.time() - 40
    found = api.estimate_time_left(run, began)
    assert found is not None
    assert found.low < 60 < found.high
    # Had it been at work for longer, it would have been slower; a minute is what counts.
    assert api.estimate_time_left(run, began - 600).likely == pytest.approx(90, rel=0.05)


async def test_what_a_go_at_a_few_says_of_the_rest(run):
    progress = Progress(
        Counts(),
        0,
        is_source_complete=False,
        failed_by_code={"model_error": 1},
        estimated_servers=2.345,
    )
    found = api.estimate_run(run, 0.0, progress)

    assert (found.sent, found.remaining, found.complete) == (40, 60, False)
    assert found.time_left is not None
    assert found.time_left.likely == pytest.approx(60, rel=0.1)
    assert found.as_json()["serving"] == 2.3
    assert found.as_json()["failures"] == {"model_error": 1}
    nothing = api.estimate_run(run, time.time() + 60, progress)
    assert (nothing.sent, nothing.time_left, nothing.as_json()["seconds"]) == (0, None, None)


# --- the window and the tally


def test_a_pulse_is_the_window_cut_into_slices():
    window = RateWindow(0.0, 0)
    for second in range(1, 61):
        window.add_sample(second, min(second, 30))

    pulse = window.split_samples(60.0)
    assert (sum(pulse.finished_counts), pulse.seconds) == (30, 60.0)
    assert len(pulse.finished_counts) == 12
    assert list(pulse.finished_counts[6:]) == [0] * 6
    assert sum(pulse.finished_counts) / pulse.seconds == window.compute_rate(60.0)


@given(st.lists(st.tuples(st.floats(0.01, 40), st.integers(0, 50)), min_size=1, max_size=200))
def test_a_pulse_counts_what_the_rate_counts(steps):
    window, now, count = RateWindow(0.0, 0), 0.0, 0
    for wait, more in steps:
        now, count = now + wait, count + more
        window.add_sample(now, count)
    rate = window.compute_rate(now)
    assume(rate is not None)
    pulse = window.split_samples(now)

    assert all(each >= 0 for each in pulse.finished_counts)
    assert sum(pulse.finished_counts) / pulse.seconds == pytest.approx(rate)


class Run:
    """A run as a display hears of it, finishing `per_second` items."""

    def __init__(self, total: int) -> None:
        self.now, self.finished, self.total = 0.0, 0, total
        self.tally = ProgressState(lambda: self.now)
        self.hear()

    def hear(self, *, complete: bool = True, paused: bool = False) -> None:
        counts = Counts(self.total - self.finished, 0, self.finished)
        self.tally.update(Committed((), Progress(counts, 4, complete, paused=paused)))

    def goes_on(self, seconds: int, per_second: float) -> None:
        for _ in range(seconds):
            self.now += 1
            self.finished += int(self.now * per_second) - int((self.now - 1) * per_second)
            self.hear()


def test_an_item_a_minute_is_enough_for_a_range_though_not_for_a_rate():
    run = Run(100)
    run.goes_on(600, 1 / 60)

    found = run.tally.estimate_remaining_time()
    assert found is not None
    assert found.likely == pytest.approx(90 * 60, rel=0.15)


def test_the_range_follows_a_rate_that_has_changed():
    run = Run(100_000)
    run.goes_on(600, 1.0)
    run.goes_on(61, 50.0)

    found = run.tally.estimate_remaining_time()
    assert found is not None
    assert found.likely == pytest.approx((100_000 - run.finished) / 50, rel=0.05)


def test_nothing_is_promised_while_paused_or_while_the_source_is_read():
    run = Run(1000)
    run.goes_on(60, 2.0)
    assert run.tally.estimate_remaining_time() is not None
    assert run.tally.compute_eta() is not None

    run.hear(paused=True)
    assert (run.tally.estimate_remaining_time(), run.tally.compute_eta()) == (None, None)
    run.hear(complete=False)
    assert (run.tally.estimate_remaining_time(), run.tally.compute_eta()) == (None, None)
