"""Our signatures are botocore's, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.backends.s3_signer import EMPTY_SHA256, S3Signer, encode_key, encode_query

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
hosts = st.sampled_from(["127.0.0.1:9000", "minio.example.eu", "[::1]:9000"])


def lines(header_lines: str) -> dict[str, str]:
    assert header_lines.endswith("\r\n")
    return dict(line.split(": ", 1) for line in header_lines[:-2].split("\r\n"))


class TimedAuth(S3SigV4Auth):
    """botocore's, at a moment of ours."""

    def __init__(self, at: int, *credentials) -> None:
        super().__init__(*credentials)
        self.timestamp = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")

    def _modify_request_before_signing(self, request) -> None:
        request.context["timestamp"] = self.timestamp
        super()._modify_request_before_signing(request)


@given(
    method=st.sampled_from(["GET", "PUT", "HEAD", "DELETE"]),
    key=texts.filter(bool),
    query=st.dictionaries(st.sampled_from(["prefix", "start-after", "list-type"]), texts),
    body=st.binary(max_size=50),
    host=hosts,
    keys=st.tuples(printable, texts, st.sampled_from(["us-east-1", "eu-1", ""])),
    at=st.integers(0, 4_000_000_000),
)
def test_a_signature_is_botocores(*, method, key, query, body, host, keys, at):
    access_key, secret_key, region = keys
    path, encoded = f"/bucket/{encode_key(key)}", encode_query(query)
    url = f"https://{host}{path}" + (f"?{encoded}" if encoded else "")
    request = AWSRequest(method, url, data=body)
    TimedAuth(at, Credentials(access_key, secret_key), "s3", region).add_auth(request)

    signer = S3Signer(access_key, secret_key, region=region, host=host, clock=lambda: at + 0.5)
    signed = lines(signer.sign(method, path, encoded, sha256(body).hexdigest()))

    assert signed == {name.lower(): value for name, value in request.headers.items()}


def test_the_key_that_signs_follows_the_day_and_the_region():
    now = 86_400.0 * 20_000 - 1

    def clock() -> float:
        return now

    old = S3Signer("me", "secret", region="us-east-1", host="h", clock=clock)
    first = old.sign("GET", "/b", "", EMPTY_SHA256)
    assert old.sign("GET", "/b", "", EMPTY_SHA256) == first

    now += 1
    fresh = S3Signer("me", "secret", region="us-east-1", host="h", clock=clock)
    assert old.sign("GET", "/b", "", EMPTY_SHA256) == fresh.sign("GET", "/b", "", EMPTY_SHA256)

    old.change_region("eu-1")
    fresh = S3Signer("me", "secret", region="eu-1", host="h", clock=clock)
    assert old.region == "eu-1"
    assert old.sign("GET", "/b", "", EMPTY_SHA256) == fresh.sign("GET", "/b", "", EMPTY_SHA256)


@given(texts.filter(bool))
def test_a_key_holds_nothing_that_ends_a_path(key):
    encoded = encode_key(key)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert not set(encoded) & set("?# \\")
    assert encoded == quote(key.encode(), safe="/~")


def test_a_key_that_is_empty_would_be_the_bucket():
    with pytest.raises(ValueError, match="empty"):
        encode_key("")
