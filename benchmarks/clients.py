"""The clients that are compared, each of them run alone in a process of its own.

============  =====================================================================================
tutorial      what the platform's tutorial shows for one image, in a loop: a new connection for
              each, the payload by `json=`
threads       the same calls from 64 threads, a session (its connections are kept) for each thread
aiohttp       64 tasks over one session, payload by prefix + base64 + suffix, uvloop and pybase64
              where installed: what a good programmer writes in an afternoon. The answer's body is
              read and thrown away
batchinfer    `batchinfer.run` of the folder in a new run directory: every answer read by the
              platform's rules, its prediction and log committed to disk (SQLite, synchronous=FULL)
============  =====================================================================================

Run as `python -m benchmarks.clients NAME ...` it prints one `Sample` as JSON. Measured is the work,
from the listing of the folder to the last result; not the start of Python, nor imports.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.stub import BODY, pin

if TYPE_CHECKING:
    import aiohttp
    import requests

IN_FLIGHT = 64
TOKEN = "0123456789abcdef" * 4
"""As long as a service token is, so that nobody takes it for another kind."""
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
TIMEOUT = 600.0

Work: TypeAlias = Callable[[str, Path], int]
"""Sends every file of a folder to an endpoint; how many came back well."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one client took for one workload."""

    items: int
    seconds: float
    cpu_seconds: float
    """User and system, all threads."""
    peak_mb: float
    """Resident memory of the process at its highest, Python and imports included."""


# The clients: each loads what it needs, and returns its work -----------------------------------


def tutorial() -> Work:
    import requests  # noqa: PLC0415 - each process loads its own client only

    return lambda endpoint, folder: sum(
        _send(requests.post, endpoint, image) for image in images(folder)
    )


def threads() -> Work:
    import threading  # noqa: PLC0415 - as above
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as above

    import requests  # noqa: PLC0415 - as above

    own = threading.local()

    def send(endpoint: str, image: str) -> bool:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        return _send(own.session.post, endpoint, image)

    def work(endpoint: str, folder: Path) -> int:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return sum(pool.map(lambda image: send(endpoint, image), images(folder)))

    return work


def bare_aiohttp() -> Work:
    import aiohttp  # noqa: PLC0415 - as above

    run, encode = asyncio.run, base64.b64encode
    with suppress(ImportError):  # extras that may be missing: the same as for batchinfer
        from uvloop import run  # noqa: PLC0415 - as above
    with suppress(ImportError):
        from pybase64 import b64encode as encode  # noqa: PLC0415 - as above

    async def send_some(session: aiohttp.ClientSession, url: str, todo: Iterator[str]) -> int:
        good = 0
        for image in todo:
            with open(image, "rb") as file:  # noqa: ASYNC230, PTH123 - blocking, as one would
                body = b"".join((_PREFIX, encode(file.read()), _SUFFIX))
            async with session.post(url, data=body) as response:
                good += await response.read() == BODY
        return good

    async def send_all(endpoint: str, folder: Path) -> int:
        todo = images(folder)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        ) as session:
            workers = (send_some(session, endpoint, todo) for _ in range(IN_FLIGHT))
            return sum(await asyncio.gather(*workers))

    return lambda endpoint, folder: run(send_all(endpoint, folder))


def batchinfer() -> Work:
    from batchinfer import api  # noqa: PLC0415 - each process loads its own client only
    from batchinfer.backends import http_backend, output_watcher  # noqa: F401, PLC0415 - what a run loads later
    from batchinfer.config import load_config  # noqa: PLC0415 - as above

    with suppress(ImportError):  # an extra that may be missing
        import uvloop  # noqa: F401, PLC0415 - as above

    def work(endpoint: str, folder: Path) -> int:
        flags = {"service.endpoint": endpoint, "service.token": TOKEN, "run.concurrency": IN_FLIGHT}
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="run-") as run:
            summary = api.run(folder, Path(run) / "run", config=load_config(None, {}, flags))
        return summary.counts.succeeded

    return work


CLIENTS: dict[str, Callable[[], Work]] = {
    "tutorial": tutorial,
    "threads": threads,
    "aiohttp": bare_aiohttp,
    "batchinfer": batchinfer,
}

_PREFIX = b'{"oscar-files":[{"key":"files","file_format":"jpg","data":"'
_SUFFIX = b'"}]}'


def images(folder: Path) -> Iterator[str]:
    """The folder's files in order."""
    return iter(sorted(entry.path for entry in os.scandir(folder)))


def _send(post: Callable[..., requests.Response], endpoint: str, image: str) -> bool:
    """One call as in the tutorial: read, base64, a dict, `json=`; the answer as text."""
    with open(image, "rb") as file:  # noqa: PTH123 - as in the tutorial
        data = base64.b64encode(file.read()).decode("utf-8")
    payload = {"oscar-files": [{"key": "files", "file_format": "jpg", "data": data}]}
    answer = post(url=endpoint, headers=HEADERS, json=payload)
    answer.raise_for_status()
    return len(answer.text) == len(BODY)


# One client, measured -------------------------------------------------------------------------


def measure(name: str, endpoint: str, folder: Path) -> Sample:
    """Do a client's work once, in this process."""
    work = CLIENTS[name]()
    wall, cpu = time.perf_counter(), time.process_time()
    items = work(endpoint, folder)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    return Sample(items, seconds, cpu_seconds, peak_mb())


def peak_mb() -> float:
    """Peak resident memory of this process, MB (10^6 bytes)."""
    try:
        # Not rusage's where it can be helped: that begins with the peak of the parent process.
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("name", choices=CLIENTS)
    ask.add_argument("endpoint")
    ask.add_argument("folder", type=Path)
    ask.add_argument("--core", type=int, help="the core to stay on")
    given = ask.parse_args()
    pin(given.core)
    print(json.dumps(asdict(measure(given.name, given.endpoint, given.folder))))


if __name__ == "__main__":
    main()
