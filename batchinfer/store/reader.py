"""A run as status, show and export read it: without the lock, beside a run that is going on.

Rules: nothing is written; results are read page by page, each page a short look of its own, so that
a slow export never keeps the database's log from being emptied. Each row is whole and true when its
page is read; what is recorded behind it later is not in this export. Memory does not know how long
the run is.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

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
    Outcome,
    Reply,
    Result,
    State,
)
from batchinfer.ports import Adjusted
from batchinfer.store import statements as sql
from batchinfer.store import verbs
from batchinfer.store.codec import decode, decode_files, encode, rows
from batchinfer.store.database import (
    DATABASE,
    open_to_read,
    read_adjustments,
    read_help,
    read_info,
    read_reading,
    translated,
    version_of,
)
from batchinfer.store.schema import SESSIONS_SINCE

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


class RunReader:
    """Reads the run in `directory`. A context manager; one thread at a time.

    Raises RunCorrupt when there is no run that this version can read, StoreError when the disk
    fails.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / DATABASE
        self._db = open_to_read(directory)
        with self._translated_or_closed():
            self.info, self.source_is_read = read_info(self._db)

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
        `store.database` keeps it.
        """  # noqa: D205 - one thought
        with translated(self._path):
            return read_reading(self._db)

    def adjustments(self, limit: int) -> Sequence[Adjusted]:
        """How the limit moved of late, oldest first, so many at most."""
        with translated(self._path):
            return read_adjustments(self._db, limit)

    def counts(self) -> Counts:
        """Items by state."""
        with translated(self._path):
            return verbs.counts(self._db)

    def failures(self) -> Sequence[FailureGroup]:
        """Failed items by code, most frequent first."""
        return [FailureGroup(*row[:4]) for row in self._rows(sql.FAILURES)]

    def results(self, state: State | Literal["finished"] | None = None) -> Iterator[Result]:
        """Results in input order: of items in `state`, of all that are finished, or of all."""
        chosen = sql.RESULTS[state]
        after = 0
        while page := self._page(chosen, after):
            for row in page:
                yield _result(row)
            after = page[-1][0]

    def dossiers(self, state: State | None = None) -> Iterator[Dossier]:
        """As `results`, with everything else that is known of each item."""
        after = 0
        while page := self._page(sql.DOSSIERS[state], after):
            for row in page:
                yield _dossier(row)
            after = page[-1][0]

    def results_at(self, positions: Collection[int]) -> Sequence[Result]:
        """Results of the items at `positions`, in that order; unknown ones are left out."""
        found = {row[0]: row for row in self._rows(sql.RESULTS_AT, (encode(list(positions)),))}
        return [_result(found[position]) for position in positions if position in found]

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
                    yield _result(row)
                if left < 0:
                    return

    def final(self, positions: Collection[int]) -> frozenset[int]:
        """Those of `positions` whose items have a final outcome."""
        return frozenset(row[0] for row in self._rows(sql.FINAL_AT, (encode(list(positions)),)))

    def item(self, key: str) -> Detail | None:
        """Everything about one item; None when there is no such key."""
        found = self._rows(sql.ITEM_OF, (key,))
        if not found:
            return None
        ((row, retry_at, submitted_at),) = found
        item = verbs.as_item(rows(row))
        attempts = [_attempt(row) for row in self._rows(sql.ATTEMPTS_OF, (item.position,))]
        (result,) = self.results_at([item.position])
        inputs = [Digest(*row) for row in self._rows(sql.INPUTS_OF, {"position": item.position})]
        return Detail(item, result, attempts, retry_at, submitted_at, inputs)

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

    def sessions(self) -> Sequence[tuple[float, float]]:
        """From when to when processes were at work, in seconds since the epoch, oldest first.

        Versions before 5 kept none.
        """
        with translated(self._path):
            if version_of(self._db) < SESSIONS_SINCE:
                return []
        return [(row[2], max(row[2], row[3])) for row in self._rows(sql.SESSIONS)]

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
            return self._db.execute(statement, asked).fetchall()

    def _page(self, statement: str, after: int) -> list[Any]:
        """A page of rows: few, if they are large."""
        page: list[Any] = []
        size = 0
        with translated(self._path):
            cursor = self._db.execute(statement, (after, _PAGE))
            for row in cursor:
                page.append(row)
                size += sum([len(cell) for cell in row if isinstance(cell, str)])
                if size > _PAGE_SIZE:
                    break
            cursor.close()
        return page

    @contextmanager
    def _translated_or_closed(self) -> Iterator[None]:
        try:
            with translated(self._path):
                yield
        except BaseException:
            self._db.close()
            raise


def _result(row: Sequence[Any]) -> Result:
    """A row of the view `results`, whose columns are a position and the fields of `Result`."""
    _, key, state, prediction, media_type, code, message, attempts, seconds, *rest = row
    started_at, finished_at, path, params = rest
    return Result(
        key=key,
        state=State(state),
        prediction=None if prediction is None else decode(prediction),
        media_type=media_type,
        code=code,
        message=message,
        attempts=attempts,
        seconds=seconds,
        started_at=started_at,
        finished_at=finished_at,
        path=path,
        params=decode(params),
    )


def _dossier(row: Sequence[Any]) -> Dossier:
    *result, files, attempt, log, server_seconds, inputs = row
    sent = {digest.param: digest for digest in [Digest(*cells) for cells in rows(inputs)]}
    return Dossier(
        position=row[0],
        result=_result(result),
        files=tuple([_as_sent(file, sent.get(file.param)) for file in decode_files(files)]),
        attempt=attempt,
        log=log or "",
        server_seconds=server_seconds,
        sha256={param: digest.sha256 for param, digest in sent.items()},
    )


def _as_sent(file: InputFile, sent: Digest | None) -> InputFile:
    """The file with the size that was sent: the source may not have known one."""
    return file if sent is None or sent.size == file.size else replace(file, size=sent.size)


def _attempt(row: Sequence[Any]) -> Attempt:
    number, started_at, seconds, code, message, kind, retry_after, log, server_seconds, sent = row
    outcome: Outcome = Reply(log=log, server_seconds=server_seconds)
    if code is not None:
        outcome = Failure(code, message, Kind(kind), retry_after, log)
    return Attempt(number, started_at, seconds, outcome, None if sent is None else decode(sent))
