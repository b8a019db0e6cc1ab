"""A small world for the engine to run in, on a virtual clock."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import anyio

from batchinfer.domain import Failure, FailureKind, Item, Outcome, Reply, ServiceSignal, Submitted
from batchinfer.engine import Engine, PollInterval, RunPolicy
from batchinfer.flow import FixedLimit, Gate, RateLimiter, ServiceHealth, ServiceState
from batchinfer.flow.retries import RetryPolicy
from batchinfer.ports import (
    Committed,
    EmitOutput,
    Event,
    OpenItems,
    OutageOngoing,
    OutputArrival,
    SubmittedObject,
)
from batchinfer.testing import MemoryStore

EPOCH = 1_700_000_000.0


def now() -> float:
    """A wall clock that follows the loop's virtual one."""
    return EPOCH + anyio.current_time()


def items(count: int) -> list[Item]:
    return [Item(f"item-{n:04d}") for n in range(1, count + 1)]


def reader(source: Iterable[Item], delay: float = 0.0) -> Callable[[int], object]:
    """Reads a source as the engine wants it, a page after `delay` seconds each."""
    iterator = iter(source)

    async def read(size: int) -> Sequence[Item]:
        await anyio.sleep(delay)
        return [item for _, item in zip(range(size), iterator, strict=False)]

    return read


SIGNALS = {
    "http_429": ServiceSignal.OVERLOADED,
    "http_503": ServiceSignal.OVERLOADED,
    "model_killed": ServiceSignal.ANSWERED,
    "no_output": ServiceSignal.ANSWERED,
    "timeout": ServiceSignal.TIMEOUT,
}
"""What backends say of the service with these codes."""


def transient(code: str = "no_output", retry_after: float | None = None) -> Failure:
    return Failure(
        code,
        "again",
        FailureKind.TRANSIENT,
        retry_after,
        signal=SIGNALS.get(code),
        model_killed=code == "model_killed",
    )


def permanent(code: str = "model_error") -> Failure:
    return Failure(code, "never", FailureKind.PERMANENT)


def cold() -> Failure:
    return Failure("cold_start", "not ready", FailureKind.UNAVAILABLE)


Step = Outcome | Exception
Script = Callable[[Item, int], Step]


def succeed(item: Item, number: int) -> Step:
    return Reply(prediction={"key": item.key, "attempt": number})


@dataclass
class Model:
    """A sync backend that follows a script and notes what it was asked."""

    script: Script = succeed
    seconds: float = 1.0
    began: list[tuple[str, int]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    finished: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0

    async def attempt(self, item: Item, number: int) -> Outcome:
        self.began.append((item.key, number))
        self.starts.append(anyio.current_time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.sleep(self.seconds)
        finally:
            self.in_flight -= 1
        self.finished[item.key] += 1
        step = self.script(item, number)
        if isinstance(step, Exception):
            raise step
        return step


@dataclass
class Bucket:
    """An async service in memory: what is submitted turns up after a while, or never."""

    script: Callable[[int, int], Outcome | None] = lambda position, attempt: Reply()
    seconds: float = 5.0
    away: Callable[[], bool] = lambda: False
    inputs: dict[tuple[int, int], float] = field(default_factory=dict)
    outstanding_most: int = 0
    lost_on_put: set[tuple[int, int]] = field(default_factory=set)
    told: set[tuple[int, int]] = field(default_factory=set)

    async def attempt(self, item: Item, number: int) -> Submitted | Failure:
        await anyio.sleep(0.1)
        if self.away():
            return Failure("bucket_unreachable", "away", FailureKind.UNAVAILABLE)
        assert (item.position, number) not in self.inputs, "submitted twice under one name"
        self.inputs[item.position, number] = anyio.current_time()
        return Submitted(f"run-{item.position}-{number}")

    async def poll(self, items: OpenItems, emit: EmitOutput) -> None:
        if self.away():
            raise OSError("the bucket is away")
        await anyio.sleep(0.01)
        ready = [
            (position, attempt)
            for (position, attempt), at in self.inputs.items()
            if anyio.current_time() >= at + self.seconds
        ]
        open_items = await items.fetch_open({position for position, _ in ready})
        self.outstanding_most = max(self.outstanding_most, len(self.inputs) - len(self.told))
        for position, attempt in ready:
            outcome = self.script(position, attempt)
            if position in open_items and outcome is not None:
                self.told.add((position, attempt))
                await emit(OutputArrival(open_items[position], attempt, outcome))

    async def find_unrecorded(self, items, mark_submitted) -> None:
        await mark_submitted(
            [SubmittedObject(*key, f"run-{key[0]}-{key[1]}") for key in self.inputs]
        )

    async def cleanup(self, items: OpenItems) -> None:
        pass


@dataclass
class Notebook:
    """An observer that writes everything down."""

    events: list[Event] = field(default_factory=list)

    def notify(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def recorded(self) -> list[Committed]:
        return self.of(Committed)

    @property
    def waited(self) -> list[OutageOngoing]:
        return self.of(OutageOngoing)


class World:
    """A store, a notebook, and engines made over them."""

    def __init__(self) -> None:
        self.store, self.notebook = MemoryStore(), Notebook()

    def engine(
        self,
        backend=None,
        *,
        source: Iterable[Item] | None = None,
        concurrency: int = 4,
        rate: float | None = None,
        chance: float = 0.5,
        read=None,
        **terms,
    ) -> Engine:
        collects = terms.pop("collects", True)
        submitted = terms.pop("submitted_limit", None)
        health = ServiceHealth(terms.pop("health", ServiceState.WARM))
        watcher = terms.pop("watcher", None)
        source_away = terms.pop("source_away", None)
        terms.setdefault("retry", RetryPolicy(max_attempts=3))
        return Engine(
            queue=self.store,
            sink=self.store,
            submissions=self.store,
            gate=Gate(FixedLimit(concurrency), RateLimiter(rate) if rate else None, health),
            observer=self.notebook,
            backend=backend,
            read_page=reader(source) if source is not None else read,
            watcher=watcher,
            submitted_limit=None if submitted is None else FixedLimit(submitted),
            collects=collects,
            policy=RunPolicy(**terms),
            poll_interval=PollInterval(min_seconds=1.0, max_seconds=10.0),
            check_source=source_away,
            clock=now,
            jitter=lambda: chance,
        )
