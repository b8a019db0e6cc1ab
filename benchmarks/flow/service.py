"""The platform in sync mode as a pure simulation: containers, their queue, their autoscaler.

Rules (docs/platform.md, "Synchronous calls", and what Knative does):

1. One call in each container at a time; ten may wait per container that is up, in one queue; who
   comes then is told 503 at once. Two users who wait are served in turns.
2. The autoscaler looks every `LOOK` seconds and wants as many containers as calls are inside, up to
   the ceiling. A container that was not wanted for `grace` seconds goes; the last one too.
3. Without a container a call is told at once that the service is cold, and starts one.
4. When the ceiling falls, containers finish their call first.
5. A call given up by its client is still served when its turn comes, to its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from random import Random
from typing import Final

from batchinfer.domain import Failure, FailureKind, Outcome, Reply, ServiceSignal
from benchmarks.flow.plans import Burst, Guest, Plan
from benchmarks.flow.timeline import Timeline, ticks

LOOK: Final = 2.0
WAITING_EACH: Final = 10
OTHER: Final = -1
"""Position of calls that are not ours."""
BUSY: Final = 1.0
"""Seconds after which the other user comes again when he was refused."""

COLD: Final = Failure("cold_start", "not ready", FailureKind.UNAVAILABLE)
UNREACHABLE: Final = Failure("unreachable", "no connection", FailureKind.UNAVAILABLE)
FULL: Final = Failure(
    "http_503",
    "pending request queue full",
    FailureKind.TRANSIENT,
    signal=ServiceSignal.OVERLOADED,
)
DOWN: Final = Failure(
    "http_503", "no healthy upstream", FailureKind.TRANSIENT, signal=ServiceSignal.OVERLOADED
)
TOO_MANY: Final = Failure(
    "http_429", "too many", FailureKind.TRANSIENT, signal=ServiceSignal.OVERLOADED
)
TIMEOUT: Final = Failure(
    "timeout", "no answer in time", FailureKind.TRANSIENT, signal=ServiceSignal.TIMEOUT
)


@dataclass(slots=True, eq=False)
class Call:
    """One call on its way."""

    position: int
    """Of its item in the source, whatever the order in which items are sent."""
    answer: Callable[[Outcome], None]
    """Called once, when the client knows."""
    is_over: bool = False
    """Whether the client has an answer, or has given up."""


@dataclass(slots=True)
class Tally:
    """What became of the calls at the service."""

    served: int = 0
    """Ours, to their end, whether or not anybody still waited."""
    refused: int = 0
    seconds: float = 0.0
    """Of work, for us."""


@dataclass(slots=True)
class Service:
    """See the rules above."""

    plan: Plan
    timeline: Timeline
    up: int = 0
    """Containers up, the busy ones included."""
    starting: int = 0
    busy: int = 0
    ours_inside: int = 0
    """Our calls that are served or wait."""
    ours_coming: int = 0
    """Our calls that are still on the wire."""
    asked: bool = False
    """Whether a cold service has been called since the autoscaler looked last."""
    ours_waiting: deque[Call] = field(default_factory=deque)
    guests_waiting: deque[Call] = field(default_factory=deque)
    tally: Tally = field(default_factory=Tally)
    most_waiting: int = 0
    """In the queue, at most."""
    changed: Callable[[], None] = lambda: None
    """Called whenever another call may find room."""
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    """When how many containers were wanted; what more were wanted after is left out."""
    _pulled: bool = False
    _guests_turn: bool = False
    _next_let_through: float = 0.0
    _sent: deque[tuple[float, Call]] = field(default_factory=deque)
    """Calls on their way, and when they are given up."""
    _times: dict[int, int] = field(default_factory=dict)
    _chance: Random = field(default_factory=lambda: Random(7))

    def __post_init__(self) -> None:
        plan, at = self.plan, self.timeline.at
        self.up = plan.warm
        self._wanted.append((0.0, plan.warm))
        self._pulled = plan.warm > 0
        at(0.0, self._look)
        for begin, _ in plan.ceiling:
            at(begin, self._retire)
        for begin, end in plan.closures:
            at(begin, self._send_away)
            at(end, lambda: self.changed())  # noqa: PLW0108 - set later
        for guest in plan.guests:
            at(guest.begin, partial(self._come, guest))

    # What a client sees ---------------------------------------------------------------------------

    def send(self, position: int, answer: Callable[[Outcome], None]) -> Call:
        """Send a call; `answer` is called when it is answered or has timed out."""
        call = Call(position, answer)
        self.ours_coming += 1
        self.timeline.after(self.plan.latency / 2, lambda: self._arrive(call))
        self._sent.append((self.timeline.now + self.plan.timeout, call))
        if len(self._sent) == 1:
            self._give_up()
        return call

    def _give_up(self) -> None:
        """Whose time is over hears it now; come back when the next one's is."""
        while self._sent and (self._sent[0][1].is_over or self._sent[0][0] <= self.timeline.now):
            _, call = self._sent.popleft()
            self._deliver(call, TIMEOUT)
        if self._sent:
            self.timeline.at(self._sent[0][0], self._give_up)

    @property
    def ceiling(self) -> int:
        """How many containers there may be now."""
        return self.plan.ceiling_at(self.timeline.now)

    @property
    def done(self) -> int:
        """Calls of ours served to their end."""
        return self.tally.served

    @property
    def waiting(self) -> int:
        """Calls in the queue, anybody's."""
        return len(self.ours_waiting) + len(self.guests_waiting)

    @property
    def inside(self) -> int:
        """Calls that are served or wait, anybody's."""
        return self.busy + self.waiting

    def lets_through(self) -> float:
        """When a call that is sent then will not meet an outage or a burst."""
        now, plan = self.timeline.now, self.plan
        if outage := plan.outage_at(now):
            return outage.end
        if burst := plan.burst_at(now):
            if burst.rate:
                return min(burst.end, max(now, self._next_let_through))
            return burst.end
        return now

    # A call's way ---------------------------------------------------------------------------------

    def _arrive(self, call: Call) -> None:
        self.ours_coming -= 1
        burst = self.plan.burst_at(self.timeline.now)
        if self._is_sent_away(call, through=burst is not None and self._is_let_through(burst)):
            return
        self._enter(call)

    def _is_sent_away(self, call: Call, *, through: bool) -> bool:
        """Whether an outage or a burst kept it from coming in."""
        now, plan = self.timeline.now, self.plan
        if outage := plan.outage_at(now):
            if outage.kind != "hang":
                self._refuse(call, UNREACHABLE if outage.kind == "unreachable" else DOWN)
            return True
        if (burst := plan.burst_at(now)) and not through:
            after = round(burst.end - now, 1) if burst.retry_after else None
            self._refuse(call, replace(TOO_MANY, retry_after=after))
            return True
        return False

    def _send_away(self) -> None:
        """An outage or a burst begins: those who wait meet it when their turn comes, so now."""
        waiting, self.ours_waiting = self.ours_waiting, deque()
        for call in waiting:
            self._count(call, -1)
            self._is_sent_away(call, through=False)

    def _enter(self, call: Call) -> None:
        if self.up == 0:
            self.asked = True
            self._refuse(call, COLD)
        elif self.busy < self.up:
            self._count(call, 1)
            self._serve(call)
        elif self.waiting >= WAITING_EACH * self.up:
            self._refuse(call, FULL)
        else:
            self._count(call, 1)
            (self.guests_waiting if call.position == OTHER else self.ours_waiting).append(call)
            self.most_waiting = max(self.most_waiting, self.waiting)

    def _serve(self, call: Call) -> None:
        self.busy += 1
        nth = self._times.get(call.position, 0)
        self._times[call.position] = nth + 1
        seconds = ticks(self.plan.draws.seconds(call.position, nth))
        self.timeline.after(seconds, lambda: self._finish(call, seconds))

    def _finish(self, call: Call, seconds: float) -> None:
        self.busy -= 1
        self._count(call, -1)
        if call.position != OTHER:
            self.tally.served += 1
            self.tally.seconds += seconds
        told = round(seconds, 6) if self.plan.tells else None
        self._answer(call, Reply(server_seconds=told))
        if self.up > self.ceiling:
            self.up -= 1
        else:
            self._next()
        self.changed()

    def _next(self) -> None:
        """The next in the queue, in turns where two users wait."""
        guests = self.guests_waiting and (self._guests_turn or not self.ours_waiting)
        queue = self.guests_waiting if guests else self.ours_waiting
        if queue:
            self._guests_turn = not guests
            self._serve(queue.popleft())

    def _refuse(self, call: Call, failure: Failure) -> None:
        self.tally.refused += call.position != OTHER
        self._answer(call, failure)

    def _answer(self, call: Call, outcome: Outcome) -> None:
        self.timeline.after(self.plan.latency / 2, lambda: self._deliver(call, outcome))

    def _deliver(self, call: Call, outcome: Outcome) -> None:
        if not call.is_over:
            call.is_over = True
            call.answer(outcome)

    def _count(self, call: Call, change: int) -> None:
        if call.position != OTHER:
            self.ours_inside += change

    def _is_let_through(self, burst: Burst) -> bool:
        now = self.timeline.now
        if not burst.rate or now < self._next_let_through:
            return False
        self._next_let_through = max(self._next_let_through, now - 1 / burst.rate) + 1 / burst.rate
        return True

    # Containers -----------------------------------------------------------------------------------

    def _look(self) -> None:
        """The autoscaler's."""
        now, wants = self.timeline.now, max(self.inside, int(self.asked))
        self.asked = False
        while self._wanted and self._wanted[-1][1] <= wants:
            self._wanted.pop()
        self._wanted.append((now, wants))
        while self._wanted[0][0] < now - self.plan.grace:
            self._wanted.popleft()
        for _ in range(min(wants, self.ceiling) - self.up - self.starting):
            self._start()
        keeps = self._wanted[0][1]
        self.up -= max(0, min(self.up - self.busy, self.up - keeps))
        self.timeline.after(LOOK, self._look)

    def _start(self) -> None:
        self.starting += 1
        pull = 0.0 if self._pulled else self.plan.pull
        self._pulled = True
        jitter = 0.9 + 0.2 * self._chance.random()
        self.timeline.after(pull + self.plan.start_up * jitter, self._started)

    def _started(self) -> None:
        self.starting -= 1
        if self.up < self.ceiling:
            self.up += 1
            self._next()
            self.changed()

    def _retire(self) -> None:
        """The ceiling has changed: idle containers beyond it go at once."""
        self.up -= max(0, min(self.up - self.busy, self.up - self.ceiling))
        self.changed()

    # The other user -------------------------------------------------------------------------------

    def _come(self, guest: Guest) -> None:
        for _ in range(guest.calls):
            self._again(guest)

    def _again(self, guest: Guest) -> None:
        if self.timeline.now >= guest.end:
            return

        def answered(outcome: Outcome) -> None:
            pause = 0.0 if isinstance(outcome, Reply) else BUSY
            self.timeline.after(pause, lambda: self._again(guest))

        call = Call(OTHER, answered)
        self.timeline.after(self.plan.latency / 2, lambda: self._enter(call))


def room_of(service: Service) -> int:
    """How many more calls would find room."""
    if service.up == 0:
        return 0
    return service.up - service.busy + WAITING_EACH * service.up - service.waiting


def spare_of(plan: Plan, number: int) -> int:
    """Calls that must wait so that so many containers never do."""
    return 2 + ceil(2 * number * plan.latency / plan.draws.mean)
