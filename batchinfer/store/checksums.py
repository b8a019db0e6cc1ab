"""CRC-32 of what must never change again: finds every flipped bit of a row or a file.

Of a row: its numbers as 8 bytes each (integers, doubles; little-endian), then its texts in UTF-8,
joined by U+001F. docs/reference/run-format.md lists them in this order, too. Nothing here
depends on how a library writes a number. Raises ValueError for what can be no such row.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Any, AnyStr, Final
from zlib import crc32

_CHECKSUM_CHUNK_BYTES: Final = 2**20
ITEM_STRUCT: Final = Struct("<q")
_INPUT_STRUCT: Final = Struct("<qqq")
_REUSED_STRUCT: Final = Struct("<qq")
_SESSION_STRUCT: Final = Struct("<qd")
_RUN_STRUCT: Final = Struct("<d")
ATTEMPT_STRUCT: Final = Struct("<qqddddqqq")


def checksum_item(
    position: int, key: AnyStr, path: AnyStr | None, files: AnyStr, params: AnyStr
) -> int:
    """Of a row of `items`, whose texts are all text, or all the bytes that are stored for it."""
    return _checksum_row(ITEM_STRUCT, (position,), (key, path or files[:0], files, params))


def checksum_input(position: int, number: int, param: AnyStr, size: int, sha256: AnyStr) -> int:
    """Of a row of `inputs`; texts as in `checksum_item`."""
    return _checksum_row(_INPUT_STRUCT, (position, number, size), (param, sha256))


def checksum_reused(position: int, number: int, run: AnyStr, run_id: AnyStr, key: AnyStr) -> int:
    """Of a row of `reused`; texts as in `checksum_item`."""
    return _checksum_row(_REUSED_STRUCT, (position, number), (run, run_id, key))


def checksum_session(number: int, version: str, started_at: float, params: str) -> int:
    """Of a row of `sessions`."""
    return _checksum_row(_SESSION_STRUCT, (number, started_at), (version, params))


def checksum_run(  # noqa: PLR0917 - the cells of a row
    id: str, created_at: float, mode: str, config: str, sources: str, help: str | None
) -> int:
    """Of the row of `run`."""
    return _checksum_row(_RUN_STRUCT, (created_at,), (id, mode, config, sources, help or ""))


def checksum_attempt(
    row: Sequence[Any],
    prediction_row: Sequence[Any] | None,
    attempts: int,
    empty: str | bytes = "",
) -> int:
    """Of a row of `attempts`, without its log.

    `row`: position, number, started_at, seconds, code, message, kind, retry_after, server_seconds,
    session, params. `prediction_row`: media type, prediction and file checksum, as in
    `predictions`; None: there is none. `attempts`: the item's. `empty`: what stands for
    no text; b"" where texts are the bytes that are stored for them.
    """
    position, number, started_at, seconds, code, message, kind, retry, server, session, params = row
    media_type, prediction, file_checksum = prediction_row or (None, None, None)
    numbers = (
        position,
        number,
        started_at,
        seconds,
        -1.0 if retry is None else retry,
        -1.0 if server is None else server,
        session or 0,
        -1 if file_checksum is None else file_checksum,
        attempts,
    )
    texts = (
        *(code or empty, message or empty, kind or empty, params or empty),
        *(media_type or empty, prediction or empty),
    )
    return _checksum_row(ATTEMPT_STRUCT, numbers, texts)


def checksum_text(text: str) -> int:
    """Of a text."""
    return crc32(text.encode("utf-8", "surrogatepass"))


def checksum_file(path: Path) -> int:
    """Of a file. Raises OSError."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHECKSUM_CHUNK_BYTES):
            checksum = crc32(chunk, checksum)
    return checksum


def _checksum_row(layout: Struct, numbers: Sequence[Any], texts: Sequence[Any]) -> int:
    is_stored = isinstance(texts[0], bytes)
    data = b"\x1f".join(texts) if is_stored else "\x1f".join(texts).encode(errors="surrogatepass")
    try:
        return crc32(data, crc32(layout.pack(*numbers)))
    except struct.error as error:
        raise ValueError(f"a number is none: {error}") from error
