"""JSONL as OpenAI's Batch API returns it: for programs that read that already.

One line per item with an outcome: `custom_id` is the key, `response.body` the prediction; of an
item that failed, `error` holds its code and message. A prediction that is bytes is told as the path
of its file, relative to the run directory, and its media type.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Final

import orjson

from batchinfer.domain import JSON, TEXT, Dossier, Json, Result, State
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import json_text, one_line, printable
from batchinfer.sinks.left_out import LeftOut

_OK: Final = 200


def write(book: Book, file: BinaryIO) -> int:
    """One object a line; how many."""
    left_out, written = LeftOut(), 0
    for dossier in book.dossiers():
        if dossier.result.state in {State.SUCCEEDED, State.FAILED}:
            row = _row(dossier, f"{book.info.id}-{dossier.position}-{dossier.attempt}")
            file.write(one_line(orjson.dumps(row)) + b"\n")
            written += 1
        else:
            left_out.add("item", "without an outcome yet", dossier.result.key)
    left_out.tell(book)
    return written


def _row(dossier: Dossier, name: str) -> dict[str, Any]:
    result = dossier.result
    response = error = None
    if result.state is State.SUCCEEDED:
        body = orjson.Fragment(json_text(_body(result)))
        response = {"status_code": _OK, "request_id": name, "body": body}
    else:
        error = {"code": printable(result.code or ""), "message": printable(result.message or "")}
    key = printable(result.key)
    return {"id": f"batch_req_{name}", "custom_id": key, "response": response, "error": error}


def _body(result: Result) -> Json:
    if result.media_type in {JSON, TEXT}:
        return result.prediction
    return {"path": result.prediction, "media_type": result.media_type}
