"""One run of the real engine on the simulated platform, in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

import anyio
import trio.testing
from trio._core import _run as scheduling

from batchinfer.domain import Item, State
from batchinfer.engine import Engine, PollInterval, ReadPage, RunPolicy
from batchinfer.flow import ConcurrencyLimit, FixedLimit, Gate, RetryBudget
from batchinfer.flow.retries import RetryPolicy
from batchinfer.ports import Backend, Event, LimitChanged
from batchinfer.testing import MemoryStore
from benchmarks.flow.calls import Calls, Turnstile
from benchmarks.flow.cluster import Cluster
from benchmarks.flow.controllers import NO_HEDGE, ORACLE, OURS, PEERS, Deaf, our_limit
from benchmarks.flow.once import OnceStore
from benchmarks.flow.plans import JobPlan, Plan
from benchmarks.flow.scenarios import Scenario
from benchmarks.flow.service import Service
from benchmarks.flow.timeline import Timeline
from benchmarks.flow.workers import Fleet, Workers

ENDLESS = 10_000
"""Attempts per item, so that every item succeeds in the end and makespans compare."""
POLICY_S = 5
"""What the real policy's number is: items that needed more would have failed."""
HOPELESS = 30
"""Calls per item, after which a run that may be cut off is."""
UPLOADS = 16
EPOCH = 1_700_000_000.0
DEPTHS = (10.0, 3.0, 1.0)
"""Where calls time out soon, the oracle tries these and takes the best (see `Turnstile`)."""
SOON = 120.0


@dataclass(slots=True)
class Moment:
    """One line of a trace."""

    at: float
    limit: int
    in_flight: int
    """Calls, or objects submitted and unfinished."""
    up: int
    """Containers that are up, or jobs that run."""
    ceiling: int
    """How many there might be."""
    waiting: int
    """In the platform's queue, anybody's."""
    goodput: float
    """Answers per second since the moment before."""


@dataclass(slots=True)
class Run:
    """What came of one run."""

    scenario: str
    seed: int
    controller: str
    items: int
    makespan: float
    """Seconds until the last item was recorded, or until it was cut off."""
    finished: int
    wasted: int
    """Calls that brought nothing."""
    fates: dict[str, int]
    most_waiting: int
    """Calls or jobs in the platform's queue, at most."""
    would_fail: int
    """Items that needed more attempts than the real policy has."""
    bound: float
    """Seconds that the work takes at least, at the capacity that there is."""
    deaths: int = 0
    """Workers that died, and"""
    begun_again: int = 0
    """attempts that began again elsewhere because of it."""
    trace: list[Moment] = field(default_factory=list)
    changes: list[tuple[float, int, int, str]] = field(default_factory=list)

    @property
    def is_cut(self) -> bool:
        """Whether it was cut off before its end."""
        return self.finished < self.items


@dataclass(slots=True)
class Watch:
    """An observer that keeps changes of the limit."""

    changes: list[tuple[float, int, int, str]] = field(default_factory=list)

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        if isinstance(event, LimitChanged):
            self.changes.append((anyio.current_time(), event.was, event.value, event.reason))


def play(
    scenario: Scenario,
    controller: str,
    *,
    cut: float | None = None,
    trace: float | None = None,
    fleet: Fleet | None = None,
    shards: int = 1,
) -> Run:
    """Run the scenario with the controller; `cut` off after so many seconds of virtual time.

    `trace`: seconds between the moments of a trace; None: no trace. `fleet`: the workers that carry
    the attempts out; None: the process itself. `shards`: so many runs, each with its own controller
    and its part of the items, none of which knows of the others (sync mode).
    """
    if controller == ORACLE and isinstance(scenario.plan, Plan):
        depths = DEPTHS if scenario.plan.timeout < SOON else DEPTHS[:1]
        runs = [_play(Stage(scenario, controller, depth), cut, trace) for depth in depths]
        return min(runs, key=lambda run: run.makespan)
    return _play(Stage(scenario, controller, fleet=fleet, shards=shards), cut, trace)


def _play(stage: Stage, cut: float | None, trace: float | None) -> Run:
    # Who runs first of those who may is random with trio, unless it is told otherwise.
    vars(scheduling)["_ALLOW_DETERMINISTIC_SCHEDULING"] = True
    scheduling._r.seed(stage.seed)  # noqa: SLF001
    return anyio.run(
        stage.play,
        cut,
        trace,
        backend="trio",
        backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)},
    )


class Stage:
    """The platform, the engine (or one for each shard), and who watches."""

    def __init__(
        self,
        scenario: Scenario,
        controller: str,
        depth: float = 0.0,
        *,
        fleet: Fleet | None = None,
        shards: int = 1,
    ) -> None:
        self.seed = scenario.seed
        self._scenario, self._controller, self._depth = scenario, controller, depth
        self._fleet, self._shards = fleet, shards
        self._workers: Workers | None = None
        self._timeline = Timeline()
        self._stores: list[MemoryStore] = []
        self._watch = Watch()
        self._trace: list[Moment] = []
        self._hopeless: anyio.Event | None = None
        self._in_flight: Callable[[], int] = lambda: 0
        self._platform: Service | Cluster
        self._is_ours = controller in {OURS, NO_HEDGE}

    async def play(self, cut: float | None, trace: float | None) -> Run:
        """Run to the end, or until it is cut off."""
        engines, finish = self._set_up()
        with anyio.move_on_after(cut):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._timeline.run)
                if trace:
                    tasks.start_soon(self._sample, engines[0], trace)
                if self._hopeless is not None and cut is not None:
                    tasks.start_soon(self._give_up, self._hopeless, tasks.cancel_scope)
                async with anyio.create_task_group() as runs:
                    for engine in engines:
                        runs.start_soon(engine.run)
                tasks.cancel_scope.cancel()
        states = Counter(state for store in self._stores for state in store.item_states().values())
        return finish(states[State.SUCCEEDED])

    def _set_up(self) -> tuple[list[Engine], Callable[[int], Run]]:
        if isinstance(self._scenario.plan, JobPlan):
            return self._jobs(self._scenario.plan)
        return self._calls(self._scenario.plan)

    def _calls(self, plan: Plan) -> tuple[list[Engine], Callable[[int], Run]]:
        self._platform = service = Service(plan, self._timeline)
        calls = Calls(service, HOPELESS * self._scenario.items)
        self._hopeless = calls.is_hopeless
        self._in_flight = lambda: calls.in_flight
        backend: Backend = calls
        if self._controller == ORACLE:
            backend = Turnstile(calls, service, self._depth)
        elif self._fleet is not None:
            backend = self._carried_out_by_workers(calls, self._fleet)
        engines = [
            self._engine(self._gate(plan), shard, OnceStore(), backend=backend)
            for shard in range(self._shards)
        ]

        def finish(succeeded: int) -> Run:
            wasted = calls.wasted(succeeded)
            return self._finish(succeeded, wasted, dict(calls.fates), service.most_waiting)

        return engines, finish

    def _gate(self, plan: Plan) -> Gate:
        if self._controller == ORACLE:
            highest = max(number for _, number in plan.ceiling)
            return Gate(FixedLimit(2 * highest + 50), None, Deaf())
        if self._is_ours:
            return Gate(our_limit())
        return Gate(PEERS[self._controller](), None, Deaf())

    def _carried_out_by_workers(self, platform: Calls | Cluster, fleet: Fleet) -> Workers:
        self._workers = Workers(platform, self._timeline, fleet, self.seed)
        return self._workers

    def _jobs(self, plan: JobPlan) -> tuple[list[Engine], Callable[[int], Run]]:
        self._platform = cluster = Cluster(plan, self._timeline)
        submitted: ConcurrencyLimit
        if self._controller == ORACLE:
            submitted = FixedLimit(self._scenario.items)
        elif self._is_ours:
            submitted = our_limit(unlimited_wait=True)
        else:
            submitted = PEERS[self._controller]()
        gate = Gate(FixedLimit(UPLOADS))
        backend: Backend = cluster
        if self._fleet is not None:
            backend = self._carried_out_by_workers(cluster, self._fleet)
        engine = self._engine(
            gate, 0, MemoryStore(), backend=backend, watcher=cluster, submitted_limit=submitted
        )

        def finish(succeeded: int) -> Run:
            wasted = max(0, cluster.put - succeeded) if succeeded == self._scenario.items else 0
            return self._finish(succeeded, wasted, {"put": cluster.put}, cluster.most_waiting)

        return [engine], finish

    def _engine(self, gate: Gate, shard: int, store: MemoryStore, **parts: object) -> Engine:
        chance = Random(self.seed + 1000 * shard)
        self._stores.append(store)
        engine = Engine(
            queue=store,
            sink=store,
            submissions=store,
            gate=gate,
            observer=self._watch,
            read_page=self._reader(shard),
            policy=RunPolicy(
                retry=RetryPolicy(max_attempts=ENDLESS),
                cold_start_timeout=14_400.0,
                hedge=self._controller == OURS,
            ),
            poll_interval=PollInterval(),
            clock=lambda: EPOCH + anyio.current_time(),
            jitter=lambda: chance.randrange(64) / 64,  # back-offs of whole ticks
            **parts,  # type: ignore[arg-type]
        )
        if not self._is_ours and engine._scheduler is not None:  # noqa: SLF001
            # Nor do the peers know a budget of retries.
            engine._scheduler._retry_budget = RetryBudget(inf)  # noqa: SLF001
        return engine

    def _reader(self, shard: int) -> ReadPage:
        numbers = list(range(1 + shard, self._scenario.items + 1, self._shards))
        if self._controller == ORACLE and self._scenario.stragglers:
            draws = self._scenario.plan.draws
            numbers.sort(key=lambda number: -draws.seconds(number, 0))
        items = iter([Item(str(number)) for number in numbers])

        async def read(size: int) -> Sequence[Item]:
            await anyio.lowlevel.checkpoint()
            return [item for _, item in zip(range(size), items, strict=False)]

        return read

    async def _give_up(self, hopeless: anyio.Event, scope: anyio.CancelScope) -> None:
        await hopeless.wait()
        scope.cancel()

    async def _sample(self, engine: Engine, every: float) -> None:
        platform, done = self._platform, 0
        while True:
            await anyio.sleep(every)
            self._timeline.catch_up()
            now, was, done = self._timeline.now, done, platform.done
            progress = engine.progress
            self._trace.append(
                Moment(
                    at=now,
                    limit=engine.limit.value,
                    in_flight=self._in_flight() + progress.counts.submitted,
                    up=platform.up,
                    ceiling=platform.ceiling,
                    waiting=platform.waiting,
                    goodput=(done - was) / every,
                )
            )

    def _finish(self, succeeded: int, wasted: int, fates: dict[str, int], most: int) -> Run:
        scenario = self._scenario
        tries = Counter(
            (shard, record.position)
            for shard, store in enumerate(self._stores)
            for record in store.records
        )
        return Run(
            scenario=scenario.name,
            seed=scenario.seed,
            controller=self._controller,
            items=scenario.items,
            makespan=round(anyio.current_time(), 2),
            finished=succeeded,
            wasted=wasted,
            fates=fates,
            most_waiting=most,
            would_fail=sum(number > POLICY_S for number in tries.values()),
            bound=round(scenario.bound, 2),
            deaths=self._workers.deaths if self._workers else 0,
            begun_again=self._workers.begun_again if self._workers else 0,
            trace=self._trace,
            changes=self._watch.changes,
        )
