"""Sync mode, looked at without a prediction: the token's shape, then one call for the help."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

import anyio

from batchinfer.api.checks.clock_check import check_clock
from batchinfer.api.checks.findings import Finding, FindingState, OnFinding
from batchinfer.api.clients import open_service
from batchinfer.api.model_help import fetch_help_by_call
from batchinfer.backends.redaction import Redactor
from batchinfer.config import RunSettings, ServiceSettings
from batchinfer.domain import Failure, FailureKind, Mode
from batchinfer.errors import FatalError
from batchinfer.oscar.deepaas_versions import find_deepaas_version, list_quirks
from batchinfer.oscar.tokens import InvalidToken, OidcToken, ServiceToken, classify_token
from batchinfer.ports import Event, OutageOngoing
from batchinfer.progress import format_duration

OIDC_EXPIRY_WARNING_SECONDS: Final = 3600.0
"""Seconds; an OIDC token that is valid for less will hardly last for a run."""

_REFUSAL_CODES: Final = frozenset({"unauthorized", "token_malformed", "not_in_vo"})
_UNREACHABLE_CODES: Final = frozenset({"unreachable", "tls", "bad_endpoint", "redirected"})
_STARTING_CODES: Final = frozenset({"cold_start", "timeout"})


def check_token(token: str, on_finding: OnFinding) -> None:
    """Whether it can be a token at all, and for how long."""
    on_finding(_make_token_finding(token, time.time()))


async def check_service(
    access: ServiceSettings,
    settings: RunSettings,
    redactor: Redactor,
    on_finding: OnFinding,
    wait_seconds: float,
) -> None:
    """Ask for the model's help, for at most `wait` seconds, and tell what the answer tells."""
    startup, ahead = _StartupObserver(), None
    try:
        call_settings = replace(settings, timeout=wait_seconds, first_byte_timeout=None)
        async with open_service(access, call_settings, redactor) as service:
            answer: str | Failure | FatalError | None = None
            with anyio.move_on_after(wait_seconds):
                answer = await fetch_help_by_call(service, startup, cold_start_timeout=wait_seconds)
            ahead = service.clock_skew
    except FatalError as error:
        answer = error
    has_answered = ahead is not None or startup.is_starting
    if answer is None and not has_answered:
        answer = Failure(
            "timeout",
            f"it has not answered for {format_duration(wait_seconds)}",
            FailureKind.TRANSIENT,
        )
    _report_endpoint(answer, access, on_finding, has_answered=has_answered)
    _report_service(answer, startup, on_finding, wait_seconds)
    if ahead is not None:
        on_finding(check_clock(ahead, Mode.SYNC))


class _StartupObserver:
    """Remembers whether the service was waited for."""

    def __init__(self) -> None:
        self.is_starting = False

    def notify(self, event: Event) -> None:
        """See ports.Observer."""
        self.is_starting = self.is_starting or isinstance(event, OutageOngoing)


def _report_endpoint(
    answer: str | Failure | FatalError | None,
    access: ServiceSettings,
    on_finding: OnFinding,
    *,
    has_answered: bool,
) -> None:
    """Whether the endpoint answers at all, and whether the token opens it."""
    code = None if answer is None or isinstance(answer, str) else answer.code
    if code in _UNREACHABLE_CODES:
        on_finding(Finding("endpoint", FindingState.BAD, _get_message(answer), Mode.SYNC))
        return
    if code == "timeout" and not has_answered:
        on_finding(Finding("endpoint", FindingState.NOTE, _get_message(answer), Mode.SYNC))
        return
    secure = "TLS is fine" if access.endpoint.startswith("https") else "not encrypted"
    unchecked = (
        " (certificate not checked)" if secure == "TLS is fine" and not access.verify else ""
    )
    on_finding(
        Finding("endpoint", FindingState.GOOD, f"it answers; {secure}{unchecked}", Mode.SYNC)
    )
    if code in _REFUSAL_CODES:
        on_finding(Finding("access", FindingState.BAD, _get_message(answer), Mode.SYNC))
    elif isinstance(answer, str) or (isinstance(answer, Failure) and code not in _STARTING_CODES):
        on_finding(Finding("access", FindingState.GOOD, "the token is accepted", Mode.SYNC))


def _report_service(
    answer: str | Failure | FatalError | None,
    startup: _StartupObserver,
    on_finding: OnFinding,
    wait_seconds: float,
) -> None:
    """Whether it is warm, and what it runs."""
    code = None if answer is None or isinstance(answer, str) else answer.code
    if code in _UNREACHABLE_CODES | _REFUSAL_CODES:
        return
    log = answer if isinstance(answer, str) else getattr(answer, "log", "")
    if isinstance(answer, str) or code == "no_help":
        on_finding(
            Finding("service", FindingState.GOOD, "it is warm: a container answers", Mode.SYNC)
        )
    elif answer is None or code in _STARTING_CODES:
        why = "it is cold, and starts now" if startup.is_starting else "it has not answered yet"
        message = (
            f"{why}: nothing more is known after {format_duration(wait_seconds)}. Runs wait for "
            "it; to wait here, "
            "use --wait 10m"
        )
        on_finding(Finding("service", FindingState.NOTE, message, Mode.SYNC))
    else:
        on_finding(Finding("service", FindingState.BAD, _get_message(answer), Mode.SYNC))
    if version := find_deepaas_version(log):
        quirks = list_quirks(log)
        message = " ".join([f"DEEPaaS {version}.", *quirks])
        on_finding(Finding("deepaas", FindingState.NOTE if quirks else FindingState.GOOD, message))


def _get_message(answer: object) -> str:
    return answer.message if isinstance(answer, Failure) else str(answer)


def _make_token_finding(token: str, now: float) -> Finding:
    match classify_token(token):
        case ServiceToken():
            return Finding("token", FindingState.GOOD, "64 hexadecimal digits", Mode.SYNC)
        case InvalidToken(reason):
            message = f"{reason}. Copy 'Token' from the Dashboard again"
            return Finding("token", FindingState.BAD, message, Mode.SYNC)
        case OidcToken(expires_at):
            return _make_oidc_finding(expires_at, now)


def _make_oidc_finding(expires_at: float | None, now: float) -> Finding:
    if expires_at is None:
        message = "an OIDC token that does not say when it expires"
        return Finding("token", FindingState.NOTE, message, Mode.SYNC)
    if expires_at <= now:
        past = format_duration(now - expires_at)
        message = (
            f"an OIDC token that expired {past} ago: get a new one, or use {_SERVICE_KIND_TEXT}"
        )
        return Finding("token", FindingState.BAD, message, Mode.SYNC)
    message = f"an OIDC token, valid for another {format_duration(expires_at - now)}"
    if expires_at - now < OIDC_EXPIRY_WARNING_SECONDS:
        return Finding(
            "token", FindingState.NOTE, f"{message}: better use {_SERVICE_KIND_TEXT}", Mode.SYNC
        )
    return Finding("token", FindingState.GOOD, message, Mode.SYNC)


_SERVICE_KIND_TEXT: Final = "the service's own token, which does not expire"
