"""Orphans: outputs that a service leaves under short random names, and whose they are.

DEEPaaS 2.6.0 names all its outputs like that. Two predictions may get the same name: then the later
one overwrites the earlier, and one of the two items would be given the other's output. So an orphan
is taken only when

1. it was seen unchanged for `ORPHAN_SETTLE_SECONDS` seconds: by then the log of the prediction that
   wrote it is there, too;
2. it is not older than the log that names it by more than `ORPHAN_FAR_SECONDS` seconds (the service
   uploads both together): such a one was left behind by another prediction;
3. no other log names it; or the times prove whose it is: it came within `ORPHAN_NEAR_SECONDS`
   seconds of one log, and more than `ORPHAN_FAR_SECONDS` seconds from every other.

Else it is nobody's: all items whose logs name it are tried again. All times are the store's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final

from batchinfer.backends.bucket_client import BucketClient, ListedObject

ORPHAN_SETTLE_SECONDS: Final = 3.0
ORPHAN_NEAR_SECONDS: Final = 2.0
ORPHAN_FAR_SECONDS: Final = 60.0
MAX_REMEMBERED_ORPHANS: Final = 10_000
"""Orphans whose logs are remembered: a name that comes twice comes twice within this many."""


class UnresolvedReason(Enum):
    """Why there is no orphan to take."""

    MISSING = "it is not there"
    SETTLING = "it has not been there long enough"
    AMBIGUOUS = "it may be another item's"


@dataclass(slots=True)
class _OrphanRecord:
    """What is known of one orphan's name."""

    claims: dict[str, float | None]
    """Pairs whose logs name it, and when those logs came."""
    last_seen: ListedObject | None = None
    unchanged_since: float = 0.0
    """The object of that name, and since when it has been like that."""
    taken: ListedObject | None = None
    taken_by: str = ""
    """The object that was taken, and by which pair."""


class OrphanResolver:
    """Decides whose an orphan is. Remembers only the names that came recently."""

    def __init__(self, bucket: BucketClient) -> None:
        self._bucket = bucket
        self._records: OrderedDict[str, _OrphanRecord] = OrderedDict()
        self._taken_keys: list[str] = []

    def claim(self, key: str, pair_name: str, logged_at: float | None) -> None:
        """Note that the log of the pair `pair_name`, put at `logged_at`, names the orphan `key`."""
        record = self._records.setdefault(key, _OrphanRecord({}))
        record.claims[pair_name] = logged_at
        self._records.move_to_end(key)
        while len(self._records) > MAX_REMEMBERED_ORPHANS:
            self._records.popitem(last=False)

    async def resolve(
        self, key: str, pair_name: str, now: float
    ) -> ListedObject | UnresolvedReason:
        """The orphan `key` if it surely belongs to the pair `pair_name`, which has claimed it.

        `now`: seconds by any steady clock. Raises as the bucket does.
        """
        record = self._records.get(key)
        # Forgotten since (then the next poll claims it again), or just seen.
        if record is None or (
            record.last_seen is not None and now - record.unchanged_since < ORPHAN_SETTLE_SECONDS
        ):
            return UnresolvedReason.SETTLING
        page = await self._bucket.list_page(key)
        listed = next((entry for entry in page.objects if entry.key == key), None)
        if listed is None:
            record.last_seen = None
            return UnresolvedReason.MISSING
        if record.taken is not None and _is_same_object(listed, record.taken):
            return (
                listed if pair_name == record.taken_by else UnresolvedReason.MISSING
            )  # ours may yet come
        if record.last_seen is None or not _is_same_object(listed, record.last_seen):
            record.last_seen, record.unchanged_since = listed, now
        if now - record.unchanged_since < ORPHAN_SETTLE_SECONDS:
            return UnresolvedReason.SETTLING
        logged_at = record.claims[pair_name]
        others = [
            at for pair, at in record.claims.items() if pair not in {pair_name, record.taken_by}
        ]
        if not others:
            return (
                UnresolvedReason.MISSING
                if _seconds_after_log(listed, logged_at, ORPHAN_FAR_SECONDS) < -ORPHAN_FAR_SECONDS
                else listed
            )
        return listed if _is_proven(listed, logged_at, others) else UnresolvedReason.AMBIGUOUS

    def is_contested(self, key: str) -> bool:
        """Whether logs of several pairs name it."""
        return key in self._records and len(self._records[key].claims) > 1

    def mark_taken(self, key: str, pair_name: str, listed: ListedObject) -> None:
        """Note that the pair has it now; `delete_taken` deletes it, no other pair gets it."""
        record = self._records.setdefault(key, _OrphanRecord({}))
        record.taken, record.taken_by = listed, pair_name
        self._taken_keys.append(key)

    async def delete_taken(self) -> None:
        """Delete what was taken, unless there is another object by now. Raises as the bucket."""
        while self._taken_keys:
            key = self._taken_keys[-1]
            page = await self._bucket.list_page(key)
            current = next((entry for entry in page.objects if entry.key == key), None)
            taken = self._records[key].taken if key in self._records else None
            if current is not None and taken is not None and _is_same_object(current, taken):
                await self._bucket.delete(key)
            self._taken_keys.pop()


def _is_same_object(one: ListedObject, other: ListedObject) -> bool:
    return (one.size, one.last_modified) == (other.size, other.last_modified)


def _is_proven(
    orphan: ListedObject, logged_at: float | None, other_logged_at: Collection[float | None]
) -> bool:
    return abs(
        _seconds_after_log(orphan, logged_at, ORPHAN_FAR_SECONDS)
    ) <= ORPHAN_NEAR_SECONDS and all(
        abs(_seconds_after_log(orphan, other, 0.0)) > ORPHAN_FAR_SECONDS
        for other in other_logged_at
    )


def _seconds_after_log(orphan: ListedObject, logged_at: float | None, default: float) -> float:
    """Seconds that the orphan came after a log; `default` when the store does not say."""
    return (
        default
        if orphan.last_modified is None or logged_at is None
        else orphan.last_modified - logged_at
    )
