"""Text for people: escaped where a terminal or UTF-8 cannot show it; numbers with units. Pure.

Text from outside (keys, paths, messages) is escaped before it is shown: a file name may hold an
escape sequence of a terminal, or bytes that are not UTF-8.
"""

from __future__ import annotations

import re

_SURROGATE_PATTERN = re.compile("[\ud800-\udfff]")


def escape_undecodable(text: str) -> str:
    r"""`text` as UTF-8 can hold it: bytes that were not UTF-8 (PEP 383) become `\xNN`."""
    return text if text.isascii() else _SURROGATE_PATTERN.sub(_escape_surrogate, text)


def escape_unprintable(text: str) -> str:
    """`text` with every character escaped that a terminal would act on, or not show."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def format_count(count: int, singular: str, plural: str | None = None) -> str:
    """A number and the right form of its noun: "1 item", "2,000 items"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def format_size(byte_count: int) -> str:
    """A number of bytes: "812 bytes", "1.2 GB"."""
    amount, unit = float(byte_count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:  # noqa: PLR2004 - SI
            break
        amount, unit = amount / 1000, larger
    return f"{byte_count:,} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """Two units at most: "45s", "12m 03s", "1h 05m", "2d 03h"."""
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    if minutes:
        return f"{minutes}m {whole % 60:02d}s"
    return f"{whole}s"


def _escape_surrogate(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"  # noqa: PLR2004 - PEP 383
