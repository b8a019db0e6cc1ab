"""A run in one line, and as the small table that a notebook shows. Nothing here raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from html import escape
from pathlib import Path

from batchinfer.api.run_status import Status, status
from batchinfer.domain import Mode
from batchinfer.errors import BatchInferError
from batchinfer.exports.safe_endpoint import safe_host_and_name
from batchinfer.progress import format_rate
from batchinfer.store.run_reader import RunReader
from batchinfer.text_format import escape_unprintable, format_duration

_MAX_CODES = 10
"""Codes of failures that the table shows."""


def describe_run(directory: Path) -> str:
    """One line: where the run is, and where it stands."""
    try:
        current = status(directory)
    except (BatchInferError, OSError) as error:
        return f"<Run {str(directory)!r}: {error}>"
    counts = current.counts
    parts = [f"{counts.finished:,} of {_format_total(current)} done"]
    if counts.failed:
        parts.append(f"{counts.failed:,} failed")
    return f"<Run {str(directory)!r}: {', '.join(parts)}, {current.mode} mode>"


def run_to_html(directory: Path) -> str:
    """A table: counts, service, speed, failures by code. All text is escaped; it has no secret."""
    try:
        rows = list(_iter_rows(directory))
    except (BatchInferError, OSError) as error:
        rows = [("run", str(directory)), ("error", str(error))]
    cells = "".join(
        f'<tr><th style="text-align:left">{_to_html(name)}</th>'
        f'<td style="text-align:left">{_to_html(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table>{cells}</table>"


def _iter_rows(directory: Path) -> Iterator[tuple[str, str]]:
    current = status(directory)
    counts = current.counts
    with RunReader(directory) as reader:
        service, active_seconds = (
            _describe_service(reader.info.config, current.mode),
            reader.sum_active_seconds(),
        )
    yield "run", str(directory)
    yield "service", f"{service} ({current.mode} mode)" if service else f"{current.mode} mode"
    yield "done", f"{counts.finished:,} of {_format_total(current)}"
    yield "succeeded", f"{counts.succeeded:,}"
    yield "failed", f"{counts.failed:,}"
    if counts.submitted:
        yield "submitted", f"{counts.submitted:,}"
    yield "pending", f"{counts.pending:,}"
    if current.started_at is not None:
        yield "started", _format_local_time(current.started_at)
    if active_seconds:
        yield "time at work", format_duration(active_seconds)
    if speed := _describe_speed(current, active_seconds):
        yield "speed", speed
    for group in current.failures[:_MAX_CODES]:
        yield f"failed: {group.code}", f"{group.count:,}"
    if len(current.failures) > _MAX_CODES:
        yield "failed: other codes", f"{sum(g.count for g in current.failures[_MAX_CODES:]):,}"


def _describe_speed(current: Status, active_seconds: float | None) -> str:
    if current.rate:
        return f"{format_rate(current.rate)} (last minute)"
    if active_seconds and current.counts.finished:
        return f"{format_rate(current.counts.finished / active_seconds)} (mean)"
    return ""


def _describe_service(config: Mapping[str, object], mode: Mode) -> str:
    """Host and name of the service or the bucket's store; "" where they could hold a secret."""
    section = config.get("service" if mode is Mode.SYNC else "bucket")
    endpoint = section.get("endpoint") if isinstance(section, Mapping) else None
    return " ".join(filter(None, safe_host_and_name(str(endpoint)))) if endpoint else ""


def _format_total(current: Status) -> str:
    return f"{current.counts.total:,}" + ("" if current.complete else " found so far")


def _format_local_time(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment).astimezone().isoformat(" ", "seconds")
    except (OverflowError, OSError, ValueError):
        return "unknown"


def _to_html(text: str) -> str:
    return escape(escape_unprintable(text))
