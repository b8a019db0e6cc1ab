"""The configuration as it was given: sections and keys, each with its reader and its default.

This is the one place that says which keys there are: the file, the environment and the flags are
all read by the tables below. Values are held unexpanded (`${NAME}`), so that nothing here is a
secret but what a person wrote out; and that is a `Secret`, which does not show itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeAlias

from batchinfer import defaults
from batchinfer.config import value_parsers
from batchinfer.config.env_files import EnvFile, merge_env
from batchinfer.config.interpolation import parse_reference
from batchinfer.config.value_parsers import Concurrency, MaxFailures, Percent, Secret
from batchinfer.domain import Json, Mode
from batchinfer.protocols.registry import DEFAULT_PROTOCOL, OPTIONS_SECTION
from batchinfer.sources.item_choice import Order
from batchinfer.sources.shard import Shard
from batchinfer.sources.source_formats import AUTO_FORMAT
from batchinfer.videos.frame_rule import FrameRule


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSection:
    """The service as sync mode calls it."""

    endpoint: str | None = field(default=None, metadata={"read": value_parsers.parse_text})
    """Address of the service, as the Dashboard shows it ("Endpoint")."""
    token: Secret | None = field(default=None, metadata={"read": value_parsers.parse_secret})
    """The service's token ("Token")."""
    protocol: str = field(
        default=DEFAULT_PROTOCOL, metadata={"read": value_parsers.parse_plugin_name}
    )
    """What is sent and how answers are read, in both modes: the name of an installed protocol."""
    ca_file: str | None = field(
        default=None, metadata={"read": value_parsers.parse_text, "path": True}
    )
    """Certificates to trust besides the system's (PEM); absolute."""
    verify: bool = field(default=True, metadata={"read": value_parsers.parse_boolean})
    """False: accept any certificate (unsafe)."""
    name: str | None = field(default=None, metadata={"read": value_parsers.parse_service_name})
    """What it is called, where there are several `[[service]]` of one model; else of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSection:
    """The bucket of async mode."""

    endpoint: str | None = field(default=None, metadata={"read": value_parsers.parse_text})
    """Address of the object store ("MINIO URL")."""
    name: str | None = field(default=None, metadata={"read": value_parsers.parse_text})
    """The bucket ("MINIO bucket")."""
    access_key: Secret | None = field(default=None, metadata={"read": value_parsers.parse_secret})
    """The "MINIO access key"."""
    secret_key: Secret | None = field(default=None, metadata={"read": value_parsers.parse_secret})
    """The "MINIO secret key"."""
    region: str = field(default=defaults.BUCKET_REGION, metadata={"read": value_parsers.parse_text})
    """Region of the object store."""
    notifications: str = field(
        default="auto", metadata={"read": value_parsers.parse_notification_choice}
    )
    """Whether MinIO's live notifications of outputs are used, where the store offers them."""
    ca_file: str | None = field(
        default=None, metadata={"read": value_parsers.parse_text, "path": True}
    )
    """Certificates to trust besides the system's (PEM); absolute."""
    verify: bool = field(default=True, metadata={"read": value_parsers.parse_boolean})
    """False: accept any certificate (unsafe)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSection:
    """What of the source is sent, and as what."""

    file_param: str = field(
        default=defaults.FILE_PARAM, metadata={"read": value_parsers.parse_text}
    )
    """The model's parameter that takes the file."""
    include: tuple[str, ...] = field(default=(), metadata={"read": value_parsers.parse_texts})
    """Patterns: which files of a folder; none: all that are not hidden, nor left by a system."""
    exclude: tuple[str, ...] = field(default=(), metadata={"read": value_parsers.parse_texts})
    """Patterns: which files, and whole folders, are left out."""
    only: tuple[str, ...] = field(default=(), metadata={"read": value_parsers.parse_file_kinds})
    """Kinds of files: images, audio, video; none: of any kind."""
    glob: tuple[str, ...] = field(default=(), metadata={"read": value_parsers.parse_texts})
    """As `include`, to which it adds; the name of older versions."""
    shard: Shard | None = field(default=None, metadata={"read": value_parsers.parse_shard})
    """Only part I of N of the items, as "3/16", by a hash of their keys; None: all."""
    source_format: str = field(
        default=AUTO_FORMAT,
        metadata={"read": value_parsers.parse_source_format, "stored": False},
    )
    """What the sources are, if their names do not say it; a run keeps it with its sources."""
    frames: FrameRule | None = field(
        default=None, metadata={"read": value_parsers.parse_frame_rule}
    )
    """Frames of videos instead of the videos: "every=2s", "fps=1" or "n=20" of each; None: none."""
    sample: int | None = field(default=None, metadata={"read": value_parsers.parse_count})
    """Only so many items, each with the same chance; None: all."""
    seed: int = field(default=0, metadata={"read": value_parsers.parse_seed})
    """Which sample, and which random order: the same seed gives the same."""
    order: Order = field(default=Order.PATH, metadata={"read": value_parsers.parse_order})
    """In which order items are sent: path, newest (first), random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSection:
    """How inputs are reached that are not on this machine: `s3://` and `https://`."""

    endpoint: str | None = field(default=None, metadata={"read": value_parsers.parse_text})
    """Address of the object store of `s3://`, and of what `token` is for. None: AWS, or
    `AWS_ENDPOINT_URL`."""
    region: str | None = field(default=None, metadata={"read": value_parsers.parse_text})
    """Region of the object store. None: as AWS' own programs find it."""
    access_key: Secret | None = field(default=None, metadata={"read": value_parsers.parse_secret})
    """Access key of the object store. None: as AWS' own programs find it, or none at all."""
    secret_key: Secret | None = field(default=None, metadata={"read": value_parsers.parse_secret})
    """Secret key of the object store."""
    session_token: Secret | None = field(
        default=None, metadata={"read": value_parsers.parse_secret}
    )
    """What belongs to keys that are valid for some hours."""
    token: Secret | None = field(default=None, metadata={"read": value_parsers.parse_secret})
    """Bearer token of `https://` inputs; sent to the host of `endpoint` only."""
    ca_file: str | None = field(
        default=None, metadata={"read": value_parsers.parse_text, "path": True}
    )
    """Certificates to trust in place of the system's (PEM); absolute."""
    verify: bool = field(default=True, metadata={"read": value_parsers.parse_boolean})
    """False: accept any certificate (unsafe)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSection:
    """How the run goes about it. Durations in seconds."""

    mode: Mode | None = field(default=None, metadata={"read": value_parsers.parse_mode})
    """None: sync, unless only a bucket is configured."""
    concurrency: Concurrency = field(
        default=Concurrency(), metadata={"read": value_parsers.parse_concurrency}
    )
    """Calls in flight (sync), objects submitted and unfinished (async)."""
    rate: float | None = field(default=None, metadata={"read": value_parsers.parse_rate})
    """Attempts started per second, at most; None: no such limit."""
    bandwidth: float | None = field(default=None, metadata={"read": value_parsers.parse_bandwidth})
    """Bytes sent per second, at most; None: no such limit."""
    memory: int = field(default=defaults.MEMORY_BYTES, metadata={"read": value_parsers.parse_size})
    """Bytes of files and replies that are in memory at a time; one that is larger goes alone."""
    max_reply: int = field(
        default=defaults.MAX_REPLY_BYTES, metadata={"read": value_parsers.parse_size}
    )
    """Bytes of one reply, decompressed; an item whose reply is larger fails (reply_too_large)."""
    timeout: float | None = field(default=None, metadata={"read": value_parsers.parse_duration})
    """Of one attempt; in async mode from submission to output. None: 10 minutes, 1 hour."""
    connect_timeout: float = field(
        default=defaults.CONNECT_TIMEOUT, metadata={"read": value_parsers.parse_duration}
    )
    """Of one call: until the connection is there (sync mode)."""
    send_timeout: float = field(
        default=defaults.SEND_TIMEOUT, metadata={"read": value_parsers.parse_duration}
    )
    """Of one call or upload: while it is sent, without any of it being accepted."""
    first_byte_timeout: float | None = field(
        default=None, metadata={"read": value_parsers.parse_duration}
    )
    """Of one call: from the end of its sending to the first of its answer (sync mode). None: as
    long as `timeout` allows."""
    max_attempts: int = field(
        default=defaults.MAX_ATTEMPTS, metadata={"read": value_parsers.parse_count}
    )
    """Attempts at an item whose failure may pass."""
    max_failures: MaxFailures | None = field(
        default=None, metadata={"read": value_parsers.parse_max_failures}
    )
    """The run is given up when more items have failed; None: never."""
    cold_start: float = field(
        default=defaults.COLD_START_TIMEOUT, metadata={"read": value_parsers.parse_duration}
    )
    """How long a service that never answered is waited for."""
    give_up_after: float = field(
        default=defaults.GIVE_UP_AFTER, metadata={"read": value_parsers.parse_duration}
    )
    """How long a service that answered before is waited for."""
    deadline: float | None = field(default=None, metadata={"read": value_parsers.parse_duration})
    """Of one item with all its attempts; None: none."""
    hedge: bool = field(default=True, metadata={"read": value_parsers.parse_boolean})
    """Whether the last calls in flight get a second one when they take unusually long."""
    service: tuple[str, ...] = field(
        default=(), metadata={"read": value_parsers.parse_texts, "stored": False}
    )
    """Which of several services take part, by their names; none: all."""
    stop_after: float | None = field(
        default=None, metadata={"read": value_parsers.parse_duration, "stored": False}
    )
    """How long a process works before it stops as by Ctrl-C; None: until the run is done."""
    grace: float | None = field(
        default=None, metadata={"read": value_parsers.parse_duration, "stored": False}
    )
    """How long calls in flight may go on after a stop before they are cut off; None: up to their
    timeout."""
    scratch: str | None = field(
        default=None, metadata={"read": value_parsers.parse_text, "path": True, "stored": False}
    )
    """Folder on a local disk to work in; the run is copied back from there. For a run directory on
    a network file system."""
    reuse: tuple[str, ...] = field(
        default=(), metadata={"read": value_parsers.parse_runs, "path": True}
    )
    """Directories of earlier runs: what they have of the same file, service and parameters is
    taken over, and not computed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSection:
    """How sources are watched that grow (`batchinfer watch`). Durations in seconds."""

    enabled: bool = field(default=False, metadata={"read": value_parsers.parse_boolean})
    """Whether the run never ends, and takes what is added to its sources; `batchinfer watch` sets
    it."""
    settle: float = field(
        default=defaults.WATCH_SETTLE_SECONDS, metadata={"read": value_parsers.parse_duration}
    )
    """A file is taken when it has stayed as it is for so long."""
    interval: float = field(
        default=defaults.WATCH_INTERVAL_SECONDS, metadata={"read": value_parsers.parse_duration}
    )
    """Between two scans, at least: fewer where nothing comes, or a scan takes long."""
    events: bool = field(default=True, metadata={"read": value_parsers.parse_boolean})
    """Whether the system is asked to tell what is new (inotify, FSEvents); scans then are rare."""
    again_when_changed: bool = field(default=False, metadata={"read": value_parsers.parse_boolean})
    """Whether a file that was sent and has changed since is sent again: a new attempt, whose
    result replaces the earlier one."""
    until_idle: float | None = field(
        default=None, metadata={"read": value_parsers.parse_duration, "stored": False}
    )
    """End when all is done and nothing new has come for so long; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSection:
    """Where attempts are made, if not in this process. Not kept with the run: it may go on
    anywhere.
    """  # noqa: D205 - one thought

    on: str | None = field(default=None, metadata={"read": value_parsers.parse_cluster_kind})
    """"dask": by the workers of a Dask cluster; "none": in this process. None: on a cluster, if one
    of the keys below says which."""
    scheduler: str | None = field(default=None, metadata={"read": value_parsers.parse_text})
    """Address of Dask's scheduler, as "tcp://10.0.0.1:8786"."""
    scheduler_file: str | None = field(
        default=None, metadata={"read": value_parsers.parse_text, "path": True}
    )
    """The file in which `dask scheduler --scheduler-file` says its address."""
    workers: int | None = field(default=None, metadata={"read": value_parsers.parse_count})
    """Processes that are started on this machine; None: one for each core."""
    tls_ca_file: str | None = field(
        default=None, metadata={"read": value_parsers.parse_text, "path": True}
    )
    """Dask's `tls-ca-file` (PEM)."""
    tls_cert: str | None = field(
        default=None, metadata={"read": value_parsers.parse_text, "path": True}
    )
    """Dask's `tls-cert` of a client (PEM)."""
    tls_key: str | None = field(
        default=None, metadata={"read": value_parsers.parse_text, "path": True}
    )
    """Dask's `tls-key` of a client (PEM)."""
    lease: float = field(
        default=defaults.LEASE_SECONDS, metadata={"read": value_parsers.parse_duration}
    )
    """A worker that does not hear of this process for so long gives up what it has in flight."""


Section: TypeAlias = (
    ServiceSection
    | BucketSection
    | InputSection
    | SourceSection
    | RunSection
    | WatchSection
    | ClusterSection
)

SECTIONS: Mapping[str, type[Section]] = {
    "service": ServiceSection,
    "bucket": BucketSection,
    "input": InputSection,
    "source": SourceSection,
    "run": RunSection,
    "watch": WatchSection,
    "cluster": ClusterSection,
}
"""Every section of fixed keys; the others are the `FREE_SECTIONS`."""

PARAMS_SECTION = "params"
FREE_SECTIONS = (PARAMS_SECTION, OPTIONS_SECTION)
"""Sections of any keys: the model's parameters, and the options of the protocol."""
SERVICES_SECTION = "services"
"""What a run directory keeps of several services, each as its section; `service` is the first."""
ORIGIN_SECTION = "origin"
"""Not a section of a config, but of what a run directory keeps of it: where it came from."""

WRITTEN_SECRETS_KEY = "source_secrets"
"""In it: keys of `[source]` whose secrets were written out, and so are not kept."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that was configured, by section; `${NAME}` unexpanded."""

    service: ServiceSection = field(default_factory=ServiceSection)
    bucket: BucketSection = field(default_factory=BucketSection)
    input: InputSection = field(default_factory=InputSection)
    params: Mapping[str, Json] = field(default_factory=dict)
    protocol_options: Mapping[str, Json] = field(default_factory=dict)
    """The section `[protocol]`."""
    run: RunSection = field(default_factory=RunSection)
    watch: WatchSection = field(default_factory=WatchSection)
    cluster: ClusterSection = field(default_factory=ClusterSection)
    source: SourceSection = field(default_factory=SourceSection)
    services: tuple[ServiceSection, ...] = ()
    """Several services of one model, of which `service` is the first; empty: there is one."""
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Where each value comes from, for messages: `section.first_key` -> "sync.toml: [section]
    key".
    """
    file: Path | None = field(default=None, compare=False)
    """The config file; of a run that goes on, the one it was started with."""
    env_files: tuple[EnvFile, ...] = field(default=(), repr=False, compare=False)
    """Files of environment variables that were found, those that win first."""
    raw_params: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """The parameters that were given by `--param`, as they were typed."""

    @property
    def mode(self) -> Mode:
        """The mode as given, or as what is configured suggests."""
        if self.run.mode is not None:
            return self.run.mode
        only_bucket = self.service.endpoint is None and self.bucket != BucketSection()
        return Mode.ASYNC if only_bucket else Mode.SYNC

    def to_tables(self) -> Mapping[str, Json]:
        """What was configured: enough to resume, given the secrets.

        Holds what differs from the defaults, and the mode. A secret that is not exactly `${NAME}`
        is left out, and so is what concerns one process only: `stop_after`, `grace`, `scratch`, and
        the cluster.
        """
        tables: dict[str, dict[str, Json]] = {
            "service": _collect_non_defaults(self.service),
            "bucket": _collect_non_defaults(self.bucket),
            "input": _collect_non_defaults(self.input),
            "source": _collect_non_defaults(self.source),
            PARAMS_SECTION: dict(self.params),
            OPTIONS_SECTION: dict(self.protocol_options),
            "run": {**_collect_non_defaults(self.run), "mode": self.mode.value},
            "watch": _collect_non_defaults(self.watch),
        }
        stored: dict[str, Json] = {name: table for name, table in tables.items() if table}
        if self.services:
            stored[SERVICES_SECTION] = [_collect_non_defaults(each) for each in self.services]
        return stored

    def to_stored_tables(self) -> Mapping[str, Json]:
        """`unexpanded`, and the files it came from: what a run directory keeps."""
        files: dict[str, Json] = {} if self.file is None else {"file": str(self.file)}
        named = [str(each.path) for each in self.env_files if each.is_named]
        files |= {"env_file": named[0]} if named else {}
        if written_out := _list_written_secrets(self.source):
            files[WRITTEN_SECRETS_KEY] = written_out
        return {**self.to_tables(), **({ORIGIN_SECTION: files} if files else {})}

    def complete_environment(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """Where `${NAME}` is looked up: `env`, completed by the files of variables."""
        return merge_env(env, self.env_files)


def _list_written_secrets(section: SourceSection) -> list[Json]:
    values = {each.name: getattr(section, each.name) for each in fields(section)}
    return [
        name
        for name, value in values.items()
        if isinstance(value, Secret) and parse_reference(value.text) is None
    ]


def _collect_non_defaults(section: Section) -> dict[str, Json]:
    table: dict[str, Json] = {}
    for each in fields(section):
        value = getattr(section, each.name)
        match value:
            case _ if value == each.default or not each.metadata.get("stored", True):
                continue
            case Secret(text) if parse_reference(text) is None:
                continue
            case Secret(text):
                table[each.name] = text
            case Percent() | Concurrency() | Shard() | FrameRule() | Order():
                table[each.name] = str(value)
            case tuple():
                table[each.name] = value[0] if len(value) == 1 else list(value)
            case _:
                table[each.name] = value
    return table
