"""What DEEPaaS answers to a prediction. Pure.

====================================================  ==========================================
answer                                                is
====================================================  ==========================================
200 `{"status": "OK", "predictions": ...}`            a Reply with what stands in `predictions`
200, other JSON (the module has a schema of its own)  a Reply with all of it
200 of another media type (`accept`)                  a Reply with text, or with bytes
422 `{"parameter": ["message"]}`                      Failure `bad_param`, which names it
500 of an exception in the module                     Failure `model_error`
====================================================  ==========================================

In data, a string that is itself a JSON object or array is replaced by what it says, once.
"""

from __future__ import annotations

import json
from typing import Final

from batchinfer.domain import (
    JSON_MEDIA_TYPE,
    TEXT_MEDIA_TYPE,
    Failure,
    FailureKind,
    Json,
    Outcome,
    Reply,
)
from batchinfer.errors import FatalError
from batchinfer.protocols.ai4os.literals import parse_nested_json
from batchinfer.protocols.http_refusals import GENERAL_STATUS_RULES, classify_refusal
from batchinfer.protocols.http_replies import parse_reply
from batchinfer.protocols.http_text import excerpt
from batchinfer.protocols.inference_protocol import HttpAnswer
from batchinfer.protocols.status_rules import StatusRule, exactly

_UNPROCESSABLE: Final = 422
_RULES: Final = (
    StatusRule(
        exactly(404),
        "",
        "fatal",
        "not_found",
        "there is no such model (404): [service] endpoint is the address of the deployment, and "
        "[protocol] model the name of its model{said}",
    ),
    StatusRule(
        exactly(500),
        ".*(server got itself in trouble|model response|response, check server logs)",
        FailureKind.PERMANENT,
        "model_error",
        "the model raised an exception (500), and DEEPaaS does not say which: look into the log "
        "of the deployment",
    ),
    StatusRule(
        exactly(501),
        "",
        "fatal",
        "http_501",
        "the model cannot predict (501): its module does not implement it{said}",
    ),
    StatusRule(
        exactly(413),
        "",
        FailureKind.PERMANENT,
        "payload_too_large",
        "the deployment refuses a file of this size (413): start DEEPaaS with a larger "
        "--client-max-size, or make the file smaller{said}",
    ),
    *GENERAL_STATUS_RULES,
)


def decode_answer(answer: HttpAnswer) -> Outcome | FatalError:
    """What came of a call."""
    if answer.status == _UNPROCESSABLE:
        return _explain_validation(answer)
    if answer.status != 200:  # noqa: PLR2004
        return classify_refusal(answer, _RULES)
    reply = parse_reply(answer)
    if isinstance(reply, Failure) or reply.media_type != JSON_MEDIA_TYPE:
        return reply
    prediction = reply.prediction
    if isinstance(prediction, dict) and prediction.keys() == {"status", "predictions"}:
        prediction = prediction["predictions"]
    if isinstance(prediction, str):
        return _read_text(prediction)
    return Reply(prediction=parse_nested_json(prediction)[0])


def _read_text(text: str) -> Reply:
    """A returned text: data, if it is a JSON object or array, as in a list."""
    (value,), is_json = _parse_one(text)
    return Reply(prediction=value) if is_json else Reply(TEXT_MEDIA_TYPE, text)


def _parse_one(text: str) -> tuple[list[Json], bool]:
    values, is_json = parse_nested_json([text])
    return values if isinstance(values, list) else [text], is_json


def _explain_validation(answer: HttpAnswer) -> Failure:
    """What the module's own checks refused, by parameter."""
    try:
        fields = json.loads(answer.body)
        told = "; ".join(f"{name!r}: {_join(messages)}" for name, messages in fields.items())
    except (ValueError, AttributeError, RecursionError):
        told = ""
    told = told or "it does not say why"
    return Failure(
        "bad_param",
        f"the model refuses a parameter: {excerpt(told.encode(errors='replace'))}",
        log=answer.body.decode("utf-8", "replace"),
    )


def _join(messages: object) -> str:
    if isinstance(messages, list):
        return " ".join(map(str, messages))
    return str(messages)
