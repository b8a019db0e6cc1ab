"""What the answer to a call of an OSCAR service means. Pure.

OSCAR's supervisor answers with the one file that the script left, or with a zip of several, in
base64; if there is none, with what the script printed. It says nothing of whether the script
failed: also of that it answers 200 (docs/platform.md, "The body of a 200").
"""

from __future__ import annotations

import binascii
import re
from http import HTTPStatus
from typing import Final

from batchinfer.domain import Failure, FailureKind, Outcome
from batchinfer.errors import FatalError
from batchinfer.protocols.ai4os.http_status import classify_status
from batchinfer.protocols.ai4os.transcript_failures import cut_off_failure
from batchinfer.protocols.ai4os.truncation import is_complete_file
from batchinfer.protocols.http_text import excerpt
from batchinfer.protocols.inference_protocol import HttpAnswer
from batchinfer.protocols.media_types import sniff_media_type
from batchinfer.protocols.oscar.oscar_options import AnswerKind
from batchinfer.protocols.oscar.returned_files import explain_no_output, read_file, read_text

_MIN_CHARS: Final = 24
_TRACEBACK: Final = re.compile(rb"^Traceback \(most recent call last\):\r?$", re.MULTILINE)


def decode_call(answer: HttpAnswer, kind: AnswerKind) -> Outcome | FatalError:
    """What came of a call; `kind`: what the service answers with."""
    if answer.status != HTTPStatus.OK:
        return _decode_refusal(answer)
    file = None if kind == "text" else _decode_returned_file(answer.body, is_certain=kind == "file")
    if file is not None:
        if answer.is_framed or answer.body.rstrip().endswith(b"=") or is_complete_file(file):
            return read_file(file)
        return cut_off_failure("")
    return _decode_printed(answer, kind)


def _decode_refusal(answer: HttpAnswer) -> Failure | FatalError:
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR and _TRACEBACK.search(answer.body):
        last_line = excerpt(answer.body.strip().rpartition(b"\n")[2])
        return Failure(
            "bad_payload",
            f"OSCAR's supervisor could not read what was sent, or could not end: {last_line}",
            FailureKind.PERMANENT,
            log=answer.body.decode("utf-8", "replace"),
        )
    refusal = classify_status(
        answer.status,
        answer.body,
        elapsed=answer.elapsed,
        now=answer.now,
        retry_after=answer.headers.get("Retry-After"),
        location=answer.headers.get("Location"),
    )
    if refusal is None:  # pragma: no cover - only of a 200
        raise AssertionError
    return refusal


def _decode_printed(answer: HttpAnswer, kind: AnswerKind) -> Outcome:
    """What a script printed that left no file."""
    text = answer.body.decode("utf-8", "replace")
    if not text.strip():
        return explain_no_output("the service left no file, and printed nothing", "")
    if kind == "file":
        last_line = excerpt(answer.body.strip().rpartition(b"\n")[2])
        return explain_no_output(f"the service left no file; its last words: {last_line}", text)
    if _TRACEBACK.search(answer.body):
        last_line = excerpt(answer.body.strip().rpartition(b"\n")[2])
        return Failure("model_error", last_line, FailureKind.PERMANENT, log=text)
    if not answer.is_framed and not text.endswith("\n"):
        return cut_off_failure(text)
    return read_text(text.rstrip("\r\n"), answer.body)


def _decode_returned_file(body: bytes, *, is_certain: bool) -> bytes | None:
    """The file that a body is in base64; None: it is none.

    A text can be base64 by chance: a checksum, a word. Behind a file stands one line end, behind
    what a script prints mostly two. Else a file must say what it is, or be a text, or its base64
    must have an end of its own, or be long, with capital and small letters and digits.
    """
    data = None if body.endswith(b"\n\n") and not is_certain else _decode_base64(body)
    if not data or is_certain or sniff_media_type(data) is not None or _is_text(data):
        return data
    text = body.strip()
    kinds = [re.search(pattern, text) for pattern in (rb"[A-Z]", rb"[a-z]", rb"[0-9]")]
    is_file = text.endswith(b"=") or (all(kinds) and len(text) >= _MIN_CHARS)
    return data if is_file else None


def _decode_base64(body: bytes) -> bytes | None:
    text = body.strip().replace(b"\r\n", b"").replace(b"\n", b"")
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else None
    except binascii.Error:
        return None


def _is_text(data: bytes) -> bool:
    try:
        return "".join(data.decode().split()).isprintable()
    except UnicodeDecodeError:
        return False
