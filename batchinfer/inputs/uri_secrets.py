"""Credentials inside a URI: it would be stored with the run, and shown in exports and reports."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

_AUTHORITY_PATTERN: Final = re.compile(r"[a-z][a-z0-9+.-]+://(?P<user>[^/?#]*)@", re.IGNORECASE)
_SECRET_PARAMETERS: Final = frozenset(
    {
        *("x-amz-signature", "x-amz-credential", "x-amz-security-token", "awsaccesskeyid"),
        *("x-goog-signature", "x-goog-credential", "googleaccessid", "key-pair-id"),
        *("signature", "sig", "sas", "token", "access_token", "auth_token", "authtoken", "auth"),
        *("authorization", "api_key", "apikey", "api-key", "password", "passwd", "pwd", "secret"),
        *("client_secret", "private_token", "sessionid", "jwt"),
    }
)
"""Names in a query, in small letters, whose values are keys."""


def find_uri_secret(uri: str) -> str | None:
    """What of a URI is secret, in words that do not show it; None: nothing is known to be."""
    is_web = uri.lower().startswith(("https://", "http://"))
    found = _AUTHORITY_PATTERN.match(uri)
    if found is not None and (is_web or ":" in found["user"]):
        return "a password"
    if not is_web:
        return None  # anywhere else a question mark is a part of a name
    query = uri.partition("?")[2].partition("#")[0]
    for part in query.replace(";", "&").split("&"):
        name, separator, value = part.partition("=")
        if separator and value and unquote_plus(name).lower() in _SECRET_PARAMETERS:
            return f"a key ({unquote_plus(name)}=...)"
    return None


def hide_uri_secrets(uri: str) -> str:
    """The URI for a message: without what may be secret in it."""
    if find_uri_secret(uri) is None:
        return uri
    plain = _AUTHORITY_PATTERN.sub(lambda found: found[0].replace(found["user"], "***"), uri)
    return plain.partition("?")[0] + ("?***" if "?" in plain else "")
