"""Memory that large bodies have one after the other."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from batchinfer.backends.body_memory import BodyMemory, BodyMemoryPool
from batchinfer.backends.payload_loader import STREAMED_ENCODING_MIN_BYTES, PayloadLoader
from batchinfer.domain import Failure, InputFile, Item, Mode
from batchinfer.flow.memory_budget import MemoryBudget
from batchinfer.protocols.ai4os.payload import FileContent, build_payload
from support.protocols import AI4OS

SIZE = 3_000_000

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere none is lent again")


def fill(memory: BodyMemory, text: bytes) -> BodyMemory:
    view = memory.view
    view[: len(text)] = text
    return memory


def holds(memory: BodyMemory, text: bytes) -> bool:
    return memory.view[: len(text)] == text


def test_what_was_given_back_is_lent_again_to_a_body_of_about_the_same_size():
    pool = BodyMemoryPool(MemoryBudget(10 * SIZE))
    fill(pool.lend(SIZE), b"first").give_back()
    assert holds(pool.lend(SIZE - 1000), b"first")
    assert holds(pool.lend(SIZE - 1000), bytes(5))  # there was but one


def test_a_body_gets_room_for_all_of_it_and_little_more():
    pool = BodyMemoryPool(MemoryBudget(10 * SIZE))
    for size in (1, 4096, 1_500_000, SIZE, 1 << 24, (1 << 24) + 1):
        lent = len(pool.lend(size).view)
        assert size <= lent <= max(size * 9 / 8 + 1, 4096 * 16)


def test_memory_that_somebody_has_a_view_of_is_never_lent_again():
    pool = BodyMemoryPool(MemoryBudget(10 * SIZE))
    memory = fill(pool.lend(SIZE), b"first")
    seen = memory.view[:5]
    memory.give_back()
    assert holds(fill(pool.lend(SIZE), b"other"), b"other")
    assert seen == b"first"
    assert len(memory.view) == 0


def test_memory_is_given_back_once():
    pool = BodyMemoryPool(MemoryBudget(10 * SIZE))
    memory = fill(pool.lend(SIZE), b"first")
    memory.give_back()
    memory.give_back()
    assert holds(pool.lend(SIZE), b"first")
    assert holds(pool.lend(SIZE), bytes(5))


async def test_nothing_is_kept_that_the_budget_has_given_to_others():
    budget = MemoryBudget(2 * SIZE)
    pool = BodyMemoryPool(budget)
    with budget.new_reservation() as taken:
        memory = fill(pool.lend(SIZE), b"first")
        await taken.acquire(SIZE + SIZE // 2)
        memory.give_back()
        assert holds(pool.lend(SIZE), bytes(5))
    fill(pool.lend(SIZE), b"other").give_back()
    with budget.new_reservation() as taken:
        await taken.acquire(SIZE + SIZE // 2)
        pool.lend(SIZE // 2)
    assert holds(pool.lend(SIZE), bytes(5))


def test_what_nobody_needs_for_a_while_is_not_kept():
    pool = BodyMemoryPool(MemoryBudget(10 * SIZE), idle_seconds=-1.0)
    fill(pool.lend(SIZE), b"first").give_back()
    assert holds(pool.lend(SIZE), bytes(5))


async def test_a_body_is_the_same_wherever_another_one_was_before(tmp_path: Path):
    loader = PayloadLoader(
        AI4OS, {}, Mode.SYNC, memory_pool=BodyMemoryPool(MemoryBudget(100 * SIZE))
    )
    size = STREAMED_ENCODING_MIN_BYTES
    for number in range(6):
        data = os.urandom(size + 1 + (6 - number) * 5_000)  # each is shorter than the one before
        path = tmp_path / f"{number}.png"
        path.write_bytes(data)
        loaded = await loader.load_within(None, Item("a", (InputFile("files", str(path)),)))
        assert not isinstance(loaded, Failure)
        assert loaded.body == build_payload({}, [FileContent("files", "png", data)])
        memory = loaded.memory
        assert memory is not None
        loaded.parts = ()
        memory.give_back()
