"""Two buckets as one: a service that takes its inputs from one, and writes its outputs to another.

A key says by how it begins which bucket it is of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from batchinfer.backends.bucket_client import ListingPage
from batchinfer.backends.loaded_payload import PayloadBody
from batchinfer.backends.notification_listener import NotificationStream, NotifiedBucketClient
from batchinfer.domain import Failure


@asynccontextmanager
async def open_split_bucket(
    inputs: AbstractAsyncContextManager[NotifiedBucketClient],
    outputs: AbstractAsyncContextManager[NotifiedBucketClient],
    outputs_prefix: str,
) -> AsyncIterator[NotifiedBucketClient]:
    """`inputs`, but for keys that begin with `outputs_prefix`, which are of `outputs`."""
    async with inputs as input_bucket, outputs as output_bucket:
        yield SplitBucket(input_bucket, output_bucket, outputs_prefix)


class SplitBucket:
    """See `open_split_bucket`, and `BucketClient`."""

    def __init__(
        self, inputs: NotifiedBucketClient, outputs: NotifiedBucketClient, outputs_prefix: str
    ) -> None:
        self._inputs, self._outputs, self._outputs_prefix = inputs, outputs, outputs_prefix

    async def put(
        self, key: str, body: PayloadBody, *, sha256: str | None = None
    ) -> Failure | None:
        """See BucketClient."""
        return await self._find(key).put(key, body, sha256=sha256)

    async def exists(self, key: str) -> bool:
        """See BucketClient."""
        return await self._find(key).exists(key)

    async def get(self, key: str, max_bytes: int | None = None) -> bytes | None:
        """See BucketClient."""
        return await self._find(key).get(key, max_bytes)

    async def delete(self, key: str) -> None:
        """See BucketClient."""
        await self._find(key).delete(key)

    async def list_page(
        self, prefix: str, *, start_after: str = "", token: str | None = None
    ) -> ListingPage:
        """See BucketClient; `prefix` is of one of the two."""
        return await self._find(prefix).list_page(prefix, start_after=start_after, token=token)

    def open_notifications(self, prefix: str) -> AbstractAsyncContextManager[NotificationStream]:
        """See NotificationSource."""
        return self._find(prefix).open_notifications(prefix)

    def _find(self, key: str) -> NotifiedBucketClient:
        return self._outputs if key.startswith(self._outputs_prefix) else self._inputs
