"""A request as a here-document, which a POSIX shell completes with files and secrets. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from batchinfer.domain import Json
from batchinfer.protocols.ai4os.payload import FILES_KEY, detect_file_format
from batchinfer.protocols.curl_texts import complete_json
from batchinfer.protocols.inference_protocol import CurlFile


def format_curl_document(
    params: Mapping[str, Json], files: Sequence[CurlFile], secrets: Mapping[str, str]
) -> str:
    """The payload; files are encoded by `base64`, secrets (variables by value) are put in."""
    head = complete_json(json.dumps(dict(params)), secrets)
    if not files:
        return head
    entries = ",\n".join(map(_format_entry, files))
    comma = ", " if params else ""
    return f'{head[:-1]}{comma}"{FILES_KEY}": [\n{entries}\n]}}'


def _format_entry(file: CurlFile) -> str:
    file_format = detect_file_format(file.path, file.head)
    return (
        f'{{"key": {json.dumps(file.param)}, "file_format": {json.dumps(file_format)}, '
        f""""data": "$(base64 < {file.quoted_path} | tr -d '\\r\\n')"}}"""
    )
