"""Async mode, first half: an item becomes an input object, whose event starts one prediction."""

from __future__ import annotations

from dataclasses import replace

from batchinfer.backends.files import Loader
from batchinfer.backends.objects import Bucket
from batchinfer.domain import Failure, Item, Kind, Submitted
from batchinfer.flow.cargo import MEMORY, Cargo
from batchinfer.machine import shortage
from batchinfer.oscar.names import INPUTS, object_name


class BucketBackend:
    """Submits items to the bucket of a service (contract section 2).

    `memory`: bytes of files that are read and uploaded at a time.
    """

    def __init__(self, bucket: Bucket, loader: Loader, run_id: str, memory: int = MEMORY) -> None:
        self._bucket, self._loader, self._run_id = bucket, loader, run_id
        self._cargo = Cargo(memory)

    async def attempt(self, item: Item, number: int) -> Submitted | Failure:
        """Put the item's payload under a name of its own; raises FatalError as the bucket does."""
        name = object_name(self._run_id, item.position, number)
        with self._cargo.room() as room:
            loaded = await self._loader.load_into(room, item)
            if isinstance(loaded, Failure):
                return loaded
            try:
                refused = await self._bucket.put(f"{INPUTS}{name}.json", loaded.body)
            except OSError as error:
                short = getattr(error, "shortage", None) or shortage(error)
                return short or Failure("bucket_unreachable", str(error), Kind.UNAVAILABLE)
        return replace(refused or Submitted(name), inputs=loaded.inputs)
