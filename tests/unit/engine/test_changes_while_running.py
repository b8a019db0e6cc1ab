"""What an instruction does to an engine that is at work, and what is said about it."""

import json

import anyio
import pytest

from batchinfer.api.control import Controller, parse_command, progress_from_status
from batchinfer.api.deliveries import DELIVERIES
from batchinfer.domain import Mode
from batchinfer.errors import ConfigError
from batchinfer.flow import AdaptiveLimit, FixedLimit, ServiceState
from batchinfer.ports import Committed, Notice, OutageOngoing
from support.world import Bucket, Model, World, cold, items, succeed

pytestmark = pytest.mark.event_loops("virtual")


class Desk:
    """A running engine, and who steers it."""

    def __init__(self, world: World, backend, mode: Mode = Mode.SYNC, **parts) -> None:
        self.steering, self.world, notebook = Controller(world.notebook), world, world.notebook
        world.notebook = self.steering  # stands between the engine and who is told
        self.engine = world.engine(backend, **parts)
        world.notebook = notebook
        self.steering.attach(self.engine, mode)

    def tell(self, do: str, value: object = None) -> str:
        return self.steering.execute(parse_command(do, value))

    @property
    def told(self) -> list[str]:
        return [event.message for event in self.world.notebook.of(Notice) if event.code == "told"]


async def test_paused_nothing_begins_and_what_is_in_flight_is_recorded(world):
    model = Model()
    desk = Desk(world, model, source=items(20), concurrency=4)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(2.5)

        assert desk.tell("pause") == "paused; waiting for 4 running calls"
        await anyio.sleep(100)
        assert (len(model.began), desk.engine.progress.counts.succeeded) == (12, 12)
        assert desk.tell("pause") == "paused; no call is running"
        assert desk.tell("status") == "12/20 60%, paused"
        assert world.notebook.recorded[-1].progress.paused

        assert desk.tell("resume") == "resumed; concurrency is 4"
    assert desk.engine.progress.counts.succeeded == 20
    assert model.finished.total() == 20
    assert not world.notebook.recorded[-1].progress.paused
    assert desk.told[0] == "ctl: paused; waiting for 4 running calls"


async def test_a_lower_concurrency_is_kept_as_soon_as_calls_end_and_a_higher_one_at_once(world):
    model = Model()
    desk = Desk(world, model, source=items(200), concurrency=8)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(2.5)

        assert desk.tell("concurrency", "3") == "concurrency is 3; waiting for 8 running calls"
        await anyio.sleep(1)
        assert (model.in_flight, desk.engine.progress.limit) == (3, 3)
        await anyio.sleep(5)
        assert model.in_flight == 3

        assert desk.tell("concurrency", 12) == "concurrency is 12"
        await anyio.sleep(0.1)
        assert model.in_flight == 12
    assert model.most_in_flight == 12
    moves = [(each.was, each.value) for each in world.store.limit_changes]
    assert moves == [(8, 3), (3, 12)]


async def test_an_adaptive_limit_begins_where_the_old_one_was_within_its_bounds(world):
    desk = Desk(world, Model(), source=items(100), concurrency=30)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(0.5)

        assert desk.tell("concurrency", "auto") == "concurrency is 30, adaptive"
        assert (desk.engine.limit._lowest, desk.engine.limit._highest) == (
            1,
            DELIVERIES[Mode.SYNC].max_adaptive_limit,
        )
        assert desk.tell("concurrency", "2-20").startswith(
            "concurrency is 20, adaptive; waiting for 30"
        )
        assert isinstance(desk.engine.limit, AdaptiveLimit)
        assert desk.steering.status()["adapts"] is True
        desk.tell("concurrency", "5")
        assert isinstance(desk.engine.limit, FixedLimit)


async def test_a_rate_is_kept_until_it_is_taken_back(world):
    model = Model(seconds=0.1)
    desk = Desk(world, model, source=items(300), concurrency=8)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(1)

        assert desk.tell("rate", "2/s") == "at most 2 calls per second are started"
        assert desk.steering.status()["rate"] == 2
        before = len(model.began)
        await anyio.sleep(10)
        assert len(model.began) - before in range(19, 23)
        assert "at most 2 calls per second are started" in desk.tell("status")

        assert desk.tell("rate", "none") == "rate limit removed"
        before = len(model.began)
        await anyio.sleep(1)
        assert len(model.began) - before > 60
        assert desk.steering.status()["rate"] is None


async def test_stop_is_the_first_signal(world):
    model = Model()
    desk = Desk(world, model, source=items(50), concurrency=4)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(1.5)

        assert desk.tell("stop") == "stopping: waiting for 4 running calls"
        assert desk.steering.status()["stopping"] is True
        with pytest.raises(ConfigError, match="stopping: waiting for 4 running calls"):
            desk.tell("resume")
        assert "stopping" in desk.tell("status")
    assert desk.tell("stop") == "stopping: no call is running"
    assert desk.engine.stopped
    assert desk.engine.progress.counts.succeeded == len(model.began) == 8
    (notice,) = [n for n in world.notebook.of(Notice) if n.code == "stopping"][:1]
    assert notice.message == "ctl: stopping: waiting for 4 running calls"


async def test_a_run_that_is_stopped_while_paused_ends(world):
    desk = Desk(world, Model(), source=items(50), concurrency=4)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(1.5)
        desk.tell("pause")
        await anyio.sleep(50)
        desk.tell("stop")
    assert desk.engine.progress.counts.succeeded == 8


async def test_in_async_mode_the_limit_is_of_what_is_submitted(world):
    bucket = Bucket(seconds=30.0)
    desk = Desk(world, bucket, Mode.ASYNC, source=items(100), watcher=bucket, submitted_limit=20)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(10)
        assert len(bucket.inputs) == 20

        assert desk.tell("concurrency", 5) == "concurrency is 5; waiting for 20 submitted items"
        assert desk.tell("pause") == "paused; waiting for 20 submitted items"
        await anyio.sleep(200)
        assert len(bucket.inputs) == desk.engine.progress.counts.succeeded == 20
        desk.tell("resume")
        await anyio.sleep(20)
        assert len(bucket.inputs) == 25
        desk.tell("concurrency", "auto")
        assert desk.engine.limit._highest == DELIVERIES[Mode.ASYNC].max_adaptive_limit


async def test_in_async_mode_what_was_taken_but_not_yet_submitted_is_given_back(world):
    bucket = Bucket(seconds=5.0)
    desk = Desk(world, bucket, Mode.ASYNC, source=items(60), watcher=bucket, submitted_limit=40)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(0.25)  # four at a time are uploaded: most of the forty are still here
        assert desk.tell("concurrency", 3).startswith("concurrency is 3; ")
        await anyio.sleep(1)
        assert len(bucket.inputs) < 20
        await anyio.sleep(60)
        bucket.outstanding_most = 0
    assert bucket.outstanding_most <= 3
    assert desk.engine.progress.counts.succeeded == len(bucket.inputs) == 60


async def test_a_submit_whose_limit_is_lowered_below_what_is_submitted_ends(world):
    bucket = Bucket(seconds=1e6)
    desk = Desk(
        world,
        bucket,
        Mode.ASYNC,
        source=items(60),
        watcher=bucket,
        submitted_limit=40,
        collects=False,
        max_items=50,
    )
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(0.25)
        desk.tell("concurrency", 2)
    assert 2 <= len(bucket.inputs) < 20
    assert desk.engine._feeder._fed_count == len(bucket.inputs)


async def test_who_only_collects_can_be_stopped_and_asked_but_not_steered(world):
    bucket = Bucket(seconds=1e6)
    desk = Desk(
        world,
        bucket,
        Mode.ASYNC,
        source=items(9),
        watcher=bucket,
        submitted_limit=9,
        collects=False,
    )
    await desk.engine.run()
    desk = Desk(world, None, Mode.ASYNC, watcher=bucket, submitted_limit=2)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(5)

        for words in (["pause"], ["resume"], ["concurrency", 3], ["rate", 3]):
            with pytest.raises(ConfigError, match="only collects"):
                desk.tell(*words)
        assert desk.tell("status") == "0/9 0%, 9 submitted"
        desk.tell("stop")


async def test_it_says_what_is_waited_for_until_it_is_back(world):
    model = Model(lambda item, n: cold() if anyio.current_time() < 60 else succeed(item, n), 0.1)
    desk = Desk(world, model, source=items(5), health=ServiceState.COLD)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(50)

        status = desk.steering.status()
        assert status["condition"] in {"cold", "probing"}
        assert OutageOngoing(**status["waiting"]) == world.notebook.waited[-1]
        assert "warming up for" in desk.tell("status")
    assert desk.steering.status()["waiting"] is None
    assert desk.steering.status()["condition"] == "warm"


async def test_an_answer_is_one_line_that_another_process_can_show(world):
    desk = Desk(world, Model(), source=items(20))
    async with anyio.create_task_group() as group:
        group.start_soon(desk.engine.run)
        await anyio.sleep(1.5)
        line = desk.steering.handle_line(b'{"do": "concurrency", "value": "2-6"}')

        answer = json.loads(line)
        assert (line.count(b"\n"), answer["ok"]) == (1, True)
        assert progress_from_status(answer["status"]) == desk.engine.progress
    refused = json.loads(desk.steering.handle_line(b"{}"))
    assert (refused["ok"], refused["code"]) == (False, "refused")


async def test_what_is_heard_is_passed_on(world):
    desk = Desk(world, Model(), source=items(3))
    await desk.engine.run()

    assert sum(len(event.records) for event in world.notebook.of(Committed)) == 3
