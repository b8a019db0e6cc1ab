"""The platform in async mode as a pure simulation: a bucket, and jobs behind it.

Rules (docs/platform.md, "Jobs through the bucket"): every object put is a job; so many run at a
time, the others wait in the cluster for as long as it takes; each needs a while to start before the
model works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio

from batchinfer.domain import Failure, Item, Reply, Submitted
from batchinfer.ports import EmitOutput, OpenItems, OutputArrival, RecoverableItems, SubmittedObject
from benchmarks.flow.calls import number_of
from benchmarks.flow.plans import JobPlan
from benchmarks.flow.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Job:
    """An object in the bucket that is a job in the cluster."""

    number: int
    """Of the item in the source."""
    position: int
    attempt: int


@dataclass(slots=True)
class Cluster:
    """The ports `Backend` and `Watcher` over the simulated cluster."""

    plan: JobPlan
    timeline: Timeline
    up: int = 0
    """Jobs running."""
    put: int = 0
    """Objects put so far."""
    done: int = 0
    queue: deque[Job] = field(default_factory=deque)
    outputs: list[Job] = field(default_factory=list)
    """Finished, and not yet taken from the bucket."""
    most_waiting: int = 0
    _times: dict[int, int] = field(default_factory=dict)
    _known: set[Job] = field(default_factory=set)

    def __post_init__(self) -> None:
        for begin, _ in self.plan.ceiling:
            self.timeline.at(begin, self._fill)

    @property
    def ceiling(self) -> int:
        """How many jobs may run now."""
        return self.plan.ceiling_at(self.timeline.now)

    @property
    def waiting(self) -> int:
        """Jobs that do not run yet."""
        return len(self.queue)

    async def attempt(self, item: Item, number: int) -> Submitted | Failure:
        """Put the object."""
        await anyio.sleep(self.plan.latency)
        self.timeline.catch_up()
        return self.submit(item, number)

    def begin(
        self, item: Item, number: int, answer: Callable[[Submitted], None]
    ) -> Callable[[], None]:
        """Put the object as soon as it has come here; return what gives that up."""
        given_up: list[bool] = []

        def come() -> None:
            if not given_up:
                answer(self.submit(item, number))

        self.timeline.after(self.plan.latency, come)
        return lambda: given_up.append(True)

    def submit(self, item: Item, number: int) -> Submitted:
        """The object is here now: a job, unless it was here before."""
        job = Job(number_of(item), item.position, number)
        if job not in self._known:
            self._known.add(job)
            self.put += 1
            self.queue.append(job)
            self._fill()
            self.most_waiting = max(self.most_waiting, len(self.queue))
        return Submitted(f"run-{item.position}-{number}")

    async def poll(self, items: OpenItems, emit: EmitOutput) -> None:
        """See `OutputWatcher`."""
        await anyio.sleep(self.plan.latency)
        seen, self.outputs = self.outputs, []
        open_items = await items.fetch_open({job.position for job in seen})
        for job in seen:
            if job.position in open_items:
                await emit(OutputArrival(open_items[job.position], job.attempt, Reply()))

    async def find_unrecorded(
        self,
        items: RecoverableItems,
        mark_submitted: Callable[[Sequence[SubmittedObject]], Awaitable[None]],
    ) -> None:
        """See `OutputWatcher`: nothing was there before."""

    async def cleanup(self, items: OpenItems) -> None:
        """See `OutputWatcher`: nothing is left over."""

    def _fill(self) -> None:
        while self.queue and self.up < self.ceiling:
            job = self.queue.popleft()
            nth = self._times.get(job.number, 0)
            self._times[job.number] = nth + 1
            self.up += 1
            seconds = self.plan.overhead + self.plan.draws.seconds(job.number, nth)
            self.timeline.after(seconds, partial(self._finish, job))

    def _finish(self, job: Job) -> None:
        self.up -= 1
        self.done += 1
        self.outputs.append(job)
        self._fill()
