"""Keeps secrets out of whatever is stored or said: the platform echoes what it is sent. Pure.

The log of a call repeats every parameter in clear (contract, section 1), gateways quote headers,
libraries quote URLs. So logs and messages go through here before anybody sees them.

What the model returned is another matter. It is read as it came, for a secret that is an ordinary
word (`bear`) must not rewrite it. Only a secret that nothing else can be by chance (`is_strong`) is
masked in predictions, too, after they were read; the item's log says so.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from batchinfer.domain import Failure, Json, Outcome

MASK = "***"
SHORTEST = 4
"""Characters; a shorter secret is left alone, it would tear holes into ordinary text."""
STRONG = 16
"""Characters; a secret of so many, with digits in it, is nothing else by chance."""
WEAK = 8
"""Characters; a shorter secret may be a part of any text."""
MASKED = "\n[batchinfer] A secret of the configuration stood in the prediction: it is masked (***)."

T = TypeVar("T", bound=Outcome)


def is_strong(secret: str) -> bool:
    """Whether a secret cannot turn up in a prediction by chance. An email address can."""
    digits = any(sign.isdigit() for sign in secret)
    letters = any(sign.isalpha() for sign in secret)
    return len(secret) >= STRONG and digits and letters and "@" not in secret


def is_weak(secret: str) -> bool:
    """Whether a secret is so short, or so plain a word, that ordinary texts hold it."""
    return len(secret) < WEAK or secret.isalpha() or secret.isdecimal()


class Redactor:
    """Replaces each secret, in every spelling it may turn up in, by `***`."""

    __slots__ = ("_data", "_in_files", "_strong", "_text")

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret for secret in secrets if len(secret) >= SHORTEST]
        self._text = _all_spellings(known)
        self._data = [s.encode("utf-8", "surrogateescape") for s in self._text]
        self._strong = _all_spellings(filter(is_strong, known))
        telling = filter(_is_telling, known)
        self._in_files = tuple({s: None for secret in telling for s in _in_file(secret)})

    def text(self, text: str) -> str:
        """The text without secrets."""
        return _masked(text, self._text)

    def outcome(self, outcome: T) -> T:
        """The outcome with no secret in its log and message, and no strong one in its prediction.

        Lists and dicts of the prediction are changed in place.
        """
        if isinstance(outcome, Failure):
            message = self.text(outcome.message)
            return replace(outcome, message=message, log=self.text(outcome.log))
        prediction, found = self._hidden(outcome.prediction)
        data = outcome.data
        for coded in (spelling.encode("utf-8", "surrogateescape") for spelling in self._strong):
            if data is not None and coded in data:
                data, found = data.replace(coded, MASK.encode()), True
        log = self.text(outcome.log) + (MASKED if found else "")
        return replace(outcome, prediction=prediction, data=data, log=log)

    def _hidden(self, prediction: Json) -> tuple[Json, bool]:
        """A prediction without strong secrets, and whether there were any."""
        root: list[Any] = [prediction]
        texts = "\0".join(_texts(root)) if self._strong else ""
        if not any(spelling in texts for spelling in self._strong):
            return prediction, False
        for holder in _holders(root):
            entries = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
            masked = [(self._mask(name), self._mask(entry)) for name, entry in entries]
            if isinstance(holder, dict):
                holder.clear()
                holder.update(masked)
            else:
                holder[:] = [entry for _, entry in masked]
        return root[0], True

    def _mask(self, entry: Any) -> Any:
        return _masked(entry, self._strong) if isinstance(entry, str) else entry

    def data(self, data: bytes) -> bytes:
        """The bytes without secrets; the same object when there were none."""
        for spelling in self._data:  # a search is far cheaper than a copy, or one big pattern
            if spelling in data:
                data = data.replace(spelling, MASK.encode())
        return data

    def is_in(self, data: bytes) -> bool:
        """Whether the bytes of a file hold a secret: as it is, URL-quoted, in base64 or in UTF-16.

        Secrets that innocent files could hold are not looked for: see `is_weak`.
        """
        return any(spelling in data for spelling in self._in_files)


def _is_telling(secret: str) -> bool:
    """Whether a file that holds it does so because it is the secret, and not by chance."""
    return len(secret) >= STRONG or not is_weak(secret)


def _in_file(secret: str) -> Iterator[bytes]:
    for spelling in _spellings(secret):
        yield spelling.encode("utf-8", "surrogateescape")
    yield secret.encode("utf-16-le", "surrogatepass")
    yield secret.encode("utf-16-be", "surrogatepass")


def _masked(text: str, spellings: Iterable[str]) -> str:
    for spelling in spellings:
        if spelling in text:
            text = text.replace(spelling, MASK)
    return text


def _holders(root: list[Any]) -> list[Any]:
    """`root` and every list and dict below it."""
    found: list[Any] = [root]
    for holder in found:  # which grows meanwhile
        entries = holder.values() if isinstance(holder, dict) else holder
        found += [entry for entry in entries if isinstance(entry, (list, dict))]
    return found


def _texts(root: list[Any]) -> Iterator[str]:
    for holder in _holders(root):
        if isinstance(holder, dict):
            yield from holder
            yield from (entry for entry in holder.values() if isinstance(entry, str))
        else:
            yield from (entry for entry in holder if isinstance(entry, str))


def _all_spellings(secrets: Iterable[str]) -> list[str]:
    """Longest first: no spelling may be broken up by a shorter one inside it."""
    found = {spelling for secret in secrets for spelling in _spellings(secret)}
    return sorted(found, key=lambda spelling: (-len(spelling), spelling))


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
