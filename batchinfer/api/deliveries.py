"""The deliveries, by mode: how items reach the service, and how its answers come back.

This is the one place that distinguishes calls (sync mode) from a bucket (async mode). What is sent,
and what an answer means, is up to the protocol. Backends do the sending, and their
libraries are imported only when something is sent.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchinfer.api.clients import (
    STORE_RETRY_SECONDS,
    get_bucket,
    get_service,
    open_bucket,
    open_service,
)
from batchinfer.api.help_requests import (
    MAX_HELP_CALL_SECONDS,
    fetch_help_by_call,
    fetch_help_by_job,
)
from batchinfer.backends.redaction import Redactor
from batchinfer.config import Config, RunSettings
from batchinfer.domain import Failure, Mode
from batchinfer.errors import ConfigError, FatalError, RunAborted
from batchinfer.flow.memory_budget import MemoryBudget
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.ports import Backend, Observer, OutputWatcher
from batchinfer.protocols.inference_protocol import BucketProtocol, CurlRequest
from batchinfer.protocols.object_ids import new_epoch
from batchinfer.protocols.output_files_protocol import OutputFilesProtocol
from batchinfer.protocols.registry import load_protocol

if TYPE_CHECKING:
    from batchinfer.api.checks.findings import OnFinding
    from batchinfer.backends.bucket_client import BucketClient

OUTPUT_PAIR_GRACE_SECONDS: Final = 30.0
"""Seconds that the missing half of a pair of outputs is waited for; less when all else is quick."""


class Delivery(ABC):
    """How items of one mode are delivered."""

    max_adaptive_limit: int
    """What an adaptive limit goes up to, unless the configuration says otherwise."""
    limited_noun: str
    """What the limit is for, in the singular."""

    @abstractmethod
    def open_backend(
        self,
        settings: RunSettings,
        run_id: str,
        run_dir: Path,
        *,
        clean: bool,
        epoch: str,
        bandwidth: BandwidthLimiter | None,
    ) -> AbstractAsyncContextManager[tuple[Backend, OutputWatcher | None]]:
        """Open what sends items, and what watches for outputs where they do not come back.

        `epoch`, `bandwidth`: as in `open_backend`.
        """

    @abstractmethod
    async def fetch_help(
        self, settings: RunSettings, observer: Observer, *, cold_start_timeout: float
    ) -> str | Failure:
        """Ask the service for a description of its model. Raises FatalError."""

    @abstractmethod
    async def check(
        self,
        settings: RunSettings,
        on_finding: OnFinding,
        *,
        wait_seconds: float,
        known_run_ids: Collection[str],
    ) -> None:
        """Report what can be seen before anything is sent (`batchinfer check`)."""

    @abstractmethod
    def describe_destination(self, settings: RunSettings) -> str:
        """Where items are sent to; no secret."""

    @abstractmethod
    def format_curl_options(
        self, config: Config, settings: RunSettings, request: CurlRequest
    ) -> tuple[Sequence[str], Sequence[str]]:
        """The beginning of a curl command that sends a request, and the lines with its secrets."""

    @abstractmethod
    def open_bucket(self, settings: RunSettings) -> AbstractAsyncContextManager[BucketClient]:
        """Open the bucket. Raises ConfigError when there is none."""


class CallDelivery(Delivery):
    """By HTTP calls."""

    max_adaptive_limit = 512
    """Each costs a connection."""
    limited_noun = "running call"

    @asynccontextmanager
    async def open_backend(
        self,
        settings: RunSettings,
        run_id: str,  # noqa: ARG002 - of use to buckets only
        run_dir: Path,
        *,
        clean: bool,  # noqa: ARG002
        epoch: str,  # noqa: ARG002
        bandwidth: BandwidthLimiter | None,
    ) -> AsyncIterator[tuple[Backend, OutputWatcher | None]]:
        """See Delivery."""
        async with open_service(settings, spool_dir=run_dir, bandwidth=bandwidth) as http_backend:
            yield http_backend, None

    async def fetch_help(
        self, settings: RunSettings, observer: Observer, *, cold_start_timeout: float
    ) -> str | Failure:
        """See Delivery."""
        timeout = min(settings.timeout, MAX_HELP_CALL_SECONDS)
        call_settings = replace(settings, timeout=timeout, first_byte_timeout=None)
        async with open_service(call_settings) as service:
            return await fetch_help_by_call(
                service, observer, cold_start_timeout=cold_start_timeout
            )

    async def check(
        self,
        settings: RunSettings,
        on_finding: OnFinding,
        *,
        wait_seconds: float,
        known_run_ids: Collection[str],  # noqa: ARG002
    ) -> None:
        """See Delivery."""
        from batchinfer.api.checks.service_check import check_service, check_token  # noqa: PLC0415

        check_token(settings, on_finding)
        await check_service(settings, on_finding, wait_seconds)

    def describe_destination(self, settings: RunSettings) -> str:
        """See Delivery."""
        return " or ".join(each.target.endpoint for each in settings.split_by_service())

    def format_curl_options(
        self, config: Config, settings: RunSettings, request: CurlRequest
    ) -> tuple[Sequence[str], Sequence[str]]:
        """See Delivery."""
        from batchinfer.api.curl import format_call_options  # noqa: PLC0415

        protocol = load_protocol(settings.protocol, settings.protocol_options)
        service = get_service(settings)
        return format_call_options(config, service, settings.timeout, protocol, request)

    def open_bucket(
        self,
        settings: RunSettings,  # noqa: ARG002
    ) -> AbstractAsyncContextManager[BucketClient]:
        """See Delivery."""
        raise ConfigError("A run in sync mode has nothing in a bucket: there is nothing to clean.")


class BucketDelivery(Delivery):
    """Through a bucket: input objects are put, outputs are polled for."""

    max_adaptive_limit = 1_000
    """Each costs a job, which the cluster keeps for a month (docs/platform.md)."""
    limited_noun = "submitted item"

    @asynccontextmanager
    async def open_backend(
        self,
        settings: RunSettings,
        run_id: str,
        run_dir: Path,  # noqa: ARG002
        *,
        clean: bool,
        epoch: str,
        bandwidth: BandwidthLimiter | None,
    ) -> AsyncIterator[tuple[Backend, OutputWatcher | None]]:
        """See Delivery."""
        from batchinfer.backends.bucket_backend import BucketBackend  # noqa: PLC0415
        from batchinfer.backends.notification_trust import MAX_TRUSTED_PAUSE  # noqa: PLC0415
        from batchinfer.backends.output_notifications import OutputNotifications  # noqa: PLC0415
        from batchinfer.backends.output_watcher import BucketOutputWatcher  # noqa: PLC0415
        from batchinfer.backends.payload_loader import PayloadLoader  # noqa: PLC0415

        grace_seconds = min(OUTPUT_PAIR_GRACE_SECONDS, settings.timeout / 4)
        redactor, memory_budget = Redactor(settings.secrets), MemoryBudget(settings.memory)
        protocol = load_protocol(settings.protocol, settings.protocol_options)
        names = get_bucket_protocol(settings)
        if isinstance(names, OutputFilesProtocol) and names.quiet_seconds >= settings.timeout:
            raise ConfigError(
                f"[protocol] quiet ({names.quiet_seconds:g} s) must be less than [run] timeout "
                f"({settings.timeout:g} s): outputs would count as lost before they are complete."
            )
        # One call to a store that does not answer must not outlast the patience of the whole run.
        retry_timeout = min(
            STORE_RETRY_SECONDS, settings.cold_start / 4, settings.give_up_after / 4
        )
        async with open_bucket(
            settings,
            retry_timeout=retry_timeout,
            read_timeout=max(retry_timeout, 1.0),
            bandwidth=bandwidth,
        ) as bucket:
            loader = PayloadLoader(protocol, settings.params, Mode.ASYNC, redactor=redactor)
            bucket_backend = BucketBackend(
                bucket, names, loader, run_id, memory_budget, epoch=epoch
            )
            watcher = BucketOutputWatcher(
                bucket,
                protocol=names,
                run_id=run_id,
                redactor=redactor,
                grace_seconds=grace_seconds,
                clean=clean,
                memory=memory_budget,
                max_reply=settings.max_reply,
                verifier=bucket_backend,
                notifications=OutputNotifications(
                    names,
                    run_id,
                    bucket if get_bucket(settings).notifications else None,
                    undecided_pause=grace_seconds / 2,
                    # A lost output has to be found long before its item counts as lost.
                    max_pause=min(MAX_TRUSTED_PAUSE, settings.timeout / 12),
                ),
            )
            yield bucket_backend, watcher

    async def fetch_help(
        self, settings: RunSettings, observer: Observer, *, cold_start_timeout: float
    ) -> str | Failure:
        """See Delivery."""
        protocol, redactor = (
            load_protocol(settings.protocol, settings.protocol_options),
            Redactor(settings.secrets),
        )
        async with self.open_bucket(settings) as bucket:
            return await fetch_help_by_job(
                bucket, protocol, observer, redactor, timeout=cold_start_timeout
            )

    async def check(
        self,
        settings: RunSettings,
        on_finding: OnFinding,
        *,
        wait_seconds: float,  # noqa: ARG002
        known_run_ids: Collection[str],
    ) -> None:
        """See Delivery."""
        from batchinfer.api.checks.bucket_check import check_bucket  # noqa: PLC0415

        await check_bucket(settings, get_bucket_protocol(settings), on_finding, known_run_ids)

    def describe_destination(self, settings: RunSettings) -> str:
        """See Delivery."""
        prefix = get_bucket_protocol(settings).inputs_prefix
        return f"{settings.target.endpoint}/{get_bucket(settings).name}/{prefix}"

    def format_curl_options(
        self,
        config: Config,
        settings: RunSettings,
        request: CurlRequest,  # noqa: ARG002
    ) -> tuple[Sequence[str], Sequence[str]]:
        """See Delivery."""
        from batchinfer.api.curl import format_bucket_options  # noqa: PLC0415

        return format_bucket_options(config, get_bucket(settings), get_bucket_protocol(settings))

    def open_bucket(self, settings: RunSettings) -> AbstractAsyncContextManager[BucketClient]:
        """See Delivery."""
        return open_bucket(settings)


DELIVERIES: Final[Mapping[Mode, Delivery]] = {
    Mode.SYNC: CallDelivery(),
    Mode.ASYNC: BucketDelivery(),
}


@asynccontextmanager
async def open_backend(
    settings: RunSettings,
    run_id: str,
    run_dir: Path,
    *,
    clean: bool = False,
    epoch: str | None = None,
    bandwidth: BandwidthLimiter | None = None,
) -> AsyncIterator[tuple[Backend, OutputWatcher | None]]:
    """Open the delivery of a run: what sends its items, and what watches for their outputs.

    `run_dir`: the folder where large replies are kept while they are read. `epoch`: what tells the
    objects of this process from those of others; None: a new one. `bandwidth`: of all that is sent,
    in place of one as configured. Raises RunAborted when the
    address cannot be called, ConfigError.
    """
    delivery = DELIVERIES[settings.mode]
    epoch = epoch or new_epoch(secrets.token_bytes(6))
    try:
        async with delivery.open_backend(
            settings, run_id, run_dir, clean=clean, epoch=epoch, bandwidth=bandwidth
        ) as opened:
            yield opened
    except FatalError as error:
        raise RunAborted(error.code, error.message) from None


@asynccontextmanager
async def open_other_backends(
    settings: RunSettings, run_id: str, run_dir: Path, bandwidth: BandwidthLimiter | None
) -> AsyncIterator[Sequence[Backend]]:
    """Those of all services but the first; none: there is one. As `open_backend`."""
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(
                open_backend(each, run_id, run_dir, bandwidth=bandwidth)
            )
            for each in settings.split_by_service()[1:]
        ]
        yield [backend for backend, _ in opened]


def get_bucket_protocol(settings: RunSettings) -> BucketProtocol:
    """What the protocol of a run says of buckets. Raises ConfigError if it knows of none."""
    bucket_protocol = load_protocol(settings.protocol, settings.protocol_options).bucket
    if bucket_protocol is None:
        raise ConfigError(f'The protocol "{settings.protocol}" uses no bucket.')
    return bucket_protocol
