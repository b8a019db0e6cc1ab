"""Whose output it is: only what this run directory has recorded is an answer, and what was put but
not recorded is adopted only where it surely is the item's own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from batchinfer.backends.bucket_backend import BucketBackend
from batchinfer.backends.bucket_client import BucketUnreachable, MemoryBucket
from batchinfer.backends.output_watcher import BucketOutputWatcher
from batchinfer.backends.payload_loader import PayloadLoader
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, FailureKind, InputFile, Item, Mode, State, Submitted
from batchinfer.ports import SubmittedObject
from batchinfer.protocols.ai4os.object_names import make_object_name
from batchinfer.testing import MemoryStore
from support.protocols import AI4OS, AI4OS_BUCKET
from support.watched_bucket import OK_JSON, OK_LOG, RUN, TAG, VALUE, Desk

OTHER = "another1" + TAG[8:]
OLD = make_object_name(RUN, 1, 1)


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.submit()
    return desk


def put_pair(desk: Desk, base: str, at: float | None = None) -> None:
    for extension, body in (("log", OK_LOG), ("json", OK_JSON)):
        key = f"outputs/{base}.{extension}"
        desk.bucket.objects[key] = body
        if at is not None:
            desk.bucket.last_modified[key] = at


@pytest.mark.parametrize(
    "base",
    [
        make_object_name(RUN, 1, 1, OTHER),
        OLD,
        make_object_name(RUN, 1, 2, TAG),
        make_object_name(RUN, 1, 2),
    ],
    ids=["another process", "no tag", "another attempt", "another attempt, no tag"],
)
async def test_an_output_under_a_name_that_is_not_recorded_is_no_answer(desk: Desk, base: str):
    put_pair(desk, base)
    assert await desk.look() == []
    put_pair(desk, make_object_name(RUN, 1, 1, TAG))
    assert (await desk.outcome()).prediction == VALUE


async def old_run() -> Desk:
    """A run of a format before version 5: its item is submitted, and no name is recorded."""
    desk = Desk()
    await desk.submit()
    desk.store._objects.clear()
    return desk


@pytest.mark.parametrize(("put", "came"), [(None, None), (100.0, 100.0), (100.9, 100.0), (5.0, 9)])
async def test_a_run_of_an_older_format_takes_the_outputs_of_its_names(put, came):
    desk = await old_run()
    key = f"inputs/{OLD}.json"
    desk.bucket.objects[key] = b"{}"
    if put is not None:
        desk.bucket.last_modified[key] = put
    put_pair(desk, OLD, came)
    assert (await desk.outcome()).prediction == VALUE


async def test_outputs_that_were_there_before_the_input_was_put_are_no_answer():
    desk = await old_run()
    desk.bucket.objects[f"inputs/{OLD}.json"] = b"{}"
    desk.bucket.last_modified[f"inputs/{OLD}.json"] = 200.0
    put_pair(desk, OLD, 100.0)
    assert await desk.look() == []
    put_pair(desk, OLD, 201.0)
    assert (await desk.outcome()).prediction == VALUE


# Adopting ---------------------------------------------------------------------------------------


class Submitting:
    """Items of real files, a bucket, and processes that submit to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bucket, self.store = folder, MemoryBucket(page_size=3), MemoryStore()

    async def add(self, *names: str) -> list[Item]:
        items = []
        for name in names:
            path = self.folder / name
            if not path.exists():
                path.write_bytes(name.encode())
            items.append(Item(name, (InputFile("image", str(path)),)))
        await self.store.add(items)
        return list(await self.store.fetch_pending(0, 100, float("inf")))

    def process(self) -> tuple[BucketBackend, BucketOutputWatcher]:
        backend = BucketBackend(
            self.bucket, AI4OS_BUCKET, PayloadLoader(AI4OS, {}, Mode.ASYNC), RUN
        )
        watcher = BucketOutputWatcher(
            self.bucket,
            protocol=AI4OS_BUCKET,
            run_id=RUN,
            redactor=Redactor([]),
            verifier=backend,
        )
        return backend, watcher

    async def adopted(self, watcher: BucketOutputWatcher) -> list[SubmittedObject]:
        found: list[SubmittedObject] = []

        async def adopt(placed) -> None:
            found.extend(placed)
            await self.store.mark_submitted(placed, 1.0)

        await watcher.find_unrecorded(self.store, adopt)
        return found


@pytest.fixture
def desks(tmp_path: Path) -> Submitting:
    return Submitting(tmp_path)


async def test_what_was_put_but_not_recorded_is_adopted(desks: Submitting):
    items = await desks.add("a", "b", "c", "d", "e")
    backend, _ = desks.process()
    names = [(await backend.attempt(item, 1)).name for item in items]
    _, watcher = desks.process()
    found = await desks.adopted(watcher)
    assert [(one.position, one.attempt, one.name) for one in found] == [
        (number, 1, name) for number, name in enumerate(names, 1)
    ]
    assert (await desks.store.fetch_open([2]))[2].objects == {1: names[1]}


async def test_two_processes_never_use_one_name(desks: Submitting):
    (item,) = await desks.add("a")
    one, other = [(await desks.process()[0].attempt(item, 1)).name for _ in range(2)]
    assert one != other
    assert one[-16:] == other[-16:]


async def test_what_was_made_from_another_content_is_left_alone(desks: Submitting):
    (item,) = await desks.add("a")
    backend, _ = desks.process()
    put = await backend.attempt(item, 1)
    (desks.folder / "a").write_bytes(b"else")
    backend, watcher = desks.process()
    assert await desks.adopted(watcher) == []
    assert (await backend.attempt(item, 1)).name != put.name
    assert len(desks.bucket.objects) == 2


@pytest.mark.parametrize("same", [True, False])
async def test_an_input_of_an_older_format_is_read_to_see_whose_it_is(
    desks: Submitting, *, same: bool
):
    (item,) = await desks.add("a")
    payload = await PayloadLoader(AI4OS, {}, Mode.ASYNC).load(item)
    assert isinstance(payload, bytes)
    desks.bucket.objects[f"inputs/{OLD}.json"] = payload if same else payload + b" "
    found = await desks.adopted(desks.process()[1])
    assert found == ([SubmittedObject(1, 1, OLD)] if same else [])


async def test_a_file_that_is_gone_proves_nothing(desks: Submitting):
    (item,) = await desks.add("a")
    await desks.process()[0].attempt(item, 1)
    (desks.folder / "a").unlink()
    assert await desks.adopted(desks.process()[1]) == []


async def test_what_is_recorded_or_not_the_next_attempt_is_not_adopted(desks: Submitting):
    items = await desks.add("a", "b")
    backend, _ = desks.process()
    await backend.attempt(items[0], 2)
    from batchinfer.domain import Attempt, Record  # noqa: PLC0415

    name = (await backend.attempt(items[1], 1)).name
    record = Record(2, Attempt(1, 1.0, 1.0, Submitted(name)), State.SUBMITTED)
    await desks.store.commit_records([record])
    assert await desks.adopted(desks.process()[1]) == []


async def test_an_item_that_is_added_later_finds_what_was_put_for_it(desks: Submitting):
    """A backup was restored: the objects are there, the items are not yet."""
    items = await desks.add("a", "b")
    backend, _ = desks.process()
    put = [await backend.attempt(item, 1) for item in items]
    (desks.folder / "b").write_bytes(b"else")
    desks.store = MemoryStore()
    backend, watcher = desks.process()
    assert await desks.adopted(watcher) == []
    again = [await backend.attempt(item, 1) for item in await desks.add("a", "b")]
    assert again[0] == put[0]
    assert again[1].name != put[1].name
    assert len(desks.bucket.objects) == 3


async def test_a_put_that_may_have_arrived_is_not_put_again(desks: Submitting):
    (item,) = await desks.add("a")
    backend, _ = desks.process()
    put = desks.bucket.put

    async def arrives_unanswered(key, body, **_):
        await put(key, body)
        raise BucketUnreachable("away")

    desks.bucket.put = arrives_unanswered
    failure = await backend.attempt(item, 1)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.UNAVAILABLE
    (key,) = desks.bucket.objects
    desks.bucket.put = None  # it would fail
    again = await backend.attempt(item, 1)
    assert key == f"inputs/{again.name}.json"
