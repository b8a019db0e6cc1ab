"""S3's operations by aiobotocore: for proxies, unusual addresses, and where `httptools` is missing.

aiobotocore is untyped; its `Any` stays in here and in `s3_session.py` and `s3_responses.py`, which
belong to this module. Importing it takes half a second, so `s3.py` does that only when needed.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import anyio
import botocore.exceptions as boto
from aiobotocore.config import AioConfig
from botocore.handlers import add_expect_header
from botocore.parsers import ResponseParserError

from batchinfer.backends.bucket_client import InvalidS3Response, ListingPage
from batchinfer.backends.loaded_payload import PayloadBody
from batchinfer.backends.s3_calls import (
    RESPONSE_READ_TIMEOUTS,
    S3_CONNECT_TIMEOUT,
    S3_USER_AGENT,
    S3ConnectionError,
    S3ErrorResponse,
)
from batchinfer.backends.s3_responses import (
    RESPONSE_PARSE_ERRORS,
    parse_listing_page,
    read_object_body,
    reject_web_pages,
)
from batchinfer.backends.s3_session import IsolatedSession
from batchinfer.backends.s3_stream import AiohttpStream, open_aiohttp_stream
from batchinfer.backends.s3_xml import UNREADABLE_RESPONSE
from batchinfer.backends.streamed_body import StreamedBody
from batchinfer.errors import ConfigError, FatalError
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.protocols.http_text import safe_url

_CONNECTION_ERRORS: Final = (
    boto.HTTPClientError,  # also: closed in the middle, read timeout
    boto.ConnectionError,  # also: refused, no such name, TLS, proxy, connect timeout
    boto.IncompleteReadError,
    aiohttp.ClientError,  # while a body is read
)


@asynccontextmanager
async def open_botocore_calls(
    *,
    endpoint: str,
    name: str,
    access_key: str,
    secret_key: str,
    region: str,
    ca_file: str | None,
    verify: bool,
    ssl_context: ssl.SSLContext,
    proxy: str | None,
    read_timeout: float,
    send_timeout: float,
    bandwidth: BandwidthLimiter | None,
    concurrency: int,
) -> AsyncIterator[BotocoreCalls]:
    """See `open_s3_bucket`."""
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
            proxies={urlsplit(endpoint).scheme: proxy} if proxy else {},
            connect_timeout=S3_CONNECT_TIMEOUT,
            read_timeout=read_timeout,
            user_agent=S3_USER_AGENT,
        ),
    )
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(client_context)
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
        yield BotocoreCalls(
            client,
            name=name,
            response_timeout=RESPONSE_READ_TIMEOUTS * read_timeout,
            send_timeout=send_timeout,
            bandwidth=bandwidth,
            open_stream=partial(
                open_aiohttp_stream,
                endpoint=endpoint,
                name=name,
                access_key=access_key,
                secret_key=secret_key,
                region=region,
                ssl_context=ssl_context,
                proxy=proxy,
            ),
        )


class BotocoreCalls:
    """See `S3Calls`. Made by `open_botocore_calls`."""

    def __init__(
        self,
        client: Any,
        *,
        name: str,
        response_timeout: float,
        send_timeout: float,
        bandwidth: BandwidthLimiter | None,
        open_stream: Callable[[Mapping[str, str]], AbstractAsyncContextManager[AiohttpStream]],
    ) -> None:
        self._client, self._name, self._response_timeout = client, name, response_timeout
        self._open_stream = open_stream
        self._make_body = partial(StreamedBody, stall_timeout=send_timeout, bandwidth=bandwidth)

    async def put_object(self, key: str, body: PayloadBody, sha256: str | None) -> None:  # noqa: ARG002 - botocore takes its own
        """See S3Calls."""
        await self._call("put_object", None, Key=key, Body=self._make_body(body))

    async def head_object(self, key: str) -> None:
        """See S3Calls."""
        await self._call("head_object", self._response_timeout, Key=key)

    async def get_object(self, key: str, max_bytes: int | None) -> bytes:
        """See S3Calls."""
        answer = await self._call("get_object", self._response_timeout, Key=key)
        with _translate_errors():
            async with answer["Body"] as stream:
                return await read_object_body(
                    stream, answer.get("ContentLength"), max_bytes, self._response_timeout
                )

    async def delete_object(self, key: str) -> None:
        """See S3Calls."""
        await self._call("delete_object", self._response_timeout, Key=key)

    def open_stream(self, query: Mapping[str, str]) -> AbstractAsyncContextManager[AiohttpStream]:
        """See S3Calls."""
        return self._open_stream(query)

    async def list_objects(
        self, prefix: str, *, start_after: str, token: str | None
    ) -> ListingPage:
        """See S3Calls."""
        start = {"ContinuationToken": token} if token else {"StartAfter": start_after}
        answer = await self._call("list_objects_v2", self._response_timeout, Prefix=prefix, **start)
        return parse_listing_page(answer)

    async def _call(self, operation: str, seconds: float | None, **params: Any) -> Any:
        with _translate_errors():
            try:
                with anyio.fail_after(seconds):
                    return await getattr(self._client, operation)(Bucket=self._name, **params)
            except RESPONSE_PARSE_ERRORS as error:
                if isinstance(error, (*_CONNECTION_ERRORS, OSError)):
                    raise
                raise InvalidS3Response(UNREADABLE_RESPONSE) from None


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise what S3Calls names in place of botocore's own exceptions."""
    try:
        yield
    except boto.ParamValidationError:  # keys are ours, so it is the bucket's name
        raise S3ErrorResponse("InvalidBucketName", 400) from None
    except boto.ClientError as error:
        metadata = error.response.get("ResponseMetadata", {})
        status = int(metadata.get("HTTPStatusCode") or 0)
        code = str(error.response.get("Error", {}).get("Code") or status)
        raise S3ErrorResponse(code, status) from None
    except ResponseParserError:  # a gateway's page where S3 should speak
        raise InvalidS3Response(UNREADABLE_RESPONSE) from None
    except _CONNECTION_ERRORS as error:
        raise S3ConnectionError(_find_cause(error)) from None
    except boto.BotoCoreError as error:
        raise S3ErrorResponse(type(error).__name__, 400) from None


def _find_cause(error: Exception) -> BaseException:
    """What the operating system or TLS said, from within two libraries' wrappings."""
    wrapped = getattr(error, "kwargs", {}).get("error", error)
    cause = getattr(wrapped, "os_error", wrapped)
    return cause if isinstance(cause, BaseException) else error
