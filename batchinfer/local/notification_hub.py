"""MinIO's live notifications, as clients of the local service's bucket see them.

Rules (docs/platform.md, "The object store"; MinIO's own handler):

* `GET /<bucket>?events=...` with `prefix`, `suffix`, and `ping` in seconds is answered by a stream
  of lines, one JSON object for each event. The status line comes with the first of them.
* Signs of life: with `ping` a line `{"Records":null}`, without it (and before 2023) a blank twice a
  second.
* A slow reader loses events; so does everybody while the store restarts, which ends all streams.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from urllib.parse import quote_plus

from aiohttp import web

from batchinfer.local.service_options import NotificationFaults

_BLANK_SECONDS = 0.5
_MAX_QUEUED_EVENTS = 1_000
_CREATED_BY_PUT = "s3:ObjectCreated:Put"


@dataclass(eq=False, slots=True)
class _Subscriber:
    request: web.Request
    prefix: str
    suffix: str
    patterns: tuple[str, ...]
    events: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(_MAX_QUEUED_EVENTS))

    def wants(self, key: str) -> bool:
        """Whether it is to be told that `key` was written."""
        return (
            key.startswith(self.prefix)
            and key.endswith(self.suffix)
            and any(fnmatchcase(_CREATED_BY_PUT, pattern) for pattern in self.patterns)
        )


class NotificationHub:
    """Tells all who listen of each object that was written."""

    def __init__(self, bucket: str, faults: NotificationFaults, rng: Random) -> None:
        self._bucket, self._faults, self._rng = bucket, faults, rng
        self._subscribers: set[_Subscriber] = set()

    def publish(self, key: str, size: int) -> None:
        """An object was written."""
        if self._rng.random() < self._faults.lose:
            return
        if self._faults.delay:
            asyncio.get_running_loop().call_later(self._faults.delay, self._send, key, size)
        else:
            self._send(key, size)

    def drop_streams(self) -> None:
        """The store restarts: all streams break off."""
        for subscriber in [*self._subscribers]:
            self._subscribers.discard(subscriber)
            if subscriber.request.transport is not None:
                subscriber.request.transport.abort()

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer a request whose signature is right; ends with the client, or a fault."""
        query = request.query
        try:
            ping = int(query["ping"]) if "ping" in query else None
        except ValueError:
            ping = 0
        if ping is not None and ping < 1:
            return web.Response(status=400, text="<Error><Code>InvalidArgument</Code></Error>")
        subscriber = _Subscriber(
            request, query.get("prefix", ""), query.get("suffix", ""), (*query.getall("events"),)
        )
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
            }
        )
        self._subscribers.add(subscriber)
        try:
            async with asyncio.timeout(self._faults.drop):
                await self._send_lines(subscriber, response, ping)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._subscribers.discard(subscriber)
        return response

    async def _send_lines(
        self, subscriber: _Subscriber, response: web.StreamResponse, ping: int | None
    ) -> None:
        blanks = ping is None or self._faults.blanks
        pause = _BLANK_SECONDS if ping is None or blanks else float(ping)
        pending = b""
        while True:
            try:
                async with asyncio.timeout(pause):
                    pending += await subscriber.events.get()
            except TimeoutError:
                pending += b" " if blanks else b'{"Records":null}\n'
            if len(pending) <= self._faults.buffer:
                continue
            if not response.prepared:
                await response.prepare(subscriber.request)
            await response.write(pending)
            pending = b""

    def _send(self, key: str, size: int) -> None:
        line = _make_event(self._bucket, key, size)
        for subscriber in self._subscribers:
            if subscriber.wants(key) and not subscriber.events.full():
                subscriber.events.put_nowait(line)


def _make_event(bucket: str, key: str, size: int) -> bytes:
    """A line as MinIO writes it; an empty object has no size in it."""
    about = {"key": quote_plus(key), **({"size": size} if size else {})}
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "eventName": _CREATED_BY_PUT,
        "userIdentity": {"principalId": "local"},
        "requestParameters": {"principalId": "local", "region": "", "sourceIPAddress": "127.0.0.1"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "local"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {**about, "contentType": "application/octet-stream"},
        },
        "source": {"host": "127.0.0.1", "port": "", "userAgent": ""},
    }
    return json.dumps({"Records": [record]}, separators=(",", ":")).encode() + b"\n"
