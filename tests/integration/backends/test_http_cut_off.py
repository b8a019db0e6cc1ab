"""A body that is cut off, in every framing of HTTP: never a prediction."""

from __future__ import annotations

import anyio.abc
import pytest

from batchinfer.domain import Failure, FailureKind, Outcome, Reply
from support.http_calls import ITEM, OK, backend_at
from support.paths import FIXTURES
from support.servers import talking

pytestmark = pytest.mark.usefixtures("carrier")

BODY = (FIXTURES / "sync_2.5.2_ok_yolo_current_format.body").read_bytes()
SCALAR = OK.replace(b"{'label': 'cat', 'score': 0.5}", b"0.987654")
TEXT = OK.replace(b"{'label': 'cat', 'score': 0.5}", b"a text\nof two lines")
END = b"[*] Final command: deepaas-cli predict --text hello\n\n"
FRAMINGS = ["length", "chunked", "close", "http/1.0"]


async def answered(raw: bytes) -> Outcome:
    """What a call comes to that is answered with these bytes, and a closed connection."""

    async def answer(stream: anyio.abc.SocketStream) -> None:
        request = b""
        while b'"hello"' not in request:
            request += await stream.receive()
        await stream.send(raw)
        await stream.send_eof()

    async with talking(answer) as port, backend_at(port) as backend:
        return await backend.attempt(ITEM, 1)


def framed(body: bytes, framing: str, *, whole: bool) -> bytes:
    """An answer whose framing says that more was to come, unless it is whole."""
    more = 0 if whole else 100
    match framing:
        case "length":
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) + more) + body
        case "chunked":
            chunk = b"%x\r\n" % len(body) + body + b"\r\n"
            end = b"0\r\n\r\n" if whole else b""
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + end
        case "close":
            return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
        case _:
            return b"HTTP/1.0 200 OK\r\n\r\n" + body


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("body", [BODY, SCALAR + END, TEXT + END], ids=["list", "number", "text"])
async def test_a_whole_answer_is_a_reply_in_every_framing(framing: str, body: bytes):
    assert isinstance(await answered(framed(body, framing, whole=True)), Reply)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    "body",
    [
        BODY[: BODY.index(b"'class'")],
        SCALAR[:-4],
        TEXT[: -len(b" of two lines")],
        TEXT,
        SCALAR[: SCALAR.index(b" INFO deepaas.cmd.cli [-] return")],
        OK[:40],
    ],
    ids=["list", "number", "text", "text, at the end of a line", "no value", "versions"],
)
async def test_an_answer_that_was_cut_off_is_tried_again(framing: str, body: bytes):
    failure = await answered(framed(body, framing, whole=False))

    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TRANSIENT
    code = "connection_lost" if framing in {"length", "chunked"} else "answer_cut_off"
    assert failure.code == code


@pytest.mark.parametrize("framing", FRAMINGS[:2])
async def test_what_somebody_else_has_cut_off_is_no_prediction_though_it_is_framed(framing: str):
    failure = await answered(framed(SCALAR[:-4], framing, whole=True))

    assert isinstance(failure, Failure)
    assert failure.code == "answer_cut_off"
