"""Asking the service what its model takes (contract section 3): its help, read into a schema.

A service that is starting is waited for, and that is told. Whatever else goes wrong is tried a few
times within seconds and then returned as a Failure: who asks decides what it means. Asking through
the bucket starts one job on the platform, under a name that no item has; what it leaves is deleted.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import anyio

from batchinfer.api.clients import open_bucket, open_service
from batchinfer.api.job_setup import require_run
from batchinfer.backends.bucket_client import BucketClient
from batchinfer.backends.redaction import Redactor
from batchinfer.config import (
    BucketSettings,
    Config,
    RunSettings,
    ServiceSettings,
    resolve_run_settings,
)
from batchinfer.domain import Failure, FailureKind, Json, Mode, Reply
from batchinfer.errors import BatchInferError, FatalError, RunAborted
from batchinfer.flow.retries import Downtime, Retry, RetryPolicy, WaitForService, decide
from batchinfer.oscar.model_schema import ModelSchema, extract_help, parse_help
from batchinfer.oscar.object_names import INPUTS_PREFIX, OUTPUTS_PREFIX, new_run_id
from batchinfer.oscar.payload import HELP_PAYLOAD
from batchinfer.oscar.reply_parser import SavedOutput, killed_log_failure, parse_log
from batchinfer.oscar.transcript_failures import raise_if_fatal
from batchinfer.ports import Notice, Observer, OutageEnded, OutageOngoing
from batchinfer.store.lock import RunLock
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore

MAX_HELP_CALL_SECONDS: Final = 300.0
"""Seconds: beyond, the platform itself would cut the call (contract section 1)."""
SLOW_HELP_NOTICE_SECONDS: Final = 5.0
"""Seconds that asking may take before it is told."""
HELP_POLL_SECONDS: Final = 2.0
"""Seconds between two looks for the help in the bucket."""
_HELP_RETRY_POLICY: Final = RetryPolicy(max_attempts=3, max_delay=8.0)
_MAX_HELP_RETRY_DELAY: Final = 10.0
"""Seconds; a service that asks for a longer wait is not asked again."""


class HelpService(Protocol):
    """A service that can be asked: `backends.http.HttpBackend`."""

    async def fetch_help(self) -> str | Failure:
        """The help, or why there is none. Raises FatalError."""


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a model takes."""

    schema: ModelSchema
    help: str
    """What the service answered, secrets redacted."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer describe --json` prints (docs/scripting.md)."""
        parameters: list[Json] = [each.as_json() for each in self.schema.parameters]
        return {"parameters": parameters, "open": self.schema.accepts_unlisted, "help": self.help}


async def describe(
    config: Config,
    env: Mapping[str, str],
    observer: Observer,
    *,
    run: Path | None = None,
    mode: Mode | None = None,
    refresh: bool = False,
) -> ModelDescription:
    """What the model of a service takes; kept in `run`, and taken from there unless `again`.

    `mode`: how to ask; None: by a call, if the service's endpoint is configured, else through the
    bucket. Raises ConfigError, RunLocked, and RunAborted when the service gives no help.
    """
    if run is not None:
        require_run(run)
        if not refresh and (stored := load_stored_help(run)) is not None:
            return stored
    by_call = config.service.endpoint is not None
    mode = mode or (Mode.SYNC if by_call else config.mode)
    settings = resolve_run_settings(replace(config, run=replace(config.run, mode=mode)), env)
    with nullcontext() if run is None else RunLock(run):
        for notice in settings.notices:
            observer.notify(notice)
        answer = await fetch_description(settings, observer, cold_start_timeout=settings.cold_start)
        if isinstance(answer, Failure):
            raise RunAborted(answer.code, f"There is no help of the model: {answer.message}")
        if run is not None:
            async with SqliteStore.open(run) as store:
                await store.save_model_help(answer.help)
    return answer


def load_stored_help(run: Path) -> ModelDescription | None:
    """What the run keeps of its model's help."""
    with RunReader(run) as reader:
        return _parse_description(reader.read_model_help() or "")


async def fetch_description(
    settings: RunSettings, observer: Observer, *, cold_start_timeout: float
) -> ModelDescription | Failure:
    """Ask, by a call or through the bucket; a service that is starting is waited for.

    `patience`: seconds. Raises RunAborted for what would end a run.
    """
    redactor = Redactor(settings.secrets)
    no_help = Failure("no_help", "what the service answers is none that can be read")
    answer: str | Failure = no_help
    try:
        match settings.target:
            case ServiceSettings() as access:
                timeout = min(settings.timeout, MAX_HELP_CALL_SECONDS)
                async with open_service(access, redactor, timeout=timeout) as service:
                    answer = await fetch_help_by_call(
                        service, observer, cold_start_timeout=cold_start_timeout
                    )
            case BucketSettings() as access:
                async with open_bucket(access, redactor) as bucket:
                    answer = await fetch_help_by_job(
                        bucket, observer, redactor, timeout=cold_start_timeout
                    )
    except FatalError as error:
        raise RunAborted(error.code, str(error)) from None
    if isinstance(answer, Failure):
        return answer
    return _parse_description(answer) or no_help


async def fetch_help_by_call(
    service: HelpService,
    observer: Observer,
    *,
    cold_start_timeout: float,
    policy: RetryPolicy = _HELP_RETRY_POLICY,
) -> str | Failure:
    """The help by a call. Raises FatalError."""
    downtime, attempts, wait_count = Downtime(), 0, 0
    while True:
        answer = await _call_help(service, observer)
        is_cold = isinstance(answer, Failure) and answer.code == "cold_start"
        if not is_cold and downtime.is_down:
            observer.notify(OutageEnded("cold_start", downtime.mark_up(anyio.current_time())))
        if isinstance(answer, str):
            return answer
        if is_cold:
            wait_count, down_for = wait_count + 1, downtime.mark_down(anyio.current_time())
            if down_for > cold_start_timeout:
                return answer
            observer.notify(
                OutageOngoing(answer.code, answer.message, down_for, cold_start_timeout)
            )
        elif answer.kind is FailureKind.UNAVAILABLE or answer.code == "timeout":
            return answer  # a call that timed out holds the service's place: no second one
        else:
            attempts += 1
        match decide(policy, answer, wait_count if is_cold else attempts, random.random()):  # noqa: S311 - no secret
            case WaitForService(delay):
                await anyio.sleep(delay)
            case Retry(delay) if delay <= _MAX_HELP_RETRY_DELAY:
                await anyio.sleep(delay)
            case _:
                return answer


async def fetch_help_by_job(
    bucket: BucketClient,
    observer: Observer,
    redactor: Redactor,
    *,
    timeout: float,  # noqa: ASYNC109 - of the job, not of this function
    poll_interval: float = HELP_POLL_SECONDS,
) -> str | Failure:
    """The help through the bucket: one job, whose objects are deleted afterwards.

    Its name begins unlike any item's (`oscar.names`). Raises FatalError.
    """
    name = f"help-{new_run_id(secrets.token_bytes(16))}"
    try:
        if (failure := await bucket.put(f"{INPUTS_PREFIX}{name}.json", HELP_PAYLOAD)) is not None:
            return failure
        log = await _wait_for_job_log(
            bucket, f"{OUTPUTS_PREFIX}{name}.log", observer, timeout, poll_interval
        )
    except OSError as error:
        return Failure("bucket_unreachable", str(error), FailureKind.UNAVAILABLE)
    finally:
        outputs = [f"{OUTPUTS_PREFIX}{name}.{extension}" for extension in ("log", "json")]
        await _delete_quietly(bucket, [f"{INPUTS_PREFIX}{name}.json", *outputs])
    if log is None:
        return Failure("no_output", f"{_HELP_BY_JOB_TEXT}, and nothing came out: {_TRY_LATER_TEXT}")
    return _parse_job_log(redactor.redact_bytes(log))


async def _wait_for_job_log(
    bucket: BucketClient,
    key: str,
    observer: Observer,
    timeout: float,  # noqa: ASYNC109 - as above
    poll_interval: float,
) -> bytes | None:
    start, waited = anyio.current_time(), 0.0
    while waited <= timeout:
        observer.notify(OutageOngoing("help", _HELP_BY_JOB_TEXT, waited, timeout))
        if (log := await bucket.get(key)) is not None:
            return log
        await anyio.sleep(poll_interval)
        waited = anyio.current_time() - start
    return None


def _parse_job_log(log: bytes) -> str | Failure:
    """The help in a log that is redacted already. Raises FatalError."""
    text = log.decode(errors="replace")
    if parse_help(text) is not None:
        return text
    match parse_log(log):
        case None:
            return killed_log_failure(log)
        case Failure() as failure:
            return extract_help(raise_if_fatal(failure))
        case SavedOutput():
            return extract_help(Reply())


_SLOW_HELP_NOTICE: Final = Notice(
    "asking", "Asking the service for its model's parameters takes a while: it may be starting."
)
_HELP_BY_JOB_TEXT: Final = (
    "the model is asked for its help by a job, which mostly takes a minute or so"
)
_TRY_LATER_TEXT: Final = "try again later, or give [service] endpoint and token to ask by a call"


async def _call_help(service: HelpService, observer: Observer) -> str | Failure:
    notice_timer = asyncio.get_running_loop().call_later(
        SLOW_HELP_NOTICE_SECONDS, observer.notify, _SLOW_HELP_NOTICE
    )
    try:
        return await service.fetch_help()
    finally:
        notice_timer.cancel()


def _parse_description(text: str) -> ModelDescription | None:
    schema = parse_help(text)
    return None if schema is None else ModelDescription(schema, text)


async def _delete_quietly(bucket: BucketClient, keys: list[str]) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(30):
        for key in keys:
            with suppress(OSError, BatchInferError):
                await bucket.delete(key)
