"""Async mode, second half: what has turned up in `outputs/` (contract section 2).

The bucket's listing is the truth. `.log` and `.json` arrive in random order, or never, so each look
decides what can be decided and remembers only the pairs that are half there:

===================  ==========================================================================
what is there        outcome
===================  ==========================================================================
log tells a failure  that failure, at once: a failed prediction has no json
log says "saved"     the json; or the orphan under the name the log tells: at once if the log
                     shows that it is one (DEEPaaS 2.6.0), else after the grace period; then
                     `output_lost`
log says neither     the json if there is one; else, after the grace period, `model_killed`
json alone           after the grace period, a reply without a log
===================  ==========================================================================

An orphan is taken once, by the item whose log names it, and deleted when that is on record. With
`clean`, so are the input and the outputs that brought an item its final outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import anyio

from batchinfer.backends.objects import Bucket, delete_all
from batchinfer.backends.redact import Redactor
from batchinfer.domain import Failure, Kind, Open, Outcome
from batchinfer.errors import BatchInferError
from batchinfer.oscar.faults import raise_if_hopeless
from batchinfer.oscar.names import (
    INPUTS,
    OUTPUTS,
    object_name,
    parse_name,
    parse_output,
    start_after,
)
from batchinfer.oscar.reply import Saved, killed, orphan_of, read_log, read_output
from batchinfer.ports import Arrival, Emit, Placed, Unfinished

FETCHES = 16
"""Pairs fetched at a time."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The outputs of one attempt, as far as a listing has shown them."""

    position: int
    attempt: int
    extensions: frozenset[str]
    keys: list[str]

    @property
    def id(self) -> tuple[int, int]:
        """What it is known by from look to look."""
        return self.position, self.attempt


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
    ) -> None:
        """`grace`: seconds a missing half is waited for. `clean`: delete what is on record."""
        self._bucket, self._run_id, self._redact, self._grace = bucket, run_id, redact, grace
        self._half_since: dict[tuple[int, int], float] = {}
        self._moment, self._answered = 0.0, True
        """When the look began; or, as long as the store is away, the first in vain: time in which
        nothing can arrive does not count for a missing half."""
        self._told: set[tuple[int, int]] = set()
        self._taken: list[str] = []
        self._clean = clean
        self._done: list[Pair] = []

    async def look(self, store: Unfinished, emit: Emit) -> None:
        """See ports.Watcher."""
        lowest = await store.lowest_unfinished()
        if lowest is None:
            return
        if self._answered:
            self._moment, self._answered = anyio.current_time(), False
        seen: set[tuple[int, int]] = set()
        start, token, kept = start_after(self._run_id, lowest), None, list[str]()
        while True:
            page = await self._bucket.page(
                f"{OUTPUTS}{self._run_id}-", start_after=start, token=token
            )
            pairs = _pairs(self._run_id, [*kept, *(entry.key for entry in page.entries)])
            kept = []
            if page.token is not None and pairs:
                kept = pairs.pop().keys  # it may go on on the next page: read it there, whole
            seen |= await self._told_of(pairs, store, emit)
            if page.token is None:
                break
            token = page.token
        self._told &= seen
        self._answered, lasted = True, anyio.current_time() - self._moment
        halves = self._half_since.items()
        self._half_since = {pair: at + lasted for pair, at in halves if pair in seen}

    async def placed(self, adopt: Callable[[Sequence[Placed]], Awaitable[None]]) -> None:
        """See ports.Watcher."""
        token = None
        while True:
            page = await self._bucket.page(f"{INPUTS}{self._run_id}-", token=token)
            keys = (entry.key.removeprefix(INPUTS) for entry in page.entries)
            names = [key.removesuffix(".json") for key in keys]
            parsed = [(parse_name(self._run_id, name), name) for name in names]
            await adopt([Placed(*found, name) for found, name in parsed if found is not None])
            if page.token is None:
                return
            token = page.token

    async def tidy(self, store: Unfinished) -> None:
        """See ports.Watcher."""
        while self._taken:
            await self._bucket.delete(self._taken[-1])
            self._taken.pop()
        while self._done:
            some = self._done[-FETCHES:]
            unfinished = await store.unfinished({pair.position for pair in some})
            final = [pair for pair in some if pair.position not in unfinished]
            await delete_all(self._bucket, [key for pair in final for key in self._objects(pair)])
            del self._done[-len(some) :]

    async def _told_of(
        self, pairs: Sequence[Pair], store: Unfinished, emit: Emit
    ) -> set[tuple[int, int]]:
        """Tell what a page of pairs says of open items; which pairs were theirs."""
        open_items = await store.unfinished({pair.position for pair in pairs})
        theirs = [pair for pair in pairs if pair.position in open_items]
        await self._settle(
            [(pair, open_items[pair.position]) for pair in theirs if pair.id not in self._told],
            emit,
        )
        return {pair.id for pair in theirs}

    async def _settle(self, pairs: Sequence[tuple[Pair, Open]], emit: Emit) -> None:
        """Decide what can be decided of a page, some at a time; raise the first error, alone."""
        limiter, errors = anyio.CapacityLimiter(FETCHES), list[Exception]()

        async def settle(pair: Pair, item: Open) -> None:
            async with limiter:
                if errors:
                    return
                try:
                    outcome = await self._outcome(pair)
                except (OSError, BatchInferError) as error:
                    errors.append(error)
                    return
            if outcome is None:
                self._half_since.setdefault(pair.id, self._moment)
            else:
                self._told.add(pair.id)
                if self._clean:
                    self._done.append(pair)
                await emit(Arrival(item, pair.attempt, outcome))

        async with anyio.create_task_group() as page:
            for pair, item in pairs:
                page.start_soon(settle, pair, item)
        if errors:
            raise errors[0]

    async def _outcome(self, pair: Pair) -> Outcome | None:
        """What the pair says; None: too early to tell."""
        name = f"{OUTPUTS}{object_name(self._run_id, pair.position, pair.attempt)}"
        log = await self._bucket.get(f"{name}.log") if "log" in pair.extensions else None
        log = None if log is None else self._redact.data(log)
        told = None if log is None else read_log(log)
        if isinstance(told, Failure):
            return raise_if_hopeless(told)
        patient = self._patient(pair)
        if log is None and patient:
            return None  # the json is there, its log may follow
        output = await self._output(pair, name, told, patient=patient)
        if output is not None:
            return read_output(self._redact.data(output), (log or b"").decode(errors="replace"))
        if patient:
            return None
        return killed(log or b"") if told is None else _lost(told)

    async def _output(
        self, pair: Pair, name: str, told: Saved | None, *, patient: bool
    ) -> bytes | None:
        if "json" in pair.extensions:
            return await self._bucket.get(f"{name}.json")
        if told is None or (patient and not told.stray):
            return None
        orphan = f"{OUTPUTS}{orphan_of(told.path)}"
        output = await self._bucket.get(orphan)
        if output is not None:
            self._taken.append(orphan)
        return output

    def _objects(self, pair: Pair) -> list[str]:
        name = object_name(self._run_id, pair.position, pair.attempt)
        return [f"{INPUTS}{name}.json", *pair.keys]

    def _patient(self, pair: Pair) -> bool:
        since = self._half_since.get(pair.id)
        return since is None or self._moment - since < self._grace


def _pairs(run_id: str, keys: Sequence[str]) -> list[Pair]:
    """The pairs among listed keys; key order keeps those of one attempt together."""
    outputs = [(out, key) for key in keys if (out := parse_output(run_id, key)) is not None]
    pairs = []
    for (position, attempt), members in groupby(
        outputs, key=lambda o: (o[0].position, o[0].attempt)
    ):
        group = list(members)
        extensions = frozenset(out.extension for out, _ in group)
        pairs.append(Pair(position, attempt, extensions, [key for _, key in group]))
    return pairs


def _lost(told: Saved) -> Failure:
    return Failure(
        "output_lost",
        f"The log says the output was saved ({told.path}), but it did not arrive in the bucket. "
        "Look at the log for a model that returns what cannot be written as JSON.",
        Kind.TRANSIENT,
    )
