"""The adaptive limit on a small simulated service: it finds its size, whatever happens."""

import heapq
from collections import deque
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.flow import AttemptSample, ServiceSignal
from batchinfer.flow.adaptive_limit import AdaptiveLimit


@dataclass
class Service:
    """So many containers, a queue for each, and callers who always fill the limit."""

    limit: AdaptiveLimit
    containers: int
    seconds: float = 5.0
    spread: float = 0.0
    tells: bool = True
    waiting_each: int = 10
    seed: int = 1
    now: float = 0.0
    refused: int = 0
    answered: int = 0
    busy: list[tuple[float, float, float, int]] = field(default_factory=list)
    queue: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    @property
    def inside(self) -> int:
        return len(self.busy) + len(self.queue)

    def run(self, seconds: float) -> float:
        """Let so much time pass; the share of it that the containers were busy."""
        end, worked = self.now + seconds, 0.0
        while self.now < end:
            self._fill()
            finish, begin, joined_at, joined = heapq.heappop(self.busy)
            worked += (len(self.busy) + 1) * max(finish - self.now, 0.0)
            self.now = max(self.now, finish)
            self.answered += 1
            self._serve()
            took = finish - begin
            self._learn(ServiceSignal.ANSWERED, joined_at, joined, took if self.tells else None)
        return worked / seconds / self.containers

    def burst(self, sign: ServiceSignal, count: int) -> None:
        """So many calls end badly, one after the other."""
        for _ in range(count):
            self.now += 0.01
            took = 60.0 if sign is ServiceSignal.TIMEOUT else 0.05
            self._learn(sign, self.now - took, self.inside + 1, None)

    def _fill(self) -> None:
        while self.inside < self.limit.value:
            if self.inside >= self.containers * (1 + self.waiting_each):
                self.refused += 1
                before = self.limit.value
                self._learn(ServiceSignal.OVERLOADED, self.now - 0.05, self.inside + 1, None)
                if self.limit.value >= before:
                    return
                continue
            self.queue.append((self.now, self.inside + 1))
            self._serve()

    def _serve(self) -> None:
        while self.queue and len(self.busy) < self.containers:
            joined_at, joined = self.queue.popleft()
            took = self.seconds * self.random.lognormvariate(0, self.spread)
            heapq.heappush(self.busy, (self.now + took, self.now, joined_at, joined))

    def _learn(
        self, sign: ServiceSignal, joined_at: float, joined: int, took: float | None
    ) -> None:
        in_flight = self.inside + 1
        self.limit.update(
            AttemptSample(
                sign, self.now, self.now - joined_at, in_flight, joined, server_seconds=took
            )
        )


def test_a_service_that_answers_by_the_thousand_is_measured_too():
    service = Service(AdaptiveLimit(), containers=50, seconds=0.01, spread=0.3)
    service.run(2.0)
    assert service.answered > 5_000
    assert service.limit.estimated_servers == pytest.approx(50, rel=0.1)
    assert service.run(1.0) >= 0.95
    assert service.limit.value <= 4.2 * 50 + 24


services = st.builds(
    lambda containers, seconds, spread, tells, seed: Service(
        AdaptiveLimit(), containers, seconds, spread, tells, seed=seed
    ),
    st.integers(1, 60),
    st.floats(1, 20),
    st.floats(0.1, 0.6),
    st.booleans(),
    st.integers(0, 1000),
)


@pytest.mark.slow
@given(services)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_it_keeps_every_container_busy_and_few_calls_waiting(service: Service):
    service.run(40 * service.seconds + 100)
    assert service.run(30 * service.seconds) >= 0.8
    assert service.limit.value <= (4.2 if service.tells else 11) * service.containers + 24


@pytest.mark.slow
@given(
    services,
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    ServiceSignal.OVERLOADED,
                    ServiceSignal.TIMEOUT,
                    ServiceSignal.ERROR,
                    ServiceSignal.UNREACHABLE,
                ]
            ),
            st.integers(1, 300),
        ),
        max_size=5,
    ),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_no_burst_of_errors_makes_it_collapse(service: Service, bursts):
    service.run(30 * service.seconds + 100)
    for sign, count in bursts:
        service.burst(sign, count)
        assert service.limit.value >= 1
        service.run(1.0)
    service.run(max(60.0, 20 * service.seconds))
    assert service.limit.value >= 0.75 * service.containers


signs = st.sampled_from(list(ServiceSignal))
samples = st.lists(
    st.tuples(signs, st.floats(0, 1e4), st.integers(1, 2000), st.booleans()), max_size=300
)


@given(samples, st.integers(1, 50), st.integers(0, 500), st.booleans())
def test_it_never_leaves_its_bounds_and_says_why_it_moved(story, lowest, more, tells):
    limit = AdaptiveLimit(lowest, lowest + more)
    now, value = 0.0, limit.value
    for sign, seconds, in_flight, restarts in story:
        now += seconds
        told = seconds / 2 if tells else None
        change = limit.update(
            AttemptSample(sign, now, seconds, in_flight, in_flight, server_seconds=told)
        )
        assert lowest <= limit.value <= lowest + more
        if change is not None:
            assert change.value == limit.value != change.was
            assert change.reason
        if restarts:
            limit.restart(now)
            assert lowest <= limit.value <= lowest + more
    assert value >= lowest


def test_nothing_grows_that_is_not_held_back_by_the_limit():
    limit = AdaptiveLimit()
    for number in range(200):
        limit.update(
            AttemptSample(
                ServiceSignal.ANSWERED, number * 1.0, 5.0, 3, 3, saturated=False, server_seconds=5.0
            )
        )
    assert limit.value <= 8


def test_more_containers_are_found():
    service = Service(AdaptiveLimit(), 4)
    service.run(300)
    service.containers = 64
    service.run(120)
    assert service.limit.value >= 64


@given(st.floats(2, 10), st.floats(0.15, 0.5), st.integers(0, 1000))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_small_service_that_becomes_large_is_found_within_two_predictions(seconds, spread, seed):
    service = Service(AdaptiveLimit(), 4, seconds, spread, seed=seed)
    service.run(300)
    service.containers = 64
    service.run(2 * seconds)
    assert service.limit.value >= 64


@pytest.mark.slow
@given(st.integers(1, 60), st.floats(1, 20), st.floats(0.1, 0.6), st.integers(0, 1000))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_service_that_keeps_no_order_does_not_run_it_away(containers, seconds, spread, seed):
    class Disorderly(Service):
        def _serve(self):
            while self.queue and len(self.busy) < self.containers:
                self.queue.rotate(self.random.randrange(len(self.queue)))
                joined_at, joined = self.queue.popleft()
                took = self.seconds * self.random.lognormvariate(0, self.spread)
                heapq.heappush(self.busy, (self.now + took, self.now, joined_at, joined))

    service = Disorderly(AdaptiveLimit(), containers, seconds, spread, seed=seed)
    service.run(40 * seconds + 100)
    assert service.run(30 * seconds) >= 0.8
    assert service.limit.value <= 4.2 * containers + 24


def test_fewer_containers_are_found_without_a_storm():
    service = Service(AdaptiveLimit(), 64)
    service.run(600)
    service.refused = 0
    service.containers = 8
    service.run(400)
    assert service.limit.value <= 40
    assert service.refused <= 30


def test_a_header_that_counts_waiting_as_work_does_not_run_it_away():
    class Misleading(Service):
        def _learn(self, sign, joined_at, joined, took):
            super()._learn(sign, joined_at, joined, took and self.now - joined_at)

    service = Misleading(AdaptiveLimit(), 10)
    service.run(600)
    assert 10 <= service.limit.value <= 60


def test_longer_predictions_do_not_starve_it():
    service = Service(AdaptiveLimit(), 20, tells=False)
    service.run(600)
    service.seconds = 15.0
    service.run(1200)
    assert service.limit.value >= 20


def test_a_gateway_that_counts_calls_is_not_hit_again_and_again():
    service = Service(AdaptiveLimit(), 40, waiting_each=0)
    service.run(300)
    service.refused, before = 0, service.answered
    service.run(3000)
    assert service.refused <= 0.01 * (service.answered - before)
    assert service.limit.value >= 0.8 * 40
