"""How cost grows with the length of a run, to ten million rows: `make bench-scale`.

========  =========================================================================================
sync      a run of 10,000, 100,000 and 1,000,000 items through calls of the stub
async     the same through the bucket of a real S3 server, beside a process that plays the service;
          what is recorded is deleted from the bucket
rows      a run of 100,000, 1,000,000 and 10,000,000 rows: made through the store; its status, its
          exports, and its resumption to the first call
========  =========================================================================================

Memory and file handles of runs are looked at all the time, and drawn (`scale_plots.py`). Growth of
CPU time and of memory is told as an exponent: 0 is constant, 1 is in proportion. It takes hours,
most of them the S3 server; `--shrink 100` shows in a minute what it does.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.calls import IN_FLIGHT, SMALL
from benchmarks.comparisons import DISTINCT, Setup, fill
from benchmarks.measuring import Runner, Sample, choose_cores, find_peers
from benchmarks.services import answered_bucket, stub
from benchmarks.sources import fill_nested
from benchmarks.startup import PROGRAM

ITEMS = 10_000, 100_000, 1_000_000
ROWS = 100_000, 1_000_000, 10_000_000
RESUMED = 500
SUBMITTED = 200
"""Items in the bucket at a time: what the S3 server needs for each grows with them."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A process at a time."""

    at: float
    """Seconds since the first look."""
    memory_mb: float
    """Resident."""
    handles: int
    """Open files, sockets included."""


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: something, so long."""

    what: str
    items: int
    sample: Sample
    moments: Sequence[Moment] = ()


class Watch:
    """Looks at a process again and again, until it ends."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def look(self, pid: int) -> None:
        """Note how it is now."""
        with suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            handles = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a process, not a folder
            now, memory = time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE") / 1e6
            self.moments.append(Moment(now, memory, handles))

    def told(self) -> Sequence[Moment]:
        """All of it, from zero on."""
        return [replace(each, at=each.at - self.moments[0].at) for each in self.moments]


def run_calls(setup: Setup, count: int) -> Case:
    """A whole run in sync mode."""
    folder, watch = _folder(setup, count), Watch()
    with stub(setup.service_core) as service:
        sample = setup.ours.take(
            "benchmarks.calls:run_folder",
            count,
            watch.look,
            endpoint=service.url,
            folder=str(folder),
            in_flight=IN_FLIGHT,
        )
    return Case("sync", count, sample, watch.told())


def run_bucket(setup: Setup, count: int) -> Case:
    """A whole run in async mode."""
    folder, watch = _folder(setup, count), Watch()
    with answered_bucket(setup.service_core, setup.peers.python) as service:
        sample = setup.ours.take(
            "benchmarks.buckets:whole_items",
            count,
            watch.look,
            url=service.url,
            folder=str(folder),
            clean=True,
            submitted=SUBMITTED,
        )
    return Case("async", count, sample, watch.told())


def run_rows(setup: Setup, count: int) -> Iterator[Case]:
    """All that is done with a long run."""
    files = setup.folder(DISTINCT, SMALL)
    run, resumed = setup.below / f"run of {count}", min(RESUMED, count // 100)
    take = setup.ours.take
    ingest = {"run": str(run), "count": count, "pending": count // 100, "folder": str(files)}
    yield Case("ingest", count, take("benchmarks.runs:ingest", count, **ingest))
    status = [PROGRAM, "status", str(run)]
    yield Case("status", count, setup.ours.take_command(status, count))
    for extension in ("jsonl", "csv"):
        output = setup.below / f"out.{extension}"
        export = [PROGRAM, "export", str(run), "-o", str(output)]
        yield Case(f"{extension} export", count, setup.ours.take_command(export, count))
        output.unlink()
    with stub(setup.service_core) as service:
        sample = take(
            "benchmarks.store:resume", resumed, run=str(run), endpoint=service.url, limit=resumed
        )
        first = service.tell().first
    assert first is not None
    yield Case("resume", count, replace(sample, items=count, seconds=first - sample.began))
    for file in run.iterdir():
        if file.is_file():
            file.unlink()


def exponent(smaller: tuple[float, float], larger: tuple[float, float]) -> float:
    """The power by which a cost grows, from two pairs of (length, cost)."""
    (length, cost), (longer, dearer) = smaller, larger
    return math.log(dearer / cost) / math.log(longer / length)


def format_cases(cases: Sequence[Case]) -> str:
    """A line per case; growth is from the line above."""
    lines = [
        "| what | items | seconds | us of CPU an item | growth | peak MB | growth | handles |",
        "|---|---|---|---|---|---|---|---|",
    ]
    before: Case | None = None
    for case in cases:
        sample, growth, memory_growth = case.sample, "", ""
        if before and before.what == case.what:
            cpu = (before.items, before.sample.cpu_seconds), (case.items, sample.cpu_seconds)
            memory = (before.items, before.sample.peak_mb), (case.items, sample.peak_mb)
            growth, memory_growth = f"{exponent(*cpu):.2f}", f"{exponent(*memory):.2f}"
        handles = max((moment.handles for moment in case.moments), default=0)
        lines.append(
            f"| {case.what} | {case.items:,} | {sample.seconds:,.2f} | "
            f"{sample.cpu_seconds / case.items * 1e6:,.1f} | {growth} | {sample.peak_mb:,.0f} | "
            f"{memory_growth} | {handles or ''} |"
        )
        before = case
    return "\n".join(lines)


def _folder(setup: Setup, count: int) -> Path:
    """Small files; many of them in folders."""
    make = fill if count <= ITEMS[0] else fill_nested
    return setup.build(f"{count} files", lambda path: make(path, count, SMALL))


def _measure(setup: Setup, only: str, divisor: int) -> Iterator[Case]:
    runs: Sequence[tuple[str, Callable[[Setup, int], Case]]] = (
        ("sync", run_calls),
        ("async", run_bucket),
    )
    for name, run in runs:
        if only in ("", name):
            yield from map(partial(run, setup), _shrink(ITEMS, divisor, 50))
    if only in ("", "rows"):
        lengths = [list(run_rows(setup, each)) for each in _shrink(ROWS, divisor, 500)]
        for same in zip(*lengths, strict=True):
            yield from same


def _shrink(lengths: Sequence[int], divisor: int, least: int) -> Sequence[int]:
    """Shorter ones, each of them longer than the one before."""
    return [max(least * 2**at, length // divisor) for at, length in enumerate(lengths)]


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    ask.add_argument("--shrink", type=int, default=1, metavar="N", help="1/N of the items")
    ask.add_argument("--only", default="", choices=["sync", "async", "rows"])
    ask.add_argument("--folder", type=Path, help="where files and runs go (default: temporary)")
    ask.add_argument("--json", type=Path, metavar="FILE", help="everything, for programs")
    ask.add_argument("--plots", type=Path, metavar="DIR", help="memory and handles, drawn (SVG)")
    given = ask.parse_args()
    client, service = choose_cores()
    runners = Runner(sys.executable, client), Runner(find_peers(), client)
    cases: list[Case] = []
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="batchinfer-scale-") as below:
        setup = Setup(Path(below), *runners, service)
        for case in _measure(setup, given.only, given.shrink):
            cases.append(case)
            print(f"{case.what} {case.items:,}: {case.sample.seconds:,.1f} s", file=sys.stderr)
    print(format_cases(cases))
    if given.json:
        given.json.write_text(json.dumps([asdict(case) for case in cases]))
    if given.plots:
        from benchmarks.scale_plots import draw_plots  # noqa: PLC0415 - matplotlib, only here

        draw_plots(cases, given.plots)


if __name__ == "__main__":
    main()
