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

from batchinfer.api.preparing import must_be_known
from batchinfer.api.reaching import bucket_of, service_of
from batchinfer.backends.objects import Bucket
from batchinfer.backends.redact import Redactor
from batchinfer.config import BucketAccess, Config, Resolved, ServiceAccess, resolve
from batchinfer.domain import Failure, Json, Kind, Mode, Reply
from batchinfer.errors import BatchInferError, FatalError, RunAborted
from batchinfer.oscar.faults import raise_if_hopeless
from batchinfer.oscar.names import INPUTS, OUTPUTS, new_run_id
from batchinfer.oscar.payload import HELP
from batchinfer.oscar.reply import Saved, killed, read_log
from batchinfer.oscar.schema import Schema, helped, parse_help
from batchinfer.ports import Back, Notice, Observer, Waiting
from batchinfer.retry import Absence, Retry, RetryPolicy, Wait, decide
from batchinfer.store.lock import RunLock
from batchinfer.store.reader import RunReader
from batchinfer.store.sqlite import SqliteStore

LONGEST_CALL: Final = 300.0
"""Seconds: beyond, the platform itself would cut the call (contract section 1)."""
SILENCE: Final = 5.0
"""Seconds that asking may take before it is told."""
LOOK_EVERY: Final = 2.0
"""Seconds between two looks for the help in the bucket."""
_POLICY: Final = RetryPolicy(max_attempts=3, cap=8.0)
_SOON: Final = 10.0
"""Seconds; a service that asks for a longer wait is not asked again."""


class Helpful(Protocol):
    """A service that can be asked: `backends.http.HttpBackend`."""

    async def help(self) -> str | Failure:
        """The help, or why there is none. Raises FatalError."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a model takes."""

    schema: Schema
    help: str
    """What the service answered, secrets redacted."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer describe --json` prints (docs/scripting.md)."""
        parameters: list[Json] = [each.as_json() for each in self.schema.parameters]
        return {"parameters": parameters, "open": self.schema.open, "help": self.help}


async def describe(
    config: Config,
    env: Mapping[str, str],
    observer: Observer,
    *,
    run: Path | None = None,
    mode: Mode | None = None,
    again: bool = False,
) -> Description:
    """What the model of a service takes; kept in `run`, and taken from there unless `again`.

    `mode`: how to ask; None: by a call, if the service's endpoint is configured, else through the
    bucket. Raises ConfigError, RunLocked, and RunAborted when the service gives no help.
    """
    if run is not None:
        must_be_known(run)
        if not again and (kept := kept_help(run)) is not None:
            return kept
    by_call = config.service.endpoint is not None
    mode = mode or (Mode.SYNC if by_call else config.mode)
    resolved = resolve(replace(config, run=replace(config.run, mode=mode)), env)
    with nullcontext() if run is None else RunLock(run):
        for notice in resolved.notices:
            observer.notify(notice)
        answer = await asked(resolved, observer, patience=resolved.cold_start)
        if isinstance(answer, Failure):
            raise RunAborted(answer.code, f"There is no help of the model: {answer.message}")
        if run is not None:
            async with SqliteStore.open(run) as store:
                await store.keep_help(answer.help)
    return answer


def kept_help(run: Path) -> Description | None:
    """What the run keeps of its model's help."""
    with RunReader(run) as reader:
        return _described(reader.help() or "")


async def asked(
    resolved: Resolved, observer: Observer, *, patience: float
) -> Description | Failure:
    """Ask, by a call or through the bucket; a service that is starting is waited for.

    `patience`: seconds. Raises RunAborted for what would end a run.
    """
    redact = Redactor(resolved.secrets)
    none = Failure("no_help", "what the service answers is none that can be read")
    answer: str | Failure = none
    try:
        match resolved.access:
            case ServiceAccess() as access:
                timeout = min(resolved.timeout, LONGEST_CALL)
                async with service_of(access, redact, timeout=timeout) as service:
                    answer = await ask_service(service, observer, patience=patience)
            case BucketAccess() as access:
                async with bucket_of(access, redact) as bucket:
                    answer = await ask_bucket(bucket, observer, redact, patience=patience)
    except FatalError as error:
        raise RunAborted(error.code, str(error)) from None
    if isinstance(answer, Failure):
        return answer
    return _described(answer) or none


async def ask_service(
    service: Helpful, observer: Observer, *, patience: float, policy: RetryPolicy = _POLICY
) -> str | Failure:
    """The help by a call. Raises FatalError."""
    absence, tried, waits = Absence(), 0, 0
    while True:
        answer = await _call(service, observer)
        cold = isinstance(answer, Failure) and answer.code == "cold_start"
        if not cold and absence.lasts:
            observer.notify(Back("cold_start", absence.ended(anyio.current_time())))
        if isinstance(answer, str):
            return answer
        if cold:
            waits, away = waits + 1, absence.noticed(anyio.current_time())
            if away > patience:
                return answer
            observer.notify(Waiting(answer.code, answer.message, away, patience))
        elif answer.kind is Kind.UNAVAILABLE or answer.code == "timeout":
            return answer  # a call that timed out holds the service's place: no second one
        else:
            tried += 1
        match decide(policy, answer, waits if cold else tried, random.random()):  # noqa: S311 - no secret
            case Wait(delay):
                await anyio.sleep(delay)
            case Retry(delay) if delay <= _SOON:
                await anyio.sleep(delay)
            case _:
                return answer


async def ask_bucket(
    bucket: Bucket,
    observer: Observer,
    redact: Redactor,
    *,
    patience: float,
    every: float = LOOK_EVERY,
) -> str | Failure:
    """The help through the bucket: one job, whose objects are deleted afterwards.

    Its name begins unlike any item's (`oscar.names`). Raises FatalError.
    """
    name = f"help-{new_run_id(secrets.token_bytes(16))}"
    try:
        if (refused := await bucket.put(f"{INPUTS}{name}.json", HELP)) is not None:
            return refused
        log = await _log_of_job(bucket, f"{OUTPUTS}{name}.log", observer, patience, every)
    except OSError as error:
        return Failure("bucket_unreachable", str(error), Kind.UNAVAILABLE)
    finally:
        outputs = [f"{OUTPUTS}{name}.{extension}" for extension in ("log", "json")]
        await _remove(bucket, [f"{INPUTS}{name}.json", *outputs])
    if log is None:
        return Failure("no_output", f"{_BY_JOB}, and nothing came out: {_TRY_LATER}")
    return _told(redact.data(log))


async def _log_of_job(
    bucket: Bucket, key: str, observer: Observer, patience: float, every: float
) -> bytes | None:
    began, waited = anyio.current_time(), 0.0
    while waited <= patience:
        observer.notify(Waiting("help", _BY_JOB, waited, patience))
        if (log := await bucket.get(key)) is not None:
            return log
        await anyio.sleep(every)
        waited = anyio.current_time() - began
    return None


def _told(log: bytes) -> str | Failure:
    """The help in a log that is redacted already. Raises FatalError."""
    text = log.decode(errors="replace")
    if parse_help(text) is not None:
        return text
    match read_log(log):
        case None:
            return killed(log)
        case Failure() as failure:
            return helped(raise_if_hopeless(failure))
        case Saved():
            return helped(Reply())


_SLOW: Final = Notice(
    "asking", "Asking the service for its model's parameters takes a while: it may be starting."
)
_BY_JOB: Final = "the model is asked for its help by a job, which mostly takes a minute or so"
_TRY_LATER: Final = "try again later, or give [service] endpoint and token to ask by a call"


async def _call(service: Helpful, observer: Observer) -> str | Failure:
    telling = asyncio.get_running_loop().call_later(SILENCE, observer.notify, _SLOW)
    try:
        return await service.help()
    finally:
        telling.cancel()


def _described(text: str) -> Description | None:
    schema = parse_help(text)
    return None if schema is None else Description(schema, text)


async def _remove(bucket: Bucket, keys: list[str]) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(30):
        for key in keys:
            with suppress(OSError, BatchInferError):
                await bucket.delete(key)
