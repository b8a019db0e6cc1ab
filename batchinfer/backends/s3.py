"""The verbs of `objects.Bucket` carried to a real bucket, by aiobotocore (see `s3_session.py`).

Rules of the room: creating or deleting any service restarts the store that all share (contract,
section 2), so what may pass is tried again, for `patience` seconds; botocore's own retries are off.
Errors are judged by their type and by S3's error code (`s3_codes.py`), never by their text, which
may be missing. Nothing is taken from `~/.aws` or `AWS_*`: the bucket is what the caller says it
is. aiobotocore is untyped; its `Any` stays in here.
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

from batchinfer.backends import s3_codes, tls
from batchinfer.backends.files import Body
from batchinfer.backends.objects import BucketUnreachable, InvalidAnswer, Page
from batchinfer.backends.proxies import proxy_before
from batchinfer.backends.redact import Redactor
from batchinfer.backends.s3_answers import NO_S3, UNREADABLE, page_of, read, refuse_pages
from batchinfer.backends.s3_session import USER_AGENT, IsolatedSession
from batchinfer.backends.sending import Sending
from batchinfer.domain import Failure
from batchinfer.errors import ConfigError, FatalError
from batchinfer.flow.pace import Bandwidth
from batchinfer.machine import shortage
from batchinfer.oscar.status import place

T = TypeVar("T")

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0
"""Seconds before another try: doubled from the first to the longest, less a random part of it."""
LONGEST_ANSWER: Final = 4
"""How many `read_timeout`s a whole answer may take, however steadily it drips."""

_UNREACHED: Final = (
    boto.HTTPClientError,  # also: closed in the middle, read timeout
    boto.ConnectionError,  # also: refused, no such name, TLS, proxy, connect timeout
    boto.IncompleteReadError,
    ResponseParserError,  # a gateway's page where S3 should speak
    aiohttp.ClientError,  # while a body is read
    OSError,
)


@asynccontextmanager
async def s3_bucket(
    *,
    endpoint: str,
    name: str,
    access_key: str,
    secret_key: str,
    redact: Redactor,
    region: str = "us-east-1",
    ca_file: str | None = None,
    verify: bool = True,
    patience: float = 60.0,
    read_timeout: float = 60.0,
    send_timeout: float = 60.0,
    bandwidth: float | None = None,
    concurrency: int = 64,
) -> AsyncIterator[S3Bucket]:
    """The bucket `name` of an S3 store; its connections live as long as the context.

    `patience`: seconds that a store which does not answer is waited for. `read_timeout`: seconds
    without a byte of an answer after which a call is tried again. `send_timeout`: seconds
    without movement after which an upload is tried again. `bandwidth`: bytes that are sent per
    second, at most. `concurrency`: how many connections. Raises FatalError (`bad_endpoint`) and
    ConfigError (`ca_file`, `region`); sends nothing yet.
    """
    tls.context(ca_file, verify=verify)  # aiobotocore would find out late, and say less
    making = IsolatedSession().create_client(
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
            proxies=_proxies(endpoint),
            connect_timeout=10,
            read_timeout=read_timeout,
            user_agent=USER_AGENT,
        ),
    )
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(making)
        except boto.InvalidRegionError:
            raise ConfigError(
                f"region {region!r} is no name of a region: leave it out (us-east-1 is the default "
                "of most stores), or ask who runs the store"
            ) from None
        except boto.BotoCoreError as error:
            raise ConfigError(
                f"the connection to the store at {place(endpoint)!r} cannot be set up "
                f"({type(error).__name__}): check endpoint, region and keys of the bucket"
            ) from None
        except ValueError:
            raise FatalError(
                "bad_endpoint",
                f"the store's address {place(endpoint)!r} cannot be called: copy 'MINIO URL' from "
                "the Dashboard (https://...)",
            ) from None
        # It would add "Expect: 100-continue", a round trip for every large object.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        client.meta.events.register("before-parse.s3", refuse_pages)
        way = partial(
            Sending,
            patience=send_timeout,
            bandwidth=Bandwidth(bandwidth) if bandwidth else None,
        )
        yield S3Bucket(
            client,
            name=name,
            host=place(endpoint),
            redact=redact,
            patience=patience,
            longest=LONGEST_ANSWER * read_timeout,
            way=way,
        )


class S3Bucket:
    """See `objects.Bucket`. Made by `s3_bucket`."""

    def __init__(
        self,
        client: Any,
        *,
        name: str,
        host: str,
        redact: Redactor,
        patience: float,
        longest: float,
        way: Callable[[Body], Sending],
    ) -> None:
        self._client = client
        self._name = name
        self._host = host
        self._redact = redact
        self._patience = patience
        self._longest = longest
        self._way = way

    async def put(self, key: str, body: Body) -> Failure | None:
        """See `objects.Bucket`."""
        tried = False

        async def call() -> Failure | None:
            nonlocal tried
            if tried and await self._head(key):
                return None  # only the answer was lost; another put would be another event
            tried = True
            try:
                await self._ask("put_object", Key=key, Body=self._way(body))
            except boto.ClientError as error:
                if _code(error) in s3_codes.TOO_LARGE:
                    return _too_large(len(body))
                raise
            return None

        return await self._patiently("put", call)

    async def exists(self, key: str) -> bool:
        """See `objects.Bucket`."""
        return await self._patiently("get", lambda: self._head(key))

    async def get(self, key: str, limit: int | None = None) -> bytes | None:
        """See `objects.Bucket`."""

        async def call() -> bytes | None:
            try:
                answer = await self._ask("get_object", self._longest, Key=key)
            except boto.ClientError as error:
                if _code(error) in s3_codes.MISSING:
                    return None
                raise
            async with answer["Body"] as stream:
                return await read(stream, answer.get("ContentLength"), limit, self._longest)

        return await self._patiently("get", call)

    async def delete(self, key: str) -> None:
        """See `objects.Bucket`."""

        async def call() -> None:
            try:
                await self._ask("delete_object", self._longest, Key=key)
            except boto.ClientError as error:
                if _code(error) not in s3_codes.MISSING:
                    raise

        await self._patiently("delete", call)

    async def page(self, prefix: str, *, start_after: str = "", token: str | None = None) -> Page:
        """See `objects.Bucket`."""
        begin = {"ContinuationToken": token} if token else {"StartAfter": start_after}

        async def call() -> Page:
            answer = await self._ask("list_objects_v2", self._longest, Prefix=prefix, **begin)
            return page_of(answer)

        return await self._patiently("list", call)

    async def _head(self, key: str) -> bool:
        try:
            await self._ask("head_object", self._longest, Key=key)
        except boto.ClientError as error:
            if _code(error) in s3_codes.MISSING:
                return False
            raise
        return True

    async def _ask(self, verb: str, longest: float | None = None, **named: Any) -> Any:
        """Call once, for `longest` seconds. Raises InvalidAnswer for what cannot be read."""
        try:
            with anyio.fail_after(longest):
                return await getattr(self._client, verb)(Bucket=self._name, **named)
        except UNREADABLE as error:
            if isinstance(error, _UNREACHED):
                raise
            raise InvalidAnswer(NO_S3) from None

    async def _patiently(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it is answered, for `patience` seconds; the last try comes after them."""
        deadline = anyio.current_time() + self._patience
        pause = FIRST_PAUSE
        while True:
            late = anyio.current_time() >= deadline
            try:
                return await call()
            except (boto.ClientError, boto.BotoCoreError, *_UNREACHED) as error:
                if fatal := self._fatal(error, verb):
                    raise fatal from None
                if late:
                    raise self._unreachable(error) from None
            left = max(deadline - anyio.current_time(), 0)
            await anyio.sleep(min(pause * random.uniform(0.5, 1), left))  # noqa: S311 - no secret
            pause = min(pause * 2, LONGEST_PAUSE)

    def _fatal(self, error: Exception, verb: str) -> FatalError | None:
        """The fatal error that it is; None when it may pass."""
        if distrust := tls.trouble(_cause(error)):
            return FatalError("tls", f"{self._host} cannot be trusted: {distrust}. {tls.ADVICE}")
        match error:
            case boto.ParamValidationError():  # keys are ours, so it is the bucket's name
                code, status = "InvalidBucketName", 400
            case _ if isinstance(error, _UNREACHED):
                return None
            case boto.BotoCoreError():
                code, status = type(error).__name__, 400
            case boto.ClientError():
                code, status = self._redact.text(_code(error)), _status(error)
            case _:
                return None
        return s3_codes.judge(code, status, name=self._name, host=self._host, verb=verb)

    def _unreachable(self, error: Exception) -> BucketUnreachable:
        if isinstance(error, InvalidAnswer | ResponseParserError):
            why = error if isinstance(error, InvalidAnswer) else NO_S3
            return BucketUnreachable(
                f"the store at {self._host} does not answer as an S3 store does: {why}. Check that "
                "the address is that of the store itself (MINIO URL on the Dashboard), and that no "
                "proxy or login page answers in its place"
            )
        unreachable = BucketUnreachable(
            f"the store at {self._host} has not answered for {self._patience:g} s "
            f"({self._redact.text(_why(error))}): check the address, the network and whether the "
            "cluster is up"
        )
        unreachable.shortage = shortage(_cause(error))
        return unreachable


def _proxies(endpoint: str) -> dict[str, str]:
    proxy = proxy_before(endpoint)  # None, too, for no address at all: aiobotocore says so
    return {urlsplit(endpoint).scheme: proxy} if proxy else {}


def _code(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code") or _status(error))


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _cause(error: Exception) -> BaseException | None:
    """What the operating system or TLS said, from within two libraries' wrappings."""
    wrapped = getattr(error, "kwargs", {}).get("error", error)
    cause = getattr(wrapped, "os_error", wrapped)
    return cause if isinstance(cause, BaseException) else None


def _why(error: Exception) -> str:
    if isinstance(error, boto.ClientError):
        return _code(error)
    cause = _cause(error)
    return getattr(cause, "strerror", None) or type(cause or error).__name__


def _too_large(size: int) -> Failure:
    return Failure(
        code="payload_too_large",
        message=f"the store refuses an object of {size:,} bytes: make the file smaller",
    )
