"""Outputs that DEEPaaS 2.6.0 leaves under names of five random letters, and whose they are.

Two predictions may get the same name: then the later one overwrites the earlier, and one of the two
items would be given the other's output. So an orphan is believed only when

1. it was seen unchanged for `SETTLE` seconds: by then the log of whoever wrote it is there, too;
2. it is not older than the log that names it by more than `FAR` seconds (the service uploads both
   in one go): such a one was left behind by somebody else;
3. no other log names it; or the times prove whose it is: it came within `NEAR` seconds of one log,
   and more than `FAR` seconds from every other.

Else it is nobody's: all whose logs name it are tried again. All times are the store's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final

from batchinfer.backends.objects import Bucket, Entry

SETTLE: Final = 3.0
NEAR: Final = 2.0
FAR: Final = 60.0
REMEMBERED: Final = 10_000
"""Orphans whose logs are remembered: a name that comes twice comes twice within this many."""


class Doubt(Enum):
    """Why there is no orphan to take."""

    ABSENT = "it is not there"
    SETTLING = "it has not been there long enough"
    CONTESTED = "it may be another item's"


@dataclass(slots=True)
class _Name:
    """What is known of one orphan's name."""

    claims: dict[str, float | None]
    """Pairs whose logs name it, and when those logs came."""
    seen: Entry | None = None
    since: float = 0.0
    """The object of that name, and since when it has been like that."""
    given: Entry | None = None
    given_to: str = ""
    """The object that was taken, and by which pair."""


class Orphans:
    """Decides whose an orphan is. Remembers the names that came of late, no more."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._names: OrderedDict[str, _Name] = OrderedDict()
        self._taken: list[str] = []

    def claim(self, key: str, base: str, logged: float | None) -> None:
        """Note that the log of the pair `base`, which came at `logged`, names the orphan `key`."""
        name = self._names.setdefault(key, _Name({}))
        name.claims[base] = logged
        self._names.move_to_end(key)
        while len(self._names) > REMEMBERED:
            self._names.popitem(last=False)

    async def find(self, key: str, base: str, now: float) -> Entry | Doubt:
        """The orphan `key` if it is surely that of the pair `base`, which has claimed it.

        `now`: seconds by any steady clock. Raises as the bucket does.
        """
        name = self._names.get(key)
        # Forgotten since (then the next look claims it again), or just seen.
        if name is None or (name.seen is not None and now - name.since < SETTLE):
            return Doubt.SETTLING
        page = await self._bucket.page(key)
        entry = next((entry for entry in page.entries if entry.key == key), None)
        if entry is None:
            name.seen = None
            return Doubt.ABSENT
        if name.given is not None and _is_same(entry, name.given):
            return entry if base == name.given_to else Doubt.ABSENT  # ours may yet come
        if name.seen is None or not _is_same(entry, name.seen):
            name.seen, name.since = entry, now
        if now - name.since < SETTLE:
            return Doubt.SETTLING
        logged = name.claims[base]
        others = [at for pair, at in name.claims.items() if pair not in {base, name.given_to}]
        if not others:
            return Doubt.ABSENT if _distance(entry, logged, FAR) < -FAR else entry
        return entry if _is_proven(entry, logged, others) else Doubt.CONTESTED

    def is_contested(self, key: str) -> bool:
        """Whether logs of several pairs name it."""
        return key in self._names and len(self._names[key].claims) > 1

    def take(self, key: str, base: str, entry: Entry) -> None:
        """Note that the pair has it now: nobody else gets this object, and `tidy` deletes it."""
        name = self._names.setdefault(key, _Name({}))
        name.given, name.given_to = entry, base
        self._taken.append(key)

    async def tidy(self) -> None:
        """Delete what was taken, unless there is another object by now. Raises as the bucket."""
        while self._taken:
            key = self._taken[-1]
            page = await self._bucket.page(key)
            there = next((entry for entry in page.entries if entry.key == key), None)
            given = self._names[key].given if key in self._names else None
            if there is not None and given is not None and _is_same(there, given):
                await self._bucket.delete(key)
            self._taken.pop()


def _is_same(one: Entry, other: Entry) -> bool:
    return (one.size, one.modified) == (other.size, other.modified)


def _is_proven(entry: Entry, logged: float | None, others: Collection[float | None]) -> bool:
    return abs(_distance(entry, logged, FAR)) <= NEAR and all(
        abs(_distance(entry, other, 0.0)) > FAR for other in others
    )


def _distance(entry: Entry, logged: float | None, unknown: float) -> float:
    """Seconds that the orphan came after a log; `unknown` when the store does not tell."""
    return unknown if entry.modified is None or logged is None else entry.modified - logged
