"""What a store's answers must be, before anybody believes what botocore reads in them.

botocore reads a web page that happens to be XML as an empty listing, and stops with a KeyError or
ValueError at what lacks a field. A proxy, a login page or a broken store is trouble of the store:
`InvalidS3Response`, never a fact about objects.
"""

from __future__ import annotations

import re
from typing import Any, Final

import anyio

from batchinfer.backends.bucket_client import (
    InvalidS3Response,
    ListedObject,
    ListingPage,
    ObjectTooLarge,
)
from batchinfer.backends.s3_calls import (
    MIN_DOWNLOAD_BYTES_PER_SECOND,
    SUCCESS_STATUSES,
    reject_web_page,
)
from batchinfer.backends.s3_xml import NO_LISTING

RESPONSE_PARSE_ERRORS: Final = (KeyError, TypeError, ValueError, AttributeError)
"""What botocore raises on fields that are missing, or hold something else."""

_LIST_OPERATION: Final = "ListObjectsV2"
_XML_ROOT_ELEMENT: Final = re.compile(
    rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:\w+:)?(\w+)", re.DOTALL
)
_DOWNLOAD_CHUNK_BYTES: Final = 1 << 16


def reject_web_pages(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Raise InvalidAnswer where a page stands in place of an answer of S3. botocore calls it."""
    status, body = response_dict["status_code"], response_dict["body"]
    if status not in SUCCESS_STATUSES:
        return
    try:
        reject_web_page(status, response_dict["headers"].get("Content-Type"))
    except InvalidS3Response:
        if hasattr(body, "close"):
            body.close()
        raise
    if operation_model.name == _LIST_OPERATION:
        root = _XML_ROOT_ELEMENT.match(body[:_DOWNLOAD_CHUNK_BYTES].lstrip())
        if root is None or root[1] != b"ListBucketResult":
            raise InvalidS3Response(NO_LISTING)


def parse_listing_page(answer: dict[str, Any]) -> ListingPage:
    """A listing as botocore read it. Raises InvalidAnswer where fields are missing."""
    objects = []
    for each in answer.get("Contents", ()):
        key, size, at = each.get("Key"), each.get("Size"), each.get("LastModified")
        if key is None or size is None:
            missing = "Key" if key is None else "Size"
            raise InvalidS3Response(f"its listing has an object without {missing}")
        objects.append(ListedObject(key, size, None if at is None else at.timestamp()))
    token = answer.get("NextContinuationToken") or None
    if answer.get("IsTruncated") and token is None:
        raise InvalidS3Response("its listing breaks off without NextContinuationToken")
    return ListingPage(objects, token if answer.get("IsTruncated") else None)


async def read_object_body(
    stream: Any, size: int | None, max_bytes: int | None, seconds: float
) -> bytes:
    """The bytes of an object of `size`, at most `max_bytes` of them, within time.

    Raises ObjectTooLarge, and TimeoutError when they take longer than `seconds` and `SLOWEST`
    allow.
    """
    if max_bytes is not None and size is not None and size > max_bytes:
        stream.close()
        raise ObjectTooLarge(size)
    with anyio.fail_after(seconds + (size or 0) / MIN_DOWNLOAD_BYTES_PER_SECOND):
        if size is not None:
            return bytes(await stream.read())
        chunks, received = [], 0
        while chunk := await stream.read(_DOWNLOAD_CHUNK_BYTES):
            received += len(chunk)
            if max_bytes is not None and received > max_bytes:
                stream.close()
                raise ObjectTooLarge(received)
            chunks.append(chunk)
        return b"".join(chunks)
