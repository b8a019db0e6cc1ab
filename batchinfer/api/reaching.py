"""From what is configured to the carriers: the service to call, the bucket to write to.

Their libraries are loaded here, when they are needed: most of what reads a run needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from batchinfer._version import __version__
from batchinfer.backends.redact import Redactor
from batchinfer.config import BucketAccess, ServiceAccess
from batchinfer.domain import Json
from batchinfer.flow.cargo import MAX_REPLY, MEMORY

if TYPE_CHECKING:
    from batchinfer.backends.http import HttpBackend
    from batchinfer.backends.s3 import S3Bucket


def service_of(
    access: ServiceAccess,
    redact: Redactor,
    *,
    timeout: float,
    params: Mapping[str, Json] | None = None,
    connect_timeout: float = 30.0,
    send_timeout: float = 60.0,
    first_byte_timeout: float | None = None,
    memory: int = MEMORY,
    max_reply: int = MAX_REPLY,
    bandwidth: float | None = None,
) -> AbstractAsyncContextManager[HttpBackend]:
    """The service, called for at most `timeout` seconds. All else, and errors: `http_backend`."""
    from batchinfer.backends.http import http_backend  # noqa: PLC0415

    return http_backend(
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
        bandwidth=bandwidth,
        redact=redact,
        user_agent=f"batchinfer/{__version__}",
    )


def bucket_of(
    access: BucketAccess,
    redact: Redactor,
    *,
    patience: float = 60.0,
    read_timeout: float = 60.0,
    send_timeout: float = 60.0,
    bandwidth: float | None = None,
) -> AbstractAsyncContextManager[S3Bucket]:
    """The bucket, waited for at most `patience` seconds. All else, and errors: `s3_bucket`."""
    from batchinfer.backends.s3 import s3_bucket  # noqa: PLC0415

    return s3_bucket(
        endpoint=access.endpoint,
        name=access.name,
        access_key=access.access_key,
        secret_key=access.secret_key,
        region=access.region,
        ca_file=access.ca_file,
        verify=access.verify,
        redact=redact,
        patience=patience,
        read_timeout=read_timeout,
        send_timeout=send_timeout,
        bandwidth=bandwidth,
    )
