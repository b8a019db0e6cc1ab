"""With `clean`, the bucket is emptied of what is on record; of nothing else, and not before."""

import anyio
import pytest

from batchinfer.backends.orphan_outputs import ORPHAN_SETTLE_SECONDS
from batchinfer.backends.output_watcher import BucketOutputWatcher
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, FailureKind, Reply, State
from batchinfer.errors import FatalError
from batchinfer.protocols.ai4os.object_names import make_object_name
from support.protocols import AI4OS_BUCKET
from support.watched_bucket import OK_JSON, OK_LOG, RUN, STRAY, STRAY_LOG, TAG, Desk, fixture

pytestmark = pytest.mark.event_loops("virtual")

FOREIGN = {"inputs/", "outputs/", f"inputs/{RUN}x-000000001-1.json", "outputs/mine.json"}


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    desk.watcher = BucketOutputWatcher(
        desk.bucket, protocol=AI4OS_BUCKET, run_id=RUN, redactor=Redactor([]), clean=True
    )
    await desk.submit(2)
    for position in (1, 2):
        desk.bucket.objects[f"inputs/{make_object_name(RUN, position, 1, TAG)}.json"] = b"{}"
    desk.bucket.objects |= dict.fromkeys(FOREIGN, b"")
    return desk


def left(desk: Desk) -> set[str]:
    return set(desk.bucket.objects) - FOREIGN


async def test_an_item_on_record_leaves_nothing(desk: Desk):
    desk.put("log", OK_LOG)
    desk.put("json", OK_JSON)
    (arrival,) = await desk.look()
    await desk.watcher.cleanup(desk.store)
    assert len(left(desk)) == 4  # not yet on record

    await desk.record(1, 1, arrival.outcome, State.SUCCEEDED)
    desk.put("log", OK_LOG, position=2)
    desk.put("json", OK_JSON, position=2)
    (arrival,) = await desk.look()
    await desk.record(2, 1, arrival.outcome, State.SUCCEEDED)
    await desk.watcher.cleanup(desk.store)

    assert left(desk) == {
        f"inputs/{make_object_name(RUN, 1, 1, TAG)}.json",
        *(
            f"outputs/{make_object_name(RUN, 1, 1, TAG)}.{extension}"
            for extension in ("log", "json")
        ),
    }
    assert set(desk.bucket.objects) >= FOREIGN


async def test_an_orphan_goes_with_the_rest(desk: Desk):
    desk.put("log", STRAY_LOG)
    desk.bucket.objects[STRAY] = OK_JSON
    assert await desk.look() == []
    await anyio.sleep(ORPHAN_SETTLE_SECONDS)
    (arrival,) = await desk.look()
    assert isinstance(arrival.outcome, Reply)
    await desk.record(1, 1, arrival.outcome, State.SUCCEEDED)
    await desk.watcher.cleanup(desk.store)

    assert left(desk) == {f"inputs/{make_object_name(RUN, 2, 1, TAG)}.json"}


async def test_what_is_tried_again_stays(desk: Desk):
    desk.put("log", fixture("async_2.5.2_fail_exception.log"))
    (arrival,) = await desk.look()
    again = Failure("no_output", "again", FailureKind.TRANSIENT)
    assert isinstance(arrival.outcome, Failure)
    await desk.record(1, 1, again, State.PENDING)
    await desk.watcher.cleanup(desk.store)

    assert len(left(desk)) == 3


async def test_keys_that_may_not_delete_end_the_run_with_one_plain_error(desk: Desk):
    desk.put("log", OK_LOG)
    desk.put("json", OK_JSON)
    (arrival,) = await desk.look()
    await desk.record(1, 1, arrival.outcome, State.SUCCEEDED)
    desk.bucket.error = FatalError("s3_access_denied", "no")

    with pytest.raises(FatalError):
        await desk.watcher.cleanup(desk.store)
    desk.bucket.error = None
    await desk.watcher.cleanup(desk.store)
    assert left(desk) == {f"inputs/{make_object_name(RUN, 2, 1, TAG)}.json"}


async def test_without_clean_everything_stays(desk: Desk):
    desk.watcher = BucketOutputWatcher(
        desk.bucket, protocol=AI4OS_BUCKET, run_id=RUN, redactor=Redactor([])
    )
    desk.put("log", OK_LOG)
    desk.put("json", OK_JSON)
    (arrival,) = await desk.look()
    await desk.record(1, 1, arrival.outcome, State.SUCCEEDED)
    await desk.watcher.cleanup(desk.store)

    assert len(left(desk)) == 4
