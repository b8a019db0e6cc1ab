"""Async mode: a bucket of a real S3 server (`rclone serve s3 :memory:`), and long listings.

Run as `python -m benchmarks.buckets URL` it makes the bucket.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.comparisons import Comparison, Contender, Job, Setup
from benchmarks.measuring import Sample, Work
from benchmarks.peers.buckets import (
    ACCESS_KEY,
    BUCKET,
    IN_FLIGHT,
    SECRET_KEY,
    for_each,
    open_aiobotocore,
)
from benchmarks.peers.calls import find_run, images, read
from benchmarks.services import Service, answered_bucket, s3_server, stub
from benchmarks.table import Goal, Measure

OURS, AIOBOTOCORE, OBSTORE, S5CMD = "batchinfer", "aiobotocore", "obstore", "s5cmd"
KEYS = 100_000
MAX_SUBMITTED = 1_000
"""Items of a run in async mode that are submitted and unfinished."""


def upload(url: str, folder: str) -> Work:
    """Put files, by the client that a run uses."""
    from batchinfer.backends import s3  # noqa: F401, PLC0415 - loaded later by `open_bucket`

    async def put_all() -> int:
        async with _open_bucket(url) as bucket:

            async def put(path: str) -> None:
                failure = await bucket.put(f"inputs/{Path(path).name}", read(path))
                assert failure is None, failure

            return await for_each(images(folder), put)

    return lambda: find_run()(put_all())


def list_keys(url: str) -> Work:
    """List all objects, by the client that a run uses."""
    from batchinfer.backends import s3  # noqa: F401, PLC0415 - loaded later by `open_bucket`
    from batchinfer.backends.bucket_client import Listing  # noqa: PLC0415 - ours only

    async def list_all() -> int:
        found = 0
        async with _open_bucket(url) as bucket:
            listing = Listing(bucket, "outputs/")
            while listing.has_more():
                found += len([(each.key, each.size) for each in await listing.next_page()])
        return found

    return lambda: find_run()(list_all())


def whole_items(
    url: str, folder: str, *, clean: bool = False, submitted: int = MAX_SUBMITTED
) -> Work:
    """`batchinfer.run` in async mode: put, list, get, commit; with `clean`, delete."""
    import batchinfer  # noqa: PLC0415 - each process loads its own client only
    from batchinfer.backends import bucket_backend, output_watcher, s3  # noqa: F401, PLC0415 - loaded later
    from batchinfer.config import load_config  # noqa: PLC0415 - as above

    with suppress(ImportError):  # an extra that may be missing
        import uvloop  # noqa: F401, PLC0415 - as above
    config = load_config(None, {}, {**_flags(url), "run.concurrency": submitted})

    def work() -> int:
        with tempfile.TemporaryDirectory(dir=Path(folder).parent, prefix="run-") as below:
            run = batchinfer.run(
                folder, Path(below) / "run", config=config, clean=clean, validate=False
            )
        assert run.summary
        return run.summary.counts.succeeded

    return work


def _open_bucket(url: str) -> AbstractAsyncContextManager[Any]:
    from batchinfer.api.clients import open_bucket  # noqa: PLC0415 - ours only
    from batchinfer.config import load_config, resolve_run_settings  # noqa: PLC0415 - as above

    return open_bucket(resolve_run_settings(load_config(None, {}, _flags(url)), {}))


def _flags(url: str) -> Mapping[str, object]:
    return {
        "bucket.endpoint": url,
        "bucket.name": BUCKET,
        "bucket.access_key": ACCESS_KEY,
        "bucket.secret_key": SECRET_KEY,
        "run.mode": "async",
        "run.concurrency": MAX_SUBMITTED,
    }


@contextmanager
def compare_uploads(
    setup: Setup, *, size: int, counts: Mapping[str, int], goals: Mapping[str, float]
) -> Iterator[Comparison]:
    """Every contender has a server of its own, empty."""

    def take(name: str, count: int) -> Sample:
        folder = str(setup.folder(count, size))
        with s3_server(setup.service_core) as server:
            return _with_load(
                server,
                lambda: (setup.ours if name == OURS else setup.peers).take(
                    UPLOADERS[name], count, url=server.url, folder=folder
                ),
            )

    contenders = [
        Contender(
            name,
            partial(take, name, setup.count(full, IN_FLIGHT)),
            () if name == OURS else (name,),
            {OURS: "retries, never puts twice", S5CMD: "its start included"}.get(name, ""),
        )
        for name, full in counts.items()
    ]
    yield Comparison(
        Measure.RATE,
        contenders,
        [
            *(Goal(Measure.RATE, least, (name,)) for name, least in goals.items()),
            Goal(Measure.CPU, round(1 / goals[AIOBOTOCORE], 2), (AIOBOTOCORE,), at_most=True),
        ],
    )


UPLOADERS = {
    OURS: "benchmarks.buckets:upload",
    AIOBOTOCORE: "benchmarks.peers.buckets:aiobotocore_upload",
    OBSTORE: "benchmarks.peers.buckets:obstore_upload",
    S5CMD: "benchmarks.peers.buckets:s5cmd_upload",
}


@contextmanager
def compare_whole_items(setup: Setup) -> Iterator[Comparison]:
    """Of a bucket whose objects are answered; CPU of the client is compared."""
    count = setup.count(1_500, 50)
    folder = str(setup.folder(count, 3_000))

    def take(client: Callable[..., Sample], function: str) -> Sample:
        with answered_bucket(setup.service_core, setup.peers.python) as service:
            return _with_load(
                service, lambda: client(function, count, url=service.url, folder=folder)
            )

    yield Comparison(
        Measure.CPU,
        [
            Contender(
                OURS,
                partial(take, setup.ours.take, "benchmarks.buckets:whole_items"),
                remark="every result committed",
            ),
            Contender(
                AIOBOTOCORE,
                partial(take, setup.peers.take, "benchmarks.peers.buckets:aiobotocore_whole_items"),
                (AIOBOTOCORE,),
                "only these calls, keeps nothing",
            ),
        ],
        [Goal(Measure.CPU, 0.35, (AIOBOTOCORE,), at_most=True)],
    )


@contextmanager
def compare_listings(setup: Setup) -> Iterator[Comparison]:
    """The same recorded pages for all."""
    keys = setup.count(KEYS, 2_000)
    with stub(setup.service_core, answer="listing", keys=keys) as service:
        url = service.url.rpartition("/run/")[0]
        yield Comparison(
            Measure.RATE,
            [
                Contender(
                    OURS, lambda: setup.ours.take("benchmarks.buckets:list_keys", keys, url=url)
                ),
                *(
                    Contender(
                        name,
                        partial(
                            setup.peers.take,
                            f"benchmarks.peers.buckets:{name}_listing",
                            keys,
                            url=url,
                        ),
                        (name,),
                    )
                    for name in (AIOBOTOCORE, OBSTORE)
                ),
            ],
            [Goal(Measure.RATE, 5, (AIOBOTOCORE,))],
            service=service,
            rounds=min(2, setup.rounds),  # each is long, and like the one before
        )


def _with_load(service: Service, take: Callable[[], Sample]) -> Sample:
    """A sample, with how busy the service was."""
    before = service.cpu_seconds()
    sample = take()
    after = service.cpu_seconds()
    if before is None or after is None:
        return sample
    return replace(sample, service_load=(after - before) / sample.seconds)


async def make_bucket(url: str) -> None:
    """Make the bucket that all contenders use."""
    async with open_aiobotocore(url) as client:
        await client.create_bucket(Bucket=BUCKET)


JOBS = (
    Job(
        "upload of objects of 4 kB",
        partial(
            compare_uploads,
            size=4_000,
            counts={OURS: 4_000, AIOBOTOCORE: 2_000, OBSTORE: 4_000, S5CMD: 4_000},
            goals={AIOBOTOCORE: 5, OBSTORE: 0.8, S5CMD: 0.9},
        ),
    ),
    Job(
        "upload of objects of 150 kB",
        partial(
            compare_uploads,
            size=150_000,
            counts={OURS: 2_000, AIOBOTOCORE: 1_000, OBSTORE: 2_000, S5CMD: 2_000},
            goals={AIOBOTOCORE: 3, OBSTORE: 0.8, S5CMD: 0.9},
        ),
    ),
    Job("a whole async item: put, its share of listings, two gets, commit", compare_whole_items),
    Job(f"listing of {KEYS:,} keys", compare_listings),
)


if __name__ == "__main__":
    asyncio.run(make_bucket(sys.argv[1]))
