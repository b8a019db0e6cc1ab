"""Before the first item is sent: large folders, long manifests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.calls import IN_FLIGHT, SMALL
from benchmarks.comparisons import Comparison, Contender, Job, Setup, fill
from benchmarks.measuring import Sample, Work
from benchmarks.services import StubService, stub
from benchmarks.table import Goal, Kind, Measure

LINES = 1_000_000
SUBFOLDERS = 1_000


def check_manifest(path: str, lines: int) -> Work:
    """A manifest as a run checks it before anything is sent: parsed, keys compared."""
    from batchinfer.sources import open_source  # noqa: PLC0415 - each process loads its own only

    def work() -> int:
        opened = open_source([path])
        opened.check()
        return lines

    return work


@contextmanager
def compare_first_calls(setup: Setup, *, files: int, nested: bool) -> Iterator[Comparison]:
    """From the beginning of the work, imports done, until the service has the first request."""
    count = setup.count(files, 1_000)
    folder = nested_folder(setup, count) if nested else setup.folder(count, SMALL)
    with stub(setup.service_core) as service:

        def take(function: str, *, ours: bool, **more: object) -> Sample:
            service.tell()
            return (setup.ours if ours else setup.peers).take_until(
                lambda: _first_request(service),
                function,
                endpoint=service.url,
                folder=str(folder),
                **more,
            )

        yield Comparison(
            Measure.SECONDS,
            [
                Contender(
                    "batchinfer",
                    partial(
                        take,
                        "benchmarks.calls:run_folder",
                        ours=True,
                        in_flight=IN_FLIGHT,
                        is_cold=True,
                    ),
                ),
                Contender(
                    "scan first, then send",
                    partial(take, "benchmarks.peers.sources:scan_first", ours=False),
                    ("aiohttp",),
                ),
            ],
            [Goal(Measure.SECONDS, 1.0, (), Kind.ABSOLUTE, at_most=True)],
        )


@contextmanager
def compare_manifests(setup: Setup) -> Iterator[Comparison]:
    lines = setup.count(LINES, 1_000)
    folder = nested_folder(setup, lines)
    path = str(setup.build(f"{lines}.csv", lambda path: _write_manifest(path, folder)))
    yield Comparison(
        Measure.SECONDS,
        [
            Contender(
                "batchinfer",
                partial(
                    setup.ours.take,
                    "benchmarks.sources:check_manifest",
                    lines,
                    path=path,
                    lines=lines,
                ),
                remark="columns, keys and files checked",
            ),
            Contender(
                "csv module alone",
                partial(setup.peers.take, "benchmarks.peers.sources:csv_alone", lines, path=path),
                remark="rows are thrown away",
            ),
            Contender(
                "csv module and stat",
                partial(
                    setup.peers.take, "benchmarks.peers.sources:csv_and_stat", lines, path=path
                ),
                remark="looks whether each file is there",
            ),
        ],
        [
            Goal(Measure.SECONDS, 2.5, ("csv module alone",), at_most=True),
            Goal(Measure.SECONDS, 1.0, ("csv module and stat",), at_most=True),
            Goal(Measure.MEMORY, 80, (), Kind.ABSOLUTE, at_most=True),
        ],
    )


def _first_request(service: StubService) -> float | None:
    return service.tell().first


def nested_folder(setup: Setup, count: int) -> Path:
    """A folder of so many files, 1,000 in each of its own folders."""
    return setup.build(f"{count} in folders", lambda path: fill_nested(path, count, SMALL))


def fill_nested(folder: Path, count: int, size: int) -> None:
    """As `fill`, in folders of 1,000 files or fewer."""
    folder.mkdir()
    first = folder / "0000"
    fill(first, min(SUBFOLDERS, count), size)
    for number in range(1, -(-count // SUBFOLDERS)):
        below = folder / f"{number:04d}"
        below.mkdir()
        for name in os.listdir(first):  # noqa: PTH208 - a thousand times
            os.link(first / name, below / name)


def _write_manifest(path: Path, folder: Path) -> None:
    with path.open("w") as file:
        file.write("path\n")
        for below in sorted(folder.iterdir()):
            file.writelines(f"{folder.name}/{below.name}/{each}\n" for each in os.listdir(below))  # noqa: PTH208


JOBS = (
    Job(
        "first call, 200,000 files in one folder",
        partial(compare_first_calls, files=200_000, nested=False),
    ),
    Job(
        "first call, 1,000,000 files in one folder",
        partial(compare_first_calls, files=1_000_000, nested=False),
    ),
    Job(
        "first call, 1,000,000 files in 1,000 folders",
        partial(compare_first_calls, files=1_000_000, nested=True),
    ),
    Job("manifest of 1,000,000 lines, checked whole", compare_manifests),
)
