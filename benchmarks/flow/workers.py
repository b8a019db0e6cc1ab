"""Workers between the engine and the simulated platform: batches, delays, deaths, in virtual time.

The engine is at the coordinator, with the only controller; workers carry its attempts out. Rules:

1. An attempt goes to the worker with the fewest. One batch at a time is on its way to each worker,
   and what is to be sent meanwhile goes with the next; so do cancellations. Answers come back
   in the same way. A batch takes `Fleet.delay` seconds, and `Fleet.per_attempt` more for each
   attempt in it.
2. Workers differ in their way to the service (`Fleet.network`), come one after another
   (`Fleet.joins_within`), and die (`Fleet.lives`). The coordinator notices it later
   (`Fleet.notices`), and the attempts of the dead begin again elsewhere: what was in flight is
   given up, which is still served, and answers that were not delivered are lost.
3. In async mode an object that a dead worker had put is found there: it is no second job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random
from typing import Protocol, TypeAlias

import anyio

from batchinfer.domain import Item, Outcome, Submitted
from benchmarks.flow.timeline import Timeline

Answer: TypeAlias = Callable[[Outcome | Submitted], None]
GiveUp: TypeAlias = Callable[[], None]


class Platform(Protocol):
    """What workers send to."""

    def begin(self, item: Item, number: int, answer: Answer) -> GiveUp:
        """Begin an attempt; `answer` is called once, unless it is given up."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the workers are like. Times in seconds; pairs are the ends of a uniform distribution."""

    number: int
    delay: tuple[float, float] = (0.001, 0.02)
    """Of a batch, each way."""
    per_attempt: float = 0.0002
    """More for each attempt in a batch."""
    network: tuple[float, float] = (0.0, 0.1)
    """A worker's own way to the service, there and back."""
    joins_within: float = 60.0
    """The first is there from the start, the others come within this time."""
    lives: float = inf
    """A worker's life, in the mean (exponentially distributed)."""
    notices: tuple[float, float] = (0.1, 10.0)
    """After which the coordinator knows that one has died."""
    replaced_after: float = 30.0
    """After which another one comes instead."""


@dataclass(slots=True, eq=False)
class Errand:
    """An attempt that is carried out by a worker, or by several, one after another."""

    item: Item
    number: int
    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: Outcome | Submitted | None = None
    worker: Worker | None = None
    is_over: bool = False
    """Whether the engine still waits for it."""


@dataclass(slots=True, eq=False)
class Worker:
    """One worker, as the coordinator and the platform see it."""

    network: float
    errands: set[Errand] = field(default_factory=set)
    """Assigned to it and not answered."""
    running: dict[Errand, GiveUp] = field(default_factory=dict)
    """Of these, what it is calling the service for."""
    outbox: list[Errand] = field(default_factory=list)
    """At the coordinator: what goes with the next batch."""
    cancelled: list[Errand] = field(default_factory=list)
    inbox: list[tuple[Errand, Outcome | Submitted]] = field(default_factory=list)
    """At the worker: what comes back with the next batch."""
    is_sending: bool = False
    is_returning: bool = False
    is_dead: bool = False


class Workers:
    """A `Backend` that has its attempts carried out by workers."""

    def __init__(self, platform: Platform, timeline: Timeline, fleet: Fleet, seed: int) -> None:
        self.deaths = self.begun_again = 0
        """Workers that died; attempts that began again because of it."""
        self._platform, self._timeline, self._fleet = platform, timeline, fleet
        self._chance = Random(seed)
        self._workers: list[Worker] = []
        self._homeless: list[Errand] = []
        self._join()
        for _ in range(fleet.number - 1):
            timeline.at(self._chance.uniform(0.0, fleet.joins_within), self._join)

    async def attempt(self, item: Item, number: int) -> Outcome | Submitted:
        """See `Backend`."""
        errand = Errand(item, number)
        self._timeline.catch_up()
        self._assign(errand)
        try:
            await errand.done.wait()
        finally:
            errand.is_over = True
            if errand.outcome is None and errand.worker is not None:
                errand.worker.cancelled.append(errand)
                self._send(errand.worker)
        if errand.outcome is None:
            raise AssertionError("done without an outcome")
        return errand.outcome

    # To the worker --------------------------------------------------------------------------------

    def _assign(self, errand: Errand) -> None:
        if not self._workers:
            self._homeless.append(errand)
            return
        worker = min(self._workers, key=lambda one: len(one.errands))
        errand.worker = worker
        worker.errands.add(errand)
        worker.outbox.append(errand)
        self._send(worker)

    def _send(self, worker: Worker) -> None:
        if worker.is_sending or worker.is_dead or not (worker.outbox or worker.cancelled):
            return
        begun, worker.outbox = worker.outbox, []
        cancelled, worker.cancelled = worker.cancelled, []
        worker.is_sending = True
        self._after(len(begun), partial(self._arrive, worker, begun, cancelled))

    def _arrive(self, worker: Worker, begun: list[Errand], cancelled: list[Errand]) -> None:
        if worker.is_dead:
            return
        for errand in begun:
            if not errand.is_over:
                worker.running[errand] = lambda: None
                call = partial(self._call, worker, errand)
                self._timeline.after(worker.network / 2, call)
        for errand in cancelled:
            worker.errands.discard(errand)
            worker.running.pop(errand, lambda: None)()
        self._after(0, partial(self._sent, worker))

    def _sent(self, worker: Worker) -> None:
        worker.is_sending = False
        self._send(worker)

    def _call(self, worker: Worker, errand: Errand) -> None:
        if errand in worker.running:
            answer = partial(self._answered, worker, errand)
            give_up = self._platform.begin(errand.item, errand.number, answer)
            worker.running[errand] = give_up

    # And back -------------------------------------------------------------------------------------

    def _answered(self, worker: Worker, errand: Errand, outcome: Outcome | Submitted) -> None:
        self._timeline.after(worker.network / 2, partial(self._back, worker, errand, outcome))

    def _back(self, worker: Worker, errand: Errand, outcome: Outcome | Submitted) -> None:
        if worker.running.pop(errand, None) is not None:  # else it was cancelled meanwhile
            worker.inbox.append((errand, outcome))
            self._return(worker)

    def _return(self, worker: Worker) -> None:
        if not worker.is_returning and worker.inbox:
            worker.is_returning = True
            answers, worker.inbox = worker.inbox, []
            self._after(len(answers), partial(self._deliver, worker, answers))

    def _deliver(self, worker: Worker, answers: list[tuple[Errand, Outcome | Submitted]]) -> None:
        if worker.is_dead:
            return
        for errand, outcome in answers:
            worker.errands.discard(errand)
            if not errand.is_over:
                errand.outcome = outcome
                errand.done.set()
        self._after(0, partial(self._asked_again, worker))

    def _asked_again(self, worker: Worker) -> None:
        worker.is_returning = False
        self._return(worker)

    def _after(self, attempts: int, happen: Callable[[], None]) -> None:
        """A batch with so many attempts is on its way."""
        delay = self._chance.uniform(*self._fleet.delay) + attempts * self._fleet.per_attempt
        self._timeline.after(delay, happen)

    # Who comes and goes ---------------------------------------------------------------------------

    def _join(self) -> None:
        worker = Worker(self._chance.uniform(*self._fleet.network))
        self._workers.append(worker)
        homeless, self._homeless = self._homeless, []
        for errand in homeless:
            if not errand.is_over:
                self._assign(errand)
        if self._fleet.lives < inf:
            life = self._chance.expovariate(1 / self._fleet.lives)
            self._timeline.after(life, partial(self._die, worker))

    def _die(self, worker: Worker) -> None:
        self.deaths += 1
        worker.is_dead = True
        for give_up in worker.running.values():
            give_up()
        worker.running.clear()
        notices = self._chance.uniform(*self._fleet.notices)
        self._timeline.after(notices, partial(self._lose, worker))
        self._timeline.after(self._fleet.replaced_after, self._join)

    def _lose(self, worker: Worker) -> None:
        """The coordinator knows that it has died."""
        self._workers.remove(worker)
        for errand in sorted(worker.errands, key=lambda one: one.item.position):
            if not errand.is_over:
                self.begun_again += 1
                self._assign(errand)
