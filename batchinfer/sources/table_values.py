"""Values of tables as parameters: what their types are in JSON.

Numbers, texts, true and false stay what they are, lists and structs of them become lists and
objects. Dates and times become texts in ISO 8601. Whatever has no such form (durations, maps,
bytes) is a mistake, said of the column before any row is read; NaN and infinity are one of a row.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias

from batchinfer.domain import Json
from batchinfer.sources.manifest_lines import ManifestMistake

Convert: TypeAlias = Callable[[Any], Json]
"""Makes JSON of a value that is not null. Raises ManifestMistake."""


def make_converter(types: Any, value_type: Any) -> Convert:
    """What makes JSON of the values of a type; `types` is `pyarrow.types`.

    Raises ManifestMistake for a type that has no form in JSON.
    """
    value_type = strip_wrappers(types, value_type)
    if types.is_struct(value_type):
        return _make_struct_converter(types, value_type)
    if _is_list(types, value_type):
        return _make_list_converter(types, value_type.value_type)
    for is_one, convert in (
        (types.is_float16, _convert_single),
        (types.is_float32, _convert_single),
        (types.is_floating, _convert_float),
        (types.is_decimal, _convert_decimal),
        (types.is_date, _convert_time),
        (types.is_time, _convert_time),
        (types.is_timestamp, _convert_time),
        (types.is_integer, _keep),
        (types.is_boolean, _keep),
        (types.is_null, _keep),
    ):
        if is_one(value_type):
            return convert
    if is_text(types, value_type):
        return _keep
    raise ManifestMistake(
        f"holds {value_type}, which no parameter can be: make it a number, a text, true or false, "
        "or lists and structs of them"
    )


def strip_wrappers(types: Any, value_type: Any) -> Any:
    """The type of the values themselves: of a dictionary, an extension, an encoded run."""
    while True:
        if types.is_dictionary(value_type) or types.is_run_end_encoded(value_type):
            value_type = value_type.value_type
        elif hasattr(value_type, "storage_type"):
            value_type = value_type.storage_type
        else:
            return value_type


def is_text(types: Any, value_type: Any) -> bool:
    """Whether the values of a type are texts."""
    value_type = strip_wrappers(types, value_type)
    return bool(
        types.is_string(value_type)
        or types.is_large_string(value_type)
        or types.is_string_view(value_type)
    )


def _is_list(types: Any, value_type: Any) -> bool:
    return bool(
        types.is_list(value_type)
        or types.is_large_list(value_type)
        or types.is_fixed_size_list(value_type)
        or types.is_list_view(value_type)
        or types.is_large_list_view(value_type)
    )


def _make_struct_converter(types: Any, value_type: Any) -> Convert:
    converters: dict[str, Convert] = {}
    for index in range(value_type.num_fields):
        field = value_type.field(index)
        try:
            converters[field.name] = make_converter(types, field.type)
        except ManifestMistake as mistake:
            raise ManifestMistake(f"(its field {field.name!r}) {mistake}") from None
    return lambda value: {
        name: None if each is None else converters[name](each) for name, each in value.items()
    }


def _make_list_converter(types: Any, item_type: Any) -> Convert:
    convert = make_converter(types, item_type)
    if convert is _keep:
        return list
    return lambda value: [None if each is None else convert(each) for each in value]


def _keep(value: Any) -> Json:
    kept: Json = value
    return kept


def _convert_float(value: Any) -> Json:
    if not math.isfinite(value):
        raise ManifestMistake(f"is {value}, which is no number that can be sent")
    return float(value)


def _convert_single(value: Any) -> Json:
    """The shortest number that is the same in single precision: 0.3, not 0.30000001192092896."""
    number = float(_convert_float(float(value)))  # type: ignore[arg-type]
    packed = struct.pack("f", number)
    for digits in (6, 7, 8):
        shorter = float(f"{number:.{digits}g}")
        if abs(shorter) <= _MAX_SINGLE and struct.pack("f", shorter) == packed:
            return shorter
    return float(f"{number:.9g}")


_MAX_SINGLE = struct.unpack("f", b"\xff\xff\x7f\x7f")[0]


def _convert_decimal(value: Decimal) -> Json:
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    if Decimal(repr(number)) != value:
        raise ManifestMistake(f"is {value}, which has more digits than a number can: make it text")
    return number


def _convert_time(value: Any) -> Json:
    return str(value.isoformat())
