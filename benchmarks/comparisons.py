"""Comparisons: contenders that do the same job, taken in turn, again and again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from benchmarks import table
from benchmarks.measuring import ContenderFailed, Runner, Sample
from benchmarks.services import Service
from benchmarks.table import Goal, Measure

DISTINCT = 500
"""Different files per folder; the others are hard links to them."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who does the job."""

    name: str
    take: Callable[[], Sample]
    """Measures it once. Raises ContenderFailed."""
    needs: tuple[str, ...] = ()
    """Packages that the environment of the peers must have."""
    remark: str = ""
    """What it does not do that ours does, or the other way round."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A job, who does it, and what we want to reach. Ours is the first contender."""

    shown: Measure
    contenders: Sequence[Contender]
    goals: Sequence[Goal] = ()
    item_bytes: int = 0
    service: Service | None = None
    rounds: int | None = None
    """None: as many as asked for."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setup:
    """What a benchmark run has at hand."""

    below: Path
    """Where files and runs go."""
    ours: Runner
    peers: Runner
    service_core: int | None
    rounds: int = 3
    divisor: int = 1
    """Counts are shrunk by it."""
    built: dict[str, Path] = field(default_factory=dict)
    """What has been made already."""

    def count(self, full: int, least: int = 20) -> int:
        """How many items instead of `full`."""
        return max(least, full // self.divisor)

    def build(self, name: str, make: Callable[[Path], None]) -> Path:
        """A file or folder that is made when it is first asked for."""
        path = self.below / name
        if name not in self.built:
            make(path)
            self.built[name] = path
        return path

    def folder(self, count: int, size: int) -> Path:
        """A folder of `count` files of `size` random bytes."""
        return self.build(f"{count} of {size}", lambda path: fill(path, count, size))

    @cached_property
    def peer_packages(self) -> Mapping[str, str | None]:
        """Versions of what the peers' environment has."""
        return self.peers.find_packages(PEER_PACKAGES)


@dataclass(frozen=True, slots=True)
class Job:
    """A part of the table."""

    title: str
    prepare: Callable[[Setup], AbstractContextManager[Comparison]]
    """Makes ready what the comparison needs, and takes it away again."""


PEER_PACKAGES = (
    *("aiohttp", "uvloop", "pybase64", "orjson", "requests", "httpx", "aiometer", "aibrix"),
    *("aiobotocore", "obstore", "s5cmd", "duckdb", "duckdb-extension-sqlite-scanner"),
)


def fill(folder: Path, count: int, size: int) -> None:
    """Make a folder of files of random bytes."""
    folder.mkdir()
    for number in range(count):
        file = folder / f"{number:07d}.jpg"
        if number < DISTINCT:
            file.write_bytes(os.urandom(size))
        else:
            os.link(folder / f"{number % DISTINCT:07d}.jpg", file)


def run_job(job: Job, setup: Setup) -> tuple[table.Section, Samples]:
    """One part of the table, and the samples behind it."""
    with job.prepare(setup) as comparison:
        taken, notes = _take_all(comparison, setup)
    contenders = comparison.contenders
    rows = [
        table.make_row(
            each.name, taken[each.name], comparison.shown, comparison.item_bytes, each.remark
        )
        for each in contenders
        if each.name in taken
    ]
    ours = contenders[0].name
    verdicts = [table.judge(goal, rows, ours) for goal in comparison.goals]
    return table.Section(job.title, comparison.shown, ours, rows, verdicts, notes), taken


Samples: TypeAlias = Mapping[str, Sequence[Sample]]
"""By contender, in the order of rounds."""


def _take_all(comparison: Comparison, setup: Setup) -> tuple[Samples, Sequence[str]]:
    """Take all contenders in turn, again and again; who fails is left out and said."""
    notes = list(comparison.notes)
    taken: dict[str, list[Sample]] = {}
    for contender in comparison.contenders:
        missing = [name for name in contender.needs if not setup.peer_packages.get(name)]
        if missing:
            notes.append(f"{contender.name}: skipped, {' and '.join(missing)} is not installed")
        else:
            taken[contender.name] = []
    for _ in range(comparison.rounds or setup.rounds):
        for contender in comparison.contenders:
            if contender.name in taken:
                try:
                    taken[contender.name].append(_take(contender, comparison.service))
                except ContenderFailed as failure:
                    notes.append(f"{contender.name}: FAILED, {failure}")
                    del taken[contender.name]
    return taken, notes


def _take(contender: Contender, service: Service | None) -> Sample:
    before = service.cpu_seconds() if service else None
    sample = contender.take()
    after = service.cpu_seconds() if service else None
    if before is None or after is None or not sample.seconds:
        return sample
    return replace(sample, service_load=(after - before) / sample.seconds)
