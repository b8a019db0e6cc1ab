"""The table in docs/platform.md, "Status codes", a case a row."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import Failure, FailureKind, ServiceSignal
from batchinfer.errors import FatalError
from batchinfer.protocols.ai4os.http_status import STATUS_RULES, classify_status
from batchinfer.protocols.http_text import (
    MAX_EXCERPT_CHARS,
    MAX_TRUSTED_RETRY_AFTER_SECONDS,
    excerpt,
    parse_retry_after,
    safe_url,
)
from batchinfer.protocols.status_rules import _match_rule

NOW = 1_800_000_000.0
NGINX = (
    b"<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%s</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
CRASH = (
    b'exit status 1\nTraceback (most recent call last):\n  File "<stdin>", line 1, in <module>\n'
    b"AttributeError: 'list' object has no attribute 'items'\n"
)
TRANSIENT, PERMANENT, UNAVAILABLE = (
    FailureKind.TRANSIENT,
    FailureKind.PERMANENT,
    FailureKind.UNAVAILABLE,
)


def nginx(line: bytes) -> bytes:
    return NGINX % (line, line)


@dataclass(frozen=True)
class Case:
    status: int
    body: bytes
    code: str
    then: FailureKind | None
    """None: fatal."""
    says: str
    """A part of the message that tells the person what to do or what happened."""
    elapsed: float = 1.0

    def __str__(self) -> str:
        return f"{self.status}-{self.code}-{self.body[:20]!r}-{self.elapsed:g}s"


CASES = [
    Case(201, b"", "bad_endpoint", None, "https://.../run/<service>"),
    Case(204, b"", "bad_endpoint", None, "Dashboard"),
    Case(301, nginx(b"301 Moved"), "redirected", None, "other.example.eu/run/x"),
    Case(302, b"", "redirected", None, "must not go to another address"),
    Case(308, b"", "redirected", None, "Correct the endpoint"),
    Case(400, b"invalid workload: cpu", "invalid_workload", None, "CPU, memory or GPU"),
    Case(
        400,
        b"Error getting oidc manager for issuer 'https://x'",
        "unauthorized",
        None,
        "does not know who issued the token",
    ),
    Case(400, b"Bad Request", "http_400", PERMANENT, "(400): Bad Request"),
    Case(401, b"", "unauthorized", None, "the service does not exist"),
    Case(
        401,
        b"this user isn't enrrolled on the vo: vo.ai4eosc.eu",
        "not_in_vo",
        None,
        "enrrolled on the vo: vo.ai4eosc.eu",
    ),
    Case(403, nginx(b"403 Forbidden"), "http_403", PERMANENT, "(403): 403 Forbidden nginx"),
    Case(404, b"", "not_found", None, "token has expired"),
    Case(404, b"404 page not found\n", "no_serverless", None, "--mode async"),
    Case(404, nginx(b"404 Not Found"), "not_found", None, "compare the endpoint"),
    Case(405, b"", "http_405", PERMANENT, "refused the request (405)"),
    Case(407, b"", "http_407", PERMANENT, "user:password@host"),
    Case(410, b"", "http_410", PERMANENT, "or something before it"),
    Case(414, b"", "http_414", PERMANENT, "refused what was sent (414)"),
    Case(415, b"", "http_415", PERMANENT, "refused what was sent (415)"),
    Case(422, b"bad size", "http_422", PERMANENT, "refused what was sent (422): bad size"),
    Case(451, b"", "http_451", PERMANENT, "or something before it"),
    Case(408, b"Killed process.", "timeout", TRANSIENT, "after 42 s", 42.0),
    Case(413, nginx(b"413 Too Large"), "payload_too_large", PERMANENT, "--mode async"),
    Case(429, b"Concurrent request limit exceeded", "http_429", TRANSIENT, "a fixed --concurrency"),
    Case(500, CRASH, "bad_payload", PERMANENT, "'list' object has no attribute 'items'"),
    Case(500, b"exit status 1", "http_500", TRANSIENT, "exit status 1"),
    Case(500, b"", "http_500", TRANSIENT, "(500)"),
    Case(500, b"Internal error", "http_500", TRANSIENT, "Internal error"),
    Case(501, b"", "http_501", TRANSIENT, "(501)"),
    Case(502, b"", "cold_start", UNAVAILABLE, "starting or scaled to zero"),
    Case(502, b" \n", "cold_start", UNAVAILABLE, "waited for"),
    Case(502, b"", "cold_start", UNAVAILABLE, "waited for", 60.2),
    Case(502, b"token is malformed: 63", "token_malformed", None, "exactly 64 characters"),
    Case(502, b"token is malformed", "token_malformed", None, "Dashboard", 60.0),
    Case(502, b"EOF", "container_died", TRANSIENT, "more memory"),
    Case(502, b"EOF", "timeout", TRANSIENT, "may still be running", 60.1),
    Case(502, nginx(b"502 Bad Gateway"), "container_died", TRANSIENT, "502 Bad Gateway nginx"),
    Case(502, nginx(b"502 Bad Gateway"), "timeout", TRANSIENT, "after 300 s", 300.4),
    Case(502, nginx(b"502 Bad Gateway"), "container_died", TRANSIENT, "memory", 90.0),
    Case(502, b"dial tcp: no route", "http_502", TRANSIENT, "dial tcp: no route"),
    Case(503, b"pending request queue full", "http_503", TRANSIENT, "a fixed --concurrency"),
    Case(503, b"context deadline exceeded", "cold_start", UNAVAILABLE, "context deadline"),
    Case(503, nginx(b"503 Service Unavailable"), "cold_start", UNAVAILABLE, "waited for"),
    Case(503, b"no healthy upstream", "cold_start", UNAVAILABLE, "no healthy upstream"),
    Case(503, b"busy", "http_503", TRANSIENT, "busy"),
    Case(503, b"", "http_503", TRANSIENT, "(503)"),
    Case(504, b"request timeout", "timeout", TRANSIENT, "--mode async"),
    Case(504, b"activator request timeout", "timeout", TRANSIENT, "after 300 s", 300.0),
    Case(504, nginx(b"504 Gateway Time-out"), "timeout", TRANSIENT, "still be running", 60.0),
    Case(520, b"", "http_520", TRANSIENT, "(520)"),
    Case(999, b"", "http_999", TRANSIENT, "(999)"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_status_and_its_body_mean_what_the_page_says(case: Case):
    judged = classify_status(
        case.status,
        case.body,
        elapsed=case.elapsed,
        now=NOW,
        location="https://user:pw@other.example.eu/run/x?token=abc",
    )
    if case.then is None:
        assert isinstance(judged, FatalError)
        message = str(judged)
    else:
        assert isinstance(judged, Failure)
        assert judged.kind is case.then
        assert judged.log == case.body.decode()
        message = judged.message
    assert judged.code == case.code
    assert case.says in message
    assert "pw" not in message
    assert "abc" not in message
    assert "{" not in message


@pytest.mark.parametrize(
    ("status", "shared"),
    [(s, True) for s in (402, 403, 405, 406, 407, 409, 410, 418, 421, 425, 426, 428, 431, 451)]
    + [(s, False) for s in (400, 413, 414, 415, 422, 429, 500, 502, 503)],
)
def test_a_refusal_that_is_not_about_what_was_sent_may_hold_for_all(status: int, shared: bool):
    judged = classify_status(status, b"x", elapsed=1.0, now=NOW)
    assert isinstance(judged, Failure)
    assert (judged.signal is ServiceSignal.DENIED) is shared


def test_every_row_of_the_table_is_the_answer_to_some_case():
    reached = {_match_rule(STATUS_RULES, c.status, c.body.strip(), c.elapsed) for c in CASES}
    assert reached == set(STATUS_RULES)


def test_a_200_is_left_to_its_body():
    assert classify_status(200, b"Traceback", elapsed=1, now=NOW) is None


@given(st.integers(100, 999), st.binary(max_size=300), st.floats(0, 1e6))
def test_any_answer_is_judged_and_the_message_stays_short(status, body, elapsed):
    judged = classify_status(status, body, elapsed=elapsed, now=NOW, location=None)
    if status != 200:
        message = judged.message if isinstance(judged, Failure) else str(judged)
        assert message.isprintable()
        assert len(message) < MAX_EXCERPT_CHARS + 400


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", None),
        ("soon", None),
        ("nan", None),
        ("٣", None),
        ("99999999", MAX_TRUSTED_RETRY_AFTER_SECONDS),
        ("9" * 5000, MAX_TRUSTED_RETRY_AFTER_SECONDS),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 08:00:30 -0000", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 15 Jan 2037 07:00:00 GMT", MAX_TRUSTED_RETRY_AFTER_SECONDS),
        ("Fri, 99 Jan 2027 08:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_an_hour(header, seconds):
    assert parse_retry_after(header, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_survived(header):
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or 0 <= seconds <= MAX_TRUSTED_RETRY_AFTER_SECONDS


def test_retry_after_is_carried_by_whatever_failure():
    judged = classify_status(429, b"", elapsed=1, now=NOW, retry_after="5")
    assert isinstance(judged, Failure)
    assert judged.retry_after == 5.0


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", ""),
        (b"plain", "plain"),
        (b"two\r\n  lines\t.", "two lines ."),
        (b"\x1b[31mred\x1b[00m\x00\x07", "red"),
        (nginx(b"502 Bad Gateway"), "502 Bad Gateway nginx"),
        (b"<!DOCTYPE html><style>p{}</style><p>a &amp; b", "a & b"),
        (b"a < b > c", "a < b > c"),
        (b"\xff\xfe", "��"),
        (b"x" * 500, "x" * (MAX_EXCERPT_CHARS - 1) + "…"),
    ],
)
def test_a_body_is_quoted_on_one_short_line(body, shown):
    assert excerpt(body) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host.eu:8443/run/x?token=1#y", "host.eu:8443/run/x"),
        ("/elsewhere?code=1", "/elsewhere"),
        ("//host.eu/run", "host.eu/run"),
        ("https://host.eu:port/", "an unreadable address"),
        ("", "nowhere"),
        (None, "nowhere"),
    ],
)
def test_a_place_is_host_and_path_only(url, shown):
    assert safe_url(url) == shown
