"""Checks every parameter of a job against the model's own help, before its first prediction.

The protocol judges what the config, the flags and all lines of the manifests give; all mistakes are
reported at once, each with its place, and then nothing is sent. Manifests are read once more for
that; memory use is constant. Without a help, a notice says so, and only what can never be sent is
refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import anyio.to_thread

from batchinfer.api.job import ResolvedJob
from batchinfer.api.model_help import ModelDescription, fetch_description, parse_description
from batchinfer.api.typed_params import find_text_params
from batchinfer.backends.redaction import Redactor
from batchinfer.config import Config, RunSettings, resolve_run_settings
from batchinfer.domain import Failure, Mode
from batchinfer.errors import ConfigError, RunAborted, SourceError, option
from batchinfer.ports import Notice, Observer
from batchinfer.protocols.inference_protocol import ParamChecker
from batchinfer.protocols.model_schema import ModelSchema
from batchinfer.protocols.registry import load_protocol
from batchinfer.sources import CombinedSource
from batchinfer.sources.manifest import ManifestSource

MAX_LISTED_MISTAKES = 20
"""Mistakes that are listed; of the rest only the number is given."""
ASYNC_HELP_TIMEOUT = 60.0
"""Seconds that async mode, which does without it, waits for a service that is starting."""


async def validate_job(
    resolved: ResolvedJob, source: CombinedSource | None, observer: Observer
) -> tuple[ResolvedJob, str | None]:
    """Check all parameters that a job is about to send.

    Only a job that names its source is checked: the items of a run that is resumed were checked
    before. Returns the job with parameters of the types that the help names, and the help if the
    run does not have it yet. Raises ConfigError and SourceError with all mistakes, RunAborted for
    what would end the run.
    """
    job = resolved.job
    if not (job.validate and job.sources and source is not None):
        return resolved, None
    stored = _parse_stored_help(resolved)
    description = stored or await _fetch_model_help(resolved, observer)
    schema = None if description is None else description.schema
    resolved = resolved.with_params(find_text_params(resolved.config, schema))
    check = partial(_validate_params, resolved, source, schema)
    for notice in await anyio.to_thread.run_sync(check, abandon_on_cancel=True):
        observer.notify(notice)
    return resolved, None if stored is not None or description is None else description.help


def validate_dry_run(resolved: ResolvedJob, source: CombinedSource) -> Sequence[Notice]:
    """The same for a job that sends nothing: by the help that its run has, if any."""
    stored = _parse_stored_help(resolved)
    if stored is None or not resolved.job.validate:
        return ()
    return _validate_params(resolved, source, stored.schema)


def _parse_stored_help(resolved: ResolvedJob) -> ModelDescription | None:
    if resolved.stored is None:
        return None
    protocol = load_protocol(resolved.settings.protocol, resolved.settings.protocol_options)
    return parse_description(protocol, resolved.stored.model_help)


def _validate_params(
    resolved: ResolvedJob, source: CombinedSource, schema: ModelSchema | None
) -> Sequence[Notice]:
    """Check the parameters of the config and of all manifests. Raises ConfigError, SourceError:
    all mistakes at once.
    """  # noqa: D205 - one thought
    config, settings = resolved.config, resolved.settings
    mistakes = _Mistakes()
    protocol = load_protocol(settings.protocol, settings.protocol_options)
    rules = protocol.make_param_checker(schema, settings.mode, settings.params)
    for place, problem in _iter_config_mistakes(config, settings, rules):
        mistakes.add_config(place, problem)
    manifests = [part for part in source.parts if isinstance(part, ManifestSource)]
    if len(manifests) < len(source.parts):
        for problem in rules.validate_item({}, (settings.file_param,)):
            mistakes.add_config("every file", problem)
    for manifest in manifests:
        for entry in manifest.iter_entries(_ignore_problem):
            files = tuple([param for param, _ in entry.files])
            for problem in rules.validate_item(entry.params, files):
                mistakes.add(manifest.describe_place(entry.line), problem)
    mistakes.raise_if_any(schema)
    return [
        Notice("abbreviated", f"The model takes {name!r} for its parameter {full!r}.")
        for name, full in rules.abbreviations.items()
    ]


def _iter_config_mistakes(
    config: Config, settings: RunSettings, rules: ParamChecker
) -> Iterator[tuple[str, str]]:
    redactor = Redactor(settings.secrets)
    for name, value in settings.params.items():
        if (problem := rules.validate_value(name, value)) is None:
            continue
        if redactor.redact_text(str(value)) != str(value):
            problem = f"the value of {name!r}, which is secret and not shown, does not fit"
        yield config.origins.get(f"params.{name}", f"[params] {name}"), problem


async def _fetch_model_help(resolved: ResolvedJob, observer: Observer) -> ModelDescription | None:
    """The model's help; None, and a notice, when the service gives none."""
    config, settings = resolved.config, resolved.settings
    if not load_protocol(settings.protocol, settings.protocol_options).takes_params:
        return None
    call_settings, cold_start_timeout = settings, settings.cold_start
    if settings.mode.uses_bucket:
        cold_start_timeout = min(cold_start_timeout, ASYNC_HELP_TIMEOUT)
        try:
            call_settings = resolve_run_settings(
                replace(config, run=replace(config.run, mode=Mode.SYNC)), resolved.job.env
            )
        except ConfigError:
            observer.notify(_explain_not_validated(_NO_SERVICE_TEXT))
            return None
    answer = await fetch_description(call_settings, observer, cold_start_timeout=cold_start_timeout)
    if not isinstance(answer, Failure):
        return answer
    if answer.code == "cold_start" and call_settings is settings:
        raise RunAborted(
            answer.code,
            f"The service has not been there for {cold_start_timeout:.0f} s: {answer.message}. "
            "Nothing was sent; try again when it is back.",
        )
    observer.notify(
        _explain_not_validated(f"the model gives no help ({answer.code}: {answer.message})")
    )
    return None


_NO_SERVICE_TEXT = (
    "there is no [service] with endpoint and token to ask for the model's help; `batchinfer "
    "describe RUN` asks through the bucket, by a job"
)


def _explain_not_validated(why: str) -> Notice:
    return Notice("not_validated", f"Parameters are not checked against the model: {why}.")


class _Mistakes:
    """Mistakes, the same in several lines only once, in bounded memory."""

    def __init__(self) -> None:
        self._first_places: dict[str, str] = {}
        self._repeats: dict[str, int] = {}
        self._count = 0
        self._has_config_mistakes = False

    def add_config(self, place: str, message: str) -> None:
        """Note one of the config or the flags."""
        self._has_config_mistakes = True
        self.add(place, message)

    def add(self, place: str, message: str) -> None:
        """Note one."""
        self._count += 1
        if message in self._first_places:
            self._repeats[message] = self._repeats.get(message, 0) + 1
        elif len(self._first_places) < MAX_LISTED_MISTAKES:
            self._first_places[message] = place

    def raise_if_any(self, schema: ModelSchema | None) -> None:
        """Raises ConfigError if one of them is the config's, else SourceError."""
        if not self._count:
            return
        head = f"{self._count:,} {'mistake' if self._count == 1 else 'mistakes'} in the parameters"
        lines = [f"{head}; nothing was sent:", *self._iter_lines()]
        listed = len(self._first_places) + sum(self._repeats.values())
        if more := self._count - listed:
            lines.append(f"... and {more:,} more")
        hint = "" if schema is None else "`batchinfer describe` shows what the model takes; "
        message = "\n  ".join(lines) + f"\n{hint}{option('validate', 'False')} skips this check."
        raise (ConfigError if self._has_config_mistakes else SourceError)(message)

    def _iter_lines(self) -> Iterator[str]:
        for message, place in self._first_places.items():
            repeats = self._repeats.get(message, 0)
            more = f" (and {repeats:,} more)" if repeats else ""
            yield f"{place}{more}: {message}"


def _ignore_problem(_line: int, _message: str) -> None:
    """The source was checked before: broken lines were reported then."""
