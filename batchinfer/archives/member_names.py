"""Names in archives as keys need them, and why some are not taken. Pure.

Zips of old programs do not say how their names are encoded. What is UTF-8 is taken for it; else
the names are those of an American PC (code page 437), as the format has it, unless that gives
signs that no name has, or they are Japanese (Shift-JIS) by their kana. All spellings keep different
names different.
"""

from __future__ import annotations

import re
from typing import Final

UNSAFE_NAME_KIND: Final = "name that leads out of the archive"
LINK_KIND: Final = "link"
DEVICE_KIND: Final = "device"
"""As what members are counted that are no files to be sent."""

_DRIVE_PATTERN: Final = re.compile(r"[A-Za-z]:[/\\]")
_BOX_DRAWING_PATTERN: Final = re.compile("[\u2500-\u259f]")
_KANA_PATTERN: Final = re.compile("[\u3041-\u30fa]")


def normalize_member_name(name: str) -> str | None:
    """The name without `./` and `//`; None: it leads out of the archive, or names nothing."""
    if name.startswith("/") or "\0" in name or _DRIVE_PATTERN.match(name):
        return None
    parts = [part for part in name.split("/") if part not in {"", "."}]
    return None if ".." in parts or not parts else "/".join(parts)


def decode_zip_name(raw: bytes, *, is_utf8: bool) -> str:
    """The text of a name in a zip; `is_utf8`: the zip says so."""
    if raw.isascii():
        return raw.decode("ascii")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        if is_utf8:
            return raw.decode("utf-8", "surrogateescape")
    western = raw.decode("cp437")
    try:
        japanese = raw.decode("cp932")
    except UnicodeDecodeError:
        return western
    is_japanese = _BOX_DRAWING_PATTERN.search(western) or _KANA_PATTERN.search(japanese)
    return japanese if is_japanese else western
