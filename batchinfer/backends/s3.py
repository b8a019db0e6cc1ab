"""`BucketClient` for a real S3 store: which library calls it, when to try again, what errors mean.

Creating or deleting any service restarts the store that all share (docs/platform.md, "The object
store"), so errors that may pass are retried for `retry_timeout` seconds. Errors are classified by
their type and by S3's error code (`s3_errors.py`), never by their text, which may be missing.
Nothing is taken from `~/.aws` or `AWS_*`: the bucket is what the caller says it is.

A single try is made by `s3_direct.py`, or by `s3_botocore.py` where a proxy stands before the
store, the address is unusual, or `httptools` is not installed.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeVar

import anyio

from batchinfer import defaults
from batchinfer.backends import s3_direct, s3_errors, tls
from batchinfer.backends.bucket_client import BucketUnreachable, InvalidS3Response, ListingPage
from batchinfer.backends.loaded_payload import PayloadBody
from batchinfer.backends.proxies import find_proxy_for_url
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3_calls import VALID_REGION, S3Calls, S3ErrorResponse
from batchinfer.backends.s3_notifications import S3NotificationStream, open_s3_notifications
from batchinfer.domain import Failure
from batchinfer.errors import ConfigError, FatalError
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.machine_limits import detect_shortage
from batchinfer.protocols.http_text import safe_url

T = TypeVar("T")

FIRST_BACKOFF_SECONDS: Final = 0.25
MAX_BACKOFF_SECONDS: Final = 8.0
"""Seconds before another try: doubled from the first to the longest, less a random part of it."""


@asynccontextmanager
async def open_s3_bucket(
    *,
    endpoint: str,
    name: str,
    access_key: str,
    secret_key: str,
    redactor: Redactor,
    region: str = defaults.BUCKET_REGION,
    ca_file: str | None = None,
    verify: bool = True,
    retry_timeout: float = 60.0,
    read_timeout: float = 60.0,
    send_timeout: float = defaults.SEND_TIMEOUT,
    bandwidth: BandwidthLimiter | None = None,
    concurrency: int = 64,
    use_botocore: bool = False,
) -> AsyncIterator[S3BucketClient]:
    """The bucket `name` of an S3 store; its connections live as long as the context.

    `retry_timeout`: seconds for which a store that does not answer is called again. `read_timeout`:
    seconds without a byte of an answer after which a call is tried again. `send_timeout`: seconds
    without movement after which an upload is tried again. `bandwidth`: of all uploads.
    `concurrency`: how many connections. `use_botocore`: even where the faster
    way would do. Raises FatalError (`bad_endpoint`) and ConfigError (`ca_file`, `region`); sends
    nothing yet.
    """
    ssl_context = tls.create_ssl_context(ca_file, verify=verify)
    if not VALID_REGION.fullmatch(region):
        raise ConfigError(
            f"region {region!r} is no name of a region: leave it out (us-east-1 is the default "
            "of most stores), or ask who runs the store"
        )
    proxy = find_proxy_for_url(endpoint)  # None, too, for no address at all: botocore says so
    if not (use_botocore or proxy) and s3_direct.can_call(endpoint, name, access_key):
        open_calls: AbstractAsyncContextManager[S3Calls] = s3_direct.open_direct_calls(
            endpoint=endpoint,
            name=name,
            access_key=access_key,
            secret_key=secret_key,
            region=region,
            ssl_context=ssl_context,
            read_timeout=read_timeout,
            send_timeout=send_timeout,
            bandwidth=bandwidth,
            concurrency=concurrency,
        )
    else:
        from batchinfer.backends.s3_botocore import open_botocore_calls  # noqa: PLC0415 - slow

        open_calls = open_botocore_calls(
            endpoint=endpoint,
            name=name,
            access_key=access_key,
            secret_key=secret_key,
            region=region,
            ca_file=ca_file,
            verify=verify,
            ssl_context=ssl_context,
            proxy=proxy,
            read_timeout=read_timeout,
            send_timeout=send_timeout,
            bandwidth=bandwidth,
            concurrency=concurrency,
        )
    async with open_calls as calls:
        yield S3BucketClient(
            calls,
            name=name,
            host=safe_url(endpoint),
            redactor=redactor,
            retry_timeout=retry_timeout,
        )


class S3BucketClient:
    """See `BucketClient`. Made by `open_s3_bucket`."""

    def __init__(
        self,
        calls: S3Calls,
        *,
        name: str,
        host: str,
        redactor: Redactor,
        retry_timeout: float,
    ) -> None:
        self._calls, self._name, self._host = calls, name, host
        self._redactor, self._retry_timeout = redactor, retry_timeout

    async def put(
        self, key: str, body: PayloadBody, *, sha256: str | None = None
    ) -> Failure | None:
        """See BucketClient."""
        was_tried = False

        async def call() -> Failure | None:
            nonlocal was_tried
            if was_tried and await self._object_exists(key):
                return None  # only the answer was lost; another put would be another event
            was_tried = True
            try:
                await self._calls.put_object(key, body, sha256)
            except S3ErrorResponse as error:
                if error.code in s3_errors.TOO_LARGE_CODES:
                    return _payload_too_large(len(body))
                raise
            return None

        return await self._retry("put", call)

    async def exists(self, key: str) -> bool:
        """See BucketClient."""
        return await self._retry("get", lambda: self._object_exists(key))

    async def get(self, key: str, max_bytes: int | None = None) -> bytes | None:
        """See BucketClient."""

        async def call() -> bytes | None:
            try:
                return await self._calls.get_object(key, max_bytes)
            except S3ErrorResponse as error:
                if error.code in s3_errors.NOT_FOUND_CODES:
                    return None
                raise

        return await self._retry("get", call)

    async def delete(self, key: str) -> None:
        """See BucketClient."""

        async def call() -> None:
            try:
                await self._calls.delete_object(key)
            except S3ErrorResponse as error:
                if error.code not in s3_errors.NOT_FOUND_CODES:
                    raise

        await self._retry("delete", call)

    async def list_page(
        self, prefix: str, *, start_after: str = "", token: str | None = None
    ) -> ListingPage:
        """See BucketClient."""
        return await self._retry(
            "list",
            lambda: self._calls.list_objects(prefix, start_after=start_after, token=token),
        )

    def open_notifications(self, prefix: str) -> AbstractAsyncContextManager[S3NotificationStream]:
        """See `NotificationSource`. It is tried once."""
        return open_s3_notifications(self._calls, self._name, prefix)

    async def _object_exists(self, key: str) -> bool:
        try:
            await self._calls.head_object(key)
        except S3ErrorResponse as error:
            if error.code in s3_errors.NOT_FOUND_CODES:
                return False
            raise
        return True

    async def _retry(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it is answered, for the retry timeout; the last try comes after it."""
        deadline = time.monotonic() + self._retry_timeout
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            is_last_try = time.monotonic() >= deadline
            try:
                return await call()
            except (S3ErrorResponse, OSError) as error:
                if fatal := self._classify_fatal(error, verb):
                    raise fatal from None
                if is_last_try:
                    raise self._make_unreachable(error) from None
            remaining = max(deadline - time.monotonic(), 0)
            await anyio.sleep(min(backoff * random.uniform(0.5, 1), remaining))  # noqa: S311 - no secret
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)

    def _classify_fatal(self, error: Exception, verb: str) -> FatalError | None:
        """The fatal error that it is; None when it may pass."""
        if tls_error := tls.describe_tls_error(_find_os_error(error)):
            return FatalError(
                "tls", f"{self._host} cannot be trusted: {tls_error}. {tls.TLS_ADVICE}"
            )
        if not isinstance(error, S3ErrorResponse):
            return None
        code = self._redactor.redact_text(error.code)
        return s3_errors.classify_s3_error(
            code, error.status, name=self._name, host=self._host, verb=verb
        )

    def _make_unreachable(self, error: Exception) -> BucketUnreachable:
        if isinstance(error, InvalidS3Response):
            return BucketUnreachable(
                f"the store at {self._host} does not answer as an S3 store does: {error}. Check "
                "that the address is that of the store itself (MINIO URL on the Dashboard), and "
                "that no proxy or login page answers in its place"
            )
        unreachable = BucketUnreachable(
            f"the store at {self._host} has not answered for {self._retry_timeout:g} s "
            f"({self._redactor.redact_text(_describe_error(error))}): check the address, the "
            "network and whether the cluster is up"
        )
        unreachable.shortage = detect_shortage(_find_os_error(error))
        return unreachable


def _find_os_error(error: Exception) -> BaseException:
    """What the operating system or TLS said."""
    cause = getattr(error, "os_error", None)
    return cause if isinstance(cause, BaseException) else error


def _describe_error(error: Exception) -> str:
    if isinstance(error, S3ErrorResponse):
        return error.code
    cause = _find_os_error(error)
    return getattr(cause, "strerror", None) or type(cause).__name__


def _payload_too_large(size: int) -> Failure:
    return Failure(
        code="payload_too_large",
        message=f"the store refuses an object of {size:,} bytes: make the file smaller",
    )
