"""An item's life: a slot, an attempt, a decision, a record; perhaps, after a rest, again.

Rules:

1. A worker for each attempt in flight; each lives item after item, for a task per item would cost
   more than all else here. A worker is on the side of the house that `stop` does not touch: what it
   is at, it finishes.
2. An item that rests (backs off) holds no slot and no worker; it rests on the side that `stop`
   closes.
3. Whether an attempt may begin is the gate's to say, whether a retry is affordable the budget's.
   Where only time stands in the way, `_wake_when_gate_opens` wakes up when it has passed.
4. While the service is away nobody rests: what comes back waits with all others for the probe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import anyio

from batchinfer.domain import Attempt, Failure, Item, Outcome, Record, State, Submitted
from batchinfer.engine.attempt_runner import AttemptRunner, SpawnTask, WorkItem
from batchinfer.engine.decisions import DecisionMaker
from batchinfer.engine.fault_attribution import FaultAttribution
from batchinfer.engine.recorder import ChangeNotifier, make_record
from batchinfer.engine.run_policy import EngineContext
from batchinfer.engine.service_outage import ServiceOutage
from batchinfer.engine.watchdog import Watchdog
from batchinfer.flow import (
    AttemptSample,
    Gate,
    RetryBudget,
    ServiceSignal,
    ServiceState,
    classify_outcome,
)
from batchinfer.ports import Backend
from batchinfer.retry_policy import Finish, WaitForService


class Scheduler:
    """The items alive: in flight, ready, or resting."""

    def __init__(self, backend: Backend, gate: Gate, context: EngineContext) -> None:
        self._backing_off = 0
        self._gate, self._context = gate, context
        gate.on_limit_change = context.on_limit_change
        self._recorder, self._clock = context.recorder, context.clock
        self._retry_budget = RetryBudget()
        self._ready: deque[WorkItem] = deque()
        self._retries: deque[WorkItem] = deque()
        """Retries after trouble of the service, which the budget has to pay for."""
        self._was_last_fresh = True
        self._wakeup = ChangeNotifier()
        self._attempt_runner = AttemptRunner(backend, gate, self._wakeup, context)
        self._fault_attribution = FaultAttribution(gate, context)
        self._watchdog = Watchdog(context.policy.first_answer_timeout, lambda: gate.in_flight)
        self._outage = ServiceOutage(
            gate.health, self._fault_attribution.denials, self._watchdog, context
        )
        self._decisions = DecisionMaker(gate.health, context)
        self._spawn_worker: SpawnTask
        self._spawn_background: SpawnTask
        self._is_stopped = False

    def start(self, spawn_worker: SpawnTask, spawn_background: SpawnTask) -> None:
        """Take up the work. `hire` starts a task that `stop` leaves alone, `rest` one it ends."""
        self._spawn_worker, self._spawn_background = spawn_worker, spawn_background
        spawn_background(self._wake_when_gate_opens)
        spawn_background(self._watchdog.watch)
        spawn_background(self._attempt_runner.hedge_stragglers, spawn_worker)

    def add(self, item: Item) -> None:
        """Let an item live as soon as there is a slot for it."""
        self._attempt_runner.is_source_exhausted = False
        self._ready.append(WorkItem(item, item.attempts + 1))
        self.spawn_workers()

    @property
    def backing_off_count(self) -> int:
        """Items that back off, or wait until the budget can pay for their retry."""
        return self._backing_off + len(self._retries)

    def mark_source_exhausted(self) -> None:
        """All items that there are were taken: what is in flight now are the last."""
        self._attempt_runner.is_source_exhausted = True
        self._wakeup.notify()

    @property
    def held_back_count(self) -> int:
        """Items that were refused, and whose verdict is held back."""
        return self._fault_attribution.held_back_count

    def fail_held_back(self) -> None:
        """Nothing but what is held back is left to do: it is the fault of those items."""
        for work, attempt in self._fault_attribution.release_held_back():
            self._spawn_worker(self._recorder.put, self._make_failed_record(work, attempt))

    def release_ready(self, count: int) -> Sequence[int]:
        """Let go of so many that are ready, the last first, at most; their positions."""
        released = [self._ready.pop() for _ in range(min(count, len(self._ready)))]
        return [work.item.position for work in released]

    def stop(self) -> None:
        """Begin no attempt any more."""
        self._is_stopped = self._fault_attribution.is_stopping = True
        self._ready.clear()
        self._retries.clear()

    def spawn_workers(self) -> None:
        """Hire as many workers as are needed and allowed."""
        while self._has_waiting() and self._gate.try_acquire():
            self._spawn_worker(self._run_worker, self._next_work())
        if self._has_waiting() and not self._gate.is_full:
            self._wakeup.notify()

    def _has_waiting(self, held_slots: int = 0) -> bool:
        """Whether a life waits for its attempt; `held`: slots that whoever asks holds."""
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
        """The life that comes next."""
        self._was_last_fresh = not self._can_retry(held_slots)
        if self._was_last_fresh:
            return self._note_in_flight(self._ready.popleft())
        work = self._retries.popleft()
        work.is_paid = self._retry_budget.try_spend()
        return self._note_in_flight(work)

    def _note_in_flight(self, work: WorkItem) -> WorkItem:
        work.in_flight_at_start = self._gate.in_flight
        return work

    async def _wake_when_gate_opens(self) -> None:
        """Staff when nothing but time has passed: a rest between probes, the turn of a pace."""
        while True:
            change_count = self._wakeup.count
            self.spawn_workers()
            opens_at = self._gate.next_open_at if self._has_waiting() else None
            seconds = None if opens_at is None else max(0.0, opens_at - anyio.current_time())
            with anyio.move_on_after(seconds):
                await self._wakeup.wait_changed(max(change_count, self._wakeup.count))

    async def _run_worker(self, work: WorkItem) -> None:
        """One worker: life after life, as long as there are any and the gate lets it go on."""
        try:
            while not self._is_stopped:
                await self._run_attempt(work)
                if not self._has_waiting(held_slots=1) or not self._gate.try_reuse():
                    break
                work = self._next_work()
        finally:
            self._gate.release()
        self.spawn_workers()

    async def _run_attempt(self, work: WorkItem) -> None:
        """One attempt, and what follows from it. Raises FatalError."""
        started_at, began = self._clock(), anyio.current_time()
        self._watchdog.on_call_start(began)
        outcome = await self._attempt_runner.run_attempt(work, began)
        now = anyio.current_time()
        signal = self._update_flow_control(work, outcome, began, now)
        attempt = Attempt(
            work.attempt_number, started_at, round(now - began, 3), outcome, work.item.params
        )
        if signal is ServiceSignal.DENIED:
            self._fault_attribution.hold_back(work, attempt)
            self._recorder.changes.notify()
            return
        if _is_file_unreadable(outcome) and not await self._fault_attribution.is_item_at_fault(
            work
        ):
            self._ready.append(work)
            return
        if signal is ServiceSignal.ANSWERED and self._fault_attribution.denials.on_answer(began):
            for other, refusal in self._fault_attribution.release_held_back():
                await self._recorder.put(self._make_failed_record(other, refusal))
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
        if self._is_stopped:
            return
        if isinstance(decision, WaitForService) and self._gate.health.is_down:
            self._ready.append(work)
        else:
            self._spawn_background(self._back_off, work, decision.delay)

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
        self.spawn_workers()

    # What an attempt says -------------------------------------------------------------------------

    def _update_flow_control(
        self, work: WorkItem, outcome: Outcome | Submitted, began: float, now: float
    ) -> ServiceSignal | None:
        """Tell flow control how the attempt ended. Raises FatalError: away for too long."""
        signal, health = classify_outcome(outcome), self._gate.health
        if signal is None or signal is ServiceSignal.LOCAL_SHORTAGE:
            health.on_unsent(began, now)
            if signal is ServiceSignal.LOCAL_SHORTAGE and isinstance(outcome, Failure):
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
            self._attempt_runner.latencies.add(now - began)
        self._outage.update(outcome, now)
        if recovered:
            self._context.on_limit_change(self._gate.limit.restart(now))
        self._context.on_limit_change(
            self._gate.limit.update(self._make_sample(signal, work, outcome, began, now))
        )
        self.spawn_workers()
        return signal

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
            self._gate.in_flight,
            work.in_flight_at_start,
            saturated=self._gate.is_full and self._has_waiting(),
            server_seconds=getattr(outcome, "server_seconds", None),
        )

    def _are_all_denied(self, work: WorkItem, began: float, now: float) -> bool:
        """Whether a refusal is no item's fault; then nobody fails for it, and it is waited out."""
        denials, health = self._fault_attribution.denials, self._gate.health
        if not denials.on_denial(work.item.position, began) and not health.is_down:
            return False
        health.on_denied(began if denials.since is None else denials.since, now)
        self._ready.extend(other for other, _ in self._fault_attribution.release_held_back())
        return True

    def _make_failed_record(self, work: WorkItem, attempt: Attempt) -> Record:
        return make_record(work.item, attempt, Finish(State.FAILED), self._clock())


def _is_file_unreadable(outcome: Outcome | Submitted) -> bool:
    """Whether a file could not be read, which may be its source's fault."""
    return isinstance(outcome, Failure) and outcome.may_be_systemic and not outcome.sent
