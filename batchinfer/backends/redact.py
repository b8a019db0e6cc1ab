"""Keeps secrets out of whatever is stored or said: the platform echoes what it is sent. Pure.

The log of a call repeats every parameter in clear (contract, section 1), gateways quote headers,
libraries quote URLs. So everything that comes back goes through here before anybody reads it.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4
"""Characters; a shorter secret is left alone, it would tear holes into ordinary text."""
SHORTEST_IN_FILES = 8
"""Characters of a secret that is looked for in files: a shorter one turns up by chance."""
SURE_IN_FILES = 16
"""Characters from which on it may be of letters only, or of digits only: no common word is that
long."""


class Redactor:
    """Replaces each secret, in every spelling it may turn up in, by `***`."""

    __slots__ = ("_data", "_in_files", "_text")

    def __init__(self, secrets: Iterable[str]) -> None:
        secrets = tuple(secrets)
        self._in_files = tuple(
            {s: None for secret in secrets if _is_telling(secret) for s in _in_file(secret)}
        )
        spellings = {s for secret in secrets if len(secret) >= SHORTEST for s in _spellings(secret)}
        # Longest first: no spelling may be broken up by a shorter one inside it.
        self._text = sorted(spellings, key=lambda s: (-len(s), s))
        self._data = [s.encode("utf-8", "surrogateescape") for s in self._text]

    def text(self, text: str) -> str:
        """The text without secrets."""
        for spelling in self._text:
            text = text.replace(spelling, MASK)
        return text

    def data(self, data: bytes) -> bytes:
        """The bytes without secrets; the same object when there were none."""
        for spelling in self._data:  # a search is far cheaper than a copy, or one big pattern
            if spelling in data:
                data = data.replace(spelling, MASK.encode())
        return data

    def is_in(self, data: bytes) -> bool:
        """Whether the bytes of a file hold a secret: as it is, URL-quoted, in base64 or in UTF-16.

        Secrets that innocent files could hold are not looked for: see `SHORTEST_IN_FILES`.
        """
        return any(spelling in data for spelling in self._in_files)


def _is_telling(secret: str) -> bool:
    """Whether a file that holds it does so because it is the secret, and not by chance."""
    if len(secret) < SHORTEST_IN_FILES:
        return False
    return len(secret) >= SURE_IN_FILES or not (secret.isalpha() or secret.isdigit())


def _in_file(secret: str) -> Iterator[bytes]:
    for spelling in _spellings(secret):
        yield spelling.encode("utf-8", "surrogateescape")
    yield secret.encode("utf-16-le", "surrogatepass")
    yield secret.encode("utf-16-be", "surrogatepass")


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    for escaped in (quote(secret, safe="", errors="replace"), quote(secret, errors="replace")):
        yield escaped
        yield re.sub("%..", lambda match: match[0].lower(), escaped)
    yield quote_plus(secret, errors="replace")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield shlex.quote(secret)
    yield html.escape(secret)
    yield from _in_base64(secret.encode("utf-8", "surrogateescape"))


def _in_base64(secret: bytes) -> Iterator[str]:
    """What a secret looks like inside base64, wherever in the encoded data it starts."""
    for lead in range(3):
        coded = base64.b64encode(bytes(lead) + secret)
        first = (0, 2, 3)[lead]  # characters that depend on the bytes before it
        bits = 8 * (lead + len(secret))
        sure = coded[first : bits // 6].decode()  # and those that depend on the bytes after it
        if len(sure) >= SHORTEST:
            yield sure
            yield sure.replace("+", "-").replace("/", "_")
