"""The short way of recording first replies leaves the same database as `transitions`."""

import sqlite3
from dataclasses import replace

import pytest

from batchinfer.domain import State
from batchinfer.store import first_replies
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.item_counts import list_wrong_counts
from batchinfer.store.sqlite import SqliteStore
from batchinfer.store.verification import verify_run
from support.records import INFO, failed, failure, page, reply, submitted

pytestmark = pytest.mark.event_loops("asyncio", "trio")
TABLES = ("items", "attempts", "predictions", "inputs", "submissions", "item_counts")


def sent(record):
    """The same, as sync mode records it."""
    return replace(record, attempt=replace(record.attempt, params={}))


SHORT = [sent(reply(position)) for position in range(1, 6)]
BATCHES = {
    "only replies": [SHORT],
    "replies and a failure": [[*SHORT, sent(failed(6)), sent(failure(7, retry_at=9.0))]],
    "a second attempt": [[sent(failure(1)), sent(failed(2))], [sent(reply(1, 2)), *SHORT[2:]]],
    "one that is final already": [SHORT[:3], SHORT],
    "a late reply to an older attempt": [[sent(failure(1)), sent(failure(2))], SHORT],
    "one item twice": [[sent(failure(1)), sent(reply(1, 2)), *SHORT[1:]]],
    "submitted ones": [[submitted(1), submitted(2)], [reply(1), reply(2)]],
    "submitted and pending ones": [[submitted(1)], [reply(1), sent(reply(2))]],
    "none": [[]],
}


async def record(directory, batches):
    async with SqliteStore.create(directory, INFO) as store:
        await store.add(page(10))
        states = [await store.commit_records(batch) for batch in batches]
    with sqlite3.connect(directory / DATABASE_NAME) as db:
        rows = {
            table: db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES
        }
        assert list_wrong_counts(db) == []
    assert verify_run(directory) == ()
    return states, rows


@pytest.mark.parametrize("batches", BATCHES.values(), ids=BATCHES)
async def test_it_leaves_what_the_rules_leave(tmp_path, batches):
    one_by_one = [[record] for batch in batches for record in batch]
    states, rows = await record(tmp_path / "batches", batches)
    states_one_by_one, rows_one_by_one = await record(tmp_path / "one-by-one", one_by_one)
    assert [state for batch in states for state in batch] == [s for (s,) in states_one_by_one]
    assert rows == rows_one_by_one


def test_an_item_that_is_in_a_batch_twice_goes_by_the_rules():
    batch = [sent(failure(1)), sent(reply(1, 2))]
    assert first_replies.split_first_replies(batch) == ((), batch)


async def test_what_is_put_back_is_counted_as_pending(tmp_path):
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        await store.add(page(6))
        await store.commit_records([failed(1), failed(2, code="timeout"), failed(3), *SHORT[4:]])
        assert await store.requeue(key="001.jpg") == 1
        counts = await store.fetch_counts()
        assert (counts.pending, counts.succeeded, counts.failed) == (3, 1, 2)
        assert await store.fetch_failure_counts() == {"model_error": 1, "timeout": 1}
    assert verify_run(tmp_path / "run") == ()


async def test_a_count_that_is_wrong_is_found(tmp_path):
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        await store.add(page(6))
    with sqlite3.connect(tmp_path / "run" / DATABASE_NAME) as db:
        db.execute("UPDATE item_counts SET items = 7 WHERE state = ?", (State.PENDING.value,))
    found = [(damage.subject, damage.reason) for damage in verify_run(tmp_path / "run")]
    assert found[0] == ("run.db (item_counts)", "7 items are counted as pending")
