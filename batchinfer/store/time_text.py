"""Times as text, as the views of `run.db` have them (SQLite's `strftime`), without asking SQLite.

Two of each row of an export; SQLite takes five times as long for one.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from functools import lru_cache
from typing import Final

_JULIAN_EPOCH_MS: Final = 210_866_760_000_000.0
"""The epoch in SQLite's milliseconds. It is added and taken away again to round as SQLite does."""
_MILLISECONDS: Final = tuple([b"%03dZ" % number for number in range(1000)])
_FIRST_UNUSUAL_SECOND: Final = 253_402_300_799
"""From the end of the year 9999 on, and before the epoch, SQLite is asked."""


def format_time(at: float | None) -> str | None:
    """ISO 8601, UTC, milliseconds, of seconds since the epoch; None: there is no such time."""
    return None if at is None else encode_time(at).decode() or None


def encode_time(at: float) -> bytes:
    """The same as bytes; b"": there is no such time."""
    if not 0 <= at < _FIRST_UNUSUAL_SECOND:
        return (_ask_sqlite(at) or "").encode()
    milliseconds = int(at * 1000.0 + _JULIAN_EPOCH_MS + 0.5 - _JULIAN_EPOCH_MS)
    return _encode_second(milliseconds // 1000) + _MILLISECONDS[milliseconds % 1000]


@lru_cache(1024)
def _encode_second(at: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(at)).encode()


def _ask_sqlite(at: float) -> str | None:
    with closing(sqlite3.connect(":memory:")) as connection:
        text: str | None
        (text,) = connection.execute(
            "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', ?, 'unixepoch')", (at,)
        ).fetchone()
    return text
