"""What a person or a program sees of a run while it goes on: observers, and the choice of one.

Rules of the room: only what is durable is counted; an ETA is given only when there is one; nothing
from outside reaches a terminal but through `printable`; no display ever ends a run.
"""

from __future__ import annotations

import time
from typing import TextIO

from batchinfer.ports import Clock
from batchinfer.progress.bar import Bar
from batchinfer.progress.displays import Display, JsonLines, Lines, Quiet, closing
from batchinfer.progress.tally import RateWindow, Summary
from batchinfer.progress.text import KeyOf, between, duration, printable, rate

__all__ = [
    "Bar",
    "Display",
    "JsonLines",
    "KeyOf",
    "Lines",
    "Quiet",
    "RateWindow",
    "Summary",
    "between",
    "choose",
    "closing",
    "duration",
    "printable",
    "rate",
]


def choose(
    talk: TextIO,
    data: TextIO,
    *,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    plain: bool = False,
    key_of: KeyOf | None = None,
    clock: Clock = time.monotonic,
) -> Display:
    """Choose the display for what the streams are: `talk` is stderr, `data` is stdout.

    JSON is data and goes to stdout also when quiet; all else is talk. `plain`: lines, although
    `talk` is a terminal (still).
    """
    if json:
        return JsonLines(data, clock=clock, verbose=verbose, key_of=key_of)
    if quiet:
        return Quiet()
    kind = Bar if _is_terminal(talk) and not plain else Lines
    return kind(talk, clock=clock, verbose=verbose, key_of=key_of)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
