"""Async mode, second half: what has turned up in `outputs/` (contract section 2).

The bucket's listing is the truth. `.log` and `.json` arrive in random order, or never, so each look
decides what can be decided and remembers only the pairs that are half there:

===================  ==========================================================================
what is there        outcome
===================  ==========================================================================
log tells a failure  that failure, at once: a failed prediction has no json
log says "saved"     the json; or the orphan under the name the log tells (`orphans.py`): without
                     delay if the log shows that it is one (DEEPaaS 2.6.0), else after the grace
                     period; then `output_lost`
log says neither     the json if there is one; else, after the grace period, `model_killed`
json alone           after the grace period, a reply without a log
json cut short       looked at again until the grace period is over; then that failure
too large            `reply_too_large`; it is not read
===================  ==========================================================================

Only outputs whose names this run directory has recorded are answers (`pairs.is_recorded`). An
orphan is taken once, and deleted when that is on record. With `clean`, so are the input and the
outputs that brought an item its final outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

from batchinfer.backends.adopting import Sender, adopt_unrecorded
from batchinfer.backends.losses import REPLY_TOO_LARGE, cut_off, lost, reply_too_large, uncertain
from batchinfer.backends.objects import Bucket, Entry, Listing, ObjectTooLarge, delete_all
from batchinfer.backends.orphans import Doubt, Orphans
from batchinfer.backends.pairs import Pair, is_recorded, pairs_of, without_stale
from batchinfer.backends.redact import Redactor
from batchinfer.domain import Failure, Kind, Open, Outcome
from batchinfer.errors import BatchInferError
from batchinfer.flow.cargo import MAX_REPLY, MEMORY, Cargo
from batchinfer.oscar.faults import raise_if_hopeless
from batchinfer.oscar.names import OUTPUTS, start_after
from batchinfer.oscar.reply import Saved, killed, orphan_of, read_log, read_output
from batchinfer.ports import Arrival, Emit, Placed, Store, Unfinished

T = TypeVar("T")

FETCHES = 16
"""Pairs fetched at a time."""
QUICK = 1 << 16
"""Bytes of an output that are read on the event loop; more would make others wait."""
COPIES = 4
"""How many times its size a reply takes in memory while it is read: bytes, text, data."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A pair whose output may lie under a name of its own; decided when the look has seen all."""

    pair: Pair
    item: Open
    orphan: str
    """Its key."""
    saved: Saved


class BucketWatcher:
    """Watches the outputs of one run. Remembers half pairs and what it has just told, no more."""

    def __init__(
        self,
        bucket: Bucket,
        *,
        run_id: str,
        redact: Redactor,
        grace: float = 30.0,
        clean: bool = False,
        memory: int | Cargo = MEMORY,
        max_reply: int = MAX_REPLY,
        sender: Sender | None = None,
    ) -> None:
        """`grace`: seconds a missing half is waited for. `clean`: delete what is on record.

        `memory`: bytes of outputs that are read at a time, or a budget shared with others.
        `max_reply`: bytes of an output, or a log, at most. `sender`: says whether an input object
        is an item's; without it nothing that was not recorded is adopted.
        """
        self._bucket, self._run_id, self._redact, self._grace = bucket, run_id, redact, grace
        self._cargo = memory if isinstance(memory, Cargo) else Cargo(memory)
        self._max_reply, self._sender = max_reply, sender
        self._half_since: dict[str, float] = {}
        self._moment, self._answered = 0.0, True
        """When the look began; or, as long as the store is away, the first in vain: time in which
        nothing can arrive does not count for a missing half."""
        self._told: set[str] = set()
        self._orphans, self._strays = Orphans(bucket), list[Stray]()
        self._saved: dict[str, tuple[Entry, Saved]] = {}
        """What logs said whose orphans are not decided: they are not fetched again every look."""
        self._clean = clean
        self._done: list[Pair] = []

    async def look(self, store: Unfinished, emit: Emit) -> None:
        """See ports.Watcher."""
        lowest = await store.lowest_unfinished()
        if lowest is None:
            return
        if self._answered:
            self._moment, self._answered = anyio.current_time(), False
        seen: set[str] = set()
        self._strays.clear()
        prefix, start = f"{OUTPUTS}{self._run_id}-", start_after(self._run_id, lowest)
        listing, kept = Listing(self._bucket, prefix, start_after=start), list[Pair]()
        while listing.has_more():
            entries = [entry for pair in kept for entry in pair.entries]
            pairs, kept = pairs_of(self._run_id, [*entries, *await listing.page()]), []
            if pairs and listing.has_more():
                kept = [pairs.pop()]  # it may go on on the next page: read it there, whole
            seen |= await self._told_of(pairs, store, emit)
        await self._each(self._strays, lambda stray: self._settle_stray(stray, emit))
        self._told &= seen
        self._saved = {base: known for base, known in self._saved.items() if base in seen}
        self._answered, lasted = True, anyio.current_time() - self._moment
        halves = self._half_since.items()
        self._half_since = {pair: at + lasted for pair, at in halves if pair in seen}

    async def placed(
        self, store: Store, adopt: Callable[[Sequence[Placed]], Awaitable[None]]
    ) -> None:
        """See ports.Watcher."""
        if self._sender is not None:
            await adopt_unrecorded(self._bucket, self._run_id, store, self._sender, adopt)

    async def tidy(self, store: Unfinished) -> None:
        """See ports.Watcher."""
        await self._orphans.tidy()
        while self._done:
            some = self._done[-FETCHES:]
            unfinished = await store.unfinished({pair.name.position for pair in some})
            final = [pair for pair in some if pair.name.position not in unfinished]
            await delete_all(self._bucket, [key for pair in final for key in pair.objects])
            del self._done[-len(some) :]

    # Deciding -------------------------------------------------------------------------------------

    async def _told_of(self, pairs: Sequence[Pair], store: Unfinished, emit: Emit) -> set[str]:
        """Tell what a page of pairs says of open items; which pairs were theirs."""
        open_items = await store.unfinished({pair.name.position for pair in pairs})
        asked = [(pair, open_items.get(pair.name.position)) for pair in pairs]
        theirs = [(pair, item) for pair, item in asked if item and is_recorded(pair, item)]
        fresh = [(pair, item) for pair, item in theirs if pair.base not in self._told]
        await self._each(fresh, lambda each: self._settle(*each, emit))
        return {pair.base for pair, _ in theirs}

    async def _each(self, things: Sequence[T], settle: Callable[[T], Awaitable[None]]) -> None:
        """Settle things, some at a time; raise the first error, alone."""
        limiter, errors = anyio.CapacityLimiter(FETCHES), list[Exception]()

        async def one(thing: T) -> None:
            async with limiter:
                if errors:
                    return
                try:
                    await settle(thing)
                except (OSError, BatchInferError) as error:
                    errors.append(error)

        async with anyio.create_task_group() as page:
            for thing in things:
                page.start_soon(one, thing)
        if errors:
            raise errors[0]

    async def _settle(self, listed: Pair, item: Open, emit: Emit) -> None:
        """Tell what a pair says, if it can be told yet."""
        pair = await without_stale(self._bucket, listed)
        if pair is None:
            return
        known = self._saved.get(pair.base)
        if known is not None and pair.json is None and pair.log == known[0]:
            self._note_stray(pair, item, known[1])
            return
        with self._cargo.room() as room:
            await room.take(self._weight(pair))
            try:
                found = await self._outcome(pair)
            except ObjectTooLarge as error:  # it has grown since it was listed
                found = reply_too_large(pair, error.size, self._max_reply)
            if isinstance(found, Saved):
                self._note_stray(pair, item, found)
            else:
                await self._tell(pair, item, found, emit)

    def _note_stray(self, pair: Pair, item: Open, saved: Saved) -> None:
        orphan = f"{OUTPUTS}{orphan_of(saved.path)}"
        if pair.log is not None:
            self._saved[pair.base] = pair.log, saved
            self._orphans.claim(orphan, pair.base, pair.log.modified)
        self._strays.append(Stray(pair, item, orphan, saved))

    async def _settle_stray(self, stray: Stray, emit: Emit) -> None:
        """The same of a pair whose output has another name, once all logs have been seen."""
        pair = stray.pair
        found = await self._orphans.find(stray.orphan, pair.base, anyio.current_time())
        match found:
            case Doubt.CONTESTED:
                await self._tell(pair, stray.item, uncertain(stray.saved), emit)
            case Doubt.SETTLING:
                await self._tell(pair, stray.item, None, emit)
            case Doubt.ABSENT:
                contested = self._orphans.is_contested(stray.orphan)
                failure = uncertain(stray.saved) if contested else lost(stray.saved)
                await self._tell(pair, stray.item, self._late(pair, failure), emit)
            case entry:
                await self._settle_orphan(stray, entry, emit)

    async def _settle_orphan(self, stray: Stray, entry: Entry, emit: Emit) -> None:
        pair = Pair(stray.pair.base, stray.pair.name, stray.pair.log, entry)
        with self._cargo.room() as room:
            await room.take(self._weight(pair))
            try:
                outcome = await self._output(pair, await self._log(pair), stray.saved)
            except ObjectTooLarge as error:
                outcome = reply_too_large(pair, error.size, self._max_reply)
            if outcome is not None:
                self._orphans.take(stray.orphan, pair.base, entry)
            await self._tell(stray.pair, stray.item, outcome, emit)

    async def _tell(self, pair: Pair, item: Open, outcome: Outcome | None, emit: Emit) -> None:
        if outcome is None:
            self._half_since.setdefault(pair.base, self._moment)
            return
        self._told.add(pair.base)
        self._saved.pop(pair.base, None)
        kept = isinstance(outcome, Failure) and outcome.code == REPLY_TOO_LARGE
        if self._clean and not kept:
            self._done.append(pair)
        outcome = self._redact.outcome(outcome)
        await emit(Arrival(item, pair.name.attempt, outcome, sum(e.size for e in pair.entries)))

    async def _outcome(self, pair: Pair) -> Outcome | Saved | None:
        """What the pair says; Saved: an orphan has to be found; None: too early to tell."""
        if large := self._too_large(pair):
            return large
        log = await self._log(pair)
        told = None if log is None else read_log(log)
        if isinstance(told, Failure):
            return raise_if_hopeless(self._redact.outcome(told))
        if pair.json is not None:
            if log is None and self._is_patient(pair):
                return None  # the log may follow
            return await self._output(pair, log, told)
        if told is not None and (told.stray or not self._is_patient(pair)):
            return told
        return self._late(pair, killed(log or b"")) if told is None else None

    async def _output(self, pair: Pair, log: bytes | None, told: Saved | None) -> Outcome | None:
        """What the pair's json says; None: not yet whole, or gone."""
        if large := self._too_large(pair):
            return large
        if pair.json is None:
            return None
        data = await self._bucket.get(pair.json.key, limit=self._max_reply)
        if data is None:
            return None
        if len(data) != pair.json.size:  # cut off on its way, or replaced since it was listed
            return self._late(pair, cut_off(pair.json, len(data)))
        text = (log or b"").decode(errors="replace")
        read = partial(read_output, data, text, saved=told is not None)
        if len(data) <= QUICK:
            outcome = read()
        else:
            outcome = await anyio.to_thread.run_sync(read, abandon_on_cancel=True)
        if isinstance(outcome, Failure) and outcome.kind is Kind.TRANSIENT:
            return self._late(pair, outcome)  # it may be replaced by a whole one
        return outcome

    async def _log(self, pair: Pair) -> bytes | None:
        if pair.log is None:
            return None
        return await self._bucket.get(pair.log.key, limit=self._max_reply)

    # What is not there, or too much ---------------------------------------------------------------

    def _late(self, pair: Pair, failure: Failure) -> Failure | None:
        """The failure, once what is missing has been waited for."""
        return None if self._is_patient(pair) else failure

    def _is_patient(self, pair: Pair) -> bool:
        since = self._half_since.get(pair.base)
        return since is None or self._moment - since < self._grace

    def _too_large(self, pair: Pair) -> Failure | None:
        for entry in pair.entries:
            if entry.size > self._max_reply:
                return reply_too_large(pair, entry.size, self._max_reply)
        return None

    def _weight(self, pair: Pair) -> int:
        """Bytes of memory that reading the pair takes."""
        return COPIES * sum(e.size for e in pair.entries if e.size <= self._max_reply)
