"""Sync mode, looked at without a prediction: the token's shape, then one call for the help."""

from __future__ import annotations

import time
from typing import Final

import anyio

from batchinfer.api.checks.clocks import clock
from batchinfer.api.checks.findings import Finding, State, Tell
from batchinfer.api.describing import ask_service
from batchinfer.api.reaching import service_of
from batchinfer.backends.redact import Redactor
from batchinfer.config import ServiceAccess
from batchinfer.domain import Failure, Kind, Mode
from batchinfer.errors import FatalError
from batchinfer.oscar.tokens import NoToken, OidcToken, ServiceToken, read_token
from batchinfer.oscar.versions import deepaas_version, quirks_of
from batchinfer.ports import Event, Waiting
from batchinfer.progress import duration

SOON: Final = 3600.0
"""Seconds; an OIDC token that is valid for less will hardly last for a run."""

_REFUSALS: Final = frozenset({"unauthorized", "token_malformed", "not_in_vo"})
_UNREACHED: Final = frozenset({"unreachable", "tls", "bad_endpoint", "redirected"})
_STARTING: Final = frozenset({"cold_start", "timeout"})


def check_token(token: str, tell: Tell) -> None:
    """Whether it can be a token at all, and for how long."""
    tell(_token(token, time.time()))


async def check_service(access: ServiceAccess, redact: Redactor, tell: Tell, wait: float) -> None:
    """Ask for the model's help, for at most `wait` seconds, and tell what the answer tells."""
    last, ahead = _Last(), None
    try:
        async with service_of(access, redact, timeout=wait) as service:
            answer: str | Failure | FatalError | None = None
            with anyio.move_on_after(wait):
                answer = await ask_service(service, last, patience=wait)
            ahead = service.ahead
    except FatalError as error:
        answer = error
    heard = ahead is not None or last.starting
    if answer is None and not heard:
        answer = Failure("timeout", f"it has not answered for {duration(wait)}", Kind.TRANSIENT)
    _reached(answer, access, tell, heard=heard)
    _understood(answer, last, tell, wait)
    if ahead is not None:
        tell(clock(ahead, Mode.SYNC))


class _Last:
    """Remembers whether the service was waited for."""

    def __init__(self) -> None:
        self.starting = False

    def notify(self, event: Event) -> None:
        """See ports.Observer."""
        self.starting = self.starting or isinstance(event, Waiting)


def _reached(
    answer: str | Failure | FatalError | None, access: ServiceAccess, tell: Tell, *, heard: bool
) -> None:
    """Whether the endpoint answers at all, and whether the token opens it."""
    code = None if answer is None or isinstance(answer, str) else answer.code
    if code in _UNREACHED:
        tell(Finding("endpoint", State.BAD, _said(answer), Mode.SYNC))
        return
    if code == "timeout" and not heard:
        tell(Finding("endpoint", State.NOTE, _said(answer), Mode.SYNC))
        return
    secure = "TLS is fine" if access.endpoint.startswith("https") else "not encrypted"
    unchecked = (
        " (certificate not checked)" if secure == "TLS is fine" and not access.verify else ""
    )
    tell(Finding("endpoint", State.GOOD, f"it answers; {secure}{unchecked}", Mode.SYNC))
    if code in _REFUSALS:
        tell(Finding("access", State.BAD, _said(answer), Mode.SYNC))
    elif isinstance(answer, str) or (isinstance(answer, Failure) and code not in _STARTING):
        tell(Finding("access", State.GOOD, "the token is accepted", Mode.SYNC))


def _understood(
    answer: str | Failure | FatalError | None, last: _Last, tell: Tell, wait: float
) -> None:
    """Whether it is warm, and what it runs."""
    code = None if answer is None or isinstance(answer, str) else answer.code
    if code in _UNREACHED | _REFUSALS:
        return
    log = answer if isinstance(answer, str) else getattr(answer, "log", "")
    if isinstance(answer, str) or code == "no_help":
        tell(Finding("service", State.GOOD, "it is warm: a container answers", Mode.SYNC))
    elif answer is None or code in _STARTING:
        why = "it is cold, and starts now" if last.starting else "it has not answered yet"
        message = (
            f"{why}: nothing more is known after {duration(wait)}. Runs wait for it; to wait here, "
            "use --wait 10m"
        )
        tell(Finding("service", State.NOTE, message, Mode.SYNC))
    else:
        tell(Finding("service", State.BAD, _said(answer), Mode.SYNC))
    if version := deepaas_version(log):
        told = quirks_of(log)
        message = " ".join([f"DEEPaaS {version}.", *told])
        tell(Finding("deepaas", State.NOTE if told else State.GOOD, message))


def _said(answer: object) -> str:
    return answer.message if isinstance(answer, Failure) else str(answer)


def _token(token: str, now: float) -> Finding:
    match read_token(token):
        case ServiceToken():
            return Finding("token", State.GOOD, "64 hexadecimal digits", Mode.SYNC)
        case NoToken(reason):
            message = f"{reason}. Copy 'Token' from the Dashboard again"
            return Finding("token", State.BAD, message, Mode.SYNC)
        case OidcToken(expires_at):
            return _oidc(expires_at, now)


def _oidc(expires_at: float | None, now: float) -> Finding:
    if expires_at is None:
        message = "an OIDC token that does not say when it expires"
        return Finding("token", State.NOTE, message, Mode.SYNC)
    if expires_at <= now:
        past = duration(now - expires_at)
        message = f"an OIDC token that expired {past} ago: get a new one, or use {_LASTING}"
        return Finding("token", State.BAD, message, Mode.SYNC)
    message = f"an OIDC token, valid for another {duration(expires_at - now)}"
    if expires_at - now < SOON:
        return Finding("token", State.NOTE, f"{message}: better use {_LASTING}", Mode.SYNC)
    return Finding("token", State.GOOD, message, Mode.SYNC)


_LASTING: Final = "the service's own token, which does not expire"
