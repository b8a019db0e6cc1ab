"""What a run is made with: settings that are complete and checked, with the secrets expanded."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from batchinfer import defaults
from batchinfer.config.value_parsers import Concurrency, MaxFailures
from batchinfer.domain import Json, Mode
from batchinfer.inputs.source_access import SourceSettings
from batchinfer.ports import Notice
from batchinfer.sources.item_choice import ItemChoice
from batchinfer.sources.selection import Selection


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """All that a sync call needs."""

    endpoint: str
    token: str = field(repr=False)
    """"": none, where the protocol needs none."""
    ca_file: str | None = None
    verify: bool = True
    name: str | None = None
    """Of one of several."""


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """All that the bucket's client needs."""

    endpoint: str
    name: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str = defaults.BUCKET_REGION
    notifications: bool = True
    """Whether live notifications are used, where the store offers them."""
    ca_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """The Dask cluster whose workers make the attempts; as in `ClusterSection`."""

    scheduler: str | None = None
    scheduler_file: str | None = None
    workers: int | None = None
    tls_ca_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    lease: float = defaults.LEASE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """How sources are watched; as in `WatchSection`."""

    settle: float = defaults.WATCH_SETTLE_SECONDS
    interval: float = defaults.WATCH_INTERVAL_SECONDS
    events: bool = True
    again_when_changed: bool = False
    until_idle: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What a run is made with. Durations in seconds, sizes in bytes, rates per second."""

    mode: Mode
    protocol: str
    """Name of an installed protocol that offers the mode (`protocols.registry.load_protocol`)."""
    target: ServiceSettings | BucketSettings
    """The one of `mode`; of several services the first."""
    file_param: str
    selection: Selection
    """Which files of a source are sent."""
    params: Mapping[str, Json] = field(repr=False)
    concurrency: Concurrency
    rate: float | None
    bandwidth: float | None
    memory: int
    max_reply: int
    timeout: float
    first_answer_timeout: float
    """How long a service that accepts calls may be silent before it ever answered: `cold_start`, or
    the timeout if a longer one is configured."""
    connect_timeout: float
    send_timeout: float
    first_byte_timeout: float | None
    max_attempts: int
    max_failures: MaxFailures | None
    cold_start: float
    give_up_after: float
    deadline: float | None
    hedge: bool
    stop_after: float | None
    grace: float | None
    scratch: str | None
    secrets: tuple[str, ...] = field(repr=False)
    """Every secret value, the longest first, for redaction of what the service writes."""
    protocol_options: Mapping[str, Json] = field(default_factory=dict, repr=False)
    """The protocol's own, for `load_protocol`."""
    services: tuple[ServiceSettings, ...] = ()
    """Several services that share the work; empty: there is one, `target`."""
    cluster: ClusterSettings | None = None
    """None: attempts are made in this process."""
    source: SourceSettings = field(default_factory=SourceSettings)
    """How inputs are reached that are not on this machine."""
    notices: tuple[Notice, ...] = ()
    """Warnings to show before anything is sent."""
    watch: WatchSettings | None = None
    """How the sources are watched; None: they are read once."""
    choice: ItemChoice = field(default_factory=ItemChoice)
    """Which of all items are sent, and in which order."""
    reuse: tuple[str, ...] = ()
    """Directories of runs whose results are taken over."""

    def split_by_service(self) -> Sequence[RunSettings]:
        """The settings of each service by itself, `target` being that service; often just one.

        They share the memory for payloads evenly.
        """
        if not self.services:
            return [self]
        memory = self.memory // len(self.services)
        return [
            replace(self, target=service, services=(), memory=memory) for service in self.services
        ]

    @property
    def service_name(self) -> str | None:
        """Name of the service, where it is one of several."""
        return self.target.name if isinstance(self.target, ServiceSettings) else None


@dataclass(frozen=True, slots=True)
class PayloadSettings:
    """What is sent, wherever to: as in `RunSettings`."""

    mode: Mode
    protocol: str
    file_param: str
    selection: Selection
    params: Mapping[str, Json] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    protocol_options: Mapping[str, Json] = field(default_factory=dict, repr=False)
    source: SourceSettings = field(default_factory=SourceSettings)


def iter_endpoint_notices(endpoint: str, *, verify: bool) -> Iterator[Notice]:
    """Warnings about an address that is not encrypted, or whose certificate is not checked."""
    parts = urlsplit(endpoint)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        yield Notice(
            "plain_http",
            f"{endpoint} is not encrypted: the network in between can read the credentials and the "
            "data. Use https:// if the service has it.",
        )
    if parts.scheme == "https" and not verify:
        yield Notice(
            "tls_unverified",
            f"The certificate of {endpoint} is not checked (verify = false): anybody could stand "
            "in for it. For a self-signed cluster, ca_file is the safe way.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
