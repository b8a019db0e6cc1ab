"""Waiting for a service that is not there begins and ends with what was heard of it."""

from dataclasses import replace

import anyio
import pytest

from batchinfer.domain import Counts, ServiceSignal
from batchinfer.errors import RunAborted
from batchinfer.ports import OutageEnded
from support.world import Model, World, cold, items, permanent, succeed, transient

pytestmark = pytest.mark.event_loops("virtual")


async def test_it_is_told_when_the_service_is_back(world: World):
    model = Model(lambda item, n: cold() if anyio.current_time() < 100 else succeed(item, n))
    await world.engine(model, source=items(3)).run()
    (back,) = world.notebook.of(OutageEnded)
    assert back.code == "cold_start"
    assert 95 < back.seconds < 130


@pytest.mark.event_loops("asyncio")
async def test_on_a_clock_that_goes_on_between_two_lines_a_service_that_only_fails_is_away(
    world: World,
):
    model = Model(lambda item, number: transient("http_500"), seconds=0.001)
    engine = world.engine(model, source=items(200), concurrency=2, cold_start_timeout=0.1)
    with pytest.raises(RunAborted):
        await engine.run()
    assert len(model.began) < 100


async def test_an_item_that_cannot_be_sent_says_nothing_about_the_service(world: World):
    def script(item, number):
        if item.key > "item-0002":
            return replace(permanent("file_empty"), signal=ServiceSignal.UNSENT)
        return cold() if anyio.current_time() < 100 else succeed(item, number)

    progress = await world.engine(Model(script), source=items(50)).run()
    assert progress.counts == Counts(succeeded=2, failed=48)
    assert len(world.notebook.of(OutageEnded)) == 1
