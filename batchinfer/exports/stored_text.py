"""Lines of JSONL and CSV from the bytes that a run stores: the hot path of both formats.

A row is what `ExportSource.iter_stored_rows` yields. The lines are byte for byte those that
`item_rows` writes of a decoded row, without decoding predictions: JSON is passed on, quotation
marks are doubled by one `replace`, and a cell that is plain is not looked at twice. What is not
plain goes through the functions that `item_rows` uses (`safe_text`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

from batchinfer.exports.safe_text import escape_formula, escape_formula_in_json, escape_line_ends
from batchinfer.store.time_text import encode_time
from batchinfer.text_format import escape_undecodable

_PLAIN_CSV_CELL: Final = re.compile(rb"""[A-Za-z0-9_./][^;,"\t\r\n]*""")
"""Needs no quotation marks, and no spreadsheet takes it for a formula (`safe_text`)."""
_QUOTED_CSV_CELL: Final = re.compile(rb"[,\r\n]")
_REMEMBERED_CELLS: Final = 256
"""Different states, media types, codes and messages; most rows share theirs with others."""


def encode_jsonl_line(row: Sequence[Any]) -> bytes:
    """A row as a line of JSONL, with its end."""
    (
        key,
        state,
        prediction,
        media_type,
        code,
        message,
        attempts,
        seconds,
        started_at,
        finished_at,
        path,
        params,
        reused,
    ) = row
    line = b"".join(
        (
            b'{"key":',
            _to_json(key),
            b',"state":',
            _to_json_once(state),
            b',"prediction":',
            b"null" if prediction is None else prediction,
            b',"media_type":',
            _to_json_once(media_type),
            b',"code":',
            b"null" if code is None else _to_json_once(code),
            b',"message":',
            b"null" if message is None else _to_json_once(message),
            b',"attempts":%d,"seconds":' % attempts,
            orjson.dumps(seconds),
            b',"started_at":',
            _time_to_json(started_at),
            b',"finished_at":',
            _time_to_json(finished_at),
            b',"path":',
            _to_json(path),
            b',"params":',
            params,
            b',"reused":',
            b"null" if reused is None else _to_json_once(reused),
            b"}\n",
        )
    )
    return line if line.isascii() else escape_line_ends(line)


def encode_csv_line(row: Sequence[Any], formulas: bool) -> bytes:
    """A row as a line of CSV, with its end; `formulas` as in `item_rows.write_csv_rows`."""
    (
        key,
        state,
        prediction,
        media_type,
        code,
        message,
        attempts,
        seconds,
        started_at,
        finished_at,
        path,
        params,
        reused,
    ) = row
    return b",".join(
        (
            _to_csv(key, formulas),
            state,
            _json_to_csv(prediction, formulas),
            _to_csv_once(media_type, formulas),
            b"" if code is None else _to_csv_once(code, formulas),
            b"" if message is None else _to_csv_once(message, formulas),
            b"%d" % attempts,
            b"" if seconds is None else _seconds_to_csv(seconds),
            b"" if started_at is None else encode_time(started_at),
            b"" if finished_at is None else encode_time(finished_at),
            _to_csv(path, formulas),
            _json_to_csv(params, formulas),
            b"\r\n" if reused is None else _to_csv_once(reused, formulas) + b"\r\n",
        )
    )


def decode_cell(cell: bytes) -> str:
    """A text as UTF-8 can hold it (of a version without checksums it may be damaged)."""
    return escape_undecodable(str(cell, "utf-8", "surrogateescape"))


def _to_json(cell: bytes | None) -> bytes:
    if cell is None:
        return b"null"
    return orjson.dumps(cell.decode() if cell.isascii() else decode_cell(cell))


_to_json_once = lru_cache(_REMEMBERED_CELLS)(_to_json)


def _to_csv(cell: bytes | None, formulas: bool) -> bytes:
    if cell is None:
        return b""
    if _PLAIN_CSV_CELL.fullmatch(cell) and cell.isascii():
        return cell
    text = decode_cell(cell)
    return _quote(text.encode() if formulas else escape_formula(text).encode())


_to_csv_once = lru_cache(_REMEMBERED_CELLS)(_to_csv)


def _json_to_csv(cell: bytes | None, formulas: bool) -> bytes:
    if cell is None or cell == b"null":
        return b""
    if cell == b"{}":  # most parameters
        return cell
    if b";" in cell and not formulas:
        cell = escape_formula_in_json(cell.decode()).encode()
    return b'"%b"' % cell.replace(b'"', b'""') if b'"' in cell else _quote(cell)


def _time_to_json(at: float | None) -> bytes:
    text = b"" if at is None else encode_time(at)
    return b'"%b"' % text if text else b"null"


def _seconds_to_csv(seconds: float) -> bytes:
    """As `repr` spells it, which is slower, and differs for numbers with an exponent."""
    return orjson.dumps(seconds) if 0.001 <= seconds < 1e6 else b"%a" % seconds  # noqa: PLR2004


def _quote(cell: bytes) -> bytes:
    """A cell as RFC 4180 has it, in quotation marks only where it needs them."""
    if b'"' in cell:
        return b'"%b"' % cell.replace(b'"', b'""')
    return cell if _QUOTED_CSV_CELL.search(cell) is None else b'"%b"' % cell
