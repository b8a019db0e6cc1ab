import asyncio
import re
import sqlite3
from pathlib import Path

import pytest

from batchinfer.errors import RunCorrupt, StoreError
from batchinfer.ports import LimitChanged
from batchinfer.store import migrations, sql_read, sql_write
from batchinfer.store.database import (
    DATABASE_NAME,
    check_version,
    create_database,
    has_run,
    open_writable,
)
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore
from support.older_runs import become
from support.records import INFO, failed, page, reply

pytestmark = pytest.mark.event_loops("asyncio", "trio")


@pytest.fixture
def directory(tmp_path):
    create_database(tmp_path / "run", INFO)
    return tmp_path / "run"


@pytest.fixture
def db(directory):
    connection = open_writable(directory)
    yield connection
    connection.close()


def change(directory, script):
    connection = sqlite3.connect(directory / DATABASE_NAME)
    connection.executescript(script)
    connection.close()


# Making -------------------------------------------------------------------------------------------


async def test_a_run_is_made_whole_and_leaves_nothing_beside_it(tmp_path):
    directory = tmp_path / "deep" / "run #1 ? % ü"
    assert not has_run(directory)
    async with SqliteStore.create(directory, INFO) as store:
        assert has_run(directory)
        assert store.info == INFO
    assert [path.name for path in directory.iterdir()] == [DATABASE_NAME]


async def test_what_a_kill_left_while_a_run_was_made_does_not_matter(tmp_path):
    (tmp_path / "run.db.new").write_bytes(b"half")
    (tmp_path / "run.db.new-wal").write_bytes(b"half")
    async with SqliteStore.create(tmp_path, INFO) as store:
        await store.add(page(1))
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE_NAME]


async def test_a_run_is_never_made_over_another(directory):
    with pytest.raises(StoreError, match="already"):
        async with SqliteStore.create(directory, INFO):
            pass


async def test_a_run_knows_itself_when_it_is_opened_again(directory):
    async with SqliteStore.open(directory) as store:
        await store.add(page(3))
        await store.mark_source_complete()
    async with SqliteStore.open(directory) as store:
        assert (store.info, store.is_source_complete) == (INFO, True)
        assert (await store.fetch_counts()).total == 3


async def test_a_run_keeps_its_models_help(directory):
    with RunReader(directory) as reader:
        assert reader.read_model_help() is None
    async with SqliteStore.open(directory) as store:
        await store.save_model_help("usage: one")
        await store.save_model_help("usage: two")
    with RunReader(directory) as reader:
        assert reader.read_model_help() == "usage: two"


async def test_a_run_of_the_first_version_is_read_as_it_is_and_brought_up_to_date(directory):
    become(directory, 1)
    with RunReader(directory) as reader:
        assert list(reader.iter_result_details()) == []
        assert (reader.info, reader.read_model_help(), reader.read_limit_changes(9)) == (
            INFO,
            None,
            (),
        )
    async with SqliteStore.open(directory) as store:
        await store.save_model_help("usage: one")
        await store.save_limit_changes([LimitChanged(1.0, 8, 16, "few wait")])
    with RunReader(directory) as reader:
        assert (reader.info, reader.read_model_help()) == (INFO, "usage: one")
        assert reader.read_limit_changes(9) == [LimitChanged(1.0, 8, 16, "few wait")]


async def test_the_latest_changes_of_the_limit_can_be_read(directory):
    changes = [LimitChanged(float(n), n, n + 1, f"reason {n}") for n in range(30)]
    async with SqliteStore.open(directory) as store:
        await store.save_limit_changes(changes[:20])
        await store.save_limit_changes(changes[20:])
    with RunReader(directory) as reader:
        assert reader.read_limit_changes(5) == changes[-5:]


# Opening what is none -----------------------------------------------------------------------------


def truncate(path):
    path.write_bytes(path.read_bytes()[:9_000])


def damage(path):
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


def replace_by_foreign(path):
    path.unlink()
    change(path.parent, "CREATE TABLE run (x)")


NONE = {
    "missing": (lambda path: path.unlink(), "There is no run in .*batchinfer run"),
    "empty": (lambda path: path.write_bytes(b""), "not the database of a run"),
    "no database": (lambda path: path.write_text("hello " * 1000), "damaged or no database"),
    "of another program": (replace_by_foreign, "not the database of a run"),
    "truncated": (truncate, "damaged"),
    "newer": (lambda path: change(path.parent, "PRAGMA user_version = 99"), "newer.*upgrade"),
}


@pytest.mark.parametrize(("spoil", "message"), NONE.values(), ids=NONE)
async def test_what_is_no_run_is_refused_with_what_to_do(directory, spoil, message):
    spoil(directory / DATABASE_NAME)
    with pytest.raises(RunCorrupt, match=message):
        async with SqliteStore.open(directory):
            pass
    with pytest.raises(RunCorrupt, match=message):
        RunReader(directory)


async def test_damage_that_shows_later_is_told_as_such(directory):
    async with SqliteStore.open(directory) as store:
        await store.add(page(500))
    damage(directory / DATABASE_NAME)
    with pytest.raises(RunCorrupt, match="damaged"):
        async with SqliteStore.open(directory) as store:
            await store.fetch_pending(0, 500, 0.0)


def test_an_older_version_is_not_read_before_it_is_brought_up_to_date():
    with pytest.raises(RunCorrupt, match=r"older.*batchinfer resume some"):
        check_version(Path("some/run.db"), 1, min_version=2)


async def test_a_locked_database_is_told_as_such(directory):
    async with SqliteStore.open(directory) as store:
        store._writer._connection.execute("PRAGMA busy_timeout = 0")
        other = sqlite3.connect(directory / DATABASE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="Another program holds a lock"):
            await store.add(page(1))
        other.execute("COMMIT")
        other.close()
        assert (await store.add(page(1))).new_count == 1


async def test_a_full_disk_loses_nothing_that_was_recorded(directory):
    async with SqliteStore.open(directory) as store:
        await store.add(page(20))
        await store.commit_records([reply(1)])
        connection = store._writer._connection
        connection.execute("PRAGMA max_page_count = 20")
        with pytest.raises(StoreError, match="The disk is full: make room"):
            await store.commit_records([reply(2, log="x" * 200_000), reply(3)])
        connection.execute("PRAGMA max_page_count = 1000000")
        assert (await store.fetch_counts()).succeeded == 1
        assert all(await store.commit_records([reply(2, log="x" * 200_000), reply(3)]))


async def test_a_pile_is_recorded_whole_or_not_at_all(directory):
    async with SqliteStore.open(directory) as store:
        await store.add(page(2))
        with pytest.raises(KeyError):
            await store.commit_records([reply(1), reply(99)])
        assert (await store.fetch_counts()).pending == 2


# The tables ---------------------------------------------------------------------------------------


def test_the_database_survives_a_loss_of_power(db):
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert db.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert db.execute("PRAGMA user_version").fetchone() == (migrations.FORMAT_VERSION,)
    strict = db.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'")
    assert {name for name, is_strict in strict if is_strict} >= {"items", "attempts", "run"}


WRONG = [
    "INSERT INTO items (key, files, params, state) VALUES ('a', '[]', '{}', 'running')",
    "INSERT INTO items (key, files, params, attempts) VALUES ('a', '[]', '{}', 'many')",
    "INSERT INTO items (key, files, params, state) VALUES ('a', '[]', '{}', 'succeeded')",
    "INSERT INTO items (key, files, params, state) VALUES ('a', '[]', '{}', 'submitted')",
    "INSERT INTO items (key, files, params, spared) VALUES ('a', '[]', '{}', 1)",
    "INSERT INTO items (key, files, params, finished_at) VALUES ('a', '[]', '{}', 1.0)",
    "INSERT INTO predictions VALUES (77, 1, 'application/json', '1', NULL)",
    "INSERT INTO run SELECT 2, id, created_at, mode, config, sources, 0, NULL, NULL, NULL FROM run",
    "INSERT INTO submissions VALUES (77, 1, 'abc-77-1', NULL, '{}')",
    "UPDATE run SET mode = 'both'",
]


@pytest.mark.parametrize("statement", WRONG)
def test_no_program_can_write_what_makes_no_sense(db, statement):
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(statement)


CELLS = {
    "INSERT_ITEMS": 6,
    "UPDATE_ITEM_SOURCES": 6,
    "INSERT_LIMIT_CHANGES": 4,
    "UPDATE_STATUSES": 8,
    "INSERT_ATTEMPTS": 15,
    "INSERT_PREDICTIONS": 5,
    "INSERT_INPUTS": 6,
    "INSERT_SUBMISSIONS": 5,
    "INSERT_REUSED": 6,
    "ADD_TO_ITEM_COUNTS": 4,
    "MARK_SUCCEEDED": 4,
}
"""Of a row of what writes piles."""
ASKED = {
    name: sql_write.fill_rows(text, 128, CELLS[name]) if name in CELLS else text
    for name, text in [
        *vars(sql_write).items(),
        *vars(sql_read).items(),
        *((f"RESULTS {state}", text) for state, text in sql_read.SELECT_RESULTS_BY_STATE.items()),
    ]
    if isinstance(text, str) and re.match(r"\s*(SELECT|INSERT|UPDATE)\b", text) and "{}" not in text
}
WALKS = {
    *(
        "SELECT_KEYS_CONTAINING",
        "SELECT_KEYS_BY_LENGTH",
        "SELECT_KEYS_EQUAL_IN_NFC",
    ),  # when a key was mistyped
    "SELECT_ACTIVITY_SPAN",  # the first thousand attempts only
    "COUNT_RESULTS_BY_SERVICE",  # all results, of a run with several services
    "COUNT_KEYS",  # the keys' index, to count it
    "COUNT_RESULTS_OF_SESSIONS",  # all results, when they were made with other parameters
    *(
        "COUNT_JSON_PREDICTIONS",
        "SELECT_EVERY_NTH_JSON_PREDICTION",
    ),  # once, to decide how the run's predictions are read
}


@pytest.mark.parametrize("name", sorted(ASKED.keys() - WALKS))
async def test_no_statement_walks_a_table(directory, name):
    async with SqliteStore.open(directory) as store:
        await store.add(page(50))
        await store.commit_records([reply(1), failed(2)])
    db = sqlite3.connect(directory / DATABASE_NAME)
    names = re.findall(r":(\w+)", ASKED[name])
    values = dict.fromkeys(names, 1) if names else [1] * ASKED[name].count("?")
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {ASKED[name]}", values)]
    db.close()
    made = {step.removeprefix("CO-ROUTINE ") for step in plan if step.startswith("CO-ROUTINE")}
    tables = {"items", "attempts", "predictions"} - made
    assert not {f"SCAN {table}" for table in tables} & set(plan)


@pytest.mark.event_loops("asyncio")
async def test_a_caller_cancelled_by_asyncio_itself_leaves_no_half_transaction(directory):
    async with SqliteStore.open(directory) as store:
        await store.add(page(300))
        for first in range(1, 301, 10):
            pile = [reply(position, log="x" * 10_000) for position in range(first, first + 10)]
            task = asyncio.create_task(store.commit_records(pile))
            for _ in range(first % 7):
                await asyncio.sleep(0)
            task.cancel()
            await store.add(page(1))
        assert (await store.fetch_counts()).succeeded % 10 == 0
