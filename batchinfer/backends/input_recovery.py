"""Input objects that were put, but not recorded: what a kill between the two leaves.

Each of them has started a prediction, so its item is not sent again, if that is surely this item's:
the object must hold what would be sent for the item now. Any other may be of another copy of this
run directory, or of an item that changed since; it is left alone. Where the item is not in the run
yet (a backup was restored), the sender is told, and looks when its turn has come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol

import anyio

from batchinfer.backends.bucket_client import BucketClient, ListedObject, Listing
from batchinfer.domain import Item, OpenItem, State
from batchinfer.errors import BatchInferError
from batchinfer.oscar.object_names import INPUTS_PREFIX, parse_input_key
from batchinfer.ports import RecoverableItems, SubmittedObject


class InputVerifier(Protocol):
    """Who makes payloads: `bucket.BucketBackend`."""

    async def matches(self, input_object: SubmittedObject, item: Item) -> bool:
        """Whether the input object `placed` is what would be sent for `item` now."""

    def remember(self, input_object: SubmittedObject) -> None:
        """Note an input object that may be that of an item which is not in the run yet."""


MAX_CONCURRENT_VERIFICATIONS = 16
"""Payloads made again at a time."""


async def recover_unrecorded_inputs(
    bucket: BucketClient,
    run_id: str,
    items: RecoverableItems,
    verifier: InputVerifier,
    mark_submitted: Callable[[Sequence[SubmittedObject]], Awaitable[None]],
) -> None:
    """Find the input objects that pending items can adopt. Raises as the bucket does."""
    listing, known_count = (
        Listing(bucket, f"{INPUTS_PREFIX}{run_id}-"),
        (await items.fetch_counts()).total,
    )
    while listing.has_more():
        input_objects = list(_parse_input_objects(run_id, await listing.next_page()))
        for input_object in input_objects:
            if input_object.position > known_count:
                verifier.remember(input_object)
        open_items = await items.fetch_open({one.position for one in input_objects})
        await mark_submitted(
            await _filter_matching(
                items, verifier, list(_filter_unrecorded(input_objects, open_items))
            )
        )


def _parse_input_objects(run_id: str, listed: Sequence[ListedObject]) -> Iterator[SubmittedObject]:
    for listed_object in listed:
        if (parsed := parse_input_key(run_id, listed_object.key)) is not None:
            base_name, name = parsed
            yield SubmittedObject(name.position, name.attempt, base_name)


def _filter_unrecorded(
    input_objects: Sequence[SubmittedObject], open_items: Mapping[int, OpenItem]
) -> Iterator[SubmittedObject]:
    for input_object in input_objects:
        item = open_items.get(input_object.position)
        if item is not None and item.state is State.PENDING and input_object.attempt > item.attempt:
            yield input_object


async def _filter_matching(
    items: RecoverableItems, verifier: InputVerifier, input_objects: Sequence[SubmittedObject]
) -> Sequence[SubmittedObject]:
    """Those that hold what their item is; the first error is raised, alone."""
    limiter, errors = anyio.CapacityLimiter(MAX_CONCURRENT_VERIFICATIONS), list[Exception]()
    matching: list[SubmittedObject] = []

    async def verify(input_object: SubmittedObject) -> None:
        async with limiter:
            if errors:
                return
            try:
                page = await items.fetch_pending(input_object.position - 1, 1, float("inf"))
                item = page[0] if page and page[0].position == input_object.position else None
                if item is not None and item.attempts + 1 == input_object.attempt:
                    matching.extend(
                        [input_object] if await verifier.matches(input_object, item) else []
                    )
            except (OSError, BatchInferError) as error:
                errors.append(error)

    async with anyio.create_task_group() as task_group:
        for input_object in input_objects:
            task_group.start_soon(verify, input_object)
    if errors:
        raise errors[0]
    return sorted(matching, key=lambda one: one.position)
