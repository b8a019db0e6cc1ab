"""The engine's ports over the simulated platform, sync mode; and what became of every call."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from math import inf

import anyio

from batchinfer.domain import Item, Outcome, ServiceSignal, get_signal
from benchmarks.flow.service import WAITING_EACH, Service, room_of, spare_of

ABANDONED = "abandoned"


def number_of(item: Item) -> int:
    """Which item of the scenario it is, from 1."""
    return int(item.key)


class Calls:
    """A `Backend` that calls the simulated service."""

    def __init__(self, service: Service, most: float = inf) -> None:
        self.is_hopeless = anyio.Event()
        """Set when there were more calls than `most`."""
        self.fates: Counter[str] = Counter()
        """How many calls ended how: a sign, or `ABANDONED`."""
        self.in_flight = 0
        self._service, self._most = service, most

    async def attempt(self, item: Item, number: int) -> Outcome:
        """One call."""
        answered = anyio.Event()
        outcomes: list[Outcome] = []

        def answer(outcome: Outcome) -> None:
            outcomes.append(outcome)
            answered.set()

        self._service.timeline.catch_up()
        give_up = self.begin(item, number, answer)
        try:
            await answered.wait()
        finally:
            give_up()
        return outcomes[0]

    def begin(
        self,
        item: Item,
        number: int,  # noqa: ARG002 - the port's
        answer: Callable[[Outcome], None],
    ) -> Callable[[], None]:
        """Send a call; return what gives it up, which does nothing once it is answered."""

        def end(outcome: Outcome | None) -> None:
            self.in_flight -= 1
            sign = None if outcome is None else get_signal(outcome)
            self.fates[sign.value if sign else ABANDONED] += 1

        def answered(outcome: Outcome) -> None:
            end(outcome)
            answer(outcome)

        def give_up() -> None:
            if not call.is_over:
                call.is_over = True
                end(None)

        if self.fates.total() > self._most:
            self.is_hopeless.set()
        self.in_flight += 1
        call = self._service.send(number_of(item), answered)
        return give_up

    @property
    def done(self) -> int:
        """Calls that were answered."""
        return self.fates[ServiceSignal.ANSWERED]

    def wasted(self, items: int) -> int:
        """Calls that brought nothing; to be told that nobody is there costs nobody anything."""
        return max(0, self.fates.total() - self.fates[ServiceSignal.UNREACHABLE] - items)


class Turnstile:
    """The oracle: lets calls through to the service exactly as it can take them.

    It sees the ceiling, the containers that are up, the room in the queue, outages and bursts, as
    they are now (not as they will be), and keeps
    * enough calls waiting that no container is ever idle,
    * as many inside as there may be containers, so that the autoscaler asks for all of them, but at
      most `depth` waiting per container that is up,
    * and never one more than there is room for.
    """

    def __init__(self, calls: Calls, service: Service, depth: float = WAITING_EACH) -> None:
        self._calls, self._service, self._depth = calls, service, depth
        self._queue: deque[anyio.Event] = deque()
        self._let_in = 0
        self._alarm = -1.0
        service.changed = self._turn

    async def attempt(self, item: Item, number: int) -> Outcome:
        """One call, when its time has come."""
        turn = anyio.Event()
        self._queue.append(turn)
        self._service.timeline.catch_up()
        self._turn()
        await turn.wait()
        self._let_in -= 1
        return await self._calls.attempt(item, number)

    def _turn(self) -> None:
        while self._queue and self._admits():
            self._let_in += 1
            self._queue.popleft().set()

    def _admits(self) -> bool:
        service, plan, now = self._service, self._service.plan, self._service.timeline.now
        coming = service.ours_coming + self._let_in
        opens = service.lets_through()
        if plan.burst_at(now) and coming:
            opens = max(opens, now + plan.latency)
        if opens > now:
            self._come_back(opens)
            return False
        if service.up == 0:
            return not (coming or service.starting or service.asked)
        if coming >= room_of(service):
            return False
        waiting = coming - (service.up - service.busy)
        if waiting + len(service.ours_waiting) < spare_of(plan, service.up):
            return True
        return (
            waiting + service.waiting < self._depth * service.up
            and service.inside + coming < service.ceiling + spare_of(plan, service.ceiling)
        )

    def _come_back(self, when: float) -> None:
        timeline = self._service.timeline
        if self._alarm <= timeline.now:
            self._alarm = when
            timeline.at(when, self._turn)
