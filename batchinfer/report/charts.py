"""Figures as shapes: numbers become places in a box of 0 to 100, which the page stretches. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from batchinfer.ports import LimitChanged
from batchinfer.report.aggregates import QuantileSketch, ScoreHistogram, Timeline
from batchinfer.report.formatting import format_seconds, format_tick
from batchinfer.text_format import format_count

_HISTOGRAM_BARS = 40


@dataclass(frozen=True, slots=True)
class ChartBar:
    """A rectangle; all in parts of 100, from the upper left."""

    x: float
    y: float
    width: float
    height: float
    kind: str = ""
    """What it stands for: the class of its colour."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One small picture of numbers, with the numbers."""

    title: str
    unit: str
    highest: str
    """What the upper edge stands for."""
    ticks: Sequence[str]
    """Under it, from left to right."""
    bars: Sequence[ChartBar] = ()
    area: str = ""
    """A filled outline: the points of a polygon."""
    line: str = ""
    """The points of a line."""
    legend: Sequence[tuple[str, str]] = ()
    """Kind, and what it stands for."""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    """The same as a table."""
    summary: str = ""
    """The same in a sentence."""


def chart_finished(timeline: Timeline) -> Chart:
    """Items finished in each slice, as a rate."""
    factor, unit = (1, "second") if timeline.width < 60 else (60, "minute")  # noqa: PLR2004
    columns = list(zip(timeline.succeeded, timeline.failed, strict=True))
    most = max((sum(each) for each in columns), default=0) or 1
    bars: list[ChartBar] = []
    for place, (good, bad) in enumerate(columns):
        bars += _stack_bars(place, len(columns), most, (("ok", good), ("bad", bad)))
    peak = most / timeline.width * factor
    return Chart(
        title="Finished",
        unit=f"items per {unit}",
        highest=_format_amount(peak),
        ticks=_axis_times(timeline),
        bars=bars,
        legend=_legend(ok=("succeeded", timeline.succeeded), bad=("failed", timeline.failed)),
        columns=("from", "succeeded", "failed"),
        rows=_table_rows(timeline, [(f"{good:,}", f"{bad:,}") for good, bad in columns]),
        summary=f"At most {_format_amount(peak)} items per {unit} were finished.",
    )


def chart_in_flight(timeline: Timeline, adjustments: Sequence[LimitChanged], title: str) -> Chart:
    """Attempts in flight, and the limit that moved."""
    flying = timeline.in_flight
    # Some began before the slices do: they say where the limit stood then.
    moved = [(each.at, each.was, each.value) for each in adjustments if each.at <= timeline.end]
    limits = [value for _, was, value in moved for value in (was, value)]
    most = max(*flying, *limits, 1)
    count = len(flying)
    points = [(place + half, value) for place, value in enumerate(flying) for half in (0, 1)]
    shape = [(0.0, 0.0), *((place / count, value / most) for place, value in points), (1.0, 0.0)]
    return Chart(
        title=title,
        unit="on average",
        highest=_format_amount(most),
        ticks=_axis_times(timeline),
        area=_svg_points(shape),
        line=_svg_points(_limit_steps(timeline, moved, most)),
        legend=[("flying", title.lower()), *([("limit", "limit")] if moved else [])],
        columns=("from", title.lower()),
        rows=_table_rows(timeline, [(f"{value:.1f}",) for value in flying]),
        summary=f"At most {_format_amount(max(flying))} on average."
        + (f" The limit moved {format_count(len(moved), 'time')}." if moved else ""),
    )


def chart_retries(timeline: Timeline) -> Chart | None:
    """Failed attempts that were tried again; None: there were none."""
    if not any(timeline.retried):
        return None
    most = max(timeline.retried)
    bars = [
        bar
        for place, count in enumerate(timeline.retried)
        for bar in _stack_bars(place, len(timeline.retried), most, (("again", count),))
    ]
    return Chart(
        title="Failed and tried again",
        unit="attempts",
        highest=f"{most:,}",
        ticks=_axis_times(timeline),
        bars=bars,
        columns=("from", "attempts"),
        rows=_table_rows(timeline, [(f"{count:,}",) for count in timeline.retried]),
        summary=f"{format_count(sum(timeline.retried), 'attempt')} failed and were followed by "
        "another.",
    )


def chart_durations(title: str, sketch: QuantileSketch, axis_end: float, kind: str) -> Chart:
    """A histogram of durations."""
    counts = sketch.histogram(axis_end, _HISTOGRAM_BARS)
    width = axis_end / _HISTOGRAM_BARS
    rows = [
        (format_seconds(place * width), f"{count:,}") for place, count in enumerate(counts) if count
    ]
    return Chart(
        title=title,
        unit="items",
        highest=f"{max(counts):,}",
        ticks=(
            "0",
            format_seconds(axis_end / 2),
            f"{format_seconds(axis_end)}{' and more' * (sketch.maximum > axis_end)}",
        ),
        bars=_histogram_bars(counts, kind),
        columns=("from", "items"),
        rows=rows,
        summary=f"Half of them took {format_seconds(sketch.quantile(0.5))} or less.",
    )


def chart_scores(histogram: ScoreHistogram) -> Chart | None:
    """A histogram of scores; None: there are none."""
    if not histogram.count - histogram.outside:
        return None
    width = histogram.scale_end / len(histogram.bins)
    rows = [
        (f"{place * width:g}", f"{count:,}") for place, count in enumerate(histogram.bins) if count
    ]
    outside = f"; {histogram.outside:,} lie outside" if histogram.outside else ""
    return Chart(
        title="Scores",
        unit="predictions",
        highest=f"{max(histogram.bins):,}",
        ticks=("0", f"{histogram.scale_end / 2:g}", f"{histogram.scale_end}"),
        bars=_histogram_bars(histogram.bins, "ok"),
        columns=("from", "predictions"),
        rows=rows,
        summary=f"{format_count(histogram.count, 'score')}{outside}.",
    )


def choose_axis_end(spreads: Sequence[QuantileSketch]) -> float:
    """Where histograms that stand side by side end: a round number that nearly all are below."""
    most = max((each.quantile(0.99) or 0.0 for each in spreads), default=0.0) or 1.0
    unit = 10.0 ** math.floor(math.log10(most))
    return next(
        (unit * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8) if unit * step >= most), unit * 10
    )


def _histogram_bars(counts: Sequence[int], kind: str) -> Sequence[ChartBar]:
    most = max(counts) or 1
    return [
        bar
        for place, count in enumerate(counts)
        for bar in _stack_bars(place, len(counts), most, ((kind, count),))
    ]


def _stack_bars(
    index: int, slots: int, most: float, parts: Sequence[tuple[str, int]]
) -> Sequence[ChartBar]:
    bars: list[ChartBar] = []
    top, width = 100.0, 100 / slots
    for kind, count in parts:
        if count:
            # A single one among thousands is still to be seen.
            height = max(count / most * 100, 1.5)
            top -= height
            bars.append(
                ChartBar(
                    _round_coordinate(index * width + width * 0.08),
                    _round_coordinate(max(top, 0)),
                    _round_coordinate(width * 0.84),
                    _round_coordinate(height),
                    kind,
                )
            )
    return bars


def _limit_steps(
    timeline: Timeline, changes: Sequence[tuple[float, int, int]], most: float
) -> Sequence[tuple[float, float]]:
    if not changes:
        return []
    length = timeline.end - timeline.start
    points = [(0.0, changes[0][1] / most)]
    for at, _, value in changes:
        x = min(max((at - timeline.start) / length, 0.0), 1.0)
        points += [(x, points[-1][1]), (x, value / most)]
    return [*points, (1.0, changes[-1][2] / most)]


def _svg_points(shape: Sequence[tuple[float, float]]) -> str:
    return " ".join(
        f"{_round_coordinate(x * 100):g},{_round_coordinate(100 - y * 100):g}" for x, y in shape
    )


def _axis_times(timeline: Timeline) -> Sequence[str]:
    middle = (timeline.start + timeline.end) / 2
    return [
        format_tick(at, timeline.end - timeline.start)
        for at in (timeline.start, middle, timeline.end)
    ]


def _table_rows(timeline: Timeline, cells: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Only slices in which something happened."""
    return [
        (format_tick(timeline.start + place * timeline.width, timeline.end - timeline.start), *row)
        for place, row in enumerate(cells)
        if any(cell not in {"0", "0.0"} for cell in row)
    ]


def _legend(**kinds: tuple[str, Sequence[int]]) -> Sequence[tuple[str, str]]:
    return [(kind, name) for kind, (name, counts) in kinds.items() if any(counts)]


def _format_amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"  # noqa: PLR2004


def _round_coordinate(value: float) -> float:
    return round(value, 2)
