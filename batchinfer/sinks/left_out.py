"""What an export has no place for: counted while it is written, and told in the end.

Rules of the room: nothing is missing without a word; memory does not know how much it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batchinfer.sinks.book import Book

_LONGEST = 200
"""Characters of an example."""


@dataclass(slots=True)
class LeftOut:
    """How often, by reason, with the first case of each."""

    reasons: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    """(What, why) -> (how many, the first of them)."""

    def add(self, what: str, why: str, key: str, *, count: int = 1, because: str = "") -> None:
        """Note that `count` of `what` (in the singular) of the item `key` are left out.

        `why` is one of a few texts of our own; `because` may say more of this case, as may others.
        """
        if count == 0:
            return
        before, first = self.reasons.get((what, why), (0, _example(key, because)))
        self.reasons[what, why] = before + count, first

    def tell(self, book: Book) -> None:
        """Tell it, a sentence each."""
        for (what, why), (count, first) in self.reasons.items():
            counted = f"{count:,} {what}" + ("s" if count > 1 else "")
            book.notice(f"Left out: {counted}, {why} (first: {first}).")

    def counts(self) -> dict[str, int]:
        """How many, by what and why."""
        return {f"{what}s, {why}": count for (what, why), (count, _) in self.reasons.items()}


def _example(key: str, because: str) -> str:
    text = repr(key) if len(key) <= _LONGEST else repr(key[:_LONGEST]) + "..."
    return f"{text}: {because[:_LONGEST]}" if because else text
