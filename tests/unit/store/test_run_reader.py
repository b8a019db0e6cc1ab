import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import anyio
import pytest

from batchinfer.domain import Attempt, Counts, Failure, FailureKind, Item, Reply, Result, State
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.run_reader import ActivitySpan, FailureGroup, RunReader
from batchinfer.store.sql_read import SELECT_RESULTS_BY_STATE
from batchinfer.store.sqlite import SqliteStore
from support.records import INFO, failed, failure, item, page, reply, submitted

pytestmark = pytest.mark.event_loops("asyncio", "trio")

PNG = b"\x89PNG\r\n\x1a\n\0"


@pytest.fixture
async def store(tmp_path):
    async with SqliteStore.create(tmp_path / "run", INFO) as store:
        yield store


@pytest.fixture
def reader(store):
    with RunReader(store.directory) as reader:
        yield reader


async def fill(store):
    """Six items, one in each situation."""
    await store.add([*page(5), item("non-ASCII/ü.jpg", path=os.fsdecode(b"/data/\xff"), conf=0.5)])
    await store.commit_records(
        [
            reply(1, prediction=[{"name": "bear"}], log="log of 1", server_seconds=2.5),
            failure(2, 1, code="timeout", message="Too slow."),
            failed(2, 2, at=200.0, message="It\0broke.", log="Traceback \udcff"),
            submitted(3, at=150.25),
            failure(4, retry_at=900.0),
            reply(6, prediction=None, data=PNG, media_type="image/png"),
        ]
    )


async def test_what_the_run_knows_of_itself(store, reader):
    await store.mark_source_complete()
    with RunReader(store.directory) as later:
        assert (later.info, later.is_source_complete) == (INFO, True)
    assert (reader.info, reader.is_source_complete) == (INFO, False)


async def test_a_reader_sees_what_is_recorded_while_it_is_open(store, reader):
    assert reader.read_counts() == Counts()
    await fill(store)
    assert reader.read_counts() == Counts(pending=2, submitted=1, succeeded=2, failed=1)


async def test_results_are_whole(store, reader):
    await fill(store)
    first, second, third, fourth, fifth, sixth = reader.iter_results()
    assert first == Result(
        key="001.jpg",
        state=State.SUCCEEDED,
        prediction=[{"name": "bear"}],
        media_type="application/json",
        code=None,
        message=None,
        attempts=1,
        seconds=0.5,
        started_at="1970-01-01T00:01:40.000Z",
        finished_at="1970-01-01T00:01:40.500Z",
        path="/data/001.jpg",
        params={},
    )
    assert (second.state, second.code, second.message) == (
        State.FAILED,
        "model_error",
        "It\\x00broke.",
    )
    assert (second.prediction, second.media_type, second.attempts) == (None, None, 2)
    assert (third.state, third.attempts, third.started_at) == (State.SUBMITTED, 0, None)
    assert (fourth.state, fourth.code, fourth.finished_at) == (State.PENDING, "http_503", None)
    assert (fifth.state, fifth.code, fifth.seconds) == (State.PENDING, None, None)
    assert (sixth.prediction, sixth.media_type) == ("outputs/6-1.png", "image/png")
    assert (sixth.path, sixth.params) == ("/data/\\xff", {"conf": 0.5})
    assert (store.directory / sixth.prediction).read_bytes() == PNG


async def test_the_view_has_the_columns_of_a_result(reader):
    database = reader._tables.connection
    columns = [column[0] for column in database.execute("SELECT * FROM results").description]
    assert columns == ["position", *(field.name for field in fields(Result))]


STATES = {
    None: [1, 2, 3, 4, 5, 6],
    "finished": [1, 2, 6],
    State.SUCCEEDED: [1, 6],
    State.FAILED: [2],
    State.SUBMITTED: [3],
    State.PENDING: [4, 5],
}


@pytest.mark.parametrize(("state", "positions"), STATES.items())
async def test_results_of_a_state_come_in_input_order(store, reader, state, positions):
    await fill(store)
    keys = [item.key for item in page(5)] + ["non-ASCII/ü.jpg"]
    assert [result.key for result in reader.iter_results(state)] == [
        keys[at - 1] for at in positions
    ]


async def test_results_are_complete_across_pages(store, reader):
    await store.add(page(999))
    await store.add([item(f"late {number}") for number in range(400)])
    await store.commit_records(
        [reply(position, prediction=position) for position in range(1, 1400)]
    )
    assert [result.prediction for result in reader.iter_results("finished")] == list(range(1, 1400))


@pytest.mark.slow
async def test_large_predictions_make_small_pages(store, reader):
    await store.add(page(5))
    large = "x" * 9_000_000
    for position in range(1, 6):
        await store.commit_records([reply(position, prediction=large)])
    assert len(reader._tables._fetch_page(SELECT_RESULTS_BY_STATE[None], 0)) == 2
    assert [len(result.prediction) for result in reader.iter_results()] == [9_000_000] * 5


async def test_a_slow_export_keeps_nothing_open(store, reader):
    await store.add(page(900))
    results = reader.iter_results()
    next(results)
    await store.commit_records([reply(position) for position in range(1, 901)])
    other = sqlite3.connect(store.directory / DATABASE_NAME)
    (busy, *_) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()
    assert busy == 0
    assert [result.state for result in results] == [State.PENDING] * 499 + [State.SUCCEEDED] * 400


async def test_results_at_positions_come_in_the_order_asked(store, reader):
    await fill(store)
    found = reader.read_results_at([6, 1, 99])
    assert [result.key for result in found] == ["non-ASCII/ü.jpg", "001.jpg"]
    assert list(reader.read_results_at([])) == []


async def test_a_late_reply_is_the_result_with_the_times_of_its_attempt(store, reader):
    await store.add(page(1))
    await store.commit_records(
        [submitted(1), failure(1, 1, code="no_output"), submitted(1, 2, at=500.0)]
    )
    await store.commit_records([failure(1, 2, at=500.0, code="no_output"), reply(1, 1, at=100.0)])
    (result,) = reader.iter_results()
    assert (result.state, result.prediction, result.code) == (State.SUCCEEDED, "yes", None)
    assert (result.attempts, result.started_at) == (2, "1970-01-01T00:01:40.000Z")
    assert [attempt.outcome for attempt in reader.read_item_detail("001.jpg").attempts] == [
        Reply(),
        Failure("no_output", "It is away.", FailureKind.TRANSIENT),
    ]


async def test_failures_are_grouped_with_the_first_as_an_example(store, reader):
    await store.add(page(5))
    await store.commit_records(
        [
            reply(1),
            failed(2, code="timeout", message="two"),
            failed(4, code="model_error", message="four"),
            failed(3, code="model_error", message="three"),
            failure(5, code="http_503"),
        ]
    )
    assert reader.read_failure_groups() == [
        FailureGroup("model_error", 2, "003.jpg", "three"),
        FailureGroup("timeout", 1, "002.jpg", "two"),
    ]
    await store.requeue(code="timeout")
    assert [group.code for group in reader.read_failure_groups()] == ["model_error"]


async def test_an_item_is_shown_whole(store, reader):
    await fill(store)
    detail = reader.read_item_detail("002.jpg")
    assert detail.item == Item("002.jpg", page(2)[1].files, {}, 2, 2, 0)
    assert detail.result.state is State.FAILED
    assert detail.attempts == [
        Attempt(1, 100.0, 0.5, Failure("timeout", "Too slow.", FailureKind.TRANSIENT)),
        Attempt(
            2,
            200.0,
            0.5,
            Failure("model_error", "It\\x00broke.", FailureKind.TRANSIENT, None, "Traceback \\xff"),
        ),
    ]
    shown = reader.read_item_detail("001.jpg")
    assert shown.attempts[0].outcome == Reply(log="log of 1", server_seconds=2.5)
    assert shown.result.prediction == [{"name": "bear"}]
    assert reader.read_item_detail("003.jpg").submitted_at == 150.25
    assert reader.read_item_detail("004.jpg").retry_at == 900.0
    assert reader.read_item_detail("nobody") is None


CLOSE = {
    "no folder": ("x.jpg", ["deep/x.jpg"]),
    "no extension": ("deep/x", ["deep/x.jpg"]),
    "its path": ("/data/deep/x.jpg", ["deep/x.jpg"]),
    "too much in front": ("in/deep/x.jpg", ["deep/x.jpg"]),
    "mistyped": ("dep/x.jgp", ["deep/x.jpg"]),
    "nothing like it": ("############", []),
}


@pytest.mark.parametrize(("key", "expected"), CLOSE.values(), ids=CLOSE)
async def test_the_closest_keys_are_found(store, reader, key, expected):
    await store.add([*page(5), item("deep/x.jpg")])
    assert list(reader.suggest_keys(key)) == expected


async def test_the_span_of_the_work(store, reader):
    assert reader.read_activity_span(0.0) == ActivitySpan(None, None, 0)
    await store.add(page(4))
    await store.commit_records([reply(1, at=10.0), failed(2, at=20.0), reply(3, at=30.0)])
    assert reader.read_activity_span(20.5) == ActivitySpan(10.0, 30.5, 2)


async def test_what_was_finished_is_counted_slice_by_slice(store, reader):
    await store.add(page(7))
    times = [10.0, 12.0, 14.5, 15.0, 19.5, 20.0]
    await store.commit_records([reply(n, at=at, seconds=0.0) for n, at in enumerate(times, 1)])

    assert reader.count_finished_per_slice(10.0, 20.0, 2) == [3, 3]
    assert reader.count_finished_per_slice(12.0, 19.5, 3) == [1, 2, 1]
    assert reader.count_finished_per_slice(20.5, 30.0, 2) == [0, 0]
    assert reader.count_finished_per_slice(20.0, 20.0, 2) == [0, 0]


async def test_the_first_attempt_of_a_go(store, reader):
    assert reader.find_first_start(0.0) is None
    await store.add(page(3))
    await store.commit_records([reply(2, at=20.0), failure(3, at=5.0)])
    await store.commit_records([failure(1, 1, at=10.0), reply(1, 2, at=30.0)])

    assert [reader.find_first_start(since) for since in (0.0, 10.0, 10.5, 30.5)] == [
        10.0,
        10.0,
        20.0,
        None,
    ]


READ_ONLY = """
import os, sys
from pathlib import Path
from batchinfer.store.run_reader import RunReader
Path("/").as_uri()  # imports what nobody may no longer be allowed to read
if os.geteuid() == 0:
    os.setuid(65534)
directory = Path(sys.argv[1])
assert not os.access(directory, os.W_OK)
with RunReader(directory) as reader:
    print(reader.read_counts().total)
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("log", [None, b""], ids=["without a log", "with an empty log"])
def test_a_finished_run_can_be_read_where_nothing_can_be_written(log):
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        directory = Path(place) / "run"
        anyio.run(_make, directory)
        if log is not None:
            (directory / f"{DATABASE_NAME}-wal").write_bytes(log)
        directory.chmod(0o555)
        asked = [sys.executable, "-c", READ_ONLY, directory]
        told = subprocess.run(asked, capture_output=True, text=True, check=False)
        directory.chmod(0o755)
    assert (told.stdout, told.stderr) == ("3\n", "")


async def _make(directory):
    async with SqliteStore.create(directory, INFO) as store:
        await store.add(page(3))
