"""How soon results are seen, and how many listings that takes: `make bench-live`.

=========  ========================================================================================
real       runs of this program against the local service: a real S3 server, real files, SQLite on
           disk. From the moment that the second output of an item is a file of the server, to the
           moment that its result is durable
simulated  an hour of 100,000 items on a virtual clock: the real engine, collector, watcher, reader,
           listener, parser and trust; simulated are the bucket (with a round trip for each call),
           the service behind it, and the store of the run, which is in memory
=========  ========================================================================================

Each with and without notifications.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.live_hour import Scenario, simulate

GOALS = {True: 0.150, False: 1.5}
"""p50 in seconds, with and without notifications."""
MAX_LISTINGS = 1_000
ITEMS = 100_000
HOUR = 3_600.0
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "no notifications": {"notified": False},
    "the job of the first item is lost": {"lost": 1},
    "the stream is cut off every minute": {"drop": 60.0},
    "1 event of 10,000 is lost": {"lose": 1e-4},
    "1 event of 100 is lost": {"lose": 1e-2},
}


@dataclass(frozen=True, slots=True)
class Lags:
    """What came of a scenario."""

    title: str
    notified: bool
    items: int
    p50: float
    p95: float
    longest: float
    """Seconds from written to durable."""
    listings: int
    """Pages of listings that were asked for."""
    remark: str = ""


def summarize(
    title: str, notified: bool, lags: Sequence[float], listings: int, remark: str = ""
) -> Lags:
    """The figures of a scenario."""
    p95 = quantiles(lags, n=20)[-1]
    return Lags(title, notified, len(lags), median(lags), p95, max(lags), listings, remark)


class Durable:
    """An observer that notes when results became durable, by position."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def notify(self, event: object) -> None:
        """See `ports.Observer`."""
        from batchinfer.domain import State  # noqa: PLC0415 - loaded where it is measured
        from batchinfer.ports import Committed  # noqa: PLC0415 - as above

        if isinstance(event, Committed):
            now = time.time()
            for record in event.records:
                if record.state is State.SUCCEEDED:
                    self.at[record.position] = now


def run_real(count: int, latency: float, containers: int, *, notified: bool) -> Lags:
    """A run against the local service; an output about every `latency / containers` seconds."""
    from batchinfer.api.job import Job  # noqa: PLC0415 - loaded where it is measured
    from batchinfer.api.job_runner import run_job  # noqa: PLC0415 - as above
    from batchinfer.local.service_options import LocalServiceOptions  # noqa: PLC0415 - as above
    from batchinfer.local.service_process import start_service  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="batchinfer-live-") as temporary:
        below, durable = Path(temporary), Durable()
        (below / "files").mkdir()
        for number in range(count):
            (below / "files" / f"{number:05}.txt").write_text(str(number))
        options = LocalServiceOptions(
            threads=True, containers=containers, latency=latency, data=str(below / "data")
        )
        with start_service(options) as service:
            bucket = service.connection.bucket
            flags = {
                "bucket.endpoint": bucket.endpoint,
                "bucket.name": bucket.name,
                "bucket.access_key": bucket.access_key,
                "bucket.secret_key": bucket.secret_key,
                "bucket.notifications": "auto" if notified else "off",
                "run.mode": "async",
            }
            job = Job(
                run=below / "run", sources=(str(below / "files"),), flags=flags, validate=False
            )
            asyncio.run(run_job(job, durable))
            listings = service.read_bucket_stats().get("listings", 0)
        written = dict(_read_written(below / "run", below / "data" / bucket.name / "outputs"))
    lags = [durable.at[position] - at for position, at in written.items()]
    assert len(lags) == count, "a result is missing"
    title = f"real: an output every {latency / containers:g} s"
    return summarize(title, notified, lags, listings)


def _read_written(run: Path, outputs: Path) -> Iterator[tuple[int, float]]:
    """When the second output of each item was a file, by the kernel."""
    with sqlite3.connect(run / "run.db") as db:
        for position, name in db.execute("SELECT position, object FROM submissions"):
            files = [outputs / f"{name}.log", outputs / f"{name}.json"]
            yield position, max(file.stat().st_ctime for file in files)


def run_simulated(scenario: Scenario) -> Lags:
    """A simulated run."""
    hour = simulate(scenario)
    remark = f"{hour.polls:,} polls"
    return summarize(scenario.title, scenario.notified, hour.lags, hour.listings, remark)


def measure(divisor: int, only: str) -> Iterator[Lags]:
    """All scenarios, with 1/`divisor` of the items."""
    items, seconds = max(ITEMS // divisor, 50), max(HOUR / divisor, 60.0)
    if only in {"", "real"}:
        for notified in (True, False):
            yield run_real(max(200 // divisor, 20), 0.4, 4, notified=notified)
            yield run_real(max(20 // divisor, 5), 5.0, 1, notified=notified)
    if only in {"", "simulated"}:
        yield run_simulated(Scenario("an hour", items, seconds))
        tenth, short = max(items // 10, 50), max(seconds / 10, 30.0)
        for title, change in VARIANTS.items():
            yield run_simulated(
                replace(Scenario(f"6 minutes of it, {title}", tenth, short), **change)
            )
        for every in (5.0, 30.0, 120.0):
            count = max(int(seconds / every), 20)
            for notified in (True, False):
                title = f"an output every {every:g} s"
                yield run_simulated(Scenario(title, count, count * every, notified=notified))


def format_table(all_lags: Sequence[Lags]) -> str:
    """For people, as Markdown."""
    lines = [
        "| scenario | notifications | items | p50 | p95 | longest | listings | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.title} | {'yes' if each.notified else 'no'} | {each.items:,} | "
        f"{each.p50 * 1000:,.0f} ms | {each.p95 * 1000:,.0f} ms | {each.longest:,.1f} s | "
        f"{each.listings:,} | {each.remark} |"
        for each in all_lags
    ]
    return "\n".join(lines)


def judge(all_lags: Sequence[Lags]) -> Iterator[str]:
    """The goals, and whether they are reached."""
    for notified, goal in GOALS.items():
        worst = max((each.p50 for each in all_lags if each.notified is notified), default=None)
        if worst is not None:
            word = "reached" if worst <= goal else "MISSED"
            where = "with" if notified else "without"
            yield f"p50 {where} notifications <= {goal * 1000:,.0f} ms: {worst * 1000:,.0f}, {word}"
    hours = [each.listings for each in all_lags if each.title == "an hour"]
    if hours:
        word = "reached" if hours[0] <= MAX_LISTINGS else "MISSED"
        yield f"listings of an hour <= {MAX_LISTINGS:,}: {hours[0]:,}, {word}"


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    ask.add_argument("--shrink", type=int, default=1, metavar="N", help="1/N of items and time")
    ask.add_argument("--only", default="", choices=["real", "simulated"])
    ask.add_argument("--json", action="store_true", help="for programs")
    given = ask.parse_args()
    all_lags: list[Lags] = []
    for lags in measure(given.shrink, given.only):
        all_lags.append(lags)
        print(f"{lags.title}: p50 {lags.p50 * 1000:,.0f} ms", file=sys.stderr)
    if given.json:
        print(json.dumps([asdict(each) for each in all_lags]))
        return
    print(format_table(all_lags), "", *judge(all_lags), sep="\n")


if __name__ == "__main__":
    main()
