"""Input objects that were put, but not recorded: what a kill between the two leaves.

Each of them has started a prediction, so its item is not sent again, provided that the object
certainly belongs to it: it must hold what would be sent for the item now. Any other may belong to
another copy of this run directory, or to an item that has changed since, and is left alone. Where
the item is not in the run yet (a backup was restored), `BucketBackend` remembers the object and
compares it when the item is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol

from batchinfer.backends.bucket_client import BucketClient, ListedObject, Listing, for_each
from batchinfer.domain import Item, OpenItem, State
from batchinfer.ports import RecoverableItems, SubmittedObject
from batchinfer.protocols.inference_protocol import BucketProtocol


class InputVerifier(Protocol):
    """Compares input objects with what would be sent now: `BucketBackend`."""

    async def matches(self, input_object: SubmittedObject, item: Item) -> bool:
        """Whether the input object is what would be sent for `item` now."""

    def remember(self, input_object: SubmittedObject) -> None:
        """Note an input object that may be that of an item which is not in the run yet."""


MAX_CONCURRENT_VERIFICATIONS = 16
"""Payloads made again at a time."""


async def recover_unrecorded_inputs(
    bucket: BucketClient,
    protocol: BucketProtocol,
    run_id: str,
    *,
    items: RecoverableItems,
    verifier: InputVerifier,
    mark_submitted: Callable[[Sequence[SubmittedObject]], Awaitable[None]],
) -> None:
    """Find the input objects that pending items can adopt. Raises as the bucket does."""
    listing = Listing(bucket, f"{protocol.inputs_prefix}{run_id}-")
    known_count = (await items.fetch_counts()).total
    while listing.has_more():
        input_objects = list(_parse_input_objects(protocol, run_id, await listing.next_page()))
        for input_object in input_objects:
            if input_object.position > known_count:
                verifier.remember(input_object)
        open_items = await items.fetch_open({one.position for one in input_objects})
        unrecorded = list(_filter_unrecorded(input_objects, open_items))
        await mark_submitted(await _filter_matching(items, verifier, unrecorded))


def _parse_input_objects(
    protocol: BucketProtocol, run_id: str, listed: Sequence[ListedObject]
) -> Iterator[SubmittedObject]:
    for listed_object in listed:
        if (parsed := protocol.parse_input_key(run_id, listed_object.key)) is not None:
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
    matching: list[SubmittedObject] = []

    async def verify(input_object: SubmittedObject) -> None:
        page = await items.fetch_pending(input_object.position - 1, 1, float("inf"))
        item = page[0] if page and page[0].position == input_object.position else None
        if (
            item is not None
            and item.attempts + 1 == input_object.attempt
            and await verifier.matches(input_object, item)
        ):
            matching.append(input_object)

    await for_each(input_objects, verify, max_concurrent=MAX_CONCURRENT_VERIFICATIONS)
    return sorted(matching, key=lambda one: one.position)
