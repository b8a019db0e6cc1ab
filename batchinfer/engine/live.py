"""An item's life: a slot, an attempt, a decision, a record; perhaps, after a rest, again.

Rules:

1. As many workers as the gate has slots; each lives item after item, for a task per item would cost
   more than all else here. A worker is on the side of the house that `stop` does not touch: what it
   is at, it finishes.
2. An item that rests (backs off) holds no slot and no worker; it rests on the side that `stop`
   closes.
3. With a pace, items come to the workers one by one, each in its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import anyio

from batchinfer.domain import Attempt, Failure, Item, Kind, State, Submitted
from batchinfer.engine.record import News, record_of
from batchinfer.engine.terms import Tools
from batchinfer.errors import FatalError
from batchinfer.limits import Gate, Pace
from batchinfer.ports import Back, Backend, Waiting
from batchinfer.retry import Absence, Decision, Finish, Wait, decide

Start: TypeAlias = Callable[..., object]
"""Starts a task: `start(function, *args)`."""


@dataclass(slots=True)
class Life:
    """Where one item stands in this process."""

    item: Item
    number: int
    """Of its next attempt."""
    waits: int = 0
    """How often that attempt found the service away."""
    since: float | None = None
    """When it did so first, on the loop's clock."""


class Lives:
    """The items alive: in flight, ready, or resting."""

    def __init__(self, backend: Backend, gate: Gate, tools: Tools) -> None:
        self.resting = 0
        """Items that back off."""
        self._backend, self._gate = backend, gate
        self._recorder, self._observer, self._terms = tools.recorder, tools.observer, tools.terms
        self._clock, self._chance = tools.clock, tools.chance
        self._absence, self._waited_for = Absence(), ""
        self._ready: deque[Life] = deque()
        self._unpaced: deque[Life] = deque()
        self._stir = News()
        self._hire: Start
        self._rest: Start
        self._over = False

    def begin(self, hire: Start, rest: Start) -> None:
        """Take up the work. `hire` starts a task that `stop` leaves alone, `rest` one it ends."""
        self._hire, self._rest = hire, rest
        if self._gate.pace is not None:
            rest(self._pace, self._gate.pace)

    def take(self, item: Item) -> None:
        """Let an item live as soon as there is a slot for it."""
        life = Life(item, item.attempts + 1)
        if self._gate.pace is None:
            self._ready.append(life)
            self._staff()
        else:
            self._unpaced.append(life)
            self._stir.tell()

    def stop(self) -> None:
        """Begin no attempt any more."""
        self._over = True
        self._ready.clear()

    def _come_back(self, life: Life) -> None:
        """Its rest is over: it goes first, before those that have not begun."""
        if self._gate.pace is None:
            self._ready.appendleft(life)
            self._staff()
        else:
            self._unpaced.appendleft(life)
            self._stir.tell()

    def _staff(self) -> None:
        if self._gate.enter():
            self._hire(self._work)

    async def _pace(self, pace: Pace) -> None:
        """Send items in, each in its turn, and only into a free slot: no burst follows a jam."""
        while True:
            seen = self._stir.count
            if self._unpaced and not self._gate.is_full:
                await pace.turn()
                self._ready.append(self._unpaced.popleft())
                self._staff()
            else:
                await self._stir.beyond(seen)

    async def _work(self) -> None:
        """One worker: life after life, as long as there are any and it has its slot."""
        try:
            while self._ready and not self._gate.is_crowded:
                await self._live(self._ready.popleft())
        finally:
            self._gate.leave()
            self._stir.tell()

    async def _live(self, life: Life) -> None:
        """One attempt, and what follows from it. Raises FatalError."""
        at, began = self._clock(), anyio.current_time()
        outcome = await self._backend.attempt(life.item, life.number)
        seconds = round(anyio.current_time() - began, 3)
        attempt = Attempt(life.number, at, seconds, outcome)
        decision = self._decide(life, attempt)
        if isinstance(decision, Wait):
            life.waits += 1
        else:
            record = record_of(life.item.position, attempt, decision, self._clock())
            await self._recorder.hand(record)
            if isinstance(decision, Finish):
                return
            life.number, life.waits, life.since = life.number + 1, 0, None
        if not self._over:
            self._rest(self._back_off, life, decision.delay)

    async def _back_off(self, life: Life, delay: float) -> None:
        self.resting += 1
        self._recorder.news.tell()
        try:
            await anyio.sleep(delay)
        finally:
            self.resting -= 1
        self._come_back(life)

    def _decide(self, life: Life, attempt: Attempt) -> Decision:
        outcome, policy = attempt.outcome, self._terms.policy
        if isinstance(outcome, Failure) and outcome.kind is Kind.UNAVAILABLE:
            if self._is_away(life, outcome) <= self._terms.patience:
                return decide(policy, outcome, life.waits + 1, self._chance())
            # The service answers others, but never this item: then it is this item's failure.
            outcome = replace(outcome, kind=Kind.TRANSIENT)
        elif not isinstance(outcome, Failure) or outcome.sent:
            self._is_there()
        if isinstance(outcome, Submitted):
            return Finish(State.SUBMITTED)
        tried = attempt.number - life.item.spared
        return decide(policy, outcome, tried, self._chance())

    def _is_away(self, life: Life, failure: Failure) -> float:
        """Seconds that this item has found the service away."""
        now, patience = anyio.current_time(), self._terms.patience
        away = self._absence.noticed(now)
        if away > patience:
            raise FatalError(failure.code, _gone(failure, away))
        self._waited_for = failure.code
        self._observer.notify(Waiting(failure.code, failure.message, away, patience))
        life.since = now if life.since is None else life.since
        return now - life.since

    def _is_there(self) -> None:
        if self._absence.lasts:
            away = self._absence.ended(anyio.current_time())
            self._observer.notify(Back(self._waited_for, away))


def _gone(failure: Failure, seconds: float) -> str:
    return (
        f"The service has been away for {seconds:.0f} s: {failure.message.rstrip('.')}. Everything "
        "recorded is kept; continue when it is back."
    )
