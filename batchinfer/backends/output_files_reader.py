"""Reads the outputs of attempts that are files of any number and name (`OutputFilesProtocol`).

===================================  ===============================================================
what is there                        outcome
===================================  ===============================================================
each pattern is met                  what the files are, at once
no patterns; no change for a while   what the files are
a pattern is not met for a while     `outputs_incomplete`; if more comes, the files are looked at
                                     again: a late output is a result
too large, together                  `reply_too_large`; they are not read
gone, or other bytes than listed     it is waited: another listing shows what is there now
===================================  ===============================================================

An object of S3 is there as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TypeAlias

import anyio.to_thread

from batchinfer.backends.bucket_client import BucketClient, ObjectTooLarge
from batchinfer.backends.output_failures import oversized_output_failure
from batchinfer.backends.output_pairs import OutputPair
from batchinfer.backends.output_reader import INLINE_DECODE_MAX_BYTES, OUTPUT_MEMORY_FACTOR
from batchinfer.backends.protocol_calls import call_decoder, check_outcome
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Outcome
from batchinfer.errors import FatalError
from batchinfer.protocols.output_files_protocol import OutputFilesProtocol

_Listing: TypeAlias = tuple[tuple[str, int, float | None], ...]
"""Key, size and time of each output of an attempt."""


class OutputFilesReader:
    """Reads outputs. Remembers how those looked that were listed by the latest poll.

    `max_reply`: bytes of all outputs of an attempt, at most.
    """

    def __init__(
        self,
        bucket: BucketClient,
        protocol: OutputFilesProtocol,
        redactor: Redactor,
        max_reply: int,
    ) -> None:
        self._bucket, self._protocol = bucket, protocol
        self._redactor, self._max_reply = redactor, max_reply
        self._last_seen: dict[str, _Listing] = {}
        self.quiet_seconds = protocol.quiet_seconds
        """Seconds without a change, after which the outputs of an attempt are complete."""

    def has_changed(self, group: OutputPair) -> bool:
        """Whether the outputs are others than when this was asked before, or are new."""
        listing = tuple((each.key, each.size, each.last_modified) for each in group.files)
        has_changed = self._last_seen.get(group.base_name) != listing
        self._last_seen[group.base_name] = listing
        return has_changed

    def forget_all_but(self, stems: Collection[str]) -> None:
        """Forget outputs that are no longer listed, or whose items are done."""
        self._last_seen = {
            stem: listing for stem, listing in self._last_seen.items() if stem in stems
        }

    def estimate_memory(self, group: OutputPair) -> int:
        """Bytes of memory that reading the outputs takes."""
        size = _sum_sizes(group)
        return OUTPUT_MEMORY_FACTOR * size if size <= self._max_reply else 0

    def may_be_complete(self, group: OutputPair, *, is_quiet: bool) -> bool:
        """Whether it is time to read them. `is_quiet`: nothing has changed for `quiet_seconds`."""
        if is_quiet:
            return True
        return bool(self._protocol.patterns) and not self._find_missing(group)

    async def read(self, group: OutputPair) -> Outcome | None:
        """What the outputs are; None: they have changed since they were listed.

        Raises FatalError, and as the bucket does.
        """
        if missing := self._find_missing(group):
            return self._protocol.explain_incomplete(missing, self._list_names(group))
        size = _sum_sizes(group)
        if size > self._max_reply:
            return oversized_output_failure(group, size, self._max_reply)
        contents = []
        for listed in group.files:
            try:
                data = await self._bucket.get(listed.key, max_bytes=self._max_reply)
            except ObjectTooLarge as error:  # it has grown since it was listed
                return oversized_output_failure(group, error.size, self._max_reply)
            if data is None or len(data) != listed.size:
                return None
            contents.append(data)
        files = dict(zip(self._list_names(group), contents, strict=True))
        decode = partial(self._decode, group.base_name, files)
        if size <= INLINE_DECODE_MAX_BYTES:
            return decode()
        return await anyio.to_thread.run_sync(decode, abandon_on_cancel=True)

    def _decode(self, stem: str, files: dict[str, bytes]) -> Outcome:
        decoded = call_decoder(self._protocol.decode_files, stem, files)
        outcome = check_outcome(decoded, next(iter(files.values())))
        if isinstance(outcome, FatalError):
            raise FatalError(outcome.code, self._redactor.redact_text(outcome.message))
        return outcome

    def _find_missing(self, group: OutputPair) -> list[str]:
        return list(self._protocol.find_missing(group.base_name, self._list_names(group)))

    def _list_names(self, group: OutputPair) -> list[str]:
        """Their names without the prefix, in key order."""
        prefix = self._protocol.outputs_prefix
        return [each.key.removeprefix(prefix) for each in group.files]


def _sum_sizes(group: OutputPair) -> int:
    return sum(each.size for each in group.files)
