"""A service that costs next to nothing: it reads a request and writes one constant answer.

It speaks as much HTTP/1.1 as the clients here need (Content-Length, keep-alive, `Expect`), with a
body as the platform makes it. Run as `python -m benchmarks.stub`, it prints its port, and ends when
its standard input does: with whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

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

ANSWER = b"\r\n".join(
    [
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",  # echoed by the platform, although the body is none
        b"Content-Length: %d" % len(BODY),
        b"X-Duration-Seconds: 0.412519",
        b"",
        BODY,
    ]
)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class Stub(asyncio.Protocol):
    """One connection."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._head = b""
        self._left = 0
        """Bytes of the current body that are still to come."""

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
            self._begin(self._head + data)

    def _begin(self, data: bytes) -> None:
        while (end := data.find(_HEAD_END)) >= 0:
            end += len(_HEAD_END)
            length = _LENGTH.search(data, 0, end)
            missing = end + (int(length[1]) if length else 0) - len(data)
            if missing > 0:
                self._head, self._left = b"", missing
                if _EXPECT.search(data, 0, end):
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self._answer()
            data = data[len(data) + missing :]
        self._head = data

    def _answer(self) -> None:
        if self._latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self._latency, self._transport.write, ANSWER)
        else:
            self._transport.write(ANSWER)


async def serve(latency: float) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    server = await loop.create_server(lambda: Stub(latency), "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


@contextmanager
def running(latency: float, core: int | None) -> Iterator[str]:
    """A stub in a process of its own, on `core`; its endpoint. `latency`: seconds per answer."""
    command = [sys.executable, "-m", "benchmarks.stub", "--latency", str(latency)]
    if core is not None:
        command += ["--core", str(core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            port = process.stdout.readline().decode().strip()
            yield f"http://127.0.0.1:{port}/run/stub"
        finally:
            process.stdin.close()


def pin(core: int | None) -> None:
    """Keep this process on one core, where the system can."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    ask.add_argument("--core", type=int, help="the core to stay on")
    given = ask.parse_args()
    pin(given.core)
    run = asyncio.run
    with suppress(ImportError):  # an extra that may be missing
        from uvloop import run  # noqa: PLC0415 - the same
    run(serve(given.latency))


if __name__ == "__main__":
    main()
