"""A run as status, show and export read it: without the lock, beside a run that is going on.

Rules: nothing is written; results are read page by page, each page a short look of its own, so that
a slow export never keeps the database's log from being emptied. Each row is whole and true when its
page is read; what is recorded behind it later is not in this export. Memory does not know how long
the run is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self
from unicodedata import normalize

from batchinfer.domain import (
    Attempt,
    Counts,
    InputFile,
    Item,
    Json,
    OpenItem,
    Result,
    ResultDetails,
    SentFile,
    State,
)
from batchinfer.ports import LimitChanged
from batchinfer.store import checksums, item_counts, work_queue
from batchinfer.store import sql_read as sql
from batchinfer.store.database import translate_errors
from batchinfer.store.json_codec import decode_files, decode_json, encode_json, parse_rows
from batchinfer.store.migrations import SESSIONS_MIN_VERSION
from batchinfer.store.row_checks import (
    DamageCollector,
    check_attempt_row,
    check_input_row,
    is_intact_reply,
    row_to_attempt,
    row_to_result,
    row_to_result_cells,
    row_to_result_details,
    take_result_cells,
)
from batchinfer.store.row_mapping import row_to_item
from batchinfer.store.run_metadata import read_interpretation, read_limit_changes, read_model_help
from batchinfer.store.sessions import SessionRecord, diff_params, sum_active_seconds
from batchinfer.store.table_reader import TableReader
from batchinfer.suggestions import find_similar

_MAX_CANDIDATE_KEYS: Final = 5_000
_MAX_SAMPLE_CHARS: Final = 64 * 2**20
"""Characters of predictions after which a sample of the run is large enough."""
_SAMPLE_STRIDE: Final = 16


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The failed items of one code, and the first of them as an example."""

    code: str
    count: int
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class ActivitySpan:
    """When the work was done, in seconds since the epoch."""

    started_at: float | None
    """Start of the first attempt."""
    finished_at: float | None
    """When the latest item got its final outcome."""
    recently_finished: int
    """Items that got theirs since the moment that was asked for."""


@dataclass(frozen=True, slots=True)
class Detail:
    """Everything about one item."""

    item: Item
    result: Result
    attempts: Sequence[Attempt]
    """With their logs, in order. The prediction is in `result`."""
    retry_at: float | None
    submitted_at: float | None
    inputs: Sequence[SentFile]
    """The files as they were sent by the attempt with the reply, else by the latest that sent
    any."""
    output_name: str | None = None
    """See `ResultDetails.output_name`."""


@dataclass(frozen=True, slots=True)
class WaitSummary:
    """What a run waits for."""

    items_backing_off: int = 0
    """Items whose next attempt is not due yet."""
    next_retry_at: float | None = None
    """When the first of them is, seconds since the epoch."""
    oldest_submitted_at: float | None = None
    """Async mode: when the oldest input without an outcome was submitted."""


class RunReader:
    """Reads the run in `directory`. A context manager; one thread at a time.

    Raises RunCorrupt when there is no run that this version can read, StoreError when the disk
    fails.
    """

    def __init__(self, directory: Path, damages: DamageCollector | None = None) -> None:
        """`damages`: where what does not match its checksum is noted; such rows are left out."""
        self.directory = directory
        self.damages = DamageCollector() if damages is None else damages
        self._tables = TableReader(directory, self.damages)
        self.info, self.is_source_complete = self._tables.info, self._tables.is_source_complete

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tables.close()

    def read_model_help(self) -> str | None:
        """The model's help, as the service answered; None when the run does not keep it."""
        with translate_errors(self._tables.path):
            return read_model_help(self._tables.connection)

    def read_interpretation(self) -> Json:
        """How predictions are read, as the run keeps it; None: not decided. `save_interpretation`
        of `store.run_metadata` keeps it.
        """  # noqa: D205 - one thought
        with translate_errors(self._tables.path):
            return read_interpretation(self._tables.connection)

    def read_limit_changes(self, limit: int) -> Sequence[LimitChanged]:
        """How the limit moved of late, oldest first, so many at most."""
        with translate_errors(self._tables.path):
            return read_limit_changes(self._tables.connection, limit)

    def read_sessions(self) -> Sequence[SessionRecord]:
        """The processes that worked at the run, in order; none of versions before 5 is known."""
        if self._tables.version < SESSIONS_MIN_VERSION:
            return ()
        config_params = self.info.config.get("params")
        run_params = config_params if isinstance(config_params, Mapping) else {}
        sessions = []
        for number, version, started_at, active_until, text, checksum in self._tables.fetch_all(
            sql.SELECT_SESSIONS
        ):
            if checksums.checksum_session(number, version, started_at, text) != checksum:
                self.damages.add(f"session {number}", "its checksum does not match")
                continue
            params = decode_json(text)
            changed = diff_params(params, run_params)
            sessions.append(
                SessionRecord(number, version, started_at, active_until, params, changed)
            )
        return sessions

    def sum_active_seconds(self, since: float = 0.0) -> float | None:
        """Seconds in which processes were at work since then; None: the run does not keep it."""
        sessions = self.read_sessions()
        return sum_active_seconds(sessions, since) if sessions else None

    def read_counts(self) -> Counts:
        """Items by state."""
        with translate_errors(self._tables.path):
            return item_counts.fetch_counts(self._tables.connection)

    def read_wait_summary(self, now: float) -> WaitSummary:
        """What the run waits for, as it is recorded."""
        ((backing_off, next_retry_at, oldest_submitted_at),) = self._tables.fetch_all(
            sql.SELECT_WAITS, {"now": now}
        )
        return WaitSummary(backing_off, next_retry_at, oldest_submitted_at)

    def read_failure_groups(self) -> Sequence[FailureGroup]:
        """Failed items by code, most frequent first."""
        return [
            FailureGroup(*row[:4]) for row in self._tables.fetch_all(sql.COUNT_FAILURES_BY_CODE)
        ]

    def count_results_by_service(self) -> Mapping[str, int]:
        """How many items each of several services answered; empty: there is one service."""
        if "services" not in self.info.config:  # as `Config.to_tables` keeps them
            return {}
        return dict(self._tables.fetch_all(sql.COUNT_RESULTS_BY_SERVICE))

    def iter_results(self, state: State | Literal["finished"] | None = None) -> Iterator[Result]:
        """Results in input order: of items in `state`, of all that are finished, or of all."""
        for row in self._tables.iter_rows(sql.SELECT_RESULTS_BY_STATE[state], state):
            if (result := self._tables.convert_row(row, row_to_result)) is not None:
                yield result

    def iter_result_rows(
        self, state: State | Literal["finished"] | None = None
    ) -> Iterator[Sequence[Any]]:
        """As `iter_results`, each as the cells of its fields, text as UTF-8 bytes, JSON as stored.

        The hot path of exports: what is intact is passed on as it is.
        """
        convert_row = self._tables.convert_row
        for page in self._tables.iter_pages(sql.SELECT_RESULTS_BY_STATE[state], state):
            all_cells = [
                take_result_cells(row)
                if is_intact_reply(row)
                else convert_row(row, row_to_result_cells)
                for row in page
            ]
            yield from filter(None, all_cells)

    def iter_result_details(
        self, state: State | Literal["finished"] | None = None
    ) -> Iterator[ResultDetails]:
        """As `iter_results`, with everything else that is known of each item."""
        for row in self._tables.iter_rows(sql.SELECT_DETAILS_BY_STATE[state], state):
            if (details := self._tables.convert_row(row, row_to_result_details)) is not None:
                yield details

    def iter_details_by_key(self) -> Iterator[tuple[bytes, ResultDetails | None]]:
        """Every item in the order of the keys, byte by byte, with its key as UTF-8.

        None: it is damaged, which is noted.
        """
        for row in self._tables.iter_rows_by_key(sql.SELECT_DETAILS_BY_KEY):
            yield row[1], self._tables.convert_row(row, row_to_result_details)

    def read_details_at(self, position: int) -> ResultDetails | None:
        """What is known of one item; None: there is none, or it is damaged, which is noted."""
        for row in self._tables.fetch_result_rows(sql.SELECT_DETAILS_AT, (position,)):
            return self._tables.convert_row(row, row_to_result_details)
        return None

    def read_results_at(self, positions: Collection[int]) -> Sequence[Result]:
        """Results of the items at `positions`, in that order; unknown ones are left out."""
        parameters = (encode_json(list(positions)),)
        row_by_position = {
            row[0]: row for row in self._tables.fetch_result_rows(sql.SELECT_RESULTS_AT, parameters)
        }
        results = [
            self._tables.convert_row(row_by_position[position], row_to_result)
            for position in positions
            if position in row_by_position
        ]
        return [result for result in results if result is not None]

    @property
    def format_version(self) -> int:
        """Of the run, as it was found."""
        return self._tables.version

    def fetch_page(self, statement: str, after: int, limit: int) -> Sequence[Sequence[Any]]:
        """A page of rows of a statement of the store's own, behind a position."""
        return self._tables.fetch_all(statement, (after, limit))

    def count_reused(self) -> int:
        """How many results were taken over from earlier runs."""
        ((count,),) = self._tables.fetch_all(sql.COUNT_REUSED)
        return int(count)

    def read_submissions(self, positions: Collection[int]) -> Mapping[int, OpenItem]:
        """What items of `positions`, finished ones too, have in the bucket, as it is recorded."""
        with translate_errors(self._tables.path):
            return work_queue.fetch_submissions(self._tables.connection, positions)

    def sample_files(self, min_pending: int, steps: int = 64) -> Sequence[InputFile]:
        """Files of some items, spread over the run: of pending ones, if there are `min_pending`."""
        parameters = {"steps": steps, "parts": encode_json(list(range(steps + 1)))}
        files_json = {
            row[0] for row in self._tables.fetch_all(sql.SAMPLE_PENDING_FILES, parameters)
        }
        if len(files_json) < min_pending:
            files_json = {row[0] for row in self._tables.fetch_all(sql.SAMPLE_FILES, parameters)}
        return [file for files in files_json for file in decode_files(files)]

    def sample_results(self, limit: int) -> Iterator[Result]:
        """Results whose predictions are data, at most so many, evenly spread over the run.

        Ends earlier when they are large; what came till then is spread evenly, too.
        """
        ((count,),) = self._tables.fetch_all(sql.COUNT_JSON_PREDICTIONS)
        positions = [
            row[0]
            for row in self._tables.fetch_all(
                sql.SELECT_EVERY_NTH_JSON_PREDICTION, (-(-count // limit) or 1,)
            )
        ]
        remaining_chars = _MAX_SAMPLE_CHARS
        for first in range(_SAMPLE_STRIDE):
            for position in positions[first::_SAMPLE_STRIDE]:
                for row in self._tables.fetch_result_rows(
                    sql.SELECT_RESULTS_AT, (encode_json([position]),)
                ):
                    remaining_chars -= len(row[3] or b"")
                    if (result := self._tables.convert_row(row, row_to_result)) is not None:
                        yield result
                if remaining_chars < 0:
                    return

    def read_item_detail(self, key: str) -> Detail | None:
        """Everything about one item; None when there is no such key."""
        item_rows = self._tables.fetch_all(sql.SELECT_ITEM_BY_KEY, (key,))
        if not item_rows:
            return None
        ((row, retry_at, submitted_at),) = item_rows
        position: Any = parse_rows(row)[0]
        output_name = None
        for details_row in self._tables.fetch_result_rows(sql.SELECT_DETAILS_AT, (position,)):
            details = self._tables.convert_row(details_row, row_to_result_details)
            output_name = None if details is None else details.output_name
        self.damages.raise_if_any()
        item = row_to_item(parse_rows(row))
        attempt_rows = self._tables.fetch_all(sql.SELECT_ATTEMPTS, (position,))
        input_rows = self._tables.fetch_all(sql.SELECT_INPUTS, {"position": position})
        for number, *cells in attempt_rows:
            check_attempt_row(self.damages, item.key, (position, number, *cells))
        for cells in input_rows:
            check_input_row(self.damages, item.key, (position, *cells))
        self.damages.raise_if_any()
        attempts = [row_to_attempt(cells) for cells in attempt_rows]
        (result,) = self.read_results_at([position])
        inputs = [SentFile(*cells[1:4]) for cells in input_rows]
        return Detail(item, result, attempts, retry_at, submitted_at, inputs, output_name)

    def find_keys_equal_in_nfc(self, key: str) -> Sequence[str]:
        """At most three keys that look the same: equal to `key` in Unicode's normal form NFC."""
        with translate_errors(self._tables.path):
            self._tables.connection.create_function("composed", 1, _to_nfc, deterministic=True)
        return [
            found
            for (found,) in self._tables.fetch_all(sql.SELECT_KEYS_EQUAL_IN_NFC, (_to_nfc(key),))
        ]

    def suggest_keys(self, key: str) -> Sequence[str]:
        """At most three keys that `key` may have been meant for, best first."""
        containing = [
            found for (found,) in self._tables.fetch_all(sql.SELECT_KEYS_CONTAINING, {"key": key})
        ]
        if containing:
            return containing
        candidates = self._tables.fetch_all(
            sql.SELECT_KEYS_BY_LENGTH, (len(key), _MAX_CANDIDATE_KEYS)
        )
        return find_similar(key, [found for (found,) in candidates], limit=3)

    def read_activity_span(self, since: float) -> ActivitySpan:
        """When the work was done, and how many items were finished since `since`."""
        return ActivitySpan(*self._tables.fetch_all(sql.SELECT_ACTIVITY_SPAN, (since,))[0])

    def find_first_start(self, since: float) -> float | None:
        """When, since then, the first attempt began at what is finished now; None: none did."""
        ((started_at,),) = self._tables.fetch_all(sql.SELECT_FIRST_START, {"since": since})
        return None if started_at is None else float(started_at)

    def count_finished_per_slice(self, since: float, until: float, slices: int) -> Sequence[int]:
        """How many items were finished in each of so many equal slices of that time."""
        length = (until - since) / slices
        if length <= 0:
            return [0] * slices
        parameters = {"since": since, "length": length, "slices": slices}
        count_by_slice = dict(self._tables.fetch_all(sql.COUNT_FINISHED_PER_SLICE, parameters))
        return [count_by_slice.get(each, 0) for each in range(slices)]


def _to_nfc(key: str) -> str:
    return key if key.isascii() else normalize("NFC", key)
