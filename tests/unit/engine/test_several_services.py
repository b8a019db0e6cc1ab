"""Several services of one model, on a virtual clock: throughput, outages, refusals, the end."""

import anyio
import pytest

from batchinfer.domain import Attempt, Counts, Failure, FailureKind, Reply, ServiceSignal
from batchinfer.engine import Engine, PooledService, RunPolicy
from batchinfer.errors import FatalError, RunAborted
from batchinfer.flow import AdaptiveLimit, FixedLimit, Gate, ServiceHealth, ServiceState
from batchinfer.flow.retries import RetryPolicy
from batchinfer.ports import Notice, OutageEnded, OutageOngoing
from support.world import Model, Notebook, World, cold, items, now, reader, succeed, transient

pytestmark = pytest.mark.event_loops("virtual")


class Silent(Model):
    """Takes calls and never answers."""

    async def attempt(self, item, number):
        self.began.append((item.key, number))
        await anyio.sleep_forever()


def pooled(world: World, models: dict, *, source=None, limits=4, state=ServiceState.WARM, **terms):
    """An engine over several models; `limits`: of each, or by name."""
    terms.setdefault("retry", RetryPolicy(max_attempts=3))
    by_name = limits if isinstance(limits, dict) else dict.fromkeys(models, limits)
    gates = {
        name: Gate(
            FixedLimit(by_name[name]) if isinstance(by_name[name], int) else by_name[name],
            health=ServiceHealth(state),
        )
        for name in models
    }
    return Engine(
        queue=world.store,
        sink=world.store,
        observer=world.notebook,
        services=[PooledService(name, model, gates[name]) for name, model in models.items()],
        read_page=reader(source) if source is not None else None,
        policy=RunPolicy(**terms),
        clock=now,
        jitter=lambda: 0.5,
    )


def services_of(world: World) -> dict[str, int]:
    """Which service answered how many items."""
    counts: dict[str, int] = {}
    for record in world.store.records:
        if isinstance(record.attempt.outcome, Reply):
            counts[record.attempt.service] = counts.get(record.attempt.service, 0) + 1
    return counts


def notices(notebook: Notebook) -> list[str]:
    return [event.code for event in notebook.of(Notice)]


async def test_the_sum_of_both_is_served(world: World):
    """One twice as fast: 4 / 1 s and 4 / 0.5 s are 12 answers a second."""
    models = {"prod": Model(seconds=1.0), "spare": Model(seconds=0.5)}
    began = anyio.current_time()
    progress = await pooled(world, models, source=items(1200)).run()

    assert progress.counts == Counts(succeeded=1200)
    assert anyio.current_time() - began == pytest.approx(100, rel=0.03)
    assert services_of(world)["spare"] == pytest.approx(800, rel=0.03)
    assert sum(model.finished.total() for model in models.values()) == 1200


async def test_adaptive_limits_reach_the_sum(world: World):
    """Each has a limit of its own that finds out how much it serves."""

    class Containers(Model):
        """Serves so many at a time; the others wait in its queue."""

        def __init__(self, count: int, seconds: float) -> None:
            super().__init__(seconds=seconds)
            self.containers = anyio.CapacityLimiter(count)

        async def attempt(self, item, number):
            async with self.containers:
                return await super().attempt(item, number)

    models = {"a": Containers(8, 1.0), "b": Containers(8, 0.5)}
    limits = {name: AdaptiveLimit(1, 64) for name in models}
    began = anyio.current_time()
    await pooled(world, models, source=items(4800), limits=limits).run()

    assert 4800 / (anyio.current_time() - began) > 0.9 * 24


async def test_one_that_dies_in_the_middle_holds_up_nothing(world: World):
    def script(item, number):
        return cold() if anyio.current_time() > 20 else succeed(item, number)

    models = {"prod": Model(script), "spare": Model()}
    progress = await pooled(world, models, source=items(400)).run()

    assert progress.counts == Counts(succeeded=400)
    assert all(record.attempt.number == 1 for record in world.store.records), (
        "no attempt of an item"
    )
    assert "service_away" in notices(world.notebook)
    assert world.notebook.of(OutageOngoing) == []
    # 160 in 20 s by both, and the rest by one: 60 s; what was let down is not waited for.
    assert anyio.current_time() < 90


async def test_it_takes_part_again_when_it_is_back(world: World):
    def script(item, number):
        return cold() if 10 < anyio.current_time() < 40 else succeed(item, number)

    models = {"prod": Model(script), "spare": Model()}
    await pooled(world, models, source=items(800)).run()

    assert notices(world.notebook)[:2] == ["service_away", "service_back"]
    assert services_of(world)["prod"] > 240


async def test_one_that_falls_silent_is_helped_at_the_end(world: World):
    class FallsSilent(Model):
        async def attempt(self, item, number):
            if anyio.current_time() > 10:
                await anyio.sleep(600)
                return Failure(
                    "timeout", "no answer", FailureKind.TRANSIENT, signal=ServiceSignal.TIMEOUT
                )
            return await super().attempt(item, number)

    progress = await pooled(
        world, {"prod": FallsSilent(), "spare": Model()}, source=items(200)
    ).run()

    assert progress.counts == Counts(succeeded=200)
    assert anyio.current_time() < 120


async def test_one_that_never_answers_does_not_end_the_run(world: World):
    models = {"prod": Silent(), "spare": Model()}
    engine = pooled(
        world,
        models,
        source=items(2000),
        state=ServiceState.COLD,
        first_answer_timeout=100.0,
        cold_start_timeout=100.0,
    )
    progress = await engine.run()

    assert progress.counts == Counts(succeeded=2000)
    assert services_of(world) == {"spare": 2000}
    assert anyio.current_time() < 600


async def test_a_refused_token_is_said_at_once_and_the_others_go_on(world: World):
    refused = FatalError("unauthorized", "The token was refused")
    models = {"prod": Model(lambda item, number: refused), "spare": Model()}
    progress = await pooled(world, models, source=items(100)).run()

    assert progress.counts == Counts(succeeded=100)
    assert services_of(world) == {"spare": 100}
    (notice,) = world.notebook.of(Notice)
    assert notice.code == "service_refused"
    assert "prod" in notice.message
    assert "spare" in notice.message
    assert len(models["prod"].began) <= 4
    assert all(record.attempt.number == 1 for record in world.store.records)


async def test_the_refusal_of_all_ends_the_run(world: World):
    refused = FatalError("unauthorized", "The token was refused")
    models = {name: Model(lambda item, number: refused) for name in ("prod", "spare")}
    with pytest.raises(RunAborted, match="refused") as caught:
        await pooled(world, models, source=items(100)).run()

    assert caught.value.code == "unauthorized"
    assert world.store.records == []


async def test_all_away_are_waited_for_as_one_and_given_up(world: World):
    models = {name: Model(lambda item, number: cold(), seconds=0.1) for name in ("prod", "spare")}
    engine = pooled(
        world,
        models,
        source=items(100),
        state=ServiceState.COLD,
        cold_start_timeout=120.0,
    )
    with pytest.raises(RunAborted) as caught:
        await engine.run()

    assert caught.value.code == "cold_start"
    assert 120 < anyio.current_time() < 160
    assert world.notebook.of(OutageOngoing)
    assert world.store.records == []


async def test_all_away_and_one_back_goes_on(world: World):
    def script(item, number):
        return cold() if anyio.current_time() < 50 else succeed(item, number)

    models = {
        "prod": Model(lambda item, number: cold(), seconds=0.1),
        "spare": Model(script, seconds=0.1),
    }
    engine = pooled(
        world, models, source=items(50), state=ServiceState.COLD, cold_start_timeout=100.0
    )
    progress = await engine.run()

    assert progress.counts == Counts(succeeded=50)
    assert world.notebook.of(OutageOngoing)
    assert world.notebook.of(OutageEnded)


async def test_an_overload_goes_elsewhere_and_is_no_attempt(world: World):
    models = {"prod": Model(lambda item, number: transient("http_429")), "spare": Model()}
    progress = await pooled(world, models, source=items(100)).run()

    assert progress.counts == Counts(succeeded=100)
    assert services_of(world) == {"spare": 100}
    assert all(record.attempt.number == 1 for record in world.store.records)


async def test_the_last_items_do_not_go_to_the_slow_one(world: World):
    models = {"slow": Model(seconds=60.0), "fast": Model(seconds=1.0)}
    began = anyio.current_time()
    await pooled(world, models, source=items(400)).run()
    took = anyio.current_time() - began

    assert took < 130, "the slow one was not waited for more than once"


async def test_a_bad_item_fails_by_itself(world: World):
    from support.world import permanent  # noqa: PLC0415

    script = lambda item, n: permanent() if item.key == "item-0007" else succeed(item, n)  # noqa: E731
    models = {"prod": Model(script), "spare": Model(script)}
    progress = await pooled(world, models, source=items(100)).run()

    assert progress.counts == Counts(succeeded=99, failed=1)


async def test_stop_lets_both_finish(world: World):
    models = {"prod": Model(), "spare": Model()}
    engine = pooled(world, models, source=items(1000))
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(5.5)
        assert engine.stop() == 8
    assert await world.store.fetch_counts() == Counts(succeeded=48, pending=952)


async def test_what_a_person_sets_holds_for_each(world: World):
    models = {"prod": Model(), "spare": Model()}
    engine = pooled(world, models, source=items(400))
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(2.5)
        engine.limit = FixedLimit(2)
        assert engine.limit.value == 4
        await anyio.sleep(2)
        assert engine.progress.in_flight == 4
        engine.paused = True
        await anyio.sleep(2)
        assert engine.progress.in_flight == 0
        assert engine.paused
        engine.paused = False
        await anyio.sleep(2)
        assert engine.progress.in_flight == 4
        engine.stop()


def test_an_attempt_of_a_single_service_names_none():
    assert Attempt(1, 0.0, 1.0, Reply()).service is None
