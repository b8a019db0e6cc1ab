"""Looks at the files that a manifest names: remote ones many at a time, all in their order.

A web server answers after some 50 ms. One after the other, that alone would allow 20 items a
second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from batchinfer.domain import InputFile
from batchinfer.inputs import is_local
from batchinfer.inputs.source_access import carry_context
from batchinfer.sources.manifest_lines import ManifestEntry

_ENTRIES_AHEAD: Final = 32
"""Entries that are looked at before they are wanted."""

StatFiles = Callable[[ManifestEntry], tuple[InputFile, ...]]


def iter_with_files(
    entries: Iterable[ManifestEntry], stat_files: StatFiles
) -> Iterator[tuple[ManifestEntry, tuple[InputFile, ...]]]:
    """Each entry with its files, as `stat_files` sees them."""
    ahead: deque[tuple[ManifestEntry, Future[tuple[InputFile, ...]]]] = deque()
    pool: ThreadPoolExecutor | None = None
    stat_in_thread = carry_context(stat_files)
    try:
        for entry in entries:
            if all(is_local(path) for _, path in entry.files):
                while ahead:
                    yield _take_first(ahead)
                yield entry, stat_files(entry)
                continue
            pool = pool or ThreadPoolExecutor(_ENTRIES_AHEAD, "batchinfer-stat")
            ahead.append((entry, pool.submit(stat_in_thread, entry)))
            if len(ahead) > _ENTRIES_AHEAD:
                yield _take_first(ahead)
        while ahead:
            yield _take_first(ahead)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _take_first(
    ahead: deque[tuple[ManifestEntry, Future[tuple[InputFile, ...]]]],
) -> tuple[ManifestEntry, tuple[InputFile, ...]]:
    entry, future = ahead.popleft()
    return entry, future.result()
