"""What workers may send together is what the run may."""

import asyncio
from dataclasses import dataclass, field

import pytest

from batchinfer.cluster.bandwidth_shares import BandwidthShares, divide
from batchinfer.domain import Item, Reply
from support.fake_cluster import SCRIPTS, FakeCluster, ScriptedFactory, open_fake, until

pytestmark = pytest.mark.event_loops("asyncio")

TOTAL = 1_000.0


@dataclass(eq=False)
class Link:
    """A worker that confirms what it may send, or does not."""

    in_flight: int = 0
    is_there: bool = True
    limit: float = 0.0
    most_together: list[float] = field(default_factory=list)
    others: "list[Link]" = field(default_factory=list)

    @property
    def worker(self) -> "Link":
        return self

    async def limit_bandwidth(self, bytes_per_second: float) -> None:
        await asyncio.sleep(0)
        if not self.is_there:
            raise ConnectionResetError
        self.limit = bytes_per_second
        assert sum(each.limit for each in self.others) <= TOTAL * 1.0001


def make_links(count: int) -> list[Link]:
    links = [Link() for _ in range(count)]
    for link in links:
        link.others = links
    return links


async def test_workers_share_it_and_never_have_more_together():
    shares, links = BandwidthShares(TOTAL), make_links(5)
    await asyncio.gather(*(shares.admit(link) for link in links))
    assert [link.limit for link in links] == [pytest.approx(TOTAL / 5)] * 5


async def test_who_has_attempts_in_flight_gets_more():
    shares, (busy, idle) = BandwidthShares(TOTAL), make_links(2)
    await shares.admit(busy)
    await shares.admit(idle)
    busy.in_flight = 3
    running = asyncio.create_task(shares.run())
    await until(lambda: busy.limit > 0.9 * TOTAL)
    assert 0 < idle.limit < 0.1 * TOTAL
    idle.in_flight, busy.in_flight = 3, 0
    await until(lambda: idle.limit > 0.9 * TOTAL)
    running.cancel()


async def test_the_share_of_a_lost_worker_goes_to_the_others():
    shares, links = BandwidthShares(TOTAL), make_links(2)
    for link in links:
        await shares.admit(link)
    links[0].limit = 0.0
    shares.remove(links[0])
    running = asyncio.create_task(shares.run())
    await until(lambda: links[1].limit == TOTAL)
    running.cancel()


async def test_a_worker_that_does_not_confirm_keeps_its_share_until_it_is_lost():
    shares, (silent, new) = BandwidthShares(TOTAL), make_links(2)
    await shares.admit(silent)
    silent.is_there = False
    admitting = asyncio.create_task(shares.admit(new))
    await asyncio.sleep(0.1)
    assert new.limit == 0.0
    silent.limit = 0.0
    shares.remove(silent)
    await admitting
    assert new.limit == TOTAL


@pytest.mark.parametrize(
    ("in_flight", "expected"),
    [([0, 0], [0.5, 0.5]), ([1, 0], [0.95, 0.05]), ([3, 1], [0.725, 0.275])],
)
def test_it_is_divided_by_attempts_in_flight(in_flight, expected):
    links = make_links(2)
    shares = divide(1.0, dict(zip(links, in_flight, strict=True)))
    assert [shares[link] for link in links] == pytest.approx(expected)


async def test_open_workers_hold_their_shares_as_others_come_and_go():
    async def answer(it: Item, number: int) -> Reply:
        return Reply(prediction=it.key)

    SCRIPTS["shares"] = answer
    cluster = FakeCluster(["a"])

    def rate(address: str) -> float:
        session = cluster.workers[address].actor._session
        return session._backend.bandwidth.rate

    try:
        async with open_fake(cluster, ScriptedFactory("shares"), bandwidth=TOTAL) as backend:
            assert isinstance(await backend.attempt(Item("x", position=1), 1), Reply)
            assert rate("a") == TOTAL
            cluster.addresses.append("b")
            await until(lambda: "b" in cluster.workers and rate("a") == rate("b") == TOTAL / 2)
            await cluster.kill("a")
            await until(lambda: rate("b") == TOTAL)
    finally:
        SCRIPTS.pop("shares")
