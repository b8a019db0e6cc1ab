"""An item's life: a slot, an attempt, a decision, a record; perhaps, after a rest, again.

Rules:

1. A worker for each attempt in flight; each lives item after item, for a task per item would cost
   more than all else here. A worker is on the side of the house that `stop` does not touch: what it
   is at, it finishes.
2. An item that rests (backs off) holds no slot and no worker; it rests on the side that `stop`
   closes.
3. Whether an attempt may begin is the gate's to say, whether a retry is affordable the budget's.
   Where only time stands in the way, `_reopen` wakes up when it has passed.
4. While the service is away nobody rests: what comes back waits with all others for the probe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import anyio

from batchinfer.domain import Attempt, Failure, Item, Kind, Outcome, Record, State, Submitted
from batchinfer.engine.flights import Flights, Life, Start
from batchinfer.engine.record import News, record_of
from batchinfer.engine.suspicion import REFUSED_PATIENCE, Suspicion
from batchinfer.engine.terms import Tools
from batchinfer.engine.watchdog import Watchdog
from batchinfer.errors import FatalError
from batchinfer.flow import Budget, Condition, Gate, Sample, Sign, sign_of
from batchinfer.ports import Back, Backend, Waiting
from batchinfer.retry import Decision, Finish, Retry, Wait, decide

LONGEST_WISH: Final = 60.0
"""Seconds that everybody rests because one answer asked for it (`Retry-After`), at most."""


class Lives:
    """The items alive: in flight, ready, or resting."""

    def __init__(self, backend: Backend, gate: Gate, tools: Tools) -> None:
        self._resting = 0
        self._gate, self._tools = gate, tools
        gate.adjusted = tools.adjusted
        self._recorder, self._observer, self._terms = tools.recorder, tools.observer, tools.terms
        self._clock, self._chance = tools.clock, tools.chance
        self._budget = Budget()
        self._absent: tuple[str, float] | None = None
        """Why the service is being waited for, and since when."""
        self._ready: deque[Life] = deque()
        self._again: deque[Life] = deque()
        """Retries after trouble of the service, which the budget has to pay for."""
        self._fresh_last = True
        self._stir = News()
        self._flights = Flights(backend, gate, self._stir, tools)
        self._suspicion = Suspicion(gate, tools)
        self._watchdog = Watchdog(tools.terms.first_answer, lambda: gate.in_flight)
        self._hire: Start
        self._rest: Start
        self._over = False

    def begin(self, hire: Start, rest: Start) -> None:
        """Take up the work. `hire` starts a task that `stop` leaves alone, `rest` one it ends."""
        self._hire, self._rest = hire, rest
        rest(self._reopen)
        rest(self._watchdog.watch)
        rest(self._flights.help_the_last, hire)

    def take(self, item: Item) -> None:
        """Let an item live as soon as there is a slot for it."""
        self._flights.none_left = False
        self._ready.append(Life(item, item.attempts + 1))
        self.staff()

    @property
    def resting(self) -> int:
        """Items that back off, or wait until the budget can pay for their retry."""
        return self._resting + len(self._again)

    def none_left(self) -> None:
        """All items that there are were taken: what is in flight now are the last."""
        self._flights.none_left = True
        self._stir.tell()

    @property
    def held(self) -> int:
        """Items that were refused, and whose verdict is held back."""
        return self._suspicion.held

    def settle(self) -> None:
        """Nothing but what is held back is left to do: it is the fault of those items."""
        for life, attempt in self._suspicion.release():
            self._hire(self._recorder.hand, self._failed(life, attempt))

    def give_back(self, count: int) -> Sequence[int]:
        """Let go of so many that are ready, the last first, at most; their positions."""
        freed = [self._ready.pop() for _ in range(min(count, len(self._ready)))]
        return [life.item.position for life in freed]

    def stop(self) -> None:
        """Begin no attempt any more."""
        self._over = self._suspicion.is_over = True
        self._ready.clear()
        self._again.clear()

    def staff(self) -> None:
        """Hire as many workers as are needed and allowed."""
        while self._waits() and self._gate.enter():
            self._hire(self._work, self._next())
        if self._waits() and not self._gate.is_full:
            self._stir.tell()

    def _waits(self, held: int = 0) -> bool:
        """Whether a life waits for its attempt; `held`: slots that whoever asks holds."""
        return bool(self._ready) or self._may_try_again(held)

    def _may_try_again(self, held: int) -> bool:
        if not self._again:
            return False
        if self._ready:
            # In turns, and never as a probe: items that always fail must not look like an outage.
            in_turn = self._fresh_last and self._gate.health.condition is Condition.WARM
            return in_turn and self._budget.tokens >= 1
        # With nothing else to do one retry at a time needs no token: the run must come to its end.
        return self._budget.tokens >= 1 or self._gate.in_flight <= held

    def _next(self, held: int = 1) -> Life:
        """The life that comes next."""
        self._fresh_last = not self._may_try_again(held)
        if self._fresh_last:
            return self._joining(self._ready.popleft())
        life = self._again.popleft()
        life.paid = self._budget.spend()
        return self._joining(life)

    def _joining(self, life: Life) -> Life:
        life.joined = self._gate.in_flight
        return life

    async def _reopen(self) -> None:
        """Staff when nothing but time has passed: a rest between probes, the turn of a pace."""
        while True:
            seen = self._stir.count
            self.staff()
            at = self._gate.opens_at if self._waits() else None
            seconds = None if at is None else max(0.0, at - anyio.current_time())
            with anyio.move_on_after(seconds):
                await self._stir.beyond(max(seen, self._stir.count))

    async def _work(self, life: Life) -> None:
        """One worker: life after life, as long as there are any and the gate lets it go on."""
        try:
            while not self._over:
                await self._live(life)
                if not self._waits(held=1) or not self._gate.go_on():
                    break
                life = self._next()
        finally:
            self._gate.leave()
        self.staff()

    async def _live(self, life: Life) -> None:
        """One attempt, and what follows from it. Raises FatalError."""
        at, began = self._clock(), anyio.current_time()
        self._watchdog.begun(began)
        outcome = await self._flights.attempt(life, began)
        now = anyio.current_time()
        sign = self._learn(life, outcome, began, now)
        attempt = Attempt(life.number, at, round(now - began, 3), outcome, life.item.params)
        if sign is Sign.REFUSED:
            self._suspicion.hold(life, attempt)
            self._recorder.news.tell()
            return
        if _is_of_source(outcome) and not await self._suspicion.is_items_fault(life):
            self._ready.append(life)
            return
        if sign is Sign.ANSWERED and self._suspicion.circuit.answered(began):
            for other, refusal in self._suspicion.release():
                await self._recorder.hand(self._failed(other, refusal))
        decision = self._decide(life, attempt, sign)
        if isinstance(decision, Wait):
            life.waits += 1
        else:
            record = record_of(life.item.position, attempt, decision, self._clock())
            await self._recorder.hand(record)
            if isinstance(decision, Finish):
                return
            life.number, life.waits, life.since = life.number + 1, 0, None
        life.troubled = sign in {Sign.FULL, Sign.SLOW, Sign.BROKEN}
        if self._over:
            return
        if isinstance(decision, Wait) and self._gate.health.is_away:
            self._ready.append(life)
        else:
            self._rest(self._back_off, life, decision.delay)

    async def _back_off(self, life: Life, delay: float) -> None:
        self._resting += 1
        self._recorder.news.tell()
        try:
            await anyio.sleep(delay)
        finally:
            self._resting -= 1
        if life.troubled:
            self._again.append(life)
        else:
            self._ready.appendleft(life)
        self.staff()

    # What an attempt says -------------------------------------------------------------------------

    def _learn(
        self, life: Life, outcome: Outcome | Submitted, began: float, now: float
    ) -> Sign | None:
        """Tell flow control how the attempt ended. Raises FatalError: away for too long."""
        sign, health = sign_of(outcome), self._gate.health
        if sign is None or sign is Sign.LOCAL:
            health.heard_nothing(began, now)
            if sign is Sign.LOCAL and isinstance(outcome, Failure):
                self._suspicion.ran_short(outcome, began, now)
            return sign
        self._watchdog.heard()
        self._suspicion.sent(answered=sign is Sign.ANSWERED, now=now)
        if sign is Sign.REFUSED:
            if not self._are_all_refused(life, began, now):
                health.heard_nothing(began, now)
                return sign
            sign = Sign.AWAY
        retry_after = self._wish(outcome, now)
        recovered = health.heard(sign, life.item.position, began, now, retry_after)
        if sign is Sign.ANSWERED:
            self._budget.answered(paid=life.paid)
            life.paid = False
            self._flights.latencies.note(now - began)
        if health.is_away and isinstance(outcome, Failure):
            self._wait_for(outcome, now, health.away(now))
        elif self._absent is not None and not health.is_away:
            (code, since), self._absent = self._absent, None
            self._watchdog.back()
            self._observer.notify(Back(code, now - since))
        if recovered:
            self._tools.adjusted(self._gate.limit.restart(now))
        self._tools.adjusted(self._gate.limit.learn(self._sample(sign, life, outcome, began, now)))
        self.staff()
        return sign

    def _sample(
        self, sign: Sign, life: Life, outcome: Outcome | Submitted, began: float, now: float
    ) -> Sample:
        return Sample(
            sign,
            now,
            now - began,
            self._gate.in_flight,
            life.joined,
            saturated=self._gate.is_full and self._waits(),
            server_seconds=getattr(outcome, "server_seconds", None),
        )

    def _are_all_refused(self, life: Life, began: float, now: float) -> bool:
        """Whether a refusal is no item's fault; then nobody fails for it, and it is waited out."""
        circuit, health = self._suspicion.circuit, self._gate.health
        if not circuit.refused(life.item.position, began) and not health.is_away:
            return False
        health.refused(began if circuit.since is None else circuit.since, now)
        self._ready.extend(other for other, _ in self._suspicion.release())
        return True

    def _wish(self, outcome: Outcome | Submitted, now: float) -> float | None:
        """How long the service asked for rest: all rest for it, but not beyond their patience."""
        if not isinstance(outcome, Failure) or outcome.retry_after is None:
            return None
        health = self._gate.health
        patience = self._terms.patience_with(answered=health.has_answered)
        return min(outcome.retry_after, LONGEST_WISH, max(patience - health.away(now), 0.0))

    def _wait_for(self, failure: Failure, now: float, away: float) -> None:
        patience = self._terms.patience_with(answered=self._gate.health.has_answered)
        if failure.shared and self._suspicion.circuit.since is not None:
            patience = min(patience, REFUSED_PATIENCE)
            away = now - self._suspicion.circuit.since
        if away > patience:
            raise FatalError(failure.code, _gone(failure, away))
        self._absent = (failure.code, now - away)
        ended = FatalError(failure.code, _gone(failure, patience))
        self._watchdog.away(now - away + patience, ended)
        self._observer.notify(Waiting(failure.code, failure.message, away, patience))

    def _decide(self, life: Life, attempt: Attempt, sign: Sign | None) -> Decision:
        outcome, policy = attempt.outcome, self._terms.policy
        if isinstance(outcome, Submitted):
            return Finish(State.SUBMITTED)
        if isinstance(outcome, Failure) and self._is_absence(outcome, sign):
            if sign is Sign.LOCAL or self._may_wait(life):
                away = replace(outcome, kind=Kind.UNAVAILABLE)
                waiting = decide(policy, away, life.waits + 1, self._chance())
                return waiting if sign is Sign.LOCAL else self._wait_in_time(life, waiting)
            # The service answers others, but never this item: then it is this item's failure.
            outcome = replace(outcome, kind=Kind.TRANSIENT)
        tried = attempt.number - life.item.spared
        decision = decide(policy, outcome, tried, self._chance())
        return self._in_time(life, decision)

    def _is_absence(self, outcome: Failure, sign: Sign | None) -> bool:
        """Whether it says nothing about the item: an outage is no attempt, nor is a refusal, which
        our own searching for the limit may have caused.
        """  # noqa: D205 - one thought
        if outcome.kind is Kind.UNAVAILABLE or sign in {Sign.FULL, Sign.AWAY}:
            return True
        return sign in {Sign.SLOW, Sign.BROKEN} and self._gate.health.is_away

    def _may_wait(self, life: Life) -> bool:
        if self._gate.health.is_away:
            life.since = None
            return True
        now, deadline = anyio.current_time(), self._terms.deadline
        if deadline is not None and now - life.began >= deadline:
            return False
        return life.waiting(now) <= self._terms.patience

    def _wait_in_time(self, life: Life, decision: Decision) -> Decision:
        """The decision, but nobody waits beyond his patience or his deadline (`Retry-After`)."""
        if not isinstance(decision, Wait) or self._gate.health.is_away:
            return decision
        now = anyio.current_time()
        left = self._terms.patience - life.waiting(now)
        if self._terms.deadline is not None:
            left = min(left, self._terms.deadline - (now - life.began))
        return Wait(max(0.0, min(decision.delay, left)))

    def _failed(self, life: Life, attempt: Attempt) -> Record:
        return record_of(life.item.position, attempt, Finish(State.FAILED), self._clock())

    def _in_time(self, life: Life, decision: Decision) -> Decision:
        """The decision, unless the item's deadline comes before its next attempt."""
        if self._terms.deadline is None or not isinstance(decision, Retry):
            return decision
        spent = anyio.current_time() - life.began + decision.delay
        return decision if spent < self._terms.deadline else Finish(State.FAILED)


def _is_of_source(outcome: Outcome | Submitted) -> bool:
    """Whether a file could not be read, which may be its source's fault."""
    return isinstance(outcome, Failure) and outcome.shared and not outcome.sent


def _gone(failure: Failure, seconds: float) -> str:
    away = failure.kind is Kind.UNAVAILABLE
    what = "The service has been away" if away else "No call was answered as it should be"
    return (
        f"{what} for {seconds:.0f} s: {failure.message.rstrip('.')}. Everything recorded is kept; "
        f"continue when {'it is back' if away else 'that is mended'}."
    )
