"""Texts of a curl command that a POSIX shell completes with secrets and files. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Final

from batchinfer.protocols.inference_protocol import CurlFile
from batchinfer.protocols.multipart import detect_media_type
from batchinfer.shell import quote_json_variable

_HEREDOC_ESCAPES: Final = str.maketrans({"\\": "\\\\", "$": "\\$", "`": "\\`"})
"""What has a meaning of its own in a here-document."""
_QUOTED_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
"""What has one between the quotes of curl's configuration."""


def quote_with_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """A text as it stands between quotes in curl's configuration, which is a here-document.

    `secrets`: the variables of secret values, by value.
    """
    if not secrets:
        return _escape(text)
    longest_first = sorted(secrets, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    pieces, end = [], 0
    for found in pattern.finditer(text):
        pieces += [_escape(text[end : found.start()]), quote_json_variable(secrets[found[0]])]
        end = found.end()
    return "".join([*pieces, _escape(text[end:])])


def complete_json(text: str, secrets: Mapping[str, str]) -> str:
    """A piece of JSON as it stands in a here-document, with secrets as variables."""
    document = text.translate(_HEREDOC_ESCAPES)
    escaped = {
        json.dumps(value, ensure_ascii=is_ascii)[1:-1].translate(_HEREDOC_ESCAPES): name
        for value, name in secrets.items()
        for is_ascii in (True, False)
    }
    if not escaped:
        return document
    pattern = re.compile("|".join(map(re.escape, sorted(escaped, key=len, reverse=True))))
    return pattern.sub(lambda found: quote_json_variable(escaped[found[0]]), document)


def format_form_file(field: str, file: CurlFile) -> str:
    """The option of curl that uploads a file as a field of a form."""
    # Between double quotes curl reads ; and , of a path as they are, and takes \ for an escape.
    start, end = f'{field}=@"', f'";type={detect_media_type(file.head)}'
    if any(sign in file.path for sign in '"\\'):
        path = file.path.translate(_QUOTED_ESCAPES)
        return f"--form {shlex.quote(f'{start}{path}{end}')}"
    if file.path.isprintable():
        return f"--form {shlex.quote(f'{start}{file.path}{end}')}"
    return f"--form {shlex.quote(start)}{file.quoted_path}{shlex.quote(end)}"


def _escape(text: str) -> str:
    return text.translate(_QUOTED_ESCAPES).translate(_HEREDOC_ESCAPES)
