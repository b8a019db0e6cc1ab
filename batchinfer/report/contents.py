"""What stands on the page, as its template asks for it: sentences, charts, lists. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchinfer._version import __version__
from batchinfer.domain import Mode, RunInfo, State
from batchinfer.oscar.versions import deepaas_version
from batchinfer.ports import Adjusted
from batchinfer.report import charts, wording
from batchinfer.report.cards import label
from batchinfer.report.figures import Timeline
from batchinfer.report.gathering import Gathered
from batchinfer.report.texts import command, moment, number, rate, seconds, shown

CLASSES: Final = 30
"""Classes that are charted one by one."""

_KINDS: Final = {
    State.SUCCEEDED: "ok",
    State.FAILED: "bad",
    State.SUBMITTED: "flying",
    State.PENDING: "open",
}


@dataclass(frozen=True, slots=True)
class About:
    """The run, and what of it is shown."""

    title: str
    run: str
    """Its directory, as the user named it."""
    noun: str
    """What its items are, in the plural."""
    shown: int
    complete: bool
    going: bool
    info: RunInfo
    help: str | None
    read_as: Sequence[str]
    """How its predictions were read, in sentences."""
    adjustments: Sequence[Adjusted]


@dataclass(frozen=True, slots=True)
class Rank:
    """A class, and how often it was found."""

    label: str
    """As the page's script compares it."""
    name: str
    count: str
    items: str
    width: float
    """Of its bar, in percent."""
    others: bool = False


def contents(told: Gathered, about: About) -> Mapping[str, Any]:
    """Everything the template names, but for data, style and script."""
    resume = command("resume", about.run)
    open_ = told.items - told.states[State.SUCCEEDED] - told.states[State.FAILED]
    most = max((slow.seconds for slow in told.slowest), default=0) or 1
    scored = charts.scores(told.scores)
    return {
        "version": __version__,
        "title": about.title,
        "made": moment(time.time()),
        "outcome": wording.outcome(told, about.noun, complete=about.complete, going=about.going),
        "states": _states(told),
        "tiles": _tiles(told),
        "facts": _facts(told, about),
        "next": resume if (open_ or not about.complete) and not about.going else "",
        "resume": resume,
        "kinds": wording.kinds(told),
        "read_as": [shown(sentence, 600) for sentence in (*about.read_as, *wording.undrawn(told))],
        "labels": ranks(told),
        "labelled": "Most probable class"
        if told.kinds["classes"] > told.kinds["detections"]
        else "Classes found",
        "counted": f"in {told.labels.found.total() + told.labels.beyond:,} findings",
        "scores": scored,
        "sample": wording.sample(about.shown, told.items),
        "failures": _failures(told, about),
        "over_time": _over_time(told, about),
        "when": _when(told.timeline),
        "durations": _durations(told),
        "durations_lead": wording.times(told),
        "quantiles": _quantiles(told),
        "slowest": [
            {
                "position": slow.position,
                "key": slow.key,
                "seconds": seconds(slow.seconds),
                "width": round(slow.seconds / most * 100, 2),
                "server": round(min(slow.server_seconds or 0, slow.seconds) / most * 100, 2),
            }
            for slow in told.slowest
        ],
    }


def ranks(told: Gathered) -> Sequence[Rank]:
    """The most frequent classes, and all others as one."""
    top = told.labels.top(CLASSES)
    most = max((found for _, found, _ in top), default=1)
    listed = [
        Rank(
            label=label(name),
            name=label(name) or "(no name)",
            count=f"{found:,}",
            items=f"{items:,}" if items != found else "",
            width=round(found / most * 100, 2),
        )
        for name, found, items in top
    ]
    others = told.labels.found.total() + told.labels.beyond - sum(found for _, found, _ in top)
    if others:
        more = len(told.labels.found) - len(top)
        name = number(more, "other class", "other classes")
        name += " and more" * bool(told.labels.beyond)
        width = round(min(others / most, 1) * 100, 2)
        listed.append(Rank("", name, f"{others:,}", "", width, others=True))
    return listed


def _states(told: Gathered) -> Sequence[Mapping[str, Any]]:
    x, states = 0.0, []
    for state, kind in _KINDS.items():
        if (count := told.states[state]) or state is State.SUCCEEDED:
            width = count / (told.items or 1) * 100
            named = {"count": f"{count:,}", "name": state.value, "kind": kind}
            states.append({**named, "x": round(x, 3), "width": round(width, 3)})
            x += width
    return states


def _tiles(told: Gathered) -> Sequence[tuple[str, str]]:
    tiles: list[tuple[str, str]] = []
    found = told.labels.found.total() + told.labels.beyond
    if found and told.kinds["detections"] >= told.kinds["classes"]:
        tiles.append((f"{found:,}", "found"))
    if told.total.count:
        tiles.append((seconds(told.total.quantile(0.5)), "per prediction, half within"))
        if told.server.count:
            tiles.append((seconds(told.server.quantile(0.5)), "in the model, half within"))
    if told.attempts:
        worked = max(told.work.seconds, 0.001)
        amount, _, unit = rate(told.states[State.SUCCEEDED] / worked).partition(" ")
        if told.states[State.SUCCEEDED]:
            tiles.append((amount, f"predictions {unit}"))
    return tiles


def _facts(told: Gathered, about: About) -> Sequence[tuple[str, Sequence[str]]]:
    version = deepaas_version(about.help or "")
    facts = [*wording.facts(about.info, version)]
    line = told.timeline
    if told.attempts:
        facts.append(("Began", [moment(line.first)]))
        facts.append(("Took", wording.took(told)))
    return facts


def _failures(told: Gathered, about: About) -> Sequence[Mapping[str, Any]]:
    return [
        {
            "code": shown(group.code),
            "count": f"{group.count:,}",
            "key": shown(group.key),
            "position": group.position,
            "message": group.message,
            "retry": command("retry", about.run, "--code", group.code),
        }
        for group in wording.ranked(told)
    ]


def _over_time(told: Gathered, about: About) -> Sequence[charts.Chart]:
    if not told.attempts:
        return []
    what = "In flight" if about.info.mode is Mode.SYNC else "Submitted and unfinished"
    drawn = [
        charts.finished(told.timeline),
        charts.in_flight(told.timeline, about.adjustments, what),
        charts.tries(told.timeline),
    ]
    return [chart for chart in drawn if chart is not None]


def _when(line: Timeline) -> str:
    return f"From {moment(line.first)} to {moment(line.last)}, in slices of {seconds(line.width)}."


def _durations(told: Gathered) -> Sequence[charts.Chart]:
    named = (
        ("Total", told.total, "total"),
        ("Model", told.server, "server"),
        ("Waiting", told.waiting, "waiting"),
    )
    until = charts.until([spread for _, spread, _ in named])
    return [charts.spread(name, each, until, kind) for name, each, kind in named if each.count]


def _quantiles(told: Gathered) -> Sequence[Sequence[str]]:
    named = (("Total", told.total), ("Model", told.server), ("Waiting", told.waiting))
    return [
        (name, *(seconds(each.quantile(share)) for share in (0.5, 0.9, 0.99)), seconds(each.most))
        for name, each in named
        if each.count
    ]
