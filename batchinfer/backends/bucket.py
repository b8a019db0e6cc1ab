"""Async mode, first half: an item becomes an input object, whose event starts one prediction."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

import anyio.to_thread

from batchinfer.backends.files import Body, Loader
from batchinfer.backends.objects import Bucket, ObjectTooLarge
from batchinfer.domain import Failure, Item, Kind, Submitted
from batchinfer.flow.cargo import MEMORY, Cargo
from batchinfer.machine import shortage
from batchinfer.oscar.names import INPUTS, new_epoch, object_name, parse_name, payload_digest
from batchinfer.ports import Placed

LARGE: Final = 1 << 20
"""Bytes from which on a payload's digest is taken in a thread."""


class BucketBackend:
    """Submits items to the bucket of a service (contract section 2).

    `memory`: bytes of files that are read and uploaded at a time, or a budget shared with others.
    """

    def __init__(
        self, bucket: Bucket, loader: Loader, run_id: str, memory: int | Cargo = MEMORY
    ) -> None:
        self._bucket, self._loader, self._run_id = bucket, loader, run_id
        self._cargo = memory if isinstance(memory, Cargo) else Cargo(memory)
        self._epoch = new_epoch(secrets.token_bytes(6))
        self._doubtful: set[str] = set()
        """Names whose put was not answered: they may be there all the same."""
        self._unrecorded: dict[tuple[int, int], list[Placed]] = {}
        """What was found in the bucket for items that are not in the run yet."""

    async def attempt(self, item: Item, number: int) -> Submitted | Failure:
        """Put the item's payload under a name of its own; raises FatalError as the bucket does."""
        with self._cargo.room() as room:
            loaded = await self._loader.load_into(room, item)
            if isinstance(loaded, Failure):
                return loaded
            digest = await _digest(loaded.body)
            name = object_name(self._run_id, item.position, number, self._epoch + digest)
            try:
                for placed in self._unrecorded.get((item.position, number), ()):
                    if await self._is(placed, loaded.body, digest):
                        return Submitted(placed.name, loaded.inputs)
                refused = await self._put(name, loaded.body)
            except OSError as error:
                self._doubtful.add(name)
                short = getattr(error, "shortage", None) or shortage(error)
                return short or Failure("bucket_unreachable", str(error), Kind.UNAVAILABLE)
        return replace(refused or Submitted(name), inputs=loaded.inputs)

    def expect(self, placed: Placed) -> None:
        """Note an input object that may be that of an item which is not in the run yet."""
        self._unrecorded.setdefault((placed.position, placed.attempt), []).append(placed)

    async def holds(self, placed: Placed, item: Item) -> bool:
        """Whether the input object `placed` is what would be sent for `item` now.

        Raises as the bucket does.
        """
        with self._cargo.room() as room:
            loaded = await self._loader.load_into(room, item)
            if isinstance(loaded, Failure):
                return False
            return await self._is(placed, loaded.body, await _digest(loaded.body))

    async def _is(self, placed: Placed, body: Body, digest: str) -> bool:
        found = parse_name(self._run_id, placed.name)
        if found is None or found.digest is not None:
            return found is not None and found.digest == digest
        try:
            return await self._bucket.get(f"{INPUTS}{placed.name}.json", limit=len(body)) == body
        except ObjectTooLarge:
            return False

    async def _put(self, name: str, body: Body) -> Failure | None:
        key = f"{INPUTS}{name}.json"
        if name in self._doubtful and await self._bucket.exists(key):
            refused = None  # another put would start another prediction
        else:
            refused = await self._bucket.put(key, body)
        self._doubtful.discard(name)
        return refused


async def _digest(body: Body) -> str:
    if len(body) < LARGE:
        return payload_digest(body)
    return await anyio.to_thread.run_sync(payload_digest, body)
