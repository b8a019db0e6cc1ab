"""Whether the service is there: the table of states, and what holds for any sequence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.flow import ServiceSignal
from batchinfer.flow.service_health import (
    MAX_PROBE_INTERVAL_SECONDS,
    MIN_FAILURES_IN_A_ROW,
    PROBE_SILENCE_SECONDS,
    REPEAT_PROBE_AFTER_SECONDS,
    ServiceHealth,
    ServiceState,
)

BAD = (
    ServiceSignal.OVERLOADED,
    ServiceSignal.TIMEOUT,
    ServiceSignal.UNREACHABLE,
    ServiceSignal.ERROR,
)


def warm() -> ServiceHealth:
    health = ServiceHealth()
    health.on_start(0.0)
    health.on_outcome(ServiceSignal.ANSWERED, 1, 0.0, 1.0)
    return health


def gone(at: float = 100.0) -> ServiceHealth:
    health = warm()
    for item in range(MIN_FAILURES_IN_A_ROW):
        health.on_outcome(ServiceSignal.ERROR, item, at - 1, at)
    return health


def test_nobody_but_one_probe_knocks_at_a_cold_service():
    health = ServiceHealth()
    assert health.allows(0.0)
    health.on_start(0.0)
    assert not health.allows(0.5)
    health.on_outcome(ServiceSignal.UNREACHABLE, 1, 0.0, 0.5)
    assert health.state is ServiceState.COLD
    assert health.is_down
    assert not health.allows(0.6)
    assert health.allows(health.next_open_at)


def test_a_first_probe_that_is_silent_is_being_served():
    health = ServiceHealth()
    health.on_start(0.0)
    assert not health.allows(PROBE_SILENCE_SECONDS / 2)
    assert health.allows(PROBE_SILENCE_SECONDS)
    health.on_start(PROBE_SILENCE_SECONDS)
    assert health.state is ServiceState.WARM
    assert health.allows(PROBE_SILENCE_SECONDS)


def test_the_rest_between_probes_grows_with_the_absence():
    health, now, rests = ServiceHealth(), 0.0, []
    while now < 600:
        health.on_start(now)
        health.on_outcome(ServiceSignal.UNREACHABLE, 1, now, now)
        rests.append(health.next_open_at - now)
        now = health.next_open_at
    assert [round(rest, 6) for rest in rests] == sorted(round(rest, 6) for rest in rests)
    assert rests[0] == 1
    assert rests[-1] == pytest.approx(MAX_PROBE_INTERVAL_SECONDS)
    assert len(rests) < 75


def test_a_probe_that_lasts_much_longer_than_the_one_before_is_being_served():
    health = gone(100.0)
    at = health.next_open_at
    health.on_start(at)
    health.on_outcome(ServiceSignal.OVERLOADED, 9, at, at + 0.05)
    at = health.next_open_at
    health.on_start(at)
    assert not health.allows(at + 0.4)
    assert health.allows(at + 0.6)
    health.on_start(at + 0.6)
    assert health.state is ServiceState.WARM


def test_who_is_there_and_refuses_is_probed_less_often_than_who_is_not():
    knocks = []
    for sign in (ServiceSignal.UNREACHABLE, ServiceSignal.OVERLOADED):
        health, count = gone(100.0), 0
        while (at := health.next_open_at) < 400.0:
            health.on_start(at)
            health.on_outcome(sign, 9, at, at)
            count += 1
        knocks.append(count)
    away, full = knocks
    assert full < 0.9 * away


def test_probes_that_meet_something_else_are_news_and_the_rests_grow_anew():
    health, now = gone(100.0), 100.0
    while now < 400.0:
        now = health.next_open_at
        health.on_start(now)
        health.on_outcome(ServiceSignal.OVERLOADED, 9, now, now)
    now = health.next_open_at
    health.on_start(now)
    health.on_outcome(ServiceSignal.UNREACHABLE, 9, now, now)
    assert health.next_open_at == now + 1
    assert health.down_for(now) > 300


def test_one_bad_item_closes_nothing():
    health = warm()
    for _ in range(100):
        health.on_outcome(ServiceSignal.ERROR, 7, 10.0, 11.0)
    assert health.state is ServiceState.WARM


def test_different_items_that_fail_in_a_row_close_and_an_answer_opens():
    health = gone()
    assert health.is_down
    assert not health.allows(100.5)
    health.on_start(health.next_open_at)
    assert health.state is ServiceState.PROBING
    assert health.on_outcome(ServiceSignal.ANSWERED, 9, health.next_open_at, 130.0)
    assert health.state is ServiceState.WARM
    assert not health.is_down


def test_what_was_in_flight_when_the_service_went_is_no_probe():
    health = gone(100.0)
    opens = health.next_open_at
    health.on_outcome(ServiceSignal.ERROR, 50, 60.0, 100.9)
    assert health.next_open_at == opens
    health.on_outcome(ServiceSignal.ANSWERED, 51, 60.0, 101.0)
    assert health.is_down


def test_a_service_that_lets_others_in_is_not_away():
    """One call in ten is refused at once; the others take their time."""
    health, now = warm(), 100.0
    for number in range(500):
        health.on_start(now)
        if number % 10 == 0:
            health.on_outcome(ServiceSignal.OVERLOADED, number, now, now + 0.05)
        now += 0.1
        assert health.state is ServiceState.WARM


def test_all_that_begin_are_refused_while_earlier_ones_are_still_answered():
    health = warm()
    for number in range(MIN_FAILURES_IN_A_ROW):
        health.on_start(100.0 + number)
        health.on_outcome(ServiceSignal.OVERLOADED, number, 100.0 + number, 100.05 + number)
        health.on_outcome(ServiceSignal.ANSWERED, 50 + number, 90.0, 100.1 + number)
    assert health.is_down


def test_an_item_that_is_not_even_sent_is_no_probe():
    health = gone(100.0)
    at = health.next_open_at
    health.on_start(at)
    health.on_unsent(at, at + 0.01)
    assert health.allows(at + 0.01)


def test_a_brief_absence_is_no_reason_to_begin_anew():
    health = gone(100.0)
    at = health.next_open_at
    health.on_start(at)
    assert not health.on_outcome(ServiceSignal.ANSWERED, 9, at, at + 1)
    assert health.state is ServiceState.WARM


def test_a_wish_to_be_left_alone_counts_whoever_hears_it():
    health = gone(100.0)
    health.on_outcome(ServiceSignal.OVERLOADED, 50, 60.0, 100.9, retry_after=40.0)
    assert health.next_open_at == 140.9


def test_after_silence_a_probe_that_hangs_is_followed_by_another():
    health = warm()
    for item in range(MIN_FAILURES_IN_A_ROW):
        health.on_outcome(ServiceSignal.TIMEOUT, item, 40.0, 100.0)
    at = health.next_open_at
    health.on_start(at)
    assert not health.allows(at + REPEAT_PROBE_AFTER_SECONDS / 2)
    assert health.allows(at + REPEAT_PROBE_AFTER_SECONDS)


stories = st.lists(
    st.tuples(
        st.floats(0.01, 50), st.sampled_from([*BAD, ServiceSignal.ANSWERED]), st.integers(1, 20)
    ),
    max_size=200,
)


@given(stories)
def test_whatever_happens_a_probe_is_admitted_in_time_and_an_answer_opens(story):
    health, now, gone_at = ServiceHealth(), 0.0, 0.0
    for seconds, sign, item in story:
        if health.allows(now):
            health.on_start(now)
        now += seconds
        was_away = health.is_down
        health.on_outcome(sign, item, now - seconds, now)
        gone_at = now if health.is_down and not was_away else gone_at
        assert health.next_open_at is None or health.next_open_at <= now + max(
            MAX_PROBE_INTERVAL_SECONDS, REPEAT_PROBE_AFTER_SECONDS, PROBE_SILENCE_SECONDS
        )
        if sign is ServiceSignal.ANSWERED and now - seconds >= gone_at:
            assert health.state is ServiceState.WARM
    if health.next_open_at is not None:
        assert health.allows(health.next_open_at)


@given(st.floats(0, 1000), st.floats(10, 2000), st.floats(0.01, 5))
def test_an_outage_costs_few_probes_and_is_noticed_as_over_in_time(begin, lasts, seconds):
    health, probes, now = gone(begin), 0, begin
    end = begin + lasts
    while True:
        now = max(now, health.next_open_at)
        health.on_start(now)
        probes += 1
        if now >= end:
            health.on_outcome(ServiceSignal.ANSWERED, probes, now, now + seconds)
            break
        health.on_outcome(ServiceSignal.ERROR, probes, now, now + seconds)
    assert health.state is ServiceState.WARM
    assert now - end <= MAX_PROBE_INTERVAL_SECONDS + seconds
    assert probes <= 40 + lasts / MAX_PROBE_INTERVAL_SECONDS
