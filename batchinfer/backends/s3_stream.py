"""An S3 answer without an end by aiohttp: where proxies or unusual addresses need aiobotocore.

aiobotocore knows no such call, so it is signed here (`s3_signer.py`).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from batchinfer.backends.s3_calls import (
    S3_CONNECT_TIMEOUT,
    S3_USER_AGENT,
    STREAM_SILENCE_TIMEOUT,
    SUCCESS_STATUSES,
    S3ConnectionError,
    S3ErrorResponse,
    reject_web_page,
)
from batchinfer.backends.s3_signer import EMPTY_SHA256, S3Signer, encode_query
from batchinfer.backends.s3_xml import parse_error

MAX_REFUSAL_BYTES = 1 << 16
"""Bytes that are read of an answer that is no success."""


class AiohttpStream:
    """See `ResponseStream`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read_some(self) -> bytes:
        """See ResponseStream."""
        try:
            return await self._response.content.readany()
        except aiohttp.ClientError as error:
            raise S3ConnectionError(error) from None


@asynccontextmanager
async def open_aiohttp_stream(
    query: Mapping[str, str],
    *,
    endpoint: str,
    name: str,
    access_key: str,
    secret_key: str,
    region: str,
    ssl_context: ssl.SSLContext,
    proxy: str | None,
) -> AsyncIterator[AiohttpStream]:
    """See `S3Calls.open_stream`; the rest: see `open_s3_bucket`."""
    try:
        base = URL(endpoint)
        path, query_string = f"{base.raw_path.rstrip('/')}/{name}", encode_query(query)
        url = URL(f"{base.origin()}{path}?{query_string}", encoded=True)
        signer = S3Signer(
            access_key, secret_key, region=region, host=base.host_port_subcomponent or ""
        )
        lines = signer.sign("GET", path, query_string, EMPTY_SHA256).splitlines()
    except ValueError as error:  # no address of the usual kind
        raise S3ConnectionError(error) from None
    headers = {"User-Agent": S3_USER_AGENT, "Accept-Encoding": "identity"}
    headers |= dict(line.split(": ", 1) for line in lines)
    timeout = aiohttp.ClientTimeout(
        total=None, connect=S3_CONNECT_TIMEOUT, sock_read=STREAM_SILENCE_TIMEOUT
    )
    connector = aiohttp.TCPConnector(ssl=ssl_context, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        try:
            response = await session.get(url, headers=headers, proxy=proxy, allow_redirects=False)
        except (aiohttp.ClientError, ValueError) as error:
            raise S3ConnectionError(error) from None
        try:
            if response.status not in SUCCESS_STATUSES:
                body = await _read_refusal(response)
                raise S3ErrorResponse(
                    parse_error(body).get("Code") or str(response.status), response.status
                )
            reject_web_page(response.status, response.headers.get("content-type"))
            yield AiohttpStream(response)
        finally:
            response.close()


async def _read_refusal(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.read(MAX_REFUSAL_BYTES)
    except aiohttp.ClientError as error:
        raise S3ConnectionError(error) from None
