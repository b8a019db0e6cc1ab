"""What the run knows of inputs that are seen again: whether they are new, or to be sent anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Final

from batchinfer.domain import Item, State
from batchinfer.ports import KnownItem, Notice, WorkQueue
from batchinfer.store.transitions import files_differ
from batchinfer.text_format import escape_undecodable

MISSING_FILE: Final = "file_missing"
UNSENT_CODES: Final = frozenset({MISSING_FILE, "file_changed", "file_empty", "file_unreadable"})
"""Codes of failures after which nothing was sent: of another content no result is concerned."""


class KnownAnswer(Enum):
    """What is to be done with an input that is seen."""

    NEW = auto()
    """It is not in the run."""
    KNOWN = auto()
    """It is, and stays as it is."""
    AGAIN = auto()
    """It is, and has to be sent anew."""


class KnownInputs:
    """Asks the store; counts what has changed, and inputs whose key is taken."""

    def __init__(self, queue: WorkQueue, *, again_when_changed: bool) -> None:
        self._queue, self._again_when_changed = queue, again_when_changed
        self._changed_count = self._reported_changed_count = 0
        self._changed_key = ""
        self._duplicate: tuple[str, str, str] | None = None

    def begin_scan(self) -> None:
        """Everything will be seen once."""
        self._changed_count = 0

    def end_scan(self) -> Iterator[Notice]:
        """What a person should know of what was seen."""
        count = self._changed_count
        if count > self._reported_changed_count:
            yield Notice(
                "file_changed",
                f"{count:,} file(s) changed since they were sent (for example "
                f"{self._changed_key}). Their results are of the earlier content, and kept; "
                "`batchinfer watch --again-when-changed` sends such files again.",
            )
        self._reported_changed_count = count
        duplicate, self._duplicate = self._duplicate, None
        if duplicate is not None:
            key, first, second = duplicate
            yield Notice(
                "duplicate_key",
                f"The key {key!r} stands for two inputs: {escape_undecodable(first)} was taken, "
                f"{escape_undecodable(second)} is left out. Watch them in two runs.",
            )

    def note_duplicate(self, key: str, first_path: str, second_path: str) -> None:
        """An input has a key that stands for another one."""
        self._duplicate = self._duplicate or (key, first_path, second_path)

    async def ask(self, items: Sequence[Item]) -> Sequence[KnownAnswer]:
        """What is to be done with each of these."""
        known = await self._queue.find_known([item.key for item in items])
        return [self._answer(item, known.get(item.key)) for item in items]

    def _answer(self, item: Item, known: KnownItem | None) -> KnownAnswer:
        if known is None:
            return KnownAnswer.NEW
        if known.files[0].path != item.files[0].path:
            self.note_duplicate(item.key, known.files[0].path, item.files[0].path)
            return KnownAnswer.KNOWN
        if known.state not in {State.SUCCEEDED, State.FAILED} or not self._is_another(item, known):
            return KnownAnswer.KNOWN
        if was_not_sent(known) or self._again_when_changed:
            return KnownAnswer.AGAIN
        self._changed_count, self._changed_key = self._changed_count + 1, item.key
        return KnownAnswer.KNOWN

    def _is_another(self, item: Item, known: KnownItem) -> bool:
        """Whether the input is not what the run knows of it."""
        is_back = known.code == MISSING_FILE and item.files[0].size is not None
        return files_differ(known.files, item.files) or (is_back and was_not_sent(known))


def was_not_sent(known: KnownItem) -> bool:
    """Whether an item failed before anything was sent of it."""
    return known.state is State.FAILED and known.code in UNSENT_CODES
