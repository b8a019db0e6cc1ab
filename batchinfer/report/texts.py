"""How the page spells what comes from outside, and numbers for people. Pure.

A text from outside is shown as what it is: signs that would act on the page (controls, marks that
turn the direction of writing, halves of characters) are spelled out, and it is cut at a length that
a reader bears.
"""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

_TEXT = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff"
)
_IN_TEXT = re.compile(f"[{_TEXT}]")
_IN_LINE = re.compile(f"[{_TEXT}\t\n]")
_BYTE = 0x100


def shown(text: str, most: int = 300) -> str:
    """`text` as one line of so many signs at most."""
    return _cut(_IN_LINE.sub(_spelled, text[: most + 1]), most)


def shown_lines(text: str, most: int) -> str:
    """`text` as it is broken into lines, of so many signs at most."""
    return _cut(_IN_TEXT.sub(_spelled, text.replace("\r\n", "\n")[: most + 1]), most)


def command(*words: str) -> str:
    """A command line of ours to copy into a shell (bash, zsh), whatever stands in the words."""
    return " ".join(_quoted(word) for word in ("batchinfer", *words))


def number(count: int, one: str, many: str | None = None) -> str:
    """A number and the right form of its noun: "1 item", "2,000 items"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def seconds(value: float | None) -> str:
    """A short time: "84 ms", "1.24 s", "45.3 s", "12m 03s"."""
    if value is None:
        return "–"  # noqa: RUF001 - a dash in a table
    for below, text in ((0.9995, f"{value * 1000:.0f} ms"), (9.995, f"{value:.2f} s")):
        if value < below:
            return text
    return f"{value:.1f} s" if value < 99.95 else duration(value)  # noqa: PLR2004 - three digits


def duration(value: float) -> str:
    """A long time, two units at most: "45s", "12m 03s", "1h 05m", "2d 03h"."""
    whole = max(0, round(value))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {whole % 60:02d}s" if minutes else f"{whole}s"


def rate(per_second: float) -> str:
    """In the unit that gives a number worth reading: "4.2 per second", "12 per minute"."""
    for factor, unit in ((1, "second"), (60, "minute"), (3600, "hour")):
        amount = per_second * factor
        if amount >= 1:
            return f"{amount:,.0f} per {unit}" if amount >= 10 else f"{amount:.1f} per {unit}"  # noqa: PLR2004
    return "less than 1 per hour"


def size(count: int) -> str:
    """A number of bytes: "812 bytes", "1.2 MB"."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:  # noqa: PLR2004 - SI
            break
        amount, unit = amount / 1000, larger
    return f"{count:,} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def moment(at: float) -> str:
    """A moment in this machine's own time zone, which is named."""
    return _local(at, "%Y-%m-%d %H:%M:%S %Z")


def tick(at: float, span: float) -> str:
    """A moment on an axis that spans so many seconds; its zone is named, as it may change there."""
    return _local(at, "%H:%M:%S %Z" if span < 86_400 else "%m-%d %H:%M %Z")  # noqa: PLR2004 - a day


def _local(at: float, format: str) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime(format)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - a byte of a name that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < _BYTE else f"\\u{code:04x}"


def _quoted(word: str) -> str:
    if not _IN_LINE.search(word):
        return shlex.quote(word)
    text = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_IN_LINE.sub(_as_bytes, text)}'"


def _as_bytes(found: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in found[0].encode(errors="surrogateescape"))
