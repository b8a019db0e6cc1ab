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

import anyio

from batchinfer.domain import Attempt, Failure, Item, Outcome, Record, State, Submitted
from batchinfer.engine.decisions import Decisions
from batchinfer.engine.flights import Flights, Life, Start
from batchinfer.engine.record import News, record_of
from batchinfer.engine.service_outage import ServiceOutage
from batchinfer.engine.suspicion import Suspicion
from batchinfer.engine.terms import Tools
from batchinfer.engine.watchdog import Watchdog
from batchinfer.flow import Budget, Condition, Gate, Sample, Sign, sign_of
from batchinfer.ports import Backend
from batchinfer.retry import Finish, Wait


class Lives:
    """The items alive: in flight, ready, or resting."""

    def __init__(self, backend: Backend, gate: Gate, tools: Tools) -> None:
        self._resting = 0
        self._gate, self._tools = gate, tools
        gate.adjusted = tools.adjusted
        self._recorder, self._clock = tools.recorder, tools.clock
        self._budget = Budget()
        self._ready: deque[Life] = deque()
        self._again: deque[Life] = deque()
        """Retries after trouble of the service, which the budget has to pay for."""
        self._fresh_last = True
        self._stir = News()
        self._flights = Flights(backend, gate, self._stir, tools)
        self._suspicion = Suspicion(gate, tools)
        self._watchdog = Watchdog(tools.terms.first_answer, lambda: gate.in_flight)
        self._outage = ServiceOutage(gate.health, self._suspicion.circuit, self._watchdog, tools)
        self._decisions = Decisions(gate.health, tools)
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
        decision = self._decisions.decide(life, attempt, sign)
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
        retry_after = self._outage.requested_rest(outcome, now)
        recovered = health.heard(sign, life.item.position, began, now, retry_after)
        if sign is Sign.ANSWERED:
            self._budget.answered(paid=life.paid)
            life.paid = False
            self._flights.latencies.note(now - began)
        self._outage.update(outcome, now)
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

    def _failed(self, life: Life, attempt: Attempt) -> Record:
        return record_of(life.item.position, attempt, Finish(State.FAILED), self._clock())


def _is_of_source(outcome: Outcome | Submitted) -> bool:
    """Whether a file could not be read, which may be its source's fault."""
    return isinstance(outcome, Failure) and outcome.shared and not outcome.sent
