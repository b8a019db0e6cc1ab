"""The bucket as async mode uses it: five verbs and a listing; and a bucket in memory for tests.

`s3.py` implements them for a real one. Both pass the suite in `tests/contracts/test_bucket.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import anyio

from batchinfer.backends.loaded_payload import PayloadBody
from batchinfer.domain import Failure
from batchinfer.errors import BatchInferError

T = TypeVar("T")

MAX_CONCURRENT_DELETES: Final = 16
"""Deletions under way at a time."""
MAX_EMPTY_PAGES: Final = 1_000
"""Pages without any object that a listing may have in a row."""


class BucketUnreachable(OSError):  # noqa: N818 - reads as a fact
    """The bucket did not answer in time; that says nothing about any object."""

    shortage: Failure | None = None
    """What this machine lacked, if that was why."""


class InvalidS3Response(OSError):  # noqa: N818 - reads as a fact
    """The store answered what no S3 store does; says nothing about any object."""


class ObjectTooLarge(Exception):  # noqa: N818 - reads as a fact
    """An object has more bytes than were to be read."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size
        """Bytes it has at least."""


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object, as a listing shows it."""

    key: str
    size: int
    """Bytes. 0: perhaps one of the markers `inputs/`, `outputs/`."""
    last_modified: float | None = field(default=None, compare=False)
    """When it was put, in seconds since the epoch by the store's clock, often whole ones; None: the
    store does not say."""
    etag: str | None = field(default=None, compare=False)
    """As the store writes it; None: not asked for, or not known."""


@dataclass(frozen=True, slots=True)
class ListingPage:
    """A part of a listing, in key order. May be empty, and yet not the last."""

    objects: Sequence[ListedObject]
    continuation_token: str | None = None
    """Asks for the next page; None: this was the last. Valid within one listing only."""


class BucketClient(Protocol):
    """Where the objects of a service are (docs/platform.md).

    Every verb waits out a store that restarts, then raises BucketUnreachable. It raises FatalError
    when no object can be reached until somebody acts: wrong keys, no such bucket, quota.
    """

    async def put(
        self, key: str, body: PayloadBody, *, sha256: str | None = None
    ) -> Failure | None:
        """Write an object, whole, over one of the same key. None: it is stored.

        `sha256`: the body's, in hexadecimal, when it is known.

        Each put that is stored starts a prediction (docs/platform.md, "Input events"), so it is
        stored once: when a try broke off, the next one first checks whether the object is there.

        A failure when the store refuses this very object, for its size.
        """

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""

    async def get(self, key: str, max_bytes: int | None = None) -> bytes | None:
        """The object's bytes; None when there is no such object.

        Raises ObjectTooLarge when it has more than `max_bytes` bytes; no more of them are read.
        """

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is as good as removed."""

    async def list_page(
        self, prefix: str, *, start_after: str = "", token: str | None = None
    ) -> ListingPage:
        """List a page of objects whose keys begin with `prefix` and come after `start_after`.

        How many it holds is up to the store. `token`: the previous page's, with the same `prefix`.
        """


class Listing:
    """All objects whose keys begin with `prefix` and are greater than `start_after`, by pages.

    It advances, or ends: a store that lists in circles raises InvalidS3Response.
    """

    def __init__(self, bucket: BucketClient, prefix: str, *, start_after: str = "") -> None:
        self._bucket, self._prefix, self._start_after = bucket, prefix, start_after
        self._continuation_token: str | None = None
        self._has_more = True
        self._last_key, self._empty_pages = b"", 0

    def has_more(self) -> bool:
        """Whether there is another page to read."""
        return self._has_more

    async def next_page(self) -> Sequence[ListedObject]:
        """The next page; may be empty. Raises as the bucket does."""
        page = await self._bucket.list_page(
            self._prefix, start_after=self._start_after, token=self._continuation_token
        )
        self._has_more = page.continuation_token is not None
        if self._has_more:
            self._check_progress(page)
        self._continuation_token = page.continuation_token
        return page.objects

    def restart_after_last_key(self) -> None:
        """Ask for the next page by the last key: a token need not survive what was deleted."""
        if self._last_key:
            self._start_after, self._continuation_token = self._last_key.decode(), None

    def _check_progress(self, page: ListingPage) -> None:
        last = page.objects[-1].key.encode() if page.objects else b""
        self._empty_pages = 0 if page.objects else self._empty_pages + 1
        if last > self._last_key:
            self._last_key = last
        elif (
            page.objects
            or page.continuation_token == self._continuation_token
            or self._empty_pages > MAX_EMPTY_PAGES
        ):
            raise InvalidS3Response(
                f"the store's listing of {self._prefix} does not advance: it shows the same page "
                "again and again. Try again later, or ask who runs the store"
            )


async def delete_keys(bucket: BucketClient, keys: Sequence[str]) -> None:
    """Delete objects one by one, some at a time. Raises the first error, alone."""
    await for_each(keys, bucket.delete, max_concurrent=MAX_CONCURRENT_DELETES)


async def for_each(
    items: Sequence[T], process: Callable[[T], Awaitable[None]], *, max_concurrent: int
) -> None:
    """Process items in their order, some at a time. Raises the first error, alone.

    After an error, no other item is begun. A few tasks take item after item: a task of its own for
    each would cost as much as some of the calls.
    """
    remaining, errors = iter(items), list[Exception]()

    async def process_some() -> None:
        for item in remaining:
            try:
                await process(item)
            except (OSError, BatchInferError) as error:
                errors.append(error)
            if errors:
                return

    async with anyio.create_task_group() as task_group:
        for _ in range(min(max_concurrent, len(items))):
            task_group.start_soon(process_some)
    if errors:
        raise errors[0]


class MemoryBucket:
    """A bucket in memory, for tests. `page_size`: how many entries a page has at most."""

    def __init__(self, *, page_size: int = 1000) -> None:
        self.objects: dict[str, bytes] = {}
        self.last_modified: dict[str, float] = {}
        """When objects were put, where that is known."""
        self.error: Exception | None = None
        """While set, every verb raises it."""
        self._page_size = page_size

    async def put(
        self,
        key: str,
        body: PayloadBody,
        *,
        sha256: str | None = None,  # noqa: ARG002 - see there
    ) -> Failure | None:
        """See BucketClient."""
        self._raise_error()
        self.objects[key] = bytes(body)
        return None

    async def exists(self, key: str) -> bool:
        """See BucketClient."""
        self._raise_error()
        return key in self.objects

    async def get(self, key: str, max_bytes: int | None = None) -> bytes | None:
        """See BucketClient."""
        self._raise_error()
        body = self.objects.get(key)
        if body is not None and max_bytes is not None and len(body) > max_bytes:
            raise ObjectTooLarge(len(body))
        return body

    async def delete(self, key: str) -> None:
        """See BucketClient."""
        self._raise_error()
        self.objects.pop(key, None)

    async def list_page(
        self, prefix: str, *, start_after: str = "", token: str | None = None
    ) -> ListingPage:
        """See BucketClient."""
        self._raise_error()
        keys = sorted((k for k in self.objects if k.startswith(prefix)), key=str.encode)
        first = bisect_right(keys, max(start_after, token or "").encode(), key=str.encode)
        page_keys = keys[first : first + self._page_size]
        has_more = first + self._page_size < len(keys)
        entries = [
            ListedObject(k, len(self.objects[k]), self.last_modified.get(k)) for k in page_keys
        ]
        return ListingPage(entries, page_keys[-1] if has_more else None)

    def _raise_error(self) -> None:
        if self.error is not None:
            raise self.error
