"""A service that costs next to nothing: it reads a request and writes an answer made beforehand.

It speaks as much HTTP/1.1 as the clients here need (Content-Length, keep-alive, `Expect`). What it
answers:

==========  =====================================================================================
platform    a success as the platform makes it: the transcript of a YOLO
json        the same prediction as JSON, as long: for clients that take nothing else
listing     pages of a bucket's listing (ListObjectsV2), 1,000 keys each
==========  =====================================================================================

Run as `python -m benchmarks.stub`, it prints its port. Each line on its standard input is answered
by what came in since the last one: `{"requests": N, "first": T, "last": T}`, T by the monotonic
clock of this machine. It ends when its standard input does: with whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import TypeAlias, cast

from benchmarks.measuring import pin

BODY = b"""[*] Using DEEPaaS version 2.5.2
[*] Using Python version Python 3.11.7
event-file-a64ca29e-29f2-457b-b65a-032fcfff65b2
2026-11-23 07:34:04.655 5800 INFO deepaas.cmd.cli [-] predict was called.
2026-11-23 07:34:04.656 5800 WARNING yolo.api [-] no confidence given, taking 0.25
2026-11-23 07:34:04.956 5800 INFO deepaas.cmd.cli [-] return: \
[[{'name': 'bear', 'class': 21, 'confidence': 0.93346, \
'box': {'x1': 109.39322, 'y1': 26.39718, 'x2': 627.42999, 'y2': 597.74689}}, \
{'name': 'dog', 'class': 16, 'confidence': 0.31702, \
'box': {'x1': 12.00519, 'y1': 401.22131, 'x2': 98.55708, 'y2': 583.90271}}]]
[*] Processing file:  tmp-file-jwpmv.jpg
[*] Final command: deepaas-cli predict --files tmp-file-jwpmv.jpg
"""
"""A success in sync mode (docs/platform.md, "The body of a 200"): two detections of a YOLO."""


Answer: TypeAlias = Callable[[bytes], bytes]
"""From a request's head to the whole answer."""
PAGE_KEYS = 1_000

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
_TOKEN = re.compile(rb"[?&]continuation-token=(\d+)")
_HEAD_END = b"\r\n\r\n"
_OBJECT = (
    "<Contents><Key>outputs/q0w1e2r3t4-{0:09d}-1-abcdefgh0123456789abcdef.{1}</Key>"
    "<LastModified>2026-11-23T07:34:05.120Z</LastModified>"
    "<ETag>&#34;d41d8cd98f00b204e9800998ecf8427e&#34;</ETag><Size>{2}</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


def make_answer(content_type: bytes, body: bytes, *headers: bytes) -> bytes:
    """A whole answer."""
    head = [b"HTTP/1.1 200 OK", b"Content-Type: " + content_type, *headers]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


ANSWER = make_answer(
    b"application/json",  # echoed by the platform, although the body is none
    BODY,
    b"X-Duration-Seconds: 0.412519",
)


def make_json_answer() -> bytes:
    """JSON as long as `BODY`, with what a client of language models looks for."""
    start = json.dumps({"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "text": ""})[:-2]
    return make_answer(b"application/json", (start.ljust(len(BODY) - 2, "x") + '"}').encode())


def make_listing(keys: int) -> Answer:
    """Pages of a listing of so many keys, a log and a reply of each item; made when asked for."""

    @cache
    def page(first: int) -> bytes:
        end = min(first + PAGE_KEYS, keys)
        rows = (
            _OBJECT.format(1 + number // 2, ("json", "log")[number % 2], 700 + number % 300)
            for number in range(first, end)
        )
        more = end < keys
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bench</Name>'
            f"<Prefix>outputs/</Prefix><KeyCount>{end - first}</KeyCount>"
            f"<MaxKeys>{PAGE_KEYS}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{''.join(rows)}</ListBucketResult>"
        )
        return make_answer(b"application/xml", text.encode())

    def answer(head: bytes) -> bytes:
        token = _TOKEN.search(head, 0, head.index(b"\r\n"))
        return page(int(token[1]) if token else 0)

    return answer


ANSWERS: dict[str, Callable[[int], Answer]] = {
    "platform": lambda _: lambda _: ANSWER,
    "json": lambda _: partial(lambda whole, _: whole, make_json_answer()),
    "listing": make_listing,
}


class Tally:
    """What has come in."""

    def __init__(self) -> None:
        self.requests = 0
        self.first: float | None = None
        self.last: float | None = None

    def add(self) -> None:
        """A request is there, whole."""
        self.last = time.monotonic()
        if not self.requests:
            self.first = self.last
        self.requests += 1

    def tell(self) -> str:
        """All since the last time, as JSON."""
        told = json.dumps({"requests": self.requests, "first": self.first, "last": self.last})
        self.__init__()  # type: ignore[misc]
        return told


class Stub(asyncio.Protocol):
    """One connection."""

    def __init__(self, answer: Answer, latency: float, tally: Tally) -> None:
        self._make_answer, self._latency, self._tally = answer, latency, tally
        self._data = b""
        """Of a head that is not whole yet."""
        self._head = b""
        """Of the request whose body is coming."""
        self._left = 0
        """Bytes of that body that are still to come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        if self._left:
            if len(data) < self._left:
                self._left -= len(data)
                return
            data = data[self._left :]
            self._left = 0
            self._answer()
        if data:
            self._begin(self._data + data)

    def _begin(self, data: bytes) -> None:
        while (end := data.find(_HEAD_END)) >= 0:
            end += len(_HEAD_END)
            self._head = data[:end]
            length = _LENGTH.search(self._head)
            missing = end + (int(length[1]) if length else 0) - len(data)
            if missing > 0:
                self._data, self._left = b"", missing
                if _EXPECT.search(self._head):
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self._answer()
            data = data[len(data) + missing :]
        self._data = data

    def _answer(self) -> None:
        self._tally.add()
        whole = self._make_answer(self._head)
        if self._latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self._latency, self._transport.write, whole)
        else:
            self._transport.write(whole)


async def serve(answer: Answer, latency: float, certificate: str | None) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    ended, tally, context = asyncio.Event(), Tally(), None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await loop.create_server(
        lambda: Stub(answer, latency, tally), "127.0.0.1", 0, backlog=256, ssl=context
    )

    def hear() -> None:
        if sys.stdin.readline():
            print(tally.tell(), flush=True)
        else:
            ended.set()

    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin.fileno(), hear)
    await ended.wait()


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--answer", choices=ANSWERS, default="platform", help="what it answers")
    ask.add_argument("--keys", type=int, default=0, help="of the listing")
    ask.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    ask.add_argument("--certificate", help="for TLS: a file of key and certificates")
    ask.add_argument("--core", type=int, help="the core to stay on")
    given = ask.parse_args()
    pin(given.core)
    run = asyncio.run
    with suppress(ImportError):  # an extra that may be missing
        from uvloop import run  # noqa: PLC0415 - the same
    run(serve(ANSWERS[given.answer](given.keys), given.latency, given.certificate))


if __name__ == "__main__":
    main()
