"""What async mode asks of a bucket: five verbs, and a bucket in memory that knows them.

`s3.py` carries them to a real one. Both pass the suite in `tests/contracts/test_bucket.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from batchinfer.backends.files import Body
from batchinfer.domain import Failure
from batchinfer.errors import BatchInferError

AT_ONCE: Final = 16
"""Deletions under way at a time."""


class BucketUnreachable(OSError):  # noqa: N818 - reads as a fact
    """The bucket did not answer for as long as was waited for it; says nothing about any object."""

    shortage: Failure | None = None
    """What this machine lacked, if that was why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object, as a listing shows it."""

    key: str
    size: int
    """Bytes. 0: perhaps one of the markers `inputs/`, `outputs/`."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing, in key order. May be empty, and yet not the last."""

    entries: Sequence[Entry]
    token: str | None = None
    """Asks for the next page; None: this was the last. Good within one look only."""


class Bucket(Protocol):
    """Where the objects of a service are (contract, section 2).

    Every verb waits out a store that restarts, then raises BucketUnreachable. It raises FatalError
    when no object can be reached until somebody acts: wrong keys, no such bucket, quota.
    """

    async def put(self, key: str, body: Body) -> Failure | None:
        """Write an object, whole, over one of the same key. None: it is stored.

        Stored once: when a try broke off, the next one begins with a look whether the object is
        there, for each put that is stored starts a prediction (contract, section 2).

        A failure when the store refuses this very object, for its size.
        """

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    async def get(self, key: str) -> bytes | None:
        """The object's bytes; None when there is no such object."""

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is as good as removed."""

    async def page(self, prefix: str, *, start_after: str = "", token: str | None = None) -> Page:
        """A page of the objects whose keys begin with `prefix` and are greater than `start_after`.

        How many it holds is up to the store. `token`: the previous page's, with the same `prefix`.
        """


async def delete_all(bucket: Bucket, keys: Sequence[str]) -> None:
    """Delete objects one by one, some at a time. Raises the first error, alone."""
    limiter, errors = anyio.CapacityLimiter(AT_ONCE), list[Exception]()

    async def delete(key: str) -> None:
        async with limiter:
            if errors:
                return
            try:
                await bucket.delete(key)
            except (OSError, BatchInferError) as error:
                errors.append(error)

    async with anyio.create_task_group() as deleting:
        for key in keys:
            deleting.start_soon(delete, key)
    if errors:
        raise errors[0]


class MemoryBucket:
    """A bucket in memory, for tests. `page_size`: how many entries a page has at most."""

    def __init__(self, *, page_size: int = 1000) -> None:
        self.objects: dict[str, bytes] = {}
        self.trouble: Exception | None = None
        """While set, every verb raises it."""
        self._page_size = page_size

    async def put(self, key: str, body: Body) -> Failure | None:
        """See Bucket."""
        self._answer()
        self.objects[key] = bytes(body)
        return None

    async def exists(self, key: str) -> bool:
        """See Bucket."""
        self._answer()
        return key in self.objects

    async def get(self, key: str) -> bytes | None:
        """See Bucket."""
        self._answer()
        return self.objects.get(key)

    async def delete(self, key: str) -> None:
        """See Bucket."""
        self._answer()
        self.objects.pop(key, None)

    async def page(self, prefix: str, *, start_after: str = "", token: str | None = None) -> Page:
        """See Bucket."""
        self._answer()
        keys = sorted((k for k in self.objects if k.startswith(prefix)), key=str.encode)
        first = bisect_right(keys, max(start_after, token or "").encode(), key=str.encode)
        shown = keys[first : first + self._page_size]
        more = first + self._page_size < len(keys)
        return Page([Entry(k, len(self.objects[k])) for k in shown], shown[-1] if more else None)

    def _answer(self) -> None:
        if self.trouble is not None:
            raise self.trouble
