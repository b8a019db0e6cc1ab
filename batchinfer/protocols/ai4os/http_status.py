"""What an HTTP status of the platform means (docs/platform.md, "Status codes"). Pure.

One table, `STATUS_RULES`, read from top to bottom; the first row that fits decides. A row fits by
status, by what the body says, and by how long the call took: gateways cut calls without saying so.
A 200 is not classified here: its body must be read (`reply_parser.py`).

The content type is no help (the service echoes ours), so bodies are classified by their text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from batchinfer.domain import Failure, FailureKind, ServiceSignal
from batchinfer.errors import FatalError
from batchinfer.protocols.http_text import (
    HTML_START_PATTERN,
    MAX_ERROR_BODY_BYTES,
    PROXY_AUTH_MESSAGE,
    excerpt,
    parse_retry_after,
    safe_url,
)

Disposition: TypeAlias = FailureKind | Literal["fatal"]

GATEWAY_TIMEOUTS_SECONDS = (60.0, 300.0)
"""Seconds after which gateways cut a call: nginx's default, and Knative's."""


@dataclass(frozen=True, slots=True)
class StatusRule:
    """One row: which answers, what follows, their code, and the message to the user."""

    statuses: range
    body_pattern: str
    """A regular expression that the stripped body must begin with; case and lines do not matter."""
    disposition: Disposition
    code: str
    message: str
    """Prose with `{status}`, `{seconds}`, `{place}` and `{said}` (": ..." or nothing)."""
    only_at_gateway_timeout: bool = False
    """Only if the call took as long as one of the `GATEWAY_TIMEOUTS_SECONDS`."""
    quote_last_line: bool = False
    """Quote the body's last line: that is where a traceback says what was wrong."""
    signal: ServiceSignal | None = None
    """As in `Failure`."""


def _exactly(status: int) -> range:
    return range(status, status + 1)


_ANY_BODY, _EMPTY_BODY = "", r"\Z"
_NO_POD_BODY = (
    ".*(context deadline exceeded|upstream connect error|no healthy upstream|no available "
    "server|service unavailable)"
)
_COLD_START_MESSAGE = "the service is starting or scaled to zero ({status}): it is waited for{said}"
_LONG_PREDICTION_ADVICE = (
    "The prediction may still be running. If they take that long, use --mode async{said}"
)
_SERVICE_FAILED_MESSAGE = (
    "the service failed ({status}): if this goes on, look at it on the Dashboard{said}"
)
_FATAL_DISPOSITION: Literal["fatal"] = "fatal"

STATUS_RULES: tuple[StatusRule, ...] = (
    StatusRule(
        range(201, 300),
        _ANY_BODY,
        _FATAL_DISPOSITION,
        "bad_endpoint",
        "the endpoint answered {status}, which no synchronous call does: it must be the one "
        "that the Dashboard shows under 'Synchronous calls' (https://.../run/<service>){said}",
    ),
    StatusRule(
        range(300, 400),
        _ANY_BODY,
        _FATAL_DISPOSITION,
        "redirected",
        "the endpoint redirects ({status}) to {place}; that is not followed, because the token "
        "must not go to another address. Correct the endpoint (https or http? a missing part?)",
    ),
    StatusRule(
        _exactly(400),
        "invalid workload",
        _FATAL_DISPOSITION,
        "invalid_workload",
        "the service cannot run with the resources it was given: change its CPU, memory or GPU "
        "on the Dashboard{said}",
    ),
    StatusRule(
        _exactly(400),
        ".*oidc manager for issuer",
        _FATAL_DISPOSITION,
        "unauthorized",
        "the cluster does not know who issued the token: copy the service's token from the "
        "Dashboard{said}",
    ),
    StatusRule(
        _exactly(401),
        ".*this user isn't.* the vo",
        _FATAL_DISPOSITION,
        "not_in_vo",
        "the token's user is not a member of the service's VO: join it, or use the service's "
        "own token from the Dashboard{said}",
    ),
    StatusRule(
        _exactly(401),
        _ANY_BODY,
        _FATAL_DISPOSITION,
        "unauthorized",
        "the service refused the token (401) or, on newer clusters, the service does not exist:"
        " compare endpoint and token with the Dashboard{said}",
    ),
    StatusRule(
        _exactly(404),
        "404 page not found",
        _FATAL_DISPOSITION,
        "no_serverless",
        "nothing answers at this path (404): the cluster offers no synchronous calls, or the "
        "endpoint is wrong. Compare it with the Dashboard, or use --mode async",
    ),
    StatusRule(
        _exactly(404),
        _ANY_BODY,
        _FATAL_DISPOSITION,
        "not_found",
        "the service does not exist, or an OIDC token has expired (404): compare the endpoint "
        "with the Dashboard, and get a fresh token{said}",
    ),
    StatusRule(
        _exactly(408),
        _ANY_BODY,
        FailureKind.TRANSIENT,
        "timeout",
        "the service stopped the prediction after {seconds:.0f} s, its limit for one (408). If "
        "predictions take that long, use --mode async{said}",
        signal=ServiceSignal.TIMEOUT,
    ),
    StatusRule(
        _exactly(413),
        _ANY_BODY,
        FailureKind.PERMANENT,
        "payload_too_large",
        "the cluster refuses a request of this size (413): use --mode async, which knows no such "
        "limit, or make the file smaller",
    ),
    StatusRule(
        _exactly(429),
        _ANY_BODY,
        FailureKind.TRANSIENT,
        "http_429",
        "too many calls at once (429): with --concurrency auto there will be fewer; a fixed "
        "--concurrency has to be lowered{said}",
        signal=ServiceSignal.OVERLOADED,
    ),
    *(
        StatusRule(
            _exactly(status),
            _ANY_BODY,
            FailureKind.PERMANENT,
            "http_{status}",
            "the service refused what was sent ({status}){said}",
        )
        for status in (400, 414, 415, 422)
    ),
    StatusRule(
        _exactly(407),
        _ANY_BODY,
        FailureKind.PERMANENT,
        "http_407",
        PROXY_AUTH_MESSAGE,
        signal=ServiceSignal.DENIED,
    ),
    StatusRule(
        range(400, 500),
        _ANY_BODY,
        FailureKind.PERMANENT,
        "http_{status}",
        "the service, or something before it, refused the request ({status}){said}",
        signal=ServiceSignal.DENIED,
    ),
    StatusRule(
        _exactly(500),
        "(?=.*exit status).*traceback",
        FailureKind.PERMANENT,
        "bad_payload",
        "the platform could not read what was sent (a parameter named event, event_type, "
        "httpMethod or Records cannot be sent in sync mode){said}",
        quote_last_line=True,
    ),
    StatusRule(
        _exactly(502),
        "token is malformed",
        _FATAL_DISPOSITION,
        "token_malformed",
        "the token is malformed: a service token has exactly 64 characters, 0-9 and a-f. Copy it "
        "again from the Dashboard",
    ),
    StatusRule(
        _exactly(502),
        _EMPTY_BODY,
        FailureKind.UNAVAILABLE,
        "cold_start",
        _COLD_START_MESSAGE,
    ),
    StatusRule(
        _exactly(502),
        _ANY_BODY,
        FailureKind.TRANSIENT,
        "timeout",
        "the call was cut after {seconds:.0f} s, a limit of some gateway (502). "
        + _LONG_PREDICTION_ADVICE,
        only_at_gateway_timeout=True,
        signal=ServiceSignal.TIMEOUT,
    ),
    StatusRule(
        _exactly(502),
        "eof|" + HTML_START_PATTERN,
        FailureKind.TRANSIENT,
        "container_died",
        "the model's container broke off (502), most often for lack of memory. If this item "
        "keeps failing, make it smaller or give the service more memory{said}",
    ),
    StatusRule(
        _exactly(503),
        ".*pending request queue full",
        FailureKind.TRANSIENT,
        "http_503",
        "the service's queue is full (503): with --concurrency auto there will be fewer calls at "
        "once; a fixed --concurrency has to be lowered",
        signal=ServiceSignal.OVERLOADED,
    ),
    StatusRule(
        _exactly(503),
        _NO_POD_BODY + "|" + HTML_START_PATTERN,
        FailureKind.UNAVAILABLE,
        "cold_start",
        _COLD_START_MESSAGE,
    ),
    StatusRule(
        _exactly(504),
        _ANY_BODY,
        FailureKind.TRANSIENT,
        "timeout",
        "no answer within the platform's own limit (504 after {seconds:.0f} s). "
        + _LONG_PREDICTION_ADVICE,
        signal=ServiceSignal.TIMEOUT,
    ),
    StatusRule(
        _exactly(503),
        _ANY_BODY,
        FailureKind.TRANSIENT,
        "http_{status}",
        _SERVICE_FAILED_MESSAGE,
        signal=ServiceSignal.OVERLOADED,
    ),
    StatusRule(
        range(1000), _ANY_BODY, FailureKind.TRANSIENT, "http_{status}", _SERVICE_FAILED_MESSAGE
    ),
)
"""Read from the top: what is peculiar first, then what is general; the last row fits everything."""


def classify_status(
    status: int,
    body: bytes,
    *,
    elapsed: float,
    now: float,
    retry_after: str | None = None,
    location: str | None = None,
    rules: Sequence[StatusRule] = STATUS_RULES,
) -> Failure | FatalError | None:
    """What follows from a status and its body; None for 200: the body decides.

    `rules`: the table; its last row fits everything. `elapsed`: seconds the call took. `now`:
    seconds since the epoch. `retry_after`, `location`: the headers of these names. A FatalError
    is returned, not raised. The body must be redacted already.
    """
    if status == 200:  # noqa: PLR2004 - the one status that says nothing
        return None
    rule = _match_rule(rules, status, body[:MAX_ERROR_BODY_BYTES].strip(), elapsed)
    code = rule.code.format(status=status)
    message = rule.message.format(
        status=status, seconds=elapsed, place=safe_url(location), said=_format_excerpt(body, rule)
    )
    if rule.disposition == "fatal":
        return FatalError(code, message)
    return Failure(
        code=code,
        message=message,
        kind=rule.disposition,
        retry_after=parse_retry_after(retry_after, now),
        signal=rule.signal,
        log=body[:MAX_ERROR_BODY_BYTES].decode("utf-8", "replace"),
    )


def _match_rule(
    rules: Sequence[StatusRule], status: int, body: bytes, elapsed: float
) -> StatusRule:
    text = body.decode("utf-8", "replace")
    is_gateway_timeout = any(-1.0 <= elapsed - limit <= 5.0 for limit in GATEWAY_TIMEOUTS_SECONDS)  # noqa: PLR2004 - a little slack
    for rule in rules:
        if (
            status in rule.statuses
            and (is_gateway_timeout or not rule.only_at_gateway_timeout)
            and re.match(rule.body_pattern, text, re.IGNORECASE | re.DOTALL)
        ):
            return rule
    return rules[-1]


def _format_excerpt(body: bytes, rule: StatusRule) -> str:
    text = excerpt(body.strip().rpartition(b"\n")[2] if rule.quote_last_line else body)
    return f": {text}" if text else ""
