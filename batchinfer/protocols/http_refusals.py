"""What a status other than 200 means where nothing more is known of a service than that it speaks
HTTP, and what stands between here and it: proxies, gateways, a cluster. Pure.

A protocol puts rows of its own before these (`status_rules.StatusRule`).
"""  # noqa: D205 - one thought

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchinfer.domain import Failure, FailureKind, ServiceSignal
from batchinfer.errors import FatalError
from batchinfer.protocols.http_text import excerpt
from batchinfer.protocols.inference_protocol import HttpAnswer
from batchinfer.protocols.status_rules import (
    ANY_BODY,
    CLIENT_ERROR_RULES,
    StatusRule,
    classify_status,
    exactly,
)

_BUSY_BODY: Final = ".*(queue|too many|overload|busy|capacity|rate limit|throttl)"

GENERAL_STATUS_RULES: Final[Sequence[StatusRule]] = (
    StatusRule(
        range(300, 400),
        ANY_BODY,
        "fatal",
        "redirected",
        "the endpoint redirects ({status}) to {place}; that is not followed, because secrets must "
        "not go to another address. Correct the endpoint (https or http? a missing part?)",
    ),
    StatusRule(
        exactly(401),
        ANY_BODY,
        "fatal",
        "unauthorized",
        "the service refuses the token, or wants one (401): see [service] token{said}",
    ),
    StatusRule(
        exactly(404),
        ANY_BODY,
        "fatal",
        "not_found",
        "there is nothing at this address (404): check [service] endpoint{said}",
    ),
    *(
        StatusRule(
            exactly(status),
            ANY_BODY,
            FailureKind.TRANSIENT,
            "timeout",
            "the service, or a gateway before it, gave the call up after {seconds:.0f} s "
            "({status}): if predictions take that long, raise its limit{said}",
            signal=ServiceSignal.TIMEOUT,
        )
        for status in (408, 504)
    ),
    StatusRule(
        exactly(413),
        ANY_BODY,
        FailureKind.PERMANENT,
        "payload_too_large",
        "the service, or a gateway before it, refuses a request of this size (413): make the file "
        "smaller, or raise its limit{said}",
    ),
    *CLIENT_ERROR_RULES,
    StatusRule(
        exactly(503),
        _BUSY_BODY,
        FailureKind.TRANSIENT,
        "http_503",
        "the service has too much to do (503): with --concurrency auto there will be fewer calls "
        "at once; a fixed --concurrency has to be lowered{said}",
        signal=ServiceSignal.OVERLOADED,
    ),
    StatusRule(
        range(502, 504),
        ANY_BODY,
        FailureKind.UNAVAILABLE,
        "cold_start",
        "the service is not ready ({status}): it is waited for{said}",
    ),
    StatusRule(
        range(200, 300),
        ANY_BODY,
        "fatal",
        "bad_endpoint",
        "the endpoint answered {status}, which is no prediction: check [service] endpoint{said}",
    ),
    StatusRule(
        range(1000),
        ANY_BODY,
        FailureKind.TRANSIENT,
        "http_{status}",
        "the service failed ({status}): if this goes on, look into its log{said}",
    ),
)
"""Read from the top; the last row fits everything."""


def classify_refusal(
    answer: HttpAnswer, rules: Sequence[StatusRule] = GENERAL_STATUS_RULES
) -> Failure | FatalError:
    """What follows from an answer whose status is no success. A FatalError is returned."""
    refusal = classify_status(
        answer.status,
        answer.body,
        elapsed=answer.elapsed,
        now=answer.now,
        retry_after=answer.headers.get("Retry-After"),
        location=answer.headers.get("Location"),
        rules=rules,
    )
    return refusal or make_unreadable_failure(answer.body)


def make_unreadable_failure(body: bytes, *, is_cut_off: bool = False) -> Failure:
    """The failure of an item whose answer is no JSON, which it should be."""
    start = f": {text}" if (text := excerpt(body)) else ": it is empty"
    log = body.decode("utf-8", "replace")
    if is_cut_off:
        return Failure(
            "answer_cut_off",
            f"the answer ends in the middle{start}",
            FailureKind.TRANSIENT,
            signal=ServiceSignal.ERROR,
            log=log,
        )
    return Failure(
        "unreadable",
        f"the answer is no JSON: check that the endpoint is that of a model{start}",
        FailureKind.TRANSIENT,
        log=log,
    )
