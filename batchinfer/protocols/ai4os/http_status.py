"""What an HTTP status of the platform means (docs/platform.md, "Status codes"). Pure.

One table, `STATUS_RULES`; `status_rules` says how it is read. A 200 is not classified here: its
body must be read (`reply_parser.py`).
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from batchinfer.domain import FailureKind, ServiceSignal
from batchinfer.protocols import status_rules
from batchinfer.protocols.http_text import HTML_START_PATTERN
from batchinfer.protocols.status_rules import ANY_BODY, CLIENT_ERROR_RULES, StatusRule, exactly

_EMPTY_BODY = r"\Z"
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
        ANY_BODY,
        _FATAL_DISPOSITION,
        "bad_endpoint",
        "the endpoint answered {status}, which no synchronous call does: it must be the one "
        "that the Dashboard shows under 'Synchronous calls' (https://.../run/<service>){said}",
    ),
    StatusRule(
        range(300, 400),
        ANY_BODY,
        _FATAL_DISPOSITION,
        "redirected",
        "the endpoint redirects ({status}) to {place}; that is not followed, because the token "
        "must not go to another address. Correct the endpoint (https or http? a missing part?)",
    ),
    StatusRule(
        exactly(400),
        "invalid workload",
        _FATAL_DISPOSITION,
        "invalid_workload",
        "the service cannot run with the resources it was given: change its CPU, memory or GPU "
        "on the Dashboard{said}",
    ),
    StatusRule(
        exactly(400),
        ".*oidc manager for issuer",
        _FATAL_DISPOSITION,
        "unauthorized",
        "the cluster does not know who issued the token: copy the service's token from the "
        "Dashboard{said}",
    ),
    StatusRule(
        exactly(401),
        ".*this user isn't.* the vo",
        _FATAL_DISPOSITION,
        "not_in_vo",
        "the token's user is not a member of the service's VO: join it, or use the service's "
        "own token from the Dashboard{said}",
    ),
    StatusRule(
        exactly(401),
        ANY_BODY,
        _FATAL_DISPOSITION,
        "unauthorized",
        "the service refused the token (401) or, on newer clusters, the service does not exist:"
        " compare endpoint and token with the Dashboard{said}",
    ),
    StatusRule(
        exactly(404),
        "404 page not found",
        _FATAL_DISPOSITION,
        "no_serverless",
        "nothing answers at this path (404): the cluster offers no synchronous calls, or the "
        "endpoint is wrong. Compare it with the Dashboard, or use --mode async",
    ),
    StatusRule(
        exactly(404),
        ANY_BODY,
        _FATAL_DISPOSITION,
        "not_found",
        "the service does not exist, or an OIDC token has expired (404): compare the endpoint "
        "with the Dashboard, and get a fresh token{said}",
    ),
    StatusRule(
        exactly(408),
        ANY_BODY,
        FailureKind.TRANSIENT,
        "timeout",
        "the service stopped the prediction after {seconds:.0f} s, its limit for one (408). If "
        "predictions take that long, use --mode async{said}",
        signal=ServiceSignal.TIMEOUT,
    ),
    StatusRule(
        exactly(413),
        ANY_BODY,
        FailureKind.PERMANENT,
        "payload_too_large",
        "the cluster refuses a request of this size (413): use --mode async, which knows no such "
        "limit, or make the file smaller",
    ),
    *CLIENT_ERROR_RULES,
    StatusRule(
        exactly(500),
        "(?=.*exit status).*traceback",
        FailureKind.PERMANENT,
        "bad_payload",
        "the platform could not read what was sent (a parameter named event, event_type, "
        "httpMethod or Records cannot be sent in sync mode){said}",
        quote_last_line=True,
    ),
    StatusRule(
        exactly(502),
        "token is malformed",
        _FATAL_DISPOSITION,
        "token_malformed",
        "the token is malformed: a service token has exactly 64 characters, 0-9 and a-f. Copy it "
        "again from the Dashboard",
    ),
    StatusRule(
        exactly(502),
        _EMPTY_BODY,
        FailureKind.UNAVAILABLE,
        "cold_start",
        _COLD_START_MESSAGE,
    ),
    StatusRule(
        exactly(502),
        ANY_BODY,
        FailureKind.TRANSIENT,
        "timeout",
        "the call was cut after {seconds:.0f} s, a limit of some gateway (502). "
        + _LONG_PREDICTION_ADVICE,
        only_at_gateway_timeout=True,
        signal=ServiceSignal.TIMEOUT,
    ),
    StatusRule(
        exactly(502),
        "eof|" + HTML_START_PATTERN,
        FailureKind.TRANSIENT,
        "container_died",
        "the model's container broke off (502), most often for lack of memory. If this item "
        "keeps failing, make it smaller or give the service more memory{said}",
    ),
    StatusRule(
        exactly(503),
        ".*pending request queue full",
        FailureKind.TRANSIENT,
        "http_503",
        "the service's queue is full (503): with --concurrency auto there will be fewer calls at "
        "once; a fixed --concurrency has to be lowered",
        signal=ServiceSignal.OVERLOADED,
    ),
    StatusRule(
        exactly(503),
        _NO_POD_BODY + "|" + HTML_START_PATTERN,
        FailureKind.UNAVAILABLE,
        "cold_start",
        _COLD_START_MESSAGE,
    ),
    StatusRule(
        exactly(504),
        ANY_BODY,
        FailureKind.TRANSIENT,
        "timeout",
        "no answer within the platform's own limit (504 after {seconds:.0f} s). "
        + _LONG_PREDICTION_ADVICE,
        signal=ServiceSignal.TIMEOUT,
    ),
    StatusRule(
        exactly(503),
        ANY_BODY,
        FailureKind.TRANSIENT,
        "http_{status}",
        _SERVICE_FAILED_MESSAGE,
        signal=ServiceSignal.OVERLOADED,
    ),
    StatusRule(
        range(1000), ANY_BODY, FailureKind.TRANSIENT, "http_{status}", _SERVICE_FAILED_MESSAGE
    ),
)
"""Read from the top: what is peculiar first, then what is general; the last row fits everything."""

classify_status = partial(status_rules.classify_status, rules=STATUS_RULES)
"""`status_rules.classify_status` by the platform's own table."""
