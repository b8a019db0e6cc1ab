"""The displays that need no terminal: plain lines, JSON lines, nothing.

Each is an Observer that is closed with a summary in the end. None ever raises for want of somebody
who reads: a run must not end because a pipe or a terminal was closed.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Protocol, TextIO

from batchinfer.domain import Failure, Json, State
from batchinfer.ports import (
    Clock,
    Committed,
    Event,
    LimitChanged,
    Notice,
    Observer,
    OutageEnded,
    OutageOngoing,
)
from batchinfer.progress import progress_format
from batchinfer.progress.progress_state import ProgressState, Summary
from batchinfer.text_format import format_duration


class Display(Observer, Protocol):
    """An observer that people or programs read."""

    def release_stream(self) -> None:
        """Leave the stream to others; how the run ended is not said."""

    def close(self, summary: Summary) -> None:
        """Say how it ended. Nothing is notified afterwards."""


class QuietDisplay:
    """Says nothing."""

    def notify(self, event: Event) -> None:
        """See `Observer`."""

    def release_stream(self) -> None:
        """See `Display`."""

    def close(self, summary: Summary) -> None:
        """See `Display`."""


class SafeStream:
    """A text stream that falls silent when nobody reads it any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self._is_open = True

    def write(self, text: str) -> int:
        """Write, replacing what the stream's encoding does not have."""
        if self._is_open:
            try:
                self._stream.write(
                    text.encode(self.encoding, "backslashreplace").decode(self.encoding)
                )
            except (OSError, ValueError):  # ValueError: the stream was closed
                self._is_open = False
        return len(text)

    def write_line(self, text: str) -> None:
        """Write a line that arrives now."""
        self.write(f"{text}\n")
        self.flush()

    def flush(self) -> None:
        """Flush."""
        if self._is_open:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._is_open = False

    def get_columns(self) -> int:
        """How many signs a line that is drawn again and again may have."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return (columns or 80) - 1  # one less: some terminals wrap a full line


class LogDisplay:
    """A line now and then, for logs and for terminals that are none."""

    FIRST_LINE_AFTER = 10.0
    LINE_INTERVAL = 30.0
    """Seconds until the first line of progress, and between two."""

    def __init__(
        self,
        stream: TextIO,
        *,
        clock: Clock,
        verbose: bool = False,
    ) -> None:
        self._out = SafeStream(stream)
        self._clock = clock
        self._verbose = verbose
        self._state = ProgressState(clock)
        self._next_line_at = clock() + self.FIRST_LINE_AFTER
        self._outage: OutageOngoing | None = None
        self._reported_codes: set[str] = set()

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        match event:
            case Committed():
                self._on_commit(event)
            case OutageOngoing():
                self._on_outage(event)
            case OutageEnded(code, seconds):
                self._outage = None
                self._out.write_line(
                    f"{progress_format.format_wait_reason(code)}: over after "
                    f"{format_duration(seconds)}"
                )
            case Notice():
                self._out.write_line(f"note: {progress_format.clip_message(event.message)}")
            case LimitChanged():
                if self._verbose:
                    self._out.write_line(progress_format.format_limit_change(event))

    def release_stream(self) -> None:
        """See `Display`."""

    def close(self, summary: Summary) -> None:
        """See `Display`."""
        self._out.write_line(format_summary(summary))

    def _on_commit(self, event: Committed) -> None:
        self._state.update(event)
        self._write_failures(event)
        if self._is_due():
            state = self._state
            details = progress_format.format_progress(
                event.progress,
                state.compute_rate(),
                state.compute_eta(),
                state.estimate_remaining_time(),
            )
            self._out.write_line(
                ", ".join(filter(None, (progress_format.format_done(event.progress), details)))
            )

    def _write_failures(self, event: Committed) -> None:
        if not self._verbose and event.progress.failed_by_code.keys() <= self._reported_codes:
            return
        for record in event.records:
            outcome = record.attempt.outcome
            if not isinstance(outcome, Failure):
                continue
            first = record.state is State.FAILED and outcome.code not in self._reported_codes
            if (first or self._verbose) and (line := progress_format.format_failure(record)):
                self._out.write_line(line)
            if first:
                self._reported_codes.add(outcome.code)

    def _on_outage(self, event: OutageOngoing) -> None:
        if self._outage is None or self._outage.code != event.code:
            self._out.write_line(
                f"{progress_format.format_outage(event)}: "
                f"{progress_format.clip_message(event.message)}"
            )
        elif self._is_due():
            self._out.write_line(f"still {progress_format.format_outage(event)}")
        self._outage = event

    def _is_due(self) -> bool:
        now = self._clock()
        if now < self._next_line_at:
            return False
        self._next_line_at = now + self.LINE_INTERVAL
        return True


class JsonDisplay:
    """One JSON object per line, for programs (`docs/reference/scripting.md`).

    The last one is the summary.
    """

    EVENT_INTERVAL = 1.0
    """Seconds between two lines of progress, or of the same wait, at least."""

    def __init__(
        self,
        stream: TextIO,
        *,
        clock: Clock,
        verbose: bool = False,
    ) -> None:
        self._out = SafeStream(stream)
        self._clock = clock
        self._verbose = verbose
        self._state = ProgressState(clock)
        self._next_event_at: dict[str, float] = {}
        self._unreported_change: LimitChanged | None = None
        """What has moved since the last line about it."""

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        match event:
            case Committed():
                self._on_commit(event)
            case OutageOngoing() if self._is_due(f"waiting {event.code}"):
                self._write_event(
                    "waiting",
                    code=event.code,
                    message=event.message,
                    seconds=round(event.seconds, 1),
                    limit=event.limit,
                )
            case OutageOngoing():
                pass
            case OutageEnded(code, seconds):
                self._write_event("back", code=code, seconds=round(seconds, 1))
            case Notice():
                self._write_event("notice", code=event.code, message=event.message)
            case LimitChanged():
                first_change = self._unreported_change or event
                self._unreported_change = replace(event, was=first_change.was)
        self._write_limit_change()

    def release_stream(self) -> None:
        """See `Display`."""
        self._write_limit_change(force=True)

    def close(self, summary: Summary) -> None:
        """See `Display`."""
        self.release_stream()
        self._write_event("summary", **summary.as_json())

    def _on_commit(self, event: Committed) -> None:
        self._state.update(event)
        if self._verbose:
            self._write_failures(event)
        if not self._is_due("progress"):
            return
        progress, rate, eta = event.progress, self._state.compute_rate(), self._state.compute_eta()
        eta_range = self._state.estimate_remaining_time()
        self._write_event(
            "progress",
            total=progress.counts.total,
            complete=progress.is_source_complete,
            pending=progress.counts.pending,
            submitted=progress.counts.submitted,
            succeeded=progress.counts.succeeded,
            failed=progress.counts.failed,
            in_flight=progress.in_flight,
            failures=dict(progress.failed_by_code),
            rate=None if rate is None else round(rate, 3),
            eta_seconds=None if eta is None else round(eta),
            eta_range=None if eta_range is None else [round(eta_range.low), round(eta_range.high)],
            limit=progress.limit,
            serving=None
            if progress.estimated_servers is None
            else round(progress.estimated_servers, 1),
            paused=progress.paused,
            watching=progress.is_watching,
        )

    def _write_limit_change(self, *, force: bool = False) -> None:
        """Tell how the limit has moved: steps within a second as one."""
        if self._unreported_change is not None and (force or self._is_due("limit")):
            was, value, reason = (
                self._unreported_change.was,
                self._unreported_change.value,
                self._unreported_change.reason,
            )
            self._unreported_change = None
            self._write_event("limit", was=was, value=value, reason=reason)

    def _write_failures(self, event: Committed) -> None:
        for record in event.records:
            match record.attempt.outcome:
                case Failure(code=code, message=message):
                    self._write_event(
                        "failure",
                        position=record.position,
                        key=record.key or None,
                        attempt=record.attempt.number,
                        final=record.state is State.FAILED,
                        code=code,
                        message=message,
                    )
                case _:
                    pass

    def _is_due(self, event_name: str) -> bool:
        now = self._clock()
        if now < self._next_event_at.get(event_name, now):
            return False
        self._next_event_at[event_name] = now + self.EVENT_INTERVAL
        return True

    def _write_event(self, event: str, **fields: Json) -> None:
        self._out.write_line(json.dumps({"event": event, **fields}, default=dict))


def format_summary(summary: Summary) -> str:
    """The last line for people."""
    counts = summary.counts
    reused = f" ({summary.reused:,} of them reused)" if summary.reused else ""
    parts = [f"{counts.succeeded:,} succeeded{reused}"]
    if counts.failed:
        codes = f" ({progress_format.format_codes(summary.failures)})" if summary.failures else ""
        parts.append(f"{counts.failed:,} failed{codes}")
    if counts.submitted:
        parts.append(f"{counts.submitted:,} submitted")
    if counts.pending:
        parts.append(f"{counts.pending:,} still to do")
    return f"{', '.join(parts)} of {counts.total:,} in {format_duration(summary.seconds)}"
