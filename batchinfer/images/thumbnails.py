"""Thumbnails of many pictures, made by worker processes, in the order asked for.

A worker that dies or hangs takes one picture with it: that one is `Unseen`, and another worker goes
on. Each is a process of its own with nothing of this one in it (no fork, no pickle), so that it
does not matter what this one has running; they are gone when the iterator is, however it ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from batchinfer.extras import bring
from batchinfer.images.facts import Unseen
from batchinfer.images.shrinking import Thumbnail
from batchinfer.images.workers import Workers

__all__ = ["Job", "Thumbnail", "thumbnails"]

_SECONDS: Final = 30.0
"""A picture may take so long."""
_MOST: Final = 4
"""Workers, if nobody says how many; disks rarely feed more."""
_AHEAD: Final = 4
"""Jobs under way or waiting for their turn, per worker."""


@dataclass(frozen=True, slots=True)
class Job:
    """A thumbnail to be made."""

    path: str
    """Exact, as `os.fsdecode` gives it."""
    edge: int
    """Pixels of the longer side, at most."""
    quality: int = 70
    """1 to 95."""


def thumbnails(
    jobs: Iterable[Job], *, workers: int | None = None, seconds: float = _SECONDS
) -> Iterator[Thumbnail | Unseen]:
    """A thumbnail for each job, in the order of the jobs, which are drawn as they are needed.

    A picture that takes longer than `seconds` is given up. Raises ConfigError when Pillow is not
    installed.
    """
    bring("PIL.Image", "Showing pictures", "report")
    return _made(jobs, workers or min(_MOST, os.cpu_count() or 1), seconds)


def _made(jobs: Iterable[Job], count: int, seconds: float) -> Iterator[Thumbnail | Unseen]:
    coming = enumerate(jobs)
    more = True
    given = turn = 0
    done: dict[int, Thumbnail | Unseen] = {}
    with Workers(count, seconds) as workers:
        while True:
            while more and workers.free and given - turn < count * _AHEAD:
                job = next(coming, None)
                if job is None:
                    more = False
                else:
                    place, wanted = job
                    workers.give(place, wanted.path, wanted.edge, wanted.quality)
                    given += 1
            if turn in done:
                yield done.pop(turn)
                turn += 1
            elif turn < given:
                done.update(workers.wait())
            elif not more:
                return
