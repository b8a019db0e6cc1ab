"""From settings to what carries items: the service to call, the bucket to write to.

Their libraries are imported when they are needed: most of what reads a run needs neither.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer._version import __version__
from batchinfer.backends.redaction import Redactor
from batchinfer.config import BucketSettings, RunSettings, ServiceSettings
from batchinfer.domain import Mode
from batchinfer.errors import FatalError, RunAborted
from batchinfer.flow.memory_budget import MemoryBudget
from batchinfer.machine_limits import get_max_concurrent_calls
from batchinfer.ports import Backend, OutputWatcher

MAX_BUCKET_CONNECTIONS = 64
"""To the bucket's store, at most; fewer where fewer files may be open."""
STORE_RETRY_SECONDS = 60.0
"""Seconds that one call to the object store is tried again; then it counts as unreachable."""
OUTPUT_PAIR_GRACE_SECONDS = 30.0
"""Seconds to wait for the missing half of a pair of outputs; less when the timeout is short."""

if TYPE_CHECKING:
    from batchinfer.backends.http_backend import HttpBackend
    from batchinfer.backends.s3 import S3BucketClient


@asynccontextmanager
async def open_backend(
    settings: RunSettings, run_id: str, run_dir: Path, *, clean: bool = False
) -> AsyncIterator[tuple[Backend, OutputWatcher | None]]:
    """What carries the items of a run; async mode has a watcher of outputs, too.

    Needs neither the run's lock nor its source. `run_dir`: where large replies are kept while they
    are read. `clean`: delete objects whose results are recorded. Raises RunAborted for an address
    that cannot be called.
    """
    redactor = Redactor(settings.secrets)
    try:
        match settings.target:
            case ServiceSettings() as service:
                async with open_service(service, settings, redactor, spool=run_dir) as backend:
                    yield backend, None
            case BucketSettings() as bucket:
                async with _open_bucket_delivery(
                    bucket, settings, redactor, run_id, clean=clean
                ) as delivery:
                    yield delivery
    except FatalError as error:
        raise RunAborted(error.code, str(error)) from None


@asynccontextmanager
async def _open_bucket_delivery(
    access: BucketSettings, settings: RunSettings, redactor: Redactor, run_id: str, *, clean: bool
) -> AsyncIterator[tuple[Backend, OutputWatcher]]:
    from batchinfer.backends.bucket_backend import BucketBackend  # noqa: PLC0415
    from batchinfer.backends.output_watcher import BucketOutputWatcher  # noqa: PLC0415
    from batchinfer.backends.payload_loader import PayloadLoader  # noqa: PLC0415

    # One call that gets no answer must not outlast what the run waits for the whole store.
    retry_timeout = min(STORE_RETRY_SECONDS, settings.cold_start / 4, settings.give_up_after / 4)
    async with open_bucket(
        access,
        settings,
        redactor,
        retry_timeout=retry_timeout,
        read_timeout=max(retry_timeout, 1.0),
    ) as bucket:
        loader = PayloadLoader(settings.params, Mode.ASYNC, redactor=redactor)
        memory_budget = MemoryBudget(settings.memory)
        backend = BucketBackend(bucket, loader, run_id, memory_budget)
        watcher = BucketOutputWatcher(
            bucket,
            run_id=run_id,
            redactor=redactor,
            grace_seconds=min(OUTPUT_PAIR_GRACE_SECONDS, settings.timeout / 4),
            clean=clean,
            memory=memory_budget,
            max_reply=settings.max_reply,
            verifier=backend,
        )
        yield backend, watcher


def open_service(
    service: ServiceSettings,
    settings: RunSettings,
    redactor: Redactor,
    *,
    spool: Path | None = None,
) -> AbstractAsyncContextManager[HttpBackend]:
    """Open the service of `settings`. `spool` and errors: see `open_http_backend`."""
    from batchinfer.backends.http_backend import open_http_backend  # noqa: PLC0415

    return open_http_backend(
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
        spool_dir=spool,
        bandwidth=settings.bandwidth,
        redactor=redactor,
        user_agent=f"batchinfer/{__version__}",
    )


def open_bucket(
    bucket: BucketSettings,
    settings: RunSettings,
    redactor: Redactor,
    *,
    retry_timeout: float = STORE_RETRY_SECONDS,
    read_timeout: float = STORE_RETRY_SECONDS,
) -> AbstractAsyncContextManager[S3BucketClient]:
    """Open the bucket of `settings`. The timeouts (seconds) and errors: see `open_s3_bucket`."""
    from batchinfer.backends.s3 import open_s3_bucket  # noqa: PLC0415

    max_calls = get_max_concurrent_calls() or MAX_BUCKET_CONNECTIONS
    return open_s3_bucket(
        endpoint=bucket.endpoint,
        name=bucket.name,
        access_key=bucket.access_key,
        secret_key=bucket.secret_key,
        region=bucket.region,
        ca_file=bucket.ca_file,
        verify=bucket.verify,
        redactor=redactor,
        retry_timeout=retry_timeout,
        read_timeout=read_timeout,
        send_timeout=settings.send_timeout,
        bandwidth=settings.bandwidth,
        concurrency=min(MAX_BUCKET_CONNECTIONS, max_calls),
    )
