"""The situations in which controllers are compared. Every number is drawn, by the seed.

A held-out set is drawn from other seeds, and from ranges that are a quarter wider at both ends: a
controller that was tuned on these scenarios has not seen those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from benchmarks.flow.draws import Draws
from benchmarks.flow.plans import Burst, Guest, JobPlan, Outage, Plan, bound_of

HELD_OUT = 9_000
"""Added to the seeds of the held-out set."""
WIDER = 0.25


@dataclass(frozen=True, slots=True)
class Scenario:
    """One simulated situation."""

    name: str
    items: int
    plan: Plan | JobPlan
    seed: int
    stragglers: bool = False
    """Whether few items take very long: then the ideal takes the longest first."""

    @property
    def bound(self) -> float:
        """Seconds that the work takes at least, were all capacity there from the start."""
        return bound_of(self.plan.spans, self.plan.work(self.items))


@dataclass(slots=True)
class Dice:
    """Draws the numbers of one scenario."""

    chance: Random
    wider: float = 0.0
    seed: int = field(default=0)

    def real(self, low: float, high: float) -> float:
        """Uniform between the two, or a bit beyond."""
        span = (high - low) * self.wider
        return round(self.chance.uniform(max(low / 2, low - span), high + span), 2)

    def whole(self, low: int, high: int) -> int:
        """The same, rounded."""
        return max(1, round(self.real(low, high)))

    def constant(self, low: float, high: float) -> Draws:
        """Items that all take the same time."""
        return Draws("constant", self.real(low, high))

    def lognormal(self, low: float, high: float, sigma: float = 0.5) -> Draws:
        """Items that differ."""
        return Draws(
            "lognormal", self.real(low, high), self.real(sigma * 0.7, sigma * 1.2), self.seed
        )

    def tail(self, low: float, high: float) -> Draws:
        """Items that differ little, but for one in a hundred."""
        return Draws("tail", self.real(low, high), self.real(0.1, 0.3), self.seed)


Make = Callable[[Dice], tuple[int, Plan | JobPlan]]
"""How many items, and what the service is like."""


def _items(draws: Draws, containers: float, minutes: float) -> int:
    return max(100, round(minutes * 60 * containers / draws.average))


def _level(number: int) -> tuple[tuple[float, int], ...]:
    return ((0.0, number),)


def _constant(dice: Dice) -> tuple[int, Plan]:
    draws, number = dice.constant(2, 6), dice.whole(12, 32)
    return _items(draws, number, dice.real(8, 15)), Plan(
        draws, _level(number), pull=dice.real(20, 60), start_up=dice.real(5, 15)
    )


def _lognormal(dice: Dice) -> tuple[int, Plan]:
    draws, number = dice.lognormal(3, 8, 0.6), dice.whole(16, 48)
    return _items(draws, number, dice.real(8, 15)), Plan(
        draws, _level(number), pull=dice.real(20, 60), start_up=dice.real(5, 15)
    )


def _tail(dice: Dice) -> tuple[int, Plan]:
    draws, number = dice.tail(3, 6), dice.whole(16, 40)
    return _items(draws, number, dice.real(15, 25)), Plan(
        draws, _level(number), pull=dice.real(20, 40), start_up=dice.real(5, 15)
    )


def _stragglers(dice: Dice) -> tuple[int, Plan]:
    draws, number = dice.tail(3, 6), dice.whole(8, 32)
    return _items(draws, number, dice.real(20, 30)), Plan(draws, _level(number), warm=number)


def _steps(dice: Dice) -> tuple[int, Plan]:
    draws = dice.lognormal(4, 8, 0.3)
    first, second = dice.real(200, 300), dice.real(300, 420)
    ceiling = ((0.0, 4), (first, 64), (first + second, 8))
    busy = (4 * first + 64 * second + 8 * dice.real(400, 700)) * 0.95
    return round(busy / draws.average), Plan(
        draws, ceiling, pull=dice.real(20, 40), start_up=dice.real(5, 12)
    )


def _guest(dice: Dice) -> tuple[int, Plan]:
    draws, number = dice.lognormal(3, 6, 0.4), dice.whole(16, 40)
    begin, lasts = dice.real(200, 300), dice.real(240, 360)
    return _items(draws, number, dice.real(10, 15)), Plan(
        draws,
        _level(number),
        start_up=dice.real(5, 12),
        guests=(Guest(begin, begin + lasts, number),),
    )


def _burst(dice: Dice, *, retry_after: bool, rate: bool = False) -> tuple[int, Plan]:
    draws, number = dice.lognormal(2, 5, 0.3), dice.whole(16, 40)
    first, second = dice.real(150, 250), dice.real(400, 500)
    through = round(number / draws.average / 3, 2) if rate else 0.0
    bursts = (
        Burst(first, first + dice.real(20, 60), through, retry_after),
        Burst(second, second + dice.real(20, 60), through, retry_after),
    )
    return _items(draws, number, dice.real(10, 15)), Plan(
        draws, _level(number), start_up=dice.real(5, 12), bursts=bursts
    )


def _outage(dice: Dice, kind: str) -> tuple[int, Plan]:
    draws, number = dice.lognormal(3, 5, 0.3), dice.whole(12, 24)
    begin = dice.real(200, 400)
    return _items(draws, number, dice.real(15, 20)), Plan(
        draws,
        _level(number),
        start_up=dice.real(5, 12),
        timeout=60.0 if kind == "hang" else 300.0,
        outages=(Outage(begin, begin + 300.0, kind),),
    )


def _small(dice: Dice) -> tuple[int, Plan]:
    draws = dice.lognormal(3, 8, 0.3)
    return _items(draws, 1, dice.real(20, 30)), Plan(draws, _level(1), pull=dice.real(20, 60))


def _large(dice: Dice) -> tuple[int, Plan]:
    draws, number = dice.lognormal(8, 14, 0.3), dice.whole(180, 220)
    return _items(draws, number, dice.real(7, 10)), Plan(
        draws, _level(number), pull=dice.real(20, 40), start_up=dice.real(5, 12)
    )


def _silent(dice: Dice) -> tuple[int, Plan]:
    draws, number = dice.lognormal(3, 7, 0.5), dice.whole(16, 64)
    return _items(draws, number, dice.real(8, 15)), Plan(
        draws, _level(number), start_up=dice.real(5, 12), tells=False
    )


def _timeouts(dice: Dice) -> tuple[int, Plan]:
    draws, number = dice.lognormal(5, 8, 0.25), dice.whole(12, 32)
    return _items(draws, number, dice.real(10, 15)), Plan(
        draws,
        _level(number),
        start_up=dice.real(5, 12),
        timeout=round(draws.mean * dice.real(2.5, 3.0), 1),
    )


def _jobs(dice: Dice) -> tuple[int, JobPlan]:
    draws = dice.lognormal(10, 20, 0.4)
    return _items(draws, 20, dice.real(15, 20)), JobPlan(draws, _level(20), dice.real(3, 8))


def _jobs_change(dice: Dice) -> tuple[int, JobPlan]:
    draws = dice.lognormal(8, 15, 0.4)
    first, second = dice.real(300, 400), dice.real(300, 400)
    ceiling = ((0.0, 10), (first, 50), (first + second, 15))
    busy = 10 * first + 50 * second + 15 * dice.real(200, 400)
    overhead = dice.real(3, 8)
    return round(busy / (draws.average + overhead)), JobPlan(draws, ceiling, overhead)


SCENARIOS: dict[str, Make] = {
    "cold, constant": _constant,
    "log-normal": _lognormal,
    "heavy tail": _tail,
    "steps 4-64-8": _steps,
    "another user": _guest,
    "429 with Retry-After": lambda dice: _burst(dice, retry_after=True),
    "429 without": lambda dice: _burst(dice, retry_after=False),
    "429 beyond a rate": lambda dice: _burst(dice, retry_after=False, rate=True),
    "outage, 503": lambda dice: _outage(dice, "503"),
    "outage, unreachable": lambda dice: _outage(dice, "unreachable"),
    "outage, hangs": lambda dice: _outage(dice, "hang"),
    "small, 1 container": _small,
    "large, 200 containers": _large,
    "tells no seconds": _silent,
    "timeout near service": _timeouts,
    "async, 20 jobs": _jobs,
    "async, jobs change": _jobs_change,
}


STRAGGLERS: dict[str, Make] = {"stragglers": _stragglers}
"""Of the straggler table: warm, so that what shows is the end of the run."""


def draw(name: str, seed: int, *, held_out: bool = False) -> Scenario:
    """The scenario of that name and seed."""
    of_all = (HELD_OUT if held_out else 0) + seed
    own = crc32(f"{name}/{of_all}".encode())
    dice = Dice(Random(own), WIDER if held_out else 0.0, own % 1_000_000)
    items, plan = {**SCENARIOS, **STRAGGLERS}[name](dice)
    return Scenario(name, items, plan, of_all, plan.draws.kind == "tail")


def draw_all(only: str, seeds: int, *, held_out: bool = False) -> Iterator[Scenario]:
    """All scenarios whose name holds `only`, with so many seeds each."""
    for name in (*SCENARIOS, *STRAGGLERS):
        if only in name:
            for seed in range(1, seeds + 1):
                yield draw(name, seed, held_out=held_out)
