"""Calls of a service with the files of a folder; nothing is stored, and answers are thrown away.

=================  ================================================================================
tutorial           what the platform's tutorial shows for one image, in a loop: a new connection for
                   each, the payload by `json=`
requests_threads   the same calls from threads, each with a session (its connections are kept)
bare_aiohttp       tasks over one session, payload by prefix + base64 + suffix, uvloop and pybase64:
                   what a good programmer writes in an afternoon
aiometer_httpx     the same by httpx, with aiometer for the pool
aibrix_client      the engine of aibrix' batch client, which retries and reports each result
=================  ================================================================================
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.measuring import Work
from benchmarks.stub import BODY

if TYPE_CHECKING:
    import requests

TOKEN = "0123456789abcdef" * 4
"""As long as a service token is, so that nobody takes it for another kind."""
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
TIMEOUT = 600.0

_PREFIX = b'{"oscar-files":[{"key":"files","file_format":"jpg","data":"'
_SUFFIX = b'"}]}'

encode: Callable[[bytes], bytes] = base64.b64encode
with suppress(ImportError):  # an extra that may be missing: the same as for batchinfer
    from pybase64 import b64encode as encode


def tutorial(endpoint: str, folder: str, **_: object) -> Work:
    import requests  # noqa: PLC0415 - each process loads its own client only

    return lambda: sum(_post(requests.post, endpoint, image) for image in images(folder))


def requests_threads(endpoint: str, folder: str, in_flight: int, **_: object) -> Work:
    import threading  # noqa: PLC0415 - as above
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as above

    import requests  # noqa: PLC0415 - as above

    own = threading.local()

    def send(image: str) -> bool:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        return _post(own.session.post, endpoint, image)

    def work() -> int:
        with ThreadPoolExecutor(in_flight) as pool:
            return sum(pool.map(send, images(folder)))

    return work


def bare_aiohttp(endpoint: str, folder: str, in_flight: int, ca_file: str = "") -> Work:
    import aiohttp  # noqa: PLC0415 - as above

    async def send_some(session: aiohttp.ClientSession, todo: Iterator[str]) -> int:
        good = 0
        for image in todo:
            async with session.post(endpoint, data=make_body(image)) as response:
                good += await response.read() == BODY
        return good

    async def send_all() -> int:
        todo = images(folder)
        context = ssl.create_default_context(cafile=ca_file) if ca_file else True
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        ) as session:
            return sum(await asyncio.gather(*(send_some(session, todo) for _ in range(in_flight))))

    return lambda: find_run()(send_all())


def aiometer_httpx(endpoint: str, folder: str, in_flight: int, **_: object) -> Work:
    import aiometer  # noqa: PLC0415 - as above
    import httpx  # noqa: PLC0415 - as above

    async def send(client: httpx.AsyncClient, image: str) -> bool:
        response = await client.post(endpoint, content=make_body(image))
        return response.is_success and response.content == BODY

    async def send_all() -> int:
        limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        good = 0
        async with (
            httpx.AsyncClient(headers=HEADERS, limits=limits, timeout=TIMEOUT) as client,
            aiometer.amap(partial(send, client), [*images(folder)], max_at_once=in_flight) as done,
        ):
            async for well in done:
                good += well
        return good

    return lambda: find_run()(send_all())


def aibrix_client(endpoint: str, folder: str, in_flight: int, **_: object) -> Work:
    _skip_aibrix_server()
    import httpx  # noqa: PLC0415 - as above
    from aibrix.batch.client import DispatchEngine, HttpChannel, InferenceRequest  # noqa: PLC0415
    from aibrix.batch.client.source import CapacitySignal  # noqa: PLC0415

    url = urlsplit(endpoint)

    class Source:
        """One endpoint, as its StaticEndpointSource; with our headers, and enough connections."""

        def __init__(self, client: httpx.AsyncClient) -> None:
            origin = f"{url.scheme}://{url.netloc}"
            self._channel = HttpChannel(origin, timeout=TIMEOUT, client=client)

        async def channels(self) -> list[HttpChannel]:
            return [self._channel]

        async def capacity(self) -> CapacitySignal:
            return CapacitySignal(count=in_flight)

        async def wait_capacity_change(self, _: CapacitySignal) -> CapacitySignal:
            await asyncio.Future()
            raise AssertionError

        async def aclose(self) -> None:
            """Its client is closed by who made it."""

    async def requests() -> AsyncIterator[InferenceRequest]:
        for image in images(folder):
            yield InferenceRequest(url.path, make_payload(image), image)

    async def send_all() -> int:
        good = 0

        def take(_: InferenceRequest, response: dict[str, Any] | None, __: object) -> None:
            nonlocal good
            good += response is not None

        limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        async with httpx.AsyncClient(headers=HEADERS, limits=limits) as client:
            await DispatchEngine(Source(client)).run(requests(), take, max_concurrency=in_flight)
        return good

    return lambda: find_run()(send_all())


def images(folder: str) -> Iterator[str]:
    """The folder's files in order."""
    return iter(sorted(entry.path for entry in os.scandir(folder)))


def read(path: str) -> bytes:
    """A file's bytes, in the quick way; blocking, as one would."""
    with open(path, "rb") as file:  # noqa: PTH123 - quick
        return file.read()


def make_body(image: str) -> bytes:
    """A request's body, in the quick way."""
    return b"".join((_PREFIX, encode(read(image)), _SUFFIX))


def make_payload(image: str) -> dict[str, Any]:
    """The same as an object, as the tutorial makes it."""
    data = base64.b64encode(read(image)).decode("utf-8")
    return {"oscar-files": [{"key": "files", "file_format": "jpg", "data": data}]}


def find_run() -> Callable[..., Any]:
    """What runs a coroutine: uvloop's where it is installed."""
    try:
        from uvloop import run  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.run
    return run  # type: ignore[no-any-return]


def _post(post: Callable[..., requests.Response], endpoint: str, image: str) -> bool:
    """One call as in the tutorial: a dict, `json=`; the answer as text."""
    answer = post(url=endpoint, headers=HEADERS, json=make_payload(image))
    answer.raise_for_status()
    return len(answer.text) == len(BODY)


def _skip_aibrix_server() -> None:
    """Let aibrix' client be imported without the server's dependencies, which it does not use."""
    import sys  # noqa: PLC0415 - as above
    import types  # noqa: PLC0415 - as above

    import aibrix  # noqa: PLC0415 - as above

    package = types.ModuleType("aibrix.batch")
    package.__path__ = [str(Path(aibrix.__file__).parent / "batch")]
    sys.modules["aibrix.batch"] = package
