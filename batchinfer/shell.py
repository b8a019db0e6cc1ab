"""Command lines for people to copy into a POSIX shell, whatever stands in their words. Pure."""

from __future__ import annotations

import os
import shlex
from pathlib import Path


def format_command(*words: str | Path | None) -> str:
    """A command line of batchinfer, quoted; None stands for nothing."""
    arguments = [_to_argument(word) for word in words if word is not None]
    return " ".join(quote_for_shell(word) for word in ("batchinfer", *arguments))


def quote_for_shell(word: str) -> str:
    """The word as a shell reads it: printable signs only, also of bytes that are no text."""
    if word.isprintable():
        return shlex.quote(word)
    return f'"$(printf {shlex.quote("".join(map(_escape_for_printf, word)))})"'


def _to_argument(word: str | Path) -> str:
    """A path that begins like an option is spelled so that it is none."""
    text = str(word)
    return f".{os.sep}{text}" if isinstance(word, Path) and text.startswith("-") else text


def _escape_for_printf(character: str) -> str:
    if character in "\\%":
        return {"\\": "\\\\", "%": "%%"}[character]
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))


def quote_json_variable(name: str) -> str:
    """The value of a variable as it must stand between the quotes of JSON in a here-document."""
    return f"""$(printf %s "${{{name}}}" | sed 's/[\\\\"]/\\\\&/g')"""
