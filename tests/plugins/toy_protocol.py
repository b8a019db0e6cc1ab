"""A protocol of another kind of service: the bytes of one file in, JSON out; calls only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from batchinfer.domain import Failure, FailureKind, Mode, Outcome, Reply
from batchinfer.errors import FatalError
from batchinfer.protocols.http_text import excerpt, parse_retry_after
from batchinfer.protocols.inference_protocol import (
    EncodedItem,
    FileHead,
    HttpAnswer,
    InferenceProtocol,
)

KINDS = {429: FailureKind.TRANSIENT, 503: FailureKind.UNAVAILABLE}


class ToyProtocol(InferenceProtocol):
    """The file is the body, the parameters are a header."""

    content_type = "application/octet-stream"
    payload_suffix = ".bin"

    def encode_params(
        self, params: Mapping[str, Any], file_params: Sequence[str], mode: Mode
    ) -> Mapping[str, Any] | Failure:
        if len(file_params) > 1:
            return Failure("bad_param", "the service takes one file a call")
        text = json.dumps(dict(params))
        if not text.isascii() or len(text) > 4_000:
            return Failure("bad_param", "the parameters are too long for a header")
        return {"header": text}

    def encode_item(self, params: Mapping[str, Any], files: Sequence[FileHead]) -> EncodedItem:
        return EncodedItem([b""] * (len(files) + 1), {"X-Params": params["header"]})

    def format_preview(self, params: Mapping[str, Any], files: Sequence[FileHead]) -> str:
        return json.dumps({"params": params, "bytes": sum(file.size for file in files)})

    def decode_answer(self, answer: HttpAnswer) -> Outcome | FatalError:
        if answer.status == 401:
            return FatalError("unauthorized", f"the service refused the key{excerpt(answer.body)}")
        if answer.status != 200:
            return Failure(
                f"http_{answer.status}",
                f"the service answered {answer.status}: {excerpt(answer.body)}",
                KINDS.get(answer.status, FailureKind.PERMANENT),
                retry_after=parse_retry_after(answer.headers.get("Retry-After"), answer.now),
                log=answer.body.decode(errors="replace"),
            )
        try:
            return Reply(prediction=json.loads(answer.body), log=answer.body.decode())
        except (ValueError, RecursionError):
            return Failure("unreadable", "the answer is no JSON", FailureKind.TRANSIENT)
