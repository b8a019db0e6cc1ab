"""Figures as shapes: numbers become places in a box of 0 to 100, which the page stretches. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from batchinfer.ports import Adjusted
from batchinfer.report.figures import Scores, Spread, Timeline
from batchinfer.report.texts import number, seconds, tick

_BARS = 40


@dataclass(frozen=True, slots=True)
class Bar:
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
    bars: Sequence[Bar] = ()
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


def finished(line: Timeline) -> Chart:
    """Items finished in each slice, as a rate."""
    factor, unit = (1, "second") if line.width < 60 else (60, "minute")  # noqa: PLR2004
    columns = list(zip(line.succeeded, line.failed, strict=True))
    most = max((sum(each) for each in columns), default=0) or 1
    bars: list[Bar] = []
    for place, (good, bad) in enumerate(columns):
        bars += _stack(place, len(columns), most, (("ok", good), ("bad", bad)))
    peak = most / line.width * factor
    return Chart(
        title="Finished",
        unit=f"items per {unit}",
        highest=_amount(peak),
        ticks=_times(line),
        bars=bars,
        legend=_legend(ok=("succeeded", line.succeeded), bad=("failed", line.failed)),
        columns=("from", "succeeded", "failed"),
        rows=_rows(line, [(f"{good:,}", f"{bad:,}") for good, bad in columns]),
        summary=f"At most {_amount(peak)} items per {unit} were finished.",
    )


def in_flight(line: Timeline, adjustments: Sequence[Adjusted], what: str) -> Chart:
    """Attempts in flight, and the limit that moved."""
    flying = line.in_flight
    # Some began before the slices do: they say where the limit stood then.
    moved = [(each.at, each.was, each.value) for each in adjustments if each.at <= line.end]
    limits = [value for _, was, value in moved for value in (was, value)]
    most = max(*flying, *limits, 1)
    count = len(flying)
    points = [(place + half, value) for place, value in enumerate(flying) for half in (0, 1)]
    shape = [(0.0, 0.0), *((place / count, value / most) for place, value in points), (1.0, 0.0)]
    return Chart(
        title=what,
        unit="on average",
        highest=_amount(most),
        ticks=_times(line),
        area=_points(shape),
        line=_points(_steps(line, moved, most)),
        legend=[("flying", what.lower()), *([("limit", "limit")] if moved else [])],
        columns=("from", what.lower()),
        rows=_rows(line, [(f"{value:.1f}",) for value in flying]),
        summary=f"At most {_amount(max(flying))} on average."
        + (f" The limit moved {number(len(moved), 'time')}." if moved else ""),
    )


def tries(line: Timeline) -> Chart | None:
    """Failed attempts that were tried again; None: there were none."""
    if not any(line.tries):
        return None
    most = max(line.tries)
    bars = [
        bar
        for place, count in enumerate(line.tries)
        for bar in _stack(place, len(line.tries), most, (("again", count),))
    ]
    return Chart(
        title="Failed and tried again",
        unit="attempts",
        highest=f"{most:,}",
        ticks=_times(line),
        bars=bars,
        columns=("from", "attempts"),
        rows=_rows(line, [(f"{count:,}",) for count in line.tries]),
        summary=f"{number(sum(line.tries), 'attempt')} failed and were followed by another.",
    )


def spread(title: str, each: Spread, until: float, kind: str) -> Chart:
    """A histogram of durations."""
    counts = each.bars(until, _BARS)
    width = until / _BARS
    rows = [(seconds(place * width), f"{count:,}") for place, count in enumerate(counts) if count]
    return Chart(
        title=title,
        unit="items",
        highest=f"{max(counts):,}",
        ticks=("0", seconds(until / 2), f"{seconds(until)}{' and more' * (each.most > until)}"),
        bars=_histogram(counts, kind),
        columns=("from", "items"),
        rows=rows,
        summary=f"Half of them took {seconds(each.quantile(0.5))} or less.",
    )


def scores(each: Scores) -> Chart | None:
    """A histogram of scores; None: there are none."""
    if not each.count - each.outside:
        return None
    width = each.highest / len(each.bars)
    rows = [(f"{place * width:g}", f"{count:,}") for place, count in enumerate(each.bars) if count]
    outside = f"; {each.outside:,} lie outside" if each.outside else ""
    return Chart(
        title="Scores",
        unit="predictions",
        highest=f"{max(each.bars):,}",
        ticks=("0", f"{each.highest / 2:g}", f"{each.highest}"),
        bars=_histogram(each.bars, "ok"),
        columns=("from", "predictions"),
        rows=rows,
        summary=f"{number(each.count, 'score')}{outside}.",
    )


def until(spreads: Sequence[Spread]) -> float:
    """Where histograms that stand side by side end: a round number that nearly all are below."""
    most = max((each.quantile(0.99) or 0.0 for each in spreads), default=0.0) or 1.0
    unit = 10.0 ** math.floor(math.log10(most))
    return next(
        (unit * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8) if unit * step >= most), unit * 10
    )


def _histogram(counts: Sequence[int], kind: str) -> Sequence[Bar]:
    most = max(counts) or 1
    return [
        bar
        for place, count in enumerate(counts)
        for bar in _stack(place, len(counts), most, ((kind, count),))
    ]


def _stack(place: int, places: int, most: float, parts: Sequence[tuple[str, int]]) -> Sequence[Bar]:
    bars: list[Bar] = []
    top, width = 100.0, 100 / places
    for kind, count in parts:
        if count:
            # A single one among thousands is still to be seen.
            height = max(count / most * 100, 1.5)
            top -= height
            bars.append(
                Bar(_round(place * width + width * 0.08), _round(max(top, 0)), _round(width * 0.84),
                    _round(height), kind)
            )  # fmt: skip
    return bars


def _steps(
    line: Timeline, moved: Sequence[tuple[float, int, int]], most: float
) -> Sequence[tuple[float, float]]:
    if not moved:
        return []
    length = line.end - line.start
    points = [(0.0, moved[0][1] / most)]
    for at, _, value in moved:
        x = min(max((at - line.start) / length, 0.0), 1.0)
        points += [(x, points[-1][1]), (x, value / most)]
    return [*points, (1.0, moved[-1][2] / most)]


def _points(shape: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_round(x * 100):g},{_round(100 - y * 100):g}" for x, y in shape)


def _times(line: Timeline) -> Sequence[str]:
    middle = (line.start + line.end) / 2
    return [tick(at, line.end - line.start) for at in (line.start, middle, line.end)]


def _rows(line: Timeline, cells: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Only slices in which something happened."""
    return [
        (tick(line.start + place * line.width, line.end - line.start), *row)
        for place, row in enumerate(cells)
        if any(cell not in {"0", "0.0"} for cell in row)
    ]


def _legend(**kinds: tuple[str, Sequence[int]]) -> Sequence[tuple[str, str]]:
    return [(kind, name) for kind, (name, counts) in kinds.items() if any(counts)]


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"  # noqa: PLR2004


def _round(value: float) -> float:
    return round(value, 2)
