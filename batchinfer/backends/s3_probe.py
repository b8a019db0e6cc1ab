"""One signed GET of the bucket itself, and the beginning of the answer, unparsed.

For what the verbs of `BucketClient` do not show: the store's clock, and whether it offers live
notifications (MinIO does; docs/platform.md, "The object store").
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from batchinfer.backends import tls
from batchinfer.backends.clock_skew import parse_clock_skew
from batchinfer.backends.proxies import find_proxy_for_url
from batchinfer.backends.s3_signer import EMPTY_SHA256, S3Signer, encode_query
from batchinfer.ports import Clock

LIVE_EVENTS_QUERY: Final = {
    "events": "s3:ObjectCreated:*",
    "ping": "1",
    "prefix": "",
    "suffix": "",
}
"""Asks MinIO for live notifications of keys that begin with `prefix`, with a sign of life every
second."""

_PROBE_OK: Final = 200


@dataclass(frozen=True, slots=True)
class ProbeResponse:
    """The beginning of an answer."""

    status: int
    body_start: bytes
    """The first bytes of the body; empty when none came in time."""
    clock_skew: float | None
    """Seconds that the server's clock is ahead of this machine's; None when it does not say."""

    @property
    def has_live_events(self) -> bool:
        """Whether it begins a stream of live notifications: any other store lists, or refuses."""
        head = self.body_start.lstrip()
        return self.status == _PROBE_OK and bool(self.body_start) and not head.startswith(b"<")


async def probe_bucket(
    *,
    endpoint: str,
    name: str,
    access_key: str,
    secret_key: str,
    region: str,
    query: Mapping[str, str],
    ca_file: str | None = None,
    verify: bool = True,
    seconds: float = 10.0,
    clock: Clock = time.time,
) -> ProbeResponse:
    """Send `query` to the bucket. Raises OSError when nothing is answered within `seconds`."""
    query_string = encode_query(query)
    url = URL(f"{endpoint}/{quote(name)}?{query_string}", encoded=True)
    signer = S3Signer(access_key, secret_key, region=region, host=url.host_port_subcomponent or "")
    lines = signer.sign("GET", url.raw_path, query_string, EMPTY_SHA256).splitlines()
    ssl = tls.create_ssl_context(ca_file, verify=verify) if url.scheme == "https" else False
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=ssl),
        timeout=timeout,
        proxy=find_proxy_for_url(str(url)),
    ) as session:
        try:
            async with session.get(
                url, headers=dict(line.split(": ", 1) for line in lines), allow_redirects=False
            ) as response:
                skew = parse_clock_skew(response.headers.get("Date"), clock())
                return ProbeResponse(response.status, await _read_body_start(response), skew)
        except (aiohttp.ClientError, OSError) as error:
            raise OSError(f"no answer from the store ({type(error).__name__})") from None


async def _read_body_start(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.readany()
    except (aiohttp.ClientError, OSError):
        return b""
