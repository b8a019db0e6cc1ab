"""S3's operations on one bucket, each tried once; what may go wrong with them.

Two modules implement them: `s3_direct.py`, which is fast, and `s3_botocore.py`, which goes
everywhere. When to try again, and what an error means for a run, is decided in `s3.py` for both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from batchinfer._version import __version__
from batchinfer.backends.bucket_client import InvalidS3Response, ListingPage
from batchinfer.backends.loaded_payload import PayloadBody

S3_USER_AGENT: Final = f"batchinfer/{__version__}"
"""Said to the store in place of botocore's, which holds `AWS_EXECUTION_ENV`."""
S3_CONNECT_TIMEOUT: Final = 10.0
"""Seconds until a connection is there."""
VALID_REGION: Final = re.compile(r"(?![0-9]+$)(?!-)[a-zA-Z0-9-]{0,63}(?<!-)")
"""botocore's rule: what can stand in a signature's scope."""
SUCCESS_STATUSES: Final = range(200, 300)
_NO_CONTENT: Final = 204
MIN_DOWNLOAD_BYTES_PER_SECOND: Final = 10_000
"""Bytes per second below which an object is not read to its end."""
STREAM_SILENCE_TIMEOUT: Final = 20.0
"""Seconds without a byte after which a stream is dead, and in which one has to begin."""
RESPONSE_READ_TIMEOUTS: Final = 4
"""How many `read_timeout`s a whole answer may take, however steadily it drips."""


def reject_web_page(status: int, content_type: str | None) -> None:
    """Raise InvalidS3Response for a success that is a web page. 204 is none, whatever it says."""
    if status != _NO_CONTENT and (content_type or "").lower().startswith("text/html"):
        raise InvalidS3Response("it answers with a web page (text/html)")


class S3ErrorResponse(Exception):  # noqa: N818 - the store's answer, not ours
    """The store has refused a call."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        """S3's code for it; where the answer has no body, its status."""
        self.status = status


class S3ConnectionError(OSError):
    """There was no whole answer. `os_error`: what a library, the system or TLS said of it."""

    def __init__(self, os_error: BaseException) -> None:
        super().__init__(getattr(os_error, "strerror", None) or type(os_error).__name__)
        self.os_error = os_error


class ResponseStream(Protocol):
    """The body of an answer that may have no end."""

    async def read_some(self) -> bytes:
        """What came next; b"" at the end. Raises OSError, too, after `STREAM_SILENCE_TIMEOUT`."""


class S3Calls(Protocol):
    """S3's operations on one bucket, each tried once.

    They raise S3ErrorResponse when the store refuses, InvalidS3Response when no S3 store answers
    like that, and any other OSError when there was no whole answer in time.
    """

    async def put_object(self, key: str, body: PayloadBody, sha256: str | None) -> None:
        """Write an object. Whether an error means that it was not stored, nobody knows.

        `sha256`: see `BucketClient.put`.
        """

    async def head_object(self, key: str) -> None:
        """Find that there is such an object."""

    async def get_object(self, key: str, max_bytes: int | None) -> bytes:
        """Read an object. Raises ObjectTooLarge, too; no more than `max_bytes` are read."""

    async def delete_object(self, key: str) -> None:
        """Delete an object."""

    def open_stream(self, query: Mapping[str, str]) -> AbstractAsyncContextManager[ResponseStream]:
        """Ask the bucket for an answer that may have no end; it is open once that has begun.

        Its connection is closed with it. Raises as all; and S3ConnectionError where it cannot be
        asked at all.
        """

    async def list_objects(
        self, prefix: str, *, start_after: str, token: str | None
    ) -> ListingPage:
        """A page of `ListObjectsV2`; `start_after` counts without `token` only."""
