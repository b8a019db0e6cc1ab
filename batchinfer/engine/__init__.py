"""Feed, live, record: the only concurrency of the core.

::

    add ──▶ store ──page──▶ feed ──window──▶ live ──records──▶ record ──▶ store ──▶ observer
                                              │ gate ▶ backend   ▲
                                              └ (async) bucket ──┴─ collect

Rules:

1. *An item's life is one pipeline* (`live.py`): a slot, an attempt, a decision, a record; again.
2. *One writer* (`record.py`): one record, then whatever has piled up while the last transaction
   was written; one commit. Only what is committed is counted, told, or makes room for the next.
3. *Structure is shutdown.* The left side (add, feed, rest, collect) stands inside the middle (the
   workers with the attempts in flight), the middle inside the right side (record). ``stop`` cancels
   the left side: whatever waits there ends at once, while attempts in flight finish and are
   recorded before the right side closes. ``cancel`` cancels the middle: attempts are cut off, and
   leave no trace.
4. *Nothing is held per item of the run*, only per item in the window.
5. *One cause leaves the house*: the first thing that went wrong is raised, alone, after everything
   that was handed to the recorder is durable.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from batchinfer.engine.collect import Collector, Rhythm
from batchinfer.engine.feed import Feeder, ReadPage
from batchinfer.engine.live import Lives
from batchinfer.engine.record import News, Recorder
from batchinfer.engine.terms import SourceAway, Terms, Tools
from batchinfer.errors import FatalError, RunAborted
from batchinfer.flow import Change, Condition, Gate, Limit, Pace, Sample
from batchinfer.ports import Adjusted, Backend, Clock, Observer, Progress, Recorded, Store, Watcher

__all__ = ["Engine", "ReadPage", "Rhythm", "SourceAway", "Terms"]


class Engine:
    """Brings the pending items of a store to their end. One engine serves one run, once.

    Without `read` nothing is added, without `backend` nothing is fed (collect only). Async mode has
    a `watcher`, and a limit of objects `submitted` and unfinished beside the gate's, which is then
    one of uploads; without `collects` it only finds what was submitted before (submit only).
    `clock` is the wall clock; durations are the event loop's. `recorded` is awaited after each
    commit: who is slow there slows down the run, and nothing piles up. `source_away` tells whether
    the source is away, for items whose file cannot be read.
    """

    def __init__(
        self,
        *,
        store: Store,
        gate: Gate,
        observer: Observer,
        backend: Backend | None = None,
        read: ReadPage | None = None,
        watcher: Watcher | None = None,
        submitted: Limit | None = None,
        collects: bool = True,
        terms: Terms | None = None,
        rhythm: Rhythm | None = None,
        recorded: Callable[[Recorded], Awaitable[None]] | None = None,
        source_away: SourceAway | None = None,
        clock: Clock = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.stopped = False
        """Whether `stop` or `cancel` was called: the run ended before its end."""
        self._store, self._gate, self._observer = store, gate, observer
        self._collects, self._clock, self._recorded = collects, clock, recorded
        terms = terms or Terms()
        if submitted is not None:
            # A second upload would overwrite the first, and that starts a second job (contract 2).
            terms = replace(terms, hedge=False)
        self._terms = terms
        self._recorder = recorder = Recorder(store, News())
        tools = Tools(recorder, observer, terms, clock, chance, self._adjusted, source_away)
        self._lives = None if backend is None else Lives(backend, gate, tools)
        self._feeder = Feeder(
            store,
            gate,
            self._lives,
            tools,
            read=read,
            submitted=submitted,
            collects=collects,
            progress=lambda: self.progress,
        )
        self._collector = None
        if watcher is not None:
            self._collector = Collector(watcher, store, tools, rhythm, self._learn)
        self._adjustments: list[Adjusted] = []
        self._left, self._middle = anyio.CancelScope(), anyio.CancelScope()
        self._cause: Exception | None = None

    async def run(self) -> Progress:
        """Run to the end, or until stopped; where the run stands then.

        Raises RunAborted for a fatal error, StoreError, SourceError; never a group.
        """
        async with anyio.create_task_group() as right:
            right.start_soon(self._guard, self._record)
            try:
                with self._middle:
                    async with anyio.create_task_group() as middle:
                        with self._left:
                            await self._guard(self._left_side, middle)
            finally:
                self._recorder.close()
        if self._cause is not None:
            raise self._cause
        return self.progress

    def stop(self) -> int:
        """Start nothing new, let what is in flight finish; how many that are."""
        self.stopped = True
        self._left.cancel()
        if self._lives is not None:
            self._lives.stop()
        return self._gate.in_flight

    def cancel(self) -> None:
        """Stop, and cut off what is in flight: it leaves no trace and is not counted."""
        self.stop()
        self._middle.cancel()

    @property
    def progress(self) -> Progress:
        """Where the run stands; only what is durable counts."""
        return Progress(
            self._recorder.counts,
            self._gate.in_flight,
            not self._feeder.source_open,
            dict(self._recorder.failed_here),
            None if self._lives is None else self._bound,
            self.limit.serving,
            self.paused,
        )

    @property
    def condition(self) -> Condition:
        """Whether the service is there, as far as is known."""
        return self._gate.health.condition

    # At any time, by whoever looks after the run --------------------------------------------------

    @property
    def limit(self) -> Limit:
        """The limit that counts: of calls in flight, or (async mode) of what is submitted."""
        return self._feeder.submitted or self._gate.limit

    @limit.setter
    def limit(self, limit: Limit) -> None:
        self._adjusted(Change(0.0, self.limit.value, limit.value, "as told"))
        if self._feeder.submitted is None:
            self._gate.limit = limit
        else:
            self._feeder.bound(limit)
        self._stirred()

    @property
    def _bound(self) -> int:
        """What is allowed now, by the limit and by what this machine bears."""
        return self._gate.bound if self._feeder.submitted is None else self.limit.value

    @property
    def rate(self) -> float | None:
        """Starts per second, at most."""
        return self._gate.pace.rate if self._gate.pace else None

    @rate.setter
    def rate(self, rate: float | None) -> None:
        self._gate.pace = Pace(rate) if rate else None
        self._stirred()

    @property
    def paused(self) -> bool:
        """Whether nothing new begins, until that is taken back."""
        return self._gate.paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._gate.paused = paused
        self._stirred()

    def _stirred(self) -> None:
        self._recorder.news.tell()
        if self._lives is not None:
            self._lives.staff()

    def _adjusted(self, change: Change | None) -> None:
        if change is not None and change.value != change.was:
            event = Adjusted(self._clock(), change.was, change.value, change.reason)
            self._adjustments.append(event)
            self._observer.notify(event)
            self._recorder.news.tell()

    def _learn(self, sample: Sample) -> None:
        """Async mode: what an output says about the limit of what is submitted."""
        saturated = self._recorder.counts.pending > 0 and sample.in_flight >= self.limit.value
        self._adjusted(self.limit.learn(replace(sample, saturated=saturated)))

    # The left side: add, feed, live, collect ------------------------------------------------------

    async def _left_side(self, middle: TaskGroup) -> None:
        await self._store.forget_future(self._clock())
        await self._recorder.recount()
        if self._collector is not None:
            await self._collector.adopt()
        self._feeder.open()
        async with anyio.create_task_group() as left:
            if self._collector is not None and self._collects:
                left.start_soon(self._guard, self._collector.run)
            left.start_soon(self._guard, self._feeder.add)
            if self._lives is not None:
                self._lives.begin(
                    hire=lambda part, *args: middle.start_soon(self._guard, part, *args),
                    rest=lambda part, *args: left.start_soon(self._guard, part, *args),
                )
            await self._guard(self._feeder.feed)
            self._left.cancel()

    # The right side: record -----------------------------------------------------------------------

    async def _record(self) -> None:
        try:
            while records := await self._recorder.write():
                await self._note_adjustments()
                event = Recorded(records, self.progress)
                self._observer.notify(event)
                if self._recorded is not None:
                    await self._recorded(event)
                failed = self._recorder.failed_here.total()
                if self._terms.too_many(failed, failed + self._recorder.succeeded_here):
                    self._give_up(RunAborted("too_many_failures", _too_many(failed, self.progress)))
            await self._note_adjustments()
        finally:
            self._recorder.end()

    async def _note_adjustments(self) -> None:
        adjusted, self._adjustments = self._adjustments, []
        if adjusted:
            await self._store.note(adjusted)

    # Ends -----------------------------------------------------------------------------------------

    async def _guard(self, part: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a part of the house; if it fails, the run ends with that cause."""
        try:
            await part(*args)
        except FatalError as error:
            self._give_up(RunAborted(error.code, str(error)))
        except Exception as error:  # noqa: BLE001 - raised again, alone, by run()
            self._give_up(error)

    def _give_up(self, cause: Exception) -> None:
        self._cause = self._cause or cause
        self.cancel()


def _too_many(failed: int, progress: Progress) -> str:
    codes = ", ".join(f"{code}: {count}" for code, count in progress.codes.items())
    items = "1 item has" if failed == 1 else f"{failed} items have"
    return (
        f"{items} failed, more than --max-failures allows ({codes}). Look at one, remove the "
        "cause, then continue."
    )
