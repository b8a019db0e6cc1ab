"""Outputs under random names: one is never given to two items, nor to one that may not own it."""

from __future__ import annotations

import anyio
import pytest

from batchinfer.backends.orphan_outputs import (
    ORPHAN_FAR_SECONDS,
    ORPHAN_NEAR_SECONDS,
    ORPHAN_SETTLE_SECONDS,
)
from batchinfer.domain import Failure, Reply, State
from support.watched_bucket import GRACE, OK_JSON, STRAY, STRAY_LOG, VALUE, Desk

pytestmark = pytest.mark.event_loops("virtual")

OTHER_JSON = b'{"of": "another item"}'


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.submit(3)
    return desk


def log(desk: Desk, position: int, at: float | None = None) -> None:
    desk.put("log", STRAY_LOG, position)
    if at is not None:
        (key,) = (k for k in desk.bucket.objects if f"-{position:09d}-" in k and ".log" in k)
        desk.bucket.last_modified[key] = at


def orphan(desk: Desk, body: bytes = OK_JSON, at: float | None = None) -> None:
    desk.bucket.objects[STRAY] = body
    if at is not None:
        desk.bucket.last_modified[STRAY] = at


async def settled(desk: Desk) -> dict[int, object]:
    """What two looks decide, by position."""
    assert await desk.look() == []
    await anyio.sleep(ORPHAN_SETTLE_SECONDS)
    return {arrival.item.position: arrival.outcome for arrival in await desk.look()}


def codes(outcomes: dict[int, object]) -> dict[int, str | None]:
    return {at: getattr(outcome, "code", None) for at, outcome in outcomes.items()}


@pytest.mark.parametrize("times", [None, 100.0])
async def test_two_logs_that_name_one_orphan_are_both_tried_again(desk: Desk, times: float | None):
    log(desk, 1, times)
    log(desk, 2, times)
    orphan(desk, at=times)
    found = await settled(desk)
    assert codes(found) == {1: "output_uncertain", 2: "output_uncertain"}
    assert all(isinstance(f, Failure) and f.kind == "transient" for f in found.values())


async def test_the_times_may_prove_whose_it_is(desk: Desk):
    log(desk, 1, 100.0)
    log(desk, 2, 100.0 + 2 * ORPHAN_FAR_SECONDS)
    orphan(desk, at=100.0 + 2 * ORPHAN_FAR_SECONDS + ORPHAN_NEAR_SECONDS)
    found = await settled(desk)
    await anyio.sleep(GRACE)
    found |= {a.item.position: a.outcome for a in await desk.look()}
    assert codes(found) == {1: "output_uncertain", 2: None}
    assert found[2].prediction == VALUE


async def test_a_log_that_follows_soon_makes_it_uncertain(desk: Desk):
    log(desk, 1)
    orphan(desk)
    assert await desk.look() == []
    log(desk, 2)
    await anyio.sleep(ORPHAN_SETTLE_SECONDS)
    found = {a.item.position: a.outcome for a in await desk.look()}
    assert codes(found) == {1: "output_uncertain", 2: "output_uncertain"}


async def test_an_orphan_that_was_taken_is_not_taken_again(desk: Desk):
    log(desk, 1)
    orphan(desk)
    found = await settled(desk)
    await desk.record(1, 1, found[1], State.SUCCEEDED)
    log(desk, 2)
    assert await desk.look() == []
    await anyio.sleep(GRACE)
    assert codes({2: (await desk.outcome())}) == {2: "output_uncertain"}


async def test_another_output_under_the_same_name_is_the_next_items(desk: Desk):
    log(desk, 1, 100.0)
    orphan(desk, at=100.0)
    found = await settled(desk)
    await desk.record(1, 1, found[1], State.SUCCEEDED)
    log(desk, 2, 200.0)
    orphan(desk, OTHER_JSON, at=200.0)
    await desk.watcher.cleanup(desk.store)
    assert STRAY in desk.bucket.objects  # no longer the one that was taken
    found = await settled(desk)
    assert found[2].prediction == {"of": "another item"}
    await desk.watcher.cleanup(desk.store)
    assert STRAY not in desk.bucket.objects


async def test_one_that_was_left_long_before_the_log_is_not_believed(desk: Desk):
    log(desk, 1, 1000.0)
    orphan(desk, OTHER_JSON, at=1000.0 - ORPHAN_FAR_SECONDS - 1)
    assert await settled(desk) == {}
    await anyio.sleep(GRACE)
    assert (await desk.outcome()).code == "output_lost"


async def test_one_that_is_overwritten_while_it_is_watched_is_watched_again(desk: Desk):
    log(desk, 1, 100.0)
    orphan(desk, OTHER_JSON, at=99.0)
    assert await desk.look() == []
    orphan(desk, at=101.0)
    await anyio.sleep(ORPHAN_SETTLE_SECONDS)
    found = await settled(desk)
    assert isinstance(found[1], Reply)
    assert found[1].prediction == VALUE


async def test_logs_on_different_pages_are_all_seen_first(desk: Desk):
    desk = Desk(page_size=1)
    await desk.submit(3)
    for position in (1, 2, 3):
        log(desk, position, 100.0)
    orphan(desk, at=100.0)
    assert set(codes(await settled(desk)).values()) == {"output_uncertain"}
