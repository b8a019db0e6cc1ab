"""A run as status, show and export read it: without the lock, beside a run that is going on.

Rules: nothing is written; results are read page by page, each page a short look of its own, so that
a slow export never keeps the database's log from being emptied. Each row is whole and true when its
page is read; what is recorded behind it later is not in this export. Memory does not know how long
the run is.
"""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar
from unicodedata import normalize

from batchinfer.domain import (
    Attempt,
    Counts,
    Digest,
    Dossier,
    Failure,
    InputFile,
    Item,
    Json,
    Kind,
    Open,
    Outcome,
    Reply,
    Result,
    State,
)
from batchinfer.errors import RunCorrupt
from batchinfer.ports import Adjusted
from batchinfer.store import checksums, queues
from batchinfer.store import read_sql as sql
from batchinfer.store.checking import (
    MISSING,
    Damages,
    check_failure,
    check_input,
    check_row,
    dossier_of,
    result_of,
)
from batchinfer.store.codec import decode, decode_files, encode, rows
from batchinfer.store.database import DATABASE, open_to_read, translated, version_of
from batchinfer.store.run_metadata import read_adjustments, read_help, read_info, read_reading
from batchinfer.store.schema import SESSIONS_SINCE
from batchinfer.store.sessions import RecordedSession, changed, time_at_work
from batchinfer.store.table_rows import as_item

_T = TypeVar("_T")

_PAGE: Final = 500
_PAGE_SIZE: Final = 16 * 2**20
"""Characters after which a page ends early."""
_CANDIDATES: Final = 5_000
_SPREAD_SIZE: Final = 64 * 2**20
"""Characters of predictions after which a sample of the run is large enough."""
_STRIDE: Final = 16


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The failed items of one code, and the first of them as an example."""

    code: str
    count: int
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Span:
    """When the work was done, in seconds since the epoch."""

    started_at: float | None
    """Start of the first attempt."""
    finished_at: float | None
    """When the latest item got its final outcome."""
    recent: int
    """Items that got theirs since the moment that was asked for."""


@dataclass(frozen=True, slots=True)
class Detail:
    """Everything about one item."""

    item: Item
    result: Result
    attempts: Sequence[Attempt]
    """With their logs, in order. The prediction stands in `result`."""
    retry_at: float | None
    submitted_at: float | None
    inputs: Sequence[Digest]
    """The files as they were sent by the attempt with the reply, else by the latest that sent
    any."""


@dataclass(frozen=True, slots=True)
class WaitedFor:
    """What a run waits for."""

    backing_off: int = 0
    """Items whose next attempt is not due yet."""
    due: float | None = None
    """When the first of them is, seconds since the epoch."""
    submitted_at: float | None = None
    """Async mode: when the oldest input without an outcome was submitted."""


class RunReader:
    """Reads the run in `directory`. A context manager; one thread at a time.

    Raises RunCorrupt when there is no run that this version can read, StoreError when the disk
    fails.
    """

    def __init__(self, directory: Path, damages: Damages | None = None) -> None:
        """`damages`: where what does not match its checksum is noted; such rows are left out."""
        self.directory = directory
        self.damages = Damages() if damages is None else damages
        self._path = directory / DATABASE
        self._db = open_to_read(directory)
        with self._translated_or_closed():
            self.info, self.source_is_read = read_info(self._db)
            self._version = version_of(self._db)
            if self._version >= SESSIONS_SINCE:
                self._check_run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def help(self) -> str | None:
        """The model's help, as the service answered; None when the run does not keep it."""
        with translated(self._path):
            return read_help(self._db)

    def reading(self) -> Json:
        """How predictions are read, as the run keeps it; None: not decided. `keep_reading` of
        `store.run_metadata` keeps it.
        """  # noqa: D205 - one thought
        with translated(self._path):
            return read_reading(self._db)

    def adjustments(self, limit: int) -> Sequence[Adjusted]:
        """How the limit moved of late, oldest first, so many at most."""
        with translated(self._path):
            return read_adjustments(self._db, limit)

    def sessions(self) -> Sequence[RecordedSession]:
        """The processes that worked at the run, in order; none of versions before 5 is known."""
        if self._version < SESSIONS_SINCE:
            return ()
        run = self.info.config.get("params")
        of_run = run if isinstance(run, Mapping) else {}
        found = []
        for number, version, started_at, active_until, text, kept in self._rows(sql.SESSIONS):
            if checksums.of_session(number, version, started_at, text) != kept:
                self.damages.add(f"session {number}", "its checksum does not match")
                continue
            params = decode(text)
            differing = changed(params, of_run)
            found.append(
                RecordedSession(number, version, started_at, active_until, params, differing)
            )
        return found

    def time_at_work(self, since: float = 0.0) -> float | None:
        """Seconds in which processes were at work since then; None: the run does not keep it."""
        goes = self.sessions()
        return time_at_work(goes, since) if goes else None

    def counts(self) -> Counts:
        """Items by state."""
        with translated(self._path):
            return queues.counts(self._db)

    def waited_for(self, now: float) -> WaitedFor:
        """What the run waits for, as it is recorded."""
        ((backing_off, due, submitted_at),) = self._rows(sql.WAITED_FOR, {"now": now})
        return WaitedFor(backing_off, due, submitted_at)

    def failures(self) -> Sequence[FailureGroup]:
        """Failed items by code, most frequent first."""
        return [FailureGroup(*row[:4]) for row in self._rows(sql.FAILURES)]

    def results(self, state: State | Literal["finished"] | None = None) -> Iterator[Result]:
        """Results in input order: of items in `state`, of all that are finished, or of all."""
        for row in self._all(sql.RESULTS[state], state):
            if (found := self._sound(row, result_of)) is not None:
                yield found

    def dossiers(self, state: State | Literal["finished"] | None = None) -> Iterator[Dossier]:
        """As `results`, with everything else that is known of each item."""
        for row in self._all(sql.DOSSIERS[state], state):
            if (found := self._sound(row, dossier_of)) is not None:
                yield found

    def results_at(self, positions: Collection[int]) -> Sequence[Result]:
        """Results of the items at `positions`, in that order; unknown ones are left out."""
        asked = (encode(list(positions)),)
        found = {row[0]: row for row in self._rows(sql.RESULTS_AT, asked)}
        results = [self._sound(found[place], result_of) for place in positions if place in found]
        return [result for result in results if result is not None]

    def submissions(self, positions: Collection[int]) -> Mapping[int, Open]:
        """What items of `positions`, finished ones too, have in the bucket, as it is recorded."""
        with translated(self._path):
            return queues.submissions(self._db, positions)

    def some_files(self, few: int, steps: int = 64) -> Sequence[InputFile]:
        """Files of some items, spread over the run: of pending ones, if there are `few` of them."""
        asked = {"steps": steps, "parts": encode(list(range(steps + 1)))}
        found = {row[0] for row in self._rows(sql.PENDING_SPREAD, asked)}
        if len(found) < few:
            found = {row[0] for row in self._rows(sql.FILES_SPREAD, asked)}
        return [file for files in found for file in decode_files(files)]

    def spread(self, limit: int) -> Iterator[Result]:
        """Results whose predictions are data, at most so many, evenly spread over the run.

        Ends earlier when they are large; what came till then is spread evenly, too.
        """
        ((count,),) = self._rows(sql.JSON_PREDICTIONS)
        positions = [row[0] for row in self._rows(sql.SPREAD, (-(-count // limit) or 1,))]
        left = _SPREAD_SIZE
        for first in range(_STRIDE):
            for position in positions[first::_STRIDE]:
                for row in self._rows(sql.RESULTS_AT, (encode([position]),)):
                    left -= len(row[3] or "")
                    if (result := self._sound(row, result_of)) is not None:
                        yield result
                if left < 0:
                    return

    def item(self, key: str) -> Detail | None:
        """Everything about one item; None when there is no such key."""
        found = self._rows(sql.ITEM_OF, (key,))
        if not found:
            return None
        ((row, retry_at, submitted_at),) = found
        position: Any = rows(row)[0]
        for row_of_it in self._rows(sql.DOSSIER_AT, (position,)):
            self._sound(row_of_it, dossier_of)
        self.damages.tell()
        item = as_item(rows(row))
        made = self._rows(sql.ATTEMPTS_OF, (position,))
        sent = self._rows(sql.INPUTS_OF, {"position": position})
        for number, *cells in made:
            check_failure(self.damages, item.key, (position, number, *cells))
        for cells in sent:
            check_input(self.damages, item.key, (position, *cells))
        self.damages.tell()
        attempts = [_attempt(cells) for cells in made]
        (result,) = self.results_at([position])
        inputs = [Digest(*cells[1:4]) for cells in sent]
        return Detail(item, result, attempts, retry_at, submitted_at, inputs)

    def spelled_alike(self, key: str) -> Sequence[str]:
        """At most three keys that look the same: equal to `key` in Unicode's normal form NFC."""
        with translated(self._path):
            self._db.create_function("composed", 1, _composed, deterministic=True)
        return [found for (found,) in self._rows(sql.KEYS_COMPOSED, (_composed(key),))]

    def closest(self, key: str) -> Sequence[str]:
        """At most three keys that `key` may have been meant for, best first."""
        within = [found for (found,) in self._rows(sql.KEYS_WITH, {"key": key})]
        if within:
            return within
        about = self._rows(sql.KEYS_ABOUT, (len(key), _CANDIDATES))
        return difflib.get_close_matches(key, [found for (found,) in about])

    def span(self, since: float) -> Span:
        """When the work was done, and how many items were finished since `since`."""
        return Span(*self._rows(sql.SPAN, (since,))[0])

    def begun(self, since: float) -> float | None:
        """When, since then, the first attempt began at what is finished now; None: none did."""
        ((at,),) = self._rows(sql.BEGUN, {"since": since})
        return None if at is None else float(at)

    def finished(self, since: float, until: float, slices: int) -> Sequence[int]:
        """How many items were finished in each of so many equal slices of that time."""
        length = (until - since) / slices
        if length <= 0:
            return [0] * slices
        asked = {"since": since, "length": length, "slices": slices}
        found = dict(self._rows(sql.FINISHED_IN, asked))
        return [found.get(each, 0) for each in range(slices)]

    # ----------------------------------------------------------------------------------------------

    def _rows(self, statement: str, asked: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        with translated(self._path):
            fitting = sql.of_version(statement, self._version)
            return self._tolerantly(lambda: self._db.execute(fitting, asked).fetchall())

    def _all(
        self, statement: str, state: State | Literal["finished"] | None
    ) -> Iterator[Sequence[Any]]:
        """All rows; that none is missing in the middle is counted."""
        statement = sql.of_version(statement, self._version)
        before, seen, after = self._countable(state), 0, 0
        while page := self._page(statement, after):
            seen += len(page)
            after = page[-1][0]
            yield from page
        if before is not None and seen < min(before, self._countable(state) or 0):
            self.damages.add(*MISSING)

    def _countable(self, state: State | Literal["finished"] | None) -> int | None:
        """How many rows there must be at least, as the indexes know; None: that may fall."""
        counts = self.counts()
        match state:
            case None:
                ((count,),) = self._rows(sql.KEYS_OF_ITEMS)
                return max(int(count), counts.total)
            case "finished":
                return counts.finished
            case State.SUCCEEDED:
                return counts.succeeded
            case State.FAILED:
                return counts.failed
            case _:
                return None

    def _page(self, statement: str, after: int) -> list[Any]:
        """A page of rows: few, if they are large."""

        def read() -> list[Any]:
            page: list[Any] = []
            size = 0
            with closing(self._db.execute(statement, (after, _PAGE))) as cursor:
                for row in cursor:
                    page.append(row)
                    size += sum([len(cell) for cell in row if isinstance(cell, str)])
                    if size > _PAGE_SIZE:
                        break
            return page

        with translated(self._path):
            return self._tolerantly(read)

    def _tolerantly(self, read: Callable[[], list[Any]]) -> list[Any]:
        """The rows, also when a text in them is no UTF-8 any more: a checksum tells."""
        try:
            return read()
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error):
                raise
            self._db.text_factory = lambda data: str(data, "utf-8", "surrogateescape")
            return read()

    def _sound(self, row: Sequence[Any], made: Callable[[Sequence[Any]], _T]) -> _T | None:
        """What the row says; None when it is not what was written, which is noted."""
        try:
            if check_row(self.damages, row):
                return made(row)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self.damages.add(f"the item {row[1]!r}", f"it cannot be read ({error})")
        return None

    def _check_run(self) -> None:
        """Raises RunCorrupt when what the run says of itself is not what was written."""
        *cells, kept = self._db.execute(sql.RUN_SEALED).fetchone()
        if kept is not None and checksums.of_run(*cells) != kept:
            raise RunCorrupt(
                f"{self._path} is damaged: what the run says of itself does not match its "
                "checksum. Take it from a backup, or start a new run in another directory."
            )

    @contextmanager
    def _translated_or_closed(self) -> Iterator[None]:
        try:
            with translated(self._path):
                yield
        except BaseException:
            self._db.close()
            raise


def _composed(key: str) -> str:
    return key if key.isascii() else normalize("NFC", key)


def _attempt(row: Sequence[Any]) -> Attempt:
    number, started_at, seconds, code, message, kind, retry_after, log, server_seconds = row[:9]
    outcome: Outcome = Reply(log=log, server_seconds=server_seconds)
    if code is not None:
        outcome = Failure(code, message, Kind(kind), retry_after, log)
    sent = row[10]
    return Attempt(number, started_at, seconds, outcome, None if sent is None else decode(sent))
