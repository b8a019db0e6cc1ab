"""What a person or a program sees of a run while it goes on: observers, and the choice of one.

Rules: only what is durable is counted; an ETA is given only when there is one; nothing
from outside reaches a terminal but through `escape_unprintable`; no display ever ends a run.
"""

from __future__ import annotations

import time
from typing import TextIO

from batchinfer.ports import Clock
from batchinfer.progress.displays import (
    Display,
    JsonDisplay,
    LogDisplay,
    QuietDisplay,
    format_summary,
)
from batchinfer.progress.progress_format import format_range, format_rate
from batchinfer.progress.progress_state import RateWindow, Summary

__all__ = [
    "Display",
    "JsonDisplay",
    "LogDisplay",
    "QuietDisplay",
    "RateWindow",
    "Summary",
    "choose_display",
    "format_range",
    "format_rate",
    "format_summary",
]


def choose_display(
    message_stream: TextIO,
    data_stream: TextIO,
    *,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    plain: bool = False,
    clock: Clock = time.monotonic,
) -> Display:
    """Choose the display: a bar on a terminal and in a notebook, else lines; JSON if asked for.

    JSON is data and goes to `data_stream` (stdout), also when quiet; all else goes to
    `message_stream` (stderr). `plain`: lines, although `message_stream` is still a terminal.
    """
    if json:
        return JsonDisplay(data_stream, clock=clock, verbose=verbose)
    if quiet:
        return QuietDisplay()
    if not plain and (_is_terminal(message_stream) or _is_notebook(message_stream)):
        from batchinfer.progress.bar_display import BarDisplay  # noqa: PLC0415 - imports tqdm

        return BarDisplay(message_stream, clock=clock, verbose=verbose)
    return LogDisplay(message_stream, clock=clock, verbose=verbose)


def _is_notebook(stream: TextIO) -> bool:
    """Whether this is a notebook's stream: no terminal, but it redraws a line after a CR, too."""
    return type(stream).__module__.partition(".")[0] == "ipykernel"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
