"""The shape of a token, read without trust and without showing it."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.protocols.ai4os.tokens import InvalidToken, OidcToken, ServiceToken, classify_token

HEX = "0123456789abcdefABCDEF" * 3


def jwt(payload: bytes) -> str:
    part = base64.urlsafe_b64encode(payload).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{part}.c2lnbmF0dXJl"


def claims(**given: object) -> str:
    return jwt(json.dumps({"sub": "me", **given}).encode())


@pytest.mark.parametrize(
    ("text", "token"),
    [
        (HEX[:64], ServiceToken()),
        (claims(exp=1_800_000_000), OidcToken(1.8e9)),
        (claims(exp=1.8e9), OidcToken(1.8e9)),
        (claims(exp=-1), OidcToken(-1.0)),
        (claims(), OidcToken(None)),
        (claims(exp=None), OidcToken(None)),
        (claims(exp=True), OidcToken(None)),
        (claims(exp="1800000000"), OidcToken(None)),
        (claims(exp=10**400), OidcToken(None)),
        (claims(exp=float("inf")), OidcToken(None)),
        (claims(exp=float("nan")), OidcToken(None)),
    ],
)
def test_both_kinds_are_read(text, token):
    assert classify_token(text) == token


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEX[:63], "63 hexadecimal digits"),
        (HEX[:65], "65 hexadecimal digits"),
        ("", "0 signs"),
        (HEX[:63] + "g", "64 signs"),
        (HEX[:63] + "\n", "64 signs"),
        ("a.b", "3 signs"),
        ("a.b.c.d", "7 signs"),
        ("a.b.c", "not copied whole"),
        (jwt(b"[" * 30_000), "not copied whole"),
        (jwt(b"[1]"), "not copied whole"),
        (jwt(b"\xff"), "not copied whole"),
        (jwt(b"1" * 40_000), "not copied whole"),
        (jwt(b"x" * 100_000), "signs"),
    ],
)
def test_what_is_neither_says_why(text, reason):
    found = classify_token(text)

    assert isinstance(found, InvalidToken)
    assert reason in found.reason


@given(st.text(min_size=8) | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"))
def test_nothing_breaks_it_and_it_never_quotes(text):
    found = classify_token(text)
    if isinstance(found, InvalidToken):
        assert text not in found.reason
