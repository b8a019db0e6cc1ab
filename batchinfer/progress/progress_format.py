"""How progress is put into words: numbers, durations, rates, failures. Pure.

Whatever came from outside (keys, codes, messages) goes through `printable` before it reaches a
terminal: a file name may hold an escape sequence, and a model's message certainly will.
"""

from __future__ import annotations

from collections.abc import Mapping

from batchinfer.domain import Failure, Record, State
from batchinfer.ports import LimitChanged, OutageOngoing, Progress
from batchinfer.progress.remaining_time import RemainingTime
from batchinfer.text_format import escape_unprintable, format_duration

_MAX_LINE_MESSAGE_CHARS = 300
"""Signs of a message that a line shows; `show` has the whole."""
_WHOLE_MINUTES_FROM_SECONDS = 600.0
"""Seconds from which on an estimate has no use for seconds."""
_MIN_RANGE_SECONDS = 30.0
"""Seconds that a range must span to be worth its place."""


def format_rate(per_second: float) -> str:
    """In the unit that gives a number worth reading: "42/s", "4.2/s", "12/min", "3/h"."""
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h")):
        amount = per_second * factor
        if amount >= 10:  # noqa: PLR2004 - from two digits on, no decimals
            return f"{amount:,.0f}/{unit}"
        if amount >= 1:
            return f"{amount:.1f}/{unit}"
    return "less than 1/h" if per_second > 0 else "0/s"


def format_codes(failures: Mapping[str, int], max_codes: int = 3) -> str:
    """The most frequent codes: "model_error 9, timeout 3, 2 more codes"."""
    ranked = sorted(failures.items(), key=lambda each: (-each[1], each[0]))
    parts = [f"{escape_unprintable(code)} {count:,}" for code, count in ranked[:max_codes]]
    if more := len(ranked) - max_codes:
        parts += [f"{more} more code{'s' * (more > 1)}"] if more > 0 else []
    return ", ".join(parts)


def format_done(progress: Progress) -> str:
    """How much is done: "812/10,000   8%", or "812 of 2,000 found so far"."""
    counts = progress.counts
    if progress.is_watching:
        open_count = counts.total - counts.finished
        return f"watching: {counts.finished:,} done" + f", {open_count:,} to do" * (open_count > 0)
    if not progress.is_source_complete:
        return f"{counts.finished:,} of {counts.total:,} found so far"
    share = counts.finished / counts.total if counts.total else 1.0
    # Rounded down: 100% means all of them.
    return f"{counts.finished:,}/{counts.total:,} {int(share * 100):3d}%"


def format_progress(
    progress: Progress,
    per_second: float | None = None,
    eta: float | None = None,
    estimate: RemainingTime | None = None,
    *,
    wait_text: str = "",
    columns: int | None = None,
) -> str:
    """How it goes: "4.2/s, 31m to 42m left, 8/16 in flight, ~6 serving, 12 failed: timeout 12".

    `wait`: what is waited for, which comes first. Where there are so few `columns`, the least
    important parts are left out; how many failed is left out last.
    """
    counts, in_flight = progress.counts, progress.in_flight
    limit = "" if progress.limit is None else f"/{progress.limit:,}"
    parts = {
        "wait": wait_text,
        "rate": "paused"
        if progress.paused
        else ""
        if per_second is None
        else format_rate(per_second),
        "left": format_time_left(eta, estimate),
        # The limit is of what is submitted, where anything is.
        "submitted": f"{counts.submitted:,}{limit} submitted" if counts.submitted else "",
        "flight": f"{in_flight:,}{'' if counts.submitted else limit} in flight" * bool(in_flight),
        "serving": ""
        if progress.estimated_servers is None
        else f"~{progress.estimated_servers:.0f} serving",
        "failed": f"{counts.failed:,} failed" if counts.failed else "",
        "codes": f": {format_codes(progress.failed_by_code)}"
        if counts.failed and progress.failed_by_code
        else "",
    }
    while columns is not None and len(_join_parts(parts)) > columns and len(parts) > 1:
        del parts[next(name for name in _PARTS_BY_IMPORTANCE if name in parts)]
    return _join_parts(parts)


_PARTS_BY_IMPORTANCE = ("serving", "codes", "flight", "submitted", "rate", "left", "wait")
"""Parts of a line by their worth where there is no place for all, the least first."""


def _join_parts(parts: Mapping[str, str]) -> str:
    shown = [text for name, text in parts.items() if text and name != "codes"]
    return ", ".join(shown) + parts.get("codes", "")


def format_time_left(eta: float | None, estimate: RemainingTime | None) -> str:
    """How long the rest will take: as a range where that tells more than "ETA 45s"."""
    if estimate is not None and estimate.high - estimate.low >= _MIN_RANGE_SECONDS:
        return f"{format_range(estimate)} left"
    return "" if eta is None else f"ETA {format_duration(eta)}"


def format_range(estimate: RemainingTime) -> str:
    """The range: "1h 05m to 1h 30m"."""
    low, high = _format_rounded(estimate.low), _format_rounded(estimate.high)
    return low if low == high else f"{low} to {high}"


def format_limit_change(event: LimitChanged) -> str:
    """One line for a limit that has moved."""
    return f"concurrency {event.was:,} -> {event.value:,}: {escape_unprintable(event.reason)}"


def format_outage(event: OutageOngoing) -> str:
    """What is waited for: "warming up 45s of at most 15m 00s"."""
    waited = f"{format_wait_reason(event.code)} {format_duration(event.seconds)}"
    return waited if event.limit is None else f"{waited} of at most {format_duration(event.limit)}"


def format_wait_reason(code: str) -> str:
    """The name of a wait."""
    return "warming up" if code == "cold_start" else f"waiting ({escape_unprintable(code)})"


def format_failure(record: Record) -> str | None:
    """One line for a failed attempt; None when it did not fail."""
    outcome = record.attempt.outcome
    if not isinstance(outcome, Failure):
        return None
    where = record.key or f"item {record.position}"
    what = "failed" if record.state is State.FAILED else "will be tried again"
    return (
        f"{escape_unprintable(where)}: {what}: {escape_unprintable(outcome.code)}: "
        f"{clip_message(outcome.message)}"
    )


def clip_message(message: str) -> str:
    """As much of a message as a line bears."""
    shown = escape_unprintable(message.strip())
    return (
        shown
        if len(shown) <= _MAX_LINE_MESSAGE_CHARS
        else f"{shown[: _MAX_LINE_MESSAGE_CHARS - 3]}..."
    )


def _format_rounded(seconds: float) -> str:
    if seconds < _WHOLE_MINUTES_FROM_SECONDS:
        return format_duration(seconds)
    return format_duration(round(seconds / 60) * 60).removesuffix(" 00s")
