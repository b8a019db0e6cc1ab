"""`python -m benchmarks.flow.agreement`: is the simulation true?

The same engine on the local service in real time (`bi.run`: HTTP, S3, SQLite), and on the simulated
platform in virtual time. Nothing that is measured in the one goes into the other. Rules:

* How long a container works on an item is drawn by `Draws` in both worlds: the model of the local
  service sleeps so long.
* All containers are up from the start, or all at once after a cold start: the local service has no
  autoscaler. To a client its cold start is what the simulation calls unreachable: every call is
  told at once that nobody is there.
* What is left out of the simulation (the network, the bucket, the script around the model, this
  machine's other work) counts against the agreement.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from batchinfer.ports import Committed, Event
from benchmarks.flow.controllers import OURS
from benchmarks.flow.draws import Draws
from benchmarks.flow.plans import JobPlan, Outage, Plan
from benchmarks.flow.running import play
from benchmarks.flow.scenarios import Scenario

WITHIN = 0.10
WAITS = '[run]\ncold_start = "1m"\ngive_up_after = "1m"\n'
"""Should the service be gone, so is this run: not after the hours of a real one."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Case:
    """One situation, to be set up in both worlds. Times in seconds."""

    name: str
    mode: str
    items: int
    containers: int
    draws: Draws
    cold_start: float = 0.0

    @property
    def scenario(self) -> Scenario:
        """As it is simulated."""
        ceiling = ((0.0, self.containers),)
        if self.mode == "async":
            jobs = JobPlan(self.draws, ceiling, overhead=0.0, latency=0.0)
            return Scenario(self.name, self.items, jobs, self.draws.seed)
        cold = (Outage(0.0, self.cold_start, "unreachable"),) if self.cold_start else ()
        plan = Plan(self.draws, ceiling, warm=self.containers, grace=inf, latency=0.0, outages=cold)
        return Scenario(self.name, self.items, plan, self.draws.seed)


CASES = (
    Case("warm, constant", "sync", 800, 40, Draws("constant", 1.5)),
    Case("cold start, stragglers", "sync", 400, 4, Draws("tail", 0.25, 0.3, seed=3), 5.0),
    Case("async, log-normal", "async", 100, 8, Draws("lognormal", 2.0, 0.5, seed=3)),
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """What came of one situation in both worlds."""

    name: str
    least: float
    """Seconds that the work takes at least, whoever controls it."""
    simulated: float
    """Seconds from the first items of the source to the last record."""
    real: float
    ratio: float
    """Real by simulated."""
    is_reached: bool
    """Whether they agree, and every item succeeded in both."""


class Stopwatch:
    """An observer: when the first items were there, and when the last record was durable."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        if isinstance(event, Committed):
            self.ended = time.monotonic()
            self.began = self.began or self.ended


_times: Counter[int] = Counter()


def model(number: int, case: int) -> float:
    """Work on an item as long as is drawn for it: runs in the local service."""
    nth = _times[number]
    _times[number] += 1
    seconds = CASES[case].draws.seconds(number, nth)
    time.sleep(seconds)
    return seconds


def agreements() -> Iterator[Agreement]:
    """Each case in both worlds, one after the other: half a minute each."""
    for case in CASES:
        succeeded, real = _really(case)
        run = play(case.scenario, OURS)
        ratio, done = real / run.makespan, min(succeeded, run.finished) == case.items
        is_reached = done and abs(ratio - 1) <= WITHIN
        yield Agreement(case.name, run.bound, run.makespan, real, ratio, is_reached)


def text_of(found: Sequence[Agreement]) -> str:
    """A line per case."""
    head = f"{'scenario':<24}{'least s':>9}{'simulated s':>13}{'real s':>9}{'real/simulated':>16}"
    return "\n".join([head, *map(_line, found)])


def _line(one: Agreement) -> str:
    seconds = f"{one.least:>9.1f}{one.simulated:>13.1f}{one.real:>9.1f}"
    return f"{one.name:<24}{seconds}{one.ratio:>16.3f}  {'ok' if one.is_reached else 'MISSED'}"


def _really(case: Case) -> tuple[int, float]:
    """How many items succeeded on the local service, and in how many seconds."""
    options = LocalServiceOptions(
        model="benchmarks.flow.agreement:model",
        threads=True,
        containers=case.containers,
        cold_start=case.cold_start,
    )
    watch, fixed = Stopwatch(), {"case": CASES.index(case)}
    rows = [{"key": str(n), "params": {"number": n} | fixed} for n in range(1, case.items + 1)]
    with start_service(options, ROOT) as service, TemporaryDirectory() as folder:
        manifest, config = Path(folder, "items.jsonl"), Path(folder, "batchinfer.toml")
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        config.write_text(service.connection.to_toml() + WAITS)
        run = Path(folder, "run")
        done = bi.run(manifest, run, config=config, validate=False, observer=watch, mode=case.mode)
    return done.counts.succeeded, watch.ended - watch.began


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; 1 if the worlds do not agree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow.agreement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the table, for programs")
    given = parser.parse_args(arguments)
    found = list(agreements())
    print(text_of(found))
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return 0 if all(one.is_reached for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
