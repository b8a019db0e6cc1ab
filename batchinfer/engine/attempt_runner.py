"""Attempts in flight; and a second call for the last of them, when they take unusually long.

Rules (hedging):

1. Only at the end: all items were taken, and the service has idle containers. Before that a second
   call would only take another item's place.
2. A second call for an attempt that has taken `HEDGE_AFTER_FACTOR` times what nearly all others
   took. The first answer wins; the other call is cut off and never recorded.
3. At most `MAX_HEDGE_SHARE` of all attempts begun, and at least one.
4. An attempt that takes `ABANDON_AFTER_FACTOR` times that long, the second call too, is given up
   early as a timeout and tried again: once per item, for the next may really need the time.
5. The second call is made by another service, if there are several (`service_pool`).
6. An attempt that its backend has on hold is not in flight: neither 2 nor 4 concern it, and when it
   begins again, its time begins anew (`call_holds`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import anyio

from batchinfer.domain import Item, Outcome, ServiceSignal, Submitted, get_signal
from batchinfer.engine.call_holds import CallHolds, HeldCall
from batchinfer.engine.recorder import ChangeNotifier
from batchinfer.failures import make_abandoned_failure
from batchinfer.flow import Gate
from batchinfer.flow.loop_clock import loop_time
from batchinfer.ports import Backend, Clock, HoldingBackend

SpawnTask: TypeAlias = Callable[..., object]
"""Starts a task: `spawn(function, *args)`."""

HEDGE_QUANTILE: Final = 0.95
HEDGE_AFTER_FACTOR: Final = 1.5
ABANDON_AFTER_FACTOR: Final = 10.0
MIN_ABANDON_SECONDS: Final = 30.0
"""Seconds before which no attempt is given up early."""
MAX_HEDGE_SHARE: Final = 0.02
MIN_LATENCY_SAMPLES: Final = 20
"""Durations before which nothing is known of what is usual."""
MAX_LATENCY_SAMPLES: Final = 500


@dataclass(slots=True, eq=False)
class WorkItem:
    """An item in work, and where it stands in this process."""

    item: Item
    attempt_number: int
    """Of its next attempt."""
    added_at: float = field(default_factory=loop_time)
    """When it was taken, on the event loop's clock."""
    unavailable_count: int = 0
    """How often that attempt found the service away."""
    unavailable_since: float | None = None
    """When it did so first."""
    needs_budget: bool = False
    """It is tried again because of trouble of the service: the budget has to pay."""
    began: float = 0.0
    """When its latest attempt was let in by the gate, on the event loop's clock."""
    in_flight_at_start: int = 0
    """How many were in flight when its latest attempt began, itself included."""
    is_paid: bool = False
    """Whether the budget paid for the attempt in flight."""
    was_abandoned: bool = False
    """An attempt was given up before its time."""
    was_source_checked: bool = False
    """Its file could not be read, and its source was checked for that reason."""

    def unavailable_for(self, now: float) -> float:
        """Seconds that it has found the service away."""
        self.unavailable_since = now if self.unavailable_since is None else self.unavailable_since
        return now - self.unavailable_since


@dataclass(slots=True, eq=False)
class InFlightAttempt:
    """One attempt in flight, perhaps with a second call."""

    work: WorkItem
    scope: anyio.CancelScope
    """Holds the first call; its worker's, who does nothing else in it that may be cut off."""
    began: float
    """When it began, on the event loop's clock."""
    started_at: float
    """The same in seconds since the epoch."""
    hedge_scope: anyio.CancelScope | None = None
    call: HeldCall | None = None
    """The first call, where the backend may have it on hold."""
    answered_by: AttemptRunner | None = None
    """Who made the second call that answered; None: the first call ended it."""
    outcome: Outcome | Submitted | None = None
    """Of the first call; or what ended it from outside: the second call's answer, or that it was
    given up."""

    @property
    def is_held(self) -> bool:
        """Whether the first call is on hold."""
        return self.call is not None and self.call.is_held

    def finish(
        self, outcome: Outcome | Submitted, answered_by: AttemptRunner | None = None
    ) -> None:
        """End it with this outcome, from outside."""
        if self.outcome is None:
            self.outcome, self.answered_by = outcome, answered_by
            self.scope.cancel()


class Latencies:
    """The last durations of answered attempts, in seconds."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=MAX_LATENCY_SAMPLES)

    def add(self, seconds: float) -> None:
        """An attempt was answered."""
        self._recent.append(seconds)

    def quantile(self, share: float) -> float | None:
        """Seconds within which that share of them was answered; None while too few were."""
        if len(self._recent) < MIN_LATENCY_SAMPLES:
            return None
        return sorted(self._recent)[int(share * (len(self._recent) - 1))]


class AttemptRunner:
    """Makes the attempts."""

    def __init__(
        self,
        backend: Backend,
        gate: Gate,
        wakeup: ChangeNotifier,
        holds: CallHolds,
        *,
        hedge: bool,
        clock: Clock,
        service: str | None = None,
    ) -> None:
        """`service`: its name, where there are several."""
        self.service = service
        self.latencies = Latencies()
        self.is_source_exhausted = False
        """Whether those in flight are the last."""
        self._backend, self._gate, self._wakeup = backend, gate, wakeup
        self._holding_backend = backend if isinstance(backend, HoldingBackend) else None
        self._holds, self._clock, self._is_hedging = holds, clock, hedge
        self._in_flight: dict[int, InFlightAttempt] = {}
        self._attempt_count = self._hedge_count = 0
        self.acquire_hedger: Callable[[], AttemptRunner | None] = self._acquire_slot
        """Who makes a second call, with a slot taken for it; None: nobody can."""

    async def run_attempt(self, in_flight: InFlightAttempt) -> None:
        """Make the first call, within the attempt's scope; set the outcome."""
        work = in_flight.work
        self._in_flight[work.item.position] = in_flight
        self._attempt_count += 1
        try:
            # An answer that is here counts, also if the second call's came in this moment.
            if self._holding_backend is None:
                in_flight.outcome = await self._backend.attempt(work.item, work.attempt_number)
            else:
                in_flight.call = HeldCall(
                    self._holds, lambda: self._restart(in_flight), in_flight.scope.cancel
                )
                in_flight.outcome = await self._call_timed(
                    self._holding_backend, work, in_flight.call
                )
        finally:
            del self._in_flight[work.item.position]
            if in_flight.hedge_scope is not None:
                in_flight.hedge_scope.cancel()

    async def _call_timed(
        self, backend: HoldingBackend, work: WorkItem, call: HeldCall
    ) -> Outcome | Submitted:
        try:
            return await backend.attempt_timed(work.item, work.attempt_number, call)
        finally:
            call.end()

    def _restart(self, in_flight: InFlightAttempt) -> None:
        """The first call begins (again)."""
        now, work = loop_time(), in_flight.work
        self._gate.health.on_restart(in_flight.began, now)
        in_flight.began, in_flight.started_at = now, self._clock()
        work.in_flight_at_start = self._gate.in_flight - self._holds.held_count
        if self._in_flight.pop(work.item.position, None) is not None:
            self._in_flight[work.item.position] = in_flight  # the youngest is the last
        if self.is_source_exhausted:
            self._wakeup.notify()

    def stop(self) -> None:
        """Cut off what is on hold, now and from now on."""
        self._holds.is_stopping = True
        for in_flight in self._in_flight.values():
            if in_flight.is_held:
                in_flight.scope.cancel()

    async def hedge_stragglers(self, spawn_worker: SpawnTask) -> None:
        """Send second calls as the rules above say, for as long as the run goes on."""
        while self._is_hedging:
            change_count = self._wakeup.count
            usual_seconds = (
                self.latencies.quantile(HEDGE_QUANTILE) if self.is_source_exhausted else None
            )
            next_check = (
                None if usual_seconds is None else self._hedge_overdue(spawn_worker, usual_seconds)
            )
            with anyio.move_on_after(next_check):
                await self._wakeup.wait_changed(change_count)

    def _hedge_overdue(self, spawn_worker: SpawnTask, usual_seconds: float) -> float | None:
        """Send the second calls that are due; seconds until the next may be, None: never."""
        now = loop_time()
        hedge_after = HEDGE_AFTER_FACTOR * usual_seconds
        abandon_after = max(ABANDON_AFTER_FACTOR * usual_seconds, MIN_ABANDON_SECONDS)
        waits: list[float] = []
        for in_flight in list(self._in_flight.values()):  # the oldest first
            if in_flight.is_held:
                continue
            age = now - in_flight.began
            is_alone = in_flight.hedge_scope is None
            if is_alone and self._can_hedge():
                if age < hedge_after:
                    waits.append(hedge_after - age)
                elif (hedger := self.acquire_hedger()) is not None:
                    self._hedge_count += 1
                    hedger.spawn_hedge(in_flight, spawn_worker)
            if age < abandon_after:
                waits.append(abandon_after - age)
            elif not in_flight.work.was_abandoned:
                in_flight.work.was_abandoned = True
                in_flight.finish(make_abandoned_failure(age, ABANDON_AFTER_FACTOR))
            if is_alone and age < hedge_after:
                break  # the others are younger, so nothing is due for them before
        return max(0.05, min(waits)) if waits else None

    def _can_hedge(self) -> bool:
        estimated_servers = self._gate.limit.estimated_servers
        has_idle_server = estimated_servers is None or self._gate.in_flight < estimated_servers
        return has_idle_server and self._hedge_count < max(
            1.0, MAX_HEDGE_SHARE * self._attempt_count
        )

    @property
    def hedges(self) -> bool:
        """Whether second calls are made at all."""
        return self._is_hedging

    @property
    def attempts_in_flight(self) -> Sequence[InFlightAttempt]:
        """The oldest first."""
        return list(self._in_flight.values())

    def spawn_hedge(self, in_flight: InFlightAttempt, spawn_worker: SpawnTask) -> None:
        """Make the second call of an attempt here, on a slot that was taken for it."""
        in_flight.hedge_scope = hedge_scope = anyio.CancelScope()
        spawn_worker(self._run_hedge, in_flight, hedge_scope)

    def _acquire_slot(self) -> AttemptRunner | None:
        return self if self._gate.try_acquire() else None

    async def _run_hedge(self, in_flight: InFlightAttempt, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                work = in_flight.work
                if self._holding_backend is None:
                    outcome = await self._backend.attempt(work.item, work.attempt_number)
                else:
                    call = HeldCall(self._holds, lambda: None, scope.cancel)
                    outcome = await self._call_timed(self._holding_backend, work, call)
                if get_signal(outcome) is ServiceSignal.ANSWERED:
                    in_flight.finish(outcome, self)
        finally:
            self._gate.release()
            self._wakeup.notify()
