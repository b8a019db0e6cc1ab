"""Sync mode, looked at without a prediction: the token's shape, then one call for the help."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

import anyio

from batchinfer.api.checks.findings import Finding, FindingState, OnFinding, check_clock
from batchinfer.api.clients import get_service, open_service
from batchinfer.api.help_requests import fetch_help_by_call
from batchinfer.config import RunSettings
from batchinfer.domain import Failure, FailureKind, Mode
from batchinfer.errors import FatalError
from batchinfer.ports import Event, OutageOngoing
from batchinfer.protocols.inference_protocol import TokenFacts
from batchinfer.protocols.registry import load_protocol
from batchinfer.text_format import format_duration

TOKEN_EXPIRY_WARNING_SECONDS: Final = 3600.0
"""Seconds; a token that is valid for less will hardly last for a run."""

_REFUSAL_CODES: Final = frozenset({"unauthorized", "token_malformed", "not_in_vo"})
_UNREACHABLE_CODES: Final = frozenset({"unreachable", "tls", "bad_endpoint", "redirected"})
_STARTING_CODES: Final = frozenset({"cold_start", "timeout"})


def check_token(settings: RunSettings, on_finding: OnFinding) -> None:
    """Whether it can be a token at all, and for how long."""
    token = get_service(settings).token
    if not token:
        on_finding(Finding("token", FindingState.GOOD, "none is configured", Mode.SYNC))
        return
    facts = load_protocol(settings.protocol, settings.protocol_options).inspect_token(token)
    if facts is not None:
        on_finding(_make_token_finding(facts, time.time()))


async def check_service(settings: RunSettings, on_finding: OnFinding, wait_seconds: float) -> None:
    """Ask for the model's help, for at most `wait_seconds`, and report what the answer shows."""
    if not load_protocol(settings.protocol, settings.protocol_options).is_self_describing:
        on_finding(Finding("service", FindingState.NOTE, _NOT_ASKED_TEXT, Mode.SYNC))
        return
    startup, ahead = _StartupObserver(), None
    try:
        call_settings = replace(settings, timeout=wait_seconds, first_byte_timeout=None)
        async with open_service(call_settings) as service:
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
    _report_endpoint(answer, settings, on_finding, has_answered=has_answered)
    _report_service(answer, settings, startup, on_finding, wait_seconds)
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
    settings: RunSettings,
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
    secure = "TLS is fine" if settings.target.endpoint.startswith("https") else "not encrypted"
    verify = settings.target.verify
    unchecked = " (certificate not checked)" if secure == "TLS is fine" and not verify else ""
    on_finding(
        Finding("endpoint", FindingState.GOOD, f"it answers; {secure}{unchecked}", Mode.SYNC)
    )
    if code in _REFUSAL_CODES:
        on_finding(Finding("access", FindingState.BAD, _get_message(answer), Mode.SYNC))
    elif isinstance(answer, str) or (isinstance(answer, Failure) and code not in _STARTING_CODES):
        message = "the token is accepted" if get_service(settings).token else "no token is needed"
        on_finding(Finding("access", FindingState.GOOD, message, Mode.SYNC))


def _report_service(
    answer: str | Failure | FatalError | None,
    settings: RunSettings,
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
            "it; to wait here, use --wait 10m"
        )
        on_finding(Finding("service", FindingState.NOTE, message, Mode.SYNC))
    else:
        on_finding(Finding("service", FindingState.BAD, _get_message(answer), Mode.SYNC))
    if software := load_protocol(settings.protocol, settings.protocol_options).find_software(log):
        message = " ".join([f"{software.name} {software.version}.", *software.quirks])
        state = FindingState.NOTE if software.quirks else FindingState.GOOD
        on_finding(Finding(software.name.lower(), state, message))


def _get_message(answer: object) -> str:
    return answer.message if isinstance(answer, Failure) else str(answer)


def _make_token_finding(facts: TokenFacts, now: float) -> Finding:
    if facts.problem is not None:
        return Finding("token", FindingState.BAD, facts.problem, Mode.SYNC)
    if not facts.can_expire:
        return Finding("token", FindingState.GOOD, facts.kind, Mode.SYNC)
    if facts.expires_at is None:
        message = f"{facts.kind} that does not say when it expires"
        return Finding("token", FindingState.NOTE, message, Mode.SYNC)
    use_another = f"use {facts.lasting_kind}" if facts.lasting_kind else ""
    if facts.expires_at <= now:
        past = format_duration(now - facts.expires_at)
        advice = " or ".join(filter(None, ["get a new one,", use_another])).replace(", or", ", or")
        message = f"{facts.kind} that expired {past} ago: {advice}"
        return Finding("token", FindingState.BAD, message, Mode.SYNC)
    left = facts.expires_at - now
    message = f"{facts.kind}, valid for another {format_duration(left)}"
    if left < TOKEN_EXPIRY_WARNING_SECONDS:
        message += f": better {use_another}" if use_another else ""
        return Finding("token", FindingState.NOTE, message, Mode.SYNC)
    return Finding("token", FindingState.GOOD, message, Mode.SYNC)


_NOT_ASKED_TEXT: Final = (
    "services of this kind cannot be asked without a prediction: use --probe FILE to send one file"
)
