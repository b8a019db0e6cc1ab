"""A server that answers calls with texts as they stand, and what those are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from batchinfer.domain import Reply
from support.http_calls import OK

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(OK)
WHOLE = HEAD + LENGTH + b"\r\n" + OK
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(OK), OK)
OTHER = WHOLE.replace(b"cat", b"dog")


@dataclass
class Script:
    """A server that answers each call with the next of its texts."""

    texts: list[bytes]
    closes: bool = False
    """Whether it ends its side of the connection after each answer."""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    client_left: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.texts:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split()[0])
                self.requests.append(head + await reader.readexactly(size))
                writer.write(self.texts.pop(0))
                if self.closes:
                    writer.write_eof()
                    await reader.read()
                    return
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.client_left.set()
            writer.close()


@asynccontextmanager
async def scripted(*texts: bytes, closes: bool = False) -> AsyncIterator[Script]:
    script = Script(list(texts), closes)
    server = await asyncio.start_server(script.talk, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()


def label_of(outcome: object) -> object:
    assert isinstance(outcome, Reply), outcome
    assert isinstance(outcome.prediction, dict)
    return outcome.prediction["label"]
