"""Attempts in flight; and a second call for the last of them, when they take unusually long.

Rules (hedging):

1. Only at the end: all items were taken, and the service has idle containers. Before that a second
   call would only take another item's place.
2. A second call for an attempt that has taken `UNUSUAL` times what nearly all others took. The
   first answer wins; the other call is cut off and never recorded.
3. At most `EXTRA` of all attempts begun, and at least one.
4. An attempt that takes `HOPELESS` times that long, the second call too, is given up as a timeout
   before its time and tried again: once per item, for the next may really need the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import anyio

from batchinfer.domain import Failure, Item, Kind, Outcome, Submitted
from batchinfer.engine.record import News
from batchinfer.engine.terms import Tools
from batchinfer.flow import Gate, Sign, sign_of
from batchinfer.flow.latencies import Latencies
from batchinfer.ports import Backend

Start: TypeAlias = Callable[..., object]
"""Starts a task: `start(function, *args)`."""

NEARLY_ALL: Final = 0.95
UNUSUAL: Final = 1.5
HOPELESS: Final = 10.0
SHORTEST: Final = 30.0
"""Seconds before which nothing is hopeless."""
EXTRA: Final = 0.02


@dataclass(slots=True, eq=False)
class Life:
    """Where one item stands in this process."""

    item: Item
    number: int
    """Of its next attempt."""
    began: float = field(default_factory=anyio.current_time)
    """When it was taken, on the loop's clock."""
    waits: int = 0
    """How often that attempt found the service away."""
    since: float | None = None
    """When it did so first."""
    troubled: bool = False
    """It is tried again because of trouble of the service: the budget has to pay."""
    joined: int = 0
    """How many were in flight when its latest attempt began, itself included."""
    paid: bool = False
    """The budget paid for the attempt in flight."""
    given_up: bool = False
    """An attempt was given up before its time."""
    looked_at: bool = False
    """Its file could not be read, and its source was looked at for that reason."""

    def waiting(self, now: float) -> float:
        """Seconds that it has found the service away."""
        self.since = now if self.since is None else self.since
        return now - self.since


@dataclass(slots=True, eq=False)
class Flight:
    """One attempt in flight, perhaps with a second call."""

    life: Life
    began: float
    first: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    second: anyio.CancelScope | None = None
    outcome: Outcome | Submitted | None = None
    """What ended it from outside: the second call's answer, or that it was given up."""

    def end(self, outcome: Outcome | Submitted) -> None:
        """End it with this."""
        if self.outcome is None:
            self.outcome = outcome
            self.first.cancel()


class Flights:
    """Makes the attempts of the lives."""

    def __init__(self, backend: Backend, gate: Gate, stir: News, tools: Tools) -> None:
        self.latencies = Latencies()
        self.none_left = False
        """Whether those in flight are the last."""
        self._backend, self._gate, self._stir = backend, gate, stir
        self._hedges = tools.terms.hedge
        self._flights: dict[int, Flight] = {}
        self._begun = self._extra = 0

    async def attempt(self, life: Life, now: float) -> Outcome | Submitted:
        """One attempt at an item, whoever brings its outcome."""
        flight = Flight(life, now)
        self._flights[life.item.position] = flight
        self._begun += 1
        try:
            with flight.first:
                # An answer that is here counts, also if the second call's came in this moment.
                flight.outcome = await self._backend.attempt(life.item, life.number)
        finally:
            del self._flights[life.item.position]
            if flight.second is not None:
                flight.second.cancel()
        if flight.outcome is None:
            raise AssertionError("only `Flight.end` cancels the first call's scope")
        return flight.outcome

    async def help_the_last(self, hire: Start) -> None:
        """Send second calls as the rules above say, for as long as the run goes on."""
        while self._hedges:
            seen = self._stir.count
            usual = self.latencies.quantile(NEARLY_ALL) if self.none_left else None
            due = None if usual is None else self._help(hire, usual)
            with anyio.move_on_after(due):
                await self._stir.beyond(seen)

    def _help(self, hire: Start, usual: float) -> float | None:
        """Help who is late; seconds until the next may be, None if nobody is left to help."""
        now = anyio.current_time()
        hopeless = max(HOPELESS * usual, SHORTEST)
        waits: list[float] = []
        for flight in list(self._flights.values()):
            age = now - flight.began
            if flight.second is None and self._may_hedge():
                if age < UNUSUAL * usual:
                    waits.append(UNUSUAL * usual - age)
                elif self._gate.enter():
                    flight.second = second = anyio.CancelScope()
                    self._extra += 1
                    hire(self._second, flight, second)
            if age < hopeless:
                waits.append(hopeless - age)
            elif not flight.life.given_up:
                flight.life.given_up = True
                flight.end(_given_up(age))
        return max(0.05, min(waits)) if waits else None

    def _may_hedge(self) -> bool:
        serving = self._gate.limit.serving
        idle = serving is None or self._gate.in_flight < serving
        return idle and self._extra < max(1.0, EXTRA * self._begun)

    async def _second(self, flight: Flight, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                outcome = await self._backend.attempt(flight.life.item, flight.life.number)
                if sign_of(outcome) is Sign.ANSWERED:
                    flight.end(outcome)
        finally:
            self._gate.leave()
            self._stir.tell()


def _given_up(seconds: float) -> Failure:
    return Failure(
        "timeout",
        f"no answer within {seconds:.0f} s, {HOPELESS:g} times what nearly all others took: given "
        "up for the end's sake and tried again; --no-hedge waits for the whole --timeout",
        Kind.TRANSIENT,
    )
