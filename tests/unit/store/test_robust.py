"""What arrives may be too large, too deep, or the ground may be pulled away: never silently."""

import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from batchinfer.domain import Item, State
from batchinfer.engine.recorder import ChangeNotifier, Recorder
from batchinfer.errors import RunCorrupt, SourceError, StoreError
from batchinfer.ports import RecordsTooLarge
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore
from support.paths import TESTS
from support.records import INFO, failed, item, page, reply

pytestmark = pytest.mark.event_loops("asyncio", "trio")


@pytest.fixture
async def store(tmp_path):
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        yield store


def limited(store, most):
    """Let the store hold texts of so many bytes only."""
    store._writer._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most)


# Too large ----------------------------------------------------------------------------------------

LARGE = {
    "a text": reply(2, prediction="x" * 90_000),
    "data": reply(2, prediction=[1.5] * 30_000),
    "a log": reply(2, log="x" * 90_000),
    "the log of a failure": failed(2, log="é" * 45_000),
    "what grows when it is written": reply(2, prediction="\x01" * 20_000),
}


@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE)
async def test_what_cannot_be_held_is_named_and_nothing_of_its_pile_is_recorded(store, large):
    await store.add(page(3))
    limited(store, 80_000)
    with pytest.raises(RecordsTooLarge) as told:
        await store.commit_records([reply(1), large, reply(3)])
    assert told.value.positions == {2}
    assert (await store.fetch_counts()).pending == 3


async def test_a_reply_that_no_store_can_hold_is_its_items_failure(store):
    await store.add(page(3))
    limited(store, 80_000)
    recorder = Recorder(store, ChangeNotifier())
    await recorder.reload_counts()
    for record in (reply(1), LARGE["a text"], reply(3)):
        await recorder.put(record)
    recorder.close()
    assert [record.state for record in await recorder.write_batch()] == [
        State.SUCCEEDED,
        State.FAILED,
        State.SUCCEEDED,
    ]
    recorder.close_receiver()
    assert recorder.failed_by_code == {"reply_too_large": 1}
    assert recorder.counts == await store.fetch_counts()
    with RunReader(store.directory) as reader:
        (group,) = reader.read_failure_groups()
    assert (group.code, group.key) == ("reply_too_large", "002.jpg")


@pytest.mark.slow
async def test_pages_are_bounded_by_bytes(store):
    items = [Item(f"{n}", (), {"text": "x" * 2**20}) for n in range(40)]
    await store.add(items)
    seen, after = [], 0
    while found := await store.fetch_pending(after, 500, 0.0):
        assert len(found) <= 17
        seen += [one.key for one in found]
        after = found[-1].position
    assert seen == [one.key for one in items]
    await store.commit_records([failed(n) for n in range(1, 41)])
    assert await store.requeue() == 40


@pytest.mark.slow
async def test_items_larger_than_a_page_come_one_by_one(store):
    await store.add([Item(f"{n}", (), {"text": "x" * 17 * 2**20}) for n in range(3)])
    assert [one.key for one in await store.fetch_pending(0, 500, 0.0)] == ["0"]
    assert [one.key for one in await store.fetch_pending(1, 500, 0.0)] == ["1"]


async def test_what_is_known_of_a_page_may_be_more_than_one_text_can_hold(store):
    items = [Item(f"{n}", (), {"text": "x" * 10_000}) for n in range(20)]
    await store.add(items)
    limited(store, 80_000)
    added = await store.add([*items, Item("new")])
    assert (added.new_count, added.known_positions) == (1, tuple(range(1, 21)))


# Too deep -----------------------------------------------------------------------------------------


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


async def test_deep_parameters_are_kept(store):
    deep = Item("deep", (), {"tree": nested(600)})
    await store.add([deep, item("b")])
    assert (await store.fetch_pending(0, 1, 0.0))[0].params == deep.params
    assert (await store.add([deep])).changed_param_keys == ()
    await store.commit_records([reply(1)])
    with RunReader(store.directory) as reader:
        assert next(reader.iter_results()).params == deep.params


async def test_parameters_that_are_too_deep_are_refused_by_name(store):
    with pytest.raises(SourceError, match="'deep' are nested too deeply"):
        await store.add([item("a"), Item("deep", (), {"tree": nested(100_000)})])
    assert (await store.fetch_counts()).total == 0


# The ground ---------------------------------------------------------------------------------------


async def test_a_database_without_its_run_is_told(store, tmp_path):
    connection = sqlite3.connect(store.directory / DATABASE_NAME)
    connection.execute("DELETE FROM run")
    connection.commit()
    connection.close()
    with pytest.raises(RunCorrupt, match="which run it is"):
        RunReader(store.directory)
    with pytest.raises(RunCorrupt, match="which run it is"):
        async with SqliteStore.open(store.directory):
            pass


async def test_a_run_directory_that_is_deleted_stops_the_next_commit(store):
    await store.add(page(2))
    await store.commit_records([reply(1)])
    shutil.rmtree(store.directory)
    with pytest.raises(StoreError, match=r"deleted, moved or replaced.*stops here"):
        await store.commit_records([reply(2)])


async def test_a_database_that_is_replaced_stops_the_next_commit(store, tmp_path):
    await store.add(page(2))
    shutil.copy(store.directory / DATABASE_NAME, tmp_path / "copy")
    (tmp_path / "copy").replace(store.directory / DATABASE_NAME)
    with pytest.raises(StoreError, match="deleted, moved or replaced"):
        await store.commit_records([reply(2)])


KILLED = """
import os, sys
from pathlib import Path
import anyio
from support.records import page, reply
from batchinfer.store.sqlite import SqliteStore

async def main():
    async with SqliteStore.open(Path(sys.argv[1])) as store:
        await store.start_session({})
        await store.add(page(int(sys.argv[2])))
        await store.commit_records([reply(int(sys.argv[2]))])
        os._exit(9)

anyio.run(main)
"""


def killed(directory, count):
    """A session that is killed: its log stays beside the database."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(directory), str(count)],
        env={"PYTHONPATH": str(TESTS), "PATH": ""},
        check=False,
    )
    assert done.returncode == 9


def log_of(directory):
    return directory / f"{DATABASE_NAME}-wal"


@pytest.mark.event_loops("asyncio")
async def test_a_backup_beside_the_log_of_a_later_session_is_refused(tmp_path):
    directory = tmp_path / "run"
    async with SqliteStore.create(directory, INFO) as store:
        await store.start_session({})
        await store.add(page(5))
    backup = (directory / DATABASE_NAME).read_bytes()
    killed(directory, 9)
    assert log_of(directory).stat().st_size
    later = (directory / DATABASE_NAME).read_bytes()
    (directory / DATABASE_NAME).write_bytes(backup)
    for opened in (lambda: RunReader(directory), lambda: SqliteStore.open(directory)):
        with pytest.raises(RunCorrupt, match=r"run\.db-wal does not belong.*delete run\.db-wal"):
            async with opened():
                pass
    assert (directory / DATABASE_NAME).read_bytes() == backup

    (directory / DATABASE_NAME).write_bytes(later)
    async with SqliteStore.open(directory) as store:
        assert (await store.fetch_counts()).succeeded == 1
        assert (await store.fetch_counts()).total == 9

    (directory / DATABASE_NAME).write_bytes(backup)
    log_of(directory).unlink(missing_ok=True)
    async with SqliteStore.open(directory) as store:
        assert (await store.fetch_counts()).total == 5


@pytest.mark.event_loops("asyncio")
async def test_the_log_of_another_run_is_refused(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for directory in (one, other):
        async with SqliteStore.create(directory, INFO) as store:
            await store.start_session({})
            await store.add(page(5))
    killed(one, 9)
    shutil.copy(log_of(one), log_of(other))
    with pytest.raises(RunCorrupt, match="does not belong"):
        RunReader(other)


@pytest.mark.event_loops("asyncio")
async def test_a_killed_run_and_all_three_files_of_a_copy_open(tmp_path):
    directory = tmp_path / "run"
    async with SqliteStore.create(directory, INFO):
        pass
    killed(directory, 7)
    shutil.copytree(directory, tmp_path / "copy")
    for each in (directory, tmp_path / "copy"):
        with RunReader(each) as reader:
            assert reader.read_counts().total == 7
        killed(each, 8)
        async with SqliteStore.open(each) as store:
            assert (await store.fetch_counts()).succeeded == 2


# Keys ---------------------------------------------------------------------------------------------


async def test_a_key_of_an_older_version_is_the_same_item(store):
    text = r"/data/a\xff.jpg"
    old = item(r"a\xff.jpg", path=text)
    await store.add([old])
    added = await store.add([item(r"a\\xff.jpg", path=text), item(r"b\\xff.jpg")])
    assert (added.new_count, added.known_positions) == (1, (1,))
    byte = item(r"c\xff.jpg", path=os.fsdecode(b"/data/c\xff.jpg"))
    text_like = item(r"c\\xff.jpg", path=r"/data/c\xff.jpg")
    assert (await store.add([byte, text_like])).new_count == 2
    assert (await store.add([byte, text_like])).new_count == 0
