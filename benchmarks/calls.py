"""Sync mode: calls with the files of a folder, 64 at a time, every result committed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from benchmarks.comparisons import Comparison, Contender, Job, Setup
from benchmarks.measuring import Sample, Work
from benchmarks.peers.calls import TOKEN
from benchmarks.services import stub
from benchmarks.table import Goal, Kind, Measure

IN_FLIGHT = 64
IN_FLIGHT_LARGE = 16
"""Of 5 MB each."""
SMALL, MEDIUM, LARGE = 700, 110_000, 5_000_000
"""Bytes of a file: in base64, with what stands around it, 700 are a body of 1 kB."""

OURS, AIOHTTP, THREADS = "batchinfer", "aiohttp + uvloop", "requests, 64 threads"
AIOMETER, AIBRIX, TUTORIAL = "aiometer + httpx", "aibrix client", "the tutorial's loop"
KEEPS_NOTHING = "keeps nothing"


def run_folder(
    endpoint: str, folder: str, in_flight: int, ca_file: str = "", *, is_cold: bool = False
) -> Work:
    """`batchinfer.run` of the folder in a new run directory: every answer read by the platform's
    rules, its prediction and log committed to disk (SQLite, synchronous=FULL).

    Unless it `is_cold`, a run of one file before loads what a run imports: the imports of peers are
    not measured either.
    """
    import batchinfer  # noqa: PLC0415 - each process loads its own client only
    from batchinfer.config import load_config  # noqa: PLC0415 - as above

    flags = {"service.endpoint": endpoint, "service.token": TOKEN, "run.concurrency": in_flight}
    config = load_config(None, {}, flags | ({"service.ca_file": ca_file} if ca_file else {}))

    def work(source: str | Path = folder) -> int:
        with tempfile.TemporaryDirectory(dir=Path(folder).parent, prefix="run-") as below:
            run = batchinfer.run(source, Path(below) / "run", config=config)
        assert run.summary
        return run.summary.counts.succeeded

    if not is_cold:
        work(next(Path(folder).iterdir()))
    return work


@contextmanager
def compare(
    setup: Setup,
    *,
    size: int,
    counts: Mapping[str, int],
    goals: Mapping[str, float],
    shown: Measure = Measure.RATE,
    in_flight: int = IN_FLIGHT,
    tls: bool = False,
    latency: float = 0.0,
) -> Iterator[Comparison]:
    """Ours and the contenders of `counts`; `goals`: the least ratio by contender."""
    with (
        stub(setup.service_core, tls=tls, latency=latency) as service,
        stub(setup.service_core, answer="json")
        if AIBRIX in counts
        else nullcontext(service) as json_service,
    ):
        contenders = []
        for name, full in counts.items():
            function, needs, remark = CLIENTS[name]
            count = setup.count(full, in_flight)
            contenders.append(
                Contender(
                    name,
                    partial(
                        (setup.ours if name == OURS else setup.peers).take,
                        function,
                        count,
                        endpoint=json_service.url if name == AIBRIX else service.url,
                        folder=str(setup.folder(count, size)),
                        in_flight=in_flight,
                        ca_file=service.ca_file,
                    ),
                    needs,
                    remark,
                )
            )
        yield Comparison(
            shown,
            contenders,
            [Goal(shown, least, (name,)) for name, least in goals.items()],
            item_bytes=size,
            service=service,
        )


CLIENTS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    OURS: ("benchmarks.calls:run_folder", (), "every result committed"),
    AIOHTTP: ("benchmarks.peers.calls:bare_aiohttp", ("aiohttp",), KEEPS_NOTHING),
    THREADS: ("benchmarks.peers.calls:requests_threads", ("requests",), KEEPS_NOTHING),
    AIOMETER: ("benchmarks.peers.calls:aiometer_httpx", ("aiometer", "httpx"), KEEPS_NOTHING),
    AIBRIX: ("benchmarks.peers.calls:aibrix_client", ("aibrix",), "retries, keeps nothing"),
    TUTORIAL: ("benchmarks.peers.calls:tutorial", ("requests",), KEEPS_NOTHING),
}
"""By contender: its function, the packages it needs, and what it does not do."""


@contextmanager
def compare_memory(setup: Setup) -> Iterator[Comparison]:
    """The same run, long and short."""
    many, few = setup.count(200_000, 2_000), setup.count(10_000, 100)
    names = f"batchinfer, {many:,}", f"batchinfer, {few:,}"
    with stub(setup.service_core) as service:

        def take(count: int) -> Callable[[], Sample]:
            folder = str(setup.folder(count, SMALL))
            return partial(
                setup.ours.take,
                "benchmarks.calls:run_folder",
                count,
                endpoint=service.url,
                folder=folder,
                in_flight=IN_FLIGHT,
            )

        yield Comparison(
            Measure.RATE,
            [Contender(name, take(each)) for name, each in zip(names, (many, few), strict=True)],
            [
                Goal(Measure.MEMORY, 1.15, (names[1],), at_most=True),
                Goal(Measure.MEMORY, 130, (), Kind.ABSOLUTE, at_most=True),
            ],
            service=service,
            rounds=1,
            notes=("1,000,000 items in both deliveries: make bench-scale",),
        )


JOBS = (
    Job(
        "sync, bodies of 1 kB",
        partial(
            compare,
            size=SMALL,
            counts={
                OURS: 16_000,
                AIOHTTP: 16_000,
                THREADS: 2_000,
                AIOMETER: 1_000,
                AIBRIX: 600,
                TUTORIAL: 1_000,
            },
            goals={AIOHTTP: 1.0, THREADS: 6, AIOMETER: 15, AIBRIX: 15},
        ),
    ),
    Job(
        "sync, images of 110 kB from disk",
        partial(
            compare,
            size=MEDIUM,
            counts={
                OURS: 6_000,
                AIOHTTP: 6_000,
                THREADS: 1_500,
                AIOMETER: 600,
                AIBRIX: 300,
                TUTORIAL: 600,
            },
            goals={AIOHTTP: 0.8, THREADS: 6, AIOMETER: 15, AIBRIX: 15},
        ),
    ),
    Job(
        "sync, images of 5 MB from disk",
        partial(
            compare,
            size=LARGE,
            counts={OURS: 300, AIOHTTP: 300},
            goals={AIOHTTP: 0.95},
            shown=Measure.MEGABYTES,
            in_flight=IN_FLIGHT_LARGE,
        ),
    ),
    Job(
        "sync over TLS, bodies of 1 kB",
        partial(
            compare,
            size=SMALL,
            counts={OURS: 10_000, AIOHTTP: 10_000},
            goals={AIOHTTP: 0.8},
            tls=True,
        ),
    ),
    Job(
        "sync over TLS, images of 110 kB from disk",
        partial(
            compare,
            size=MEDIUM,
            counts={OURS: 4_000, AIOHTTP: 4_000},
            goals={AIOHTTP: 0.8},
            tls=True,
        ),
    ),
    Job(
        "sync over TLS, images of 5 MB from disk",
        partial(
            compare,
            size=LARGE,
            counts={OURS: 200, AIOHTTP: 200},
            goals={AIOHTTP: 0.95},
            shown=Measure.MEGABYTES,
            in_flight=IN_FLIGHT_LARGE,
            tls=True,
        ),
    ),
    Job(
        "sync, images of 110 kB, each answered after 50 ms",
        partial(
            compare,
            size=MEDIUM,
            counts={OURS: 3_000, AIOHTTP: 3_000},
            goals={},
            latency=0.05,
        ),
    ),
    Job("memory of a long run, bodies of 1 kB", compare_memory),
)
