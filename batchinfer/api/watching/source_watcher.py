"""The source of a run that is watched: a reader of pages that waits where others come to their end.

Rules:

1. The store knows which inputs are in the run, and is asked page by page: nothing is kept here per
   item, but for the few that are still being written (`settling`).
2. A scan lists everything; an event of the system names one path. Both lead to the same look at an
   input, so that it is taken once however often it is seen.
3. A file that failed before it was sent (missing, changed while it waited) is sent when it is there
   and whole: no result is concerned. One that was sent and has changed since is sent again only
   when that is asked for.
4. While a source is away everything waits for it; the outage is told, and nothing is failed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import anyio

from batchinfer.api.job_sources import run_in_thread
from batchinfer.api.watching.known_inputs import KnownAnswer, KnownInputs
from batchinfer.api.watching.scan_schedule import ScanSchedule
from batchinfer.api.watching.settling import Settling
from batchinfer.api.watching.watched_roots import WatchedRoots
from batchinfer.config.run_settings import WatchSettings
from batchinfer.domain import Item
from batchinfer.engine import Engine
from batchinfer.errors import SourceError
from batchinfer.failures import SOURCE_UNAVAILABLE
from batchinfer.ports import Notice, Observer, OutageEnded, OutageOngoing, WorkQueue
from batchinfer.sources import CombinedSource

PAGE_ITEMS: Final = 500
MAX_PAUSE_SECONDS: Final = 5.0
"""Seconds after which is looked at least whether a folder is still the same one."""
BUSY_CHECK_SECONDS: Final = 0.5
"""Seconds between two looks whether the run is idle, where that matters."""
OPEN_RETRY_SECONDS: Final = 2.0
MISSED_AFTER_SECONDS: Final = 10.0
"""Age of a file that a scan finds and that an event should have told of."""
_NOTICES_EACH_TIME: Final = frozenset({"skipped"})
"""What every scan says anew, with other numbers."""


class SourceWatcher:
    """Reads what comes, page by page. `open_source` opens it, or raises SourceError."""

    def __init__(
        self,
        *,
        open_source: Callable[[], CombinedSource],
        source: CombinedSource | None,
        queue: WorkQueue,
        settings: WatchSettings,
        observer: Observer,
        ignored_folder: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`source`: None when it could not be opened yet. `ignored_folder`: the run's own."""
        self._open_source, self._source = open_source, source
        self._queue, self._settings, self._observer, self._clock = queue, settings, observer, clock
        self._ignored_folder = ignored_folder
        self._settling = Settling(settings.settle)
        self._schedule = ScanSchedule(settings.interval)
        self._known = KnownInputs(queue, again_when_changed=settings.again_when_changed)
        self._roots: WatchedRoots | None = None
        self._engine: Engine | None = None
        self._scan: Iterator[Item] | None = None
        self._scan_count, self._scan_found = 0, False
        self._is_safety_scan = self._is_scan_requested = False
        self._ready: deque[Item] = deque()
        self._ready_paths: dict[str, str] = {}
        self._outage_since: float | None = None
        self._last_activity = time.monotonic()
        self._has_scanned_idle = False
        self._reported: set[tuple[str, str]] = set()

    def bind(self, engine: Engine) -> None:
        """The engine that this reads for."""
        self._engine = engine

    def close(self) -> None:
        """End what tells events."""
        if self._roots is not None:
            self._roots.close()

    async def read_page(self, size: int) -> Sequence[Item]:
        """Items that have come, as soon as there are any; none when it is idle for long enough."""
        while not self._ready:
            if self._is_idle():
                return ()
            await self._step()
        page = [self._ready.popleft() for _ in range(min(size, len(self._ready)))]
        for item in page:
            self._ready_paths.pop(item.key, None)
        return page

    # What is next ---------------------------------------------------------------------------------

    async def _step(self) -> None:
        now = time.monotonic()
        if self._source is None:
            await self._try_to_open()
        elif await self._look_at_hints(now):
            pass
        elif self._scan is not None:
            await self._read_scan_page()
        elif self._schedule.next_at is not None and self._schedule.next_at <= now:
            await self._begin_scan(self._source)
        else:
            await self._wait(now)

    async def _wait(self, now: float) -> None:
        times = [self._schedule.next_at, self._settling.next_due, now + MAX_PAUSE_SECONDS]
        if self._settings.until_idle is not None:
            times.append(now + BUSY_CHECK_SECONDS)
        seconds = max(0.0, min(each for each in times if each is not None) - now)
        roots = self._roots
        if roots is None:
            await anyio.sleep(seconds)
            return
        await roots.wait(seconds)
        if await run_in_thread(roots.have_changed):  # unmounted, mounted, made anew
            self._forget_roots()
            self._request_scan()

    def _is_idle(self) -> bool:
        """Whether the run is to end: nothing has come for so long, and a scan has just seen that.

        What has come before is sent all the same.
        """
        until_idle, now = self._settings.until_idle, time.monotonic()
        if until_idle is None:
            return False
        progress = None if self._engine is None else self._engine.progress
        is_busy = progress is None or progress.counts.pending + progress.counts.submitted > 0
        if is_busy or len(self._settling) or self._outage_since is not None or self._source is None:
            self._note_activity()
            return False
        if now - self._last_activity < until_idle or self._scan is not None:
            return False
        if not self._has_scanned_idle:
            self._has_scanned_idle = True
            self._schedule.request(now)
            return False
        return self._schedule.next_at is not None and self._schedule.next_at > now

    def _note_activity(self) -> None:
        self._last_activity, self._has_scanned_idle = time.monotonic(), False

    # Outages --------------------------------------------------------------------------------------

    async def _try_to_open(self) -> None:
        try:
            self._source = await run_in_thread(self._open_source)
        except SourceError as error:
            self._on_outage(error)
            await anyio.sleep(OPEN_RETRY_SECONDS)
        else:
            self._request_scan()

    def _on_outage(self, error: SourceError) -> None:
        now = time.monotonic()
        self._outage_since = now if self._outage_since is None else self._outage_since
        reason = error.message.strip().rstrip(".")
        self._observer.notify(
            OutageOngoing(SOURCE_UNAVAILABLE, reason, now - self._outage_since, None)
        )
        self._note_activity()

    def _end_outage(self) -> None:
        since, self._outage_since = self._outage_since, None
        if since is not None:
            self._observer.notify(OutageEnded(SOURCE_UNAVAILABLE, time.monotonic() - since))

    # Scans ----------------------------------------------------------------------------------------

    async def _begin_scan(self, source: CombinedSource) -> None:
        self._schedule.on_begin(time.monotonic())
        self._is_safety_scan = self._schedule.has_events and not self._is_scan_requested
        self._is_scan_requested = False
        if self._roots is None:
            self._is_safety_scan = False
            await self._watch_roots(source)
        self._scan, self._scan_found = iter(source), False
        self._known.begin_scan()

    async def _watch_roots(self, source: CombinedSource) -> None:
        """Ask the system to tell what is new, before everything is listed."""
        self._roots = await run_in_thread(
            WatchedRoots.open,
            source,
            self._settings.events,
            self._ignored_folder,
            asyncio.get_running_loop(),
        )
        self._schedule.has_events = self._roots.has_events
        for notice in self._roots.notices:
            self._report(notice)

    def _forget_roots(self) -> None:
        """What was watched may be another folder from now on: the next scan asks anew."""
        if self._roots is not None:
            self._roots.close()
            self._roots = None
        self._schedule.has_events = False

    def _request_scan(self) -> None:
        """Scan now, for a reason: what is found then was not missed."""
        self._is_scan_requested = True
        self._schedule.request(time.monotonic())

    async def _read_scan_page(self) -> None:
        scan = self._scan
        if scan is None:
            return
        try:
            page = await run_in_thread(_take_page, scan)
        except SourceError as error:
            self._scan = None
            self._schedule.on_failure(time.monotonic())
            self._forget_roots()
            self._on_outage(error)
            return
        self._end_outage()
        if page:
            await self._sort(page)
            return
        self._scan = None
        self._scan_count += 1
        self._schedule.on_end(time.monotonic(), found=self._scan_found)
        for notice in (*self._get_source_notices(), *self._known.end_scan()):
            self._report(notice)

    def _get_source_notices(self) -> Sequence[Notice]:
        if self._source is None:
            return ()
        if self._scan_count == 1:
            return self._source.notices
        return [each for each in self._source.notices if each.code not in _NOTICES_EACH_TIME]

    def _report(self, notice: Notice) -> None:
        if (notice.code, notice.message) not in self._reported:
            if len(self._reported) > PAGE_ITEMS:
                self._reported.clear()
            self._reported.add((notice.code, notice.message))
            self._observer.notify(notice)

    # Looking at inputs ----------------------------------------------------------------------------

    async def _look_at_hints(self, now: float) -> bool:
        """Look at what events named, and at what may have settled; whether there was any."""
        roots = self._roots
        paths: Sequence[str] = ()
        if roots is not None and roots.has_events:
            paths, must_scan = roots.take()
            if must_scan:
                self._request_scan()
            if roots.error is not None:
                self._distrust_events(f"events cannot be told ({roots.error})")
        due = self._settling.take_due(now, PAGE_ITEMS)
        if roots is None or not (paths or due):
            return False
        found, gone, has_folders = await run_in_thread(roots.look_at, paths, due)
        if has_folders:  # of what is in one that was moved here, no event tells
            self._is_scan_requested = True
            self._schedule.request(now + self._settings.interval)
        for key in gone:
            self._settling.forget(key)
        for start in range(0, len(found), PAGE_ITEMS):
            await self._sort(found[start : start + PAGE_ITEMS], hinted=True)
        return True

    async def _sort(self, items: Sequence[Item], *, hinted: bool = False) -> None:
        """Take what is new and whole; put back what has to be sent again."""
        shard = None if self._source is None else self._source.shard
        if shard is not None:  # a scan has left out the others; an event knows no shard
            items = [item for item in items if shard.holds(item.key)]
        again = []
        answers = await self._known.ask(items)
        for item, answer in zip(items, answers, strict=True):
            match answer:
                case KnownAnswer.NEW if self._is_settled(item):
                    self._take(item, hinted=hinted)
                case KnownAnswer.AGAIN if self._is_settled(item):
                    again.append(item)
                case KnownAnswer.KNOWN:
                    self._settling.forget(item.key)
                case _:
                    pass
        if again:
            put_back = await self._queue.put_back(again)
            self._scan_found = True
            self._note_activity()
            if self._engine is not None:
                self._engine.note_put_back(put_back)

    def _is_settled(self, item: Item) -> bool:
        roots = self._roots
        trusts_times = roots is not None and roots.has_local_clock(item.files[0].path)
        return self._settling.is_settled(
            item, time.monotonic(), self._clock(), trusts_times=trusts_times
        )

    def _take(self, item: Item, *, hinted: bool) -> None:
        path = item.files[0].path
        waiting_path = self._ready_paths.get(item.key)
        if waiting_path is not None:
            if waiting_path != path:
                self._known.note_duplicate(item.key, waiting_path, path)
            return
        self._ready_paths[item.key] = path
        self._ready.append(item)
        if not hinted and self._is_safety_scan and self._is_older(item):
            self._distrust_events("the system did not tell all that is new")
        self._scan_found = True
        self._note_activity()

    def _is_older(self, item: Item) -> bool:
        mtime_ns = item.files[0].mtime_ns
        return mtime_ns is not None and self._clock() - mtime_ns / 1e9 > MISSED_AFTER_SECONDS

    def _distrust_events(self, reason: str) -> None:
        self._schedule.has_events = False
        self._request_scan()
        if self._roots is not None:
            self._roots.stop_events()
        self._report(Notice("scanned", f"New inputs are found by scans: {reason}."))


def _take_page(items: Iterator[Item]) -> list[Item]:
    return list(islice(items, PAGE_ITEMS))
