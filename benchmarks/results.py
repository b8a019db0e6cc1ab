"""How long reports and exports of long runs take, and how much memory.

`python -m benchmarks.results` (or `make bench-results`) prints the table. Each row is the real
command line as a process of its own. The runs are made for it: detections as YOLO has them, some
failures, photographs of scikit-image's as items' files. Memory is that of the process and all its
workers, added up, looked at ten times a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import anyio

from batchinfer.domain import (
    Attempt,
    Failure,
    InputFile,
    Item,
    Json,
    Mode,
    Record,
    Reply,
    RunInfo,
    State,
)
from batchinfer.local.demo_images import write_demo_images
from batchinfer.store.sqlite import SqliteStore

PAGE = 2_000
LABELS = ("bear", "fox", "deer", "wild boar", "badger", "hare", "lynx", "nothing known")
LOG = "[*] Using DEEPaaS version 2.5.2\n[*] Processing file:  tmp-file-jwpmv.jpg\n" * 8
INFO = RunInfo("bench", 1_795_000_000.0, Mode.SYNC, {"run": {"mode": "sync"}}, ("/photos",))
LOOK_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Task:
    """One command, and what we hold ourselves to."""

    title: str
    arguments: tuple[str, ...]
    output: str
    seconds: float | None
    """None: nothing was promised."""
    megabytes: float


REPORT = Task("report", ("report",), "report.html", 60, 500)
EXPORTS = (
    Task("csv", ("export", "--format", "csv"), "out.csv", None, 300),
    Task("csv-flat", ("export", "--format", "csv-flat"), "flat.csv", None, 300),
    Task("parquet", ("export", "--format", "parquet"), "out.parquet", None, 300),
)


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__)
    ask.add_argument("--items", type=int, default=50_000, help="of the report (default: 50,000)")
    ask.add_argument("--rows", type=int, default=1_000_000, help="of exports (default: 1,000,000)")
    ask.add_argument("--folder", type=Path, help="where the runs go (default: temporary)")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="batchinfer-bench-") as below:
        photographs = Path(below) / "photos"
        write_demo_images(photographs)
        files = sorted(path for path in photographs.rglob("*") if path.parent.name != "bad")
        print(
            f"{'':10} {'items':>9} {'seconds':>8} {'peak MB':>8} {'file MB':>8}   goal", flush=True
        )
        for count, tasks in ((given.items, (REPORT,)), (given.rows, EXPORTS)):
            run = Path(below) / f"run-{count}"
            anyio.run(make, run, count, files)
            for task in tasks:
                print(measured(task, run, count), flush=True)


async def make(run: Path, count: int, files: list[Path]) -> None:
    """A run of so many items."""
    chance = Random(count)
    async with SqliteStore.create(run, INFO) as store:
        for first in range(1, count + 1, PAGE):
            positions = range(first, min(first + PAGE, count + 1))
            await store.add([_item(position, files) for position in positions])
            await store.commit_records([_record(position, chance) for position in positions])
        await store.mark_source_complete()


def measured(task: Task, run: Path, count: int) -> str:
    """A row of the table."""
    output = run.parent / task.output
    command = [sys.executable, "-m", "batchinfer", task.arguments[0], str(run)]
    command += [*task.arguments[1:], "-o", str(output)]
    began = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(map(_resident, _family(process.pid))))
            time.sleep(LOOK_EVERY)
        _, said = process.communicate()
    seconds = time.perf_counter() - began
    if process.returncode:
        sys.exit(said)
    megabytes = peak / 1e6
    kept = megabytes <= task.megabytes and (task.seconds is None or seconds <= task.seconds)
    goal = " and ".join(
        [*([f"{task.seconds:.0f} s"] if task.seconds else []), f"{task.megabytes:.0f} MB"]
    )
    size = output.stat().st_size / 1e6
    return (
        f"{task.title:10} {count:9,} {seconds:8.1f} {megabytes:8.0f} {size:8.1f}   {goal}: "
        f"{'ok' if kept else 'MISSED'}"
    )


def _item(position: int, files: list[Path]) -> Item:
    path = files[position % len(files)]
    return Item(f"site-{position % 40:02}/IMG_{position:07}.jpg", (InputFile("files", str(path)),))


def _record(position: int, chance: Random) -> Record:
    at, seconds = INFO.created_at + position / 20, chance.lognormvariate(0.5, 0.4)
    if position % 97 == 0:
        code = chance.choice(("model_error", "timeout", "model_killed"))
        attempt = Attempt(
            1, at, seconds, Failure(code, "It did not go well: see the log.", log=LOG)
        )
        return Record(position, attempt, State.FAILED)
    found = [_found(chance) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    reply = Reply(prediction=found, log=LOG, server_seconds=seconds * 0.8)
    return Record(position, Attempt(1, at, seconds, reply), State.SUCCEEDED)


def _found(chance: Random) -> Json:
    left, top = chance.uniform(0, 300), chance.uniform(0, 200)
    box: Json = {"x1": left, "y1": top, "x2": left + 90.5, "y2": top + 80.25}
    number = min(int(chance.expovariate(0.7)), len(LABELS) - 1)
    score = round(chance.betavariate(5, 2), 5)
    return {"name": LABELS[number], "class": number, "confidence": score, "box": box}


def _family(pid: int) -> Iterator[int]:
    """A process and its children."""
    yield pid
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _family(int(child))


def _resident(pid: int) -> int:
    """Bytes; 0 of one that is gone, or where nobody says."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


if __name__ == "__main__":
    main()
