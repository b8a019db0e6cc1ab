"""What a simulated platform is like, in numbers. Times are seconds since the run began."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import inf
from typing import NamedTuple

from benchmarks.flow.draws import Draws


class Span(NamedTuple):
    """A while in which the capacity stays the same."""

    begin: float
    end: float
    capacity: float


@dataclass(frozen=True, slots=True)
class Burst:
    """A while in which 429 is answered, also to those who waited when it began."""

    begin: float
    end: float
    rate: float = 0.0
    """Calls per second that are let through all the same."""
    retry_after: bool = False
    """Whether the answer says when the burst will be over."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A while in which the way to the service is broken; what is served is still answered."""

    begin: float
    end: float
    kind: str
    """`unreachable`, `503`, `hang`."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Another user, who always has so many calls inside for a while."""

    begin: float
    end: float
    calls: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a service is like. All durations in seconds from the beginning of the run."""

    draws: Draws
    ceiling: tuple[tuple[float, int], ...]
    """From when on how many containers there may be; the first from 0."""
    pull: float = 30.0
    """Of the image, the first time."""
    start_up: float = 10.0
    grace: float = 60.0
    timeout: float = 300.0
    """After which our calls are given up."""
    latency: float = 0.05
    """There and back."""
    tells: bool = True
    """Whether a reply says how long the model worked."""
    bursts: tuple[Burst, ...] = ()
    outages: tuple[Outage, ...] = ()
    guests: tuple[Guest, ...] = ()
    warm: int = 0
    """Containers that are up at the beginning."""

    def ceiling_at(self, now: float) -> int:
        """How many containers there may be then."""
        return [number for begin, number in self.ceiling if begin <= now][-1]

    @property
    def closures(self) -> list[tuple[float, float]]:
        """Begin and end of each burst and outage."""
        return [
            *((burst.begin, burst.end) for burst in self.bursts),
            *((outage.begin, outage.end) for outage in self.outages),
        ]

    def burst_at(self, now: float) -> Burst | None:
        """The burst of refusals at that time."""
        return next((one for one in self.bursts if one.begin <= now < one.end), None)

    def outage_at(self, now: float) -> Outage | None:
        """The outage at that time."""
        return next((one for one in self.outages if one.begin <= now < one.end), None)

    @property
    def spans(self) -> list[Span]:
        """How many containers are ours when, were they up from the start."""
        shares: list[tuple[float, float, Callable[[float], float]]] = []
        shares += [(one.begin, one.end, lambda _: 0.0) for one in self.outages]
        shares += [
            (one.begin, one.end, partial(min, one.rate * self.draws.average)) for one in self.bursts
        ]
        shares += [(one.begin, one.end, lambda containers: containers / 2) for one in self.guests]
        edges = {edge for begin, end, _ in shares for edge in (begin, end)}
        spans = []
        for begin, end in pairwise([*sorted(edges | {at for at, _ in self.ceiling}), inf]):
            ours = float(self.ceiling_at(begin))
            for first, last, share in shares:
                ours = share(ours) if first <= begin < last else ours
            spans.append(Span(begin, end, ours))
        return spans

    def work(self, items: int) -> float:
        """Seconds of work, when each of so many items is served once."""
        return self.draws.total(items)


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What the cluster is like. All durations in seconds."""

    draws: Draws
    ceiling: tuple[tuple[float, int], ...]
    """From when on how many jobs run at a time; the first from 0."""
    overhead: float
    """Of a job before the model works."""
    latency: float = 0.1
    """Of putting an object, and of a look."""

    def ceiling_at(self, now: float) -> int:
        """How many jobs may run then."""
        return [number for begin, number in self.ceiling if begin <= now][-1]

    @property
    def spans(self) -> list[Span]:
        """How many jobs may run when."""
        ends = [*(begin for begin, _ in self.ceiling[1:]), inf]
        return [
            Span(begin, end, number)
            for (begin, number), end in zip(self.ceiling, ends, strict=True)
        ]

    def work(self, items: int) -> float:
        """Seconds of work, when each of so many items is one job."""
        return self.draws.total(items) + items * self.overhead


def bound_of(spans: Sequence[Span], work: float) -> float:
    """Seconds in which so many seconds of work can be done at all."""
    for begin, end, capacity in spans:
        if capacity * (end - begin) >= work:
            return begin + work / capacity
        work -= capacity * (end - begin)
    return inf
