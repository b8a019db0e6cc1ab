"""The protocol of services whose requests the configuration describes.

See docs/how-to/other-services.md. Body, headers and query are templates (`request_template.py`);
what of an answer counts is a JMESPath expression (`results.py`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlencode

from batchinfer.domain import Failure, Json, Mode, Outcome
from batchinfer.errors import FatalError
from batchinfer.protocols import curl_texts
from batchinfer.protocols.http_json import request_template
from batchinfer.protocols.http_json.options import OPTION_NAMES, HttpJsonOptions, parse_options
from batchinfer.protocols.http_json.request_template import Piece
from batchinfer.protocols.inference_protocol import (
    CurlFile,
    CurlRequest,
    EncodedItem,
    FileHead,
    HttpAnswer,
    InferenceProtocol,
    ParamChecker,
)
from batchinfer.protocols.model_schema import ModelSchema, Parameter
from batchinfer.suggestions import suggest_inline

_DESCRIPTION_KEY: Final = "http-json"


class HttpJsonProtocol(InferenceProtocol):
    """Requests by a template, results by an expression."""

    option_names = OPTION_NAMES
    needs_token = False

    def __init__(self, options: HttpJsonOptions | None = None) -> None:
        if options is None:
            return
        self._options, self._shape = options, options.shape
        pieces = options.list_pieces()
        self._contents = request_template.list_contents(self._shape.pieces)
        self._param_names = list(dict.fromkeys(request_template.list_params(pieces)))
        self.payload_suffix = self._shape.suffix
        self.has_query = bool(options.query)
        self.success_statuses = options.rules.success_statuses
        is_fixed = all(isinstance(piece, str) for piece in options.content_type)
        self.content_type = (
            "".join(map(str, options.content_type)) if is_fixed else self._shape.content_type
        )
        self._item_headers = dict(options.headers)
        if not is_fixed:
            self._item_headers["Content-Type"] = options.content_type

    def configure(self, options: Mapping[str, Json]) -> InferenceProtocol:
        """See InferenceProtocol."""
        return HttpJsonProtocol(parse_options(options))

    def get_call_path(self, endpoint_path: str) -> str:
        """See InferenceProtocol."""
        path = self._options.path
        return endpoint_path.rstrip("/") + path if path else endpoint_path

    # Encode an item -------------------------------------------------------------------------------

    def encode_params(
        self,
        params: Mapping[str, Json],
        file_params: Sequence[str],
        mode: Mode,  # noqa: ARG002
    ) -> Mapping[str, Json] | Failure:
        """See InferenceProtocol."""
        for name, value in params.items():
            if (problem := self.find_param_problem(name, value)) is not None:
                return Failure("bad_param", problem)
        problems = [self.find_file_problem(file_params), *self.list_missing(params)]
        problem = next((each for each in problems if each is not None), None)
        return params if problem is None else Failure("bad_param", problem)

    def encode_item(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> EncodedItem:
        """See InferenceProtocol."""
        headers = {
            name: _encode_header(_fill(pieces, params, files))
            for name, pieces in self._item_headers.items()
        }
        return EncodedItem(
            self._shape.encode(params, files), headers, self._make_query(params, files)
        )

    def encode_content(self, chunk: bytes) -> bytes:
        """See InferenceProtocol."""
        return self._shape.encode_content(chunk)

    def get_encoded_size(self, size: int) -> int:
        """See InferenceProtocol."""
        return self._shape.get_encoded_size(size)

    def format_preview(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> str:
        """See InferenceProtocol."""
        shown: Json = self._shape.preview(params, files)
        if query := {
            name: _fill(pieces, params, files) for name, pieces in self._options.query.items()
        }:
            shown = {"query": query, "body": shown}
        return json.dumps(shown, indent=2, ensure_ascii=False)

    def format_curl_request(
        self, params: Mapping[str, Json], files: Sequence[CurlFile], secrets: Mapping[str, str]
    ) -> CurlRequest | None:
        """See InferenceProtocol. A query with secrets is no line for a shell."""
        heads = [FileHead(file.param, file.path, file.head, 0) for file in files]
        query = self._make_query(params, heads)
        if any(urlencode({"": secret})[1:] in query for secret in secrets):
            return None
        request = self._shape.make_curl_request(params, files, secrets)
        options, lines = list(request.options), list(request.config_lines)
        content_type = None if request.content_type is None else self.content_type
        for name, pieces in self._item_headers.items():
            text = f"{name}: {_encode_header(_fill(pieces, params, heads))}"
            if name == "Content-Type":
                content_type = text.partition(": ")[2]
            elif any(secret in text for secret in secrets):
                lines.append(f'header = "{curl_texts.quote_with_secrets(text, secrets)}"')
            else:
                options.append(f"--header {shlex.quote(text)}")
        return CurlRequest(request.document, options, lines, content_type, query)

    def _make_query(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> str:
        table = self._options.query
        return urlencode({name: _fill(pieces, params, files) for name, pieces in table.items()})

    # What an item needs ---------------------------------------------------------------------------

    def find_param_problem(self, name: str, value: Json) -> str | None:
        """Why a parameter cannot be sent; None: it can."""
        if name not in self._param_names and None not in self._param_names:
            known = [each for each in self._param_names if each is not None]
            return (
                f"the request has no place for the parameter {name!r}"
                f"{suggest_inline(name, known)}: write $param.{name} where it belongs in [protocol]"
            )
        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, TypeError, RecursionError):
            return f"parameter {name!r} cannot be sent: its value is no JSON"
        return None

    def list_missing(self, params: Mapping[str, Json]) -> Sequence[str]:
        """What a request needs and an item does not have, each a message."""
        return [
            f"the request needs the parameter {name!r} ($param.{name}), and it is not given"
            for name in self._param_names
            if name is not None and name not in params
        ]

    def find_file_problem(self, file_params: Sequence[str]) -> str | None:
        """Why files of these parameters have no place in a request; None: they have."""
        wanted = [content.param for content in self._contents]
        if len(wanted) != len(file_params):
            count = "no file" if not wanted else f"{len(wanted)} file" + "s" * (len(wanted) > 1)
            return f"the request has places for {count}, and the item has {len(file_params)}"
        for place, name in zip(wanted, file_params, strict=True):
            if place not in {None, name}:
                order = ", ".join(str(each) for each in wanted)
                return f"the request has the files {order}, in this order; the item has {name!r}"
        return None

    # Decode an answer -----------------------------------------------------------------------------

    def decode_answer(self, answer: HttpAnswer) -> Outcome | FatalError:
        """See InferenceProtocol."""
        return self._options.rules.decode(answer)

    # Describe the model ---------------------------------------------------------------------------

    def get_help_path(self, endpoint_path: str) -> str | None:
        """See InferenceProtocol."""
        health = self._options.health
        return None if health is None else endpoint_path.rstrip("/") + health

    def decode_help(self, answer: HttpAnswer, call_path: str) -> str | Failure | FatalError:  # noqa: ARG002
        """See InferenceProtocol. What is taken is what the templates have places for."""
        if answer.status not in self.success_statuses | {HTTPStatus.NO_CONTENT}:
            outcome = self.decode_answer(answer)
            if isinstance(outcome, Failure | FatalError):
                return outcome
        names = [name for name in self._param_names if name is not None]
        files = [content.param or "any name" for content in self._contents]
        known: Json = {
            "params": list[Json](names),
            "files": list[Json](files),
            "open": None in self._param_names,
        }
        return json.dumps({_DESCRIPTION_KEY: known})

    def parse_help(self, text: str) -> ModelSchema | None:
        """See InferenceProtocol."""
        try:
            known = json.loads(text)[_DESCRIPTION_KEY]
            params = [Parameter(str(name), required=True) for name in known["params"]]
            files = [Parameter(str(name), is_file=True) for name in known["files"]]
            return ModelSchema((*params, *files), accepts_unlisted=known["open"] is True)
        except (ValueError, LookupError, TypeError, RecursionError):
            return None

    def make_param_checker(
        self,
        schema: ModelSchema | None,  # noqa: ARG002 - the templates say it
        mode: Mode,  # noqa: ARG002
        common_params: Mapping[str, Json],
    ) -> ParamChecker:
        """See InferenceProtocol."""
        return TemplateParamChecker(self, common_params)


class TemplateParamChecker:
    """Rules by what the templates have places for. See `ParamChecker`."""

    def __init__(self, protocol: HttpJsonProtocol, common_params: Mapping[str, Json]) -> None:
        self._protocol, self._common_params = protocol, common_params
        self.abbreviations: Mapping[str, str] = {}

    def validate_value(self, name: str, value: Json) -> str | None:
        """See ParamChecker."""
        return self._protocol.find_param_problem(name, value)

    def validate_item(self, params: Mapping[str, Json], files: tuple[str, ...]) -> Sequence[str]:
        """See ParamChecker."""
        problems = [self.validate_value(name, value) for name, value in params.items()]
        problems.append(self._protocol.find_file_problem(files))
        problems += self._protocol.list_missing({**self._common_params, **params})
        return [problem for problem in problems if problem is not None]


def _fill(pieces: Sequence[Piece], params: Mapping[str, Json], files: Sequence[FileHead]) -> str:
    (text,) = request_template.render(pieces, params, files)
    return text.decode("utf-8", "surrogateescape")


def _encode_header(text: str) -> str:
    """A text as a header can carry it: what is not printable ASCII, as in a URL."""
    if text.isascii() and text.isprintable():
        return text
    return quote(text, safe="".join(map(chr, range(32, 127))), errors="surrogateescape")
