"""Thumbnails of many pictures, made by worker processes, in the order asked for.

A worker that dies or hangs takes one picture with it: that one is `UnreadableImage`, and another
worker goes on. Each is a process of its own that shares nothing with this one (no fork, no pickle);
all are gone when the iterator is, however it ends. A picture that is not on this machine is fetched
by this process: workers have no credentials.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

from batchinfer.extras import import_optional
from batchinfer.images.image_info import UnreadableImage
from batchinfer.images.thumbnail_maker import Thumbnail
from batchinfer.images.worker_pool import WorkerPool
from batchinfer.inputs import is_local, open_stream

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
    """Exact, as `os.fsdecode` gives it; or a URI."""
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
    with WorkerPool(count, seconds) as workers, _LocalCopies(seconds) as copies:
        while True:
            while (
                more and workers.has_capacity and submitted - next_index < count * _JOBS_PER_WORKER
            ):
                job = next(pending, None)
                if job is None:
                    more = False
                else:
                    index, wanted = job
                    submitted += 1
                    try:
                        path = copies.make_local(index, wanted.path)
                    except OSError as error:
                        done[index] = UnreadableImage(f"it cannot be fetched: {error.strerror}")
                    else:
                        workers.submit(index, path, wanted.edge, wanted.quality)
            if next_index in done:
                yield done.pop(next_index)
                next_index += 1
            elif next_index < submitted:
                finished = workers.wait()
                copies.discard(finished)
                done.update(finished)
            elif not more:
                return


class _LocalCopies:
    """Copies of the pictures that are not on this machine, in a temporary folder."""

    def __init__(self, seconds: float) -> None:
        self._timeout = seconds
        self._folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def make_local(self, index: int, path: str) -> str:
        """A path that a worker can open; of a URI that of a copy. Raises OSError."""
        if is_local(path):
            return path
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="batchinfer-")
        copy = self._get_copy_path(self._folder, index)
        with open_stream(path, timeout=self._timeout) as source, copy.open("wb") as file:
            shutil.copyfileobj(source, file)
        return str(copy)

    def discard(self, indices: Iterable[int]) -> None:
        """Delete the copies of these jobs."""
        if self._folder is not None:
            for index in indices:
                self._get_copy_path(self._folder, index).unlink(missing_ok=True)

    @staticmethod
    def _get_copy_path(folder: TemporaryDirectory[str], index: int) -> Path:
        return Path(folder.name) / str(index)
