"""Answers to a call that succeeded, by what they are: JSON, text, or other bytes. Pure."""

from __future__ import annotations

import re
from typing import Final

from batchinfer.domain import JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE, Failure, Reply
from batchinfer.protocols.ai4os.truncation import parse_saved_json
from batchinfer.protocols.http_refusals import make_unreadable_failure
from batchinfer.protocols.inference_protocol import HttpAnswer
from batchinfer.protocols.media_types import OCTET_STREAM, sniff_media_type

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


def parse_reply(answer: HttpAnswer) -> Reply | Failure:
    """The answer as what its `Content-Type` says that it is."""
    media_type = get_media_type(answer)
    if media_type is None or media_type == JSON_MEDIA_TYPE or media_type.endswith("+json"):
        return parse_json_reply(answer)
    if media_type == "text/html":
        return make_unreadable_failure(answer.body)
    if media_type.startswith("text/"):
        return Reply(TEXT_MEDIA_TYPE, answer.body.decode("utf-8", "replace"))
    return make_data_reply(answer)


def parse_json_reply(answer: HttpAnswer) -> Reply | Failure:
    """The answer as JSON; NaN and Infinity, which Python writes, are read."""
    try:
        text = answer.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return make_unreadable_failure(answer.body)
    found = parse_saved_json(text)
    if found is None or (found.is_truncated and answer.is_framed):
        return make_unreadable_failure(answer.body)
    if found.is_truncated or not (found.is_complete or answer.is_framed):
        return make_unreadable_failure(answer.body, is_cut_off=True)
    return Reply(prediction=found.value)


def make_data_reply(answer: HttpAnswer) -> Reply | Failure:
    """The answer as bytes of the type that it says, or begins like."""
    if not answer.body:
        return make_unreadable_failure(answer.body)
    said = get_media_type(answer)
    sniffed = sniff_media_type(answer.body)
    media_type = sniffed if said in {None, OCTET_STREAM} else said
    return Reply(media_type or OCTET_STREAM, data=answer.body)


def get_media_type(answer: HttpAnswer) -> str | None:
    """The media type that an answer says it has; None: none that is one."""
    said = (answer.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    return said if _MEDIA_TYPE.fullmatch(said) else None
