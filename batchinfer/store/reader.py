"""A run as status, show and export read it: without the lock, beside a run that is going on.

Rules: nothing is written; results are read page by page, each page a short look of its own, so that
a slow export never keeps the database's log from being emptied. Each row is whole and true when its
page is read; what is recorded behind it later is not in this export. Memory does not know how long
the run is.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self
from unicodedata import normalize

from batchinfer.domain import (
    Attempt,
    Counts,
    Digest,
    Dossier,
    InputFile,
    Item,
    Json,
    Open,
    Result,
    State,
)
from batchinfer.ports import Adjusted
from batchinfer.store import checksums, queues
from batchinfer.store import read_sql as sql
from batchinfer.store.checking import (
    Damages,
    attempt_of,
    check_failure,
    check_input,
    dossier_of,
    result_of,
)
from batchinfer.store.codec import decode, decode_files, encode, rows
from batchinfer.store.database import translated
from batchinfer.store.run_metadata import read_adjustments, read_help, read_reading
from batchinfer.store.schema import SESSIONS_SINCE
from batchinfer.store.sessions import RecordedSession, changed, time_at_work
from batchinfer.store.table_reader import TableReader
from batchinfer.store.table_rows import as_item

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
        self._tables = TableReader(directory, self.damages)
        self.info, self.source_is_read = self._tables.info, self._tables.source_is_read

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tables.close()

    def help(self) -> str | None:
        """The model's help, as the service answered; None when the run does not keep it."""
        with translated(self._tables.path):
            return read_help(self._tables.connection)

    def reading(self) -> Json:
        """How predictions are read, as the run keeps it; None: not decided. `keep_reading` of
        `store.run_metadata` keeps it.
        """  # noqa: D205 - one thought
        with translated(self._tables.path):
            return read_reading(self._tables.connection)

    def adjustments(self, limit: int) -> Sequence[Adjusted]:
        """How the limit moved of late, oldest first, so many at most."""
        with translated(self._tables.path):
            return read_adjustments(self._tables.connection, limit)

    def sessions(self) -> Sequence[RecordedSession]:
        """The processes that worked at the run, in order; none of versions before 5 is known."""
        if self._tables.version < SESSIONS_SINCE:
            return ()
        run = self.info.config.get("params")
        of_run = run if isinstance(run, Mapping) else {}
        found = []
        for number, version, started_at, active_until, text, kept in self._tables.rows(
            sql.SESSIONS
        ):
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
        with translated(self._tables.path):
            return queues.counts(self._tables.connection)

    def waited_for(self, now: float) -> WaitedFor:
        """What the run waits for, as it is recorded."""
        ((backing_off, due, submitted_at),) = self._tables.rows(sql.WAITED_FOR, {"now": now})
        return WaitedFor(backing_off, due, submitted_at)

    def failures(self) -> Sequence[FailureGroup]:
        """Failed items by code, most frequent first."""
        return [FailureGroup(*row[:4]) for row in self._tables.rows(sql.FAILURES)]

    def results(self, state: State | Literal["finished"] | None = None) -> Iterator[Result]:
        """Results in input order: of items in `state`, of all that are finished, or of all."""
        for row in self._tables.all_rows(sql.RESULTS[state], state):
            if (found := self._tables.value_of(row, result_of)) is not None:
                yield found

    def dossiers(self, state: State | Literal["finished"] | None = None) -> Iterator[Dossier]:
        """As `results`, with everything else that is known of each item."""
        for row in self._tables.all_rows(sql.DOSSIERS[state], state):
            if (found := self._tables.value_of(row, dossier_of)) is not None:
                yield found

    def results_at(self, positions: Collection[int]) -> Sequence[Result]:
        """Results of the items at `positions`, in that order; unknown ones are left out."""
        asked = (encode(list(positions)),)
        found = {row[0]: row for row in self._tables.rows(sql.RESULTS_AT, asked)}
        results = [
            self._tables.value_of(found[place], result_of) for place in positions if place in found
        ]
        return [result for result in results if result is not None]

    def submissions(self, positions: Collection[int]) -> Mapping[int, Open]:
        """What items of `positions`, finished ones too, have in the bucket, as it is recorded."""
        with translated(self._tables.path):
            return queues.submissions(self._tables.connection, positions)

    def some_files(self, few: int, steps: int = 64) -> Sequence[InputFile]:
        """Files of some items, spread over the run: of pending ones, if there are `few` of them."""
        asked = {"steps": steps, "parts": encode(list(range(steps + 1)))}
        found = {row[0] for row in self._tables.rows(sql.PENDING_SPREAD, asked)}
        if len(found) < few:
            found = {row[0] for row in self._tables.rows(sql.FILES_SPREAD, asked)}
        return [file for files in found for file in decode_files(files)]

    def spread(self, limit: int) -> Iterator[Result]:
        """Results whose predictions are data, at most so many, evenly spread over the run.

        Ends earlier when they are large; what came till then is spread evenly, too.
        """
        ((count,),) = self._tables.rows(sql.JSON_PREDICTIONS)
        positions = [row[0] for row in self._tables.rows(sql.SPREAD, (-(-count // limit) or 1,))]
        left = _SPREAD_SIZE
        for first in range(_STRIDE):
            for position in positions[first::_STRIDE]:
                for row in self._tables.rows(sql.RESULTS_AT, (encode([position]),)):
                    left -= len(row[3] or "")
                    if (result := self._tables.value_of(row, result_of)) is not None:
                        yield result
                if left < 0:
                    return

    def item(self, key: str) -> Detail | None:
        """Everything about one item; None when there is no such key."""
        found = self._tables.rows(sql.ITEM_OF, (key,))
        if not found:
            return None
        ((row, retry_at, submitted_at),) = found
        position: Any = rows(row)[0]
        for row_of_it in self._tables.rows(sql.DOSSIER_AT, (position,)):
            self._tables.value_of(row_of_it, dossier_of)
        self.damages.tell()
        item = as_item(rows(row))
        made = self._tables.rows(sql.ATTEMPTS_OF, (position,))
        sent = self._tables.rows(sql.INPUTS_OF, {"position": position})
        for number, *cells in made:
            check_failure(self.damages, item.key, (position, number, *cells))
        for cells in sent:
            check_input(self.damages, item.key, (position, *cells))
        self.damages.tell()
        attempts = [attempt_of(cells) for cells in made]
        (result,) = self.results_at([position])
        inputs = [Digest(*cells[1:4]) for cells in sent]
        return Detail(item, result, attempts, retry_at, submitted_at, inputs)

    def spelled_alike(self, key: str) -> Sequence[str]:
        """At most three keys that look the same: equal to `key` in Unicode's normal form NFC."""
        with translated(self._tables.path):
            self._tables.connection.create_function("composed", 1, _composed, deterministic=True)
        return [found for (found,) in self._tables.rows(sql.KEYS_COMPOSED, (_composed(key),))]

    def closest(self, key: str) -> Sequence[str]:
        """At most three keys that `key` may have been meant for, best first."""
        within = [found for (found,) in self._tables.rows(sql.KEYS_WITH, {"key": key})]
        if within:
            return within
        about = self._tables.rows(sql.KEYS_ABOUT, (len(key), _CANDIDATES))
        return difflib.get_close_matches(key, [found for (found,) in about])

    def span(self, since: float) -> Span:
        """When the work was done, and how many items were finished since `since`."""
        return Span(*self._tables.rows(sql.SPAN, (since,))[0])

    def begun(self, since: float) -> float | None:
        """When, since then, the first attempt began at what is finished now; None: none did."""
        ((at,),) = self._tables.rows(sql.BEGUN, {"since": since})
        return None if at is None else float(at)

    def finished(self, since: float, until: float, slices: int) -> Sequence[int]:
        """How many items were finished in each of so many equal slices of that time."""
        length = (until - since) / slices
        if length <= 0:
            return [0] * slices
        asked = {"since": since, "length": length, "slices": slices}
        found = dict(self._tables.rows(sql.FINISHED_IN, asked))
        return [found.get(each, 0) for each in range(slices)]


def _composed(key: str) -> str:
    return key if key.isascii() else normalize("NFC", key)
