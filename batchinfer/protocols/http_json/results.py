"""What of an answer is the prediction, and whether it is an error after all. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchinfer.domain import (
    TEXT_MEDIA_TYPE,
    Failure,
    FailureKind,
    Json,
    Outcome,
    Reply,
    ServiceSignal,
)
from batchinfer.errors import FatalError
from batchinfer.protocols.ai4os.literals import parse_nested_json
from batchinfer.protocols.http_refusals import GENERAL_STATUS_RULES, classify_refusal
from batchinfer.protocols.http_replies import parse_json_reply, parse_reply
from batchinfer.protocols.http_text import excerpt
from batchinfer.protocols.inference_protocol import HttpAnswer
from batchinfer.protocols.media_types import OCTET_STREAM, sniff_media_type
from batchinfer.protocols.status_rules import Disposition, StatusRule

SUCCESS: Final = "success"
_DISPOSITIONS: Final[dict[str, tuple[Disposition, ServiceSignal | None, str]]] = {
    "permanent": (FailureKind.PERMANENT, ServiceSignal.ANSWERED, "the service refused the item"),
    "transient": (FailureKind.TRANSIENT, None, "the service failed"),
    "overloaded": (
        FailureKind.TRANSIENT,
        ServiceSignal.OVERLOADED,
        "the service has too much to do",
    ),
    "unavailable": (FailureKind.UNAVAILABLE, None, "the service is not there: it is waited for"),
    "fatal": ("fatal", None, "the service refuses every item"),
}
STATUS_MEANINGS: Final = (SUCCESS, *_DISPOSITIONS)
"""What a status can be said to mean."""


@dataclass(frozen=True, slots=True)
class ResultRules:
    """How answers are read; `result` and `error` are compiled JMESPath expressions."""

    result: Any = None
    """None: the whole answer."""
    result_text: str = ""
    error: Any = None
    is_base64: bool = False
    """Whether the result is the base64 of a file."""
    status_rules: Sequence[StatusRule] = GENERAL_STATUS_RULES
    success_statuses: frozenset[int] = frozenset({200, 201})

    def decode(self, answer: HttpAnswer) -> Outcome | FatalError:
        """What came of a call."""
        if answer.status not in self.success_statuses:
            return classify_refusal(answer, self.status_rules)
        if self.result is None and self.error is None and not self.is_base64:
            return _unfold(parse_reply(answer))
        reply = parse_json_reply(answer)
        if isinstance(reply, Failure):
            return reply
        if self.error is not None and (told := _search(self.error, reply.prediction)):
            return Failure(
                "model_error",
                f"the service answered with an error: {_show(told)}",
                log=answer.body.decode("utf-8", "replace"),
            )
        if self.result is None:
            return self._finish(reply.prediction, answer)
        return self._finish(_search(self.result, reply.prediction), answer)

    def _finish(self, value: Json, answer: HttpAnswer) -> Outcome:
        if value is None and self.result is not None:
            return Failure(
                "unreadable",
                f"the answer has nothing at {self.result_text!r} ([protocol] result): "
                f"{excerpt(answer.body)}",
                log=answer.body.decode("utf-8", "replace"),
            )
        if self.is_base64:
            return _decode_base64(value, answer)
        return _unfold(Reply(prediction=value))


def make_status_rule(statuses: range, meaning: str) -> StatusRule:
    """The row of the table for what a configuration says of statuses."""
    disposition, signal, text = _DISPOSITIONS[meaning]
    return StatusRule(
        statuses, "", disposition, "http_{status}", f"{text} ({{status}}){{said}}", signal=signal
    )


def _unfold(outcome: Reply | Failure) -> Outcome:
    """The same with JSON objects and arrays in texts read, once."""
    if isinstance(outcome, Failure) or outcome.data is not None:
        return outcome
    if not isinstance(outcome.prediction, str):
        return Reply(prediction=parse_nested_json(outcome.prediction)[0])
    values, is_json = parse_nested_json([outcome.prediction])
    if is_json and isinstance(values, list):
        return Reply(prediction=values[0])
    return Reply(TEXT_MEDIA_TYPE, outcome.prediction)


def _search(expression: Any, value: Json) -> Json:
    """What an expression finds; None also where it does not fit the answer."""
    import jmespath  # noqa: PLC0415 - whoever has an expression has imported it

    try:
        found: Json = expression.search(value)
    except jmespath.exceptions.JMESPathError:
        return None
    return found


def _show(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return excerpt(text.encode(errors="replace"))


def _decode_base64(value: Json, answer: HttpAnswer) -> Outcome:
    try:
        text = value if isinstance(value, str) else ""
        if text.startswith("data:"):
            text = text.partition(",")[2]
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        return Failure(
            "unreadable",
            f"the result is no file in base64 ([protocol] decode): {_show(value)}",
            log=answer.body[:1_000].decode("utf-8", "replace"),
        )
    return Reply(sniff_media_type(data) or OCTET_STREAM, data=data)
