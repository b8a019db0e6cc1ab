"""The page's sentences: what came of the run, what it was, and what is shown of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batchinfer.domain import Json, Mode, RunInfo, State
from batchinfer.report.figures import PAUSE
from batchinfer.report.gathering import Gathered, Group
from batchinfer.report.texts import duration, number, shown
from batchinfer.sinks.addresses import host_and_name

_MANY = 12
"""Parameters that are shown."""


def outcome(told: Gathered, noun: str, *, complete: bool, going: bool) -> str:
    """What came of the run, in a sentence or two; `noun`: what its items are, in the plural."""
    total, good, bad = told.items, told.states[State.SUCCEEDED], told.states[State.FAILED]
    open_ = total - good - bad
    if not total:
        return "There is nothing in this run yet."
    if not open_ and complete:
        if not bad:
            one = f"The one {noun.removesuffix('s')} has a prediction."
            return one if total == 1 else f"All {total:,} {noun} have a prediction."
        have = f"{good:,} of {total:,} {noun} have a prediction" if good else ""
        return f"{have or f'None of {total:,} {noun} has a prediction'}; {_failed(told)}."
    state = "The run is still going on" if going else "The run was interrupted, and can go on"
    failed = f"; {_failed(told)}" if bad else ""
    found = f"{total:,} {noun}" if complete else f"the {total:,} {noun} found by then"
    return f"{state}. So far, {good:,} of {found} have a prediction{failed}."


def _failed(told: Gathered) -> str:
    groups = ranked(told)
    bad = told.states[State.FAILED]
    first = groups[0]
    cause = shown(first.message, 140).rstrip(".")
    if len(groups) == 1:
        return f"{bad:,} failed with {first.code}: {cause}"
    if first.count * 2 > bad:
        return f"{bad:,} failed, most with {first.code}: {cause}"
    return f"{bad:,} failed, for {number(len(groups), 'different reason')}"


def ranked(told: Gathered) -> Sequence[Group]:
    """The failures by code, most frequent first."""
    return sorted(told.failures.values(), key=lambda group: (-group.count, group.code))


def facts(info: RunInfo, version: str | None) -> Sequence[tuple[str, Sequence[str]]]:
    """What the run was sent to, and how; nothing that could be a secret."""
    told: list[tuple[str, Sequence[str]]] = []
    section = "service" if info.mode is Mode.SYNC else "bucket"
    host, _ = host_and_name(_text(info.config, section, "endpoint") or "")
    _, name = host_and_name(_text(info.config, "service", "endpoint") or "")
    if host:
        told.append(("Service", [*([shown(name, 120)] if name else []), shown(host, 120)]))
    if info.mode is Mode.ASYNC and (bucket := _text(info.config, "bucket", "name")):
        told.append(("Bucket", [shown(bucket)]))
    how = "synchronous calls" if info.mode is Mode.SYNC else "asynchronous, through the bucket"
    told.append(("Mode", [how]))
    if version:
        told.append(("DEEPaaS", [shown(version, 40)]))
    params = info.config.get("params")
    if isinstance(params, Mapping) and params:
        each = [shown(f"{name} = {value}", 120) for name, value in list(params.items())[:_MANY]]
        told.append(("Parameters", [*each, *(["…"] if len(params) > _MANY else [])]))
    told.append(("Source", [shown(source, 200) for source in info.sources[:3]]))
    return told


def sample(shown_: int, total: int) -> str:
    """Which items the gallery has."""
    if shown_ >= total:
        return "" if total == 1 else f"All {total:,} items are shown."
    return (
        f"{shown_:,} of {total:,} items are shown: failures of each code, labels (rare ones first),"
        " the highest, lowest and middle scores, the slowest, those with most and with nothing"
        " found, and the rest spread evenly over the input. All numbers on this page are of all"
        " items."
    )


def kinds(told: Gathered) -> str:
    """What the predictions are."""
    said: list[str] = []
    if told.kinds["detections"]:
        none = f", and nothing in {told.empty:,}" if told.empty else ""
        said.append(f"something was found in {told.kinds['detections'] - told.empty:,}{none}")
    names = {"classes": "classified", "text": "text", "GeoJSON": "GeoJSON"}
    names |= {"files": "files", "data": "other data"}
    said += [f"{told.kinds[kind]:,} {name}" for kind, name in names.items() if told.kinds[kind]]
    return f"Of {told.kinds.total():,} predictions: {'; '.join(said)}." if said else ""


def undrawn(told: Gathered) -> Sequence[str]:
    """What predictions say of places and the pictures do not show."""
    counts = told.undrawn.items()
    said = ", ".join(f"{count:,} {part}{'s' * (count > 1)}" for part, count in counts)
    return [f"Not drawn: {said}."] if said else []


def times(told: Gathered) -> str:
    """What the section on durations is about."""
    if not told.server.count:
        return (
            "Of each prediction's attempt, from its start to its answer. How much of it the model"
            " took, and how much was waiting, the service does not tell."
        )
    some = ""
    if told.server.count < told.total.count:
        some = f" It tells of {told.server.count:,} of {told.total.count:,}."
    return (
        "Total: from the start of a prediction's attempt to its answer. Model: seconds on the"
        " server, as it tells. Waiting: all the rest, which is sending, queueing and starting up."
        f"{some}"
    )


def took(told: Gathered) -> Sequence[str]:
    """How long the run took: the time at work, and that from its beginning to its end."""
    line, work = told.timeline, told.work
    attempts = number(told.attempts, "attempt")
    whole, worked = line.last - line.first, work.seconds
    if duration(worked) == duration(whole) or worked > whole:
        return [f"{duration(worked)}, {attempts}"]
    how = "with a process at work" if work.is_exact else f"pauses over {duration(PAUSE)} left out"
    return [
        f"{duration(worked)}, {attempts} ({how})",
        f"{duration(whole)} from beginning to end, idle hours included",
    ]


def _text(config: Mapping[str, Json], section: str, name: str) -> str | None:
    table = config.get(section)
    value = table.get(name) if isinstance(table, Mapping) else None
    return value if isinstance(value, str) else None
