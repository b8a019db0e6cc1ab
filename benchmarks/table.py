"""From samples to a table for people, and to JSON for programs; goals beside what was reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.clients import Sample
from benchmarks.workloads import Workload

OURS = "batchinfer"
LEAST = {"aiohttp": 0.5, "threads": 5.0}
"""Goals: how fast batchinfer is at least, as a multiple of a peer."""
PEAK_MB = 150.0
"""Goal: what batchinfer's memory stays below, however long the run."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one client took for one workload, over all repetitions."""

    workload: str
    client: str
    items: int
    items_per_second: float
    slowest: float
    fastest: float
    cpu_per_1000: float
    """CPU seconds of the client per 1,000 items."""
    peak_mb: float
    batchinfer_is: float | None
    """batchinfer's rate as a multiple of this one's."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What batchinfer wants to reach, and where it stands."""

    what: str
    measured: float
    goal: float
    reached: bool


Samples = Mapping[str, Sequence[Sample]]
"""By client, in the order of repetition."""


def rows(workload: Workload, samples: Samples) -> list[Row]:
    """One row per client."""
    ours = _rate(samples[OURS])
    return [_row(workload.title, client, taken, ours) for client, taken in samples.items()]


def goals(workload: Workload, samples: Samples) -> Iterator[Goal]:
    """The goals that this workload tells about."""
    found = {row.client: row for row in rows(workload, samples)}
    if workload.memory:
        peak = found[OURS].peak_mb
        what = f"{workload.title}: peak memory, MB, below"
        yield Goal(what, peak, PEAK_MB, peak < PEAK_MB)
    elif workload.goals:
        for peer, least in LEAST.items():
            ratio = found[peer].batchinfer_is or 0.0
            what = f"{workload.title}: rate, as a multiple of {peer}'s, at least"
            yield Goal(what, ratio, least, ratio >= least)


def text_of_rows(found: Sequence[Row]) -> str:
    """One workload's part of the table."""
    lines = [f"{found[0].workload}", _HEAD]
    for row in found:
        times = "" if row.client == OURS else f"{row.batchinfer_is:10.2f} x"
        spread = f"({row.slowest:,.0f}-{row.fastest:,.0f})"
        lines.append(
            f"  {row.client:<11}{row.items:>8,}{row.items_per_second:>10,.0f}  "
            f"{spread:<17}{row.cpu_per_1000:>9.3f}{row.peak_mb:>10.0f}{times}"
        )
    return "\n".join(lines)


def text_of_goals(found: Sequence[Goal]) -> str:
    """The last part of the table."""
    if not found:
        return ""
    width = max(len(goal.what) for goal in found)
    return "\n".join(
        [
            "goals",
            *(
                f"  {goal.what:<{width}} {goal.goal:>6g}   measured {goal.measured:>7.2f}   "
                f"{'ok' if goal.reached else 'MISSED'}"
                for goal in found
            ),
        ]
    )


_HEAD = (
    f"  {'client':<11}{'items':>8}{'items/s':>10}  "
    f"{'(min-max)':<17}{'CPU s/1k':>9}{'peak MB':>10}  batchinfer is"
)


def _row(title: str, client: str, taken: Sequence[Sample], ours: float) -> Row:
    rates = [one.items / one.seconds for one in taken]
    return Row(
        workload=title,
        client=client,
        items=taken[0].items,
        items_per_second=median(rates),
        slowest=min(rates),
        fastest=max(rates),
        cpu_per_1000=median(one.cpu_seconds / one.items * 1000 for one in taken),
        peak_mb=max(one.peak_mb for one in taken),
        batchinfer_is=None if client == OURS else ours / median(rates),
    )


def _rate(taken: Sequence[Sample]) -> float:
    return median(one.items / one.seconds for one in taken)
