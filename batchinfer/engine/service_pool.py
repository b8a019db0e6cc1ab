"""Several services of one model: work goes where an answer comes first.

Rules:

1. *One queue.* Each service has a scheduler, a gate, a limit, a budget and a health of its own, and
   takes from one queue whenever its gate is open: a fast one comes back more often. Of those that
   are free, the one with the shortest expected answer is first.
2. *The last items* go to a service only if it would answer before the others had answered all that
   waits (`may_take`), and never to one that is away.
3. *One that is away* is probed as always; what it lets down goes back to the queue, and to others.
   A call that is in flight there when nothing else is left to do gets a second call elsewhere; so
   does one at a service that has been silent for `SILENCE_FACTOR` times what an answer takes.
4. *One that refuses everything* (a wrong token: FatalError) is closed and said; its items go to the
   others. The error of the last one that is open ends the run.
5. *The run is given up* when the time of each is over, or it is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

import anyio

from batchinfer.domain import Failure, FailureKind, Item, Outcome, ServiceSignal, Submitted
from batchinfer.engine.attempt_runner import (
    HEDGE_AFTER_FACTOR,
    AttemptRunner,
    InFlightAttempt,
    SpawnTask,
    WorkItem,
)
from batchinfer.engine.scheduler import Scheduler, ServiceRole
from batchinfer.engine.waiting_items import WaitingItems
from batchinfer.errors import FatalError
from batchinfer.failures import (
    make_service_away_notice,
    make_service_back_notice,
    make_service_refused_notice,
)
from batchinfer.flow import Gate, ServiceState
from batchinfer.flow.loop_clock import loop_time
from batchinfer.ports import Backend, Event, Observer, OutageEnded, OutageOngoing

SILENCE_FACTOR: Final = 5.0
TICK_SECONDS: Final = 1.0
"""Seconds after which it is looked again who may take what waits."""


@dataclass(frozen=True, slots=True)
class PooledService:
    """One of several services of a run."""

    name: str
    backend: Backend = field(repr=False)
    gate: Gate = field(repr=False)


class _Member:
    """A service, and where it stands."""

    def __init__(self, service: PooledService) -> None:
        self.service, self.gate = service, service.gate
        self.scheduler: Scheduler
        self.expired_at = -inf
        """When its time was over, on the event loop's clock; an answer since then revokes it."""
        self.is_away_said = False

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def is_available(self) -> bool:
        """Whether it answers."""
        gate = self.gate
        return not gate.is_closed and not gate.paused and gate.health.state is ServiceState.WARM

    @property
    def is_given_up(self) -> bool:
        return self.gate.is_closed or self.expired_at > self.scheduler.last_answer_at

    @property
    def expected_seconds(self) -> float:
        """Until an answer; one that never answered is tried first, so that it is known."""
        return self.scheduler.expected_seconds or 0.0


MakeScheduler = Callable[[Backend, Gate, ServiceRole, Observer], Scheduler]


class ServicePool:
    """The schedulers of all services, as one. See the rules above, and `Scheduler`."""

    def __init__(
        self,
        services: Sequence[PooledService],
        make_scheduler: MakeScheduler,
        observer: Observer,
    ) -> None:
        self._observer, self._waiting = observer, WaitingItems()
        self._members = [_Member(service) for service in services]
        self._is_source_exhausted = self._is_stopped = self._is_outage_said = False
        for member in self._members:
            member.scheduler = make_scheduler(
                _GuardedBackend(self, member),
                member.gate,
                ServiceRole(
                    member.name,
                    self._waiting,
                    self.spawn_workers,
                    self._bind(self._may_take, member),
                    self._bind(self._may_give_up, member),
                ),
                _OutageObserver(self, member),
            )
            member.scheduler.attempt_runner.acquire_hedger = self._make_hedger_choice(member)

    # As one scheduler ---------------------------------------------------------------------------

    def start(self, spawn_worker: SpawnTask, spawn_background: SpawnTask) -> None:
        """See `Scheduler`."""
        for member in self._members:
            member.scheduler.start(spawn_worker, spawn_background)
        spawn_background(self._look_again, spawn_worker)

    def add(self, item: Item) -> None:
        """See `Scheduler`."""
        self._set_source_exhausted(value=False)
        self._waiting.ready.append(WorkItem(item, item.attempts + 1))
        self.spawn_workers()

    @property
    def backing_off_count(self) -> int:
        """See `Scheduler`."""
        delayed = sum(member.scheduler.delayed_count for member in self._members)
        return delayed + len(self._waiting.retries)

    def mark_source_exhausted(self) -> None:
        """See `Scheduler`."""
        self._set_source_exhausted(value=True)
        for member in self._members:
            member.scheduler.mark_source_exhausted()

    @property
    def held_back_count(self) -> int:
        """See `Scheduler`."""
        return sum(member.scheduler.held_back_count for member in self._members)

    @property
    def held_back_message(self) -> str:
        """See `Scheduler`."""
        messages = (member.scheduler.held_back_message for member in self._members)
        return next(filter(None, messages), "")

    def fail_held_back(self) -> None:
        """See `Scheduler`."""
        for member in self._members:
            member.scheduler.fail_held_back()

    def release_ready(self, count: int) -> Sequence[int]:
        """See `Scheduler`."""
        return self._members[0].scheduler.release_ready(count)

    def stop(self) -> None:
        """See `Scheduler`."""
        self._is_stopped = True
        for member in self._members:
            member.scheduler.stop()

    def spawn_workers(self) -> None:
        """See `Scheduler`: the service with the shortest expected answer first."""
        if self._is_stopped:
            return
        for member in sorted(self._members, key=lambda each: each.expected_seconds):
            member.scheduler.spawn_workers()

    def _set_source_exhausted(self, *, value: bool) -> None:
        self._is_source_exhausted = value
        for member in self._members:
            member.scheduler.attempt_runner.is_source_exhausted = value

    # Who takes what -----------------------------------------------------------------------------

    def _may_take(self, member: _Member) -> bool:
        """Whether a service may take an item now (rule 2)."""
        if member.gate.is_closed:
            return False
        others = [each for each in self._members if each is not member and each.is_available]
        others = [each for each in others if each.scheduler.expected_seconds]
        if not self._is_source_exhausted or not others:
            return True
        answers_per_second = sum(
            each.gate.effective_limit / each.expected_seconds for each in others
        )
        fastest = min(each.expected_seconds for each in others)
        until_answered = len(self._waiting) / answers_per_second + fastest
        if loop_time() - max(each.gate.last_start for each in others) > until_answered:
            return True  # they do not take it, whatever is expected of them
        if not member.is_available and len(self._waiting) <= sum(
            each.gate.effective_limit for each in others
        ):
            return False
        return (member.scheduler.expected_seconds or fastest) <= until_answered

    def _make_hedger_choice(self, member: _Member) -> Callable[[], AttemptRunner | None]:
        own = member.scheduler.attempt_runner.acquire_hedger

        def acquire_hedger() -> AttemptRunner | None:
            return self._acquire_elsewhere(member) or own()

        return acquire_hedger

    def _acquire_elsewhere(self, member: _Member) -> AttemptRunner | None:
        """A slot at another service that answers, the quickest first."""
        for other in sorted(self._members, key=lambda each: each.expected_seconds):
            if other is not member and other.is_available and other.gate.try_acquire():
                return other.scheduler.attempt_runner
        return None

    async def _look_again(self, spawn_worker: SpawnTask) -> None:
        """What only time changes: who may take what waits, and which call needs a second one."""
        while True:
            await anyio.sleep(TICK_SECONDS)
            if self._waiting:
                self.spawn_workers()
            elif self._is_source_exhausted:
                self._help_those_away(spawn_worker)

    def _help_those_away(self, spawn_worker: SpawnTask) -> None:
        """Send a second call elsewhere for what is in flight at a service that is away (rule 3)."""
        now = loop_time()
        for member in self._members:
            runner = member.scheduler.attempt_runner
            known = [each for each in self._members if each is not member and each.is_available]
            usual = min((each.scheduler.expected_seconds or inf for each in known), default=inf)
            attempts = runner.attempts_in_flight
            if not attempts or not runner.hedges or not _is_silent(member, attempts[0], usual):
                continue
            for in_flight in attempts:
                is_due = now - in_flight.began >= HEDGE_AFTER_FACTOR * usual
                if in_flight.hedge_scope is not None or in_flight.is_held or not is_due:
                    continue
                helper = self._acquire_elsewhere(member)
                if helper is None:
                    return
                helper.spawn_hedge(in_flight, spawn_worker)

    # What becomes of a service ------------------------------------------------------------------

    def _may_give_up(self, member: _Member) -> bool:
        """Whether the run ends, now that the time of this service is over (rule 5)."""
        member.expired_at = loop_time()
        return all(each.is_given_up for each in self._members)

    def refuse(self, member: _Member, error: FatalError) -> Failure:
        """A service refuses everything (rule 4). Raises the error when no other is open."""
        was_open, member.gate.is_closed = not member.gate.is_closed, True
        others = [each.name for each in self._members if not each.gate.is_closed]
        if not others:
            raise error
        if was_open:
            self._observer.notify(make_service_refused_notice(member.name, error, others))
        return Failure(
            error.code, error.message, FailureKind.UNAVAILABLE, signal=ServiceSignal.UNSENT
        )

    def on_outage(self, member: _Member, event: Event) -> None:
        """Say what became of a service: an outage of the run is one of all that are open."""
        others = [each for each in self._members if each is not member and not each.gate.is_closed]
        answering = [each.name for each in others if each.is_available]
        match event:
            case OutageOngoing(message=message) if answering:
                if not member.is_away_said:
                    member.is_away_said = True
                    self._observer.notify(make_service_away_notice(member.name, message, answering))
            case OutageOngoing():
                self._is_outage_said = True
                self._observer.notify(event)
            case OutageEnded(seconds=seconds):
                if self._is_outage_said:
                    self._is_outage_said = False
                    self._observer.notify(event)
                elif member.is_away_said:
                    self._observer.notify(make_service_back_notice(member.name, seconds))
                member.is_away_said = False
            case _:
                self._observer.notify(event)

    @staticmethod
    def _bind(ask: Callable[[_Member], bool], member: _Member) -> Callable[[], bool]:
        return lambda: ask(member)


def _is_silent(member: _Member, oldest: InFlightAttempt, usual_seconds: float) -> bool:
    """Whether a service with calls in flight is away, or might as well be.

    `usual_seconds`: what an answer takes elsewhere.
    """
    if not member.is_available:
        return True
    expected = member.scheduler.expected_seconds or usual_seconds
    since = max(member.scheduler.last_answer_at, oldest.began)
    return loop_time() - since > SILENCE_FACTOR * expected


class _GuardedBackend:
    """The backend of one service, whose refusal of everything is its own matter (rule 4)."""

    def __init__(self, pool: ServicePool, member: _Member) -> None:
        self._pool, self._member, self._backend = pool, member, member.service.backend

    async def attempt(self, item: Item, number: int) -> Outcome | Submitted:
        """See `ports.Backend`."""
        try:
            return await self._backend.attempt(item, number)
        except FatalError as error:
            return self._pool.refuse(self._member, error)


class _OutageObserver:
    """Hears of the outages of one service."""

    def __init__(self, pool: ServicePool, member: _Member) -> None:
        self._pool, self._member = pool, member

    def notify(self, event: Event) -> None:
        """See `ports.Observer`."""
        self._pool.on_outage(self._member, event)
