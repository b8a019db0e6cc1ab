"""The page's sentences: what came of the run, what it was, and what is shown of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from batchinfer.domain import Json, RunInfo, State
from batchinfer.exports.safe_endpoint import safe_host_and_name
from batchinfer.protocols.inference_protocol import Software
from batchinfer.report.aggregates import MAX_WORK_GAP_SECONDS
from batchinfer.report.formatting import clip
from batchinfer.report.run_statistics import FailuresOfCode, RunStatistics
from batchinfer.text_format import format_count, format_duration

_MAX_PARAMETERS = 12
"""Parameters that are shown."""


def describe_outcome(
    statistics: RunStatistics, noun: str, *, complete: bool, is_running: bool
) -> str:
    """What came of the run, in a sentence or two; `noun`: what its items are, in the plural."""
    total, good, bad = (
        statistics.item_count,
        statistics.state_counts[State.SUCCEEDED],
        statistics.state_counts[State.FAILED],
    )
    open_ = total - good - bad
    if not total:
        return "There is nothing in this run yet."
    if not open_ and complete:
        if not bad:
            one = f"The one {noun.removesuffix('s')} has a prediction."
            return one if total == 1 else f"All {total:,} {noun} have a prediction."
        have = f"{good:,} of {total:,} {noun} have a prediction" if good else ""
        return (
            f"{have or f'None of {total:,} {noun} has a prediction'}; "
            f"{_describe_failures(statistics)}."
        )
    state = "The run is still going on" if is_running else "The run was interrupted, and can go on"
    failed = f"; {_describe_failures(statistics)}" if bad else ""
    found = f"{total:,} {noun}" if complete else f"the {total:,} {noun} found by then"
    return f"{state}. So far, {good:,} of {found} have a prediction{failed}."


def _describe_failures(statistics: RunStatistics) -> str:
    groups = rank_failures(statistics)
    bad = statistics.state_counts[State.FAILED]
    first = groups[0]
    cause = clip(first.first_message, 140).rstrip(".")
    if len(groups) == 1:
        return f"{bad:,} failed with {first.code}: {cause}"
    if first.count * 2 > bad:
        return f"{bad:,} failed, most with {first.code}: {cause}"
    return f"{bad:,} failed, for {format_count(len(groups), 'different reason')}"


def rank_failures(statistics: RunStatistics) -> Sequence[FailuresOfCode]:
    """The failures by code, most frequent first."""
    return sorted(
        statistics.failures_by_code.values(), key=lambda group: (-group.count, group.code)
    )


def list_run_facts(info: RunInfo, software: Software | None) -> Sequence[tuple[str, Sequence[str]]]:
    """What the run was sent to, and how; nothing that could be a secret."""
    facts: list[tuple[str, Sequence[str]]] = []
    section = info.mode.section
    host, _ = safe_host_and_name(_config_text(info.config, section, "endpoint") or "")
    _, name = safe_host_and_name(_config_text(info.config, "service", "endpoint") or "")
    if host:
        facts.append(("Service", [*([clip(name, 120)] if name else []), clip(host, 120)]))
    services = info.config.get("services")
    if isinstance(services, Sequence) and not isinstance(services, str):
        facts[:] = [("Services", [clip(text, 120) for text in _describe_services(services)])]
    if info.mode.uses_bucket and (bucket := _config_text(info.config, "bucket", "name")):
        facts.append(("Bucket", [clip(bucket)]))
    how = "asynchronous, through the bucket" if info.mode.uses_bucket else "synchronous calls"
    facts.append(("Mode", [how]))
    if software is not None:
        facts.append((clip(software.name, 40), [clip(software.version, 40)]))
    params = info.config.get("params")
    if isinstance(params, Mapping) and params:
        each = [
            clip(f"{name} = {value}", 120) for name, value in list(params.items())[:_MAX_PARAMETERS]
        ]
        facts.append(("Parameters", [*each, *(["…"] if len(params) > _MAX_PARAMETERS else [])]))
    facts.append(("Source", [clip(source, 200) for source in info.sources[:3]]))
    return facts


def _describe_services(services: Sequence[Json]) -> Iterator[str]:
    """The name of each of several services, and where it is."""
    for each in services[:_MAX_PARAMETERS]:
        if isinstance(each, Mapping):
            host, _ = safe_host_and_name(str(each.get("endpoint", "")))
            yield f"{each.get('name', '')} ({host})" if host else str(each.get("name", ""))


def describe_sample(shown_count: int, total: int) -> str:
    """Which items the gallery has."""
    if shown_count >= total:
        return "" if total == 1 else f"All {total:,} items are shown."
    return (
        f"{shown_count:,} of {total:,} items are shown: failures of each code, labels (rare ones "
        "first), the highest, lowest and middle scores, the slowest, those with most and with "
        "nothing found, and the rest spread evenly over the input. All numbers on this page are of "
        "all items."
    )


def describe_kinds(statistics: RunStatistics) -> str:
    """What the predictions are."""
    parts: list[str] = []
    if statistics.kind_counts["detections"]:
        none = f", and nothing in {statistics.empty_items:,}" if statistics.empty_items else ""
        parts.append(
            "something was found in "
            f"{statistics.kind_counts['detections'] - statistics.empty_items:,}{none}"
        )
    names = {"classes": "classified", "text": "text", "GeoJSON": "GeoJSON"}
    names |= {"files": "files", "data": "other data"}
    parts += [
        f"{statistics.kind_counts[kind]:,} {name}"
        for kind, name in names.items()
        if statistics.kind_counts[kind]
    ]
    return (
        f"Of {statistics.kind_counts.total():,} predictions: {'; '.join(parts)}." if parts else ""
    )


def describe_undrawn(statistics: RunStatistics) -> Sequence[str]:
    """What predictions say of places and the pictures do not show."""
    counts = statistics.undrawn_counts.items()
    parts = ", ".join(f"{count:,} {part}{'s' * (count > 1)}" for part, count in counts)
    return [f"Not drawn: {parts}."] if parts else []


def explain_durations(statistics: RunStatistics) -> str:
    """What the section on durations is about."""
    if not statistics.server_seconds.count:
        return (
            "Of each prediction's attempt, from its start to its answer. How much of it the model "
            "took, and how much was waiting, the service does not tell."
        )
    some = ""
    if statistics.server_seconds.count < statistics.total_seconds.count:
        some = (
            f" It tells of {statistics.server_seconds.count:,} of "
            f"{statistics.total_seconds.count:,}."
        )
    return (
        "Total: from the start of a prediction's attempt to its answer. Model: seconds on the "
        "server, as it tells. Waiting: all the rest, which is sending, queueing and starting "
        f"up.{some}"
    )


def describe_duration(statistics: RunStatistics) -> Sequence[str]:
    """How long the run took: the time at work, and that from its beginning to its end."""
    line, work = statistics.timeline, statistics.work_time
    attempts = format_count(statistics.attempt_count, "attempt")
    whole, worked = line.last - line.first, work.seconds
    if format_duration(worked) == format_duration(whole) or worked > whole:
        return [f"{format_duration(worked)}, {attempts}"]
    how = (
        "with a process at work"
        if work.is_exact
        else f"pauses over {format_duration(MAX_WORK_GAP_SECONDS)} left out"
    )
    return [
        f"{format_duration(worked)}, {attempts} ({how})",
        f"{format_duration(whole)} from beginning to end, idle hours included",
    ]


def describe_reused(statistics: RunStatistics) -> Sequence[str]:
    """What was taken over from earlier runs."""
    counts = statistics.reused_counts
    runs = ", ".join(name for name, _ in counts.most_common(3))
    return [f"{format_count(counts.total(), 'result')} taken over from {runs}, without a call"]


def _config_text(config: Mapping[str, Json], section: str, name: str) -> str | None:
    table = config.get(section)
    value = table.get(name) if isinstance(table, Mapping) else None
    return value if isinstance(value, str) else None
