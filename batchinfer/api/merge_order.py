"""The order in which a merge takes the items of several shards of one source.

An item never comes before another one that was before it in its own shard. Between shards, the item
comes first whose source was named first, then the one whose key comes first in a folder: files
before sub-folders, each by name. So the order is that of the undivided run, as far as that follows
from the keys: for folders, patterns, and lists that are sorted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Final

from batchinfer.sources.list_detection import split_prefix
from batchinfer.store.merge_input import MergeInput
from batchinfer.store.merge_rows import MergeRow

_KEY_SEPARATOR: Final = "/./"


def iter_in_source_order(
    runs: Sequence[MergeInput], sources: Sequence[str]
) -> Iterator[tuple[MergeInput, MergeRow]]:
    """The items of all runs, which are shards of `sources`."""
    if len(runs) == 1:
        return ((runs[0], row) for row in runs[0].iter_rows())
    places = _list_places(sources)
    streams = [_iter_with_sort_key(run, places, index) for index, run in enumerate(runs)]
    return ((runs[index], row) for _, _, index, row in merge(*streams))


def make_folder_sort_key(key: bytes) -> bytes:
    """What sorts keys as a folder is read: its files, then its sub-folders, each by name."""
    folder, slash, name = key.rpartition(b"/")
    if not slash:
        return b"\0" + name
    return b"\1" + folder.replace(b"/", b"\0\1") + b"\0\0" + name


def _iter_with_sort_key(
    run: MergeInput, places: Mapping[str, int], index: int
) -> Iterator[tuple[int, bytes, int, MergeRow]]:
    """Rows with what sorts them; `index` tells the runs apart where that is the same."""
    find_place = _make_place_finder(places)
    place = 0
    for row in run.iter_rows():
        place = find_place(row, place)
        yield place, make_folder_sort_key(row.key), index, row


def _make_place_finder(places: Mapping[str, int]) -> Callable[[MergeRow, int], int]:
    if len(places) == 1:
        return lambda _, before: before

    def find_place(row: MergeRow, before: int) -> int:
        """Which source a row is from; it cannot be an earlier one than that of the row before."""
        path = os.fsdecode(row.path or b"")
        while path not in places and path not in {"", "/"}:
            path = path.rpartition("/")[0]
        return max(before, places.get(path, before))

    return find_place


def _list_places(sources: Sequence[str]) -> Mapping[str, int]:
    """The files and folders that were named, each with its place among the sources."""
    places: dict[str, int] = {}
    for index, spec in enumerate(sources):
        path = split_prefix(spec)[1].replace(_KEY_SEPARATOR, "/").rstrip("/")
        places.setdefault(path, index)
    return places
