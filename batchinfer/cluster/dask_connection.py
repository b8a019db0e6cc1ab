"""Finds the Dask cluster of a run, or starts one on this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batchinfer.cluster.cluster_security import TlsFiles, make_temporary_security
from batchinfer.cluster.worker_transport import WorkerTransport
from batchinfer.errors import BatchInferError, ConfigError
from batchinfer.extras import import_optional
from batchinfer.ports import Notice

if TYPE_CHECKING:
    from distributed import Client, Security

CONNECT_CLUSTER_SECONDS: Final = 30.0
"""Seconds that a scheduler is given to answer at first."""
_IGNORE_INTERRUPTS: Final = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers of this machine do first: Ctrl-C reaches them, too, and is for the coordinator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAddress:
    """Where the cluster is; nothing of it: one is started on this machine."""

    scheduler: str | None = None
    """Address of the scheduler, as `tcp://10.0.0.1:8786`."""
    scheduler_file: str | None = None
    """The file that `dask scheduler --scheduler-file` writes."""
    workers: int | None = None
    """How many processes are started here; None: one for each core."""
    tls_files: TlsFiles = field(default_factory=TlsFiles)
    client: Any = None
    """A `distributed.Client` of the user, whose scheduler and security are used."""
    connect_seconds: float = CONNECT_CLUSTER_SECONDS
    """Seconds that the scheduler is given to answer."""


@asynccontextmanager
async def open_dask_transport(address: ClusterAddress) -> AsyncIterator[WorkerTransport]:
    """The cluster at `address`. Raises ConfigError: Dask is missing, or no scheduler answers."""
    import_optional("distributed", "A run on Dask", "dask")
    from batchinfer.cluster.dask_transport import DaskTransport  # noqa: PLC0415 - imports Dask

    async with AsyncExitStack() as stack:
        security = _make_security(address)
        if address.client is None:
            stack.enter_context(_silence_logs())
            if address.scheduler is None and address.scheduler_file is None:
                security = make_temporary_security()
                try:
                    local = await stack.enter_async_context(
                        _start_local_cluster(address.workers, security)
                    )
                except (OSError, RuntimeError) as error:
                    raise ConfigError(
                        f"The workers could not be started on this machine ({error}). Is there "
                        "memory for that many (--workers)? In a script, start the run below "
                        '`if __name__ == "__main__":`.'
                    ) from None
                address = ClusterAddress(scheduler=local)

        async def connect() -> Client:
            return await _connect(_find_scheduler(address), security, address.connect_seconds)

        try:
            client = await connect()
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            scheduler = _find_scheduler(address)
            if explanation := address.tls_files.explain(scheduler, error):
                raise ConfigError(
                    f"The Dask scheduler at {scheduler} cannot be used. {explanation}"
                ) from None
            raise ConfigError(
                f"The Dask scheduler at {scheduler} does not answer "
                f"({str(error) or type(error).__name__}). Start it with `dask scheduler`, or let "
                "batchinfer start workers here: leave the address out."
            ) from None
        except BatchInferError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever its reading of other bytes comes to
            raise ConfigError(
                f"What answers at {_find_scheduler(address)} is no Dask scheduler "
                f"({type(error).__name__}). Name the address that `dask scheduler` prints, or let "
                "batchinfer start workers here: leave it out."
            ) from None
        transport = DaskTransport(client, connect)
        stack.push_async_callback(transport.close)
        yield transport


def find_plain_connection(addresses: list[str]) -> Notice | None:
    """A warning when secrets cross a network unencrypted to one of these workers."""
    for address in addresses:
        scheme, _, place = address.partition("://")
        host = place.rpartition(":")[0].strip("[]")
        if scheme == "tcp" and not _is_loopback_address(host):
            return Notice(
                "plain_cluster",
                f"The connection to the worker {address} is not encrypted: the network in between "
                "can read the credentials of the run and all results. Use a cluster with TLS "
                "(tls://; see docs/how-to/cluster.md) on a network that you do not trust.",
            )
    return None


def _is_loopback_address(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _find_scheduler(address: ClusterAddress) -> str:
    """The address of the scheduler; read anew each time, for it may have moved."""
    if address.client is not None:
        return str(address.client.scheduler.address)
    if address.scheduler is not None:
        return address.scheduler
    file = Path(address.scheduler_file or "")
    try:
        found = json.loads(file.read_text())["address"]
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: there is no such file. `dask scheduler --scheduler-file {file}` writes it."
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{file} is not a file that `dask scheduler` has written.") from None
    return str(found)


async def _connect(scheduler: str, security: Security | None, timeout: float) -> Client:  # noqa: ASYNC109 - the client's
    from distributed import Client  # noqa: PLC0415 - an extra

    client = Client(
        scheduler,
        security=security,
        asynchronous=True,
        direct_to_workers=True,
        set_as_default=False,
        timeout=timeout,
        name="batchinfer",
    )
    try:
        return await client
    except BaseException:
        await client.close()
        raise


def _make_security(address: ClusterAddress) -> Security | None:
    if address.client is not None:
        security: Security = address.client.security
        return security
    return address.tls_files.make_security() if address.tls_files.are_given else None


@asynccontextmanager
async def _start_local_cluster(workers: int | None, security: Security) -> AsyncIterator[str]:
    """Workers of this machine, a process each, reached on the loopback only."""
    from dask.system import CPU_COUNT  # noqa: PLC0415 - an extra
    from distributed import LocalCluster  # noqa: PLC0415 - an extra

    async with LocalCluster(
        n_workers=workers or CPU_COUNT,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        security=security,
        asynchronous=True,
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        memory_limit=0,  # each has a budget of its own
        silence_logs=logging.CRITICAL,
        preload=[_IGNORE_INTERRUPTS],
    ) as cluster:
        yield str(cluster.scheduler_address)


@contextmanager
def _silence_logs() -> Iterator[None]:
    """Keep Dask's log out of the terminal: what matters is said as an event."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
