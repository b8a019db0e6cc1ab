"""What the model would refuse, or silently misread, seen before anything is sent. Pure.

A parameter arrives as text on a command line and is converted there (docs/platform.md,
"Parameters"), so that text is checked, as `payload` spells it:

=========  ========================================================================================
type       is fine
=========  ========================================================================================
(any)      what `payload` can send; a name that the help lists, or that abbreviates just one of them
int        what `int()` reads: `5`, not `5.0`
float      what `float()` reads
bool       yes/true/t/1 and no/n/false/f/0/off: any other text would silently be false
list       a list, or the text of a Python literal that is no dict
dict       a dict, or the text of a Python dict
str        everything
(file)     a file, no value: the service has no other files than those it is sent
=========  ========================================================================================

Choices are advice of the module's author which DEEPaaS itself does not enforce; what is not among
them is a mistake here all the same. Without a schema only `payload`'s own rules hold.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from batchinfer.domain import Failure, Json, Mode
from batchinfer.protocols.ai4os import payload
from batchinfer.protocols.model_schema import ModelSchema, Parameter
from batchinfer.suggestions import suggest_inline

_TRUE_TEXTS: Final = frozenset({"yes", "true", "t", "1"})
_FALSE_TEXTS: Final = frozenset({"no", "n", "false", "f", "0", "off"})
_LITERAL_EXAMPLES: Final = {"list": "[1, 2]", "dict": "{'a': 1}"}
_INT64_BOUND: Final = 1 << 63
_FAST_CHECK_MAX_CHARS: Final = 10_000
"""Characters; such a text surely fits on a command line."""
_FAST_CHECK_MAX_ITEMS: Final = 100
_NUMERIC_TYPES: Final = frozenset({"int", "float", "list item"})
_MAX_CACHED_PARAM_NAMES: Final = 1_000
"""Names that are looked up but once; a hostile manifest could hold a new one in each line."""
_MAX_QUOTED_VALUE_CHARS: Final = 60

_ValueCheck: TypeAlias = Callable[[Json], str | None]
"""What is wrong with a value; None: nothing."""


class ParamValidator:
    """The rules for one run, prepared to check many items (some microseconds each)."""

    def __init__(
        self,
        schema: ModelSchema | None,
        mode: Mode,
        common_params: Mapping[str, Json] | None = None,
    ) -> None:
        """`common_params`: the parameters of every item that has no value of its own for them."""
        self._schema, self._mode = schema, mode
        self._common_names = frozenset(common_params or ())
        self.abbreviations: dict[str, str] = {}
        """Names met so far that the model takes for a longer one."""
        self._checks: dict[str, _ValueCheck] = {}
        self._file_problems: dict[tuple[str, ...], tuple[str, ...]] = {}
        required = () if schema is None else (p for p in schema.parameters if p.required)
        given = {full for name in self._common_names for full in self._expand_name(name)}
        self._missing_required = tuple(each for each in required if each.name not in given)

    def validate_value(self, name: str, value: Json) -> str | None:
        """What is wrong with one parameter; None: nothing."""
        check = self._checks.get(name)
        if check is None:
            check = self._make_check(name)
            if len(self._checks) < _MAX_CACHED_PARAM_NAMES:
                self._checks[name] = check
        return check(value)

    def validate_item(self, params: Mapping[str, Json], files: tuple[str, ...]) -> Sequence[str]:
        """All that is wrong with an item's own parameters and its files (their parameters' names),
        and what it lacks.
        """  # noqa: D205 - one thought
        problems = [
            problem
            for name, value in params.items()
            if (problem := self.validate_value(name, value)) is not None
        ]
        file_problems = self._cached_file_problems(files) if files else ()
        problems += file_problems
        for parameter in self._missing_required:
            name = parameter.name
            if name not in params and name not in files:
                if file_problems and parameter.is_file:  # then that is why it is missing
                    continue
                problems += self._find_missing_problem(parameter, (*params, *files))
        return problems

    # ----------------------------------------------------------------------------------------------

    def _expand_name(self, name: str) -> Sequence[str]:
        return [name] if self._schema is None else self._schema.expand_name(name)

    def _make_check(self, name: str) -> _ValueCheck:
        """The check of the parameter of that name."""
        if (problem := self._find_name_problem(name)) is not None:
            return lambda _: problem
        parameter = self._look_up(name)
        match parameter:
            case str():
                return lambda _: parameter
            case None:
                return partial(_find_value_problem, name, None, self._mode)
            case Parameter(is_file=True):
                return lambda _: (
                    f"{name!r} takes a file: give its path as the item's file (a manifest's column "
                    f"'files.{name}', or --file-param {name}), not as a value"
                )
            case Parameter():
                return partial(_find_value_problem, name, parameter, self._mode)

    def _cached_file_problems(self, files: tuple[str, ...]) -> tuple[str, ...]:
        problems = self._file_problems.get(files)
        if problems is None:
            problems = tuple(self._find_file_problems(files))
            if len(self._file_problems) < _MAX_CACHED_PARAM_NAMES:
                self._file_problems[files] = problems
        return problems

    def _find_file_problems(self, files: tuple[str, ...]) -> Iterable[str]:
        for at, name in enumerate(files):
            if (problem := self._find_name_problem(name)) is not None:
                yield problem
            elif name in files[:at]:
                yield f"two files for {name!r}, of which the service would use the last only"
            elif name in self._common_names:
                yield f"{name!r} is given both as a value and as a file; leave one out"
            else:
                yield from self._find_file_problem(name)

    def _find_file_problem(self, name: str) -> Iterable[str]:
        match self._look_up(name):
            case str(problem):
                parameters = () if self._schema is None else self._schema.parameters
                file_parameters = [each.name for each in parameters if each.is_file]
                hint = (
                    f"; it takes files as {', '.join(map(repr, file_parameters))}"
                    if file_parameters
                    else ""
                )
                yield f"{problem}{hint} (--file-param, or a manifest's column 'files.<name>')"
            case Parameter(is_file=False, type="int" | "float" | "bool" | "list" | "dict" as type):
                yield f"{name!r} takes no file but a value of type {type}"
            case _:
                pass

    def _look_up(self, name: str) -> Parameter | str | None:
        """The parameter that a name stands for; why it stands for none; None: nobody knows."""
        schema = self._schema
        if schema is None:
            return None
        options = schema.expand_name(name)
        if len(options) == 1 and options[0] in schema.names:
            if options[0] != name and len(self.abbreviations) < _MAX_CACHED_PARAM_NAMES:
                self.abbreviations[name] = options[0]
            return schema.names[options[0]]
        if schema.accepts_unlisted:
            return None
        if len(options) > 1:
            return f"{name!r} could be short for {' or '.join(map(repr, options))}"
        return f"the model has no parameter {name!r}{suggest_inline(name, schema.names)}"

    def _find_name_problem(self, name: str) -> str | None:
        return _refusal_message(payload.encode_params({name: 0}, (), self._mode))

    def _find_missing_problem(self, parameter: Parameter, given: Iterable[str]) -> Iterable[str]:
        """The message that a required parameter is missing, unless an abbreviation gives it."""
        if any(list(self._expand_name(name)) == [parameter.name] for name in given):
            return
        if parameter.is_file:
            yield f"the model needs a file as {parameter.name!r}, and there is none"
        else:
            kind = f" ({parameter.type})" if parameter.type else ""
            yield f"the model needs the parameter {parameter.name!r}{kind}, and it is not given"


def _find_value_problem(
    name: str, parameter: Parameter | None, mode: Mode, value: Json
) -> str | None:
    """What is wrong with a value; `parameter` None: its type is not known."""
    kind = None if parameter is None else parameter.type
    choices = () if parameter is None else parameter.choices
    if not choices and _is_surely_valid(kind, value):
        return None
    encoded = payload.encode_params({name: value}, (), mode)
    if (problem := _refusal_message(encoded)) is not None:
        return problem
    assert not isinstance(encoded, Failure)  # noqa: S101 - just seen
    text = str(encoded[name])
    problem_text = _find_type_problem(kind, value, text) or _find_choice_problem(
        kind, choices, text
    )
    return None if problem_text is None else f"parameter {name!r} {problem_text}"


def _is_surely_valid(kind: str | None, value: Json) -> bool:
    """The quick answer for what manifests are full of."""
    match value:
        case bool():
            return kind == "bool"
        case int():
            return kind in _NUMERIC_TYPES and -_INT64_BOUND < value < _INT64_BOUND
        case float():
            return kind in {"float", "list item"} and math.isfinite(value)
        case list():
            is_number_list = kind == "list" and len(value) <= _FAST_CHECK_MAX_ITEMS
            return is_number_list and all(_is_surely_valid("list item", each) for each in value)
        case str():
            return (
                kind in {"str", None}
                and value.isascii()
                and len(value) < _FAST_CHECK_MAX_CHARS
                and not value.startswith("-")
                and "\0" not in value
            )
        case _:
            return False


def _find_type_problem(kind: str | None, value: Json, text: str) -> str | None:
    """Why a text cannot become the type that is expected; None when it can."""
    shown = (
        text
        if len(text) <= _MAX_QUOTED_VALUE_CHARS
        else f"{text[: _MAX_QUOTED_VALUE_CHARS - 3]}..."
    )
    got = repr(shown) if isinstance(value, str) else shown
    match kind:
        case "int" if not _can_convert(int, text):
            hint = f": write {value:.0f}" if isinstance(value, float) and value % 1 == 0 else ""
            return f"takes a whole number (int), which {got} is not{hint}"
        case "float" if not _can_convert(float, text):
            return f"takes a number (float), which {got} is not"
        case "bool" if text.lower() not in _TRUE_TEXTS | _FALSE_TEXTS:
            return f"takes true or false (bool), and {got} would silently be taken for false"
        case "list" | "dict" if not _is_container_of(kind, value, text):
            return (
                f"takes a {kind} as Python writes it, like {_LITERAL_EXAMPLES[kind]}, which {got} "
                "is not"
            )
        case _:
            return None


def _is_container_of(kind: str, value: Json, text: str) -> bool:
    if isinstance(value, list | tuple | Mapping):
        return isinstance(value, Mapping) == (kind == "dict")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in strings: the service does not mind
        try:
            literal = ast.literal_eval(text)  # as the service reads it
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return False
    return isinstance(literal, dict) == (kind == "dict")


def _find_choice_problem(kind: str | None, choices: Sequence[Json], text: str) -> str | None:
    if not choices or kind in {"list", "dict"}:
        return None
    found = _convert(kind, text)
    if any(found == _convert(kind, str(choice)) for choice in choices):
        return None
    listed = ", ".join(map(str, choices))
    hint = suggest_inline(text, map(str, choices))
    return f"must be one of {listed}; it is {text[:_MAX_QUOTED_VALUE_CHARS]}{hint}"


def _convert(kind: str | None, text: str) -> object:
    match kind:
        case "int" if _can_convert(int, text):
            return int(text)
        case "float" if _can_convert(float, text):
            return float(text)
        case "bool":
            return text.lower() in _TRUE_TEXTS
        case _:
            return text


def _can_convert(convert: Callable[[str], object], text: str) -> bool:
    try:
        convert(text)
    except ValueError:
        return False
    return True


def _refusal_message(encoded: Mapping[str, payload.ParamValue] | Failure) -> str | None:
    return encoded.message if isinstance(encoded, Failure) else None
