"""Text from outside, and numbers, as the report shows them. Pure.

Characters that would act on the page (control characters, marks that change the direction of
writing, lone surrogates) are escaped, and long text is truncated.
"""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

from batchinfer.text_format import format_duration

_UNPRINTABLE_IN_TEXT = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff"
)
_IN_TEXT = re.compile(f"[{_UNPRINTABLE_IN_TEXT}]")
_IN_LINE = re.compile(f"[{_UNPRINTABLE_IN_TEXT}\t\n]")
_BYTE_VALUES = 0x100


def clip(text: str, max_chars: int = 300) -> str:
    """`text` as one line of so many signs at most."""
    return _truncate(_IN_LINE.sub(_escape, text[: max_chars + 1]), max_chars)


def clip_lines(text: str, max_chars: int) -> str:
    """`text` as it is broken into lines, of so many signs at most."""
    return _truncate(_IN_TEXT.sub(_escape, text.replace("\r\n", "\n")[: max_chars + 1]), max_chars)


def command_line(*words: str) -> str:
    """A command line of ours to copy into a shell (bash, zsh), whatever stands in the words."""
    return " ".join(_shell_quote(word) for word in ("batchinfer", *words))


def format_seconds(value: float | None) -> str:
    """A short time: "84 ms", "1.24 s", "45.3 s", "12m 03s"."""
    if value is None:
        return "–"  # noqa: RUF001 - a dash in a table
    for below, text in ((0.9995, f"{value * 1000:.0f} ms"), (9.995, f"{value:.2f} s")):
        if value < below:
            return text
    return f"{value:.1f} s" if value < 99.95 else format_duration(value)  # noqa: PLR2004 - three digits


def format_rate(per_second: float) -> str:
    """In the unit that gives a number worth reading: "4.2 per second", "12 per minute"."""
    for factor, unit in ((1, "second"), (60, "minute"), (3600, "hour")):
        amount = per_second * factor
        if amount >= 1:
            return f"{amount:,.0f} per {unit}" if amount >= 10 else f"{amount:.1f} per {unit}"  # noqa: PLR2004
    return "less than 1 per hour"


def format_time(timestamp: float) -> str:
    """A moment in this machine's own time zone, which is named."""
    return _format_local(timestamp, "%Y-%m-%d %H:%M:%S %Z")


def format_tick(timestamp: float, span: float) -> str:
    """A moment on an axis that spans so many seconds; its zone is named, as it may change there."""
    return _format_local(timestamp, "%H:%M:%S %Z" if span < 86_400 else "%m-%d %H:%M %Z")  # noqa: PLR2004 - a day


def _format_local(timestamp: float, format: str) -> str:
    return datetime.fromtimestamp(timestamp, UTC).astimezone().strftime(format)


def _truncate(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - a byte of a name that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < _BYTE_VALUES else f"\\u{code:04x}"


def _shell_quote(word: str) -> str:
    if not _IN_LINE.search(word):
        return shlex.quote(word)
    text = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_IN_LINE.sub(_escape_bytes, text)}'"


def _escape_bytes(found: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in found[0].encode(errors="surrogateescape"))
