"""The model's help, read: which parameters there are (docs/platform.md, "The model's help"). Pure.

``{"help": ""}`` is answered with what argparse prints of DEEPaaS's options for `predict`:

=============================================  ===================================================
in the help                                    is
=============================================  ===================================================
``--NAME META``, as far in as ``-h, --help``   a parameter begins; what follows by two blanks or
                                               stands further in, on the next lines, is its text
``Type: ...``                                  its type; `(filepath)` marks a file
``*Required*`` / ``Default: ...``              the default may have several lines
``Choices: [...]``, ``{a,b}`` for META         what it may be, as the module says: DEEPaaS passes
                                               other values on all the same
the lines before                               what its author says of it
usage that ends in ``...``                     the model takes more than it lists
=============================================  ===================================================

What cannot be read is left out; nothing is evaluated; the cost is bounded by `MAX_HELP_CHARS`.
Lines around the help (the service script's, colours, warnings of an import) do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from batchinfer.domain import Failure, Json, Outcome
from batchinfer.protocols.ai4os.literals import parse_literal
from batchinfer.protocols.ai4os.transcript import strip_ansi
from batchinfer.protocols.model_schema import ModelSchema, Parameter, ParameterType

MAX_HELP_CHARS: Final = 1 << 20
"""Characters; a longer text is no help."""
MAX_HELP_PARAMETERS: Final = 1_000
"""Parameters that are read; no model has so many."""

_PARAMETER_TYPES: Final[Mapping[str, ParameterType]] = {
    "str": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "str2bool": "bool",
    "list": "list",
    "dict": "dict",
}
_HELP_OPTION_INDENT: Final = re.compile(r"^(?P<indent> *)-h, --help\b", re.MULTILINE)
_USAGE_START: Final = re.compile(r"^usage: ", re.MULTILINE)
_OPTION_HEADER: Final = re.compile(
    r"(?:-\w(?: [^\s,]++)?, )?--(?P<name>[^\s=,{}\[\]]++)"
    r"(?P<meta>(?:[ =](?:\{[^}\n]*+\}|[^\s]++))*+)(?: {2,}(?P<text>.*))?"
)
_TYPE_LINE: Final = re.compile(r"Type: (?P<type>\w+)\b(?P<rest>.*)")
_CHOICES_LINE: Final = re.compile(r"Choices: (?P<choices>[\[(].*)")
_MISSING_DEFAULT: Final = "<marshmallow.missing>"
"""How a module's parameter without a default is shown."""
_DEFAULT_PREFIX: Final = "Default: "
_REQUIRED_MARK: Final = "*Required*"
_FILE_MARK: Final = "(filepath)"
_MAX_CHOICES: Final = 50
"""Choices that are kept."""


def parse_help(text: str) -> ModelSchema | None:
    """The schema that a help describes; None when the text is no help. Never raises."""
    if len(text) > MAX_HELP_CHARS:
        return None
    text = strip_ansi(text)
    usage = _USAGE_START.search(text)
    found = _HELP_OPTION_INDENT.search(text, usage.end() if usage else 0)
    if found is None:
        return None
    entries = _iter_help_entries(text[found.start() :], found["indent"])
    parameters = {
        each.name: each for each in islice(map(_make_parameter, entries), MAX_HELP_PARAMETERS)
    }
    head = text[usage.end() : found.start()] if usage else ""
    is_open = head.partition("\n\n")[0].rstrip().endswith(" ...")
    return ModelSchema(tuple(parameters.values()), is_open)


def extract_help(outcome: Outcome) -> str | Failure:
    """The help in what came of asking for it; a Failure when there is none."""
    if parse_help(outcome.log) is not None:
        return outcome.log
    if isinstance(outcome, Failure):
        return outcome
    message = "the service answers the question for the model's help with a prediction"
    return Failure("no_help", message, log=outcome.log)


@dataclass(slots=True)
class _HelpEntry:
    name: str
    metavar: str
    lines: list[str]


def _iter_help_entries(text: str, indent: str) -> Iterator[_HelpEntry]:
    """The options behind `-h`, with their texts, up to the end of the help."""
    entry: _HelpEntry | None = None
    for line in text.splitlines()[1:]:
        depth = len(line) - len(line.lstrip(" "))
        content = line[depth:].rstrip()
        if not content or depth > len(indent):
            if entry:
                entry.lines.append(content)
            continue
        if depth < len(indent) or not content.startswith("-"):
            if content.endswith(":"):  # the title of another group
                continue
            break
        if entry:
            yield entry
        entry = None
        if header := _OPTION_HEADER.fullmatch(content):
            entry = _HelpEntry(header["name"], header["meta"].strip(), [header["text"] or ""])
    if entry:
        yield entry


def _make_parameter(entry: _HelpEntry) -> Parameter:
    lines = entry.lines
    at = _find_type_line(lines)
    found = None if at is None else _TYPE_LINE.fullmatch(lines[at])
    before, after = (lines, []) if at is None else (lines[:at], lines[at + 1 :])
    choices = _parse_choices(after) or _parse_choices(before[-1:])
    required = after[:1] == [_REQUIRED_MARK]
    default = None if required else _parse_default(after)
    if found is None:  # a service of its own kind: what it says may stand anywhere
        required = _REQUIRED_MARK in before
    help_lines = [
        line for line in before if line != _REQUIRED_MARK and not _CHOICES_LINE.fullmatch(line)
    ]
    return Parameter(
        name=entry.name,
        type=None if found is None else _PARAMETER_TYPES.get(found["type"]),
        default=default,
        required=required,
        choices=choices or _parse_metavar_choices(entry.metavar),
        is_file=found is not None and _FILE_MARK in found["rest"],
        help="\n".join(help_lines).strip(),
    )


def _find_type_line(lines: Sequence[str]) -> int | None:
    """Where DEEPaaS's own lines begin: an author may use the same words further up."""
    type_lines = [at for at, line in enumerate(lines) if _TYPE_LINE.fullmatch(line)]
    for at in reversed(type_lines):
        if at + 1 < len(lines) and lines[at + 1].startswith((_DEFAULT_PREFIX, _REQUIRED_MARK)):
            return at
    return type_lines[-1] if type_lines else None


def _parse_default(lines: Sequence[str]) -> str | None:
    if not lines or not lines[0].startswith(_DEFAULT_PREFIX.rstrip()):
        return None
    default_lines = [line for line in lines if not _CHOICES_LINE.fullmatch(line)]
    text = "\n".join(default_lines).removeprefix(_DEFAULT_PREFIX.rstrip()).strip()
    return None if text == _MISSING_DEFAULT else text


def _parse_choices(lines: Sequence[str]) -> tuple[Json, ...]:
    found = [match for line in lines if (match := _CHOICES_LINE.fullmatch(line))]
    parsed = parse_literal(found[-1]["choices"]) if found else None
    match parsed and parsed.value:
        case list(choices) if len(choices) <= _MAX_CHOICES:
            return tuple(choices)
        case _:
            return ()


def _parse_metavar_choices(metavar: str) -> tuple[Json, ...]:
    if not (metavar.startswith("{") and metavar.endswith("}")):
        return ()
    choices = metavar[1:-1].split(",")
    return tuple(choices) if len(choices) <= _MAX_CHOICES else ()
