"""Exactly what a run has made and recorded is deleted: no neighbour, no stranger, nothing open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.api.bucket_cleanup import CleanupSummary, delete_objects
from batchinfer.backends.bucket_client import BucketUnreachable, MemoryBucket
from batchinfer.domain import OpenItem, State
from support.protocols import AI4OS_BUCKET

pytestmark = pytest.mark.event_loops("asyncio", "trio")

RUN = "abc"
DONE = frozenset({1, 2, 5})
TAG = "epoch1230123456789abcdef"
RECORDED = {
    1: {},
    2: {1: f"abc-000000002-1-{TAG}"},
    3: {},
    5: {1: f"abc-000000005-1-{TAG}"},
    10: {},
}
"""Object names by position and attempt; those of 1, 3 and 10 are of a run of an older format."""
OURS = {
    "inputs/abc-000000001-1.json",
    "outputs/abc-000000001-1.json",
    "outputs/abc-000000001-1.log",
    f"inputs/abc-000000002-1-{TAG}.json",
    f"outputs/abc-000000005-1-{TAG}.json",
    f"outputs/abc-000000005-1-{TAG}.log",
}
OTHERS = {
    "inputs/abc-000000002-1.json",
    "inputs/abc-000000001-2.json",
    f"inputs/abc-000000001-1-{TAG}.json",
    f"inputs/abc-000000002-2-{TAG}.json",
    "outputs/abc-000000002-1-another00123456789abcdef.json",
    "outputs/abc-000000007-1.log",
}
"""Of another copy of the run directory."""
OPEN = {
    "inputs/abc-000000003-1.json",
    "outputs/abc-000000003-1.log",
    "inputs/abc-000000010-1.json",
}
FOREIGN = {
    "inputs/",
    "outputs/",
    "inputs/abc",
    "inputs/abc-",
    "inputs/abc-000000001-1",
    "inputs/abc-000000001-1.log",
    "inputs/abc-000000001-1.json.json",
    "inputs/abc-000000001-01.json",
    "inputs/abc-000000001-0.json",
    "inputs/abc-00000001-1.json",
    "inputs/abc-000000001-1-1.json",
    "inputs/abc-000000000-1.json",
    "inputs/abc-mine.json",
    "inputs/abcd-000000001-1.json",
    "inputs/ab-000000001-1.json",
    "inputs/xabc-000000001-1.json",
    "inputs/sub/abc-000000001-1.json",
    "outputs/abc-000000001-1.png",
    "outputs/abc-000000001-1.json.log",
    "outputs/inputs/abc-000000001-1.json",
    "outputs/tmp-file-abcde.json",
    "abc-000000001-1.json",
    "mine/abc-000000001-1.json",
}


def recorded(positions):
    return {
        position: OpenItem(
            position, State.SUCCEEDED if position in DONE else State.SUBMITTED, 1, 0.0, 0, names
        )
        for position, names in RECORDED.items()
        if position in positions
    }


def bucket(keys, **options) -> MemoryBucket:
    made = MemoryBucket(**options)
    made.objects = dict.fromkeys(keys, b"12345")
    return made


@pytest.mark.parametrize("page_size", [1, 2, 1000])
async def test_only_what_is_ours_and_final_is_deleted(page_size):
    store = bucket(OURS | OPEN | OTHERS | FOREIGN, page_size=page_size)

    assert await delete_objects(store, AI4OS_BUCKET, RUN, recorded) == CleanupSummary(
        2, 4, 30, 3, 6
    )
    assert set(store.objects) == OPEN | OTHERS | FOREIGN


async def test_a_dry_run_counts_the_same_and_deletes_nothing():
    store = bucket(OURS | OPEN | OTHERS | FOREIGN, page_size=2)

    assert await delete_objects(store, AI4OS_BUCKET, RUN, recorded, dry_run=True) == CleanupSummary(
        2, 4, 30, 3, 6
    )
    assert set(store.objects) == OURS | OPEN | OTHERS | FOREIGN


async def test_a_second_time_there_is_nothing_left_to_do():
    store = bucket(OURS | FOREIGN)
    await delete_objects(store, AI4OS_BUCKET, RUN, recorded)

    assert await delete_objects(store, AI4OS_BUCKET, RUN, recorded) == CleanupSummary()


async def test_trouble_of_the_bucket_leaves_alone():
    store = bucket(OURS)
    store.error = BucketUnreachable("away")

    with pytest.raises(BucketUnreachable):
        await delete_objects(store, AI4OS_BUCKET, RUN, recorded)


@pytest.mark.slow
@given(st.sets(st.from_regex(r"(inputs|outputs)/[abc0-9-]{0,16}(\.json|\.log)?\Z"), max_size=30))
async def test_no_stranger_is_ever_deleted(keys):
    store = bucket(keys | OURS)
    await delete_objects(store, AI4OS_BUCKET, "abd", None)

    assert set(store.objects) == keys | OURS
