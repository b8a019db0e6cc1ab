"""Delivery through a bucket (async mode), sending: an item becomes an input object.

Each input object that is put starts one prediction.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from typing import Final

import anyio.to_thread

from batchinfer.backends.bucket_client import BucketClient, ObjectTooLarge
from batchinfer.backends.loaded_payload import PayloadBody
from batchinfer.backends.payload_loader import PayloadLoader
from batchinfer.domain import Failure, FailureKind, Item, Submitted
from batchinfer.flow.memory_budget import DEFAULT_MEMORY_BYTES, MemoryBudget
from batchinfer.machine_limits import detect_shortage
from batchinfer.ports import SubmittedObject
from batchinfer.protocols.inference_protocol import HEAD_BYTES, BucketProtocol
from batchinfer.protocols.object_ids import make_digest, new_epoch

THREADED_DIGEST_MIN_BYTES: Final = 1 << 20
"""Bytes from which on a payload's digest is taken in a thread."""


class BucketBackend:
    """The port `Backend` in async mode: submits items to the bucket of a service.

    `memory`: bytes of files that are read and uploaded at a time, or a budget shared with others.
    `epoch`: what tells its objects from those of other processes; None: a new one.
    """

    def __init__(
        self,
        bucket: BucketClient,
        protocol: BucketProtocol,
        payload_loader: PayloadLoader,
        run_id: str,
        memory: int | MemoryBudget = DEFAULT_MEMORY_BYTES,
        *,
        epoch: str | None = None,
    ) -> None:
        self._bucket, self._protocol = bucket, protocol
        self._payload_loader, self._run_id = payload_loader, run_id
        self._memory_budget = memory if isinstance(memory, MemoryBudget) else MemoryBudget(memory)
        self._epoch = epoch or new_epoch(secrets.token_bytes(6))
        self._unconfirmed_puts: set[str] = set()
        """Names whose put was not answered: they may be there all the same."""
        self._unconfirmed_attempts: set[tuple[int, int]] = set()
        """Attempts, by position and number, that another process of this epoch may have made."""
        self._unrecorded_inputs: dict[tuple[int, int], list[SubmittedObject]] = {}
        """What was found in the bucket for items that are not in the run yet."""

    async def attempt(self, item: Item, number: int) -> Submitted | Failure:
        """Put the item's payload under a name of its own; raises FatalError as the bucket does."""
        with self._memory_budget.new_reservation() as reservation:
            loaded = await self._payload_loader.load_within(reservation, item)
            if isinstance(loaded, Failure):
                return loaded
            body_sha256 = await _compute_sha256(loaded.body)
            digest = make_digest(body_sha256)
            name = self._protocol.make_object_name(
                self._run_id, item.position, number, self._epoch + digest
            )
            path = item.files[0].path if item.files else ""
            name = self._protocol.add_extension(name, path, bytes(loaded.body[:HEAD_BYTES]))
            place = (item.position, number)
            if place in self._unconfirmed_attempts:
                self._unconfirmed_puts.add(name)
            try:
                for input_object in self._unrecorded_inputs.get(place, ()):
                    if await self._holds_payload(input_object, loaded.body, digest):
                        return Submitted(input_object.name, loaded.inputs)
                failure = await self._put_once(name, loaded.body, body_sha256)
            except OSError as error:
                self._unconfirmed_puts.add(name)
                machine_shortage = getattr(error, "shortage", None) or detect_shortage(error)
                return machine_shortage or Failure(
                    "bucket_unreachable", str(error), FailureKind.UNAVAILABLE
                )
        self._unconfirmed_attempts.discard(place)
        if failure is not None:
            return replace(failure, inputs=loaded.inputs)
        return Submitted(name, loaded.inputs)

    def remember(self, input_object: SubmittedObject) -> None:
        """Note an input object that may be that of an item which is not in the run yet."""
        self._unrecorded_inputs.setdefault(
            (input_object.position, input_object.attempt), []
        ).append(input_object)

    def has_remembered(self, position: int, number: int) -> bool:
        """Whether an input object was noted that may be this attempt's."""
        return (position, number) in self._unrecorded_inputs

    def mark_unconfirmed(self, position: int, number: int) -> None:
        """Look for the object of this attempt before it is put: it may be there already."""
        self._unconfirmed_attempts.add((position, number))

    async def matches(self, input_object: SubmittedObject, item: Item) -> bool:
        """Whether the input object is what would be sent for `item` now.

        Raises as the bucket does.
        """
        with self._memory_budget.new_reservation() as reservation:
            loaded = await self._payload_loader.load_within(reservation, item)
            if isinstance(loaded, Failure):
                return False
            digest = make_digest(await _compute_sha256(loaded.body))
            return await self._holds_payload(input_object, loaded.body, digest)

    async def _holds_payload(
        self, input_object: SubmittedObject, body: PayloadBody, digest: str
    ) -> bool:
        parsed_name = self._protocol.parse_object_name(self._run_id, input_object.name)
        if parsed_name is None or parsed_name.digest is not None:
            return parsed_name is not None and parsed_name.digest == digest
        key = self._protocol.make_input_key(input_object.name)
        try:
            return await self._bucket.get(key, max_bytes=len(body)) == body
        except ObjectTooLarge:
            return False

    async def _put_once(self, name: str, body: PayloadBody, sha256: str) -> Failure | None:
        key = self._protocol.make_input_key(name)
        if name in self._unconfirmed_puts and await self._bucket.exists(key):
            failure = None  # another put would start another prediction
        else:
            failure = await self._bucket.put(key, body, sha256=sha256)
        self._unconfirmed_puts.discard(name)
        return failure


async def _compute_sha256(body: PayloadBody) -> str:
    """In hexadecimal. Its beginning becomes part of the object's name; all of it is signed."""
    if len(body) < THREADED_DIGEST_MIN_BYTES:
        return hashlib.sha256(body).hexdigest()
    return (await anyio.to_thread.run_sync(hashlib.sha256, body)).hexdigest()
