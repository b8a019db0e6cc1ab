"""Reads MinIO's live notifications: a JSON object per line, and signs of life in between.

An event is only a hint that an object was written. What is wrong, of another bucket, or of another
kind is left out; a store that answers something else offers no notifications.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote_plus

from batchinfer.backends.bucket_client import ListedObject
from batchinfer.domain import Json

MAX_LINE_BYTES: Final = 1 << 20
"""Bytes of a line at most; one event has a thousand."""
CREATED_EVENTS: Final = "s3:ObjectCreated:"
_MAX_OBJECT_BYTES: Final = 1 << 50


class NotificationsUnsupported(OSError):  # noqa: N818 - reads as a fact
    """The store does not offer live notifications, or not to us."""


class MalformedNotification(OSError):  # noqa: N818 - reads as a fact
    """What came on a stream of notifications is none."""


class NotificationParser:
    """Reads one stream of notifications of the bucket `bucket`, in pieces as they come."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._line = bytearray()
        """What came of the line that is not complete."""

    def feed(self, data: bytes) -> Sequence[ListedObject]:
        """The objects that were written, as events tell it, in their order; often none.

        Raises NotificationsUnsupported, MalformedNotification.
        """
        line, searched = self._line, len(self._line)
        line += data
        written: list[ListedObject] = []
        while (end := line.find(b"\n", searched)) >= 0:
            written += self._parse_line(bytes(line[:end]).strip())
            del line[: end + 1]
            searched = 0
        if line[:1].isspace():  # a sign of life is a blank, and no line
            del line[: len(line) - len(line.lstrip())]
        if line[:1] == b"<":
            raise NotificationsUnsupported("the store answers with a document")
        if len(line) > MAX_LINE_BYTES:
            raise MalformedNotification("a line of the notifications does not end")
        return written

    def _parse_line(self, line: bytes) -> Iterator[ListedObject]:
        if not line:
            return
        if line.startswith(b"<"):
            raise NotificationsUnsupported("the store answers with a document")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise MalformedNotification("a line of the notifications is no JSON") from None
        records = message.get("Records") if isinstance(message, dict) else None
        for record in records if isinstance(records, list) else ():
            if (entry := self._parse_record(record)) is not None:
                yield entry

    def _parse_record(self, record: Json) -> ListedObject | None:
        match record:
            case {
                "eventName": str(event),
                "s3": {"bucket": {"name": self._bucket}, "object": {"key": str(key), **about}},
            } if event.startswith(CREATED_EVENTS):
                # MinIO leaves out the size of an empty object.
                size = about.get("size", 0)
            case _:
                return None
        if type(size) is not int or not 0 <= size <= _MAX_OBJECT_BYTES:
            return None
        return ListedObject(unquote_plus(key), size)
