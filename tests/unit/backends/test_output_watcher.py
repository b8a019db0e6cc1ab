"""What turns up in the bucket, decided: real logs and outputs, any order, any page size."""

import anyio
import pytest

from batchinfer.backends.bucket_client import BucketUnreachable
from batchinfer.backends.orphan_outputs import ORPHAN_SETTLE_SECONDS
from batchinfer.domain import Failure, FailureKind, Reply, State
from batchinfer.errors import FatalError
from support.watched_bucket import (
    GRACE,
    OK_JSON,
    OK_LOG,
    RUN,
    STRAY,
    STRAY_LOG,
    VALUE,
    Desk,
    fixture,
)

pytestmark = pytest.mark.event_loops("virtual")


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.submit()
    return desk


async def test_a_whole_pair_is_a_reply_with_its_log(desk: Desk):
    desk.put("log", OK_LOG)
    desk.put("json", OK_JSON)
    reply = await desk.outcome()
    assert reply.prediction == VALUE
    assert "Output is saved" in reply.log


async def test_log_first_waits_for_its_json(desk: Desk):
    desk.put("log", OK_LOG)
    assert await desk.outcome() is None
    desk.put("json", OK_JSON)
    assert (await desk.outcome()).prediction == VALUE


async def test_json_first_waits_for_its_log(desk: Desk):
    desk.put("json", OK_JSON)
    assert await desk.outcome() is None
    desk.put("log", OK_LOG)
    assert (await desk.outcome()).log


async def test_json_alone_is_a_reply_after_the_grace_period(desk: Desk):
    desk.put("json", OK_JSON)
    assert await desk.outcome() is None
    await anyio.sleep(GRACE)
    reply = await desk.outcome()
    assert (reply.prediction, reply.log) == (VALUE, "")


async def test_a_failure_in_the_log_needs_no_json(desk: Desk):
    desk.put("log", fixture("async_2.5.2_fail_exception.log"))
    failure = await desk.outcome()
    assert (failure.code, failure.message) == ("model_error", "ValueError: boom")


async def test_a_log_that_says_nothing_is_a_killed_model_after_the_grace_period(desk: Desk):
    desk.put("log", fixture("async_2.5.2_fail_killed.log"))
    assert await desk.outcome() is None
    await anyio.sleep(GRACE - 1)
    assert await desk.outcome() is None
    await anyio.sleep(1)
    assert (await desk.outcome()).code == "model_killed"


@pytest.mark.parametrize("away", [[50.0], [0.0, 20.0, 20.0], [20.0, 20.0, 0.0]])
async def test_time_in_which_the_store_is_away_does_not_count_for_a_missing_half(
    desk: Desk, away: list[float]
):
    """Whether it answers late, or each look in vain takes a while, or the rests between them do."""
    desk.put("log", OK_LOG)
    assert await desk.outcome() is None
    page, away = desk.bucket.list_page, [*away]

    async def late(*args, **named):
        await anyio.sleep(away.pop(0))
        if away:
            raise BucketUnreachable("the store is away")
        return await page(*args, **named)

    desk.bucket.list_page = late
    await anyio.sleep(GRACE / 2)
    for _ in away[:-1]:
        with pytest.raises(BucketUnreachable):
            await desk.look()
        await anyio.sleep(GRACE / 2)
    assert await desk.outcome() is None
    desk.bucket.list_page = page
    await anyio.sleep(GRACE / 2 - 1)
    assert await desk.outcome() is None
    await anyio.sleep(1)
    assert (await desk.outcome()).code == "output_lost"


async def test_a_saved_output_that_never_comes_is_lost(desk: Desk):
    desk.put("log", OK_LOG)
    assert await desk.outcome() is None
    await anyio.sleep(GRACE)
    assert (await desk.outcome()).code == "output_lost"


async def test_an_orphan_is_taken_by_the_log_that_names_it_and_then_deleted(desk: Desk):
    desk.put("log", STRAY_LOG)
    desk.bucket.objects[STRAY] = OK_JSON
    desk.bucket.objects["outputs/tmp-file-other.json"] = b"not ours"
    assert await desk.outcome() is None
    await anyio.sleep(ORPHAN_SETTLE_SECONDS)
    assert (await desk.outcome()).prediction == VALUE
    assert STRAY in desk.bucket.objects
    await desk.watcher.cleanup(desk.store)
    assert STRAY not in desk.bucket.objects
    assert "outputs/tmp-file-other.json" in desk.bucket.objects


async def test_an_orphan_may_come_after_its_log(desk: Desk):
    desk.put("log", STRAY_LOG)
    assert await desk.outcome() is None
    desk.bucket.objects[STRAY] = OK_JSON
    assert await desk.outcome() is None
    await anyio.sleep(ORPHAN_SETTLE_SECONDS)
    assert (await desk.outcome()).prediction == VALUE


async def test_an_output_that_is_an_image_comes_as_bytes(desk: Desk):
    desk.put("log", fixture("async_2.5.2_ok_bytesio_png.log"))
    desk.put("json", fixture("async_2.5.2_ok_bytesio_png.json"))
    reply = await desk.outcome()
    assert reply.media_type == "image/png"
    assert reply.data == fixture("async_2.5.2_ok_bytesio_png.json")


async def test_markers_other_runs_and_foreign_names_are_ignored(desk: Desk):
    for key in (
        "outputs/",
        "inputs/",
        "outputs/other1-000000001-1.log",
        f"outputs/{RUN}-notes.log",
        f"outputs/{RUN}-000000001-1.txt",
        f"outputs/{RUN}-000000099-1.log",
    ):
        desk.bucket.objects[key] = OK_LOG
    assert await desk.look() == []


async def test_what_is_recorded_is_not_fetched_again(desk: Desk):
    desk.put("log", OK_LOG)
    desk.put("json", OK_JSON)
    await desk.look()
    await desk.record(1, 1, Reply(), State.SUCCEEDED)
    desk.bucket.get = None  # it would fail
    assert await desk.look() == []


async def test_a_failure_is_told_once_while_its_item_is_tried_again(desk: Desk):
    desk.put("log", fixture("async_2.5.2_fail_exception.log"))
    failure = await desk.outcome()
    await desk.record(1, 1, failure, State.PENDING)
    assert await desk.look() == []
    await desk.resubmit(1, 2)
    desk.put("log", OK_LOG, attempt=2)
    desk.put("json", OK_JSON, attempt=2)
    (arrival,) = await desk.look()
    assert (arrival.attempt, arrival.outcome.prediction) == (2, VALUE)


async def test_a_late_output_of_an_older_attempt_is_told(desk: Desk):
    await desk.record(1, 1, Failure("no_output", "x"), State.PENDING)
    await desk.resubmit(1, 2)
    desk.put("log", OK_LOG, attempt=1)
    desk.put("json", OK_JSON, attempt=1)
    (arrival,) = await desk.look()
    assert (arrival.attempt, arrival.item.attempt) == (1, 2)


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 1000])
async def test_pairs_are_whole_whatever_the_page_size(page_size: int):
    desk = Desk(page_size)
    await desk.submit(25)
    for position in range(1, 26):
        desk.put("json", OK_JSON, position)
        desk.put("log", OK_LOG, position)
    arrived = await desk.look()
    assert sorted(arrival.item.position for arrival in arrived) == list(range(1, 26))
    assert all(isinstance(arrival.outcome, Reply) for arrival in arrived)
    assert all(arrival.outcome.log for arrival in arrived)


async def test_a_bucket_that_does_not_answer_raises_one_plain_error(desk: Desk):
    desk.put("log", OK_LOG)
    desk.put("json", OK_JSON)
    desk.bucket.error = BucketUnreachable("away")
    with pytest.raises(BucketUnreachable):
        await desk.look()
    desk.bucket.error = None
    assert (await desk.outcome()).prediction == VALUE


@pytest.mark.parametrize("half", [b'[{"sha": "0e', b'{"a": 1, "b', b'"a te'])
async def test_a_half_written_output_is_waited_for_and_then_no_prediction(desk: Desk, half: bytes):
    desk.put("log", OK_LOG)
    desk.put("json", half)
    assert await desk.look() == []
    desk.put("json", OK_JSON)
    assert (await desk.outcome()).prediction == VALUE


async def test_an_output_that_stays_half_written_is_tried_again(desk: Desk):
    desk.put("log", OK_LOG)
    desk.put("json", OK_JSON[:-1])
    await desk.look()
    await anyio.sleep(GRACE)
    outcome = await desk.outcome()
    assert (outcome.code, outcome.kind) == ("answer_cut_off", FailureKind.TRANSIENT)


async def test_a_number_is_believed_if_the_log_says_that_it_was_saved(desk: Desk):
    desk.put("json", b"0.98")
    await desk.look()
    await anyio.sleep(GRACE)
    assert (await desk.outcome()).code == "answer_cut_off"


async def test_a_secret_that_is_a_word_does_not_rewrite_a_prediction(desk: Desk):
    desk.put("log", OK_LOG + b"\n[*] Final command: predict --key bear\n")
    desk.put("json", b'{"name": "bear", "b": [{"bear": "bear"}]}')
    reply = await desk.outcome()
    assert reply.prediction == {"name": "bear", "b": [{"bear": "bear"}]}
    assert "bear" not in reply.log


async def test_secrets_are_redacted_from_log_and_output(desk: Desk):
    desk.put("log", OK_LOG + b"\n[*] Final command: predict --key hidden-secret-0123\n")
    desk.put("json", b'{"echo": "hidden-secret-0123"}')
    reply = await desk.outcome()
    assert "hidden-secret-0123" not in reply.log + str(reply.prediction)


async def test_a_deepaas_that_is_too_old_ends_the_run(desk: Desk):
    too_old = b"Error: DEEPaaS version must be >=2.5.0. Current version is: 2.3.1\n"
    desk.put("log", too_old)
    with pytest.raises(FatalError, match=r"2\.3\.1") as fatal:
        await desk.look()
    assert fatal.value.code == "deepaas_too_old"
