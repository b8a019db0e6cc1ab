"""Command lines for people to copy into a POSIX shell, whatever stands in their words. Pure."""

from __future__ import annotations

import os
import shlex
from pathlib import Path


def command_line(*words: str | Path | None) -> str:
    """A command line of batchinfer, quoted; None stands for nothing."""
    given = [_as_argument(word) for word in words if word is not None]
    return " ".join(quote(word) for word in ("batchinfer", *given))


def quote(word: str) -> str:
    """The word as a shell reads it: printable signs only, also of bytes that are no text."""
    if word.isprintable():
        return shlex.quote(word)
    return f'"$(printf {shlex.quote("".join(map(_escaped, word)))})"'


def _as_argument(word: str | Path) -> str:
    """A path that begins like an option is spelled so that it is none."""
    text = str(word)
    return f".{os.sep}{text}" if isinstance(word, Path) and text.startswith("-") else text


def _escaped(sign: str) -> str:
    if sign in "\\%":
        return {"\\": "\\\\", "%": "%%"}[sign]
    if sign.isprintable():
        return sign
    return "".join(f"\\{byte:03o}" for byte in sign.encode(errors="surrogateescape"))
