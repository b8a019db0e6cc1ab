"""Opens the service to call, or the bucket to write to, as configured.

Their libraries are imported only when they are needed: most of what reads a run needs neither.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer._version import __version__
from batchinfer.backends.redaction import Redactor
from batchinfer.config import BucketSettings, RunSettings, ServiceSettings
from batchinfer.errors import ConfigError
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.machine_limits import get_max_concurrent_calls
from batchinfer.protocols.registry import load_protocol

MAX_BUCKET_CONNECTIONS = 64
"""To the bucket's store, at most; fewer where fewer files may be open."""
STORE_RETRY_SECONDS = 60.0
"""Seconds that one call to the object store is tried again; then it counts as unreachable."""

if TYPE_CHECKING:
    from batchinfer.backends.http_backend import HttpBackend
    from batchinfer.backends.notification_listener import NotifiedBucketClient


def get_service(settings: RunSettings) -> ServiceSettings:
    """The service that is called. Raises ConfigError when the settings are those of a bucket."""
    if isinstance(settings.target, ServiceSettings):
        return settings.target
    raise ConfigError("Calls need [service] endpoint and token.")


def get_bucket(settings: RunSettings) -> BucketSettings:
    """The bucket that is written to. Raises ConfigError when the settings are those of calls."""
    if isinstance(settings.target, BucketSettings):
        return settings.target
    raise ConfigError("A run in sync mode has nothing in a bucket: there is nothing to clean.")


def open_service(
    settings: RunSettings,
    *,
    spool_dir: Path | None = None,
    bandwidth: BandwidthLimiter | None = None,
) -> AbstractAsyncContextManager[HttpBackend]:
    """Open the service that is called. `spool_dir` and errors: see `open_http_backend`.

    `bandwidth`: in place of one as configured.
    """
    from batchinfer.backends.http_backend import open_http_backend  # noqa: PLC0415

    service = get_service(settings)
    return open_http_backend(
        protocol=load_protocol(settings.protocol, settings.protocol_options),
        endpoint=service.endpoint,
        token=service.token,
        ca_file=service.ca_file,
        verify=service.verify,
        params=settings.params,
        timeout=settings.timeout,
        connect_timeout=settings.connect_timeout,
        send_timeout=settings.send_timeout,
        first_byte_timeout=settings.first_byte_timeout,
        memory=settings.memory,
        max_reply=settings.max_reply,
        spool_dir=spool_dir,
        bandwidth=bandwidth or make_bandwidth_limiter(settings),
        redactor=Redactor(settings.secrets),
        user_agent=f"batchinfer/{__version__}",
    )


def open_bucket(
    settings: RunSettings,
    *,
    retry_timeout: float = STORE_RETRY_SECONDS,
    read_timeout: float = STORE_RETRY_SECONDS,
    bandwidth: BandwidthLimiter | None = None,
) -> AbstractAsyncContextManager[NotifiedBucketClient]:
    """Open a bucket; calls are retried for `retry_timeout` seconds. All else: `open_s3_bucket`.

    `bandwidth`: in place of one as configured.
    """
    from batchinfer.backends.s3 import open_s3_bucket  # noqa: PLC0415
    from batchinfer.backends.split_bucket import open_split_bucket  # noqa: PLC0415

    access, max_calls = get_bucket(settings), get_max_concurrent_calls()
    open_named = partial(
        open_s3_bucket,
        endpoint=access.endpoint,
        access_key=access.access_key,
        secret_key=access.secret_key,
        region=access.region,
        ca_file=access.ca_file,
        verify=access.verify,
        redactor=Redactor(settings.secrets),
        retry_timeout=retry_timeout,
        read_timeout=read_timeout,
        send_timeout=settings.send_timeout,
        bandwidth=bandwidth or make_bandwidth_limiter(settings),
        concurrency=min(MAX_BUCKET_CONNECTIONS, max_calls or MAX_BUCKET_CONNECTIONS),
    )
    names = load_protocol(settings.protocol, settings.protocol_options).bucket
    if names is None or names.output_bucket in {None, access.name}:
        return open_named(name=access.name)
    outputs = open_named(name=names.output_bucket)
    return open_split_bucket(open_named(name=access.name), outputs, names.outputs_prefix)


def make_bandwidth_limiter(settings: RunSettings) -> BandwidthLimiter | None:
    """What bounds how fast is sent, as configured; None: nothing."""
    return BandwidthLimiter(settings.bandwidth) if settings.bandwidth else None
