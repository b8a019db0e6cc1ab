r"""Finding the returned value in what the service wrote (contract section 1, "The 200 body"). Pure.

A transcript is the service script's lines, DEEPaaS's log records and the model's own output, merged
in no fixed order. What is printed on standard output is mostly held back until the process ends: it
stands behind the result, unless the service writes it at once.

**DEEPaaS 2.5.2 and later** log `return: <str() of the value>`. The mark may stand anywhere in a
line (a progress bar has no newline). The text behind it ends, whichever is known first:

1. at the escape `ESC[00m` that closes every record of 2.6.0: exactly;
2. where it reads as one whole literal up to the end of a line: what follows is the model's output
   (the `repr` of no list or dict has a newline in it). A number or constant is one only as `str`
   spells it: `5` and `None` are, `007`, `1.10` and `null` are texts;
3. else it is a returned string, or an object: at the next timestamped record at the start of a line
   or behind a progress bar, at a line of the script, or at the end.

A mark inside such a text (1, 2) is part of it; of the others the last counts. Before 2.6.0 nobody
can say where a returned string ends that holds a whole log record, or behind which output follows:
it is cut at the record, and the output is taken with it. All of it stands in the log.

**DEEPaaS 2.5.0 and 2.5.1** log nothing: Python prints the value as it exits. Taken is, behind the
last record (all are written before the value): the first list, dict or the like that fills a line
(but for a progress bar in front of it);
the last one, where the service writes at once; else one before that record; else a decimal number
that fills the first or last line; else, as a string, all of it, unless it is only progress
bars and warnings. None and whole numbers those versions do not print: as if the model was killed;
so where `5` or `None` stands, a text was returned.

**An answer that was cut off** ends in the middle: each value knows what shows that it is whole
(`End`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Final

from batchinfer.oscar.literal import Read, printed_at, read_printed

STAMP: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}[.,][0-9]{3} [0-9]+ "
"""How every record of DEEPaaS begins: date, time, process."""

_LEVEL: Final = "(?:TRACE|DEBUG|INFO|AUDIT|WARNING|ERROR|CRITICAL)"
_RECORD: Final = re.compile(rf"{STAMP}{_LEVEL} \S+ ")
_RETURN: Final = re.compile(rf"{STAMP}INFO deepaas\.cmd\.cli \[[^\]\n]*\] return:(?: |(?=\n|\Z))")
_RETURN_END: Final = "] return:"
_CALLED: Final = "[INFO, Method] predict was called."
_BARE: Final = re.compile(
    rf"{STAMP}INFO deepaas\.cmd\.cli \[[^\]\n]*\] \[INFO, Method\] predict was called\.[^\n]*\n?"
)
_FINAL: Final = "[*] Final command: deepaas-cli "
_STAMPED: Final = re.compile(STAMP)
_SPOKE: Final = re.compile(r"^(?:usage: deepaas-cli|Traceback |Error: DEEPaaS)", re.MULTILINE)
_STOP: Final = re.compile(
    r"^(?:\[\*\] (?:Processing file|Final command)|Output will be saved on:)", re.MULTILINE
)
_RESET: Final = re.compile(r"\x1b\[00m(?=\n|\Z)")
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*+[A-Za-z]")
_PROGRESS: Final = re.compile(r"%\||it/s|s/it|\r")
_NOISE: Final = re.compile(
    r"%\||it/s|s/it|Warning: |^\s+warnings\.warn|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: [IWEF] "
)
_BAR: Final = re.compile(r"^[^\n]*(?:it/s|s/it)\]", re.MULTILINE)
_CONTAINER: Final = re.compile(
    r"(?:^|(?<=it/s\])|(?<=s/it\])|(?<=\r))(?=[\[({]|set\(|frozenset\(|tensor\(|b['\"])",
    re.MULTILINE,
)
_MARKED_END: Final = "was called.\x1b[00m"
"""What shows that every record has an end mark, as in 2.6.0."""
_BAR_LENGTH: Final = 500
"""Characters; no progress bar is longer."""
_MARK_LENGTH: Final = 500
"""Characters; no record up to its `return:` is longer."""
_MARKS: Final = 32
"""So many `return:` are looked at, the last ones."""
_TRIES: Final = 200
_WORK: Final = 50_000_000
"""So many places, and about so many characters, are looked at for the value of a bare transcript:
hostile output shall not cost more than it is long."""


class End(IntEnum):
    """What shows that a value is whole."""

    NOTHING = 0
    """Nothing: the transcript ends in the middle of it."""
    LINE = 1
    """Only that the line ends there: more lines may have followed."""
    MARK = 2
    """A mark: closing brackets, the end of a record, what the platform writes next."""


@dataclass(frozen=True, slots=True)
class Value:
    """What the model returned, as it stands in a transcript."""

    text: str
    read: Read | None
    """None when the text is no literal."""
    end: int
    """Offset behind it."""
    shown: End = End.MARK
    """What shows that it is whole."""


def decoded(data: bytes) -> str:
    """What the service wrote, as text; bytes that are no UTF-8 become U+FFFD."""
    return data.decode(errors="replace")


def without_escapes(text: str) -> str:
    """`text` without colours."""
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def records(
    kind: re.Pattern[str], text: str, start: int = 0, end: int | None = None
) -> Iterator[re.Match[str]]:
    """Where log records of a kind begin a line, or stand behind a progress bar in one.

    Elsewhere in a line it is a quotation: the `repr` of a value that holds such a text.
    """
    for record in kind.finditer(text, start, len(text) if end is None else end):
        at = record.start()
        bar = text[max(start, at - _BAR_LENGTH) : at].rpartition("\n")[2]
        if not bar.strip() or _PROGRESS.search(bar):
            yield record


def spoken(text: str) -> str:
    """The part that DEEPaaS and the model wrote: without the echo of the command.

    The command repeats every parameter, and so might look like anything. Mostly it comes last;
    where the service writes at once it comes first, and then nothing is cut.
    """
    command = _line_with(_FINAL, text, len(text))
    if command < 0 or not (_STAMPED.search(text, 0, command) or _SPOKE.search(text, 0, command)):
        return text
    return text[:command]


def returned(text: str, *, goes_on: bool = False) -> Value | None:
    """The value behind the last `return:` of DEEPaaS; None when there is none.

    `goes_on`: whether the platform wrote more behind `text`, so that it is not cut off.
    """
    found: Value | None = None
    for mark in deque(_marks(text), _MARKS):
        if found is None or mark.start() >= found.end:
            found = _value(text, mark.end(), goes_on=goes_on)
    return found


def _marks(text: str) -> Iterator[re.Match[str]]:
    """`_RETURN.finditer(text)`, sooner: looked for where the words of its end are."""
    free = at = 0
    while (at := text.find(_RETURN_END, at)) >= 0:
        at += len(_RETURN_END)
        free = max(free, text.rfind("\n", free, at) + 1, at - _MARK_LENGTH)
        if mark := _RETURN.search(text, free, min(at + 1, len(text))):
            yield mark
        free = at  # no mark holds another "]"


def is_bare(text: str) -> bool:
    """Whether a DEEPaaS wrote this that prints results without a mark."""
    # The words first: to look for a record at every place of a text takes ten times as long.
    return _CALLED in text and next(records(_BARE, text), None) is not None


def bare(text: str, *, goes_on: bool = False) -> Value | None:
    """The value that DEEPaaS 2.5.0 or 2.5.1 printed; None when there is none to be seen.

    `goes_on`: as in `returned`.
    """
    calls = deque(records(_BARE, text), 1)
    if not calls:
        return None
    start = calls[0].end()
    stop = _STOP.search(text, start)
    own = text[start : stop.start() if stop else len(text)]
    shown = End.MARK if stop or goes_on else _line_shown(text)
    behind = max((_line_end(own, record.end()) for record in records(_RECORD, own)), default=0)
    before, after = own[:behind], own[behind + 1 if behind else 0 :]
    at_once = _line_with(_FINAL, text, start) >= 0
    for part, last in ((after, at_once), (before, True)):
        if values := _literals(part, max(shown, End.LINE)):
            return values[-1 if last else 0]
    printed = _BAR.sub(lambda bar: "" if "%|" in bar[0] else bar[0], after)
    if (value := _edge_number(printed.strip("\n"), len(text), shown)) is not None:
        return value
    if all(_NOISE.search(line) for line in printed.split("\n") if line.strip()):
        return None
    printed = printed.removesuffix("\n") if printed == after else printed.strip("\n")
    return Value(without_escapes(printed), None, len(text), shown)


def _value(text: str, start: int, *, goes_on: bool) -> Value:
    """The value whose text begins at `start`, right behind its mark.

    `goes_on`: whether the platform wrote more behind `text`.
    """
    line_end = _line_end(text, start)
    reset = _RESET.search(text, start)
    if reset and (_MARKED_END in text or reset.end() == line_end):
        own = text[start : reset.start()]
        return Value(own, read_printed(own), reset.end())
    if text[start:line_end].strip():
        read = printed_at(text, start)
        if read is not None:
            cut = read.is_scalar and read.end == len(text) and not goes_on
            shown = End.NOTHING if cut else End.MARK
            return Value(text[start : read.end], read, read.end, shown)
    record = next(records(_RECORD, text, start), None)
    end = len(text) if record is None else record.start()
    stop = _STOP.search(text, start, end)
    shown = End.MARK if goes_on or record or stop else _line_shown(text)
    if stop is not None:
        end = stop.start()
    elif record is not None:  # the progress bar in front of it is not the value's either
        end = text.rfind("\n", start, end) + 1 or end
    return Value(text[start:end].removesuffix("\n"), None, end, shown)


def _line_shown(text: str) -> End:
    """What shows that a value is whole which goes on to the end of `text`."""
    return End.LINE if text.endswith("\n") and _MARKED_END not in text else End.NOTHING


def _line_with(words: str, text: str, end: int) -> int:
    """Where the first line of `text` before `end` begins that begins with `words`; -1: nowhere."""
    at = text.find(words, 0, end)
    while at > 0 and text[at - 1] != "\n":
        at = text.find(words, at + 1, end)
    return at


def _line_end(text: str, start: int) -> int:
    newline = text.find("\n", start)
    return len(text) if newline < 0 else newline


def _edge_number(text: str, end: int, shown: End) -> Value | None:
    """The one decimal number that fills the first or the last line of `text`."""
    edges = {text.partition("\n")[0], text.rpartition("\n")[2]}
    values = [
        Value(edge, read, end, shown)
        for edge in edges
        if (read := read_printed(edge)) and isinstance(read.value, float)
    ]
    return values[0] if len(values) == 1 else None


def _literals(text: str, shown: End) -> list[Value]:
    """The lists, dicts and the like in `text` that begin and end with a line."""
    values: list[Value] = []
    end = 0
    tries = max(8, min(_TRIES, _WORK // (len(text) + 1)))
    for place in islice(_CONTAINER.finditer(text), tries):
        if place.start() < end:
            continue
        if (read := printed_at(text, place.start())) is not None:
            end = read.end
            values.append(Value(text[place.start() : end], read, end, shown))
    return values
