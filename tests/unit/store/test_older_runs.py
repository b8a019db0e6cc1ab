"""Run directories that an older batchinfer made, stored as they were: they open, go on, export."""

import shutil
import sqlite3

import pytest

from batchinfer.domain import Counts, Mode, OpenItem, State
from batchinfer.errors import RunCorrupt
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.migrations import FORMAT_VERSION
from batchinfer.store.run_metadata import save_interpretation
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore
from support.paths import FIXTURES
from support.records import failed, reply, submitted

pytestmark = pytest.mark.event_loops("asyncio", "trio")

STORED = FIXTURES / "runs"
COUNTS = {
    Mode.SYNC: Counts(pending=4, succeeded=3, failed=1),
    Mode.ASYNC: Counts(pending=2, submitted=3, succeeded=2, failed=1),
}


@pytest.fixture(params=list(Mode))
def old(request, tmp_path):
    """The directory of a run of format 4, and its mode."""
    (tmp_path / "run").mkdir()
    shutil.copy(STORED / f"format-4-{request.param}.db", tmp_path / "run" / DATABASE_NAME)
    return tmp_path / "run", request.param


def shown(directory):
    """What an export shows of the items that are finished."""
    with RunReader(directory) as reader:
        return {
            result.key: (result.prediction, result.code, result.attempts, result.params)
            for result in reader.iter_results("finished")
        }


def test_an_old_run_is_read_as_it_is(old):
    directory, mode = old
    before = (directory / DATABASE_NAME).read_bytes()
    with RunReader(directory) as reader:
        assert (reader.info.mode, reader.read_counts()) == (mode, COUNTS[mode])
        assert (reader.read_interpretation(), reader.read_model_help()) == (None, "usage: old")
        dossiers = list(reader.iter_result_details())
        (attempt,) = reader.read_item_detail("cats/4.jpg").attempts
    assert shown(directory)["cats/1.jpg"] == (
        [{"name": "cat", "score": 0.5}],
        None,
        1,
        {"text": "number 1"},
    )
    assert shown(directory)["cats/2.jpg"] == ("a text", None, 1, {})
    assert shown(directory)["cats/3.jpg"] == (None, "model_error", 1, {"text": "number 3"})
    assert (attempt.number, attempt.params) == (1, None)
    assert dossiers[0].sha256 == {"files": f"{11:064x}"}
    assert not save_interpretation(directory, {"kind": "detections"})
    assert (directory / DATABASE_NAME).read_bytes() == before


async def test_an_old_run_goes_on_and_keeps_what_it_knew(old):
    directory, mode = old
    before = shown(directory)
    async with SqliteStore.open(directory) as store:
        await store.start_session({"threshold": 0.5})
        assert await store.fetch_counts() == COUNTS[mode]
        if mode is Mode.ASYNC:
            open_ = (await store.fetch_open([4]))[4]
            assert open_ == OpenItem(4, State.SUBMITTED, 2, open_.submitted_at, objects={})
            await store.commit_records([submitted(7), reply(5), reply(4, 2), failed(6)])
            await store.commit_records([reply(7)])
        else:
            await store.commit_records([reply(4, 2), reply(6), failed(7)])
        await store.commit_records([submitted(8)])
        await store.commit_records([reply(8)])
        assert (await store.fetch_counts()).finished == 8
    now = shown(directory)
    assert {key: now[key] for key in before} == before
    assert now["cats/4.jpg"] == ("yes", None, 2, {})
    assert now["cats/7.jpg"][3] == {"text": "number 7"}
    assert save_interpretation(directory, {"kind": "detections"})
    with RunReader(directory) as reader:
        assert reader.read_interpretation() == {"kind": "detections"}
    connection = sqlite3.connect(directory / DATABASE_NAME)
    assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


async def test_an_old_submission_is_shown_under_the_name_that_it_has(old):
    directory, mode = old
    async with SqliteStore.open(directory):
        pass
    connection = sqlite3.connect(directory / DATABASE_NAME)
    names = [name for (name,) in connection.execute("SELECT object FROM submitted")]
    connection.close()
    expected = {f"oldasync-{4:09}-2", f"oldasync-{5:09}-1", f"oldasync-{6:09}-1"}
    assert set(names) == (expected if mode is Mode.ASYNC else set())


@pytest.mark.slow
async def test_a_reading_cannot_be_kept_where_there_is_no_run_or_it_is_locked(old, tmp_path):
    directory, _ = old
    with pytest.raises(RunCorrupt, match="There is no run"):
        save_interpretation(tmp_path, {})
    async with SqliteStore.open(directory):
        pass
    other = sqlite3.connect(directory / DATABASE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not save_interpretation(directory, {"kind": "text"})
    other.execute("ROLLBACK")
    other.close()
    assert save_interpretation(directory, {"kind": "text"})
