"""Delivery through a bucket (async mode), receiving: polls for outputs.

The bucket's listing is the truth. Each poll decides what can be decided (`output_reader.py`), and
remembers only the pairs that are incomplete. In between, outputs that the store's notifications
name are read at once; what they do not settle (a missing half, an orphan, a size) is left to polls.

Only outputs whose names this run directory has recorded count (`output_pairs.is_recorded`). An
orphan is taken once, and deleted once that is recorded. With `clean`, so are the input and the
outputs that brought an item its final outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio

from batchinfer.backends.bucket_client import (
    BucketClient,
    ListedObject,
    Listing,
    delete_keys,
    for_each,
)
from batchinfer.backends.input_recovery import InputVerifier, recover_unrecorded_inputs
from batchinfer.backends.orphan_outputs import OrphanResolver, UnresolvedReason
from batchinfer.backends.output_failures import REPLY_TOO_LARGE
from batchinfer.backends.output_files_reader import OutputFilesReader
from batchinfer.backends.output_notifications import OutputNotifications
from batchinfer.backends.output_pairs import (
    OutputPair,
    drop_stale_outputs,
    group_pairs,
    is_recorded,
)
from batchinfer.backends.output_reader import OutputReader
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, OpenItem, Outcome
from batchinfer.flow.memory_budget import (
    DEFAULT_MAX_REPLY_BYTES,
    DEFAULT_MEMORY_BYTES,
    MemoryBudget,
)
from batchinfer.ports import (
    EmitOutput,
    OpenItems,
    OutputArrival,
    PollAdvice,
    RecoverableItems,
    SubmittedObject,
)
from batchinfer.protocols.inference_protocol import BucketProtocol, SavedOutput
from batchinfer.protocols.output_files_protocol import OutputFilesProtocol

MAX_CONCURRENT_FETCHES = 16
"""Pairs fetched at a time."""
MAX_REMEMBERED_EMITTED = 10_000
"""Pairs between two polls after which those of finished items are forgotten."""


@dataclass(frozen=True, slots=True)
class OrphanCandidate:
    """A pair whose output may lie under a name of its own; decided at the end of the poll."""

    pair: OutputPair
    item: OpenItem
    orphan_key: str
    """Its key."""
    saved: SavedOutput


class BucketOutputWatcher:
    """Watches the outputs of one run. Remembers only incomplete pairs and recent outcomes."""

    def __init__(
        self,
        bucket: BucketClient,
        *,
        protocol: BucketProtocol,
        run_id: str,
        redactor: Redactor,
        grace_seconds: float = 30.0,
        clean: bool = False,
        memory: int | MemoryBudget = DEFAULT_MEMORY_BYTES,
        max_reply: int = DEFAULT_MAX_REPLY_BYTES,
        verifier: InputVerifier | None = None,
        notifications: OutputNotifications | None = None,
    ) -> None:
        """`grace_seconds`: how long a missing half is waited for. `clean`: delete what is recorded.

        `memory`: bytes of outputs that are read at a time, or a budget shared with others.
        `max_reply`: bytes of an output, or a log, at most. `verifier`: says whether an input
        object is an item's; without it no unrecorded object is adopted. `notifications`: what the
        store tells of this run's outputs.
        """
        self._bucket, self._protocol, self._run_id = bucket, protocol, run_id
        self._redactor, self._grace_seconds = redactor, grace_seconds
        self._memory_budget = memory if isinstance(memory, MemoryBudget) else MemoryBudget(memory)
        self._reader = OutputReader(bucket, protocol, redactor, max_reply)
        self._files_reader = (
            OutputFilesReader(bucket, protocol, redactor, max_reply)
            if isinstance(protocol, OutputFilesProtocol)
            else None
        )
        self._verifier = verifier
        self._notifications = notifications or OutputNotifications(protocol, run_id)
        self._incomplete_since: dict[str, float] = {}
        self._poll_started_at, self._last_poll_succeeded = 0.0, True
        """When the poll began; while the store is down, the first poll that failed: time in which
        nothing can arrive does not count for a missing half."""
        self._emitted: set[str] = set()
        self._orphan_resolver = OrphanResolver(bucket)
        self._orphan_candidates: list[OrphanCandidate] = []
        self._saved_by_log: dict[str, tuple[ListedObject, SavedOutput]] = {}
        """What logs said whose orphans are not decided: they need not be fetched again."""
        self._clean = clean
        self._deletable: list[tuple[OutputPair, str]] = []
        """With the key of the input."""

    async def poll(self, items: OpenItems, emit: EmitOutput) -> None:
        """See ports.OutputWatcher."""
        lowest_position = await items.fetch_lowest_open_position()
        if lowest_position is None:
            return
        if self._last_poll_succeeded:
            self._poll_started_at, self._last_poll_succeeded = anyio.current_time(), False
        seen: set[str] = set()
        self._orphan_candidates.clear()
        self._notifications.begin_poll()
        listing = Listing(
            self._bucket,
            f"{self._protocol.outputs_prefix}{self._run_id}-",
            start_after=self._protocol.make_start_after(self._run_id, lowest_position),
        )
        carried_over: list[OutputPair] = []
        while listing.has_more():
            listed = [entry for pair in carried_over for entry in pair.listed_objects]
            listed += await listing.next_page()
            pairs, carried_over = group_pairs(self._protocol, self._run_id, listed), []
            if pairs and listing.has_more():
                carried_over = [pairs.pop()]  # it may go on on the next page: read it there, whole
            seen |= await self._emit_decided(pairs, items, emit)
            await self.poll_named(items, emit)  # a long listing must not hold them up
        await for_each(
            self._orphan_candidates,
            lambda stray: self._process_orphan_candidate(stray, emit),
            max_concurrent=MAX_CONCURRENT_FETCHES,
        )
        self._emitted &= seen
        if self._files_reader is not None:
            self._files_reader.forget_all_but(seen)
        self._saved_by_log = {
            base: known for base, known in self._saved_by_log.items() if base in seen
        }
        self._last_poll_succeeded, poll_seconds = True, anyio.current_time() - self._poll_started_at
        incomplete = self._incomplete_since.items()
        self._incomplete_since = {
            pair: at + poll_seconds for pair, at in incomplete if pair in seen
        }
        self._notifications.complete_poll(
            frozenset(self._incomplete_since) | self._saved_by_log.keys()
        )

    async def listen(self, wakeup: Callable[[], None]) -> None:
        """See ports.NotifiedWatcher."""
        await self._notifications.listen(wakeup)

    def advise(self) -> PollAdvice:
        """See ports.NotifiedWatcher."""
        return self._notifications.advise(has_orphans=bool(self._saved_by_log))

    async def poll_named(self, items: OpenItems, emit: EmitOutput) -> None:
        """See ports.NotifiedWatcher."""
        pairs = self._notifications.take_due()
        if not pairs:
            return
        open_items = await items.fetch_open({pair.parsed_name.position for pair in pairs})
        new_pairs: list[tuple[OutputPair, OpenItem]] = []
        for pair in pairs:
            item = open_items.get(pair.parsed_name.position)
            if item is None or pair.base_name in self._emitted:
                self._notifications.forget(pair.base_name)
            elif is_recorded(self._protocol, item, pair.base_name, pair.parsed_name):
                new_pairs.append((pair, item))
            else:
                self._notifications.postpone(pair.base_name)
        if self._files_reader is not None:
            if new_pairs:  # how many files there will be, no name says: list them
                self._notifications.want_poll()
            return
        try:
            await for_each(
                new_pairs,
                lambda each: self._process_named(*each, emit),
                max_concurrent=MAX_CONCURRENT_FETCHES,
            )
        except OSError:
            self._notifications.want_poll()
            raise

    async def find_unrecorded(
        self,
        items: RecoverableItems,
        mark_submitted: Callable[[Sequence[SubmittedObject]], Awaitable[None]],
    ) -> None:
        """See ports.OutputWatcher."""
        if self._verifier is not None:
            await recover_unrecorded_inputs(
                self._bucket,
                self._protocol,
                self._run_id,
                items=items,
                verifier=self._verifier,
                mark_submitted=mark_submitted,
            )

    async def cleanup(self, items: OpenItems) -> None:
        """See ports.OutputWatcher."""
        await self._orphan_resolver.delete_taken()
        if len(self._emitted) > MAX_REMEMBERED_EMITTED:
            await self._forget_finished(items)
        while self._deletable:
            batch = self._deletable[-MAX_CONCURRENT_FETCHES:]
            unfinished = await items.fetch_open({pair.parsed_name.position for pair, _ in batch})
            keys = [
                key
                for pair, input_key in batch
                if pair.parsed_name.position not in unfinished
                for key in (input_key, *(entry.key for entry in pair.listed_objects))
            ]
            await delete_keys(self._bucket, keys)
            del self._deletable[-len(batch) :]

    async def _forget_finished(self, items: OpenItems) -> None:
        """Between rare polls: nothing more is emitted of finished items."""
        parse = self._protocol.parse_object_name
        names = {name: parse(self._run_id, name) for name in self._emitted}
        unfinished = await items.fetch_open({name.position for name in names.values() if name})
        self._emitted = {
            base_name for base_name, name in names.items() if name and name.position in unfinished
        }

    # Deciding -------------------------------------------------------------------------------------

    async def _emit_decided(
        self, pairs: Sequence[OutputPair], items: OpenItems, emit: EmitOutput
    ) -> set[str]:
        """Emit what a page of pairs says of open items; returns the names of their pairs."""
        open_items = await items.fetch_open({pair.parsed_name.position for pair in pairs})
        candidates = [(pair, open_items.get(pair.parsed_name.position)) for pair in pairs]
        recorded = [
            (pair, item)
            for pair, item in candidates
            if item and is_recorded(self._protocol, item, pair.base_name, pair.parsed_name)
        ]
        if self._files_reader is not None:
            self._note_changes(self._files_reader, [pair for pair, _ in recorded])
        new_pairs = [(pair, item) for pair, item in recorded if pair.base_name not in self._emitted]
        process = self._process_pair if self._files_reader is None else self._process_files
        await for_each(
            new_pairs,
            lambda each: process(*each, emit),
            max_concurrent=MAX_CONCURRENT_FETCHES,
        )
        return {pair.base_name for pair, _ in recorded}

    def _note_changes(self, reader: OutputFilesReader, groups: Sequence[OutputPair]) -> None:
        """What has changed is waited for again, and read again if it was a failure before."""
        for group in groups:
            if reader.has_changed(group):
                self._incomplete_since[group.base_name] = self._poll_started_at
                self._emitted.discard(group.base_name)

    async def _process_files(self, group: OutputPair, item: OpenItem, emit: EmitOutput) -> None:
        """Emit what the outputs of an attempt are, if they are complete."""
        reader = self._files_reader
        assert reader is not None  # noqa: S101 - see `_emit_decided`
        is_quiet = not self._is_within(group, reader.quiet_seconds)
        if reader.may_be_complete(group, is_quiet=is_quiet):
            with self._memory_budget.new_reservation() as reservation:
                await reservation.acquire(reader.estimate_memory(group))
                outcome = await reader.read(group)
                await self._emit_listed(group, item, outcome, emit)

    async def _process_pair(self, listed: OutputPair, item: OpenItem, emit: EmitOutput) -> None:
        """Emit what a pair says, if it can be decided yet."""
        input_key = self._protocol.make_input_key(listed.base_name)
        pair = await drop_stale_outputs(self._bucket, listed, input_key)
        if pair is None:
            return
        cached = self._saved_by_log.get(pair.base_name)
        if cached is not None and pair.json is None and pair.log == cached[0]:
            self._add_orphan_candidate(pair, item, cached[1])
            return
        with self._memory_budget.new_reservation() as reservation:
            await reservation.acquire(self._reader.estimate_memory(pair))
            outcome = await self._reader.read_pair(pair, within_grace=self._is_within_grace(pair))
            if isinstance(outcome, SavedOutput):
                self._add_orphan_candidate(pair, item, outcome)
            else:
                await self._emit_listed(pair, item, outcome, emit)

    async def _process_named(self, pair: OutputPair, item: OpenItem, emit: EmitOutput) -> None:
        """Emit what a pair says whose objects were only named: nothing that is missing counts."""
        if self._reader.is_oversized(pair):
            self._notifications.want_poll()  # the listing knows the size
            return
        with self._memory_budget.new_reservation() as reservation:
            await reservation.acquire(self._reader.estimate_memory(pair))
            outcome = await self._reader.read_pair(pair, within_grace=True)
            if isinstance(outcome, SavedOutput):  # whose it is, only all logs together show
                if pair.log is not None:
                    self._saved_by_log[pair.base_name] = pair.log, outcome
            elif outcome is not None:
                await self._emit_outcome(pair, item, outcome, emit)
                self._notifications.forget(pair.base_name)

    def _add_orphan_candidate(self, pair: OutputPair, item: OpenItem, saved: SavedOutput) -> None:
        orphan_key = self._protocol.make_orphan_key(saved)
        if pair.log is not None:
            self._saved_by_log[pair.base_name] = pair.log, saved
            self._orphan_resolver.claim(orphan_key, pair.base_name, pair.log.last_modified)
        self._orphan_candidates.append(OrphanCandidate(pair, item, orphan_key, saved))

    async def _process_orphan_candidate(self, candidate: OrphanCandidate, emit: EmitOutput) -> None:
        """The same of a pair whose output has another name, once all logs have been seen."""
        pair = candidate.pair
        resolution = await self._orphan_resolver.resolve(
            candidate.orphan_key, pair.base_name, anyio.current_time()
        )
        match resolution:
            case UnresolvedReason.AMBIGUOUS:
                uncertain = self._protocol.explain_uncertain(candidate.saved)
                await self._emit_listed(pair, candidate.item, uncertain, emit)
            case UnresolvedReason.SETTLING:
                await self._emit_listed(pair, candidate.item, None, emit)
            case UnresolvedReason.MISSING:
                is_contested = self._orphan_resolver.is_contested(candidate.orphan_key)
                failure = (
                    self._protocol.explain_uncertain(candidate.saved)
                    if is_contested
                    else self._protocol.explain_lost(candidate.saved)
                )
                outcome = None if self._is_within_grace(pair) else failure
                await self._emit_listed(pair, candidate.item, outcome, emit)
            case entry:
                await self._process_orphan(candidate, entry, emit)

    async def _process_orphan(
        self, candidate: OrphanCandidate, orphan: ListedObject, emit: EmitOutput
    ) -> None:
        pair = OutputPair(
            candidate.pair.base_name, candidate.pair.parsed_name, candidate.pair.log, orphan
        )
        with self._memory_budget.new_reservation() as reservation:
            await reservation.acquire(self._reader.estimate_memory(pair))
            outcome = await self._reader.read_orphan(
                pair, candidate.saved, within_grace=self._is_within_grace(pair)
            )
            if outcome is not None:
                self._orphan_resolver.mark_taken(candidate.orphan_key, pair.base_name, orphan)
            await self._emit_listed(candidate.pair, candidate.item, outcome, emit)

    async def _emit_listed(
        self, pair: OutputPair, item: OpenItem, outcome: Outcome | None, emit: EmitOutput
    ) -> None:
        """Emit what a listed pair says; None: it is to be seen again."""
        if outcome is None:
            self._incomplete_since.setdefault(pair.base_name, self._poll_started_at)
            return
        self._notifications.note_listed(pair)
        await self._emit_outcome(pair, item, outcome, emit)

    async def _emit_outcome(
        self, pair: OutputPair, item: OpenItem, outcome: Outcome, emit: EmitOutput
    ) -> None:
        self._emitted.add(pair.base_name)
        self._saved_by_log.pop(pair.base_name, None)
        is_kept = isinstance(outcome, Failure) and outcome.code == REPLY_TOO_LARGE
        if self._clean and not is_kept:
            name = item.objects.get(pair.parsed_name.attempt, pair.base_name)
            self._deletable.append((pair, self._protocol.make_input_key(name)))
        outcome = self._redactor.redact_outcome(outcome)
        size = sum(entry.size for entry in pair.listed_objects)
        await emit(OutputArrival(item, pair.parsed_name.attempt, outcome, size))

    def _is_within_grace(self, pair: OutputPair) -> bool:
        """Whether what is missing of a pair is still waited for."""
        return self._is_within(pair, self._grace_seconds)

    def _is_within(self, pair: OutputPair, seconds: float) -> bool:
        incomplete_since = self._incomplete_since.get(pair.base_name)
        return incomplete_since is None or self._poll_started_at - incomplete_since < seconds
