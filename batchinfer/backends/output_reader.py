"""Reads what a pair of outputs says, as far as that can be decided yet.

The log and the reply of an attempt arrive in random order, or never:

===================  ==========================================================================
what is there        outcome
===================  ==========================================================================
log tells a failure  that failure, at once: a failed prediction has no reply
log says "saved"     the reply; or the orphan under the name that the log tells
                     (`orphan_outputs.py`): at once if the log shows that it is one, else after the
                     grace period; then `output_lost`
log says neither     the reply if there is one; else, after the grace period, what the protocol's
                     `explain_missing` returns
reply alone          after the grace period, a reply without a log
reply cut short      read again until the grace period is over; then that failure
too large            `reply_too_large`; it is not read
===================  ==========================================================================
"""

from __future__ import annotations

from functools import partial

import anyio.to_thread

from batchinfer.backends.bucket_client import BucketClient, ObjectTooLarge
from batchinfer.backends.output_failures import oversized_output_failure, truncated_output_failure
from batchinfer.backends.output_pairs import OutputPair
from batchinfer.backends.protocol_calls import call_decoder, check_outcome
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, FailureKind, Outcome
from batchinfer.errors import FatalError
from batchinfer.protocols.inference_protocol import BucketProtocol, SavedOutput

INLINE_DECODE_MAX_BYTES = 1 << 16
"""Bytes of an output that are read on the event loop; more would make others wait."""
OUTPUT_MEMORY_FACTOR = 4
"""How many times its size a reply takes in memory while it is read: bytes, text, data."""


class OutputReader:
    """Reads pairs of outputs. `max_reply`: bytes of an output, or a log, at most."""

    def __init__(
        self, bucket: BucketClient, protocol: BucketProtocol, redactor: Redactor, max_reply: int
    ) -> None:
        self._bucket, self._protocol = bucket, protocol
        self._redactor, self._max_reply = redactor, max_reply

    def estimate_memory(self, pair: OutputPair) -> int:
        """Bytes of memory that reading the pair takes."""
        return OUTPUT_MEMORY_FACTOR * sum(
            e.size for e in pair.listed_objects if e.size <= self._max_reply
        )

    def is_oversized(self, pair: OutputPair) -> bool:
        """Whether an object of the pair is said to be larger than is read."""
        return self._find_oversized(pair) is not None

    async def read_pair(
        self, pair: OutputPair, *, within_grace: bool
    ) -> Outcome | SavedOutput | None:
        """What the pair says; SavedOutput: an orphan has to be found; None: too early to decide.

        `within_grace`: whether what is missing is still waited for. Raises FatalError, and as the
        bucket does.
        """
        try:
            return self._find_oversized(pair) or await self._read_pair(
                pair, within_grace=within_grace
            )
        except ObjectTooLarge as error:  # it has grown since it was listed
            return oversized_output_failure(pair, error.size, self._max_reply)

    async def read_orphan(
        self, pair: OutputPair, saved: SavedOutput, *, within_grace: bool
    ) -> Outcome | None:
        """What a pair says whose reply is an orphan; None and raises as `read_pair`."""
        try:
            if oversized := self._find_oversized(pair):
                return oversized
            log = await self._read_log(pair)
            return await self._read_output(pair, log, saved, within_grace=within_grace)
        except ObjectTooLarge as error:
            return oversized_output_failure(pair, error.size, self._max_reply)

    async def _read_pair(
        self, pair: OutputPair, *, within_grace: bool
    ) -> Outcome | SavedOutput | None:
        log = await self._read_log(pair)
        log_result = None if log is None else self._decode_log(log)
        if isinstance(log_result, Failure):
            return log_result
        if pair.json is not None:
            if log is None and within_grace:
                return None  # the log may follow
            return await self._read_output(pair, log, log_result, within_grace=within_grace)
        if log_result is not None:
            return log_result if log_result.is_orphan or not within_grace else None
        return None if within_grace else self._protocol.explain_missing(log or b"")

    async def _read_output(
        self, pair: OutputPair, log: bytes | None, saved: SavedOutput | None, *, within_grace: bool
    ) -> Outcome | None:
        """What the pair's json says; None: not yet whole, or gone."""
        if pair.json is None:
            return None
        data = await self._bucket.get(pair.json.key, max_bytes=self._max_reply)
        if data is None:
            return None
        if len(data) != pair.json.size:  # cut off on its way, or replaced since it was listed
            return None if within_grace else truncated_output_failure(pair.json, len(data))
        text = (log or b"").decode(errors="replace")
        decode = partial(self._decode_output, data, text, is_saved=saved is not None)
        if len(data) <= INLINE_DECODE_MAX_BYTES:
            outcome = decode()
        else:
            outcome = await anyio.to_thread.run_sync(decode, abandon_on_cancel=True)
        if within_grace and isinstance(outcome, Failure) and outcome.kind is FailureKind.TRANSIENT:
            return None  # it may be replaced by a whole one
        return outcome

    async def _read_log(self, pair: OutputPair) -> bytes | None:
        if pair.log is None:
            return None
        return await self._bucket.get(pair.log.key, max_bytes=self._max_reply)

    def _decode_log(self, log: bytes) -> SavedOutput | Failure | None:
        decoded = call_decoder(self._protocol.decode_log, log)
        if decoded is None or isinstance(decoded, SavedOutput):
            return decoded
        outcome = self._raise_if_fatal(check_outcome(decoded, log))
        return outcome if isinstance(outcome, Failure) else None

    def _decode_output(self, data: bytes, log: str, *, is_saved: bool) -> Outcome:
        decoded = call_decoder(self._protocol.decode_output, data, log, is_saved=is_saved)
        return self._raise_if_fatal(check_outcome(decoded, data))

    def _raise_if_fatal(self, outcome: Outcome | FatalError) -> Outcome:
        if isinstance(outcome, FatalError):
            raise FatalError(outcome.code, self._redactor.redact_text(outcome.message))
        return outcome

    def _find_oversized(self, pair: OutputPair) -> Failure | None:
        for entry in pair.listed_objects:
            if entry.size > self._max_reply:
                return oversized_output_failure(pair, entry.size, self._max_reply)
        return None
