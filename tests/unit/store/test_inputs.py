"""The sha256 of what was sent, as `show`, the exports and the report read it."""

import sqlite3
from dataclasses import replace

import pytest

from batchinfer.domain import InputFile, Item, SentFile
from batchinfer.ports import SubmittedObject
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore
from support.older_runs import become
from support.records import INFO, failed, failure, page, reply, submitted

pytestmark = pytest.mark.event_loops("asyncio", "trio")

SENT, AGAIN, LATER = (SentFile("files", size, str(size) * 32) for size in (11, 22, 33))


@pytest.fixture
async def store(tmp_path):
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        await store.add(page(1))
        yield store


@pytest.fixture
def reader(store):
    with RunReader(store.directory) as reader:
        yield reader


def sending(record, *sent):
    outcome = replace(record.attempt.outcome, inputs=sent)
    return replace(record, attempt=replace(record.attempt, outcome=outcome))


def shown(reader):
    """What `show` tells of the only item, and the exports."""
    (dossier,) = reader.iter_result_details()
    return list(reader.read_item_detail("001.jpg").inputs), dict(dossier.sha256)


async def test_of_an_item_that_succeeded_it_is_what_the_reply_was_to(store, reader):
    await store.commit_records([sending(failure(1), SENT), sending(reply(1, 2), AGAIN)])
    assert shown(reader) == ([AGAIN], {"files": AGAIN.sha256})


async def test_of_an_item_that_failed_it_is_what_was_sent_last(store, reader):
    await store.commit_records([sending(failure(1), SENT), sending(failed(1, 2), AGAIN)])
    assert shown(reader) == ([AGAIN], {"files": AGAIN.sha256})


async def test_a_last_attempt_that_sent_nothing_hides_not_what_was_sent_before(store, reader):
    await store.commit_records([sending(failure(1), SENT), failed(1, 2, code="file_missing")])
    assert shown(reader) == ([SENT], {})


async def test_a_reply_through_the_bucket_is_to_what_its_submission_sent(store, reader):
    await store.commit_records([sending(submitted(1), SENT)])
    assert shown(reader)[0] == [SENT]
    await store.commit_records([reply(1)])
    assert shown(reader) == ([SENT], {"files": SENT.sha256})


async def test_a_late_reply_is_to_what_was_sent_then(store, reader):
    await store.commit_records([sending(submitted(1), SENT), failure(1, code="no_output")])
    await store.commit_records([sending(submitted(1, 2), AGAIN)])
    assert shown(reader)[0] == [AGAIN]
    await store.commit_records([reply(1, 1)])
    assert shown(reader) == ([SENT], {"files": SENT.sha256})


async def test_retry_begins_anew_and_forgets_nothing(store, reader):
    await store.commit_records([sending(failed(1), SENT)])
    await store.requeue()
    assert shown(reader) == ([SENT], {"files": SENT.sha256})
    await store.commit_records([sending(submitted(1, 2), AGAIN), failure(1, 2, code="no_output")])
    await store.commit_records([sending(submitted(1, 3), LATER), reply(1, 3)])
    assert shown(reader) == ([LATER], {"files": LATER.sha256})


async def test_what_was_found_in_the_bucket_has_none(store, reader):
    await store.mark_submitted([SubmittedObject(1, 1, "abc-1-1")], 1.0)
    await store.commit_records([reply(1)])
    assert shown(reader) == ([], {})


async def test_a_size_that_the_source_did_not_know_is_known_when_it_was_sent(store, reader):
    files = (InputFile("files", "/data/p", None), InputFile("mask", "/data/m", 5))
    await store.add([Item("pipe", files)])
    await store.commit_records([sending(reply(2), SENT)])
    dossier = list(reader.iter_result_details())[1]
    assert [file.size for file in dossier.files] == [11, 5]


async def test_no_program_can_write_a_sum_that_is_none(store):
    await store.commit_records([sending(reply(1), SENT)])
    connection = sqlite3.connect(store.directory / DATABASE_NAME)
    for row in ("(1, 1, 'x', 1, 'abc', 0)", "(1, 0, 'x', 1, hex(zeroblob(32)), 0)"):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(f"INSERT INTO inputs VALUES {row}")
    connection.close()


async def test_a_run_of_a_version_that_kept_none_says_so_until_it_goes_on(store, reader):
    await store.commit_records([sending(reply(1), SENT)])
    become(store.directory, 3)
    with RunReader(store.directory) as older:
        assert shown(older) == ([], {})
    async with SqliteStore.open(store.directory) as later:
        await later.add(page(2))
        await later.commit_records([sending(reply(2), AGAIN)])
    with RunReader(store.directory) as newer:
        assert [dict(each.sha256) for each in newer.iter_result_details()] == [
            {},
            {"files": AGAIN.sha256},
        ]
