"""What the model would refuse, or silently misread, seen before anything is sent. Pure.

A parameter arrives as text on a command line and is converted there (contract section 3), so it is
that text which is judged, after `payload` has spelled it:

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
import difflib
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from batchinfer.domain import Failure, Json, Mode
from batchinfer.oscar import payload
from batchinfer.oscar.schema import Parameter, Schema

_TRUE: Final = frozenset({"yes", "true", "t", "1"})
_FALSE: Final = frozenset({"no", "n", "false", "f", "0", "off"})
_LIKE: Final = {"list": "[1, 2]", "dict": "{'a': 1}"}
_INT64: Final = 1 << 63
_SHORT: Final = 10_000
"""Characters; such a text surely fits on a command line."""
_FEW: Final = 100
_NUMBERS: Final = frozenset({"int", "float", "list item"})
_REMEMBERED: Final = 1_000
"""Names that are looked up but once; a hostile manifest could hold a new one in each line."""
_SHOWN: Final = 60

_Check: TypeAlias = Callable[[Json], str | None]
"""What is wrong with a value; None: nothing."""


class Rules:
    """The rules for one run, made ready to judge many items (some microseconds each)."""

    def __init__(
        self, schema: Schema | None, mode: Mode, common: Mapping[str, Json] | None = None
    ) -> None:
        """`common`: the parameters of every item that has no value of its own for them."""
        self._schema, self._mode = schema, mode
        self._common = frozenset(common or ())
        self.abbreviated: dict[str, str] = {}
        """Names met so far that the model takes for a longer one."""
        self._checks: dict[str, _Check] = {}
        self._files: dict[tuple[str, ...], tuple[str, ...]] = {}
        required = () if schema is None else (p for p in schema.parameters if p.required)
        given = {full for name in self._common for full in self._full(name)}
        self._needed = tuple(each for each in required if each.name not in given)

    def value(self, name: str, value: Json) -> str | None:
        """What is wrong with one parameter; None: nothing."""
        check = self._checks.get(name)
        if check is None:
            check = self._check(name)
            if len(self._checks) < _REMEMBERED:
                self._checks[name] = check
        return check(value)

    def item(self, params: Mapping[str, Json], files: tuple[str, ...]) -> Sequence[str]:
        """All that is wrong with an item's own parameters and its files (their parameters' names),
        and what it lacks.
        """  # noqa: D205 - one thought
        found = [
            problem
            for name, value in params.items()
            if (problem := self.value(name, value)) is not None
        ]
        wrong_files = self._files_of(files) if files else ()
        found += wrong_files
        for parameter in self._needed:
            name = parameter.name
            if name not in params and name not in files:
                if wrong_files and parameter.is_file:  # then that is why it is missing
                    continue
                found += self._lack(parameter, (*params, *files))
        return found

    # ----------------------------------------------------------------------------------------------

    def _full(self, name: str) -> Sequence[str]:
        return [name] if self._schema is None else self._schema.full_names(name)

    def _check(self, name: str) -> _Check:
        """The check of the parameter of that name."""
        if (problem := self._unsendable(name)) is not None:
            return lambda _: problem
        known = self._known(name)
        match known:
            case str():
                return lambda _: known
            case None:
                return partial(_judge, name, None, self._mode)
            case Parameter(is_file=True):
                return lambda _: (
                    f"{name!r} takes a file: give its path as the item's file (a manifest's column"
                    f" 'files.{name}', or --file-param {name}), not as a value"
                )
            case Parameter():
                return partial(_judge, name, known, self._mode)

    def _files_of(self, files: tuple[str, ...]) -> tuple[str, ...]:
        found = self._files.get(files)
        if found is None:
            found = tuple(self._wrong_files(files))
            if len(self._files) < _REMEMBERED:
                self._files[files] = found
        return found

    def _wrong_files(self, files: tuple[str, ...]) -> Iterable[str]:
        for at, name in enumerate(files):
            if (problem := self._unsendable(name)) is not None:
                yield problem
            elif name in files[:at]:
                yield f"two files for {name!r}, of which the service would use the last only"
            elif name in self._common:
                yield f"{name!r} is given both as a value and as a file; leave one out"
            else:
                yield from self._wrong_file(name)

    def _wrong_file(self, name: str) -> Iterable[str]:
        match self._known(name):
            case str(problem):
                parameters = () if self._schema is None else self._schema.parameters
                takers = [each.name for each in parameters if each.is_file]
                hint = f"; it takes files as {', '.join(map(repr, takers))}" if takers else ""
                yield f"{problem}{hint} (--file-param, or a manifest's column 'files.<name>')"
            case Parameter(is_file=False, type="int" | "float" | "bool" | "list" | "dict" as type):
                yield f"{name!r} takes no file but a value of type {type}"
            case _:
                pass

    def _known(self, name: str) -> Parameter | str | None:
        """The parameter that a name stands for; why it stands for none; None: nobody knows."""
        schema = self._schema
        if schema is None:
            return None
        options = schema.full_names(name)
        if len(options) == 1 and options[0] in schema.names:
            if options[0] != name and len(self.abbreviated) < _REMEMBERED:
                self.abbreviated[name] = options[0]
            return schema.names[options[0]]
        if schema.open:
            return None
        if len(options) > 1:
            return f"{name!r} could be short for {' or '.join(map(repr, options))}"
        near = difflib.get_close_matches(name, schema.names, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"the model has no parameter {name!r}{hint}"

    def _unsendable(self, name: str) -> str | None:
        return _refusal(payload.sendable({name: 0}, (), self._mode))

    def _lack(self, parameter: Parameter, given: Iterable[str]) -> Iterable[str]:
        """The message that a required parameter is missing, unless an abbreviation gives it."""
        if any(list(self._full(name)) == [parameter.name] for name in given):
            return
        if parameter.is_file:
            yield f"the model needs a file as {parameter.name!r}, and there is none"
        else:
            kind = f" ({parameter.type})" if parameter.type else ""
            yield f"the model needs the parameter {parameter.name!r}{kind}, and it is not given"


def _judge(name: str, parameter: Parameter | None, mode: Mode, value: Json) -> str | None:
    """What is wrong with a value; `parameter` None: its type is not known."""
    kind = None if parameter is None else parameter.type
    choices = () if parameter is None else parameter.choices
    if not choices and _surely_fine(kind, value):
        return None
    spelled = payload.sendable({name: value}, (), mode)
    if (problem := _refusal(spelled)) is not None:
        return problem
    assert not isinstance(spelled, Failure)  # noqa: S101 - just seen
    text = str(spelled[name])
    why = _misfit(kind, value, text) or _not_chosen(kind, choices, text)
    return None if why is None else f"parameter {name!r} {why}"


def _surely_fine(kind: str | None, value: Json) -> bool:
    """The quick answer for what manifests are full of."""
    match value:
        case bool():
            return kind == "bool"
        case int():
            return kind in _NUMBERS and -_INT64 < value < _INT64
        case float():
            return kind in {"float", "list item"} and math.isfinite(value)
        case list():
            numbers = kind == "list" and len(value) <= _FEW
            return numbers and all(_surely_fine("list item", each) for each in value)
        case str():
            return (
                kind in {"str", None}
                and value.isascii()
                and len(value) < _SHORT
                and not value.startswith("-")
                and "\0" not in value
            )
        case _:
            return False


def _misfit(kind: str | None, value: Json, text: str) -> str | None:
    """Why a text cannot become the type that is expected; None when it can."""
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
    got = repr(shown) if isinstance(value, str) else shown
    match kind:
        case "int" if not _reads(int, text):
            hint = f": write {value:.0f}" if isinstance(value, float) and value % 1 == 0 else ""
            return f"takes a whole number (int), which {got} is not{hint}"
        case "float" if not _reads(float, text):
            return f"takes a number (float), which {got} is not"
        case "bool" if text.lower() not in _TRUE | _FALSE:
            return f"takes true or false (bool), and {got} would silently be taken for false"
        case "list" | "dict" if not _fits(kind, value, text):
            return f"takes a {kind} as Python writes it, like {_LIKE[kind]}, which {got} is not"
        case _:
            return None


def _fits(kind: str, value: Json, text: str) -> bool:
    if isinstance(value, list | tuple | Mapping):
        return isinstance(value, Mapping) == (kind == "dict")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in strings: the service does not mind
        try:
            literal = ast.literal_eval(text)  # as the service reads it
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return False
    return isinstance(literal, dict) == (kind == "dict")


def _not_chosen(kind: str | None, choices: Sequence[Json], text: str) -> str | None:
    if not choices or kind in {"list", "dict"}:
        return None
    found = _converted(kind, text)
    if any(found == _converted(kind, str(choice)) for choice in choices):
        return None
    listed = ", ".join(map(str, choices))
    near = difflib.get_close_matches(text, map(str, choices), 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"must be one of {listed}; it is {text[:_SHOWN]}{hint}"


def _converted(kind: str | None, text: str) -> object:
    match kind:
        case "int" if _reads(int, text):
            return int(text)
        case "float" if _reads(float, text):
            return float(text)
        case "bool":
            return text.lower() in _TRUE
        case _:
            return text


def _reads(convert: Callable[[str], object], text: str) -> bool:
    try:
        convert(text)
    except ValueError:
        return False
    return True


def _refusal(spelled: Mapping[str, payload.Sendable] | Failure) -> str | None:
    return spelled.message if isinstance(spelled, Failure) else None
