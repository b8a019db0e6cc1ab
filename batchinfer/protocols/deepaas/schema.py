"""What a DEEPaaS says that its model takes: read from its Swagger 2.0, kept as a small JSON. Pure.

What is kept with a run is `{"deepaas": version, "path": ..., "parameters": [...]}`: the parameters
of one model, as Swagger describes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from batchinfer.domain import Failure, FailureKind
from batchinfer.protocols.deepaas.places import get_model_name
from batchinfer.protocols.model_schema import ModelSchema, Parameter, ParameterType

_TYPES: Final[Mapping[str, ParameterType]] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
}


def extract_description(swagger: bytes, call_path: str) -> str | Failure:
    """What is kept of a description, of the model that is called at `call_path`."""
    model = get_model_name(call_path)
    try:
        document = json.loads(swagger)
        path, operation = next(
            (path, methods["post"])
            for path, methods in document["paths"].items()
            if path.rstrip("/").endswith("/predict") and get_model_name(path) == model
        )
        version = document.get("info", {}).get("version")
        kept = {"deepaas": version, "path": path, "parameters": operation["parameters"]}
        return json.dumps(kept)
    except StopIteration:
        return Failure("no_help", f"the service's description does not have the model {model!r}")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Failure(
            "no_help", "what the service says of itself is no Swagger", FailureKind.TRANSIENT
        )


def parse_description(text: str) -> ModelSchema | None:
    """What a model takes; None when the text is none of `extract_description`."""
    kept = _load(text)
    try:
        return None if kept is None else ModelSchema(tuple(map(_parse, kept["parameters"])))
    except (LookupError, TypeError, AttributeError):
        return None


def find_version(text: str) -> str | None:
    """The version of DEEPaaS."""
    version = (_load(text) or {}).get("deepaas")
    return version if isinstance(version, str) else None


def _load(text: str) -> dict[str, Any] | None:
    if not text.startswith('{"deepaas": '):
        return None
    try:
        kept = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return kept if isinstance(kept, dict) else None


def _parse(parameter: Mapping[str, Any]) -> Parameter:
    default = parameter.get("default")
    choices = parameter.get("enum") or parameter.get("items", {}).get("enum") or ()
    is_file = parameter.get("type") == "file"
    return Parameter(
        name=str(parameter["name"]),
        type=None if is_file else _TYPES.get(str(parameter.get("type"))),
        default=None if default is None else _show(default),
        required=parameter.get("required") is True,
        choices=tuple(choices),
        is_file=is_file,
        help=str(parameter.get("description") or ""),
        minimum=_get_number(parameter, "minimum"),
        maximum=_get_number(parameter, "maximum"),
    )


def _show(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _get_number(parameter: Mapping[str, Any], name: str) -> float | None:
    value = parameter.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
