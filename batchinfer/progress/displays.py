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
from batchinfer.ports import Adjusted, Back, Clock, Event, Notice, Observer, Recorded, Waiting
from batchinfer.progress import text
from batchinfer.progress.tally import Summary, Tally
from batchinfer.progress.text import KeyOf


class Display(Observer, Protocol):
    """An observer that people or programs read."""

    def leave(self) -> None:
        """Leave the stream to others; how the run ended is not said."""

    def close(self, summary: Summary) -> None:
        """Say how it ended. Nothing is notified afterwards."""


class Quiet:
    """Says nothing."""

    def notify(self, event: Event) -> None:
        """See `Observer`."""

    def leave(self) -> None:
        """See `Display`."""

    def close(self, summary: Summary) -> None:
        """See `Display`."""


class Guarded:
    """A text stream that falls silent when nobody reads it any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self._open = True

    def write(self, text: str) -> int:
        """Write, replacing what the stream's encoding does not have."""
        if self._open:
            try:
                self._stream.write(
                    text.encode(self.encoding, "backslashreplace").decode(self.encoding)
                )
            except (OSError, ValueError):  # ValueError: the stream was closed
                self._open = False
        return len(text)

    def line(self, text: str) -> None:
        """Write a line that arrives now."""
        self.write(f"{text}\n")
        self.flush()

    def flush(self) -> None:
        """Flush."""
        if self._open:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._open = False

    def columns(self) -> int:
        """How many signs a line that is drawn again and again may have."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return (columns or 80) - 1  # one less: some terminals wrap a full line


class Lines:
    """A line now and then, for logs and for terminals that are none."""

    FIRST = 10.0
    EVERY = 30.0
    """Seconds until the first line of progress, and between two."""

    def __init__(
        self, stream: TextIO, *, clock: Clock, verbose: bool = False, key_of: KeyOf | None = None
    ) -> None:
        self._out = Guarded(stream)
        self._clock = clock
        self._verbose = verbose
        self._key_of = key_of
        self._tally = Tally(clock)
        self._due = clock() + self.FIRST
        self._waiting: Waiting | None = None
        self._codes: set[str] = set()

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        match event:
            case Recorded():
                self._recorded(event)
            case Waiting():
                self._waits(event)
            case Back(code, seconds):
                self._waiting = None
                self._out.line(f"{text.waited_for(code)}: over after {text.duration(seconds)}")
            case Notice():
                self._out.line(f"note: {text.shortened(event.message)}")
            case Adjusted():
                if self._verbose:
                    self._out.line(text.adjusted(event))

    def leave(self) -> None:
        """See `Display`."""

    def close(self, summary: Summary) -> None:
        """See `Display`."""
        self._out.line(closing(summary))

    def _recorded(self, event: Recorded) -> None:
        self._tally.note(event)
        self._failures(event)
        if self._is_due():
            tally = self._tally
            how = text.going(event.progress, tally.rate(), tally.eta(), tally.estimate())
            self._out.line(", ".join(filter(None, (text.done(event.progress), how))))

    def _failures(self, event: Recorded) -> None:
        if not self._verbose and event.progress.codes.keys() <= self._codes:
            return
        for record in event.records:
            outcome = record.attempt.outcome
            if not isinstance(outcome, Failure):
                continue
            first = record.state is State.FAILED and outcome.code not in self._codes
            if (first or self._verbose) and (line := text.failure(record, self._key_of)):
                self._out.line(line)
            if first:
                self._codes.add(outcome.code)

    def _waits(self, event: Waiting) -> None:
        if self._waiting is None or self._waiting.code != event.code:
            self._out.line(f"{text.waiting(event)}: {text.shortened(event.message)}")
        elif self._is_due():
            self._out.line(f"still {text.waiting(event)}")
        self._waiting = event

    def _is_due(self) -> bool:
        now = self._clock()
        if now < self._due:
            return False
        self._due = now + self.EVERY
        return True


class JsonLines:
    """One JSON object per line, for programs (`docs/scripting.md`); the last one is the summary."""

    EVERY = 1.0
    """Seconds between two lines of progress, or of the same wait, at least."""

    def __init__(
        self, stream: TextIO, *, clock: Clock, verbose: bool = False, key_of: KeyOf | None = None
    ) -> None:
        self._out = Guarded(stream)
        self._clock = clock
        self._verbose = verbose
        self._key_of = key_of
        self._tally = Tally(clock)
        self._due: dict[str, float] = {}
        self._adjusted: Adjusted | None = None
        """What has moved since the last line about it."""

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        match event:
            case Recorded():
                self._recorded(event)
            case Waiting() if self._is_due(f"waiting {event.code}"):
                self._say(
                    "waiting",
                    code=event.code,
                    message=event.message,
                    seconds=round(event.seconds, 1),
                    limit=event.limit,
                )
            case Waiting():
                pass
            case Back(code, seconds):
                self._say("back", code=code, seconds=round(seconds, 1))
            case Notice():
                self._say("notice", code=event.code, message=event.message)
            case Adjusted():
                before = self._adjusted or event
                self._adjusted = replace(event, was=before.was)
        self._limit()

    def leave(self) -> None:
        """See `Display`."""
        self._limit(now=True)

    def close(self, summary: Summary) -> None:
        """See `Display`."""
        self.leave()
        self._say("summary", **summary.as_json())

    def _recorded(self, event: Recorded) -> None:
        self._tally.note(event)
        if self._verbose:
            self._failures(event)
        if not self._is_due("progress"):
            return
        progress, rate, eta = event.progress, self._tally.rate(), self._tally.eta()
        range_ = self._tally.estimate()
        self._say(
            "progress",
            total=progress.counts.total,
            complete=progress.complete,
            pending=progress.counts.pending,
            submitted=progress.counts.submitted,
            succeeded=progress.counts.succeeded,
            failed=progress.counts.failed,
            in_flight=progress.in_flight,
            failures=dict(progress.codes),
            rate=None if rate is None else round(rate, 3),
            eta_seconds=None if eta is None else round(eta),
            eta_range=None if range_ is None else [round(range_.low), round(range_.high)],
            limit=progress.limit,
            serving=None if progress.serving is None else round(progress.serving, 1),
            paused=progress.paused,
        )

    def _limit(self, *, now: bool = False) -> None:
        """Tell how the limit has moved: steps within a second as one."""
        if self._adjusted is not None and (now or self._is_due("limit")):
            was, value, reason = self._adjusted.was, self._adjusted.value, self._adjusted.reason
            self._adjusted = None
            self._say("limit", was=was, value=value, reason=reason)

    def _failures(self, event: Recorded) -> None:
        for record in event.records:
            match record.attempt.outcome:
                case Failure(code=code, message=message):
                    self._say(
                        "failure",
                        position=record.position,
                        key=self._key_of(record.position) if self._key_of else None,
                        attempt=record.attempt.number,
                        final=record.state is State.FAILED,
                        code=code,
                        message=message,
                    )
                case _:
                    pass

    def _is_due(self, what: str) -> bool:
        now = self._clock()
        if now < self._due.get(what, now):
            return False
        self._due[what] = now + self.EVERY
        return True

    def _say(self, event: str, **fields: Json) -> None:
        self._out.line(json.dumps({"event": event, **fields}, default=dict))


def closing(summary: Summary) -> str:
    """The last line for people."""
    counts = summary.counts
    parts = [f"{counts.succeeded:,} succeeded"]
    if counts.failed:
        told = f" ({text.codes(summary.failures)})" if summary.failures else ""
        parts.append(f"{counts.failed:,} failed{told}")
    if counts.submitted:
        parts.append(f"{counts.submitted:,} submitted")
    if counts.pending:
        parts.append(f"{counts.pending:,} still to do")
    return f"{', '.join(parts)} of {counts.total:,} in {text.duration(summary.seconds)}"
