"""What is watched: when a file is whole, when is scanned, what is new."""

import pytest

from batchinfer.api.watching.known_inputs import KnownAnswer, KnownInputs
from batchinfer.api.watching.scan_schedule import (
    MAX_IDLE_SECONDS,
    MAX_PAUSE_AFTER_SCAN,
    MAX_SAFETY_SECONDS,
    SAFETY_SECONDS,
    ScanSchedule,
)
from batchinfer.api.watching.settling import MAX_WAITING, Settling
from batchinfer.domain import InputFile, Item, RemoteFile
from batchinfer.store.memory import MemoryStore
from batchinfer.store.sqlite import SqliteStore
from support.records import INFO, failed, reply

NOW = 1_000_000.0
"""Seconds since the epoch."""


def seen(key="a", *, size=5, age=0.0, path=None):
    """An input, last written so many seconds before `NOW`."""
    file = InputFile("files", path or f"/in/{key}", size, round((NOW - age) * 1e9))
    return Item(key, (file,))


def test_a_file_is_whole_when_it_was_last_written_long_enough_ago():
    settling = Settling(2.0)
    assert settling.is_settled(seen(age=2.0), 0.0, NOW, trusts_times=True)
    assert not settling.is_settled(seen(age=2.0), 0.0, NOW, trusts_times=False)
    assert not settling.is_settled(seen("b", age=1.9), 0.0, NOW, trusts_times=True)
    assert not settling.is_settled(seen("c", age=-3600.0), 0.0, NOW, trusts_times=True)
    assert len(settling) == 3


def test_a_file_is_whole_when_it_was_seen_unchanged():
    settling = Settling(2.0)
    for now, size, is_whole in [
        (0.0, 5, False),
        (1.0, 5, False),
        (1.9, 6, False),
        (3.8, 6, False),
        (3.9, 6, True),
    ]:
        item = seen(size=size, age=-9.0)
        assert settling.is_settled(item, now, NOW, trusts_times=True) is is_whole
    assert len(settling) == 0
    assert settling.next_due is None


def test_what_waits_is_looked_at_when_it_is_due():
    settling = Settling(2.0)
    settling.is_settled(seen("a"), 0.0, NOW, trusts_times=False)
    settling.is_settled(seen("b"), 1.0, NOW, trusts_times=False)
    assert settling.next_due == 2.0
    assert [item.key for item in settling.take_due(2.5, 10)] == ["a"]
    assert [item.key for item in settling.take_due(3.0, 1)] == ["a"]
    settling.is_settled(seen("a", size=9), 2.5, NOW, trusts_times=False)
    assert [item.key for item in settling.take_due(4.0, 10)] == ["b"]
    settling.forget("b")
    assert settling.next_due == 4.5


def test_an_empty_file_and_a_link_that_leads_nowhere_are_not_taken():
    settling = Settling(2.0)
    for size in (0, None):
        assert not settling.is_settled(seen(size=size, age=99), 0.0, NOW, trusts_times=True)
    assert len(settling) == 0


@pytest.mark.parametrize(
    "file", [RemoteFile("f", "s3://b/k", 5, 1, "tag"), RemoteFile("f", "x://k")]
)
def test_an_object_is_whole(file):
    assert Settling(2.0).is_settled(Item("k", (file,)), 0.0, NOW, trusts_times=False)


def test_no_more_wait_than_there_is_room_for():
    settling = Settling(2.0)
    for number in range(MAX_WAITING + 10):
        settling.is_settled(seen(str(number)), 0.0, NOW, trusts_times=False)
    assert len(settling) == MAX_WAITING


def pauses(schedule, scans, *, found=False, seconds=0.0):
    now, found_pauses = 0.0, []
    for _ in range(scans):
        schedule.on_begin(now)
        assert schedule.next_at is None
        schedule.on_end(now + seconds, found=found)
        found_pauses.append(schedule.next_at - now - seconds)
        now = schedule.next_at
    return found_pauses


def test_scans_become_rare_where_nothing_comes():
    schedule = ScanSchedule(2.0)
    assert schedule.next_at == 0.0
    assert pauses(schedule, 3) == [3.0, 4.5, 6.75]
    assert pauses(schedule, 20)[-1] == MAX_IDLE_SECONDS
    assert pauses(schedule, 1, found=True) == [2.0]
    assert pauses(ScanSchedule(120.0), 9)[-1] == 120.0


def test_where_events_are_told_scans_are_a_safety_net():
    schedule = ScanSchedule(2.0)
    schedule.has_events = True
    assert pauses(schedule, 2) == [SAFETY_SECONDS, 2 * SAFETY_SECONDS]
    assert pauses(schedule, 9)[-1] == MAX_SAFETY_SECONDS
    schedule.has_events = False
    assert pauses(schedule, 1) == [MAX_IDLE_SECONDS]


def test_a_scan_takes_a_tenth_of_the_time():
    assert pauses(ScanSchedule(2.0), 1, found=True, seconds=4.0) == [40.0]
    assert pauses(ScanSchedule(2.0), 1, found=True, seconds=900.0) == [MAX_PAUSE_AFTER_SCAN]


def test_a_scan_can_be_asked_for():
    schedule = ScanSchedule(50.0)
    schedule.on_begin(0.0)
    schedule.request(1.0)  # one is under way
    assert schedule.next_at is None
    schedule.on_end(1.0, found=False)
    schedule.request(5.0)
    assert schedule.next_at == 5.0
    schedule.request(9.0)
    assert schedule.next_at == 5.0
    schedule.on_begin(5.0)
    schedule.on_failure(6.0)
    assert schedule.next_at == 56.0


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryStore()
        return
    async with SqliteStore.create(tmp_path / "run", INFO) as opened:
        yield opened


async def answers(store, *items, again=False):
    known = KnownInputs(store, again_when_changed=again)
    known.begin_scan()
    found = await known.ask(items)
    return found, [notice.code for notice in known.end_scan()]


async def test_what_is_known_is_not_new(store):
    await store.add([seen("a"), seen("b")])
    await store.commit_records([reply(1)])
    new, old = KnownAnswer.NEW, KnownAnswer.KNOWN
    assert await answers(store, seen("a"), seen("b"), seen("c")) == ([old, old, new], [])
    assert await answers(store) == ([], [])


async def test_a_change_is_told_or_sent_again(store):
    await store.add([seen("a"), seen("b")])
    await store.commit_records([reply(1)])
    changed = [seen("a", size=6), seen("b", size=6)]  # b is still to be sent
    assert await answers(store, *changed) == ([KnownAnswer.KNOWN] * 2, ["file_changed"])
    expected = [KnownAnswer.AGAIN, KnownAnswer.KNOWN]
    assert await answers(store, *changed, again=True) == (expected, [])


@pytest.mark.parametrize(
    ("code", "size", "answer"),
    [
        ("file_missing", 5, KnownAnswer.AGAIN),
        ("file_changed", 6, KnownAnswer.AGAIN),
        ("file_changed", 5, KnownAnswer.KNOWN),
        ("file_empty", 6, KnownAnswer.AGAIN),
        ("model_error", 5, KnownAnswer.KNOWN),
        ("model_error", 6, KnownAnswer.KNOWN),
    ],
)
async def test_what_failed_before_it_was_sent_is_sent_when_it_is_there(code, size, answer, store):
    await store.add([seen("a")])
    await store.commit_records([failed(1, code=code)])
    assert (await answers(store, seen("a", size=size)))[0] == [answer]


async def test_one_key_for_two_inputs_is_told(store):
    await store.add([seen("a")])
    expected = ([KnownAnswer.KNOWN], ["duplicate_key"])
    assert await answers(store, seen("a", path="/other/a")) == expected
