"""From what is configured to the carriers: the service to call, the bucket to write to.

Their libraries are loaded here, when they are needed: most of what reads a run needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer._version import __version__
from batchinfer.backends.redaction import Redactor
from batchinfer.config import BucketSettings, ServiceSettings
from batchinfer.domain import Json
from batchinfer.flow.memory_budget import DEFAULT_MAX_REPLY_BYTES, DEFAULT_MEMORY_BYTES
from batchinfer.machine_limits import get_max_concurrent_calls

MAX_BUCKET_CONNECTIONS = 64
"""To the bucket's store, at most; fewer where fewer files may be open."""

if TYPE_CHECKING:
    from batchinfer.backends.http_backend import HttpBackend
    from batchinfer.backends.s3 import S3BucketClient


def open_service(
    access: ServiceSettings,
    redactor: Redactor,
    *,
    timeout: float,
    params: Mapping[str, Json] | None = None,
    connect_timeout: float = 30.0,
    send_timeout: float = 60.0,
    first_byte_timeout: float | None = None,
    memory: int = DEFAULT_MEMORY_BYTES,
    max_reply: int = DEFAULT_MAX_REPLY_BYTES,
    spool: Path | None = None,
    bandwidth: float | None = None,
) -> AbstractAsyncContextManager[HttpBackend]:
    """Open the service; `timeout`: seconds of a call. Else, and errors: `open_http_backend`."""
    from batchinfer.backends.http_backend import open_http_backend  # noqa: PLC0415

    return open_http_backend(
        endpoint=access.endpoint,
        token=access.token,
        ca_file=access.ca_file,
        verify=access.verify,
        params=params or {},
        timeout=timeout,
        connect_timeout=connect_timeout,
        send_timeout=send_timeout,
        first_byte_timeout=first_byte_timeout,
        memory=memory,
        max_reply=max_reply,
        spool_dir=spool,
        bandwidth=bandwidth,
        redactor=redactor,
        user_agent=f"batchinfer/{__version__}",
    )


def open_bucket(
    access: BucketSettings,
    redactor: Redactor,
    *,
    retry_timeout: float = 60.0,
    read_timeout: float = 60.0,
    send_timeout: float = 60.0,
    bandwidth: float | None = None,
    concurrency: int = MAX_BUCKET_CONNECTIONS,
) -> AbstractAsyncContextManager[S3BucketClient]:
    """The bucket, waited for at most `patience` seconds. All else, and errors: `open_s3_bucket`."""
    from batchinfer.backends.s3 import open_s3_bucket  # noqa: PLC0415

    return open_s3_bucket(
        endpoint=access.endpoint,
        name=access.name,
        access_key=access.access_key,
        secret_key=access.secret_key,
        region=access.region,
        ca_file=access.ca_file,
        verify=access.verify,
        redactor=redactor,
        retry_timeout=retry_timeout,
        read_timeout=read_timeout,
        send_timeout=send_timeout,
        bandwidth=bandwidth,
        concurrency=min(concurrency, get_max_concurrent_calls() or concurrency),
    )
