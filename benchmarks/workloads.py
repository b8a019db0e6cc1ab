"""What the clients are given: folders of files, and how many of them each client is asked to send.

Sizes are of the body (1 kB) or of the image (110 kB). A slow client gets fewer items than a fast
one, so that each takes some seconds; rates do not depend on it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DISTINCT = 500
"""Different files per folder; the others are hard links to them."""
SMALL, LARGE = 700, 110_000
"""Bytes of a file: in base64, with what stands around it, 700 are a body of 1 kB."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One group of rows in the table."""

    title: str
    size: int
    """Bytes of each file."""
    counts: Mapping[str, int]
    """Items by client."""
    latency: float = 0.0
    """Seconds the service takes for each answer."""
    repetitions: int | None = None
    """None: as many as asked for."""
    goals: bool = True
    """Whether it tells about batchinfer: not where the service sets the pace."""
    memory: bool = False
    """Whether it is there to tell about memory."""

    def shrunk(self, divisor: int) -> Workload:
        """The same with fewer items."""
        counts = {client: max(20, count // divisor) for client, count in self.counts.items()}
        return Workload(
            self.title,
            self.size,
            counts,
            self.latency,
            self.repetitions,
            goals=self.goals,
            memory=self.memory,
        )


WORKLOADS = (
    Workload(
        "bodies of 1 kB",
        SMALL,
        {"tutorial": 1_500, "threads": 4_000, "aiohttp": 30_000, "batchinfer": 16_000},
    ),
    Workload(
        "images of 110 kB",
        LARGE,
        {"tutorial": 1_000, "threads": 2_000, "aiohttp": 6_000, "batchinfer": 6_000},
    ),
    Workload(
        "images of 110 kB, each answered after 50 ms",
        LARGE,
        {"tutorial": 60, "threads": 2_000, "aiohttp": 3_000, "batchinfer": 3_000},
        latency=0.05,
        goals=False,
    ),
    Workload(
        "a long run, bodies of 1 kB", SMALL, {"batchinfer": 100_000}, repetitions=1, memory=True
    ),
)


def folder(below: Path, size: int, count: int) -> Path:
    """A folder of `count` files of `size` random bytes; made when it is first asked for."""
    made = below / f"{count} of {size}"
    if not made.exists():
        made.mkdir()
        for number in range(count):
            file = made / f"{number:06d}.jpg"
            if number < DISTINCT:
                file.write_bytes(os.urandom(size))
            else:
                file.hardlink_to(made / f"{number % DISTINCT:06d}.jpg")
    return made
