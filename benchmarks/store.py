"""The store: recording, resuming a long run, its status, its exports."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.calls import SMALL
from benchmarks.comparisons import DISTINCT, Comparison, Contender, Job, Setup
from benchmarks.measuring import ContenderFailed, Sample, Work
from benchmarks.peers.calls import TOKEN
from benchmarks.services import stub
from benchmarks.startup import PROGRAM
from benchmarks.table import Goal, Kind, Measure

ITEMS = 1_000_000
RECORDS = 40_000
BATCH = 256
"""Records in one commit: as many as a run takes at most."""
SHELL, DUCKDB = "sqlite3 shell", "DuckDB"


def record(folder: str, count: int) -> Work:
    """Records committed as a run does, in batches; their items were added before."""
    from batchinfer.store.sqlite import SqliteStore  # noqa: PLC0415 - each process loads its own only
    from benchmarks import runs  # noqa: PLC0415 - as above

    async def commit(run: Path, *, items: bool) -> int:
        info, paths = runs.make_info("/photos/image.jpg"), ["/photos/image.jpg"]
        opened = SqliteStore.create(run, info) if items else SqliteStore.open(run)
        async with opened as store:
            for first in range(1, count + 1, BATCH):
                positions = range(first, min(first + BATCH, count + 1))
                if items:
                    await store.add([runs.make_item(each, paths) for each in positions])
                else:
                    await store.commit_records(records[first - 1 : first - 1 + BATCH])
            return (await store.fetch_counts()).succeeded

    below = tempfile.TemporaryDirectory(dir=folder)
    run = Path(below.name) / "run"
    records = runs.make_records(range(1, count + 1))
    asyncio.run(commit(run, items=True))

    def work() -> int:
        with below:
            return asyncio.run(commit(run, items=False))

    return work


def resume(run: str, endpoint: str, limit: int) -> Work:
    """Continue a run, and send some of its items."""
    import batchinfer  # noqa: PLC0415 - each process loads its own client only
    from batchinfer.config import load_config  # noqa: PLC0415 - as above

    flags = {"service.endpoint": endpoint, "service.token": TOKEN, "run.concurrency": 64}
    config = load_config(None, {}, flags)

    def work() -> int:
        batchinfer.resume(run, config=config, limit=limit, force=True)
        return limit

    return work


@contextmanager
def compare_recording(setup: Setup) -> Iterator[Comparison]:
    many, few = setup.count(RECORDS, 1_000), setup.count(4_000, 100)
    folder = str(setup.below)
    yield Comparison(
        Measure.RATE,
        [
            Contender(
                "batchinfer",
                partial(
                    setup.ours.take, "benchmarks.store:record", many, folder=folder, count=many
                ),
                remark=f"{BATCH} in a commit; attempts, logs, digests, checksums",
            ),
            Contender(
                "a commit per row",
                partial(
                    setup.peers.take,
                    "benchmarks.peers.store:commit_per_row",
                    few,
                    folder=folder,
                    count=few,
                ),
                remark="one table",
            ),
        ],
        [Goal(Measure.RATE, 20, ("a commit per row",))],
    )


@contextmanager
def compare_resuming(setup: Setup) -> Iterator[Comparison]:
    """From the beginning of the work, imports done, until the service has the first request."""
    run, resumed = long_run(setup), resumed_items(setup)
    with stub(setup.service_core) as service:

        def take() -> Sample:
            service.tell()
            whole = setup.ours.take(
                "benchmarks.store:resume",
                resumed,
                run=str(run),
                endpoint=service.url,
                limit=resumed,
            )
            tally = service.tell()
            if tally.first is None or tally.requests != resumed:
                raise ContenderFailed(f"{tally.requests:,} calls for {resumed:,} items")
            return replace(whole, items=1, seconds=tally.first - whole.began)

        yield Comparison(
            Measure.SECONDS,
            [Contender("batchinfer", take, remark=f"{resumed} items sent, none of them twice")],
            [Goal(Measure.SECONDS, 2.0, (), Kind.ABSOLUTE, at_most=True)],
        )


@contextmanager
def compare_status(setup: Setup) -> Iterator[Comparison]:
    run, items = long_run(setup), setup.count(ITEMS, 1_000)
    shell = {"run": str(run), "what": "status", "output": "/dev/null", "rows": items}
    yield Comparison(
        Measure.SECONDS,
        [
            Contender(
                "batchinfer status",
                partial(setup.ours.take_command, [PROGRAM, "status", str(run)], items),
                remark="with times, failures and what to do next",
            ),
            Contender(
                SHELL,
                partial(setup.peers.take, "benchmarks.peers.store:sqlite_shell", items, **shell),
                remark=_with_tool("counts of states"),
            ),
        ],
        [Goal(Measure.SECONDS, 0.5, (), Kind.ABSOLUTE, at_most=True)],
    )


@contextmanager
def compare_exports(setup: Setup, *, what: str) -> Iterator[Comparison]:
    run, items = long_run(setup), setup.count(ITEMS, 1_000)
    output = str(setup.below / f"out.{what}")
    job = {"run": str(run), "what": what, "output": output, "rows": items}
    peers = "benchmarks.peers.store"
    yield Comparison(
        Measure.RATE,
        [
            Contender(
                "batchinfer export",
                partial(
                    setup.ours.take_command, [PROGRAM, "export", str(run), "-o", output], items
                ),
            ),
            Contender(
                SHELL,
                partial(setup.peers.take, f"{peers}:sqlite_shell", items, **job),
                remark=_with_tool("the same columns"),
            ),
            Contender(
                DUCKDB,
                partial(setup.peers.take, f"{peers}:duckdb_export", items, **job),
                ("duckdb", "duckdb-extension-sqlite-scanner"),
                "the same columns",
            ),
        ],
        [
            Goal(Measure.RATE, 0.5, (SHELL, DUCKDB)),
            Goal(Measure.MEMORY, 130, (), Kind.ABSOLUTE, at_most=True),
        ],
        rounds=min(2, setup.rounds),  # each is long, and like the one before
    )


def _with_tool(remark: str) -> str:
    """A remark, which also says so where there is no shell and Python's module stands for it."""
    return (
        remark if shutil.which("sqlite3") else f"{remark}; by Python's sqlite3: there is no shell"
    )


def long_run(setup: Setup) -> Path:
    """A run of which 1 % is still to do; made once."""
    from benchmarks import runs  # noqa: PLC0415 - it loads the store

    count = setup.count(ITEMS, 1_000)
    pending = max(count // 100, resumed_items(setup) * (setup.rounds + 1))
    files = sorted(setup.folder(DISTINCT, SMALL).iterdir())
    return setup.build(
        f"run of {count}", lambda path: asyncio.run(runs.make_run(path, count, pending, files))
    )


def resumed_items(setup: Setup) -> int:
    """Items that each resumption sends."""
    return setup.count(500, 2)


JOBS = (
    Job("durable results recorded", compare_recording),
    Job("status of a run of 1,000,000", compare_status),
    Job("JSONL export of 1,000,000", partial(compare_exports, what="jsonl")),
    Job("CSV export of 1,000,000", partial(compare_exports, what="csv")),
    Job("resume of 1,000,000 at 99 %, to the first call", compare_resuming),
)
