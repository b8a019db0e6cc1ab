"""The hand-over to the one writer: bounded, in order, and nothing that was handed over is lost."""

import anyio
import pytest

from batchinfer.domain import Attempt, Counts, Item, Record, Reply, State
from batchinfer.engine.recorder import MAX_BATCH_RECORDS, ChangeNotifier, Recorder
from batchinfer.testing import MemoryStore

pytestmark = [pytest.mark.anyio, pytest.mark.event_loops("asyncio", "virtual")]


def record(position: int) -> Record:
    return Record(position, Attempt(1, 0.0, 0.1, Reply(prediction=position)), State.SUCCEEDED)


async def make_recorder(count: int) -> tuple[MemoryStore, Recorder]:
    store = MemoryStore()
    await store.add([Item(f"item-{number}") for number in range(1, count + 1)])
    recorder = Recorder(store, ChangeNotifier())
    await recorder.reload_counts()
    return store, recorder


async def write_all(recorder: Recorder) -> list[int]:
    positions: list[int] = []
    while batch := await recorder.write_batch():
        positions += [one.position for one in batch]
    return positions


async def test_who_hands_over_waits_while_too_many_are_unwritten():
    count = 3 * MAX_BATCH_RECORDS
    store, recorder = await make_recorder(count)
    handed_over: list[int] = []

    async def put(position: int) -> None:
        await recorder.put(record(position))
        handed_over.append(position)

    async with anyio.create_task_group() as group:
        for position in range(1, count + 1):
            group.start_soon(put, position)
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert handed_over == list(range(1, MAX_BATCH_RECORDS + 1))
        await recorder.write_batch()
        await anyio.wait_all_tasks_blocked()
        assert sorted(handed_over) == list(range(1, 2 * MAX_BATCH_RECORDS + 1))
        await recorder.write_batch()
        await recorder.write_batch()
    assert recorder.counts == await store.fetch_counts() == Counts(succeeded=count)
    assert [one.position for one in store.records] == list(range(1, count + 1))


async def test_what_was_handed_over_is_written_though_its_wait_was_cut_off():
    count = MAX_BATCH_RECORDS + 3
    _, recorder = await make_recorder(count)
    for position in range(1, MAX_BATCH_RECORDS + 1):
        await recorder.put(record(position))
    async with anyio.create_task_group() as group:
        with anyio.move_on_after(0) as scope:
            await recorder.put(record(MAX_BATCH_RECORDS + 1))
        assert scope.cancelled_caught
        group.start_soon(recorder.put, record(MAX_BATCH_RECORDS + 2))
        group.start_soon(recorder.put, record(MAX_BATCH_RECORDS + 3))
        await anyio.wait_all_tasks_blocked()
        recorder.close()
        assert sorted(await write_all(recorder)) == list(range(1, count + 1))


async def test_nobody_waits_for_a_writer_that_has_ended():
    _, recorder = await make_recorder(1)
    for _ in range(MAX_BATCH_RECORDS):
        await recorder.put(record(1))
    failed: list[str] = []

    async def put() -> None:
        try:
            await recorder.put(record(1))
        except anyio.BrokenResourceError:
            failed.append("waiting")

    async with anyio.create_task_group() as group:
        group.start_soon(put)
        group.start_soon(put)
        await anyio.wait_all_tasks_blocked()
        recorder.close_receiver()
    assert failed == ["waiting"] * 2
    with pytest.raises(anyio.BrokenResourceError):
        await recorder.put(record(1))


async def test_the_writer_ends_when_nothing_more_is_handed_over():
    _, recorder = await make_recorder(2)
    batches: list[int] = []

    async def write() -> None:
        batches.extend(await write_all(recorder))

    async with anyio.create_task_group() as group:
        group.start_soon(write)
        await anyio.wait_all_tasks_blocked()
        await recorder.put(record(2))
        await recorder.flush()
        recorder.close()
    assert batches == [2]


async def test_no_change_is_missed_and_all_who_wait_hear_of_it():
    changes, heard = ChangeNotifier(), []
    count = changes.count
    changes.notify()
    await changes.wait_changed(count)  # it has changed already

    async def wait(name: str) -> None:
        await changes.wait_changed(changes.count)
        heard.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(wait, "one")
        group.start_soon(wait, "other")
        await anyio.wait_all_tasks_blocked()
        changes.notify()
        changes.notify()
    assert sorted(heard) == ["one", "other"]
