"""What stands on the page, as its template asks for it: sentences, charts, lists. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchinfer._version import __version__
from batchinfer.domain import RunInfo, State
from batchinfer.ports import LimitChanged
from batchinfer.protocols.registry import find_run_protocol
from batchinfer.report import charts, sentences
from batchinfer.report.aggregates import Timeline
from batchinfer.report.formatting import (
    clip,
    command_line,
    format_rate,
    format_seconds,
    format_time,
)
from batchinfer.report.item_cards import format_label
from batchinfer.report.run_statistics import RunStatistics
from batchinfer.text_format import format_count

MAX_CHARTED_CLASSES: Final = 30
"""Classes that are charted one by one."""

_STATE_STYLES: Final = {
    State.SUCCEEDED: "ok",
    State.FAILED: "bad",
    State.SUBMITTED: "flying",
    State.PENDING: "open",
}


@dataclass(frozen=True, slots=True)
class ReportInfo:
    """The run, and what of it is shown."""

    title: str
    run_path: str
    """Its directory, as the user named it."""
    noun: str
    """What its items are, in the plural."""
    shown_count: int
    complete: bool
    is_running: bool
    info: RunInfo
    help: str | None
    format_sentences: Sequence[str]
    """How its predictions were read, in sentences."""
    adjustments: Sequence[LimitChanged]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class, and how often it was found."""

    label: str
    """As the page's script compares it."""
    name: str
    count: str
    items: str
    width: float
    """Of its bar, in percent."""
    others: bool = False


def build_context(statistics: RunStatistics, report: ReportInfo) -> Mapping[str, Any]:
    """Everything the template names, but for data, style and script."""
    resume = command_line("resume", report.run_path)
    open_ = (
        statistics.item_count
        - statistics.state_counts[State.SUCCEEDED]
        - statistics.state_counts[State.FAILED]
    )
    most = max((slow.seconds for slow in statistics.slowest), default=0) or 1
    scored = charts.chart_scores(statistics.score_histogram)
    return {
        "version": __version__,
        "title": report.title,
        "made": format_time(time.time()),
        "outcome": sentences.describe_outcome(
            statistics, report.noun, complete=report.complete, is_running=report.is_running
        ),
        "states": _state_rows(statistics),
        "tiles": _summary_tiles(statistics),
        "facts": _fact_rows(statistics, report),
        "next": resume if (open_ or not report.complete) and not report.is_running else "",
        "resume": resume,
        "kinds": sentences.describe_kinds(statistics),
        "read_as": [
            clip(sentence, 600)
            for sentence in (*report.format_sentences, *sentences.describe_undrawn(statistics))
        ],
        "labels": rank_classes(statistics),
        "labelled": "Most probable class"
        if statistics.kind_counts["classes"] > statistics.kind_counts["detections"]
        else "Classes found",
        "counted": "in "
        f"{statistics.label_counts.findings.total() + statistics.label_counts.uncounted:,} "
        "findings",
        "scores": scored,
        "sample": sentences.describe_sample(report.shown_count, statistics.item_count),
        "failures": _failure_rows(statistics, report),
        "over_time": _timeline_charts(statistics, report),
        "when": _describe_timeline(statistics.timeline),
        "durations": _duration_charts(statistics),
        "durations_lead": sentences.explain_durations(statistics),
        "quantiles": _quantile_rows(statistics),
        "slowest": [
            {
                "position": slow.position,
                "key": slow.key,
                "seconds": format_seconds(slow.seconds),
                "width": round(slow.seconds / most * 100, 2),
                "server": round(min(slow.server_seconds or 0, slow.seconds) / most * 100, 2),
            }
            for slow in statistics.slowest
        ],
    }


def rank_classes(statistics: RunStatistics) -> Sequence[ClassRow]:
    """The most frequent classes, and all others as one."""
    top = statistics.label_counts.most_common(MAX_CHARTED_CLASSES)
    most = max((found for _, found, _ in top), default=1)
    listed = [
        ClassRow(
            label=format_label(name),
            name=format_label(name) or "(no name)",
            count=f"{found:,}",
            items=f"{items:,}" if items != found else "",
            width=round(found / most * 100, 2),
        )
        for name, found, items in top
    ]
    others = (
        statistics.label_counts.findings.total()
        + statistics.label_counts.uncounted
        - sum(found for _, found, _ in top)
    )
    if others:
        more = len(statistics.label_counts.findings) - len(top)
        name = format_count(more, "other class", "other classes")
        name += " and more" * bool(statistics.label_counts.uncounted)
        width = round(min(others / most, 1) * 100, 2)
        listed.append(ClassRow("", name, f"{others:,}", "", width, others=True))
    return listed


def _state_rows(statistics: RunStatistics) -> Sequence[Mapping[str, Any]]:
    x, states = 0.0, []
    for state, kind in _STATE_STYLES.items():
        if (count := statistics.state_counts[state]) or state is State.SUCCEEDED:
            width = count / (statistics.item_count or 1) * 100
            named = {"count": f"{count:,}", "name": state.value, "kind": kind}
            states.append({**named, "x": round(x, 3), "width": round(width, 3)})
            x += width
    return states


def _summary_tiles(statistics: RunStatistics) -> Sequence[tuple[str, str]]:
    tiles: list[tuple[str, str]] = []
    found = statistics.label_counts.findings.total() + statistics.label_counts.uncounted
    if found and statistics.kind_counts["detections"] >= statistics.kind_counts["classes"]:
        tiles.append((f"{found:,}", "found"))
    if statistics.total_seconds.count:
        tiles.append(
            (format_seconds(statistics.total_seconds.quantile(0.5)), "per prediction, half within")
        )
        if statistics.server_seconds.count:
            tiles.append(
                (
                    format_seconds(statistics.server_seconds.quantile(0.5)),
                    "in the model, half within",
                )
            )
    if statistics.attempt_count:
        worked = max(statistics.work_time.seconds, 0.001)
        amount, _, unit = format_rate(statistics.state_counts[State.SUCCEEDED] / worked).partition(
            " "
        )
        if statistics.state_counts[State.SUCCEEDED]:
            tiles.append((amount, f"predictions {unit}"))
    return tiles


def _fact_rows(
    statistics: RunStatistics, report: ReportInfo
) -> Sequence[tuple[str, Sequence[str]]]:
    protocol = find_run_protocol(report.info)
    software = protocol.find_software(report.help or "") if protocol else None
    facts = [*sentences.list_run_facts(report.info, software)]
    line = statistics.timeline
    if statistics.attempt_count:
        facts.append(("Began", [format_time(line.first)]))
        facts.append(("Took", sentences.describe_duration(statistics)))
    if statistics.reused_counts:
        facts.append(("Reused", sentences.describe_reused(statistics)))
    return facts


def _failure_rows(statistics: RunStatistics, report: ReportInfo) -> Sequence[Mapping[str, Any]]:
    return [
        {
            "code": clip(group.code),
            "count": f"{group.count:,}",
            "key": clip(group.first_key),
            "position": group.first_position,
            "message": group.first_message,
            "retry": command_line("retry", report.run_path, "--code", group.code),
        }
        for group in sentences.rank_failures(statistics)
    ]


def _timeline_charts(statistics: RunStatistics, report: ReportInfo) -> Sequence[charts.Chart]:
    if not statistics.attempt_count:
        return []
    what = "Submitted and unfinished" if report.info.mode.uses_bucket else "In flight"
    drawn = [
        charts.chart_finished(statistics.timeline),
        charts.chart_in_flight(statistics.timeline, report.adjustments, what),
        charts.chart_retries(statistics.timeline),
    ]
    return [chart for chart in drawn if chart is not None]


def _describe_timeline(timeline: Timeline) -> str:
    return (
        f"From {format_time(timeline.first)} to {format_time(timeline.last)}, in slices of "
        f"{format_seconds(timeline.width)}."
    )


def _duration_charts(statistics: RunStatistics) -> Sequence[charts.Chart]:
    named = (
        ("Total", statistics.total_seconds, "total"),
        ("Model", statistics.server_seconds, "server"),
        ("Waiting", statistics.waiting_seconds, "waiting"),
    )
    until = charts.choose_axis_end([spread for _, spread, _ in named])
    return [
        charts.chart_durations(name, each, until, kind) for name, each, kind in named if each.count
    ]


def _quantile_rows(statistics: RunStatistics) -> Sequence[Sequence[str]]:
    named = (
        ("Total", statistics.total_seconds),
        ("Model", statistics.server_seconds),
        ("Waiting", statistics.waiting_seconds),
    )
    return [
        (
            name,
            *(format_seconds(each.quantile(share)) for share in (0.5, 0.9, 0.99)),
            format_seconds(each.maximum),
        )
        for name, each in named
        if each.count
    ]
