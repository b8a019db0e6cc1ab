"""What kind of token a text is, from its shape alone (docs/platform.md, "The request"). Pure.

A service token is 64 hexadecimal digits; all else OSCAR takes for an OIDC token, three parts
joined by dots. Of that one the expiry is read. Nothing is verified here: only the cluster can.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_TOKEN_CHARS: Final = 1 << 16
"""Characters; no token is longer."""

_JWT_PART: Final = "[A-Za-z0-9_-]+"


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """The token of one service, as the Dashboard shows it. Does not expire."""


@dataclass(frozen=True, slots=True)
class OidcToken:
    """A user's access token."""

    expires_at: float | None
    """Seconds since the epoch; None: it does not say."""


@dataclass(frozen=True, slots=True)
class InvalidToken:
    """Neither of the two: every call would be refused."""

    reason: str


Token: TypeAlias = ServiceToken | OidcToken | InvalidToken


def classify_token(text: str) -> Token:
    """What kind of token it is. The reason never quotes it."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return ServiceToken()
    if len(text) <= MAX_TOKEN_CHARS and re.fullmatch(
        rf"{_JWT_PART}\.{_JWT_PART}\.{_JWT_PART}", text
    ):
        claims = _decode_claims(text.split(".")[1])
        if claims is not None:
            return OidcToken(_parse_expiry(claims.get("exp")))
        return InvalidToken(
            "it looks like an OIDC token, but cannot be read: it was not copied whole"
        )
    if re.fullmatch(r"[0-9a-fA-F]+", text):
        return InvalidToken(f"it has {len(text):,} hexadecimal digits; a service token has 64")
    return InvalidToken(
        f"its {len(text):,} signs are neither 64 hexadecimal digits nor an OIDC token"
    )


def _decode_claims(part: str) -> dict[str, object] | None:
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _parse_expiry(exp: object) -> float | None:
    if isinstance(exp, bool) or not isinstance(exp, int | float):
        return None
    try:
        at = float(exp)
    except OverflowError:
        return None
    return at if math.isfinite(at) else None
