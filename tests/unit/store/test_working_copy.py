"""The copy of a run on a local disk: which one is newer, and what a kill in between costs."""

import os
import sqlite3
from pathlib import Path

import pytest

from batchinfer.errors import ConfigError, RunLocked
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore
from batchinfer.store.working_copy import WorkingCopy
from support.records import INFO, failed, page, reply

pytestmark = pytest.mark.event_loops("asyncio")
PNG = {"prediction": None, "data": b"png", "media_type": "image/png"}


@pytest.fixture
def run(tmp_path) -> Path:
    directory = tmp_path / "shared" / "run"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def copy_on(tmp_path, run):
    """The working copy on a machine of this name, as a process there would make it."""

    def make(machine, is_lock_held=lambda: True):
        return WorkingCopy(run, tmp_path / machine, is_lock_held)

    return make


async def work(copy, *positions, **outcome):
    """What a process does between `prepare` and `publish`: a session with these results."""
    if not (copy.directory / DATABASE_NAME).exists():
        async with SqliteStore.create(copy.directory, INFO) as store:
            await store.add(page(9))
        copy.publish()
    async with SqliteStore.open(copy.directory) as store:
        await store.start_session({})
        await store.commit_records([reply(each, **outcome) for each in positions])


def finished(directory) -> list[int]:
    with RunReader(directory) as reader:
        return [int(result.key.split(".")[0]) for result in reader.iter_results("finished")]


async def test_a_run_is_made_worked_on_and_copied_back(copy_on, run):
    copy = copy_on("node")
    assert copy.prepare() is None
    await work(copy, 1, 2)
    assert finished(run) == []
    assert copy.publish()
    assert not copy.publish()  # nothing is new
    assert finished(run) == [1, 2]
    copy.remove()
    assert not copy.directory.exists()
    assert [path.name for path in run.iterdir()] == [DATABASE_NAME]


async def test_what_is_copied_back_can_be_read_where_nothing_can_be_written(copy_on, run):
    copy = copy_on("node")
    copy.prepare()
    await work(copy, 1)
    copy.publish()
    with sqlite3.connect(f"{(run / DATABASE_NAME).as_uri()}?mode=ro", uri=True) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    database.close()


async def test_another_machine_goes_on_from_what_was_copied_back(copy_on, run):
    first = copy_on("one")
    first.prepare()
    await work(first, 1)
    first.publish()
    first.remove()
    second = copy_on("two")
    assert second.prepare() is None
    assert finished(second.directory) == [1]
    await work(second, 2)
    second.publish()
    assert finished(run) == [1, 2]


async def test_after_a_kill_the_same_machine_goes_on_with_all_it_had(copy_on, run):
    killed = copy_on("node")
    killed.prepare()
    await work(killed, 1)
    killed.publish()
    await work(killed, 2)
    assert finished(run) == [1]

    again = copy_on("node")
    assert again.prepare() is None
    assert finished(again.directory) == [1, 2]
    again.publish()
    assert finished(run) == [1, 2]


async def test_after_a_kill_another_machine_lacks_what_was_not_copied_back(copy_on, run):
    killed = copy_on("one")
    killed.prepare()
    await work(killed, 1)
    killed.publish()
    await work(killed, 2)
    other = copy_on("two")
    other.prepare()
    await work(other, 3)
    other.publish()
    other.remove()
    assert finished(run) == [1, 3]

    back = copy_on("one")  # neither has all: nothing is deleted
    message = back.prepare()
    (kept,) = [path for path in back.directory.parent.iterdir() if path != back.directory]
    assert str(kept) in message
    assert finished(kept) == [1, 2]
    assert finished(back.directory) == [1, 3]


async def test_a_copy_with_nothing_of_its_own_gives_way(copy_on, run):
    killed = copy_on("one")
    killed.prepare()
    await work(killed, 1)
    killed.publish()  # killed before the copy was removed
    other = copy_on("two")
    other.prepare()
    await work(other, 3)
    other.publish()

    back = copy_on("one")
    assert back.prepare() is None
    assert finished(back.directory) == [1, 3]
    assert [*back.directory.parent.iterdir()] == [back.directory]


async def test_a_retry_in_the_run_directory_is_newer_than_a_copy_that_was_left(copy_on, run):
    killed = copy_on("one")
    killed.prepare()
    await work(killed)
    async with SqliteStore.open(killed.directory) as store:
        await store.commit_records([failed(1)])
    killed.publish()
    async with SqliteStore.open(run) as store:
        assert await store.requeue() == 1

    back = copy_on("one")
    assert back.prepare() is None
    assert finished(back.directory) == []


async def test_a_kill_between_knowing_and_renaming_leaves_no_doubt(copy_on, run):
    copy = copy_on("node")
    copy.prepare()
    await work(copy, 1)
    copy.publish()
    await work(copy, 2)

    class Killed(BaseException):
        pass

    def kill():  # asked last before the file is renamed
        raise Killed

    with pytest.raises(Killed):
        copy_on("node", kill).publish()
    assert finished(run) == [1]
    again = copy_on("node")
    assert again.prepare() is None
    assert finished(again.directory) == [1, 2]
    assert again.publish()
    assert finished(run) == [1, 2]


async def test_a_machine_that_was_replaced_writes_nothing_more(copy_on, run):
    copy = copy_on("node", is_lock_held=(run / "held").exists)
    (run / "held").touch()
    copy.prepare()
    await work(copy, 1)
    copy.publish()
    before = (run / DATABASE_NAME).read_bytes()
    await work(copy, 2)
    (run / "held").unlink()
    with pytest.raises(RunLocked, match="taken over") as refused:
        copy.publish()
    assert str(copy.directory) in str(refused.value)
    assert (run / DATABASE_NAME).read_bytes() == before


async def test_a_run_that_was_deleted_does_not_come_back_from_a_copy(copy_on, run):
    killed = copy_on("node")
    killed.prepare()
    await work(killed, 1)
    killed.publish()
    (run / DATABASE_NAME).unlink()
    again = copy_on("node")
    assert "is kept in" in again.prepare()
    assert not (again.directory / DATABASE_NAME).exists()


async def test_large_outputs_are_in_the_run_directory_at_once(copy_on, run):
    copy = copy_on("node")
    copy.prepare()
    await work(copy, 1, **PNG)
    (output,) = (run / "outputs").iterdir()
    assert output.read_bytes() == b"png"
    copy.publish()
    copy.remove()
    assert output.exists()
    with RunReader(run) as reader:
        (result,) = reader.iter_results("finished")
    assert (run / result.prediction).read_bytes() == b"png"

    copy.prepare()  # and those of earlier processes can be read from the copy
    assert (copy.directory / result.prediction).read_bytes() == b"png"


async def test_what_a_process_left_in_a_log_is_copied_too(copy_on, run):
    async with SqliteStore.create(run, INFO) as store:
        await store.add(page(3))
        await store.commit_records([reply(1)])
        held = {path: path.read_bytes() for path in run.iterdir()}
    for path, content in held.items():  # as a kill leaves them
        path.write_bytes(content)
    assert (run / f"{DATABASE_NAME}-wal").stat().st_size
    copy = copy_on("node")
    copy.prepare()
    assert finished(copy.directory) == [1]


def test_a_scratch_folder_of_somebody_else_is_refused(copy_on, tmp_path):
    copy = copy_on("node")
    (tmp_path / "node").mkdir()
    copy.directory.symlink_to(tmp_path / "shared")
    with pytest.raises(ConfigError, match="somebody else"):
        copy.prepare()


def test_a_scratch_folder_that_is_a_file_is_refused(copy_on, tmp_path):
    (tmp_path / "node").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        copy_on("node").prepare()


async def test_only_its_owner_reads_the_copy(copy_on):
    copy = copy_on("node")
    copy.prepare()
    assert os.stat(copy.directory).st_mode & 0o777 == 0o700  # noqa: PTH116
