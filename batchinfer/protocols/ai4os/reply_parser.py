"""Reads what the platform answered: the outcome of a sync body, of a log, of an output. Pure.

Neither HTTP 200 nor an object in the bucket makes a prediction: these rules decide. Where a value
is found in a transcript: `transcript.py`; how it is read: `literals.py`; why there is none:
`transcript_failures.py`.

=====================================  ============================================================
sync: the body of a 200                is
=====================================  ============================================================
one base64 text                        a file (or a zip of several): read as an output is
a returned value, no error behind it   a Reply: data, bytes, or, where it is no literal, text
it ends in the middle of the value     Failure `answer_cut_off`, transient
anything else                          a Failure, by `transcript_failures`
=====================================  ============================================================

=====================================  ============================================================
async: `.log`                          is
=====================================  ============================================================
an error (`transcript_failures`)       a Failure
`Output is saved in <path>`            `SavedOutput`: the output is there, or on its way
neither                                None: wait a grace period, then `killed_log_failure`
=====================================  ============================================================

=====================================  ============================================================
async: what the output object holds    is
=====================================  ============================================================
JSON, also with NaN and Infinity       a Reply with data
an image, a zip, other bytes           a Reply with bytes and their media type
other text                             a Reply with text
JSON that does not close               Failure `answer_cut_off`, transient
nothing                                Failure `no_output`, transient
=====================================  ============================================================

In data, a string that is itself a JSON object or array is replaced by what it says, once; the text
as it came stays in the log. An error behind a returned value wins over it: what DEEPaaS
wrote last counts. Each outcome's `log` is what the service wrote, without colours.

**Both modes agree**: a returned text is a text in both (`text/plain`), unless it is what `str()`
prints of a list, dict or the like, or a JSON object or array: then it is data in both. Where sync
mode alone cannot tell a text from a value, the value wins there: the texts `5`, `0.5`, `None`,
`True`, `nan`, `b'x'` and their like are values in sync mode, texts in async mode.
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from dataclasses import replace
from typing import Final

from batchinfer.domain import (
    JSON_MEDIA_TYPE,
    TEXT_MEDIA_TYPE,
    Failure,
    FailureKind,
    Json,
    Outcome,
    Reply,
    ServiceSignal,
)
from batchinfer.protocols.ai4os.common_literals import parse_prediction_line
from batchinfer.protocols.ai4os.common_transcript import find_common_value
from batchinfer.protocols.ai4os.literals import (
    ParsedLiteral,
    parse_nested_json,
    parse_returned_text,
)
from batchinfer.protocols.ai4os.repr_tokens import INVALID_LITERAL
from batchinfer.protocols.ai4os.transcript import (
    RECORD_STAMP,
    Completeness,
    ReturnedValue,
    decode_output,
    find_returned_value,
    find_unmarked_value,
    is_unmarked,
    iter_records,
    strip_ansi,
    strip_command_echo,
)
from batchinfer.protocols.ai4os.transcript_failures import (
    classify_failure,
    cut_off_failure,
    find_model_error,
    model_killed_failure,
)
from batchinfer.protocols.ai4os.truncation import is_complete_file, parse_saved_json
from batchinfer.protocols.inference_protocol import SavedOutput
from batchinfer.protocols.media_types import OCTET_STREAM, sniff_media_type

_SAVED_RECORD: Final = re.compile(
    rf"{RECORD_STAMP}INFO deepaas\.cmd\.cli \[[^\]\n]*\] (?:return:|\[INFO, Output\])"
    r" Output is saved in (?P<path>.+)"
)
_COMMAND_ECHO_LINE: Final = "\n[*] Final command: "
_RENAMED_OUTPUT_LINE: Final = re.compile(r"^.*New output is.*$", re.MULTILINE)
_BASE64_BODY: Final = re.compile(rb"\s*([A-Za-z0-9+/\r\n]++={0,2})\s*")
_MIN_BASE64_CHARS: Final = 24
"""Characters; a shorter base64 text must show otherwise that it is none by chance ("done")."""


def parse_body(
    body: bytes, *, is_framed: bool = True, server_seconds: float | None = None
) -> Outcome:
    """The outcome of a sync call that was answered with HTTP 200.

    `is_framed`: whether the transport would have shown that the body was cut off (Content-Length,
    or chunks). Otherwise the body itself must show that it is whole. `server_seconds`: as in
    `Reply`.
    """
    text = decode_output(body)
    if (line := find_common_value(text)) is not None:
        prediction = parse_prediction_line(line)
        if prediction is not INVALID_LITERAL:
            return Reply(
                JSON_MEDIA_TYPE, prediction, log=strip_ansi(text), server_seconds=server_seconds
            )
    outcome = parse_any_body(body, text, is_framed=is_framed)
    if isinstance(outcome, Failure) or server_seconds is None:
        return outcome
    return replace(outcome, server_seconds=server_seconds)


def parse_any_body(body: bytes, text: str, *, is_framed: bool) -> Outcome:
    """As `parse_body`, which is the quick way for most answers; `text`: the body as text."""
    if (file := _decode_base64_body(body)) is not None:
        if is_framed or body.rstrip().endswith(b"=") or is_complete_file(file):
            return parse_output(file, "")
        return cut_off_failure("")
    log = strip_ansi(text)
    output = strip_command_echo(text)
    has_more = len(output) < len(text)
    value = None if is_unmarked(output) else find_returned_value(output, has_more=has_more)
    rest = strip_ansi(output[value.end :] if value else output)
    if (error := find_model_error(rest, log)) is not None:
        return error
    value = value or find_unmarked_value(output, has_more=has_more)
    if value is None:
        return classify_failure(
            strip_ansi(output), log, is_complete=_is_complete_body(text, is_framed=is_framed)
        )
    if value.completeness is Completeness.UNKNOWN or (
        value.completeness is Completeness.LINE_END and not is_framed
    ):
        return cut_off_failure(log)
    return _make_reply(value, log)


def _is_complete_body(text: str, *, is_framed: bool) -> bool:
    """Whether a body without a value shows that it is whole: the platform ends it with newlines."""
    return (
        text.endswith("\n") if is_framed else text.endswith("\n\n") and _COMMAND_ECHO_LINE in text
    )


def parse_log(log: bytes) -> SavedOutput | Failure | None:
    """What a `.log` says; None: neither success nor failure yet (see `killed_log_failure`)."""
    text = strip_ansi(decode_output(log))
    output = strip_command_echo(text)
    saved_records = deque(iter_records(_SAVED_RECORD, output), 1)
    if not saved_records:
        failure = classify_failure(output, text)
        return None if failure.kind is FailureKind.TRANSIENT else failure
    saved = saved_records[0]
    if (error := find_model_error(output[saved.end() :], text)) is not None:
        return error
    path = saved["path"].strip()
    return SavedOutput(path, is_orphan=not _was_renamed(decode_output(log), path))


def killed_log_failure(log: bytes) -> Failure:
    """The failure of a prediction whose log says neither, once the grace period is over."""
    return model_killed_failure(strip_ansi(decode_output(log)))


def extract_orphan_name(path: str) -> str:
    """The base name, in `outputs/`, of an output that kept its own name (an orphan)."""
    return path.rpartition("/")[2]


def parse_output(data: bytes, log: str, *, is_saved: bool = True) -> Outcome:
    """The outcome that an output object holds; `log` is the item's log, as far as it is known.

    `is_saved`: whether the log says that the output was saved, which it does when all is written.
    Otherwise only an output whose end can be seen is believed: of numbers and texts it cannot.
    """
    if not data.strip():
        return Failure(
            "no_output",
            "the service saved an empty output. Another attempt may bring a whole one",
            FailureKind.TRANSIENT,
            log=log,
            signal=ServiceSignal.ANSWERED,
        )
    if (media_type := sniff_media_type(data)) is not None:
        return Reply(media_type, data=data, log=log)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Reply(OCTET_STREAM, data=data, log=log)
    parsed = parse_saved_json(text)
    if parsed is not None and (parsed.is_complete or (is_saved and not parsed.is_truncated)):
        return _make_saved_reply(parsed.value, text, log)
    if parsed is not None or not is_saved:
        return cut_off_failure(log)
    return (
        Reply(OCTET_STREAM, data=data, log=log)
        if "\0" in text
        else Reply(TEXT_MEDIA_TYPE, text, log=log)
    )


def _make_saved_reply(value: Json, text: str, log: str) -> Reply:
    """What a saved value is, read as the same value would be in sync mode."""
    as_data = True
    if isinstance(value, str):
        value, as_data = parse_returned_text(value)
        if not as_data:
            return Reply(TEXT_MEDIA_TYPE, value, log=log)
    prediction, changed = parse_nested_json(value)
    raw = f"\n[batchinfer] The output as it came, JSON texts in it unread:\n{text}"
    return Reply(JSON_MEDIA_TYPE, prediction, log=log + raw if changed or text[:1] == '"' else log)


def _make_reply(value: ReturnedValue, log: str) -> Reply:
    match value.literal:
        case None:
            return Reply(TEXT_MEDIA_TYPE, value.text, log=log)
        case ParsedLiteral(data=bytes(data)) if (
            media_type := _sniff_returned_bytes(data)
        ) is not None:
            return Reply(media_type, data=data, log=log)
        case ParsedLiteral(value=prediction):
            return Reply(JSON_MEDIA_TYPE, parse_nested_json(prediction)[0], log=log)


def _sniff_returned_bytes(data: bytes) -> str | None:
    """The media type of returned bytes; None when they are text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return sniff_media_type(data) or OCTET_STREAM
    return sniff_media_type(data)


def _decode_base64_body(body: bytes) -> bytes | None:
    """The file that a body is, if it is one (docs/platform.md, "The body of a 200")."""
    found = _BASE64_BODY.fullmatch(body)
    if found is None:
        return None
    text = found[1].replace(b"\n", b"").replace(b"\r", b"")
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return None
    is_certain = (
        len(text) >= _MIN_BASE64_CHARS or text.endswith(b"=") or sniff_media_type(data) is not None
    )
    return data if data and is_certain else None


def _was_renamed(log: str, path: str) -> bool:
    """Whether the service script found the output to rename it.

    It takes the fifth word of the lines that hold "New output is", escapes and all.
    """
    lines = _RENAMED_OUTPUT_LINE.findall(log)
    return len(lines) == 1 and lines[0].split(" ")[4:5] == [path]
