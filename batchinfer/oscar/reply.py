"""What the platform answered, read: the outcome of a sync body, of a log, of an output. Pure.

Nothing is a prediction because it came with HTTP 200, or because an object turned up: these rules
decide. Where a value stands in a transcript: `transcript`; how it is read: `literal`; why there is
none: `faults`.

=====================================  ============================================================
sync: the body of a 200                is
=====================================  ============================================================
one base64 text                        a file (or a zip of several): read as an output is
a returned value, no error behind it   a Reply: data, bytes, or, where it is no literal, text
it ends in the middle of the value     Failure `answer_cut_off`, transient
anything else                          a Failure, by the table of `faults`
=====================================  ============================================================

=====================================  ============================================================
async: `.log`                          is
=====================================  ============================================================
an error (table of `faults`)           a Failure
`Output is saved in <path>`            `Saved`: the output is there, or on its way
neither                                None: give the output a grace period, then `killed`
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
as it came stays in the log. An error behind a returned value wins over it: the last word of
DEEPaaS counts. Each outcome's `log` is what the service wrote, without colours.

**Both modes agree**: a returned text is a text in both (`text/plain`), unless it is what `str()`
prints of a list, dict or the like, or a JSON object or array: then it is data in both. Where sync
mode alone cannot tell a text from a value, the value wins there: the texts `5`, `0.5`, `None`,
`True`, `nan`, `b'x'` and their like are values in sync mode, texts in async mode.
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from batchinfer.domain import JSON, TEXT, Failure, Json, Kind, Outcome, Reply
from batchinfer.oscar.faults import cut_off, fault, is_help, killed_model, model_error
from batchinfer.oscar.literal import Read, read_text, unfold
from batchinfer.oscar.sniff import OCTETS, sniff
from batchinfer.oscar.transcript import (
    STAMP,
    End,
    Value,
    bare,
    decoded,
    is_bare,
    records,
    returned,
    spoken,
    without_escapes,
)
from batchinfer.oscar.whole import is_whole_file, read_json

__all__ = ["Saved", "is_help", "killed", "orphan_of", "read_body", "read_log", "read_output"]

_SAVED: Final = re.compile(
    rf"{STAMP}INFO deepaas\.cmd\.cli \[[^\]\n]*\] (?:return:|\[INFO, Output\])"
    r" Output is saved in (?P<path>.+)"
)
_COMMAND: Final = "\n[*] Final command: "
_MOVED: Final = re.compile(r"^.*New output is.*$", re.MULTILINE)
_BASE64: Final = re.compile(rb"\s*([A-Za-z0-9+/\r\n]++={0,2})\s*")
_SURELY: Final = 24
"""Characters; a shorter base64 text must show otherwise that it is none by chance ("done")."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The log of an async prediction says that its output was written."""

    path: str
    """Where, on the service."""
    stray: bool
    """Whether the service script could not give it the item's name, so that it turns up as
    `outputs/` + `orphan_of(path)`: always with DEEPaaS 2.6.0 (contract section 2)."""


def read_body(body: bytes, *, framed: bool = True) -> Outcome:
    """The outcome of a sync call that was answered with HTTP 200.

    `framed`: whether the transport would have shown that the body was cut off (Content-Length, or
    chunks). Otherwise the body itself must show that it is whole.
    """
    if (file := _base64(body)) is not None:
        if framed or body.rstrip().endswith(b"=") or is_whole_file(file):
            return read_output(file, "")
        return cut_off("")
    text = decoded(body)
    log = without_escapes(text)
    own = spoken(text)
    goes_on = len(own) < len(text)
    value = None if is_bare(own) else returned(own, goes_on=goes_on)
    behind = without_escapes(own[value.end :] if value else own)
    if (error := model_error(behind, log)) is not None:
        return error
    value = value or bare(own, goes_on=goes_on)
    if value is None:
        return fault(without_escapes(own), log, whole=_is_whole(text, framed=framed))
    if value.shown is End.NOTHING or (value.shown is End.LINE and not framed):
        return cut_off(log)
    return _reply(value, log)


def _is_whole(text: str, *, framed: bool) -> bool:
    """Whether a body without a value shows that it is whole: the platform ends it with newlines."""
    return text.endswith("\n") if framed else text.endswith("\n\n") and _COMMAND in text


def read_log(log: bytes) -> Saved | Failure | None:
    """What a `.log` object says; None when neither success nor failure (yet): see `killed`."""
    text = without_escapes(decoded(log))
    own = spoken(text)
    found = deque(records(_SAVED, own), 1)
    if not found:
        failure = fault(own, text)
        return None if failure.kind is Kind.TRANSIENT else failure
    saved = found[0]
    if (error := model_error(own[saved.end() :], text)) is not None:
        return error
    path = saved["path"].strip()
    return Saved(path, stray=not _moved(decoded(log), path))


def killed(log: bytes) -> Failure:
    """The failure of a prediction whose log says neither, once the grace period is over."""
    return killed_model(without_escapes(decoded(log)))


def orphan_of(path: str) -> str:
    """The base name, in `outputs/`, of a saved output that kept its own name (`Saved.stray`)."""
    return path.rpartition("/")[2]


def read_output(data: bytes, log: str, *, saved: bool = True) -> Outcome:
    """The outcome that an output object holds; `log` is the item's log, as far as it is known.

    `saved`: whether the log says that the output was saved, which it does when all is written.
    Otherwise only an output whose end can be seen is believed: of numbers and texts it cannot.
    """
    if not data.strip():
        return Failure(
            "no_output",
            "the service saved an empty output. Another attempt may bring a whole one",
            Kind.TRANSIENT,
            log=log,
        )
    if (media_type := sniff(data)) is not None:
        return Reply(media_type, data=data, log=log)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Reply(OCTETS, data=data, log=log)
    found = read_json(text)
    if found is not None and (found.is_whole or (saved and not found.ends_early)):
        return _saved(found.value, text, log)
    if found is not None or not saved:
        return cut_off(log)
    return Reply(OCTETS, data=data, log=log) if "\0" in text else Reply(TEXT, text, log=log)


def _saved(value: Json, text: str, log: str) -> Reply:
    """What a saved value is, read as the same value would be in sync mode."""
    as_data = True
    if isinstance(value, str):
        value, as_data = read_text(value)
        if not as_data:
            return Reply(TEXT, value, log=log)
    prediction, changed = unfold(value)
    raw = f"\n[batchinfer] The output as it came, JSON texts in it unread:\n{text}"
    return Reply(JSON, prediction, log=log + raw if changed or text[:1] == '"' else log)


def _reply(value: Value, log: str) -> Reply:
    match value.read:
        case None:
            return Reply(TEXT, value.text, log=log)
        case Read(data=bytes(data)) if (media_type := _bytes_type(data)) is not None:
            return Reply(media_type, data=data, log=log)
        case Read(value=prediction):
            return Reply(JSON, unfold(prediction)[0], log=log)


def _bytes_type(data: bytes) -> str | None:
    """The media type of returned bytes; None when they are text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return sniff(data) or OCTETS
    return sniff(data)


def _base64(body: bytes) -> bytes | None:
    """The file that a body is, if it is one (contract section 1, the last points)."""
    found = _BASE64.fullmatch(body)
    if found is None:
        return None
    text = found[1].replace(b"\n", b"").replace(b"\r", b"")
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return None
    surely = len(text) >= _SURELY or text.endswith(b"=") or sniff(data) is not None
    return data if data and surely else None


def _moved(log: str, path: str) -> bool:
    """Whether the service script found the output to rename it.

    It takes the fifth word of the lines that hold "New output is", escapes and all.
    """
    lines = _MOVED.findall(log)
    return len(lines) == 1 and lines[0].split(" ")[4:5] == [path]
