"""What headers and listings say of an object, in terms that can be compared with each other."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import urllib3

from batchinfer.backends.bucket_client import ListedObject
from batchinfer.inputs import InputStat
from batchinfer.remote.blocking_http import release

_NS_PER_SECOND: Final = 1_000_000_000


def read_object_stat(headers: Mapping[str, str]) -> InputStat:
    """What headers say of an object. The time in whole seconds: listings may say more."""
    modified = headers.get("last-modified")
    try:
        at = None if modified is None else parsedate_to_datetime(modified).timestamp()
    except ValueError:
        at = None
    mtime_ns = None if at is None else int(at) * _NS_PER_SECOND
    size = int(headers.get("content-length") or 0)
    return InputStat(size, mtime_ns, normalize_etag(headers.get("etag")))


def stat_listed_object(listed: ListedObject) -> InputStat:
    """What a listing says of an object, comparable to what its headers say."""
    at = listed.last_modified
    mtime_ns = None if at is None else int(at) * _NS_PER_SECOND
    return InputStat(
        listed.size, mtime_ns, normalize_etag(listed.etag), not is_folder_marker(listed)
    )


def is_folder_marker(listed: ListedObject) -> bool:
    """Whether an object stands for a folder only, as web consoles and Hadoop leave them."""
    return listed.size == 0 and listed.key.endswith(("/", "_$folder$"))


def normalize_etag(etag: str | None) -> str | None:
    """An ETag without what servers write about it in one place and not in another."""
    text = (etag or "").strip().removeprefix("W/").strip('"')
    return text or None


def read_content_range(response: urllib3.BaseHTTPResponse, offset: int) -> tuple[int, int]:
    """Bytes of the whole, and where the body begins. Raises ConnectionError for nonsense."""
    length = int(response.headers.get("content-length") or 0)
    if not offset or response.status != 206:  # noqa: PLR2004 - Partial Content
        return length, 0
    unit, _, rest = (response.headers.get("content-range") or "").partition(" ")
    begin, _, total = rest.partition("-")[0], *rest.partition("/")[1:]
    if unit != "bytes" or begin != str(offset) or not total.isdigit():
        release(response)
        raise ConnectionError(errno.EPROTO, "its answer to a part is another part")
    return int(total), offset
