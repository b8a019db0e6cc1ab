"""Whether the service is there: the table of states, and what holds for any story."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.flow.health import IN_A_ROW, REST, SILENCE, UNHEARD, Condition, Health
from batchinfer.flow.signs import Sign

BAD = (Sign.FULL, Sign.SLOW, Sign.AWAY, Sign.BROKEN)


def warm() -> Health:
    health = Health()
    health.begun(0.0)
    health.heard(Sign.ANSWERED, 1, 0.0, 1.0)
    return health


def gone(at: float = 100.0) -> Health:
    health = warm()
    for item in range(IN_A_ROW):
        health.heard(Sign.BROKEN, item, at - 1, at)
    return health


def test_nobody_but_one_probe_knocks_at_a_cold_service():
    health = Health()
    assert health.admits(0.0)
    health.begun(0.0)
    assert not health.admits(0.5)
    health.heard(Sign.AWAY, 1, 0.0, 0.5)
    assert health.condition is Condition.COLD
    assert health.is_away
    assert not health.admits(0.6)
    assert health.admits(health.opens_at)


def test_a_first_probe_that_is_silent_is_being_served():
    health = Health()
    health.begun(0.0)
    assert not health.admits(SILENCE / 2)
    assert health.admits(SILENCE)
    health.begun(SILENCE)
    assert health.condition is Condition.WARM
    assert health.admits(SILENCE)


def test_the_rest_between_probes_grows_with_the_absence():
    health, now, rests = Health(), 0.0, []
    while now < 600:
        health.begun(now)
        health.heard(Sign.AWAY, 1, now, now)
        rests.append(health.opens_at - now)
        now = health.opens_at
    assert [round(rest, 6) for rest in rests] == sorted(round(rest, 6) for rest in rests)
    assert rests[0] == 1
    assert rests[-1] == pytest.approx(REST)
    assert len(rests) < 75


def test_a_probe_that_lasts_much_longer_than_the_one_before_is_being_served():
    health = gone(100.0)
    at = health.opens_at
    health.begun(at)
    health.heard(Sign.FULL, 9, at, at + 0.05)
    at = health.opens_at
    health.begun(at)
    assert not health.admits(at + 0.4)
    assert health.admits(at + 0.6)
    health.begun(at + 0.6)
    assert health.condition is Condition.WARM


def test_who_is_there_and_refuses_is_probed_less_often_than_who_is_not():
    knocks = []
    for sign in (Sign.AWAY, Sign.FULL):
        health, count = gone(100.0), 0
        while (at := health.opens_at) < 400.0:
            health.begun(at)
            health.heard(sign, 9, at, at)
            count += 1
        knocks.append(count)
    away, full = knocks
    assert full < 0.9 * away


def test_probes_that_meet_something_else_are_news_and_the_rests_grow_anew():
    health, now = gone(100.0), 100.0
    while now < 400.0:
        now = health.opens_at
        health.begun(now)
        health.heard(Sign.FULL, 9, now, now)
    now = health.opens_at
    health.begun(now)
    health.heard(Sign.AWAY, 9, now, now)
    assert health.opens_at == now + 1
    assert health.away(now) > 300


def test_one_bad_item_closes_nothing():
    health = warm()
    for _ in range(100):
        health.heard(Sign.BROKEN, 7, 10.0, 11.0)
    assert health.condition is Condition.WARM


def test_different_items_that_fail_in_a_row_close_and_an_answer_opens():
    health = gone()
    assert health.is_away
    assert not health.admits(100.5)
    health.begun(health.opens_at)
    assert health.condition is Condition.PROBING
    assert health.heard(Sign.ANSWERED, 9, health.opens_at, 130.0)
    assert health.condition is Condition.WARM
    assert not health.is_away


def test_what_was_in_flight_when_the_service_went_is_no_probe():
    health = gone(100.0)
    opens = health.opens_at
    health.heard(Sign.BROKEN, 50, 60.0, 100.9)
    assert health.opens_at == opens
    health.heard(Sign.ANSWERED, 51, 60.0, 101.0)
    assert health.is_away


def test_a_service_that_lets_others_in_is_not_away():
    """One call in ten is refused at once; the others take their time."""
    health, now = warm(), 100.0
    for number in range(500):
        health.begun(now)
        if number % 10 == 0:
            health.heard(Sign.FULL, number, now, now + 0.05)
        now += 0.1
        assert health.condition is Condition.WARM


def test_all_that_begin_are_refused_while_earlier_ones_are_still_answered():
    health = warm()
    for number in range(IN_A_ROW):
        health.begun(100.0 + number)
        health.heard(Sign.FULL, number, 100.0 + number, 100.05 + number)
        health.heard(Sign.ANSWERED, 50 + number, 90.0, 100.1 + number)
    assert health.is_away


def test_an_item_that_is_not_even_sent_is_no_probe():
    health = gone(100.0)
    at = health.opens_at
    health.begun(at)
    health.heard_nothing(at, at + 0.01)
    assert health.admits(at + 0.01)


def test_a_brief_absence_is_no_reason_to_begin_anew():
    health = gone(100.0)
    at = health.opens_at
    health.begun(at)
    assert not health.heard(Sign.ANSWERED, 9, at, at + 1)
    assert health.condition is Condition.WARM


def test_a_wish_to_be_left_alone_counts_whoever_hears_it():
    health = gone(100.0)
    health.heard(Sign.FULL, 50, 60.0, 100.9, retry_after=40.0)
    assert health.opens_at == 140.9


def test_after_silence_a_probe_that_hangs_is_followed_by_another():
    health = warm()
    for item in range(IN_A_ROW):
        health.heard(Sign.SLOW, item, 40.0, 100.0)
    at = health.opens_at
    health.begun(at)
    assert not health.admits(at + UNHEARD / 2)
    assert health.admits(at + UNHEARD)


stories = st.lists(
    st.tuples(st.floats(0.01, 50), st.sampled_from([*BAD, Sign.ANSWERED]), st.integers(1, 20)),
    max_size=200,
)


@given(stories)
def test_whatever_happens_a_probe_is_admitted_in_time_and_an_answer_opens(story):
    health, now, gone_at = Health(), 0.0, 0.0
    for seconds, sign, item in story:
        if health.admits(now):
            health.begun(now)
        now += seconds
        was_away = health.is_away
        health.heard(sign, item, now - seconds, now)
        gone_at = now if health.is_away and not was_away else gone_at
        assert health.opens_at is None or health.opens_at <= now + max(REST, UNHEARD, SILENCE)
        if sign is Sign.ANSWERED and now - seconds >= gone_at:
            assert health.condition is Condition.WARM
    if health.opens_at is not None:
        assert health.admits(health.opens_at)


@given(st.floats(0, 1000), st.floats(10, 2000), st.floats(0.01, 5))
def test_an_outage_costs_few_probes_and_is_noticed_as_over_in_time(begin, lasts, seconds):
    health, probes, now = gone(begin), 0, begin
    end = begin + lasts
    while True:
        now = max(now, health.opens_at)
        health.begun(now)
        probes += 1
        if now >= end:
            health.heard(Sign.ANSWERED, probes, now, now + seconds)
            break
        health.heard(Sign.BROKEN, probes, now, now + seconds)
    assert health.condition is Condition.WARM
    assert now - end <= REST + seconds
    assert probes <= 40 + lasts / REST
