"""Protocols of other kinds of services: the bytes of one file in, JSON out; calls only."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from batchinfer.domain import Failure, FailureKind, Mode, Outcome, Reply
from batchinfer.errors import FatalError
from batchinfer.protocols.http_text import excerpt, parse_retry_after
from batchinfer.protocols.inference_protocol import (
    CurlFile,
    CurlRequest,
    EncodedItem,
    FileHead,
    HttpAnswer,
    InferenceProtocol,
)
from batchinfer.protocols.model_schema import ModelSchema, Parameter
from batchinfer.protocols.protocol_options import get_text_option

KINDS = {429: FailureKind.TRANSIENT, 503: FailureKind.UNAVAILABLE}


class ToyProtocol(InferenceProtocol):
    """The file is the body, the parameters are a header, which `[protocol] header` names."""

    option_names = ("header",)
    content_type = "application/octet-stream"
    payload_suffix = ".bin"
    header = "X-Params"

    def configure(self, options: Mapping[str, Any]) -> InferenceProtocol:
        super().configure(options)
        configured = type(self)()
        configured.header = get_text_option(options, "header") or self.header
        return configured

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
        return EncodedItem([b""] * (len(files) + 1), {self.header: params["header"]})

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


class AskedProtocol(ToyProtocol):
    """The parameters are in the query, there is no token, and the service is asked where and what
    its model is.
    """

    needs_token = False
    has_query = True
    timeout_hint = "Restart the service"

    def get_call_path(self, endpoint_path: str) -> str | None:
        return endpoint_path if endpoint_path.endswith("/predict") else None

    def get_discovery_path(self, endpoint_path: str) -> str:
        return endpoint_path.rstrip("/") + "/model"

    def decode_discovery(
        self, answer: HttpAnswer, endpoint_path: str
    ) -> str | Failure | FatalError:
        if answer.status == 404:
            return FatalError("bad_endpoint", "no service of this kind is here")
        if answer.status != 200:
            return Failure(f"http_{answer.status}", "it is not there yet")
        return f"{endpoint_path.rstrip('/')}/{json.loads(answer.body)['id']}/predict"

    def get_help_path(self, endpoint_path: str) -> str | None:
        return endpoint_path.removesuffix("/predict").rstrip("/") + "/help"

    def parse_help(self, text: str) -> ModelSchema | None:
        try:
            return ModelSchema(tuple(Parameter(name) for name in json.loads(text)["params"]))
        except (ValueError, TypeError, LookupError, RecursionError):
            return None

    def encode_params(
        self, params: Mapping[str, Any], file_params: Sequence[str], mode: Mode
    ) -> Mapping[str, Any] | Failure:
        if len(file_params) > 1:
            return Failure("bad_param", "the service takes one file a call")
        return params

    def encode_item(self, params: Mapping[str, Any], files: Sequence[FileHead]) -> EncodedItem:
        return EncodedItem([b""] * (len(files) + 1), query=urlencode(params))

    def format_curl_request(
        self, params: Mapping[str, Any], files: Sequence[CurlFile], secrets: Mapping[str, str]
    ) -> CurlRequest | None:
        if secrets:
            return None
        options = [f"--data-binary @{shlex.quote(file.path)}" for file in files]
        return CurlRequest(options=options, content_type=self.content_type, query=urlencode(params))
