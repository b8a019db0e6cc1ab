"""How rare listings may be, as the stream proves itself."""

import pytest

from batchinfer.backends.notification_trust import (
    FIRST_TRUSTED_PAUSE,
    LATE_SECONDS,
    MAX_TRUSTED_PAUSE,
    POLLS_AFTER_LOSS,
    NotificationTrust,
)

NOTHING = frozenset()


@pytest.fixture
def trust() -> NotificationTrust:
    """A stream that is connected, and was compared with a first listing."""
    trust = NotificationTrust()
    trust.connect()
    poll(trust, 0.0)
    return trust


def poll(trust: NotificationTrust, now: float, *unnamed: str, undecided=NOTHING) -> float | None:
    trust.begin_poll()
    for name in unnamed:
        trust.find_unnamed(name, now)
    trust.complete_poll(frozenset(undecided), now)
    return trust.pause


def test_without_a_stream_nothing_changes():
    trust = NotificationTrust()
    assert trust.pause is None
    assert poll(trust, 1.0, "a") is None


def test_the_first_listing_comes_at_once():
    trust = NotificationTrust()
    trust.connect()
    assert trust.pause == 0.0
    assert poll(trust, 0.0) is None


def test_a_stream_that_tells_nothing_is_not_trusted(trust):
    assert [poll(trust, now) for now in (1.0, 10.0, 100.0)] == [None] * 3


def test_pauses_double_as_long_as_all_was_named(trust):
    trust.hear("a")
    pauses = [poll(trust, float(n)) for n in range(12)]
    assert pauses[:3] == [FIRST_TRUSTED_PAUSE, 2 * FIRST_TRUSTED_PAUSE, 4 * FIRST_TRUSTED_PAUSE]
    assert pauses[-1] == MAX_TRUSTED_PAUSE


def test_what_was_never_named_ends_the_trust(trust):
    trust.hear("a")
    for now in range(8):
        poll(trust, float(now))
    assert poll(trust, 100.0, "lost") == LATE_SECONDS  # it may come yet: look again soon
    assert poll(trust, 100.0 + LATE_SECONDS) is None
    trust.hear("b")
    pauses = [poll(trust, 200.0 + n) for n in range(POLLS_AFTER_LOSS + 1)]
    assert pauses[: POLLS_AFTER_LOSS - 1] == [None] * (POLLS_AFTER_LOSS - 1)
    assert pauses[-1] is not None


def test_an_event_may_follow_the_listing(trust):
    trust.hear("a")
    before = [poll(trust, float(now)) for now in range(5)][-1]
    poll(trust, 100.0, "late")
    trust.hear("late")
    assert trust.pause == 2 * before
    assert poll(trust, 200.0) == 4 * before


def test_a_stream_that_names_little_of_what_there_is_is_not_trusted(trust):
    for now in range(100):
        trust.hear(f"heard-{now}")
        pause = poll(trust, float(now), f"lost-{now}")
        assert pause is None or pause <= LATE_SECONDS
    assert pause is None


def test_what_was_there_before_the_stream_need_not_be_named():
    trust = NotificationTrust()
    trust.connect()
    assert poll(trust, 0.0, "old", undecided={"half"}) is None
    trust.hear("a")
    assert poll(trust, 10.0, "half") == FIRST_TRUSTED_PAUSE
    assert poll(trust, 30.0) == 2 * FIRST_TRUSTED_PAUSE


def test_a_drop_ends_the_trust_and_the_next_listing_comes_at_once(trust):
    trust.hear("a")
    poll(trust, 1.0)
    trust.disconnect()
    assert trust.pause is None
    trust.connect()
    assert trust.pause == 0.0


def test_a_listing_that_began_before_the_stream_proves_nothing():
    trust = NotificationTrust()
    trust.begin_poll()
    trust.connect()
    trust.complete_poll(NOTHING, 1.0)
    assert trust.pause == 0.0
    assert poll(trust, 2.0, "old") is None
    trust.hear("a")
    assert poll(trust, 3.0) == FIRST_TRUSTED_PAUSE


def test_a_listing_can_be_asked_for(trust):
    trust.hear("a")
    poll(trust, 1.0)
    trust.want_poll()
    assert trust.pause == 0.0
    trust.begin_poll()
    assert trust.pause != 0.0


def test_pauses_have_a_bound_of_their_own():
    trust = NotificationTrust(max_pause=3.0)
    trust.connect()
    poll(trust, 0.0)
    trust.hear("a")
    assert [poll(trust, float(n)) for n in range(5)] == [1.0, 2.0, 3.0, 3.0, 3.0]
