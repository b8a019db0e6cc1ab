"""Runs on several processes, beside each other: `python -m benchmarks.cluster`.

==================  ===============================================================================
one process         `batchinfer run`, as without a cluster
--workers N         `batchinfer run --on dask --workers N`: a coordinator, and N workers beside it
2 shards            `batchinfer run --shard 1/2` and `2/2` at the same time, half the calls each
Dask, task an item  `client.map` over the files on two workers (`peers/dask_tasks.py`)
==================  ===============================================================================

All make the same number of calls at a time, to the stub, which takes part of a core. Measured is
from its first request to its last, so not the start of Python or of workers. CPU is of that time,
per item: `coordinator` is the process that was started (of shards both), `all` with the processes
below it. Nothing is pinned to a core.

`lag of a pause`: from `batchinfer ctl RUN pause` to the last request that the stub sees.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from batchinfer.api.control import parse_command, send_command
from benchmarks.comparisons import fill
from benchmarks.measuring import ROOT, ContenderFailed, cpu_seconds_of, plain_environment
from benchmarks.peers.calls import TOKEN
from benchmarks.services import StubService, Tally, stub

IN_FLIGHT = 64
SIZES = {"bodies of 1 kB": (700, 20_000), "images of 110 kB": (110_000, 4_000)}
"""Bytes of a file, and how many files."""
LOOK_EVERY = 0.05
PAUSES = 10
SETTLED = 1.0
"""Seconds without a request, after which none is on its way."""
ONE, TASKS = "one process", "Dask, task an item"

MakeCommands = Callable[[Path, Path, str], list[list[str]]]
"""From the folder, a place for runs, and the endpoint to the processes that are started."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one contender took, once."""

    rate: float
    """Items a second."""
    coordinator_us: float
    """CPU of the processes that were started, microseconds an item."""
    all_us: float
    """The same with all processes below them."""


def run_commands(*flags: str) -> MakeCommands:
    """`batchinfer run` with these flags."""

    def make(folder: Path, runs: Path, endpoint: str) -> list[list[str]]:
        del endpoint
        return [_run(folder, runs / "run", runs, IN_FLIGHT, *flags)]

    return make


def shard_commands(folder: Path, runs: Path, endpoint: str) -> list[list[str]]:
    """Two shards at the same time."""
    del endpoint
    return [
        _run(folder, runs / f"shard-{n}", runs, IN_FLIGHT // 2, "--shard", f"{n}/2") for n in (1, 2)
    ]


def task_commands(folder: Path, runs: Path, endpoint: str) -> list[list[str]]:
    """The script of a user of Dask."""
    del runs
    return [[sys.executable, "-m", "benchmarks.peers.dask_tasks", endpoint, str(folder)]]


def _run(folder: Path, run: Path, runs: Path, in_flight: int, *flags: str) -> list[str]:
    return [
        *(sys.executable, "-m", "batchinfer", "run", str(folder), "-o", str(run)),
        *("-c", str(runs / "batchinfer.toml"), "-n", str(in_flight), "-q", *flags),
    ]


CONTENDERS: dict[str, MakeCommands] = {
    ONE: run_commands(),
    "--workers 1": run_commands("--on", "dask", "--workers", "1"),
    "--workers 2": run_commands("--on", "dask", "--workers", "2"),
    "2 shards": shard_commands,
    TASKS: task_commands,
}


class ProcessCpu:
    """CPU seconds of processes and of all below them, since it was first looked."""

    def __init__(self, roots: Sequence[int]) -> None:
        self._roots = set(roots)
        self._first: dict[int, float] = {}
        self._latest: dict[int, float] = {}

    def look(self) -> None:
        """Look at what they have used."""
        for pid in self._find_all():
            if (used := cpu_seconds_of(pid)) is not None:
                self._first.setdefault(pid, used)
                self._latest[pid] = used

    def used(self, *, roots_only: bool) -> float:
        """Between the first look at each and the last."""
        return sum(
            used - self._first[pid]
            for pid, used in self._latest.items()
            if pid in self._roots or not roots_only
        )

    def _find_all(self) -> set[int]:
        found, waiting = set[int](), list(self._roots)
        while waiting:
            pid = waiting.pop()
            found.add(pid)
            waiting += _list_children(pid)
        return found


def _list_children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def take(make: MakeCommands, folder: Path, count: int, service: StubService) -> Taken:
    """Measure a contender once. Raises ContenderFailed."""
    with (
        tempfile.TemporaryDirectory(dir=folder.parent, prefix="runs-") as below,
        tempfile.TemporaryFile() as errors,
    ):
        runs = Path(below)
        write_config(runs, service.url)
        service.tell()
        processes = [
            subprocess.Popen(command, cwd=ROOT, env=plain_environment(), stderr=errors)
            for command in make(folder, runs, service.url)
        ]
        cpu = ProcessCpu([process.pid for process in processes])
        tally = Tally(0, None, None)
        while any(process.poll() is None for process in processes):
            tally = add(tally, service.tell())
            if tally.requests and tally.requests < count:
                cpu.look()
            time.sleep(LOOK_EVERY)
        tally = add(tally, service.tell())
        if any(process.returncode for process in processes):
            errors.seek(0)
            raise ContenderFailed(errors.read().decode(errors="replace")[-500:])
    if tally.first is None or tally.last is None or tally.requests < count:
        raise ContenderFailed(f"{tally.requests:,} requests for {count:,} items")
    seconds = tally.last - tally.first
    return Taken(
        count / seconds,
        cpu.used(roots_only=True) / count * 1e6,
        cpu.used(roots_only=False) / count * 1e6,
    )


def add(one: Tally, other: Tally) -> Tally:
    """What came in in both times, one after the other."""
    first = other.first if one.first is None else one.first
    last = one.last if other.last is None else other.last
    return Tally(one.requests + other.requests, first, last)


def write_config(runs: Path, endpoint: str) -> None:
    """The service, as `batchinfer run` is told of it."""
    service = f'[service]\nendpoint = "{endpoint}"\ntoken = "{TOKEN}"\n'
    (runs / "batchinfer.toml").write_text(f'{service}[run]\nmode = "sync"\n')


def measure_pauses(make: MakeCommands, folder: Path, service: StubService) -> list[float]:
    """Seconds from a `pause` to the last request, again and again in one run."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="runs-") as below:
        runs = Path(below)
        write_config(runs, service.url)
        service.tell()
        (command,) = make(folder, runs, service.url)
        process = subprocess.Popen(command, cwd=ROOT, env=plain_environment())
        try:
            lags = []
            for _ in range(PAUSES):
                while service.tell().requests < IN_FLIGHT:
                    if process.poll() is not None:
                        raise ContenderFailed("it ended before it was paused often enough")
                    time.sleep(LOOK_EVERY)
                asked = time.monotonic()
                send_command(runs / "run", parse_command("pause", None))
                lags.append(_wait_until_quiet(service, asked) - asked)
                send_command(runs / "run", parse_command("resume", None))
            return lags
        finally:
            process.terminate()
            process.wait()


def _wait_until_quiet(service: StubService, asked: float) -> float:
    """When the last request came in."""
    last = asked
    while time.monotonic() < last + SETTLED:
        last = max(last, service.tell().last or asked)
        time.sleep(LOOK_EVERY)
    return last


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--shrink", type=int, default=1, help="divides the number of items")
    ask.add_argument("--only", default="", help="contenders whose name holds this")
    given = ask.parse_args()
    names = [name for name in CONTENDERS if given.only in name]
    print("| | contender | items/s | beside one process | us CPU/item: coordinator | all |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="batchinfer-bench-") as below, stub(None) as service:
        for title, (size, full) in SIZES.items():
            count = max(4 * IN_FLIGHT, full // given.shrink)
            folder = Path(below) / str(size)
            fill(folder, count, size)
            taken = take_all(names, folder, count, service, given.rounds)
            print("\n".join(rows_of(title, taken)), flush=True)
        print("\n| lag of `ctl pause`, ms | median | most |\n|---|---|---|")
        folder = Path(below) / "pauses"
        fill(folder, 20 * SIZES["bodies of 1 kB"][1] // given.shrink, 700)
        for name in names:
            if name == ONE or name.startswith("--workers"):
                lags = [lag * 1e3 for lag in measure_pauses(CONTENDERS[name], folder, service)]
                print(f"| {name} | {median(lags):.0f} | {max(lags):.0f} |", flush=True)


def take_all(
    names: Sequence[str], folder: Path, count: int, service: StubService, rounds: int
) -> dict[str, list[Taken]]:
    """All in turns, again and again; who fails is told and left out."""
    taken: dict[str, list[Taken]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            try:
                taken[name].append(take(CONTENDERS[name], folder, count, service))
            except ContenderFailed as error:
                print(f"{name}: FAILED, {error}", file=sys.stderr, flush=True)
    return {name: samples for name, samples in taken.items() if samples}


def rows_of(title: str, taken: Mapping[str, Sequence[Taken]]) -> Iterator[str]:
    """A line for each contender: medians."""
    for name, samples in taken.items():
        rate = median(each.rate for each in samples)
        ratio = f"{rate / median(each.rate for each in taken[ONE]):.2f} x" if ONE in taken else "-"
        coordinator = median(each.coordinator_us for each in samples)
        everyone = median(each.all_us for each in samples)
        yield f"| {title} | {name} | {rate:,.0f} | {ratio} | {coordinator:,.0f} | {everyone:,.0f} |"


if __name__ == "__main__":
    main()
