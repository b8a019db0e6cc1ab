"""The items in work: each has a slot, an attempt, a decision, a record; perhaps, later, again.

Rules:

1. There is one worker for each attempt in flight; it takes item after item, for a task per item
   would cost more than all else here. `stop` does not touch workers: they finish their attempt.
2. An item that backs off holds no slot and no worker; `stop` ends its back-off.
3. The gate says whether an attempt may begin, the retry budget whether a retry is affordable. Where
   only time stands in the way, `_wake_when_gate_opens` wakes up when it has passed.
4. While the service is away nothing backs off: all items wait together for the probe.
5. While all calls are on hold (`call_holds`) nothing begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

import anyio

from batchinfer.domain import (
    UNSENT_SIGNALS,
    Attempt,
    Failure,
    Item,
    Outcome,
    Record,
    Reply,
    ServiceSignal,
    State,
    Submitted,
    get_signal,
)
from batchinfer.engine.attempt_runner import AttemptRunner, InFlightAttempt, SpawnTask, WorkItem
from batchinfer.engine.call_holds import CallHolds
from batchinfer.engine.decisions import DecisionMaker
from batchinfer.engine.fault_attribution import FaultAttribution
from batchinfer.engine.recorder import ChangeNotifier, Recorder, make_record
from batchinfer.engine.run_policy import RunPolicy
from batchinfer.engine.service_outage import ServiceOutage, Watchdog
from batchinfer.engine.waiting_items import WaitingItems
from batchinfer.flow import AttemptSample, Gate, LimitAdjustment, RetryBudget, ServiceState
from batchinfer.flow.loop_clock import loop_time
from batchinfer.flow.retries import Finish, Retry, WaitForService
from batchinfer.ports import Backend, Clock, Observer

EXPECTED_SECONDS_WEIGHT: Final = 0.1
"""Of the latest answer, in the time that is expected until the next one."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ServiceRole:
    """What the scheduler of one of several services has to do with the others (`service_pool`)."""

    name: str | None = None
    waiting: WaitingItems = field(default_factory=WaitingItems)
    """Items that wait for whichever service is free."""
    wake_all: Callable[[], None] | None = None
    """Lets all services take what waits; None: there is one."""
    may_take: Callable[[], bool] | None = None
    """Whether this service may take an item; None: always."""
    may_give_up: Callable[[], bool] = _always
    """Whether the run ends when this service is given up."""


class Scheduler:
    """The items in work: in flight, ready, or backing off."""

    def __init__(
        self,
        backend: Backend,
        gate: Gate,
        recorder: Recorder,
        fault_attribution: FaultAttribution,
        *,
        policy: RunPolicy,
        observer: Observer,
        clock: Clock,
        jitter: Callable[[], float],
        on_limit_change: Callable[[LimitAdjustment | None], None],
        role: ServiceRole | None = None,
    ) -> None:
        """`role`: of one of several services; None: there is one."""
        role = role or ServiceRole()
        self.expected_seconds: float | None = None
        """Seconds that an answer takes of late; None: there was none."""
        self.last_answer_at = -inf
        """When the latest answer came, on the event loop's clock."""
        self._may_take, self._service = role.may_take, role.name
        self._wake_all = role.wake_all or self.spawn_workers
        self._gate, self._recorder, self._clock = gate, recorder, clock
        self._on_limit_change, self._fault_attribution = on_limit_change, fault_attribution
        self._backing_off = 0
        self._retry_budget = RetryBudget()
        self._waiting = role.waiting
        self._ready, self._retries = role.waiting.ready, role.waiting.retries
        self._was_last_fresh = True
        self._wakeup = ChangeNotifier()
        self._watchdog = Watchdog(
            policy.first_answer_timeout, lambda: gate.in_flight, role.may_give_up
        )
        self._holds = CallHolds(
            gate, fault_attribution.denials, self._watchdog, self._wakeup, on_limit_change
        )
        self.attempt_runner = AttemptRunner(
            backend,
            gate,
            self._wakeup,
            self._holds,
            hedge=policy.hedge,
            clock=clock,
            service=role.name,
        )
        self._outage = ServiceOutage(
            gate.health,
            fault_attribution.denials,
            self._watchdog,
            policy,
            observer=observer,
            may_give_up=role.may_give_up,
        )
        self._decisions = DecisionMaker(gate.health, policy, jitter)
        self._spawn_worker: SpawnTask
        self._spawn_background: SpawnTask
        self._is_stopped = False

    def start(self, spawn_worker: SpawnTask, spawn_background: SpawnTask) -> None:
        """Begin. `spawn_worker` starts a task that `stop` leaves alone, the other one it ends."""
        self._spawn_worker, self._spawn_background = spawn_worker, spawn_background
        spawn_background(self._wake_when_gate_opens)
        spawn_background(self._watchdog.watch)
        spawn_background(self.attempt_runner.hedge_stragglers, spawn_worker)

    def add(self, item: Item) -> None:
        """Take an item; its attempt begins as soon as there is a slot for it."""
        self.attempt_runner.is_source_exhausted = False
        self._ready.append(WorkItem(item, item.attempts + 1))
        self.spawn_workers()

    @property
    def delayed_count(self) -> int:
        """Items that back off here."""
        return self._backing_off

    @property
    def backing_off_count(self) -> int:
        """Items that back off, or wait until the budget can pay for their retry."""
        return self._backing_off + len(self._retries)

    def mark_source_exhausted(self) -> None:
        """All items were taken: those in flight now are the last."""
        self.attempt_runner.is_source_exhausted = True
        self._wakeup.notify()

    @property
    def held_back_count(self) -> int:
        """Items that were denied, and whose verdict is held back."""
        return self._fault_attribution.held_back_count

    @property
    def held_back_message(self) -> str:
        """Why the first of them was denied; empty: none was."""
        return self._fault_attribution.held_back_message

    def fail_held_back(self) -> None:
        """Fail what is held back: nothing else is left to do, so it is the fault of those items."""
        for work, attempt in self._fault_attribution.release_held_back():
            self._spawn_worker(self._recorder.put, self._make_failed_record(work, attempt))

    def release_ready(self, count: int) -> Sequence[int]:
        """Give back at most so many ready items, the last first; their positions."""
        released = [self._ready.pop() for _ in range(min(count, len(self._ready)))]
        return [work.item.position for work in released]

    def stop(self) -> None:
        """Begin no further attempt."""
        self._is_stopped = self._fault_attribution.is_stopping = True
        self._waiting.clear()
        self.attempt_runner.stop()

    def spawn_workers(self) -> None:
        """Start as many workers as are needed and allowed."""
        if self._gate.is_full:
            return
        while self._has_waiting() and self._gate.try_acquire():
            self._spawn_worker(self._run_worker, self._next_work())
        if self._has_waiting() and not self._gate.is_full:
            self._wakeup.notify()

    def _has_waiting(self, held_slots: int = 0) -> bool:
        """Whether an item waits for its attempt; `held_slots`: slots that the caller holds."""
        if self._may_take is not None and self._waiting and not self._may_take():
            return False
        return bool(self._ready) or self._can_retry(held_slots)

    def _can_retry(self, held_slots: int) -> bool:
        if not self._retries:
            return False
        if self._ready:
            # In turns, and never as a probe: items that always fail must not look like an outage.
            is_retry_turn = self._was_last_fresh and self._gate.health.state is ServiceState.WARM
            return is_retry_turn and self._retry_budget.tokens >= 1
        # With nothing else to do one retry at a time needs no token: the run must come to its end.
        return self._retry_budget.tokens >= 1 or self._gate.in_flight <= held_slots

    def _next_work(self, held_slots: int = 1) -> WorkItem:
        """The item that comes next."""
        self._was_last_fresh = not self._can_retry(held_slots)
        if self._was_last_fresh:
            return self._note_in_flight(self._ready.popleft())
        work = self._retries.popleft()
        work.is_paid = self._retry_budget.try_spend()
        return self._note_in_flight(work)

    def _note_in_flight(self, work: WorkItem) -> WorkItem:
        work.began = self._gate.last_start
        work.in_flight_at_start = self._gate.in_flight - self._holds.held_count
        return work

    async def _wake_when_gate_opens(self) -> None:
        """Start workers when only time had to pass: between probes, or by the rate limit."""
        while True:
            change_count = self._wakeup.count
            self.spawn_workers()
            opens_at = self._gate.next_open_at if self._has_waiting() else None
            seconds = None if opens_at is None else max(0.0, opens_at - loop_time())
            with anyio.move_on_after(seconds):
                await self._wakeup.wait_changed(max(change_count, self._wakeup.count))

    async def _run_worker(self, work: WorkItem) -> None:
        """Make attempts, item after item, as long as items wait and the gate allows it."""
        next_work: WorkItem | None = work
        try:
            while next_work is not None and not self._is_stopped:
                next_work = await self._run_attempts(next_work)
        finally:
            self._gate.release()
        self._wake_all()

    async def _run_attempts(self, work: WorkItem) -> WorkItem | None:
        """Make attempts until one is ended from outside, or no more may begin; what comes next.

        Only an attempt in flight is ever ended from outside, so one cancel scope serves for many:
        one for each would cost as much as all else that is done for an attempt here.
        """
        attempt = self._begin_attempt(work, anyio.CancelScope())
        with attempt.scope:
            while True:
                await self.attempt_runner.run_attempt(attempt)
                if attempt.scope.cancel_called:
                    break
                await self._conclude_attempt(attempt)
                if (next_work := self._take_next()) is None:
                    return None
                attempt = self._begin_attempt(next_work, attempt.scope)
        if attempt.outcome is None and self._is_stopped:
            return None  # it was on hold
        await self._conclude_attempt(attempt)
        return self._take_next()

    def _begin_attempt(self, work: WorkItem, scope: anyio.CancelScope) -> InFlightAttempt:
        # The gate's time, to the last digit: by it the service's health knows the attempt again.
        self._watchdog.on_call_start(work.began)
        return InFlightAttempt(work, scope, work.began, self._clock())

    def _take_next(self) -> WorkItem | None:
        """The item whose attempt begins now on a slot that is held; None: there is none."""
        if self._is_stopped or not self._has_waiting(held_slots=1) or not self._gate.try_reuse():
            return None
        return self._next_work()

    async def _conclude_attempt(self, in_flight: InFlightAttempt) -> None:
        """What follows from an attempt that has ended. Raises FatalError."""
        work, began, outcome = in_flight.work, in_flight.began, in_flight.outcome
        if outcome is None:
            raise AssertionError("only `InFlightAttempt.finish` cancels an attempt's scope")
        now = loop_time()
        answered_by = in_flight.answered_by or self.attempt_runner
        signal = self._update_flow_control(
            work, outcome, began, now, is_own=answered_by is self.attempt_runner
        )
        attempt = self._make_attempt(in_flight, round(now - began, 3), answered_by.service)
        if signal is ServiceSignal.DENIED:
            self._fault_attribution.hold_back(work, attempt)
            self._recorder.changes.notify()
            return
        if (
            signal is ServiceSignal.INPUT_UNREADABLE
            and not await self._fault_attribution.is_item_at_fault(work)
        ):
            self._ready.append(work)
            return
        if signal is ServiceSignal.ANSWERED and self._fault_attribution.denials.on_answer(began):
            for other, denied in self._fault_attribution.release_held_back():
                await self._recorder.put(self._make_failed_record(other, denied))
        decision = self._decisions.decide(work, attempt, signal)
        if isinstance(decision, WaitForService):
            work.unavailable_count += 1
        else:
            record = make_record(work.item, attempt, decision, self._clock())
            await self._recorder.put(record)
            if isinstance(decision, Finish):
                return
            work.attempt_number, work.unavailable_count, work.unavailable_since = (
                work.attempt_number + 1,
                0,
                None,
            )
        work.needs_budget = signal in {
            ServiceSignal.OVERLOADED,
            ServiceSignal.TIMEOUT,
            ServiceSignal.ERROR,
        }
        if not self._is_stopped:
            self._put_back(work, decision)

    def _put_back(self, work: WorkItem, decision: Retry | WaitForService) -> None:
        """The item waits for its next attempt: with all others for the service, or by itself."""
        is_away = self._gate.health.is_down or self._gate.is_closed
        if isinstance(decision, WaitForService) and is_away:
            self._ready.append(work)
        else:
            self._spawn_background(self._back_off, work, decision.delay)

    def _make_attempt(
        self, in_flight: InFlightAttempt, seconds: float, service: str | None
    ) -> Attempt:
        """The attempt as it is recorded. Of what was taken over: as if it had been made here."""
        outcome, work, started_at = in_flight.outcome, in_flight.work, in_flight.started_at
        if outcome is None:
            raise AssertionError("it has not ended")
        if isinstance(outcome, Reply) and outcome.reused is not None:
            seconds = outcome.reused.seconds
            started_at, service = self._clock() - seconds, None
        number, params = work.attempt_number, work.item.params
        return Attempt(number, started_at, seconds, outcome, params, service)

    async def _back_off(self, work: WorkItem, delay: float) -> None:
        self._backing_off += 1
        self._recorder.changes.notify()
        try:
            await anyio.sleep(delay)
        finally:
            self._backing_off -= 1
        if work.needs_budget:
            self._retries.append(work)
        else:
            self._ready.appendleft(work)
        self._wake_all()

    # What an attempt shows ------------------------------------------------------------------------

    def _update_flow_control(
        self,
        work: WorkItem,
        outcome: Outcome | Submitted,
        began: float,
        now: float,
        *,
        is_own: bool,
    ) -> ServiceSignal:
        """Update flow control by how the attempt ended. Raises FatalError: away for too long.

        `is_own`: this service ended it, and no other one.
        """
        signal, health = get_signal(outcome), self._gate.health
        if not is_own:  # of this service nothing was heard
            health.on_unsent(began, now)
            return signal
        if signal in UNSENT_SIGNALS:
            health.on_unsent(began, now)
            if isinstance(outcome, Failure) and signal is ServiceSignal.LOCAL_SHORTAGE:
                self._fault_attribution.on_shortage(outcome, began, now)
            return signal
        self._watchdog.on_call_end()
        self._fault_attribution.on_sent(answered=signal is ServiceSignal.ANSWERED, now=now)
        if signal is ServiceSignal.DENIED:
            if not self._are_all_denied(work, began, now):
                health.on_unsent(began, now)
                return signal
            signal = ServiceSignal.UNREACHABLE
        retry_after = self._outage.requested_pause(outcome, now)
        recovered = health.on_outcome(signal, work.item.position, began, now, retry_after)
        if signal is ServiceSignal.ANSWERED:
            self._retry_budget.on_answer(paid=work.is_paid)
            work.is_paid = False
            self.attempt_runner.latencies.add(now - began)
            self._note_answer(now - began, now)
        self._outage.update(outcome, now)
        if recovered:
            self._on_limit_change(self._gate.limit.restart(now))
        if (limit := self._gate.limit).learns:
            self._on_limit_change(
                limit.update(self._make_sample(signal, work, outcome, began, now))
            )
        self.spawn_workers()
        return signal

    def _note_answer(self, seconds: float, now: float) -> None:
        self.last_answer_at = now
        expected = seconds if self.expected_seconds is None else self.expected_seconds
        self.expected_seconds = expected + EXPECTED_SECONDS_WEIGHT * (seconds - expected)

    def _make_sample(
        self,
        signal: ServiceSignal,
        work: WorkItem,
        outcome: Outcome | Submitted,
        began: float,
        now: float,
    ) -> AttemptSample:
        return AttemptSample(
            signal,
            now,
            now - began,
            self._gate.in_flight - self._holds.held_count,
            work.in_flight_at_start,
            saturated=self._gate.is_full and not self._holds.held_count and self._has_waiting(),
            server_seconds=getattr(outcome, "server_seconds", None),
        )

    def _are_all_denied(self, work: WorkItem, began: float, now: float) -> bool:
        """Whether a denial is no item's fault; then no item fails for it, and it is waited out."""
        denials, health = self._fault_attribution.denials, self._gate.health
        if not denials.on_denial(work.item.position, began) and not health.is_down:
            return False
        health.on_denied(began if denials.since is None else denials.since, now)
        self._ready.extend(other for other, _ in self._fault_attribution.release_held_back())
        return True

    def _make_failed_record(self, work: WorkItem, attempt: Attempt) -> Record:
        return make_record(work.item, attempt, Finish(State.FAILED), self._clock())
