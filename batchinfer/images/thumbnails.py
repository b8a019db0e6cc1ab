"""Thumbnails of many pictures, made by worker processes, in the order asked for.

A worker that dies or hangs takes one picture with it: that one is `UnreadableImage`, and another
worker goes on. Each is a process of its own with nothing of this one in it (no fork, no pickle),
so that it
does not matter what this one has running; they are gone when the iterator is, however it ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from batchinfer.extras import import_optional
from batchinfer.images.image_info import UnreadableImage
from batchinfer.images.thumbnail_maker import Thumbnail
from batchinfer.images.worker_pool import WorkerPool

__all__ = ["Thumbnail", "ThumbnailJob", "make_thumbnails"]

_THUMBNAIL_TIMEOUT: Final = 30.0
"""A picture may take so long."""
_MAX_WORKERS: Final = 4
"""Workers, if nobody says how many; disks rarely feed more."""
_JOBS_PER_WORKER: Final = 4
"""Jobs under way or waiting for their turn, per worker."""


@dataclass(frozen=True, slots=True)
class ThumbnailJob:
    """A thumbnail to be made."""

    path: str
    """Exact, as `os.fsdecode` gives it."""
    edge: int
    """Pixels of the longer side, at most."""
    quality: int = 70
    """1 to 95."""


def make_thumbnails(
    jobs: Iterable[ThumbnailJob], *, workers: int | None = None, seconds: float = _THUMBNAIL_TIMEOUT
) -> Iterator[Thumbnail | UnreadableImage]:
    """A thumbnail for each job, in the order of the jobs, which are drawn as they are needed.

    A picture that takes longer than `seconds` is given up. Raises ConfigError when Pillow is not
    installed.
    """
    import_optional("PIL.Image", "Showing pictures", "report")
    return _iter_thumbnails(jobs, workers or min(_MAX_WORKERS, os.cpu_count() or 1), seconds)


def _iter_thumbnails(
    jobs: Iterable[ThumbnailJob], count: int, seconds: float
) -> Iterator[Thumbnail | UnreadableImage]:
    pending = enumerate(jobs)
    more = True
    submitted = next_index = 0
    done: dict[int, Thumbnail | UnreadableImage] = {}
    with WorkerPool(count, seconds) as workers:
        while True:
            while (
                more and workers.has_capacity and submitted - next_index < count * _JOBS_PER_WORKER
            ):
                job = next(pending, None)
                if job is None:
                    more = False
                else:
                    index, wanted = job
                    workers.submit(index, wanted.path, wanted.edge, wanted.quality)
                    submitted += 1
            if next_index in done:
                yield done.pop(next_index)
                next_index += 1
            elif next_index < submitted:
                done.update(workers.wait())
            elif not more:
                return
