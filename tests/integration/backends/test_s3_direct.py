"""The fast way to call a store: where it is taken, and what it does in its own way."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3 import open_s3_bucket
from batchinfer.backends.s3_direct import DirectCalls, can_call
from support.servers import ACCESS_KEY, SECRET_KEY, Answer, stub


def bucket_at(endpoint: str, **changed: Any):
    known: dict[str, Any] = {
        "endpoint": endpoint,
        "name": "ai4papi-1",
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "redactor": Redactor([ACCESS_KEY, SECRET_KEY]),
        "retry_timeout": 0.0,
    }
    return open_s3_bucket(**(known | changed))


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://minio.example.eu",
        "http://127.0.0.1:9000",
        "https://[2001:db8::1]:9000/",
        "https://MINIO.example.eu/store/of-us",
    ],
)
async def test_a_usual_store_is_called_the_fast_way(endpoint: str):
    async with bucket_at(endpoint) as bucket:
        assert isinstance(bucket._calls, DirectCalls)
    async with bucket_at(endpoint, use_botocore=True) as bucket:
        assert not isinstance(bucket._calls, DirectCalls)


async def test_behind_a_proxy_botocore_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with bucket_at("https://minio.example.eu") as bucket:
        assert not isinstance(bucket._calls, DirectCalls)


@pytest.mark.parametrize(
    "unusual",
    [
        {"endpoint": "https://user:password@minio.example.eu"},
        {"endpoint": "https://minio.example.eu?x=1"},
        {"endpoint": "https://minio.example.eu/a b"},
        {"endpoint": "https://m\u00fcnio.example.eu"},
        {"endpoint": "minio.example.eu"},
        {"endpoint": "https://minio.example.eu\r\nX: y"},
        {"name": "no bucket/at all"},
        {"name": ""},
        {"access_key": "me\r\nX-Evil: 1"},
        {"access_key": "m\u00fc"},
    ],
    ids=repr,
)
def test_what_is_unusual_is_left_to_botocore(unusual: dict[str, str]):
    usual = {"endpoint": "https://minio.example.eu", "name": "a", "access_key": "b"}
    assert can_call(**usual)
    assert not can_call(**(usual | unusual))


async def test_over_tls_a_body_is_not_hashed(tmp_path: Path):
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with (
        stub(Answer(), tls=context) as server,
        bucket_at(f"https://127.0.0.1:{server.port}", ca_file=str(tmp_path / "ca.pem")) as bucket,
    ):
        await bucket.put("inputs/a.json", b"body")
        await bucket.exists("inputs/a.json")
    put, head = (request.headers["x-amz-content-sha256"] for request in server.requests)
    assert put == "UNSIGNED-PAYLOAD"
    assert len(head) == 64


async def test_an_address_may_have_a_path():
    async with (
        stub(Answer()) as server,
        bucket_at(f"http://127.0.0.1:{server.port}/store/") as bucket,
    ):
        await bucket.exists("inputs/a.json")
    assert server.requests[0].target == "/store/ai4papi-1/inputs/a.json"


async def test_an_empty_key_is_never_the_bucket_itself():
    async with stub(Answer()) as server, bucket_at(f"http://127.0.0.1:{server.port}") as bucket:
        with pytest.raises(ValueError, match="empty"):
            await bucket.delete("")
    assert server.requests == []
