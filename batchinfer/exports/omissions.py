"""What a format has no place for: counted while an export is written, and reported at its end.

Nothing is left out silently; memory does not grow with how much it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batchinfer.exports.export_source import ExportSource

_MAX_EXAMPLE_CHARS = 200
"""Characters of an example."""


@dataclass(slots=True)
class ExportOmissions:
    """How often, by reason, with the first case of each."""

    by_reason: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    """(What, reason) -> (how many, the first of them)."""

    def add(self, what: str, reason: str, key: str, *, count: int = 1, detail: str = "") -> None:
        """Note that `count` of `what` (in the singular) of the item `key` are left out.

        `reason` is one of a few texts of ours; `detail` may say more of this case, also in text
        from outside.
        """
        if count == 0:
            return
        before, first = self.by_reason.get((what, reason), (0, _format_example(key, detail)))
        self.by_reason[what, reason] = before + count, first

    def report(self, source: ExportSource) -> None:
        """Pass a sentence for each reason to `source.on_notice`."""
        for (what, reason), (count, first) in self.by_reason.items():
            counted = f"{count:,} {what}" + ("s" if count > 1 else "")
            source.on_notice(f"Left out: {counted}, {reason} (first: {first}).")

    def as_counts(self) -> dict[str, int]:
        """How many, by what and reason."""
        return {f"{what}s, {why}": count for (what, why), (count, _) in self.by_reason.items()}


def _format_example(key: str, detail: str) -> str:
    text = repr(key) if len(key) <= _MAX_EXAMPLE_CHARS else repr(key[:_MAX_EXAMPLE_CHARS]) + "..."
    return f"{text}: {detail[:_MAX_EXAMPLE_CHARS]}" if detail else text
