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

from batchinfer.local.deepaas import LogHandler, Style

_CURRENT: ContextVar[io.StringIO | None] = ContextVar("_CURRENT", default=None)


def install(style: Style) -> None:
    """Route this process's standard streams and log records from now on."""
    sys.stdout, sys.stderr = _Router(sys.stdout), _Router(sys.stderr)
    handler = LogHandler(style)
    handler.addFilter(lambda _: _CURRENT.get() is not None)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """Collect what is printed and logged in this context."""
    text = io.StringIO()
    token = _CURRENT.set(text)
    try:
        yield text
    finally:
        _CURRENT.reset(token)


class _Router(io.TextIOBase):
    def __init__(self, usual: TextIO) -> None:
        self._usual = usual

    def write(self, text: str) -> int:
        """Write to the current prediction's text, or else as usual."""
        return (_CURRENT.get() or self._usual).write(text)

    def flush(self) -> None:
        """Flush what is written to."""
        (_CURRENT.get() or self._usual).flush()

    def isatty(self) -> bool:
        """Never: a container has no terminal."""
        return False
