"""The quick way to the value in the transcript that nearly all answers are. Pure.

It is that of DEEPaaS 2.5.2 or later with one record `return:`, whose line holds nothing else, and
behind it the service script's echo of the command. Of anything else nothing is said (None): no
second mark, no end marks of other records in the value, no error, no record in front of which a
progress bar stands. What is said is what `transcript.py` says: each condition below is one under
which that has nothing left to decide.
"""

from __future__ import annotations

from typing import Final

from batchinfer.protocols.ai4os.literals import MAX_LITERAL_VALUES
from batchinfer.protocols.ai4os.transcript import (
    COMMAND_ECHO,
    MAX_RETURN_MARK_CHARS,
    PREDICT_CALLED_TEXT,
    RETURN_RECORD,
    RETURN_RECORD_END,
    strip_ansi,
)

_MAX_TRANSCRIPT_CHARS: Final = MAX_LITERAL_VALUES
"""Characters; so few hold less values than are read."""
_ECHO_START: Final = f"\n{COMMAND_ECHO}"
_FIRST_LINE: Final = "[*] Using DEEPaaS version "
_RECORD_END: Final = "\x1b[00m"


def find_common_value(text: str) -> str | None:
    """The line that a returned list or dict fills, if all of it is as usual. See the module."""
    if not text.startswith(_FIRST_LINE) or len(text) > _MAX_TRANSCRIPT_CHARS:
        return None
    mark_end = text.find(RETURN_RECORD_END)
    echo = text.find(_ECHO_START)  # from here on nothing counts
    if not 0 <= mark_end < echo or text.find(RETURN_RECORD_END, mark_end + 1, echo) >= 0:
        return None
    record_start = text.rfind("\n", 0, mark_end) + 1
    start = mark_end + len(RETURN_RECORD_END) + 1
    record = RETURN_RECORD.match(text, record_start, start)
    if record is None or record.end() != start or start - record_start > MAX_RETURN_MARK_CHARS:
        return None
    line_end = text.find("\n", start)
    line = text[start:line_end]
    if line.endswith(_RECORD_END):
        line = line[: -len(_RECORD_END)]
    elif text.find(_RECORD_END, start, echo) >= 0:
        return None
    is_unusual = (
        text.find(PREDICT_CALLED_TEXT, 0, echo) >= 0  # of a version without marks
        or "CRITICAL" in strip_ansi(text[line_end:echo])  # an error behind the value
    )
    return None if is_unusual else line
