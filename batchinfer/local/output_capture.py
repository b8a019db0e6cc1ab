"""Separate what predictions in threads print: each its own text, in one process.

`sys.stdout` and `sys.stderr` become routers that ask a context variable where to write; outside of
a prediction they write where they always did.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from batchinfer.local.deepaas import LogHandler, LogStyle

_CURRENT_OUTPUT: ContextVar[io.StringIO | None] = ContextVar("_CURRENT", default=None)


def install(style: LogStyle) -> None:
    """Route this process's standard streams and log records from now on."""
    sys.stdout, sys.stderr = _StreamRouter(sys.stdout), _StreamRouter(sys.stderr)
    handler = LogHandler(style)
    handler.addFilter(lambda _: _CURRENT_OUTPUT.get() is not None)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


@contextmanager
def capture_output() -> Iterator[io.StringIO]:
    """Collect what is printed and logged in this context."""
    text = io.StringIO()
    token = _CURRENT_OUTPUT.set(text)
    try:
        yield text
    finally:
        _CURRENT_OUTPUT.reset(token)


class _StreamRouter(io.TextIOBase):
    def __init__(self, usual: TextIO) -> None:
        self._default = usual

    def write(self, text: str) -> int:
        """Write to the current prediction's text, or else as usual."""
        return (_CURRENT_OUTPUT.get() or self._default).write(text)

    def flush(self) -> None:
        """Flush what is written to."""
        (_CURRENT_OUTPUT.get() or self._default).flush()

    def isatty(self) -> bool:
        """Never: a container has no terminal."""
        return False
