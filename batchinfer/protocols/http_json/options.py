"""The options of `http-json`, checked before anything is sent. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchinfer.domain import Json
from batchinfer.protocols.http_json import request_template
from batchinfer.protocols.http_json.request_shapes import (
    JsonBody,
    MultipartForm,
    RawFile,
    RequestShape,
)
from batchinfer.protocols.http_json.request_template import BadTemplate, Piece
from batchinfer.protocols.http_json.results import (
    STATUS_MEANINGS,
    SUCCESS,
    ResultRules,
    make_status_rule,
)
from batchinfer.protocols.http_refusals import GENERAL_STATUS_RULES
from batchinfer.protocols.protocol_options import (
    check_option_names,
    get_text_option,
    make_option_error,
)
from batchinfer.protocols.status_rules import StatusRule

SHAPES: Final = ("body", "multipart", "raw")
OPTION_NAMES: Final = (
    *SHAPES,
    "content_type",
    "headers",
    "query",
    "path",
    "health",
    "result",
    "decode",
    "error",
    "statuses",
)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_STATUS: Final = re.compile(r"([1-5])(xx|\d\d)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpJsonOptions:
    """The options, compiled."""

    shape: RequestShape
    content_type: Sequence[Piece]
    headers: Mapping[str, Sequence[Piece]]
    query: Mapping[str, Sequence[Piece]]
    path: str
    """What follows the path of the endpoint."""
    health: str | None
    """The path of a GET that a service which is ready answers with 200."""
    rules: ResultRules

    def list_pieces(self) -> Sequence[Piece]:
        """The pieces of all templates, those of the body first."""
        tables = (*self.headers.values(), *self.query.values(), self.content_type)
        return [*self.shape.pieces, *(piece for pieces in tables for piece in pieces)]


def parse_options(options: Mapping[str, Json]) -> HttpJsonOptions:
    """Compile the options. Raises ConfigError."""
    check_option_names(options, OPTION_NAMES)
    shape = _parse_shape(options)
    content_type = get_text_option(options, "content_type") or shape.content_type
    if "content_type" in options and "multipart" in options:
        raise make_option_error("content_type", "is that of the form: leave it out.")
    parsed = HttpJsonOptions(
        shape=shape,
        content_type=_compile("content_type", content_type),
        headers=_parse_headers(options),
        query=_parse_texts(options, "query"),
        path=_parse_path(options, "path") or "",
        health=_parse_path(options, "health"),
        rules=_parse_rules(options),
    )
    pieces = parsed.list_pieces()
    (name,) = _list_shapes(options)
    try:
        request_template.check_files(pieces, shape.pieces)
    except BadTemplate as error:
        raise make_option_error(name, f"{error}.") from None
    if all(isinstance(piece, str) for piece in pieces):
        raise make_option_error(
            name,
            'has no place for an item: where its file belongs, write "$base64" (in a body) or '
            '"$file" (in a multipart form).',
        )
    return parsed


def _parse_shape(options: Mapping[str, Json]) -> RequestShape:
    given = _list_shapes(options)
    if len(given) != 1:
        raise make_option_error(
            ", ".join(given) or "body",
            "cannot stand together: a request has one shape."
            if given
            else 'is missing: say what a request looks like, as body = {image = "$base64"}, as '
            'multipart = {image = "$file"}, or as raw = true.',
        )
    value = options[given[0]]
    try:
        match given[0], value:
            case "body", str() | list() | dict():
                return JsonBody(value)
            case "multipart", dict() if value:
                return MultipartForm(value)
            case "raw", True:
                return RawFile()
            case _:
                pass
    except BadTemplate as error:
        raise make_option_error(given[0], f"{error}.") from None
    raise make_option_error(
        given[0],
        {
            "body": "takes a table, a list or a text of JSON.",
            "multipart": "takes a table: the fields of the form.",
            "raw": "takes true or false.",
        }[given[0]],
    )


def _list_shapes(options: Mapping[str, Json]) -> Sequence[str]:
    return [name for name in SHAPES if options.get(name) not in (None, False)]


def _parse_headers(options: Mapping[str, Json]) -> Mapping[str, Sequence[Piece]]:
    headers = _parse_texts(options, "headers")
    for name in headers:
        if not _HEADER_NAME.fullmatch(name) or name.lower() in {"content-length", "host"}:
            raise make_option_error("headers", f"cannot have {name!r}.")
        if name.lower() == "content-type":
            raise make_option_error("headers", "cannot have Content-Type: it is content_type.")
    return headers


def _parse_texts(options: Mapping[str, Json], option: str) -> Mapping[str, Sequence[Piece]]:
    table = options.get(option, {})
    if not isinstance(table, Mapping) or not all(
        isinstance(each, str | int | float) for each in table.values()
    ):
        raise make_option_error(option, "takes a table of texts.")
    return {name: _compile(option, _to_text(each)) for name, each in table.items()}


def _to_text(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _compile(option: str, text: str) -> Sequence[Piece]:
    try:
        return request_template.compile_text(text)
    except BadTemplate as error:
        raise make_option_error(option, f"{error}.") from None


def _parse_path(options: Mapping[str, Json], option: str) -> str | None:
    path = get_text_option(options, option)
    if path is None:
        return None
    if not re.fullmatch(r"/[!$&-;=@-Z_a-z~%]*", path):
        raise make_option_error(option, 'takes a path, as "/v1/predict": no host, no query.')
    return path


def _parse_rules(options: Mapping[str, Json]) -> ResultRules:
    result, error = get_text_option(options, "result"), get_text_option(options, "error")
    decode = get_text_option(options, "decode")
    if decode not in {None, "base64"}:
        raise make_option_error("decode", 'takes "base64".')
    successes, rules = _parse_statuses(options)
    return ResultRules(
        result=None if result is None else _compile_expression("result", result),
        result_text=result or "",
        error=None if error is None else _compile_expression("error", error),
        is_base64=decode is not None,
        status_rules=[*rules, *GENERAL_STATUS_RULES],
        success_statuses=frozenset({200, 201, *successes}) - _list_statuses(rules),
    )


def _compile_expression(option: str, text: str) -> Any:
    """A JMESPath expression; `$.` at its beginning, as JSONPath has it, is left away."""
    import jmespath  # noqa: PLC0415 - only where there is an expression

    # What JSONPath writes as $['a'] would be a list of one text to JMESPath: it stays an error.
    expression = re.sub(r"^\$(\.|(?=\[[^'\"])|$)", "", text) or "@"
    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError:
        raise make_option_error(
            option, 'is no JMESPath expression (https://jmespath.org), as "predictions[0].label".'
        ) from None


def _parse_statuses(options: Mapping[str, Json]) -> tuple[Sequence[int], Sequence[StatusRule]]:
    """The statuses that are successes, and the rows of the others, exact ones first."""
    table = options.get("statuses", {})
    if not isinstance(table, Mapping):
        raise make_option_error("statuses", 'takes a table, as {"404" = "permanent"}.')
    successes: list[int] = []
    rules: list[StatusRule] = []
    for status, meaning in sorted(table.items(), key=lambda entry: "x" in entry[0].lower()):
        found = _STATUS.fullmatch(status)
        if found is None:
            raise make_option_error("statuses", f'has {status!r}: a status is "404" or "5xx".')
        if meaning not in STATUS_MEANINGS:
            known = ", ".join(STATUS_MEANINGS)
            raise make_option_error("statuses", f"says of {status} none of {known}.")
        first = int(found[1]) * 100
        statuses = (
            range(first, first + 100)
            if "x" in status.lower()
            else range(int(status), int(status) + 1)
        )
        if meaning == SUCCESS:
            successes += statuses
        else:
            rules.append(make_status_rule(statuses, str(meaning)))
    return successes, rules


def _list_statuses(rules: Sequence[StatusRule]) -> frozenset[int]:
    return frozenset(status for rule in rules for status in rule.statuses)
