"""The protocol of DEEPaaS' REST (docs/how-to/deepaas.md)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from batchinfer.domain import Failure, Json, Mode, Outcome
from batchinfer.errors import FatalError
from batchinfer.protocols import curl_texts, multipart
from batchinfer.protocols.deepaas import answers, places, schema
from batchinfer.protocols.deepaas.params import (
    ACCEPT_PARAM,
    MEDIA_TYPE,
    DeepaasParamChecker,
    encode_params,
    iter_fields,
)
from batchinfer.protocols.inference_protocol import (
    CurlFile,
    CurlRequest,
    EncodedItem,
    FileHead,
    HttpAnswer,
    InferenceProtocol,
    ParamChecker,
    Software,
)
from batchinfer.protocols.model_schema import ModelSchema
from batchinfer.protocols.protocol_options import (
    check_option_names,
    get_text_option,
    make_option_error,
)

MAX_QUERY_CHARS: Final = 4_000
"""Characters of a query: servers refuse lines of 8,190 bytes. Beyond, parameters are fields of the
body, where DEEPaaS looks for them, too."""
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_DEFAULT_ACCEPT: Final = "application/json"
"""What modules expect: for `*/*`, which HTTP clients say, many of them have no answer."""


class DeepaasProtocol(InferenceProtocol):
    """Parameters in the query, files as multipart; JSON or, by `accept`, bytes out."""

    option_names = ("model", "accept")
    needs_token = False
    has_query = True
    payload_suffix = ".multipart"
    endpoint_hint = "[service] endpoint is the address of the deployment, as https://..."
    timeout_hint = (
        "DEEPaaS never answers when its module raised an HTTPException or its process died, and "
        "from then on all calls hang (DEEPaaS issue 174): restart the deployment if that goes on"
    )

    def __init__(self, model: str | None = None, accept: str = _DEFAULT_ACCEPT) -> None:
        self._model, self._accept = model, accept
        self._boundary = multipart.make_boundary()
        self.content_type = multipart.make_content_type(self._boundary)

    def configure(self, options: Mapping[str, Json]) -> InferenceProtocol:
        """See InferenceProtocol."""
        check_option_names(options, self.option_names)
        accept = get_text_option(options, "accept") or _DEFAULT_ACCEPT
        if not MEDIA_TYPE.fullmatch(accept):
            raise make_option_error("accept", 'takes a media type, as "image/png".')
        return DeepaasProtocol(get_text_option(options, "model"), accept)

    # Find the service -----------------------------------------------------------------------------

    def get_call_path(self, endpoint_path: str) -> str | None:
        """See InferenceProtocol. Raises FatalError when endpoint and option name two models."""
        named = places.get_model_name(endpoint_path)
        if named is not None and self._model not in {None, named}:
            raise FatalError(
                "bad_endpoint",
                f"[service] endpoint names the model {named!r}, and [protocol] model another one: "
                "leave one of them out",
            )
        model = named or self._model
        prefix = places.get_prefix(endpoint_path)
        return None if model is None else places.make_predict_path(prefix, model)

    def get_discovery_path(self, endpoint_path: str) -> str:
        """See InferenceProtocol."""
        return places.make_models_path(places.get_prefix(endpoint_path))

    def decode_discovery(
        self, answer: HttpAnswer, endpoint_path: str
    ) -> str | Failure | FatalError:
        """See InferenceProtocol."""
        found = places.find_model(answer)
        if not isinstance(found, str):
            return found
        return places.make_predict_path(places.get_prefix(endpoint_path), found)

    # Encode an item -------------------------------------------------------------------------------

    def encode_params(
        self,
        params: Mapping[str, Json],
        file_params: Sequence[str],
        mode: Mode,  # noqa: ARG002
    ) -> Mapping[str, Json] | Failure:
        """See InferenceProtocol."""
        return encode_params(params, file_params)

    def encode_item(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> EncodedItem:
        """See InferenceProtocol."""
        query, fields = _divide(params)
        headers = {"Accept": str(params.get(ACCEPT_PARAM, self._accept))}
        if not files:
            headers["Content-Type"] = _FORM_TYPE
            return EncodedItem((urlencode(fields).encode(),), headers, query)
        uploads = [(file.param, file) for file in files]
        parts = multipart.build_parts(self._boundary, fields, uploads)
        return EncodedItem(parts, headers, query)

    def format_preview(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> str:
        """See InferenceProtocol."""
        shown: dict[str, Json] = {ACCEPT_PARAM: params.get(ACCEPT_PARAM, self._accept)}
        shown["parameters"] = {
            name: value for name, value in params.items() if name != ACCEPT_PARAM
        }
        shown["files"] = {
            file.param: f"<{multipart.get_file_name(file.path)}, {file.size:,} bytes>"
            for file in files
        }
        return json.dumps(shown, indent=2, ensure_ascii=False)

    def format_curl_request(
        self, params: Mapping[str, Json], files: Sequence[CurlFile], secrets: Mapping[str, str]
    ) -> CurlRequest | None:
        """See InferenceProtocol. Secret parameters are `url-query` lines (curl 7.87)."""
        accept = str(params.get(ACCEPT_PARAM, self._accept))
        options = [f"--header {shlex.quote(f'Accept: {accept}')}"]
        plain: list[tuple[str, str]] = []
        lines: list[str] = []
        for name, text in iter_fields(params):
            if any(secret in text for secret in secrets):
                value = curl_texts.quote_with_secrets(text, secrets)
                lines.append(f'url-query = "{urlencode({name: ""})}{value}"')
            else:
                plain.append((name, text))
        query = urlencode(plain)
        if len(query) > MAX_QUERY_CHARS:
            options += [f"--form-string {shlex.quote(f'{name}={text}')}" for name, text in plain]
            query = ""
        options += [curl_texts.format_form_file(file.param, file) for file in files]
        if not files:
            options.append("--request POST")
        return CurlRequest(None, options, lines, None, query)

    # Decode an answer -----------------------------------------------------------------------------

    def decode_answer(self, answer: HttpAnswer) -> Outcome | FatalError:
        """See InferenceProtocol."""
        return answers.decode_answer(answer)

    # Describe the model ---------------------------------------------------------------------------

    def get_help_path(self, endpoint_path: str) -> str:
        """See InferenceProtocol."""
        return places.make_description_path(places.get_prefix(endpoint_path))

    def decode_help(self, answer: HttpAnswer, call_path: str) -> str | Failure | FatalError:
        """See InferenceProtocol."""
        if answer.status == HTTPStatus.NOT_FOUND:
            return Failure("no_help", "the service has no description (swagger.json)")
        if answer.status != HTTPStatus.OK:
            return self._refuse(answer)
        return schema.extract_description(answer.body, call_path)

    def _refuse(self, answer: HttpAnswer) -> Failure | FatalError:
        outcome = self.decode_answer(answer)
        assert isinstance(outcome, Failure | FatalError)  # noqa: S101 - no success
        return outcome

    def parse_help(self, text: str) -> ModelSchema | None:
        """See InferenceProtocol."""
        return schema.parse_description(text)

    def make_param_checker(
        self,
        schema: ModelSchema | None,
        mode: Mode,  # noqa: ARG002
        common_params: Mapping[str, Json],
    ) -> ParamChecker:
        """See InferenceProtocol."""
        return DeepaasParamChecker(schema, common_params)

    # Check ----------------------------------------------------------------------------------------

    def find_software(self, log: str) -> Software | None:
        """See InferenceProtocol."""
        version = schema.find_version(log)
        return None if version is None else Software("DEEPaaS", version)


def _divide(params: Mapping[str, Json]) -> tuple[str, Sequence[tuple[str, str]]]:
    """The query of the parameters; and those that are fields of the body, for it is too long."""
    fields = list(iter_fields(params))
    query = urlencode(fields)
    return (query, ()) if len(query) <= MAX_QUERY_CHARS else ("", fields)
