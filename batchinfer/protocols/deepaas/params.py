"""Parameters as DEEPaaS reads them: texts in the query of the URL, or in fields of the body. Pure.

=========  =====================================================================================
value      is sent as
=========  =====================================================================================
str        itself
bool       `true`, `false`
int float  its digits; nan and infinity are refused
list       its elements, each of them once more under the same name; an empty one is refused, for
           it would be the default
null dict  refused: there is no way to write them
=========  =====================================================================================

`accept` is a header.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from batchinfer.domain import Failure, Json
from batchinfer.protocols.model_schema import ModelSchema, Parameter
from batchinfer.suggestions import suggest_inline

ACCEPT_PARAM: Final = "accept"
MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+*-]+/[A-Za-z0-9!#$&^_.+*-]+")
_TRUTHY_TEXTS: Final = frozenset({"t", "true", "y", "yes", "on", "1"})
_FALSY_TEXTS: Final = frozenset({"f", "false", "n", "no", "off", "0"})
_MAX_QUOTED_CHARS: Final = 60


def encode_params(
    params: Mapping[str, Json], file_params: Sequence[str]
) -> Mapping[str, Json] | Failure:
    """The parameters as texts and lists of texts; or why they cannot be sent."""
    for at, name in enumerate(file_params):
        if name in file_params[:at]:
            return _refuse(name, "two files for one parameter, of which one would be used")
        if name in params:
            return _refuse(name, "it is given both as a value and as a file; leave one out")
    encoded: dict[str, Json] = {}
    for name, value in params.items():
        if name == ACCEPT_PARAM and isinstance(value, str) and not MEDIA_TYPE.fullmatch(value):
            return _refuse(name, 'it is a media type, as "image/png"')
        text = _encode_list(value) if isinstance(value, list | tuple) else _encode_scalar(value)
        if text is None:
            return _refuse(name, _explain(value))
        encoded[name] = text
    return encoded


def iter_fields(params: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Names and texts, in order, of what `encode_params` returned, without `accept`."""
    for name, value in params.items():
        if name == ACCEPT_PARAM:
            continue
        for text in value if isinstance(value, list) else [value]:
            yield name, str(text)


class DeepaasParamChecker:
    """The rules of one model. See `ParamChecker`."""

    def __init__(self, schema: ModelSchema | None, common_params: Mapping[str, Json]) -> None:
        self._schema = schema
        required = () if schema is None else (p for p in schema.parameters if p.required)
        self._missing = [each for each in required if each.name not in common_params]
        self._common_names = frozenset(common_params)
        self.abbreviations: Mapping[str, str] = {}

    def validate_value(self, name: str, value: Json) -> str | None:
        """See ParamChecker."""
        encoded = encode_params({name: value}, ())
        if isinstance(encoded, Failure):
            return encoded.message
        if self._schema is None:
            return None
        parameter = self._schema.names.get(name)
        if parameter is None:
            return f"the model has no parameter {name!r}{suggest_inline(name, self._schema.names)}"
        if parameter.is_file:
            return (
                f"{name!r} takes a file: give its path as the item's file (a manifest's column "
                f"'files.{name}', or --file-param {name}), not as a value"
            )
        problem = _find_problem(parameter, encoded[name])
        return None if problem is None else f"parameter {name!r} {problem}"

    def validate_item(self, params: Mapping[str, Json], files: tuple[str, ...]) -> Sequence[str]:
        """See ParamChecker."""
        problems = [self.validate_value(name, value) for name, value in params.items()]
        names = {*self._common_names, *params} - {ACCEPT_PARAM}
        encoded = encode_params(dict.fromkeys(names, "any value"), files)
        problems += [encoded.message] if isinstance(encoded, Failure) else []
        problems += map(self._find_file_problem, files)
        for parameter in self._missing:
            if parameter.name not in params and parameter.name not in files:
                what = "a file as" if parameter.is_file else "the parameter"
                problems.append(f"the model needs {what} {parameter.name!r}, and it is not given")
        return [problem for problem in problems if problem is not None]

    def _find_file_problem(self, name: str) -> str | None:
        if self._schema is None:
            return None
        parameter = self._schema.names.get(name)
        if parameter is not None and parameter.is_file:
            return None
        takers = [each.name for each in self._schema.parameters if each.is_file]
        hint = f"; it takes files as {', '.join(map(repr, takers))}" if takers else ""
        what = f"has no parameter {name!r}" if parameter is None else f"takes no file as {name!r}"
        return f"the model {what}{hint} (--file-param, or a manifest's column 'files.<name>')"


def _find_problem(parameter: Parameter, encoded: Json) -> str | None:
    """What is wrong with a value as it is sent."""
    if parameter.type == "dict":
        return "is a dict, which DEEPaaS cannot be sent: leave it out"
    if isinstance(encoded, list) and parameter.type not in {"list", None}:
        return f"takes one value ({parameter.type}), not a list"
    texts = [str(each) for each in (encoded if isinstance(encoded, list) else [encoded])]
    problems = (_find_text_problem(parameter, text) for text in texts)
    return next((problem for problem in problems if problem is not None), None)


def _find_text_problem(parameter: Parameter, text: str) -> str | None:
    shown = text if len(text) <= _MAX_QUOTED_CHARS else f"{text[: _MAX_QUOTED_CHARS - 3]}..."
    number = _to_number(text)
    choices = [str(each) for each in parameter.choices]
    match parameter.type:
        case "int" if not re.fullmatch(r"\s*[+-]?\d+\s*", text):
            return f"takes a whole number (int), which {shown!r} is not"
        case "float" if isinstance(number, str):
            return f"takes a number (float), which {shown!r} is not"
        case "bool" if text.lower() not in _TRUTHY_TEXTS | _FALSY_TEXTS:
            return f"takes true or false (bool), which {shown!r} is not"
        case "int" | "float" if isinstance(number, float):
            low, high = parameter.minimum, parameter.maximum
            limit = f"at least {low:g}" if low is not None and number < low else ""
            limit = f"at most {high:g}" if high is not None and number > high else limit
            if limit:
                return f"must be {limit}; it is {shown}"
        case _:
            pass
    is_chosen = not choices or text in choices or number in map(_to_number, choices)
    hint = suggest_inline(text, choices)
    return None if is_chosen else f"must be one of {', '.join(choices)}; it is {shown}{hint}"


def _to_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _encode_list(values: Sequence[Json]) -> Json | None:
    texts = [_encode_scalar(each) for each in values]
    return None if not texts or None in texts else list(texts)


def _encode_scalar(value: Json) -> str | None:
    match value:
        case str():
            return value if _is_text(value) else None
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case _:
            return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _explain(value: Json) -> str:
    match value:
        case None:
            return "null cannot be written in a URL; leave the parameter out"
        case str():
            return "its value is not valid Unicode text"
        case float():
            return f'{value} is no JSON number; if the model wants it, send the string "{value}"'
        case list() | tuple() if not value:
            return "an empty list cannot be written in a URL; leave the parameter out"
        case list() | tuple():
            return "a list can hold texts, numbers and true/false only"
        case _:
            return "DEEPaaS cannot be sent a dict; if the model wants JSON as a text, quote it"


def _refuse(name: str, reason: str) -> Failure:
    return Failure("bad_param", f"parameter {name!r} cannot be sent: {reason}")
