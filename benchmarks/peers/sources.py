"""What others do before the first item is sent."""

from __future__ import annotations

import csv
import os

from benchmarks.measuring import Work
from benchmarks.peers.calls import HEADERS, find_run, make_body


def scan_first(endpoint: str, folder: str) -> Work:
    """List the whole folder, sort it, then send: the first of many calls."""
    import aiohttp  # noqa: PLC0415 - each process loads its own client only

    async def send_first() -> int:
        paths = sorted(
            os.path.join(below, name)  # noqa: PTH118 - quick
            for below, _, names in os.walk(folder)
            for name in names
        )
        async with (
            aiohttp.ClientSession(headers=HEADERS) as session,
            session.post(endpoint, data=make_body(paths[0])) as response,
        ):
            await response.read()
        return len(paths)

    return lambda: find_run()(send_first())


def csv_alone(path: str) -> Work:
    """Read every row of a CSV, and look at nothing."""

    def work() -> int:
        with open(path, newline="", encoding="utf-8") as file:  # noqa: PTH123 - quick
            return sum(1 for _ in csv.reader(file)) - 1

    return work


def csv_and_stat(path: str) -> Work:
    """The same, and look whether each file is there."""
    base = os.path.dirname(path)  # noqa: PTH120 - quick

    def work() -> int:
        with open(path, newline="", encoding="utf-8") as file:  # noqa: PTH123 - quick
            rows = csv.reader(file)
            next(rows)
            return sum(os.stat(f"{base}/{row[0]}").st_size > 0 for row in rows)  # noqa: PTH116

    return work
