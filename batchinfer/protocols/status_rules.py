"""Rules for what an HTTP status means: how they are read, and those of any service. Pure.

A table of rules is read from top to bottom; the first row that fits decides. A row fits by status,
by what the body says, and by how long the call took: gateways cut calls without saying so. The
content type is no help (services echo ours), so bodies are told apart by their text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from batchinfer.domain import Failure, FailureKind, ServiceSignal
from batchinfer.errors import FatalError
from batchinfer.protocols.http_text import (
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


def exactly(status: int) -> range:
    """The range of one status."""
    return range(status, status + 1)


ANY_BODY: Final = ""

CLIENT_ERROR_RULES: Final[Sequence[StatusRule]] = (
    StatusRule(
        exactly(429),
        ANY_BODY,
        FailureKind.TRANSIENT,
        "http_429",
        "too many calls at once (429): with --concurrency auto there will be fewer; a fixed "
        "--concurrency has to be lowered{said}",
        signal=ServiceSignal.OVERLOADED,
    ),
    *(
        StatusRule(
            exactly(status),
            ANY_BODY,
            FailureKind.PERMANENT,
            "http_{status}",
            "the service refused what was sent ({status}){said}",
        )
        for status in (400, 414, 415, 422)
    ),
    StatusRule(
        exactly(407),
        ANY_BODY,
        FailureKind.PERMANENT,
        "http_407",
        PROXY_AUTH_MESSAGE,
        signal=ServiceSignal.DENIED,
    ),
    StatusRule(
        range(400, 500),
        ANY_BODY,
        FailureKind.PERMANENT,
        "http_{status}",
        "the service, or something before it, refused the request ({status}){said}",
        signal=ServiceSignal.DENIED,
    ),
)
"""The 4xx that mean the same wherever they come from; the last row fits all of them."""


def classify_status(
    status: int,
    body: bytes,
    *,
    elapsed: float,
    now: float,
    retry_after: str | None = None,
    location: str | None = None,
    rules: Sequence[StatusRule],
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
