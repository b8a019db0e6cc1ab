"""Hints for misspelt names. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


def find_similar(
    name: str, choices: Iterable[str], *, limit: int = 1, cutoff: float = 0.6
) -> list[str]:
    """The choices that `name` may have been meant for, best first, whatever their case.

    `cutoff`: how similar they must be at least, from 0 to 1.
    """
    by_folded = {choice.lower(): choice for choice in choices}
    return [
        by_folded[found]
        for found in difflib.get_close_matches(name.lower(), by_folded, limit, cutoff)
    ]


def suggest(
    name: str,
    choices: Iterable[str],
    *,
    quote: Callable[[str], str] = repr,
    limit: int = 1,
    cutoff: float = 0.6,
) -> str:
    """A sentence with the similar choices, and a space before it: " Did you mean 'x'?"; or ""."""
    found = find_similar(name, choices, limit=limit, cutoff=cutoff)
    return f" Did you mean {' or '.join(map(quote, found))}?" if found else ""


def suggest_inline(name: str, choices: Iterable[str]) -> str:
    """The same for the end of a message that is no sentence: " (did you mean 'x'?)"; or ""."""
    found = find_similar(name, choices)
    return f" (did you mean {found[0]!r}?)" if found else ""
