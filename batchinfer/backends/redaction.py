"""Keeps secrets out of whatever is stored or said: the platform echoes what it is sent. Pure.

The log of a call repeats every parameter in clear (docs/platform.md, "The body of a 200"), gateways
quote headers, libraries quote URLs. So logs and messages go through here before anybody sees them.

What the model returned is another matter. It is read as it came, for a secret that is an ordinary
word (`bear`) must not rewrite it. Only a secret that nothing else can be by chance
(`is_strong_secret`) is masked in predictions, too, after they were read; the item's log says so.
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

import orjson

from batchinfer.domain import Failure, Json, Outcome, OutputFile

MASK = "***"
MIN_SECRET_CHARS = 4
"""Characters; a shorter secret is left alone, it would tear holes into ordinary text."""
STRONG_SECRET_MIN_CHARS = 16
"""Characters; a secret of so many, with digits in it, is nothing else by chance."""
WEAK_SECRET_MAX_CHARS = 8
"""Characters; a shorter secret may be a part of any text."""
MASKED_PREDICTION_NOTE = (
    "\n[batchinfer] A secret of the configuration stood in the prediction: it is masked (***)."
)

T = TypeVar("T", bound=Outcome)


def is_strong_secret(secret: str) -> bool:
    """Whether a secret cannot turn up in a prediction by chance. An email address can."""
    digits = any(sign.isdigit() for sign in secret)
    letters = any(sign.isalpha() for sign in secret)
    return len(secret) >= STRONG_SECRET_MIN_CHARS and digits and letters and "@" not in secret


def is_weak_secret(secret: str) -> bool:
    """Whether a secret is so short, or so plain a word, that ordinary texts hold it."""
    return len(secret) < WEAK_SECRET_MAX_CHARS or secret.isalpha() or secret.isdecimal()


class Redactor:
    """Replaces each secret, in every spelling it may turn up in, by `***`."""

    __slots__ = ("_data", "_in_files", "_strong", "_strong_in_json", "_text")

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret for secret in secrets if len(secret) >= MIN_SECRET_CHARS]
        self._text = _sort_spellings(known)
        self._data = [s.encode("utf-8", "surrogateescape") for s in self._text]
        self._strong = _sort_spellings(filter(is_strong_secret, known))
        self._strong_in_json = list(_iter_json_forms(self._strong))
        distinctive = filter(_is_distinctive, known)
        self._in_files = tuple(
            {s: None for secret in distinctive for s in _encode_file_spellings(secret)}
        )

    def redact_text(self, text: str) -> str:
        """The text without secrets."""
        return _mask_spellings(text, self._text)

    def redact_outcome(self, outcome: T) -> T:
        """The outcome with no secret in its log and message, and no strong one in its prediction.

        The same object when there were none. Lists and dicts of the prediction are changed in
        place.
        """
        log = self.redact_text(outcome.log)
        if isinstance(outcome, Failure):
            message = self.redact_text(outcome.message)
            if log is outcome.log and message is outcome.message:
                return outcome
            return replace(outcome, message=message, log=log)
        prediction, data, found = outcome.prediction, outcome.data, False
        if self._may_hold_strong_secret(prediction):
            prediction, found = self._redact_prediction(prediction)
        if data is not None:
            data = self._mask_strong_in_bytes(data)
        files = tuple(
            OutputFile(
                _mask_spellings(each.name, self._strong), self._mask_strong_in_bytes(each.data)
            )
            for each in outcome.files
        )
        if found or data is not outcome.data or files != outcome.files:
            log += MASKED_PREDICTION_NOTE
        elif log is outcome.log:
            return outcome
        return replace(outcome, prediction=prediction, data=data, log=log, files=files)

    def _mask_strong_in_bytes(self, data: bytes) -> bytes:
        """The bytes without strong secrets; the same object when there were none."""
        for coded in (spelling.encode("utf-8", "surrogateescape") for spelling in self._strong):
            if coded in data:
                data = data.replace(coded, MASK.encode())
        return data

    def _may_hold_strong_secret(self, prediction: Json) -> bool:
        """False only if no text in a prediction has a spelling of a strong secret in it.

        For that, all of its texts are written as one JSON and searched, in a tenth of the time
        that a walk takes. JSON writes a text character by character, each in one way wherever it
        stands; so where a text holds a spelling, the JSON holds what JSON writes for the spelling.
        A prediction that JSON cannot say (with half of a surrogate pair in a text, or a number of
        many digits) may hold anything.
        """
        if not self._strong:
            return False
        try:
            text = orjson.dumps(prediction)
        except TypeError:
            return True
        for spelling in self._strong_in_json:  # noqa: SIM110 - `any` takes longer than the searches
            if spelling in text:
                return True
        return False

    def _redact_prediction(self, prediction: Json) -> tuple[Json, bool]:
        """A prediction without strong secrets, and whether there were any."""
        root: list[Any] = [prediction]
        texts = "\0".join(_iter_strings(root)) if self._strong else ""
        if not any(spelling in texts for spelling in self._strong):
            return prediction, False
        for holder in _list_containers(root):
            entries = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
            masked = [
                (self._mask_strong_secrets(name), self._mask_strong_secrets(entry))
                for name, entry in entries
            ]
            if isinstance(holder, dict):
                holder.clear()
                holder.update(masked)
            else:
                holder[:] = [entry for _, entry in masked]
        return root[0], True

    def _mask_strong_secrets(self, entry: Any) -> Any:
        return _mask_spellings(entry, self._strong) if isinstance(entry, str) else entry

    def redact_bytes(self, data: bytes) -> bytes:
        """The bytes without secrets; the same object when there were none."""
        for spelling in self._data:  # a search is far cheaper than a copy, or one big pattern
            if spelling in data:
                data = data.replace(spelling, MASK.encode())
        return data

    def has_secret(self, data: bytes) -> bool:
        """Whether the bytes of a file hold a secret: as it is, URL-quoted, in base64 or in UTF-16.

        Secrets that innocent files could hold are not looked for: see `is_weak_secret`.
        """
        return any(spelling in data for spelling in self._in_files)


def _is_distinctive(secret: str) -> bool:
    """Whether a file that holds it does so because it is the secret, and not by chance."""
    return len(secret) >= STRONG_SECRET_MIN_CHARS or not is_weak_secret(secret)


def _encode_file_spellings(secret: str) -> Iterator[bytes]:
    for spelling in _iter_spellings(secret):
        yield spelling.encode("utf-8", "surrogateescape")
    yield secret.encode("utf-16-le", "surrogatepass")
    yield secret.encode("utf-16-be", "surrogatepass")


def _mask_spellings(text: str, spellings: Iterable[str]) -> str:
    for spelling in spellings:
        if spelling in text:
            text = text.replace(spelling, MASK)
    return text


def _list_containers(root: list[Any]) -> list[Any]:
    """`root` and every list and dict below it."""
    containers: list[Any] = [root]
    for holder in containers:  # which grows meanwhile
        entries = holder.values() if isinstance(holder, dict) else holder
        containers += [entry for entry in entries if isinstance(entry, (list, dict))]
    return containers


def _iter_strings(root: list[Any]) -> Iterator[str]:
    for holder in _list_containers(root):
        entries = (*holder, *holder.values()) if isinstance(holder, dict) else holder
        yield from (entry for entry in entries if isinstance(entry, str))


def _sort_spellings(secrets: Iterable[str]) -> list[str]:
    """Longest first: no spelling may be broken up by a shorter one inside it."""
    found = {spelling for secret in secrets for spelling in _iter_spellings(secret)}
    return sorted(found, key=lambda spelling: (-len(spelling), spelling))


def _iter_json_forms(spellings: Iterable[str]) -> Iterator[bytes]:
    """What JSON writes for them inside a text; nothing for those that it cannot say."""
    for spelling in spellings:
        try:
            yield orjson.dumps(spelling)[1:-1]
        except TypeError:  # half of a surrogate pair
            continue


def _iter_spellings(secret: str) -> Iterator[str]:
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
    yield from _iter_base64_spellings(secret.encode("utf-8", "surrogateescape"))


def _iter_base64_spellings(secret: bytes) -> Iterator[str]:
    """What a secret looks like inside base64, wherever in the encoded data it starts."""
    for lead in range(3):
        coded = base64.b64encode(bytes(lead) + secret)
        first = (0, 2, 3)[lead]  # characters that depend on the bytes before it
        bits = 8 * (lead + len(secret))
        stable = coded[first : bits // 6].decode()  # and those that depend on the bytes after it
        if len(stable) >= MIN_SECRET_CHARS:
            yield stable
            yield stable.replace("+", "-").replace("/", "_")
