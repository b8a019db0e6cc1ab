"""A request as a here-document, which a POSIX shell completes with files and secrets. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from batchinfer.domain import Json
from batchinfer.protocols.ai4os.payload import FILES_KEY, detect_file_format
from batchinfer.protocols.inference_protocol import CurlFile
from batchinfer.shell import quote_json_variable

_HEREDOC_ESCAPES = str.maketrans({"\\": "\\\\", "$": "\\$", "`": "\\`"})
"""What has a meaning of its own in a here-document."""


def format_curl_document(
    params: Mapping[str, Json], files: Sequence[CurlFile], secrets: Mapping[str, str]
) -> str:
    """The payload; files are encoded by `base64`, secrets (variables by value) are put in."""
    head = json.dumps(dict(params)).translate(_HEREDOC_ESCAPES)
    escaped_secrets = {
        json.dumps(value)[1:-1].translate(_HEREDOC_ESCAPES): name for value, name in secrets.items()
    }
    if escaped_secrets:
        longest_first = sorted(escaped_secrets, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, longest_first)))
        head = pattern.sub(lambda found: quote_json_variable(escaped_secrets[found[0]]), head)
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
