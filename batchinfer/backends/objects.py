"""What async mode asks of a bucket: five verbs, a listing, and a bucket in memory that knows them.

`s3.py` carries them to a real one. Both pass the suite in `tests/contracts/test_bucket.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import anyio

from batchinfer.backends.files import Body
from batchinfer.domain import Failure
from batchinfer.errors import BatchInferError

AT_ONCE: Final = 16
"""Deletions under way at a time."""
EMPTY_PAGES: Final = 1_000
"""Pages without any object that a listing may have in a row."""


class BucketUnreachable(OSError):  # noqa: N818 - reads as a fact
    """The bucket did not answer for as long as was waited for it; says nothing about any object."""

    shortage: Failure | None = None
    """What this machine lacked, if that was why."""


class InvalidAnswer(OSError):  # noqa: N818 - reads as a fact
    """The store answered what no S3 store does; says nothing about any object."""


class ObjectTooLarge(Exception):  # noqa: N818 - reads as a fact
    """An object has more bytes than were to be read."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size
        """Bytes it has at least."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object, as a listing shows it."""

    key: str
    size: int
    """Bytes. 0: perhaps one of the markers `inputs/`, `outputs/`."""
    modified: float | None = field(default=None, compare=False)
    """When it was put, in seconds since the epoch by the store's clock, often whole ones; None: the
    store does not tell."""


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

    async def get(self, key: str, limit: int | None = None) -> bytes | None:
        """The object's bytes; None when there is no such object.

        Raises ObjectTooLarge when it has more than `limit` bytes, of which no more are then read.
        """

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is as good as removed."""

    async def page(self, prefix: str, *, start_after: str = "", token: str | None = None) -> Page:
        """A page of the objects whose keys begin with `prefix` and are greater than `start_after`.

        How many it holds is up to the store. `token`: the previous page's, with the same `prefix`.
        """


class Listing:
    """All objects whose keys begin with `prefix` and are greater than `start_after`, page by page.

    It advances, or ends: a store that lists in circles is an InvalidAnswer.
    """

    def __init__(self, bucket: Bucket, prefix: str, *, start_after: str = "") -> None:
        self._bucket, self._prefix, self._start = bucket, prefix, start_after
        self._token: str | None = None
        self._more = True
        self._last, self._empty = b"", 0

    def has_more(self) -> bool:
        """Whether there is another page to read."""
        return self._more

    async def page(self) -> Sequence[Entry]:
        """The next page; may be empty. Raises as the bucket does."""
        page = await self._bucket.page(self._prefix, start_after=self._start, token=self._token)
        self._more = page.token is not None
        if self._more:
            self._check(page)
        self._token = page.token
        return page.entries

    def restart(self) -> None:
        """Ask for the next page by the last key: a token need not survive what was deleted."""
        if self._last:
            self._start, self._token = self._last.decode(), None

    def _check(self, page: Page) -> None:
        last = page.entries[-1].key.encode() if page.entries else b""
        self._empty = 0 if page.entries else self._empty + 1
        if last > self._last:
            self._last = last
        elif page.entries or page.token == self._token or self._empty > EMPTY_PAGES:
            raise InvalidAnswer(
                f"the store's listing of {self._prefix} does not advance: it shows the same page "
                "again and again. Try again later, or ask who runs the store"
            )


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
        self.modified: dict[str, float] = {}
        """When objects were put, where that is known."""
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

    async def get(self, key: str, limit: int | None = None) -> bytes | None:
        """See Bucket."""
        self._answer()
        body = self.objects.get(key)
        if body is not None and limit is not None and len(body) > limit:
            raise ObjectTooLarge(len(body))
        return body

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
        entries = [Entry(k, len(self.objects[k]), self.modified.get(k)) for k in shown]
        return Page(entries, shown[-1] if more else None)

    def _answer(self) -> None:
        if self.trouble is not None:
            raise self.trouble
