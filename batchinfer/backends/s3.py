"""`BucketClient` for a real S3 store, by aiobotocore (see `s3_session.py`).

Creating or deleting any service restarts the store that all share (docs/platform.md, "The object
store"), so errors that may pass are retried for `retry_timeout` seconds; botocore's own retries are
off. Errors are classified by their type and by S3's error code (`s3_errors.py`), never by their
text, which may be missing. Nothing is taken from `~/.aws` or `AWS_*`: the bucket is what the caller
says it is. aiobotocore is untyped; its `Any` stays in here.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import anyio
import botocore.exceptions as boto
from aiobotocore.config import AioConfig
from botocore.handlers import add_expect_header
from botocore.parsers import ResponseParserError

from batchinfer import defaults
from batchinfer.backends import s3_errors, tls
from batchinfer.backends.bucket_client import BucketUnreachable, InvalidS3Response, ListingPage
from batchinfer.backends.loaded_payload import PayloadBody
from batchinfer.backends.proxies import find_proxy_for_url
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3_responses import (
    RESPONSE_PARSE_ERRORS,
    UNREADABLE_RESPONSE,
    parse_listing_page,
    read_object_body,
    reject_web_pages,
)
from batchinfer.backends.s3_session import S3_USER_AGENT, IsolatedSession
from batchinfer.backends.streamed_body import StreamedBody
from batchinfer.domain import Failure
from batchinfer.errors import ConfigError, FatalError
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.machine_limits import detect_shortage
from batchinfer.protocols.http_text import safe_url

T = TypeVar("T")

FIRST_BACKOFF_SECONDS: Final = 0.25
MAX_BACKOFF_SECONDS: Final = 8.0
"""Seconds before another try: doubled from the first to the longest, less a random part of it."""
RESPONSE_READ_TIMEOUTS: Final = 4
"""How many `read_timeout`s a whole answer may take, however steadily it drips."""

_CONNECTION_ERRORS: Final = (
    boto.HTTPClientError,  # also: closed in the middle, read timeout
    boto.ConnectionError,  # also: refused, no such name, TLS, proxy, connect timeout
    boto.IncompleteReadError,
    ResponseParserError,  # a gateway's page where S3 should speak
    aiohttp.ClientError,  # while a body is read
    OSError,
)


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
    bandwidth: float | None = None,
    concurrency: int = 64,
) -> AsyncIterator[S3BucketClient]:
    """The bucket `name` of an S3 store; its connections live as long as the context.

    `retry_timeout`: seconds for which a store that does not answer is called again. `read_timeout`:
    seconds without a byte of an answer after which a call is tried again. `send_timeout`: seconds
    without movement after which an upload is tried again. `bandwidth`: bytes that are sent per
    second, at most. `concurrency`: how many connections. Raises FatalError (`bad_endpoint`) and
    ConfigError (`ca_file`, `region`); sends nothing yet.
    """
    tls.create_ssl_context(ca_file, verify=verify)  # aiobotocore would find out late, and say less
    client_context = IsolatedSession().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        verify=(ca_file or True) if verify else False,
        config=AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1},
            max_pool_connections=concurrency,
            proxies=_proxy_config(endpoint),
            connect_timeout=10,
            read_timeout=read_timeout,
            user_agent=S3_USER_AGENT,
        ),
    )
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(client_context)
        except boto.InvalidRegionError:
            raise ConfigError(
                f"region {region!r} is no name of a region: leave it out (us-east-1 is the default "
                "of most stores), or ask who runs the store"
            ) from None
        except boto.BotoCoreError as error:
            raise ConfigError(
                f"the connection to the store at {safe_url(endpoint)!r} cannot be set up "
                f"({type(error).__name__}): check endpoint, region and keys of the bucket"
            ) from None
        except ValueError:
            raise FatalError(
                "bad_endpoint",
                f"the store's address {safe_url(endpoint)!r} cannot be called: copy 'MINIO URL' "
                "from the Dashboard (https://...)",
            ) from None
        # It would add "Expect: 100-continue", a round trip for every large object.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        client.meta.events.register("before-parse.s3", reject_web_pages)
        make_body = partial(
            StreamedBody,
            stall_timeout=send_timeout,
            bandwidth=BandwidthLimiter(bandwidth) if bandwidth else None,
        )
        yield S3BucketClient(
            client,
            name=name,
            host=safe_url(endpoint),
            redactor=redactor,
            retry_timeout=retry_timeout,
            response_timeout=RESPONSE_READ_TIMEOUTS * read_timeout,
            make_body=make_body,
        )


class S3BucketClient:
    """See `BucketClient`. Made by `open_s3_bucket`."""

    def __init__(
        self,
        client: Any,
        *,
        name: str,
        host: str,
        redactor: Redactor,
        retry_timeout: float,
        response_timeout: float,
        make_body: Callable[[PayloadBody], StreamedBody],
    ) -> None:
        self._client = client
        self._name = name
        self._host = host
        self._redactor = redactor
        self._retry_timeout = retry_timeout
        self._response_timeout = response_timeout
        self._make_body = make_body

    async def put(self, key: str, body: PayloadBody) -> Failure | None:
        """See BucketClient."""
        was_tried = False

        async def call() -> Failure | None:
            nonlocal was_tried
            if was_tried and await self._object_exists(key):
                return None  # only the answer was lost; another put would be another event
            was_tried = True
            try:
                await self._call_s3("put_object", Key=key, Body=self._make_body(body))
            except boto.ClientError as error:
                if _error_code(error) in s3_errors.TOO_LARGE_CODES:
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
                answer = await self._call_s3("get_object", self._response_timeout, Key=key)
            except boto.ClientError as error:
                if _error_code(error) in s3_errors.NOT_FOUND_CODES:
                    return None
                raise
            async with answer["Body"] as stream:
                return await read_object_body(
                    stream, answer.get("ContentLength"), max_bytes, self._response_timeout
                )

        return await self._retry("get", call)

    async def delete(self, key: str) -> None:
        """See BucketClient."""

        async def call() -> None:
            try:
                await self._call_s3("delete_object", self._response_timeout, Key=key)
            except boto.ClientError as error:
                if _error_code(error) not in s3_errors.NOT_FOUND_CODES:
                    raise

        await self._retry("delete", call)

    async def list_page(
        self, prefix: str, *, start_after: str = "", token: str | None = None
    ) -> ListingPage:
        """See BucketClient."""
        start_params = {"ContinuationToken": token} if token else {"StartAfter": start_after}

        async def call() -> ListingPage:
            answer = await self._call_s3(
                "list_objects_v2", self._response_timeout, Prefix=prefix, **start_params
            )
            return parse_listing_page(answer)

        return await self._retry("list", call)

    async def _object_exists(self, key: str) -> bool:
        try:
            await self._call_s3("head_object", self._response_timeout, Key=key)
        except boto.ClientError as error:
            if _error_code(error) in s3_errors.NOT_FOUND_CODES:
                return False
            raise
        return True

    async def _call_s3(self, operation: str, seconds: float | None = None, **params: Any) -> Any:
        """Call once, for `seconds` at most. Raises InvalidS3Response for what cannot be read."""
        try:
            with anyio.fail_after(seconds):
                return await getattr(self._client, operation)(Bucket=self._name, **params)
        except RESPONSE_PARSE_ERRORS as error:
            if isinstance(error, _CONNECTION_ERRORS):
                raise
            raise InvalidS3Response(UNREADABLE_RESPONSE) from None

    async def _retry(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it is answered, for the retry timeout; the last try comes after it."""
        deadline = anyio.current_time() + self._retry_timeout
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            is_last_try = anyio.current_time() >= deadline
            try:
                return await call()
            except (boto.ClientError, boto.BotoCoreError, *_CONNECTION_ERRORS) as error:
                if fatal := self._classify_fatal(error, verb):
                    raise fatal from None
                if is_last_try:
                    raise self._make_unreachable(error) from None
            remaining = max(deadline - anyio.current_time(), 0)
            await anyio.sleep(min(backoff * random.uniform(0.5, 1), remaining))  # noqa: S311 - no secret
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)

    def _classify_fatal(self, error: Exception, verb: str) -> FatalError | None:
        """The fatal error that it is; None when it may pass."""
        if tls_error := tls.describe_tls_error(_find_os_error(error)):
            return FatalError(
                "tls", f"{self._host} cannot be trusted: {tls_error}. {tls.TLS_ADVICE}"
            )
        match error:
            case boto.ParamValidationError():  # keys are ours, so it is the bucket's name
                code, status = "InvalidBucketName", 400
            case _ if isinstance(error, _CONNECTION_ERRORS):
                return None
            case boto.BotoCoreError():
                code, status = type(error).__name__, 400
            case boto.ClientError():
                code, status = (
                    self._redactor.redact_text(_error_code(error)),
                    _http_status_of(error),
                )
            case _:
                return None
        return s3_errors.classify_s3_error(
            code, status, name=self._name, host=self._host, verb=verb
        )

    def _make_unreachable(self, error: Exception) -> BucketUnreachable:
        if isinstance(error, InvalidS3Response | ResponseParserError):
            reason = error if isinstance(error, InvalidS3Response) else UNREADABLE_RESPONSE
            return BucketUnreachable(
                f"the store at {self._host} does not answer as an S3 store does: {reason}. Check "
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


def _proxy_config(endpoint: str) -> dict[str, str]:
    proxy = find_proxy_for_url(endpoint)  # None, too, for no address at all: aiobotocore says so
    return {urlsplit(endpoint).scheme: proxy} if proxy else {}


def _error_code(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code") or _http_status_of(error))


def _http_status_of(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _find_os_error(error: Exception) -> BaseException | None:
    """What the operating system or TLS said, from within two libraries' wrappings."""
    wrapped = getattr(error, "kwargs", {}).get("error", error)
    cause = getattr(wrapped, "os_error", wrapped)
    return cause if isinstance(cause, BaseException) else None


def _describe_error(error: Exception) -> str:
    if isinstance(error, boto.ClientError):
        return _error_code(error)
    cause = _find_os_error(error)
    return getattr(cause, "strerror", None) or type(cause or error).__name__


def _payload_too_large(size: int) -> Failure:
    return Failure(
        code="payload_too_large",
        message=f"the store refuses an object of {size:,} bytes: make the file smaller",
    )
