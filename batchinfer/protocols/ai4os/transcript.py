r"""Finding the returned value in what the service wrote. Pure.

See docs/platform.md, "The body of a 200". A transcript is the service script's lines, DEEPaaS's log
records and the model's own output, merged in no fixed order. What is printed on standard output is
mostly held back until the process ends: it stands behind the result, unless the service writes it
at once.

**DEEPaaS 2.5.2 and later** log `return: <str() of the value>`. The mark may stand anywhere in a
line (a progress bar has no newline). The text behind it ends, whichever is known first:

1. at the escape `ESC[00m` that closes every record of 2.6.0: exactly;
2. where it reads as one whole literal up to the end of a line: what follows is the model's output
   (the `repr` of no list or dict has a newline in it). A number or constant is one only as `str`
   spells it: `5` and `None` are, `007`, `1.10` and `null` are texts;
3. else it is a returned string, or an object: at the next timestamped record at the start of a line
   or behind a progress bar, at a line of the script, or at the end.

A mark inside such a text (1, 2) is part of it; of the others the last counts. Before 2.6.0 it
cannot be seen where a returned string ends that holds a whole log record, or behind which output
follows: it is cut at the record, and the output is taken with it. All of it stands in the log.

**DEEPaaS 2.5.0 and 2.5.1** log nothing: Python prints the value as it exits. Taken is, behind the
last record (all are written before the value): the first list, dict or the like that fills a line
(but for a progress bar in front of it);
the last one, where the service writes at once; else one before that record; else a decimal number
that fills the first or last line; else, as a string, all of it, unless it is only progress
bars and warnings. None and whole numbers those versions do not print: as if the model was killed;
so where `5` or `None` stands, a text was returned.

**An answer that was cut off** ends in the middle: each value knows what shows that it is whole
(`Completeness`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Final

from batchinfer.protocols.ai4os.literals import ParsedLiteral, parse_printed, parse_printed_at

RECORD_STAMP: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[.,][0-9]{3} [0-9]+ "
"""How every record of DEEPaaS begins: date, time, process."""

_LOG_LEVEL_PATTERN: Final = "(?:TRACE|DEBUG|INFO|AUDIT|WARNING|ERROR|CRITICAL)"
_LOG_RECORD: Final = re.compile(rf"{RECORD_STAMP}{_LOG_LEVEL_PATTERN} \S+ ")
RETURN_RECORD: Final = re.compile(
    rf"{RECORD_STAMP}INFO deepaas\.cmd\.cli \[[^\]\n]*\] return:(?: |(?=\n|\Z))"
)
RETURN_RECORD_END: Final = "] return:"
PREDICT_CALLED_TEXT: Final = "[INFO, Method] predict was called."
_PREDICT_CALLED_RECORD: Final = re.compile(
    rf"{RECORD_STAMP}INFO deepaas\.cmd\.cli \[[^\]\n]*\] \[INFO, Method\] predict was "
    r"called\.[^\n]*\n?"
)
COMMAND_ECHO: Final = "[*] Final command: deepaas-cli "
_RECORD_STAMP_PATTERN: Final = re.compile(RECORD_STAMP)
_MODEL_OUTPUT_START: Final = re.compile(
    r"^(?:usage: deepaas-cli|Traceback |Error: DEEPaaS)", re.MULTILINE
)
_SCRIPT_LINE: Final = re.compile(
    r"^(?:\[\*\] (?:Processing file|Final command)|Output will be saved on:)", re.MULTILINE
)
_ANSI_RESET_AT_RECORD_END: Final = re.compile(r"\x1b\[00m(?=\n|\Z)")
_ANSI_ESCAPE: Final = re.compile(r"\x1b\[[0-9;?]*+[A-Za-z]")
_PROGRESS_OUTPUT: Final = re.compile(r"%\||it/s|s/it|\r")
_NOISE_LINE: Final = re.compile(
    r"%\||it/s|s/it|Warning: |^\s+warnings\.warn|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: [IWEF] "
)
_PROGRESS_BAR: Final = re.compile(r"^[^\n]*(?:it/s|s/it)\]", re.MULTILINE)
_CONTAINER_START: Final = re.compile(
    r"(?:^|(?<=it/s\])|(?<=s/it\])|(?<=\r))(?=[\[({]|set\(|frozenset\(|tensor\(|b['\"])",
    re.MULTILINE,
)
_END_MARKED_RECORD: Final = "was called.\x1b[00m"
"""What shows that every record has an end mark, as in 2.6.0."""
_MAX_PROGRESS_BAR_CHARS: Final = 500
"""Characters; no progress bar is longer."""
MAX_RETURN_MARK_CHARS: Final = 500
"""Characters; no record up to its `return:` is longer."""
_MAX_RETURN_MARKS: Final = 32
"""So many `return:` are looked at, the last ones."""
_MAX_VALUE_CANDIDATES: Final = 200
_MAX_SCANNED_CHARS: Final = 50_000_000
"""So many places, and about so many characters, are looked at for the value of a bare transcript:
hostile output shall not cost more than it is long."""


class Completeness(IntEnum):
    """What shows that a value is whole."""

    UNKNOWN = 0
    """Nothing: the transcript ends in the middle of it."""
    LINE_END = 1
    """Only that the line ends there: more lines may have followed."""
    MARKED = 2
    """A mark: closing brackets, the end of a record, what the platform writes next."""


@dataclass(frozen=True, slots=True)
class ReturnedValue:
    """What the model returned, as it stands in a transcript."""

    text: str
    literal: ParsedLiteral | None
    """None when the text is no literal."""
    end: int
    """Offset behind it."""
    completeness: Completeness = Completeness.MARKED
    """What shows that it is whole."""


def decode_output(data: bytes) -> str:
    """What the service wrote, as text; bytes that are no UTF-8 become U+FFFD."""
    return data.decode(errors="replace")


def strip_ansi(text: str) -> str:
    """`text` without escape sequences (colours)."""
    return _ANSI_ESCAPE.sub("", text) if "\x1b" in text else text


def iter_records(
    pattern: re.Pattern[str], text: str, start: int = 0, end: int | None = None
) -> Iterator[re.Match[str]]:
    """Where log records of a kind begin a line, or stand behind a progress bar in one.

    Elsewhere in a line it is a quotation: the `repr` of a value that holds such a text.
    """
    for record in pattern.finditer(text, start, len(text) if end is None else end):
        at = record.start()
        bar = text[max(start, at - _MAX_PROGRESS_BAR_CHARS) : at].rpartition("\n")[2]
        if not bar.strip() or _PROGRESS_OUTPUT.search(bar):
            yield record


def strip_command_echo(text: str) -> str:
    """The part that DEEPaaS and the model wrote: without the echo of the command.

    The command repeats every parameter, and so might look like anything. Mostly it comes last;
    where the service writes at once it comes first, and then nothing is cut.
    """
    command_start = _find_line_start(COMMAND_ECHO, text, len(text))
    if command_start < 0 or not (
        _RECORD_STAMP_PATTERN.search(text, 0, command_start)
        or _MODEL_OUTPUT_START.search(text, 0, command_start)
    ):
        return text
    return text[:command_start]


def find_returned_value(text: str, *, has_more: bool = False) -> ReturnedValue | None:
    """The value behind the last `return:` of DEEPaaS; None when there is none.

    `has_more`: whether the platform wrote more behind `text`, so that it is not cut off.
    """
    found: ReturnedValue | None = None
    for mark in deque(_iter_return_marks(text), _MAX_RETURN_MARKS):
        if found is None or mark.start() >= found.end:
            found = _parse_value_at(text, mark.end(), has_more=has_more)
    return found


def _iter_return_marks(text: str) -> Iterator[re.Match[str]]:
    """As `RETURN_RECORD.finditer(text)`, but faster: searches around the end of the mark."""
    search_start = at = 0
    while (at := text.find(RETURN_RECORD_END, at)) >= 0:
        at += len(RETURN_RECORD_END)
        search_start = max(
            search_start, text.rfind("\n", search_start, at) + 1, at - MAX_RETURN_MARK_CHARS
        )
        if mark := RETURN_RECORD.search(text, search_start, min(at + 1, len(text))):
            yield mark
        search_start = at  # no mark holds another "]"


def is_unmarked(text: str) -> bool:
    """Whether a DEEPaaS wrote this that prints results without a mark."""
    # The words first: to look for a record at every place of a text takes ten times as long.
    return (
        PREDICT_CALLED_TEXT in text
        and next(iter_records(_PREDICT_CALLED_RECORD, text), None) is not None
    )


def find_unmarked_value(text: str, *, has_more: bool = False) -> ReturnedValue | None:
    """The value that DEEPaaS 2.5.0 or 2.5.1 printed; None when there is none to be seen.

    `has_more`: as in `find_returned_value`.
    """
    calls = deque(iter_records(_PREDICT_CALLED_RECORD, text), 1)
    if not calls:
        return None
    start = calls[0].end()
    stop = _SCRIPT_LINE.search(text, start)
    output = text[start : stop.start() if stop else len(text)]
    completeness = Completeness.MARKED if stop or has_more else _assess_completeness(text)
    last_record_end = max(
        (_find_line_end(output, record.end()) for record in iter_records(_LOG_RECORD, output)),
        default=0,
    )
    before, after = (
        output[:last_record_end],
        output[last_record_end + 1 if last_record_end else 0 :],
    )
    is_unbuffered = _find_line_start(COMMAND_ECHO, text, start) >= 0
    for part, take_last in ((after, is_unbuffered), (before, True)):
        if values := _find_literals(part, max(completeness, Completeness.LINE_END)):
            return values[-1 if take_last else 0]
    printed = _PROGRESS_BAR.sub(lambda bar: "" if "%|" in bar[0] else bar[0], after)
    if (value := _find_edge_number(printed.strip("\n"), len(text), completeness)) is not None:
        return value
    if all(_NOISE_LINE.search(line) for line in printed.split("\n") if line.strip()):
        return None
    printed = printed.removesuffix("\n") if printed == after else printed.strip("\n")
    return ReturnedValue(strip_ansi(printed), None, len(text), completeness)


def _parse_value_at(text: str, start: int, *, has_more: bool) -> ReturnedValue:
    """The value whose text begins at `start`, right behind its mark.

    `has_more`: whether the platform wrote more behind `text`.
    """
    line_end = _find_line_end(text, start)
    reset = _ANSI_RESET_AT_RECORD_END.search(text, start)
    if reset and (_END_MARKED_RECORD in text or reset.end() == line_end):
        value_text = text[start : reset.start()]
        return ReturnedValue(value_text, parse_printed(value_text), reset.end())
    if text[start:line_end].strip():
        literal = parse_printed_at(text, start)
        if literal is not None:
            may_be_cut = literal.is_scalar and literal.end == len(text) and not has_more
            completeness = Completeness.UNKNOWN if may_be_cut else Completeness.MARKED
            return ReturnedValue(text[start : literal.end], literal, literal.end, completeness)
    record = next(iter_records(_LOG_RECORD, text, start), None)
    end = len(text) if record is None else record.start()
    stop = _SCRIPT_LINE.search(text, start, end)
    completeness = Completeness.MARKED if has_more or record or stop else _assess_completeness(text)
    if stop is not None:
        end = stop.start()
    elif record is not None:  # the progress bar in front of it is not the value's either
        end = text.rfind("\n", start, end) + 1 or end
    return ReturnedValue(text[start:end].removesuffix("\n"), None, end, completeness)


def _assess_completeness(text: str) -> Completeness:
    """What shows that a value is whole which goes on to the end of `text`."""
    return (
        Completeness.LINE_END
        if text.endswith("\n") and _END_MARKED_RECORD not in text
        else Completeness.UNKNOWN
    )


def _find_line_start(prefix: str, text: str, end: int) -> int:
    """Where the first line of `text` before `end` begins that begins with `prefix`; -1: nowhere."""
    at = text.find(prefix, 0, end)
    while at > 0 and text[at - 1] != "\n":
        at = text.find(prefix, at + 1, end)
    return at


def _find_line_end(text: str, start: int) -> int:
    newline = text.find("\n", start)
    return len(text) if newline < 0 else newline


def _find_edge_number(text: str, end: int, completeness: Completeness) -> ReturnedValue | None:
    """The one decimal number that fills the first or the last line of `text`."""
    edges = {text.partition("\n")[0], text.rpartition("\n")[2]}
    values = [
        ReturnedValue(edge, literal, end, completeness)
        for edge in edges
        if (literal := parse_printed(edge)) and isinstance(literal.value, float)
    ]
    return values[0] if len(values) == 1 else None


def _find_literals(text: str, completeness: Completeness) -> list[ReturnedValue]:
    """The lists, dicts and the like in `text` that begin and end with a line."""
    values: list[ReturnedValue] = []
    end = 0
    max_candidates = max(8, min(_MAX_VALUE_CANDIDATES, _MAX_SCANNED_CHARS // (len(text) + 1)))
    for match in islice(_CONTAINER_START.finditer(text), max_candidates):
        if match.start() < end:
            continue
        if (literal := parse_printed_at(text, match.start())) is not None:
            end = literal.end
            values.append(ReturnedValue(text[match.start() : end], literal, end, completeness))
    return values
