"""MinIO's live notifications of a bucket: `GET /<bucket>?events=...`, an answer without an end.

Other stores answer with a listing, or refuse. MinIO sends a sign of life every `PING_SECONDS`, and
its status line only with the first of them or with an event; releases before 2023 send blanks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from batchinfer.backends.bucket_client import ListedObject
from batchinfer.backends.notification_parser import (
    CREATED_EVENTS,
    NotificationParser,
    NotificationsUnsupported,
)
from batchinfer.backends.s3_calls import ResponseStream, S3Calls, S3ErrorResponse

PING_SECONDS: Final = 5
_PASSING_STATUSES: Final = frozenset({408, 429})
_FIRST_SERVER_ERROR: Final = 500
_NOT_IMPLEMENTED: Final = 501


class S3NotificationStream:
    """See `NotificationStream`."""

    def __init__(self, stream: ResponseStream, bucket: str) -> None:
        self._stream, self._parser = stream, NotificationParser(bucket)

    async def fetch_written(self) -> Sequence[ListedObject]:
        """See NotificationStream."""
        data = await self._stream.read_some()
        if not data:
            raise ConnectionError("the stream of notifications has ended")
        return self._parser.feed(data)


@asynccontextmanager
async def open_s3_notifications(
    calls: S3Calls, bucket: str, prefix: str
) -> AsyncIterator[S3NotificationStream]:
    """See `NotificationSource.open_notifications`."""
    query = {"events": f"{CREATED_EVENTS}*", "ping": str(PING_SECONDS), "prefix": prefix}
    try:
        async with calls.open_stream(query) as stream:
            yield S3NotificationStream(stream, bucket)
    except S3ErrorResponse as error:
        if _is_passing(error.status):
            raise ConnectionError(f"the store answered {error.status}") from None
        raise NotificationsUnsupported(f"the store answered {error.status}") from None


def _is_passing(status: int) -> bool:
    """Whether a refusal says nothing about another try."""
    is_server_error = status >= _FIRST_SERVER_ERROR and status != _NOT_IMPLEMENTED
    return is_server_error or status in _PASSING_STATUSES
