"""The memory store, beyond the contract of all stores: items that come with their positions."""

import math

import pytest

from batchinfer.domain import Item, State
from batchinfer.errors import SourceError
from batchinfer.store.memory import MemoryStore
from support.records import reply

FOREVER = math.inf

pytestmark = pytest.mark.anyio


def leased(key: str, position: int, attempts: int = 0, spared: int = 0) -> Item:
    return Item(key, position=position, attempts=attempts, uncounted_attempts=spared)


async def test_given_positions_are_kept_and_come_in_order():
    store = MemoryStore()
    await store.add([leased("c", 300), leased("a", 7)])
    await store.add([leased("b", 20)])
    assert [one.position for one in await store.fetch_pending(0, 9, FOREVER)] == [7, 20, 300]
    assert [one.key for one in await store.fetch_pending(7, 1, FOREVER)] == ["b"]
    assert list(store.item_states()) == ["a", "b", "c"]


async def test_an_item_without_position_comes_behind_them():
    store = MemoryStore()
    await store.add([Item("b"), leased("a", 1), Item("c")])
    found = await store.fetch_pending(0, 9, FOREVER)
    assert [(one.position, one.key) for one in found] == [(1, "a"), (2, "b"), (3, "c")]


async def test_attempts_count_on_from_those_an_item_came_with():
    store = MemoryStore()
    await store.add([leased("a", 7, attempts=3, spared=2)])
    (item,) = await store.fetch_pending(0, 9, FOREVER)
    assert (item.attempts, item.uncounted_attempts) == (3, 2)
    assert await store.fetch_lowest_open_position() == 7
    assert await store.commit_records([reply(7, 4)]) == [State.PENDING]
    assert store.final_outcomes().keys() == {"a"}


async def test_one_position_belongs_to_one_item():
    store = MemoryStore()
    await store.add([leased("a", 7)])
    with pytest.raises(SourceError, match="Position 7 belongs to 'a'"):
        await store.add([leased("b", 8), leased("c", 7)])
    assert list(store.item_states()) == ["a"]
    with pytest.raises(SourceError, match="Position 9"):
        await store.add([leased("b", 9), leased("c", 9)])
