"""The collecting half of async mode: one loop looks into the bucket, for everybody.

What is overdue is decided without a clock per item and without trusting the server's clock. A
submitted item counts as lost when it is older than `overdue_after` seconds as seen from the
*horizon*, the later of

* the submission time of the newest item whose output has arrived: who was submitted so much later
  and is done has overtaken it;
* now, once nothing at all has arrived for `overdue_after` seconds of whole looks (time in which the
  bucket did not answer, or this machine slept, is no evidence).

So a long queue is never mistaken for loss, and a lost event (contract section 2: at most once, and
OSCAR never retries a job) is found both in the middle of a run and at its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio

from batchinfer.domain import Attempt, Failure, Kind, Open, Outcome, State
from batchinfer.engine.record import record_of
from batchinfer.engine.terms import Tools
from batchinfer.errors import RunAborted
from batchinfer.flow import Sample, sign_of
from batchinfer.ports import Arrival, Back, Placed, Store, Waiting, Watcher
from batchinfer.retry import Absence, Kills, Retry, Wait, decide

PAGE = 500
LARGE = 1 << 20
"""Bytes of an arrival from which on it is durable before the next one is taken: what waits to be
written counts against no budget."""
TIDY = 10.0
"""Seconds that a stop waits at most for the tidying."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between looks: short after an arrival, longer and longer while nothing arrives."""

    shortest: float = 0.5
    longest: float = 10.0
    growth: float = 1.5


class Collector:
    """Turns what the watcher sees into records."""

    def __init__(
        self,
        watcher: Watcher,
        store: Store,
        tools: Tools,
        rhythm: Rhythm | None,
        learn: Callable[[Sample], None],
    ) -> None:
        self._watcher, self._store = watcher, store
        self._recorder, self._observer, self._terms = tools.recorder, tools.observer, tools.terms
        self._clock, self._chance = tools.clock, tools.chance
        self._rhythm, self._learn = rhythm or Rhythm(), learn
        self._absence, self._has_answered = Absence(), False
        self._kills = Kills()
        self._quiet = 0.0
        self._arrivals = 0
        self._newest = 0.0

    async def adopt(self) -> None:
        """Find in the bucket what an earlier process submitted but was killed before recording."""

        async def adopt(placed: Sequence[Placed]) -> None:
            await self._store.adopt(placed, self._clock())

        while not await self._answered(self._watcher.placed(self._store, adopt)):  # noqa: ASYNC110
            await anyio.sleep(self._rhythm.longest)
        await self._recorder.recount()

    async def run(self) -> None:
        """Look, record, look again; for ever: whoever started it knows when nothing is left."""
        pause, last = self._rhythm.shortest, anyio.current_time()
        while True:
            seen, arrivals = self._recorder.news.count, self._arrivals
            whole = await self._answered(self._watcher.look(self._store, self._arrived))
            await self._settle()
            now = anyio.current_time()
            if self._arrivals > arrivals:
                pause, self._quiet = self._rhythm.shortest, 0.0
            else:
                # A gap much longer than the pause was sleep or an outage, not silence.
                self._quiet += min(now - last, 2 * pause) if whole else 0.0
                pause = min(pause * self._rhythm.growth, self._rhythm.longest)
            last = now
            if whole:
                await self._give_up_overdue()
            if self._recorder.counts.submitted == 0:
                await self._recorder.news.beyond(seen)
            await anyio.sleep(pause)

    async def _settle(self) -> None:
        """Wait until what arrived is on record, then tidy up: even if that record was the last."""
        with anyio.move_on_after(TIDY, shield=True):
            await self._recorder.settle()
            with suppress(OSError):  # the next look tries again
                await self._watcher.tidy(self._store)

    async def _answered(self, question: Awaitable[None]) -> bool:
        """Whether the bucket answered to the end; RunAborted when it has been away too long."""
        began = anyio.current_time()
        try:
            await question
        except OSError as error:
            self._absence.noticed(began)  # a store that is deaf has been away since then
            away = self._absence.noticed(anyio.current_time())
            if away > (patience := self._terms.patience_with(answered=self._has_answered)):
                raise RunAborted("bucket_unreachable", str(error)) from error
            self._observer.notify(Waiting("bucket_unreachable", str(error), away, patience))
            return False
        self._has_answered = True
        if self._absence.lasts:
            lasted = self._absence.ended(anyio.current_time())
            self._observer.notify(Back("bucket_unreachable", lasted))
        return True

    async def _arrived(self, arrival: Arrival) -> None:
        item = arrival.item
        newest_attempt = item.state is State.SUBMITTED and arrival.attempt == item.attempt
        if isinstance(arrival.outcome, Failure) and not newest_attempt:
            return  # an older attempt's failure: that attempt has been given up already
        self._arrivals += 1
        if newest_attempt and item.submitted_at is not None:
            self._newest = max(self._newest, item.submitted_at)
            self._tell(arrival.outcome, self._clock() - item.submitted_at)
        await self._record(item, arrival.attempt, arrival.outcome)
        if arrival.size >= LARGE:
            await self._recorder.settle()

    def _tell(self, outcome: Outcome, seconds: float) -> None:
        if (sign := sign_of(outcome)) is not None:
            submitted = self._recorder.counts.submitted
            now, seconds = anyio.current_time(), max(seconds, 0.0)
            self._learn(Sample(sign, now, seconds, submitted, submitted))

    async def _give_up_overdue(self) -> None:
        after, now = self._terms.overdue_after, self._clock()
        if self._quiet >= after:
            await self._store.forget_future(now)  # the clock may have been set meanwhile
        horizon = min(max(self._newest, now if self._quiet >= after else 0.0), now)
        while lost := await self._store.overdue(horizon - after, PAGE):
            for item in lost:
                await self._record(item, item.attempt, _no_output(after))
            await self._recorder.settle()
            self._quiet = 0.0

    async def _record(self, item: Open, number: int, outcome: Outcome) -> None:
        now = self._clock()
        started = now if item.submitted_at is None else min(item.submitted_at, now)
        attempt = Attempt(number, started, round(max(now - started, 0.0), 3), outcome)
        tried, killed = number - item.spared, self._kills.count(item.position, outcome)
        decision = decide(self._terms.policy, outcome, tried, self._chance(), killed)
        if isinstance(decision, Wait):
            decision = Retry(decision.delay)
        await self._recorder.hand(record_of(item.position, attempt, decision, now))


def _no_output(seconds: float) -> Failure:
    return Failure(
        "no_output",
        f"No output appeared in the bucket, and for {seconds:.0f} s no sign that it still will: "
        "the event was lost, or the job never ran. If it happens often, ask the platform's support "
        "whether jobs of this service start.",
        Kind.TRANSIENT,
    )
