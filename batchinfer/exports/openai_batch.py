"""JSONL as OpenAI's Batch API returns it, for programs that already read that.

One line per item with an outcome: `custom_id` is the key, `response.body` the prediction; of an
item that failed, `error` holds its code and message. A prediction that is bytes is given as the
path of its file, relative to the run directory, and its media type.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Final

import orjson

from batchinfer.domain import JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE, Json, Result, ResultDetails, State
from batchinfer.exports.export_format import FileExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.exports.safe_text import encode_strict_json, escape_line_ends
from batchinfer.text_format import escape_undecodable

_HTTP_OK: Final = 200


class OpenAIBatchExport(FileExport):
    """One JSON object per line."""

    name = "openai-batch"
    unit = "row"
    description = "a row per item with an outcome"
    consumers = "programs for OpenAI's Batch API"

    def write(self, source: ExportSource, file: BinaryIO, options: ExportOptions) -> int:  # noqa: ARG002
        """See `FileExport`."""
        omissions, written = ExportOmissions(), 0
        for details in source.iter_details():
            if details.result.state in {State.SUCCEEDED, State.FAILED}:
                row = _make_row(details, f"{source.info.id}-{details.position}-{details.attempt}")
                file.write(escape_line_ends(orjson.dumps(row)) + b"\n")
                written += 1
            else:
                omissions.add("item", "without an outcome yet", details.result.key)
        omissions.report(source)
        return written


def _make_row(details: ResultDetails, request_id: str) -> dict[str, Any]:
    result = details.result
    response = error = None
    if result.state is State.SUCCEEDED:
        body = orjson.Fragment(encode_strict_json(_make_body(result)))
        response = {"status_code": _HTTP_OK, "request_id": request_id, "body": body}
    else:
        error = {
            "code": escape_undecodable(result.code or ""),
            "message": escape_undecodable(result.message or ""),
        }
    key = escape_undecodable(result.key)
    return {"id": f"batch_req_{request_id}", "custom_id": key, "response": response, "error": error}


def _make_body(result: Result) -> Json:
    if result.media_type in {JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE}:
        return result.prediction
    return {"path": result.prediction, "media_type": result.media_type}
