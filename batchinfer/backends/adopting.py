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

from batchinfer.backends.objects import Bucket, Entry, Listing
from batchinfer.domain import Item, Open, State
from batchinfer.errors import BatchInferError
from batchinfer.oscar.names import INPUTS, parse_input
from batchinfer.ports import Placed, Store


class Sender(Protocol):
    """Who makes payloads: `bucket.BucketBackend`."""

    async def holds(self, placed: Placed, item: Item) -> bool:
        """Whether the input object `placed` is what would be sent for `item` now."""

    def expect(self, placed: Placed) -> None:
        """Note an input object that may be that of an item which is not in the run yet."""


READS = 16
"""Payloads made again at a time."""


async def adopt_unrecorded(
    bucket: Bucket,
    run_id: str,
    store: Store,
    sender: Sender,
    adopt: Callable[[Sequence[Placed]], Awaitable[None]],
) -> None:
    """Find the input objects that pending items can adopt. Raises as the bucket does."""
    listing, known = Listing(bucket, f"{INPUTS}{run_id}-"), (await store.counts()).total
    while listing.has_more():
        placed = list(_placed(run_id, await listing.page()))
        for one in placed:
            if one.position > known:
                sender.expect(one)
        open_items = await store.unfinished({one.position for one in placed})
        await adopt(await _held(store, sender, list(_unrecorded(placed, open_items))))


def _placed(run_id: str, entries: Sequence[Entry]) -> Iterator[Placed]:
    for entry in entries:
        if (found := parse_input(run_id, entry.key)) is not None:
            base, name = found
            yield Placed(name.position, name.attempt, base)


def _unrecorded(placed: Sequence[Placed], open_items: Mapping[int, Open]) -> Iterator[Placed]:
    for one in placed:
        item = open_items.get(one.position)
        if item is not None and item.state is State.PENDING and one.attempt > item.attempt:
            yield one


async def _held(store: Store, sender: Sender, placed: Sequence[Placed]) -> Sequence[Placed]:
    """Those that hold what their item is; the first error is raised, alone."""
    limiter, errors = anyio.CapacityLimiter(READS), list[Exception]()
    found: list[Placed] = []

    async def look(one: Placed) -> None:
        async with limiter:
            if errors:
                return
            try:
                page = await store.pending(one.position - 1, 1, float("inf"))
                item = page[0] if page and page[0].position == one.position else None
                if item is not None and item.attempts + 1 == one.attempt:
                    found.extend([one] if await sender.holds(one, item) else [])
            except (OSError, BatchInferError) as error:
                errors.append(error)

    async with anyio.create_task_group() as looking:
        for one in placed:
            looking.start_soon(look, one)
    if errors:
        raise errors[0]
    return sorted(found, key=lambda one: one.position)
