"""Runs to merge: shards of one source, made through the store."""

from dataclasses import replace

from batchinfer.domain import Mode, RunInfo
from batchinfer.sources.shard import Shard
from batchinfer.store.sqlite import SqliteStore
from support.records import failed, failure, item, reply

CONFIG = {"service": {"endpoint": "https://example.org/run/birds"}, "run": {"mode": "sync"}}
KEYS = [f"{number:03}.jpg" for number in range(60)] + [
    f"{folder}/{number:02}.jpg" for folder in ("a", "a/b", "c") for number in range(20)
]
"""In the order in which a folder with these files is read."""


def records_of(position, key):
    """What becomes of an item: most succeed, some at the second attempt, some fail."""
    number = KEYS.index(key) if key in KEYS else 1
    if number % 7 == 3:
        return [failure(position, 1), failed(position, 2, log="no bird in sight")]
    if number % 5 == 2:
        data = f"mask of {key}".encode()
        return [failure(position, 1), reply(position, 2, data=data, media_type="image/png")]
    return [reply(position, prediction={"of": key}, at=100.0 + number)]


async def make_run(
    directory, keys, *, sources=("/data",), config=CONFIG, shard=None, records=None, finished=True
):
    """A run of the items with these keys, in this order; a part of them if `shard` is given.

    `records(position, key)`: what has happened to an item.
    """
    if shard is not None:
        config = {**config, "input": {**config.get("input", {}), "shard": shard}}
        part = Shard.parse(shard)
        keys = [key for key in keys if part.holds(key)]
    mode = Mode(config["run"]["mode"])
    run_id = f"run{directory.name}".replace("-", "")
    async with SqliteStore.create(
        directory, RunInfo(run_id, 1_700_000_000.0, mode, config, tuple(sources))
    ) as store:
        await store.start_session({})
        await store.add([item(key) for key in keys])
        happened = records or records_of
        await store.commit_records(
            [
                replace(each, attempt=replace(each.attempt, params={"size": 1}))
                for position, key in enumerate(keys, 1)
                for each in happened(position, key)
            ]
        )
        if finished:
            await store.mark_source_complete()
    return directory


async def make_shards(folder, count=4, keys=KEYS, **more):
    """A run for each shard."""
    return [
        await make_run(folder / f"shard-{number}", keys, shard=f"{number}/{count}", **more)
        for number in range(1, count + 1)
    ]
