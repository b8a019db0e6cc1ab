"""Bodies of the type `multipart/form-data` (RFC 7578), in parts between which files stand. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Final

from batchinfer.protocols.inference_protocol import FileHead
from batchinfer.protocols.media_types import OCTET_STREAM, sniff_media_type

_BOUNDARY_BYTES: Final = 16
_ESCAPES: Final = {'"': "%22", "\r": "%0D", "\n": "%0A"}
"""As browsers write names (WHATWG, "multipart/form-data encoding algorithm")."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def make_boundary() -> str:
    """A boundary that no file can hold: nobody knows it beforehand."""
    return f"batchinfer-{secrets.token_hex(_BOUNDARY_BYTES)}"


def make_content_type(boundary: str) -> str:
    """The media type of a body."""
    return f"multipart/form-data; boundary={boundary}"


def build_parts(
    boundary: str, fields: Sequence[tuple[str, str]], files: Sequence[tuple[str, FileHead]]
) -> Sequence[bytes]:
    """The body before, between and behind the files.

    `fields`: names and texts. `files`: the name of the field of each, and the file.
    """
    start = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_escape(name)}"\r\n\r\n{text}\r\n'
        for name, text in fields
    )
    parts = []
    for name, file in files:
        start += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_escape(name)}"; '
            f'filename="{_escape(get_file_name(file.path))}"\r\n'
            f"Content-Type: {detect_media_type(file.head)}\r\n\r\n"
        )
        parts.append(_encode(start))
        start = "\r\n"
    return [*parts, _encode(f"{start}--{boundary}--\r\n")]


def get_file_name(path: str) -> str:
    """The name of a file, without its folders, as a service gets it."""
    name = re.split(r"[/!]", path.rstrip("/"))[-1]
    return _CONTROL.sub("_", _encode(name).decode("utf-8", "replace")) or "file"


def detect_media_type(head: bytes) -> str:
    """The media type of a file that begins like this."""
    return sniff_media_type(head) or OCTET_STREAM


def _escape(name: str) -> str:
    return _CONTROL.sub("_", "".join(_ESCAPES.get(sign, sign) for sign in name))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
