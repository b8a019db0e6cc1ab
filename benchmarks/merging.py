"""How long it takes to merge shards, and how much memory: `python -m benchmarks.merging`.

Runs are made through the store, one per shard, and merged by the command line, each time as a
process of its own: into a new run, and once more, which changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from batchinfer.domain import Item, Mode, RunInfo
from batchinfer.sources.shard import Shard, find_shard_number
from batchinfer.store.sqlite import SqliteStore
from benchmarks.runs import CONFIG, CREATED_AT, PAGE, make_item, make_records

MAX_SECONDS, MAX_MB = 120.0, 300.0
"""Goals for 1,000,000 items of 16 shards."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--folder", help="where the runs are made; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-merging-", dir=arguments.folder) as folder:
        began = time.perf_counter()
        # Elsewhere: what a process starts counts its parent's memory as its own.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            runs = pool.submit(
                make_all_shards, Path(folder), arguments.items, arguments.shards
            ).result()
        size = sum((run / "run.db").stat().st_size for run in runs) / 1e6
        print(
            f"{arguments.items:,} items in {arguments.shards} shards, {size:,.0f} MB, made in "
            f"{time.perf_counter() - began:.0f} s"
        )
        target = Path(folder, "merged")
        print_cost("merge into a new run", measure("merge", *runs, "-o", target))
        print_cost("merge again", measure("merge", *runs, "-o", target))
        print_cost("verify by an export", measure("export", target, "-o", f"{folder}/results.csv"))
        print(f"goals: {MAX_SECONDS:.0f} s, {MAX_MB:.0f} MB")


def make_all_shards(folder: Path, count: int, shards: int) -> Sequence[Path]:
    return asyncio.run(make_shards(folder, count, shards))


async def make_shards(folder: Path, count: int, shards: int) -> Sequence[Path]:
    """A run for each shard of a source of so many items, whose keys are in a folder's order."""
    items_by_shard: list[list[Item]] = [[] for _ in range(shards)]
    chosen = [Shard(number, shards) for number in range(1, shards + 1)]
    for item in sorted((make_item(n, ["/data/a.jpg"]) for n in range(1, count + 1)), key=get_key):
        items_by_shard[find_shard_number(item.key, shards) - 1].append(item)
    runs = []
    for shard, items in zip(chosen, items_by_shard, strict=True):
        runs.append(folder / f"shard-{shard.number}")
        config = {**CONFIG, "input": {"shard": str(shard)}}
        info = RunInfo(f"bench{shard.number}", CREATED_AT, Mode.SYNC, config, ("/data",))
        async with SqliteStore.create(runs[-1], info) as store:
            await store.start_session({})
            for first in range(0, len(items), PAGE):
                page = items[first : first + PAGE]
                await store.add(page)
                await store.commit_records(make_records(range(first + 1, first + len(page) + 1)))
            await store.mark_source_complete()
    return runs


def get_key(item: Item) -> str:
    return item.key


def measure(*arguments: object) -> tuple[float, float, float]:
    """Seconds, CPU seconds, and MB of memory at most of a command, as a process of its own."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "batchinfer", *map(str, arguments)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"batchinfer {arguments[0]} ended with {process.returncode}")
    return time.perf_counter() - began, _get_cpu_seconds(usage), usage.ru_maxrss / 1000


def _get_cpu_seconds(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def print_cost(what: str, cost: tuple[float, float, float]) -> None:
    seconds, cpu_seconds, peak_mb = cost
    print(f"{what:<22}{seconds:>8.1f} s{cpu_seconds:>8.1f} s CPU{peak_mb:>8.0f} MB")


if __name__ == "__main__":
    main()
