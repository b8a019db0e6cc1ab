"""Every parameter of a job against the model's own help, before its first prediction.

What the config, the flags and all lines of the manifests give is judged by `oscar.validate`; all
mistakes are told at once, each with its place, and then nothing is sent. Folders cost one look,
manifests one more reading; memory is flat. Not knowing is no mistake: where there is no help, a
notice says so, and only what could never be sent is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import anyio.to_thread

from batchinfer.api.describing import Description, asked, kept_help
from batchinfer.api.job import Job
from batchinfer.api.preparing import known
from batchinfer.api.typed_params import keep_texts
from batchinfer.backends.redact import Redactor
from batchinfer.config import Config, Resolved, resolve
from batchinfer.domain import Failure, Mode
from batchinfer.errors import ConfigError, RunAborted, SourceError
from batchinfer.oscar.schema import Schema
from batchinfer.oscar.validate import Rules
from batchinfer.ports import Notice, Observer
from batchinfer.sources import Sources
from batchinfer.sources.manifest import Manifest

LISTED = 20
"""So many mistakes are told in full; of the rest only the number."""
SHORT = 60.0
"""Seconds that async mode, which does without it, waits for a service that is starting."""


async def validated(
    job: Job, config: Config, resolved: Resolved, source: Sources | None, observer: Observer
) -> tuple[str | None, Config, Resolved]:
    """Check all that a job is about to send; the model's help, if the run does not keep it yet.

    Only a job that names its source is checked: what a run goes on with was checked before. The
    configuration comes back with the types that the help tells. Raises ConfigError and SourceError
    with all mistakes, RunAborted for what would end the run.
    """
    if not (job.validate and job.sources and source is not None):
        return None, config, resolved
    kept = None if known(job.run) is None else kept_help(job.run)
    found = kept or await _asked(job, config, resolved, observer)
    schema = None if found is None else found.schema
    config, resolved = keep_texts(config, resolved, schema)
    work = partial(check, config, resolved, source, schema)
    for notice in await anyio.to_thread.run_sync(work, abandon_on_cancel=True):
        observer.notify(notice)
    return None if kept is not None or found is None else found.help, config, resolved


def rechecked(job: Job, config: Config, resolved: Resolved, source: Sources) -> Sequence[Notice]:
    """The same for a job that sends nothing: by what its run keeps, if it does. Raises likewise."""
    kept = None if known(job.run) is None else kept_help(job.run)
    if kept is None or not job.validate:
        return ()
    return check(config, resolved, source, kept.schema)


def check(
    config: Config, resolved: Resolved, source: Sources, schema: Schema | None
) -> Sequence[Notice]:
    """Read all that would be sent but the files. Raises ConfigError, SourceError: all mistakes."""
    mistakes = _Mistakes()
    rules = Rules(schema, resolved.mode, resolved.params)
    for place, problem in _common(config, resolved, rules):
        mistakes.configured(place, problem)
    manifests = [part for part in source.parts if isinstance(part, Manifest)]
    if len(manifests) < len(source.parts):
        for problem in rules.item({}, (resolved.file_param,)):
            mistakes.configured("every file", problem)
    for manifest in manifests:
        for entry in manifest.entries(_ignore):
            files = tuple([param for param, _ in entry.files])
            for problem in rules.item(entry.params, files):
                mistakes.add(f"{manifest.name}:{entry.line}", problem)
    mistakes.raise_if_any(schema)
    return [
        Notice("abbreviated", f"The model takes {name!r} for its parameter {full!r}.")
        for name, full in rules.abbreviated.items()
    ]


def _common(config: Config, resolved: Resolved, rules: Rules) -> Iterator[tuple[str, str]]:
    redact = Redactor(resolved.secrets)
    for name, value in resolved.params.items():
        if (problem := rules.value(name, value)) is None:
            continue
        if redact.text(str(value)) != str(value):
            problem = f"the value of {name!r}, which is secret and not shown, does not fit"
        yield config.origins.get(f"params.{name}", f"[params] {name}"), problem


async def _asked(
    job: Job, config: Config, resolved: Resolved, observer: Observer
) -> Description | None:
    """The model's help; None, and a notice, when there is none to be had."""
    asking, patience = resolved, resolved.cold_start
    if resolved.mode is Mode.ASYNC:
        patience = min(patience, SHORT)
        try:
            asking = resolve(replace(config, run=replace(config.run, mode=Mode.SYNC)), job.env)
        except ConfigError:
            observer.notify(_not_validated(_NO_SERVICE))
            return None
    answer = await asked(asking, observer, patience=patience)
    if not isinstance(answer, Failure):
        return answer
    if answer.code == "cold_start" and resolved.mode is Mode.SYNC:
        raise RunAborted(
            answer.code,
            f"The service has not been there for {patience:.0f} s: {answer.message}. Nothing was "
            "sent; try again when it is back.",
        )
    observer.notify(_not_validated(f"the model gives no help ({answer.code}: {answer.message})"))
    return None


_NO_SERVICE = (
    "there is no [service] with endpoint and token to ask for the model's help; `batchinfer "
    "describe RUN` asks through the bucket, by a job"
)


def _not_validated(why: str) -> Notice:
    return Notice("not_validated", f"Parameters are not checked against the model: {why}.")


class _Mistakes:
    """Mistakes, the same in several lines only once, in bounded memory."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._again: dict[str, int] = {}
        self._count = 0
        self._of_config = False

    def configured(self, place: str, message: str) -> None:
        """Note one of the config or the flags."""
        self._of_config = True
        self.add(place, message)

    def add(self, place: str, message: str) -> None:
        """Note one."""
        self._count += 1
        if message in self._first:
            self._again[message] = self._again.get(message, 0) + 1
        elif len(self._first) < LISTED:
            self._first[message] = place

    def raise_if_any(self, schema: Schema | None) -> None:
        """Raises ConfigError if one of them is the config's, else SourceError."""
        if not self._count:
            return
        head = f"{self._count:,} {'mistake' if self._count == 1 else 'mistakes'} in the parameters"
        lines = [f"{head}; nothing was sent:", *self._lines()]
        told = len(self._first) + sum(self._again.values())
        if more := self._count - told:
            lines.append(f"... and {more:,} more")
        how = "" if schema is None else "`batchinfer describe` shows what the model takes; "
        message = "\n  ".join(lines) + f"\n{how}--no-validate sends all the same."
        raise (ConfigError if self._of_config else SourceError)(message)

    def _lines(self) -> Iterator[str]:
        for message, place in self._first.items():
            again = self._again.get(message, 0)
            more = f" (and {again:,} more)" if again else ""
            yield f"{place}{more}: {message}"


def _ignore(_line: int, _message: str) -> None:
    """The source was checked before: what is broken has been told."""
