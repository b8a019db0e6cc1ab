"""Sessions: who worked at the run, how long, and what with."""

import sqlite3

import pytest

import batchinfer as bi
from batchinfer.ports import SubmittedObject
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sessions import SessionRecord, diff_params, sum_active_seconds
from batchinfer.store.sqlite import SqliteStore
from support.records import INFO, failed, item, page, reply, submitted

pytestmark = pytest.mark.event_loops("asyncio", "trio")


def go(started_at, active_until):
    return SessionRecord(1, "0", started_at, active_until, {}, {})


GOES = {
    "none": ([], 0, 0),
    "idle hours between do not count": ([go(0, 10), go(7200, 7205)], 0, 15),
    "since a moment within": ([go(0, 10), go(20, 30)], 5, 15),
    "since a moment between": ([go(0, 10), go(20, 30)], 15, 10),
    "since later than all": ([go(0, 10)], 50, 0),
    "a clock that was set back": ([go(100, 110), go(105, 108), go(50, 40)], 0, 10),
}


@pytest.mark.parametrize(("goes", "since", "seconds"), GOES.values(), ids=GOES)
def test_time_at_work_is_that_of_the_sessions(goes, since, seconds):
    assert sum_active_seconds(goes, since) == seconds


def test_what_differs_is_what_was_sent_otherwise_or_no_more():
    run = {"a": 1, "b": [1, {"x": 1}], "c": True}
    assert diff_params(run, run) == {}
    now = {"a": 1.0, "b": [1, {"x": 1}], "d": None}
    assert repr(diff_params(now, run)) == repr({"c": None, "a": 1.0, "d": None})


async def made(directory):
    """A run of two sessions, the second with other parameters; item 3 was put by the first."""
    async with SqliteStore.create(directory, INFO) as store:
        await store.start_session({"x": 1})
        await store.add([*page(4), item("own", x=7)])
        await store.commit_records([reply(1), failed(2)])
    async with SqliteStore.open(directory) as store:
        session = await store.start_session({"x": 2})
        await store.mark_submitted([SubmittedObject(3, 1, "abc-3-1")], 1.0)
        await store.commit_records([submitted(4), reply(3)])
        await store.commit_records([reply(4)])
    return session


async def test_sessions_are_kept_with_their_parameters_and_times(tmp_path):
    await made(tmp_path / "run")
    with RunReader(tmp_path / "run") as reader:
        one, two = reader.read_sessions()
        assert (one.number, one.params, two.number, two.params) == (1, {"x": 1}, 2, {"x": 2})
        assert one.started_at <= one.active_until <= two.started_at <= two.active_until
        assert reader.sum_active_seconds() == pytest.approx(
            one.active_until - one.started_at + two.active_until - two.started_at
        )
    assert bi.status(tmp_path / "run").run == tmp_path / "run"


async def test_what_was_found_in_the_bucket_belongs_to_the_session_before(tmp_path):
    await made(tmp_path / "run")
    connection = sqlite3.connect(tmp_path / "run" / DATABASE_NAME)
    asked = "SELECT position, session, params FROM submissions ORDER BY position"
    found = connection.execute(asked).fetchall()
    connection.close()
    assert found[0] == (3, 1, '{"x":1}')


async def test_a_damaged_session_is_told(tmp_path):
    await made(tmp_path / "run")
    connection = sqlite3.connect(tmp_path / "run" / DATABASE_NAME)
    connection.execute("""UPDATE sessions SET params = '{"x":3}' WHERE number = 2""")
    connection.commit()
    connection.close()
    with RunReader(tmp_path / "run") as reader:
        assert [each.number for each in reader.read_sessions()] == [1]
        with pytest.raises(bi.StoreError, match="session 2"):
            reader.damages.raise_if_any()
