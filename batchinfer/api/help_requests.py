"""Asking a service for a description of its model: by a call, or by a job through its bucket.

A service that is starting is waited for, and the observer is notified. Whatever else goes wrong is
tried a few times within seconds and then returned as a Failure: the caller decides what it means.
Asking through the bucket starts one job on the platform, under a name that no item has; what it
leaves is deleted.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from contextlib import suppress
from typing import Final, Protocol

import anyio

from batchinfer.backends.bucket_client import BucketClient
from batchinfer.backends.protocol_calls import call_protocol
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, FailureKind, Reply
from batchinfer.errors import BatchInferError, FatalError
from batchinfer.flow.retries import Downtime, Retry, RetryPolicy, WaitForService, decide
from batchinfer.ports import Notice, Observer, OutageEnded, OutageOngoing
from batchinfer.protocols.inference_protocol import BucketProtocol, InferenceProtocol, SavedOutput
from batchinfer.protocols.object_ids import new_run_id

MAX_HELP_CALL_SECONDS: Final = 300.0
"""Seconds: beyond, the platform itself would cut the call (docs/platform.md)."""
SLOW_HELP_NOTICE_SECONDS: Final = 5.0
"""Seconds that asking may take before the observer is notified."""
HELP_POLL_SECONDS: Final = 2.0
"""Seconds between two polls for the help in the bucket."""
_HELP_RETRY_POLICY: Final = RetryPolicy(max_attempts=3, max_delay=8.0)
_MAX_HELP_RETRY_DELAY: Final = 10.0
"""Seconds; a service that asks for a longer wait is not asked again."""


class HelpService(Protocol):
    """A service that can be asked: `HttpBackend`."""

    async def fetch_help(self) -> str | Failure:
        """The help, or why there is none. Raises FatalError."""


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
    protocol: InferenceProtocol,
    observer: Observer,
    redactor: Redactor,
    *,
    timeout: float,  # noqa: ASYNC109 - of the job, not of this function
    poll_interval: float = HELP_POLL_SECONDS,
) -> str | Failure:
    """The help through the bucket: one job, whose objects are deleted afterwards.

    Its name begins unlike that of any item. Raises FatalError.
    """
    names, request = protocol.bucket, protocol.help_request
    if names is None or request is None:
        return Failure("no_help", "services of this kind do not describe their model")
    name = f"help-{new_run_id(secrets.token_bytes(16))}"
    input_key, (log_key, reply_key) = names.make_input_key(name), names.make_output_keys(name)
    try:
        if (failure := await bucket.put(input_key, request)) is not None:
            return failure
        log = await _wait_for_job_log(bucket, log_key, observer, timeout, poll_interval)
    except OSError as error:
        return Failure("bucket_unreachable", str(error), FailureKind.UNAVAILABLE)
    finally:
        await _delete_quietly(bucket, [input_key, log_key, reply_key])
    if log is None:
        return Failure("no_output", f"{_HELP_BY_JOB_TEXT}, and nothing came out: {_TRY_LATER_TEXT}")
    return call_protocol(_parse_job_log, protocol, names, redactor.redact_bytes(log))


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


def _parse_job_log(protocol: InferenceProtocol, names: BucketProtocol, log: bytes) -> str | Failure:
    """The help in a log, from which secrets were removed. Raises FatalError."""
    text = log.decode(errors="replace")
    if protocol.parse_help(text) is not None:
        return text
    match names.decode_log(log):
        case None:
            return names.explain_missing(log)
        case FatalError() as error:
            raise error
        case Failure() as failure:
            return protocol.extract_help(failure)
        case SavedOutput():
            return protocol.extract_help(Reply())


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


async def _delete_quietly(bucket: BucketClient, keys: list[str]) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(30):
        for key in keys:
            with suppress(OSError, BatchInferError):
                await bucket.delete(key)
