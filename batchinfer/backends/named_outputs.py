"""Outputs that notifications have named, until they are looked at. Pure, of bounded size.

The two outputs of an attempt are written one shortly after the other. So an attempt is due at once
when both are named, and a moment later when one is: most often the other is named by then, and both
are read once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from batchinfer.backends.bucket_client import ListedObject

SECOND_OUTPUT_DELAY: Final = 0.1
"""Seconds that the second output of an attempt is waited for before the first is looked at."""
FIRST_POSTPONEMENT: Final = 0.1
MAX_POSTPONEMENTS: Final = 6
"""How often, and for how many seconds at first (then doubled), an attempt is put off whose
submission is not on record yet: the service may be quicker than our commit."""
MAX_NAMED_ATTEMPTS: Final = 10_000
MAX_DUE_ATTEMPTS: Final = 256
"""Attempts that are handed over at a time."""


@dataclass(slots=True)
class _NamedAttempt:
    """The outputs of an attempt that were named."""

    objects: dict[str, ListedObject] = field(default_factory=dict)
    """By key."""
    due_at: float | None = None
    """When it is to be looked at; None: when another output of it is named."""
    postponements: int = 0


class NamedOutputs:
    """Named outputs by attempt; an attempt is known by the base name of its objects."""

    def __init__(self) -> None:
        self._attempts: dict[str, _NamedAttempt] = {}
        self._due: list[tuple[float, str]] = []
        """A heap; an entry that is not its attempt's `due_at` is out of date."""
        self._undecided: set[str] = set()
        """Attempts that are not due: they were looked at."""

    def __len__(self) -> int:
        return len(self._attempts)

    def __contains__(self, base_name: str) -> bool:
        return base_name in self._attempts

    def add(self, base_name: str, entry: ListedObject, now: float) -> bool:
        """An output was named; whether there was room for it. `now`: by any steady clock."""
        named = self._attempts.get(base_name)
        if named is None:
            if len(self._attempts) >= MAX_NAMED_ATTEMPTS:
                return False
            named = self._attempts[base_name] = _NamedAttempt()
        if named.objects.get(entry.key) != entry:  # else told twice
            named.objects[entry.key] = entry
            is_whole = len(named.objects) > 1
            self._set_due(base_name, named, now + (0.0 if is_whole else SECOND_OUTPUT_DELAY))
        return True

    @property
    def next_due_at(self) -> float | None:
        """When the next attempt is due; None: none is."""
        while self._due:
            due_at, base_name = self._due[0]
            named = self._attempts.get(base_name)
            if named is not None and named.due_at == due_at:
                return due_at
            heappop(self._due)
        return None

    def take_due(self, now: float) -> Sequence[Collection[ListedObject]]:
        """The outputs of the attempts that are due, some at a time. They stay known."""
        taken: list[Collection[ListedObject]] = []
        while len(taken) < MAX_DUE_ATTEMPTS:
            due_at = self.next_due_at
            if due_at is None or due_at > now:
                break
            _, base_name = heappop(self._due)
            named = self._attempts[base_name]
            named.due_at = None
            self._undecided.add(base_name)
            taken.append(sorted(named.objects.values(), key=lambda entry: entry.key))
        return taken

    def postpone(self, base_name: str, now: float) -> None:
        """Nothing is known of an attempt yet: look again a little later, but not for ever."""
        named = self._attempts.get(base_name)
        if named is None:
            return
        if named.postponements >= MAX_POSTPONEMENTS:
            self.forget(base_name)
            return
        self._set_due(base_name, named, now + FIRST_POSTPONEMENT * 2**named.postponements)
        named.postponements += 1

    def has_all(self, base_name: str, entries: Collection[ListedObject]) -> bool:
        """Whether each of these outputs of an attempt was named."""
        named = self._attempts.get(base_name)
        return named is not None and all(entry.key in named.objects for entry in entries)

    def forget(self, base_name: str) -> None:
        """What is to be known of an attempt is known."""
        self._attempts.pop(base_name, None)
        self._undecided.discard(base_name)

    def forget_settled(self, open_names: Collection[str]) -> None:
        """Forget what was looked at and is none of the attempts that are open."""
        for base_name in self._undecided.difference(open_names):
            self.forget(base_name)

    def has_undecided(self) -> bool:
        """Whether there are attempts that were looked at, and could not be decided."""
        return bool(self._undecided)

    def _set_due(self, base_name: str, named: _NamedAttempt, due_at: float) -> None:
        if named.due_at is None or due_at < named.due_at:
            named.due_at = due_at
            self._undecided.discard(base_name)
            heappush(self._due, (due_at, base_name))
