"""An S3 store's operations on inputs: list, look at, read; signed, and tried again.

The signature, the XML and the meaning of S3's codes are those of async mode's bucket
(`backends/s3_*`); the calls block, for inputs are opened in threads.
"""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar
from urllib.parse import urlsplit

import urllib3

from batchinfer.backends.bucket_client import (
    MAX_EMPTY_PAGES,
    InvalidS3Response,
    ListedObject,
    ListingPage,
)
from batchinfer.backends.s3_calls import (
    RESPONSE_READ_TIMEOUTS,
    SUCCESS_STATUSES,
    VALID_REGION,
    S3ErrorResponse,
    reject_web_page,
)
from batchinfer.backends.s3_signer import EMPTY_SHA256, S3Signer, encode_key, encode_query
from batchinfer.backends.s3_xml import ListingCutOff, ListingReader, parse_error
from batchinfer.inputs import InputStat
from batchinfer.inputs.source_access import StoreSettings
from batchinfer.inputs.uri_scheme import SourceAwayError
from batchinfer.protocols.http_text import safe_url
from batchinfer.remote.blocking_http import (
    SILENCE_SECONDS,
    BlockingHttp,
    read_error_body,
    release,
    translate_http_errors,
)
from batchinfer.remote.object_headers import read_content_range, read_object_stat
from batchinfer.remote.ranged_input import FetchedRange
from batchinfer.remote.store_credentials import (
    Credentials,
    StoreAddress,
    find_store,
    make_aws_endpoint,
)
from batchinfer.remote.store_errors import is_passing_error, translate_store_error

T = TypeVar("T")

LISTING_RETRY_SECONDS: Final = 60.0
"""Seconds that a page of a listing is asked for again; as of the bucket of async mode."""
READ_RETRY_SECONDS: Final = 10.0
"""Seconds that a look at an object is tried again: the run itself tries again after that."""
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 8.0
_REGION_CODES: Final = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "301", "400"}
)
_BARE_REFUSALS: Final = frozenset({400, 401, 403, 404})
"""Statuses of a HEAD whose reason only another call tells."""


class StoreClient:
    """The objects of one store, for many threads. `keys`: where its keys are configured."""

    def __init__(self, settings: StoreSettings, keys: str) -> None:
        self._keys = keys
        self._address: StoreAddress = find_store(settings)
        parts = urlsplit(self._address.endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SourceAwayError(
                errno.EINVAL, f"the store's address {safe_url(self._address.endpoint)!r} is no URL"
            )
        self._endpoint = self._address.endpoint
        self._region = self._address.region
        self._http = BlockingHttp(ca_file=settings.ca_file, verify=settings.verify)
        self._lock = threading.Lock()
        self._signer: tuple[Credentials, str, str, S3Signer] | None = None

    def close(self) -> None:
        """End idle connections."""
        self._http.close()

    # Listing -------------------------------------------------------------------------------------

    def iter_objects(self, bucket: str, prefix: str) -> Iterator[ListedObject]:
        """All objects whose keys begin with `prefix`, in key order, page by page.

        Raises OSError when a page cannot be had for `LISTING_RETRY_SECONDS`.
        """
        last_key, token, empty_pages = "", None, 0
        while True:
            page = self._list_patiently(bucket, prefix, last_key, token)
            keys = [each.key for each in page.objects]
            if keys and not last_key.encode() < keys[-1].encode():
                raise OSError(
                    errno.EPROTO,
                    f"the store at {self._host} lists {prefix!r} in circles: ask who runs it",
                )
            empty_pages = 0 if keys else empty_pages + 1
            yield from page.objects
            if page.continuation_token is None:
                return
            if empty_pages > MAX_EMPTY_PAGES:
                raise OSError(errno.EPROTO, f"the store at {self._host} lists no end of nothing")
            last_key, token = keys[-1] if keys else last_key, page.continuation_token

    def list_first(self, bucket: str, prefix: str) -> ListedObject | None:
        """The first object below a prefix; None: there is none. Raises OSError."""
        page = self._retry(
            lambda: self._list_page(bucket, prefix, "", None, max_keys=1),
            READ_RETRY_SECONDS,
            bucket,
            "list",
        )
        return page.objects[0] if page.objects else None

    def _list_patiently(
        self, bucket: str, prefix: str, last_key: str, token: str | None
    ) -> ListingPage:
        # A token need not survive a store that restarts: a second try begins after the last key.
        tokens = iter([token])
        return self._retry(
            lambda: self._list_page(
                bucket, prefix, last_key, next(tokens, None if last_key else token)
            ),
            LISTING_RETRY_SECONDS,
            bucket,
            "list",
        )

    def _list_page(
        self,
        bucket: str,
        prefix: str,
        start_after: str,
        token: str | None,
        max_keys: int | None = None,
    ) -> ListingPage:
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        query |= {"continuation-token": token} if token else {}
        query |= {"start-after": start_after} if start_after and not token else {}
        query |= {"max-keys": str(max_keys)} if max_keys else {}
        response = self._call("GET", bucket, query=encode_query(query))
        reader, give_up_at = (
            ListingReader(with_etags=True),
            time.monotonic() + RESPONSE_READ_TIMEOUTS * SILENCE_SECONDS,
        )
        try:
            reject_web_page(response.status, response.headers.get("content-type"))
            with translate_http_errors(self._endpoint):
                while data := response.read1(1 << 16):
                    reader.feed(data)
                    if time.monotonic() > give_up_at:
                        raise TimeoutError(errno.ETIMEDOUT, "its listing arrives too slowly")
            return reader.finish()
        finally:
            release(response)

    def check_keys(self) -> bool:
        """Ask whether the store knows the keys; whether they may list buckets. Raises OSError."""

        def call() -> bool:
            try:
                release(self._call("GET", ""))
            except S3ErrorResponse as error:
                if error.code != "AccessDenied":
                    raise
                return False
            return True

        return self._retry(call, READ_RETRY_SECONDS, "", "list")

    # Objects -------------------------------------------------------------------------------------

    def stat(self, bucket: str, key: str) -> InputStat:
        """Look at an object. Raises OSError."""

        def call() -> InputStat:
            try:
                response = self._call("HEAD", bucket, key)
            except S3ErrorResponse as error:
                if error.status not in _BARE_REFUSALS:
                    raise
                response = self._call("GET", bucket, key)
            release(response)
            return read_object_stat(response.headers)

        return self._retry(call, READ_RETRY_SECONDS, bucket, "read")

    def fetch(
        self, bucket: str, key: str, offset: int = 0, version: InputStat | None = None
    ) -> FetchedRange:
        """Begin to read an object; of `version` only that. See `ranged_input.FetchRange`."""
        headers: dict[str, str] = {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        if version is not None and version.fingerprint is not None:
            headers["If-Match"] = f'"{version.fingerprint}"'
        response = self._retry(
            lambda: self._call("GET", bucket, key, headers=headers),
            READ_RETRY_SECONDS,
            bucket,
            "read",
        )
        total, begin = read_content_range(response, offset)
        seen = read_object_stat(response.headers)
        return FetchedRange(seen._replace(size=total), response, begin)

    # Calls ---------------------------------------------------------------------------------------

    @property
    def _host(self) -> str:
        return safe_url(self._endpoint)

    def _call(
        self,
        method: str,
        bucket: str,
        key: str | None = None,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Call, and once more where the bucket is of another region. Returns a success."""
        has_moved = False
        while True:
            parts = urlsplit(self._endpoint)
            path = f"{parts.path}/{bucket}" + ("" if key is None else f"/{encode_key(key)}")
            signed = {**(headers or {}), **self._sign(method, parts.netloc, path, query)}
            response = self._http.request(
                method,
                f"{parts.scheme}://{parts.netloc}",
                f"{path}?{query}" if query else path,
                signed,
            )
            if response.status in SUCCESS_STATUSES:
                return response
            error = parse_error(read_error_body(response))
            code = error.get("Code") or str(response.status)
            theirs = response.headers.get("x-amz-bucket-region") or error.get("Region") or ""
            moves = code in _REGION_CODES and theirs and VALID_REGION.fullmatch(theirs)
            if has_moved or not moves or theirs == self._region:
                raise S3ErrorResponse(code, response.status)
            has_moved = True
            self._region = theirs
            if self._address.is_aws:
                self._endpoint = make_aws_endpoint(theirs)

    def _sign(self, method: str, host: str, path: str, query: str) -> dict[str, str]:
        """The headers that sign a request; none without keys."""
        credentials = self._address.get_credentials()
        if credentials is None:
            return {}
        with self._lock:
            made = self._signer
            if made is None or made[:3] != (credentials, host, self._region):
                signer = S3Signer(
                    credentials.access_key,
                    credentials.secret_key,
                    region=self._region,
                    host=host.rpartition("@")[2],
                    session_token=credentials.session_token,
                )
                made = self._signer = (credentials, host, self._region, signer)
            lines = made[3].sign(method, path, query, EMPTY_SHA256)
        pairs = (line.partition(":")[::2] for line in lines.split("\r\n") if line)
        return {name: value.strip() for name, value in pairs}

    def _retry(self, call: Callable[[], T], seconds: float, bucket: str, verb: str) -> T:
        """Call until it is answered; the last try comes after `seconds`. Raises OSError."""
        give_up_at, pause = time.monotonic() + seconds, _FIRST_PAUSE_SECONDS
        while True:
            is_last_try = time.monotonic() >= give_up_at
            try:
                return call()
            except S3ErrorResponse as error:
                if is_last_try or not is_passing_error(error):
                    raise self._translate(error, bucket, verb) from None
            except (ConnectionError, TimeoutError, InvalidS3Response, ListingCutOff) as error:
                if is_last_try:
                    raise self._describe_trouble(error, seconds) from None
            except ValueError as error:  # a key that no URL can hold
                raise FileNotFoundError(errno.ENOENT, f"{error}") from None
            remaining = max(give_up_at - time.monotonic(), 0)
            time.sleep(min(pause * random.uniform(0.5, 1), remaining))  # noqa: S311 - no secret
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _translate(self, error: S3ErrorResponse, bucket: str, verb: str) -> OSError:
        return translate_store_error(
            error,
            bucket=bucket,
            host=self._host,
            keys=self._keys,
            verb=verb,
            is_signed=self._address.get_credentials() is not None,
        )

    def _describe_trouble(self, error: OSError, seconds: float) -> SourceAwayError:
        if isinstance(error, InvalidS3Response):
            return SourceAwayError(
                errno.EPROTO,
                f"the store at {self._host} does not answer as an S3 store does ({error}): check "
                "the endpoint",
            )
        return SourceAwayError(
            errno.EHOSTUNREACH,
            f"the store at {self._host} has not answered for {seconds:g} s "
            f"({error.strerror or error}): check the endpoint and the network",
        )
