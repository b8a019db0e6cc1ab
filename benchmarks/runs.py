"""Long runs, made through the store as a run makes them: pages of items, batches of records."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from batchinfer.domain import (
    Attempt,
    InputFile,
    Item,
    Mode,
    Outcome,
    Record,
    Reply,
    RunInfo,
    SentFile,
    State,
)
from batchinfer.protocols.inference_protocol import HttpAnswer
from batchinfer.protocols.registry import load_protocol
from batchinfer.store.sqlite import SqliteStore
from benchmarks.measuring import Work
from benchmarks.stub import BODY

PAGE = 2_000
CREATED_AT = 1_795_000_000.0
CONFIG = {
    "service": {"endpoint": "http://127.0.0.1:1/run/stub", "token": "${BENCH_TOKEN}"},
    "run": {"mode": "sync"},
}


def ingest(run: str, count: int, pending: int, folder: str) -> Work:
    """A run is made: `make_run` as work that is measured."""
    files = sorted(Path(folder).iterdir())

    def work() -> int:
        asyncio.run(make_run(Path(run), count, pending, files))
        return count

    return work


async def make_run(run: Path, count: int, pending: int, files: Sequence[Path]) -> None:
    """A run of `count` items, all but the last `pending` ones succeeded, its source read."""
    paths = [str(file.absolute()) for file in files]
    async with SqliteStore.create(run, make_info(paths[0])) as store:
        for first in range(1, count + 1, PAGE):
            positions = range(first, min(first + PAGE, count + 1))
            await store.add([make_item(each, paths) for each in positions])
            done = [each for each in positions if each <= count - pending]
            if done:
                await store.commit_records(make_records(done))
        await store.mark_source_complete()


def make_info(path: str) -> RunInfo:
    """What a run says of itself."""
    return RunInfo("bench", CREATED_AT, Mode.SYNC, CONFIG, (str(Path(path).parent),))


def make_item(position: int, paths: Sequence[str]) -> Item:
    """The item at a position; its files are some few, its key is its own."""
    path = paths[position % len(paths)]
    return Item(f"site-{position % 40:02d}/IMG_{position:08d}.jpg", (InputFile("files", path),))


def make_records(positions: Sequence[int]) -> Sequence[Record]:
    """The records of items that succeeded: a prediction, a log, and the digest of what was sent."""
    return [
        Record(
            position,
            Attempt(
                1, CREATED_AT + position / 20, 0.41 + position % 100 / 1000, _make_reply(position)
            ),
            State.SUCCEEDED,
        )
        for position in positions
    ]


def _make_reply(position: int) -> Reply:
    digest = hashlib.sha256(str(position).encode()).hexdigest()
    return replace(_REPLY, inputs=(SentFile("files", 110_000, digest),))


def _decode() -> Reply:
    answer = HttpAnswer(200, BODY, {"X-Duration-Seconds": "0.412519"})
    outcome: Outcome | Exception = load_protocol("ai4os").decode_answer(answer)
    assert isinstance(outcome, Reply)
    return outcome


_REPLY = _decode()
