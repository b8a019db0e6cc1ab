"""What a store's answers must be, before anybody believes them.

botocore reads a web page that happens to be XML as an empty listing, and stops with a KeyError or
ValueError at what lacks a field. A proxy, a login page or a broken store is trouble of the store:
`InvalidAnswer`, never a fact about objects.
"""

from __future__ import annotations

import re
from typing import Any, Final

import anyio

from batchinfer.backends.objects import Entry, InvalidAnswer, ObjectTooLarge, Page

NO_S3: Final = "its answer cannot be read"
UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError)
"""What botocore raises on fields that are missing, or hold something else."""
SLOWEST: Final = 10_000
"""Bytes per second below which an object is not read to its end."""

_LISTING: Final = "ListObjectsV2"
_ROOT: Final = re.compile(rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:\w+:)?(\w+)", re.DOTALL)
_OK: Final = range(200, 300)
_PIECE: Final = 1 << 16


def refuse_pages(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Raise InvalidAnswer where a page stands in place of an answer of S3. botocore calls it."""
    if response_dict["status_code"] not in _OK:
        return
    body, kind = response_dict["body"], response_dict["headers"].get("Content-Type") or ""
    if kind.lower().startswith("text/html"):
        if hasattr(body, "close"):
            body.close()
        raise InvalidAnswer("it answers with a web page (text/html)")
    if operation_model.name == _LISTING:
        root = _ROOT.match(body[:_PIECE].lstrip())
        if root is None or root[1] != b"ListBucketResult":
            raise InvalidAnswer("its listing is none (no ListBucketResult)")


def page_of(answer: dict[str, Any]) -> Page:
    """A listing as botocore read it. Raises InvalidAnswer where fields are missing."""
    entries = []
    for each in answer.get("Contents", ()):
        key, size, at = each.get("Key"), each.get("Size"), each.get("LastModified")
        if key is None or size is None:
            missing = "Key" if key is None else "Size"
            raise InvalidAnswer(f"its listing has an object without {missing}")
        entries.append(Entry(key, size, None if at is None else at.timestamp()))
    token = answer.get("NextContinuationToken") or None
    if answer.get("IsTruncated") and token is None:
        raise InvalidAnswer("its listing breaks off without NextContinuationToken")
    return Page(entries, token if answer.get("IsTruncated") else None)


async def read(stream: Any, size: int | None, limit: int | None, seconds: float) -> bytes:
    """The bytes of an object of `size`, at most `limit` of them, within time.

    Raises ObjectTooLarge, and TimeoutError when they take longer than `seconds` and `SLOWEST`
    allow.
    """
    if limit is not None and size is not None and size > limit:
        stream.close()
        raise ObjectTooLarge(size)
    with anyio.fail_after(seconds + (size or 0) / SLOWEST):
        if size is not None:
            return bytes(await stream.read())
        pieces, read = [], 0
        while piece := await stream.read(_PIECE):
            read += len(piece)
            if limit is not None and read > limit:
                stream.close()
                raise ObjectTooLarge(read)
            pieces.append(piece)
        return b"".join(pieces)
