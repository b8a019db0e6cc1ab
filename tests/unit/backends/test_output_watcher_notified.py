"""Outputs that notifications name: read at once, and never trusted beyond what the bucket holds."""

import anyio
import pytest

from batchinfer.backends.bucket_client import BucketUnreachable, ListedObject
from batchinfer.backends.orphan_outputs import ORPHAN_SETTLE_SECONDS
from batchinfer.backends.output_notifications import ORPHAN_PAUSE
from batchinfer.backends.output_watcher import MAX_REMEMBERED_EMITTED
from batchinfer.domain import Failure, Item, State
from batchinfer.ports import NotifiedWatcher
from batchinfer.protocols.ai4os.object_names import make_object_name
from support.notified_bucket import NotifiedDesk
from support.watched_bucket import (
    GRACE,
    OK_JSON,
    OK_LOG,
    RUN,
    STRAY,
    STRAY_LOG,
    TAG,
    VALUE,
    fixture,
)

pytestmark = pytest.mark.event_loops("virtual")


@pytest.fixture
async def desk() -> NotifiedDesk:
    desk = NotifiedDesk()
    await desk.submit()
    return desk


async def test_it_is_a_watcher_that_is_notified(desk):
    assert isinstance(desk.watcher, NotifiedWatcher)


async def test_a_pair_that_is_named_is_read_at_once(desk):
    async with desk.listening():
        desk.put("log", OK_LOG)
        desk.put("json", OK_JSON)
        await desk.tell(desk.entry("log"))
        await desk.tell(desk.entry("json"))
        assert desk.watcher.advise().named_at == anyio.current_time()
        (arrival,) = await desk.look_named()
        assert arrival.outcome.prediction == VALUE
        assert await desk.look() == []


async def test_a_log_that_tells_a_failure_is_enough(desk):
    async with desk.listening():
        desk.put("log", fixture("async_2.5.2_fail_exception.log"))
        await desk.tell(desk.entry("log"))
        assert await desk.look_named() == []
        await anyio.sleep(0.2)
        (arrival,) = await desk.look_named()
        assert isinstance(arrival.outcome, Failure)


@pytest.mark.parametrize("extension", ["log", "json"])
async def test_half_a_pair_decides_nothing_however_long_it_takes(desk, extension):
    async with desk.listening():
        desk.put(extension, OK_LOG if extension == "log" else OK_JSON)
        await desk.tell(desk.entry(extension))
        await anyio.sleep(2 * GRACE)
        assert await desk.look_named() == []
        assert await desk.look() == []  # the grace period begins with a listing
        await anyio.sleep(GRACE)
        assert len(await desk.look()) == 1


async def test_what_is_named_and_is_not_there_decides_nothing(desk):
    async with desk.listening():
        await desk.tell(desk.entry("log", size=5), desk.entry("json", size=5))
        assert await desk.look_named() == []
        await anyio.sleep(10 * GRACE)
        assert await desk.look_named() == []
        assert await desk.look() == []


@pytest.mark.parametrize("size", [0, 1, 10**9, 10**15])
async def test_a_size_that_is_not_true_decides_nothing(desk, size):
    async with desk.listening():
        desk.put("log", OK_LOG)
        desk.put("json", OK_JSON)
        await desk.tell(desk.entry("log"), desk.entry("json", size=size))
        assert await desk.look_named() == []
        (arrival,) = await desk.look()
        assert arrival.outcome.prediction == VALUE


async def test_an_output_is_emitted_once_however_often_it_is_named(desk):
    async with desk.listening():
        desk.put("log", OK_LOG)
        desk.put("json", OK_JSON)
        for _ in range(3):
            await desk.tell(desk.entry("json"), desk.entry("log"), desk.entry("json"))
            await desk.look_named()
        assert len(desk.arrivals) == 1
        assert await desk.look() == []


@pytest.mark.parametrize(
    "key",
    [
        "outputs/another1-000000001-1-epoch1230123456789abcdef.json",
        "outputs/run1-000000001-1.json",  # without a tag: perhaps an older process's
        "outputs/run1-000000001-2-epoch1230123456789abcdef.log",
        "outputs/run1-000000077-1-epoch1230123456789abcdef.log",
        "outputs/tmp-file-abcde.json",
        "outputs/",
        "inputs/run1-000000001-1.json",
    ],
)
async def test_what_is_not_of_this_run_or_not_on_record_is_not_read(desk, key):
    async with desk.listening():
        desk.bucket.objects[key] = OK_LOG
        await desk.tell(ListedObject(key, len(OK_LOG)))
        for _ in range(10):
            await anyio.sleep(5)
            assert await desk.look_named() == []


async def test_a_service_that_is_quicker_than_our_record_is_waited_for(desk):
    await desk.store.add([Item("k1"), Item("k2")])
    desk.put("log", OK_LOG, position=2)
    desk.put("json", OK_JSON, position=2)
    async with desk.listening():
        await desk.tell(desk.entry("log", 2), desk.entry("json", 2))
        assert await desk.look_named() == []
        await desk.resubmit(2, 1)
        await anyio.sleep(1)
        (arrival,) = await desk.look_named()
        assert arrival.item.position == 2


async def test_a_finished_item_costs_no_read(desk):
    await desk.record(1, 1, Failure("model_error", "x"), State.FAILED)
    desk.put("log", OK_LOG)
    async with desk.listening():
        await desk.tell(desk.entry("log"))
        await anyio.sleep(1)
        desk.bucket.error = AssertionError("read")
        assert await desk.look_named() == []


async def test_a_bucket_that_is_away_loses_nothing(desk):
    async with desk.listening():
        desk.put("log", OK_LOG)
        desk.put("json", OK_JSON)
        await desk.tell(desk.entry("log"), desk.entry("json"))
        desk.bucket.error = BucketUnreachable("away")
        with pytest.raises(BucketUnreachable):
            await desk.look_named()
        assert desk.watcher.advise().pause == 0.0
        desk.bucket.error = None
        assert len(await desk.look()) == 1


async def test_an_orphan_is_left_to_listings_which_come_often_meanwhile(desk):
    async with desk.listening():
        desk.put("log", OK_LOG, position=1)
        await desk.look()
        for _ in range(12):
            await desk.look()
        desk.put("log", STRAY_LOG)
        desk.bucket.objects[STRAY] = OK_JSON
        await desk.tell(desk.entry("log"))
        await anyio.sleep(0.2)
        assert await desk.look_named() == []
        pause = desk.watcher.advise().pause
        assert pause is None or pause <= ORPHAN_PAUSE
        assert await desk.look() == []
        await anyio.sleep(ORPHAN_SETTLE_SECONDS)
        (arrival,) = await desk.look()
        assert arrival.outcome.prediction == VALUE


async def test_a_listing_that_takes_long_does_not_hold_up_what_is_named():
    desk = NotifiedDesk()
    desk.bucket._page_size = 1
    await desk.submit(3)
    async with desk.listening():
        desk.put("log", OK_LOG, position=1)
        desk.put("json", OK_JSON, position=3)
        desk.put("log", OK_LOG, position=3)
        await desk.tell(desk.entry("log", 3), desk.entry("json", 3))
        await desk.look()
        assert [arrival.item.position for arrival in desk.arrivals] == [3]


async def test_what_was_emitted_is_not_remembered_for_ever(desk):
    others = range(2, MAX_REMEMBERED_EMITTED + 2)
    desk.watcher._emitted |= {make_object_name(RUN, position, 1, TAG) for position in others}
    async with desk.listening():
        desk.put("log", OK_LOG)
        desk.put("json", OK_JSON)
        await desk.tell(desk.entry("log"), desk.entry("json"))
        (arrival,) = await desk.look_named()
        await desk.watcher.cleanup(desk.store)
        name = make_object_name(RUN, arrival.item.position, 1, TAG)
        assert desk.watcher._emitted == {name}  # which is not on record yet


# The stream itself ------------------------------------------------------------------------------


async def test_listings_become_rare_while_all_is_named_and_frequent_after_a_drop():
    desk = NotifiedDesk()
    await desk.submit(30)
    async with desk.listening():
        for position in range(1, 21):
            desk.put("log", OK_LOG, position)
            desk.put("json", OK_JSON, position)
            await desk.tell(desk.entry("log", position), desk.entry("json", position))
            assert len(await desk.look_named()) == 1
            assert await desk.look() == []
        assert desk.watcher.advise().pause > 60
        desk.source.drop()
        await anyio.wait_all_tasks_blocked()
        assert desk.watcher.advise().pause is None
        await anyio.sleep(1.1)
        assert desk.watcher.advise().pause == 0.0  # there is a new one
    assert desk.source.closed == len(desk.source.opened) == 2


async def test_lost_events_are_found_by_the_listing_and_end_the_trust():
    desk = NotifiedDesk()
    await desk.submit(30)
    async with desk.listening():
        for position in range(1, 11):
            desk.put("log", OK_LOG, position)
            desk.put("json", OK_JSON, position)
            await desk.tell(desk.entry("log", position), desk.entry("json", position))
            await desk.look_named()
            await desk.look()
        assert desk.watcher.advise().pause is not None
        desk.put("log", OK_LOG, 11)
        desk.put("json", OK_JSON, 11)
        await desk.tell(desk.entry("log", 11))  # the other event is lost
        await anyio.sleep(0.2)
        await desk.look_named()
        assert [arrival.item.position for arrival in await desk.look()] == [11]
        await anyio.sleep(6)
        await desk.look()
        assert desk.watcher.advise().pause is None


async def test_without_a_source_there_is_nothing_to_listen_to():
    desk = NotifiedDesk()
    desk.watcher._notifications._source = None
    await desk.watcher.listen(lambda: None)
    assert desk.watcher.advise().pause is None
