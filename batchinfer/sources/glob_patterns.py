"""Glob patterns over `/`-separated relative paths, compiled once to one regular expression each.

`*` and `?` stay within a name, `[abc]` and `[!a-c]` stand for one character, `**` as a whole part
spans any number of folders (also none); at the end it stands for every file below. Case counts in
the pattern of a source, as in a shell, and not where files of a source are chosen. Both sides are
compared in Unicode's normal form NFC (`input_files.to_nfc`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from batchinfer.errors import SourceError
from batchinfer.sources.input_files import to_nfc
from batchinfer.text_format import escape_undecodable

_WILDCARD_PATTERN = re.compile(r"[*?\[]")
_GLOB_TOKEN_PATTERN = re.compile(
    r"(?P<many>\*+)|(?P<one>\?)|\[(?P<not>!?)(?P<set>[^/]?[^\]/]*)\]|(?P<plain>.)", re.DOTALL
)


def has_magic(spec: str) -> bool:
    """Whether `spec` can be read as a pattern at all."""
    return _WILDCARD_PATTERN.search(spec) is not None


def split_pattern(spec: str) -> tuple[str, str]:
    """An absolute pattern as (fixed folder, pattern below it).

    A folder that is really there under a name like `data[1]` belongs to the fixed part.
    """
    parts = spec.split("/")
    base = parts.pop(0)
    while len(parts) > 1 and _is_fixed(base, parts[0]):
        base = f"{base}/{parts.pop(0)}"
    return base or "/", "/".join(parts)


def compile_filter(pattern: str) -> re.Pattern[str]:
    """A pattern that chooses files of a source: without a `/` it means the name, in any folder."""
    anchored = pattern.removeprefix("./").removeprefix("/")
    return compile_pattern(anchored if "/" in pattern else f"**/{pattern}", re.IGNORECASE)


def compile_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """To be used with `fullmatch` on a relative path. Raises SourceError for what has no sense."""
    parts = to_nfc(escape_undecodable(pattern)).split("/")
    last = len(parts) - 1
    regex = "".join(
        (r".+" if at == last else r"(?:[^/]+/)*")
        if part == "**"
        else "".join(_iter_regex_parts(part)) + ("" if at == last else "/")
        for at, part in enumerate(parts)
    )
    try:
        return re.compile(regex, re.DOTALL | flags)
    except re.error as error:
        raise SourceError(f"The pattern {pattern!r} cannot be understood: {error.msg}.") from error


def max_depth(pattern: str) -> int | None:
    """How many folders below the fixed one can hold a match; None without bound."""
    parts = pattern.split("/")
    return None if "**" in parts else len(parts) - 1


def _is_fixed(base: str, part: str) -> bool:
    return not has_magic(part) or os.path.isdir(f"{base}/{part}")  # noqa: PTH112 - plain strings


def _iter_regex_parts(part: str) -> Iterator[str]:
    for token in _GLOB_TOKEN_PATTERN.finditer(part):
        if token["many"]:
            yield "[^/]*"
        elif token["one"]:
            yield "[^/]"
        elif token["set"]:
            inside = re.sub(r"([^\w-])", r"\\\1", token["set"])
            yield f"(?!/)[{'^' if token['not'] else ''}{inside}]"
        else:
            yield re.escape(token[0])
