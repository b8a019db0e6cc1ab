"""The three shapes of a request: JSON, a form with files, or the file itself. Pure."""

from __future__ import annotations

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

from batchinfer.domain import Json
from batchinfer.protocols import curl_texts, multipart
from batchinfer.protocols.ai4os.payload import encode_base64
from batchinfer.protocols.http_json import request_template
from batchinfer.protocols.http_json.request_template import (
    BadTemplate,
    Content,
    Piece,
    list_contents,
)
from batchinfer.protocols.inference_protocol import CurlFile, CurlRequest, FileHead

_FILE_CONTENT: Final = frozenset({"file"})


class RequestShape(ABC):
    """A shape of requests. `pieces`: of the body."""

    pieces: Sequence[Piece]
    content_type: str
    suffix: str

    def encode_content(self, chunk: bytes) -> bytes:
        """See InferenceProtocol."""
        return chunk

    def get_encoded_size(self, size: int) -> int:
        """See InferenceProtocol."""
        return size

    @abstractmethod
    def encode(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> Sequence[bytes]:
        """The body before, between and behind the contents of the files."""

    @abstractmethod
    def preview(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> Json:
        """The body for people, contents left out."""

    @abstractmethod
    def make_curl_request(
        self, params: Mapping[str, Json], files: Sequence[CurlFile], secrets: Mapping[str, str]
    ) -> CurlRequest:
        """The body as curl sends it. See InferenceProtocol."""


class JsonBody(RequestShape):
    """`body = {...}`: JSON, files in base64."""

    content_type = "application/json"
    suffix = ".json"

    def __init__(self, body: Json) -> None:
        """Raises BadTemplate."""
        if isinstance(body, str):
            try:
                body = json.loads(body)
            except (ValueError, RecursionError):
                raise BadTemplate("is a text that is no JSON") from None
        self.pieces = request_template.compile_json(body)

    def encode_content(self, chunk: bytes) -> bytes:
        """See RequestShape."""
        return encode_base64(chunk)

    def get_encoded_size(self, size: int) -> int:
        """See RequestShape."""
        return 4 * -(-size // 3)

    def encode(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> Sequence[bytes]:
        """See RequestShape."""
        return request_template.render(self.pieces, params, files, request_template.escape_json)

    def preview(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> Json:
        """See RequestShape."""
        contents = [f"<base64 of {file.size:,} bytes>".encode() for file in files]
        body: Json = json.loads(_interleave(self.encode(params, files), contents))
        return body

    def make_curl_request(
        self, params: Mapping[str, Json], files: Sequence[CurlFile], secrets: Mapping[str, str]
    ) -> CurlRequest:
        """See RequestShape."""
        parts = [part.decode("utf-8", "replace") for part in self.encode(params, _to_heads(files))]
        texts = [curl_texts.complete_json(part, secrets) for part in parts]
        contents = [f"$(base64 < {file.quoted_path} | tr -d '\\r\\n')" for file in files]
        document = "".join(map("".join, zip(texts, [*contents, ""], strict=True)))
        return CurlRequest(document, content_type=self.content_type)


class MultipartForm(RequestShape):
    """`multipart = {...}`: fields, of which `$file` is a file."""

    suffix = ".multipart"

    def __init__(self, fields: Mapping[str, Json]) -> None:
        """Raises BadTemplate."""
        self._boundary = multipart.make_boundary()
        self.content_type = multipart.make_content_type(self._boundary)
        self._fields = {name: _compile_field(value) for name, value in fields.items()}
        self._escapes = {
            name: str if isinstance(value, str) else request_template.escape_json
            for name, value in fields.items()
        }
        texts_first = sorted(self._fields.values(), key=lambda each: bool(list_contents(each)))
        self.pieces = [piece for pieces in texts_first for piece in pieces]

    def encode(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> Sequence[bytes]:
        """See RequestShape."""
        uploads, texts = list[tuple[str, FileHead]](), list[tuple[str, str]]()
        for name, pieces in self._fields.items():
            if not list_contents(pieces):
                texts.append((name, self._render(name, params, files)))
            elif len(uploads) < len(files):
                uploads.append((name, files[len(uploads)]))
        return multipart.build_parts(self._boundary, texts, uploads)

    def preview(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> Json:
        """See RequestShape."""
        left = list(files)
        return {
            name: f"<{multipart.get_file_name(left[0].path)}, {left.pop(0).size:,} bytes>"
            if list_contents(pieces) and left
            else self._render(name, params, files)
            for name, pieces in self._fields.items()
        }

    def make_curl_request(
        self, params: Mapping[str, Json], files: Sequence[CurlFile], secrets: Mapping[str, str]
    ) -> CurlRequest:
        """See RequestShape."""
        left, options, lines = list(files), list[str](), list[str]()
        for name, pieces in self._fields.items():
            if list_contents(pieces) and left:
                options.append(curl_texts.format_form_file(name, left.pop(0)))
                continue
            text = f"{name}={self._render(name, params, _to_heads(files))}"
            if any(secret in text for secret in secrets):
                quoted = curl_texts.quote_with_secrets(text, secrets)
                lines.append(f'form-string = "{quoted}"')
            else:
                options.append(f"--form-string {shlex.quote(text)}")
        return CurlRequest(None, options, lines, None)

    def _render(self, name: str, params: Mapping[str, Json], files: Sequence[FileHead]) -> str:
        """The text of a field."""
        (text,) = request_template.render(self._fields[name], params, files, self._escapes[name])
        return text.decode("utf-8", "surrogateescape")


class RawFile(RequestShape):
    """`raw = true`: the body is the file."""

    content_type = "application/octet-stream"
    suffix = ".bin"
    pieces = (Content(None),)

    def encode(
        self,
        params: Mapping[str, Json],  # noqa: ARG002
        files: Sequence[FileHead],
    ) -> Sequence[bytes]:
        """See RequestShape."""
        return [b""] * (len(files) + 1)

    def preview(
        self,
        params: Mapping[str, Json],  # noqa: ARG002
        files: Sequence[FileHead],
    ) -> Json:
        """See RequestShape."""
        return [f"<{multipart.get_file_name(file.path)}, {file.size:,} bytes>" for file in files]

    def make_curl_request(
        self,
        params: Mapping[str, Json],  # noqa: ARG002
        files: Sequence[CurlFile],
        secrets: Mapping[str, str],  # noqa: ARG002
    ) -> CurlRequest:
        """See RequestShape."""
        options = [f"--data-binary @{file.quoted_path}" for file in files]
        return CurlRequest(None, options, (), self.content_type)


def _compile_field(value: Json) -> Sequence[Piece]:
    if not isinstance(value, str):
        return request_template.compile_json(value, frozenset())
    pieces = request_template.compile_text(value, content_names=_FILE_CONTENT)
    if list_contents(pieces) and len(pieces) > 1:
        raise BadTemplate("has $file inside of a text: it is a field of its own")
    return pieces


def _interleave(parts: Sequence[bytes], contents: Sequence[bytes]) -> bytes:
    return b"".join(map(b"".join, zip(parts, [*contents, b""], strict=True)))


def _to_heads(files: Sequence[CurlFile]) -> Sequence[FileHead]:
    return [FileHead(file.param, file.path, file.head, 0) for file in files]
