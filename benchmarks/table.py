"""From samples to a table for people, to Markdown, and to JSON; goals beside what was reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import median

from benchmarks.measuring import Sample

SERVICE_BOUND = 0.95
"""From this load on the service, and not the client, sets the pace."""


class Measure(Enum):
    """What of the samples is looked at: the word behind its figure."""

    RATE = "items/s"
    MEGABYTES = "MB/s"
    SECONDS = "s"
    CPU = "us CPU/item"
    MEMORY = "MB"


class Kind(Enum):
    """How ours is set against the goal."""

    RATIO = "x"
    """A multiple of the peer's; of several peers, of the best one's."""
    DIFFERENCE = "more"
    """What it has more than the peer."""
    ABSOLUTE = ""
    """By itself."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What we want to reach."""

    measure: Measure
    bound: float
    against: tuple[str, ...] = ()
    """Peers; none: by itself."""
    kind: Kind = Kind.RATIO
    at_most: bool = False
    """Whether the bound must not be exceeded; else it must be reached."""
    of: str | None = None
    """Which of our own contenders; None: the first."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one contender took, over all rounds: medians, but for the peak."""

    contender: str
    items: int
    values: Mapping[Measure, float]
    slowest: float
    fastest: float
    service_load: float | None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal, and where we stand."""

    goal: Goal
    measured: float | None
    """None: not measured, for there is no such peer here or a contender failed."""

    @property
    def reached(self) -> bool:
        """Whether the goal is reached; what was not measured is not."""
        if self.measured is None:
            return False
        bound = self.goal.bound
        return self.measured <= bound if self.goal.at_most else self.measured >= bound

    @property
    def word(self) -> str:
        """For people."""
        if self.measured is None:
            return "not measured"
        return "reached" if self.reached else "MISSED"


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the table: what one comparison came to."""

    title: str
    shown: Measure
    ours: str
    """The contender that is ours."""
    rows: Sequence[Row]
    verdicts: Sequence[Verdict] = ()
    notes: Sequence[str] = field(default=())
    """What is missing, and why."""


def make_row(
    contender: str, samples: Sequence[Sample], shown: Measure, item_bytes: int, remark: str = ""
) -> Row:
    """The row of a contender."""
    each = [_values(sample, item_bytes) for sample in samples]
    values = {measure: median(one[measure] for one in each) for measure in Measure}
    values[Measure.MEMORY] = max(one[Measure.MEMORY] for one in each)
    spread = [one[shown] for one in each]
    loads = [sample.service_load for sample in samples if sample.service_load is not None]
    load = median(loads) if loads else None
    return Row(contender, samples[0].items, values, min(spread), max(spread), load, remark)


def judge(goal: Goal, rows: Sequence[Row], ours: str) -> Verdict:
    """Set the contender `ours`, if the goal names no other, against the goal."""
    found = {row.contender: row.values[goal.measure] for row in rows}
    own = found.get(goal.of or ours)
    peers = [found[name] for name in goal.against if name in found]
    if own is None or (goal.against and not peers):
        return Verdict(goal, None)
    if not goal.against:
        return Verdict(goal, own)
    more_is_better = goal.measure in {Measure.RATE, Measure.MEGABYTES}
    best = max(peers) if more_is_better else min(peers)
    return Verdict(goal, own - best if goal.kind is Kind.DIFFERENCE else own / best)


def format_section(section: Section) -> str:
    """A section of the table, for a terminal."""
    width = max([len(row.contender) for row in section.rows], default=10)
    head = f"  {'':<{width}} {'items':>10} {section.shown.value:>11} {'(min-max)':<17}"
    lines = [
        section.title,
        f"{head} {'us/item':>9} {'peak MB':>8} {'service':>8} {'ours is':>9} {'by CPU':>8}",
    ]
    lines += [_format_row(row, section, width) for row in section.rows]
    lines += [f"  {note}" for note in section.notes]
    lines += [f"  goal: {describe(each)}" for each in section.verdicts]
    return "\n".join(lines)


def describe(verdict: Verdict) -> str:
    """A goal and what was measured, for people."""
    goal = verdict.goal
    sign = "<=" if goal.at_most else ">="
    measured = "-" if verdict.measured is None else _figure(verdict.measured, goal)
    return f"{sign} {name_goal(goal)}: {measured}, {verdict.word}"


def name_goal(goal: Goal) -> str:
    """What is to be reached: "1 x items/s of aiohttp"."""
    against = " and ".join(goal.against)
    best = "the best of " if len(goal.against) > 1 else ""
    behind = f" {'than' if goal.kind is Kind.DIFFERENCE else 'of'} {best}{against}"
    unit = "" if goal.kind is Kind.ABSOLUTE and not against else f"{goal.kind.value} "
    if not against:
        return f"{goal.bound:g} {goal.measure.value}{f' ({goal.of})' if goal.of else ''}"
    return f"{goal.bound:g} {unit}{goal.measure.value}{f' ({goal.of})' if goal.of else ''}{behind}"


def summarize(sections: Sequence[Section]) -> str:
    """How many goals were reached, and which were not."""
    verdicts = [(section, each) for section in sections for each in section.verdicts]
    reached = sum(each.reached for _, each in verdicts)
    lines = [f"{reached} of {len(verdicts)} goals reached"]
    for section, each in verdicts:
        if not each.reached:
            lines.append(f"  {section.title}: {describe(each)}")
    return "\n".join(lines)


def format_markdown(sections: Sequence[Section]) -> str:
    """The table as Markdown, a line per goal; and what was measured, a line per contender."""
    goals = ["| row | goal | measured | |", "|---|---|---|---|"]
    figures = [
        "| row | contender | items | | us of CPU an item | peak MB | remark |",
        "|---|---|---|---|---|---|---|",
    ]
    for section in sections:
        for verdict in section.verdicts:
            sign = "<=" if verdict.goal.at_most else ">="
            measured = "-" if verdict.measured is None else _figure(verdict.measured, verdict.goal)
            word = verdict.word if verdict.reached else f"**{verdict.word}**"
            goal = f"{sign} {name_goal(verdict.goal)}"
            goals.append(f"| {section.title} | {goal} | {measured} | {word} |")
        for row in section.rows:
            shown = f"{_short(row.values[section.shown])} {section.shown.value}"
            cpu, peak = row.values[Measure.CPU], row.values[Measure.MEMORY]
            figures.append(
                f"| {section.title} | {row.contender} | {row.items:,} | {shown} | {_short(cpu)} | "
                f"{peak:,.0f} | {'; '.join(_remarks(row))} |"
            )
    return "\n".join([*goals, "", *figures])


def _format_row(row: Row, section: Section, width: int) -> str:
    shown = section.shown
    ours = next((each for each in section.rows if each.contender == section.ours), row)
    spread = f"({_short(row.slowest)}-{_short(row.fastest)})"
    load = "" if row.service_load is None else f"{row.service_load:.0%}"
    times, by_cpu = "", ""
    if row is not ours:
        times = f"{_divide(ours.values[shown], row.values[shown]):.2f} x"
        by_cpu = f"{_divide(ours.values[Measure.CPU], row.values[Measure.CPU]):.2f} x"
    remarks = "; ".join(_remarks(row))
    return (
        f"  {row.contender:<{width}} {row.items:>10,} {_short(row.values[shown]):>11} {spread:<17} "
        f"{_short(row.values[Measure.CPU]):>9} {row.values[Measure.MEMORY]:>8,.0f} {load:>8} "
        f"{times:>9} {by_cpu:>8}  {remarks}"
    ).rstrip()


def _remarks(row: Row) -> list[str]:
    bound = row.service_load is not None and row.service_load >= SERVICE_BOUND
    return [*([row.remark] if row.remark else []), *(["bound by the service"] if bound else [])]


def _values(sample: Sample, item_bytes: int) -> Mapping[Measure, float]:
    rate = _divide(sample.items, sample.seconds)
    return {
        Measure.RATE: rate,
        Measure.MEGABYTES: rate * item_bytes / 1e6,
        Measure.SECONDS: sample.seconds,
        Measure.CPU: _divide(sample.cpu_seconds * 1e6, sample.items),
        Measure.MEMORY: sample.peak_mb,
    }


def _divide(one: float, other: float) -> float:
    return one / other if other else 0.0


def _figure(value: float, goal: Goal) -> str:
    return f"{value:.2f} x" if goal.kind is Kind.RATIO and goal.against else _short(value)


def _short(value: float) -> str:
    """Three digits or more."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or not value else f"{value:.1e}"
