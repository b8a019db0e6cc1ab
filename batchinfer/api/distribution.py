"""Attempts on the workers of a cluster: from settings to a backend over them.

The coordinator keeps all else. A worker opens the same backend as a local run, from the same
settings (`WorkerBackendFactory`), in a folder of its own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from batchinfer.api.deliveries import open_backend
from batchinfer.api.engine_settings import MAX_UPLOADS
from batchinfer.api.job import ResolvedJob
from batchinfer.config import ClusterSettings, RunSettings, find_proxy_passwords
from batchinfer.errors import FatalError, RunAborted
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.inputs.source_access import open_source_access
from batchinfer.ports import Backend, Observer


@dataclass(frozen=True, slots=True)
class WorkerBackendFactory:
    """Opens a run's backend in another process. See `BackendFactory`."""

    settings: RunSettings = field(repr=False)
    run_id: str
    epoch: str
    """What all workers of a process have in common in the names of their objects."""

    @asynccontextmanager
    async def __call__(
        self, scratch_folder: Path, bandwidth: BandwidthLimiter | None = None
    ) -> AsyncIterator[Backend]:
        """Open it; the proxies are those of the worker, and so are their passwords."""
        found = {*self.settings.secrets, *find_proxy_passwords(os.environ)} - {""}
        secrets = tuple(sorted(found, key=lambda secret: (-len(secret), secret)))
        settings = replace(self.settings, secrets=secrets)
        with open_source_access(settings.source):
            async with open_backend(
                settings, self.run_id, scratch_folder, epoch=self.epoch, bandwidth=bandwidth
            ) as opened:
                yield opened[0]


@asynccontextmanager
async def distribute_attempts(
    resolved: ResolvedJob, local: Backend, observer: Observer, factory: WorkerBackendFactory
) -> AsyncIterator[Backend]:
    """The backend that makes the attempts: `local`, or the workers of the job's cluster.

    Raises ConfigError, and RunAborted when no worker can take part.
    """
    settings, client = resolved.settings, resolved.job.client
    cluster = settings.cluster or (None if client is None else ClusterSettings())
    if cluster is None:
        yield local
        return
    from batchinfer.cluster.cluster_backend import (  # noqa: PLC0415 - for runs on a cluster only
        AdoptingBackend,
        BucketAttempts,
        open_cluster_backend,
    )
    from batchinfer.cluster.cluster_pool import ClusterPool  # noqa: PLC0415
    from batchinfer.cluster.cluster_security import TlsFiles  # noqa: PLC0415
    from batchinfer.cluster.dask_connection import ClusterAddress, open_dask_transport  # noqa: PLC0415
    from batchinfer.cluster.sealed_factory import seal_factory  # noqa: PLC0415
    from batchinfer.cluster.worker_transport import WorkerSetup  # noqa: PLC0415
    from batchinfer.cluster.worker_versions import describe_versions  # noqa: PLC0415
    from batchinfer.flow.memory_budget import MemoryBudget  # noqa: PLC0415

    setup = WorkerSetup(
        versions=describe_versions(settings.protocol),
        protocol=settings.protocol,
        lease_seconds=cluster.lease,
        bandwidth=settings.bandwidth,
        sealed_factory=seal_factory(factory),
    )
    address = ClusterAddress(
        scheduler=cluster.scheduler,
        scheduler_file=cluster.scheduler_file,
        workers=cluster.workers,
        tls_files=TlsFiles(cluster.tls_ca_file, cluster.tls_cert, cluster.tls_key),
        client=client,
    )
    try:
        async with open_dask_transport(address) as transport:
            pool = ClusterPool(
                transport,
                setup,
                observer,
                MemoryBudget(settings.memory),
                give_up_after=settings.give_up_after,
                bandwidth=settings.bandwidth,
                max_in_flight=MAX_UPLOADS if settings.mode.uses_bucket else None,
            )
            bucket_attempts = BucketAttempts(local) if isinstance(local, AdoptingBackend) else None
            async with open_cluster_backend(pool, bucket_attempts) as cluster_backend:
                yield cluster_backend
    except FatalError as error:
        raise RunAborted(error.code, error.message) from None
