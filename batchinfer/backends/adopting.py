"""Input objects that were put, but not recorded: what a kill between the two leaves.

Each of them has started a prediction, so its item is not sent again, if that is surely this item's:
the object must hold what would be sent for the item now. Any other may be of another copy of this
run directory, or of an item that changed since; it is left alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import anyio

from batchinfer.backends.objects import Bucket, Entry, Listing
from batchinfer.domain import Item, Open, State
from batchinfer.errors import BatchInferError
from batchinfer.oscar.names import INPUTS, parse_input
from batchinfer.ports import Placed, Store

Holds: TypeAlias = Callable[[Placed, Item], Awaitable[bool]]
"""Whether an input object holds what would be sent for an item now."""

READS = 16
"""Payloads made again at a time."""


async def adopt_unrecorded(
    bucket: Bucket,
    run_id: str,
    store: Store,
    holds: Holds,
    adopt: Callable[[Sequence[Placed]], Awaitable[None]],
) -> None:
    """Find the input objects that pending items can adopt. Raises as the bucket does."""
    listing = Listing(bucket, f"{INPUTS}{run_id}-")
    while listing.has_more():
        placed = list(_placed(run_id, await listing.page()))
        open_items = await store.unfinished({one.position for one in placed})
        await adopt(await _held(store, holds, list(_unrecorded(placed, open_items))))


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


async def _held(store: Store, holds: Holds, placed: Sequence[Placed]) -> Sequence[Placed]:
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
                    found.extend([one] if await holds(one, item) else [])
            except (OSError, BatchInferError) as error:
                errors.append(error)

    async with anyio.create_task_group() as looking:
        for one in placed:
            looking.start_soon(look, one)
    if errors:
        raise errors[0]
    return sorted(found, key=lambda one: one.position)
