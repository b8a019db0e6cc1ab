"""Texts of HTTP answers, made fit for messages, and the wait that one asks for. Pure."""

from __future__ import annotations

import html
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

MAX_TRUSTED_RETRY_AFTER_SECONDS: Final = 3600.0
"""Seconds; a `Retry-After` beyond that is not believed."""
MAX_EXCERPT_CHARS: Final = 200
"""Characters of a body that are shown in a message."""
MAX_ERROR_BODY_BYTES: Final = 65_536
"""Bytes of a body that are looked at, and kept as the failure's log."""
HTML_START_PATTERN: Final = "<html|<!doctype html"
"""How a body begins that is a page for a browser (a regular expression, in any case)."""
PROXY_AUTH_MESSAGE: Final = (
    "the proxy wants a user name and a password (407): give them in HTTPS_PROXY or HTTP_PROXY, as "
    "http://user:password@host:port{said}"
)
"""Prose with `{said}` (": ..." or nothing)."""


def parse_retry_after(retry_after: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` asks for; None when it says nothing.

    From 0 to `MAX_TRUSTED_RETRY_AFTER_SECONDS`.
    Both forms of RFC 9110 are read: a number of seconds, and an HTTP date (`now`: since the epoch).
    """
    text = (retry_after or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError, IndexError):
            return None
    return min(max(seconds, 0.0), MAX_TRUSTED_RETRY_AFTER_SECONDS)


def excerpt(body: bytes) -> str:
    """The body as one short line for a message: no markup, no control characters, cut."""
    text = body[:MAX_ERROR_BODY_BYTES].decode("utf-8", "replace").strip()
    if re.match(HTML_START_PATTERN, text, re.IGNORECASE):
        text = re.sub(r"(?is)<(style|script|title)\b.*?</\1>|<[^>]*>", " ", text)
        text = html.unescape(text)
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= MAX_EXCERPT_CHARS else text[: MAX_EXCERPT_CHARS - 1] + "…"


def safe_url(url: str | None) -> str:
    """Host and path of a URL only: its user, password and query may hold secrets."""
    try:
        parts = urlsplit(url or "")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "an unreadable address"
    location = host + (f":{port}" if port else "") + parts.path
    return excerpt(location.encode(errors="replace")) or "nowhere"
