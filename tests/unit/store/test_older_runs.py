"""Run directories that an older batchinfer made, stored as they were: they open, go on, export."""

import shutil
import sqlite3

import pytest

from batchinfer.domain import Counts, Mode, Open, State
from batchinfer.errors import RunCorrupt
from batchinfer.store.database import DATABASE
from batchinfer.store.reader import RunReader
from batchinfer.store.run_metadata import keep_reading
from batchinfer.store.schema import VERSION
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
    shutil.copy(STORED / f"format-4-{request.param}.db", tmp_path / "run" / DATABASE)
    return tmp_path / "run", request.param


def shown(directory):
    """What an export shows of the items that are finished."""
    with RunReader(directory) as reader:
        return {
            result.key: (result.prediction, result.code, result.attempts, result.params)
            for result in reader.results("finished")
        }


def test_an_old_run_is_read_as_it_is(old):
    directory, mode = old
    before = (directory / DATABASE).read_bytes()
    with RunReader(directory) as reader:
        assert (reader.info.mode, reader.counts()) == (mode, COUNTS[mode])
        assert (reader.reading(), reader.help()) == (None, "usage: old")
        dossiers = list(reader.dossiers())
        (attempt,) = reader.item("cats/4.jpg").attempts
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
    assert not keep_reading(directory, {"kind": "detections"})
    assert (directory / DATABASE).read_bytes() == before


async def test_an_old_run_goes_on_and_keeps_what_it_knew(old):
    directory, mode = old
    before = shown(directory)
    async with SqliteStore.open(directory) as store:
        await store.begin({"threshold": 0.5})
        assert await store.counts() == COUNTS[mode]
        if mode is Mode.ASYNC:
            open_ = (await store.unfinished([4]))[4]
            assert open_ == Open(4, State.SUBMITTED, 2, open_.submitted_at, objects={})
            await store.record([submitted(7), reply(5), reply(4, 2), failed(6)])
            await store.record([reply(7)])
        else:
            await store.record([reply(4, 2), reply(6), failed(7)])
        await store.record([submitted(8)])
        await store.record([reply(8)])
        assert (await store.counts()).finished == 8
    now = shown(directory)
    assert {key: now[key] for key in before} == before
    assert now["cats/4.jpg"] == ("yes", None, 2, {})
    assert now["cats/7.jpg"][3] == {"text": "number 7"}
    assert keep_reading(directory, {"kind": "detections"})
    with RunReader(directory) as reader:
        assert reader.reading() == {"kind": "detections"}
    connection = sqlite3.connect(directory / DATABASE)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


async def test_an_old_submission_is_shown_under_the_name_that_it_has(old):
    directory, mode = old
    async with SqliteStore.open(directory):
        pass
    connection = sqlite3.connect(directory / DATABASE)
    names = [name for (name,) in connection.execute("SELECT object FROM submitted")]
    connection.close()
    expected = {f"oldasync-{4:09}-2", f"oldasync-{5:09}-1", f"oldasync-{6:09}-1"}
    assert set(names) == (expected if mode is Mode.ASYNC else set())


@pytest.mark.slow
async def test_a_reading_cannot_be_kept_where_there_is_no_run_or_it_is_locked(old, tmp_path):
    directory, _ = old
    with pytest.raises(RunCorrupt, match="There is no run"):
        keep_reading(tmp_path, {})
    async with SqliteStore.open(directory):
        pass
    other = sqlite3.connect(directory / DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not keep_reading(directory, {"kind": "text"})
    other.execute("ROLLBACK")
    other.close()
    assert keep_reading(directory, {"kind": "text"})
