"""Resolves a `Config`: references are expanded, defaults filled in, everything is checked.

Only what the mode needs is expanded and required: an async run does not need the token. Messages
name a setting as the Dashboard does (docs/platform.md, "What the Dashboard shows").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batchinfer import defaults
from batchinfer.backends.redaction import Redactor
from batchinfer.config.env_files import get_env_file_path
from batchinfer.config.interpolation import (
    expand,
    expand_text,
    iter_reference_names,
    parse_reference,
)
from batchinfer.config.loader import ENV_PREFIX
from batchinfer.config.run_settings import (
    BucketSettings,
    ClusterSettings,
    PayloadSettings,
    RunSettings,
    ServiceSettings,
    WatchSettings,
    iter_endpoint_notices,
)
from batchinfer.config.sections import (
    PARAMS_SECTION,
    SECTIONS,
    Config,
    ServiceSection,
    WatchSection,
)
from batchinfer.config.source_resolver import resolve_source
from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.config.value_parsers import Secret
from batchinfer.domain import Json, Mode
from batchinfer.errors import ConfigError, IncompleteConfig, SourceError
from batchinfer.protocols.inference_protocol import InferenceProtocol
from batchinfer.protocols.protocol_options import BadProtocolOption
from batchinfer.protocols.registry import OPTIONS_SECTION, load_protocol
from batchinfer.sources.item_choice import ItemChoice
from batchinfer.sources.selection import Selection
from batchinfer.text_format import escape_undecodable


def resolve_payload_settings(config: Config, env: Mapping[str, str]) -> PayloadSettings:
    """Resolve all but where items are sent to. Raises ConfigError."""
    resolver = _Resolver(config, config.complete_environment(env))
    options = resolver.expand_table(OPTIONS_SECTION, config.protocol_options)
    resolver.resolve_protocol(options)
    file_param = resolver.resolve_text("input", "file_param")
    selection = resolver.resolve_selection()
    params = resolver.expand_table(PARAMS_SECTION, config.params)
    if resolver.problems:
        raise IncompleteConfig(resolver.format_problems())
    secrets = _collect_secrets(config, env)
    return PayloadSettings(
        config.mode,
        config.service.protocol,
        file_param,
        selection,
        params,
        secrets,
        options,
        resolve_source(config, resolver.env),
    )


def resolve_run_settings(config: Config, env: Mapping[str, str]) -> RunSettings:
    """Resolve everything. Raises ConfigError: what is missing or wrong, and where to find it.

    No error message holds a secret, or any value that came from `${NAME}`.
    """
    env = config.complete_environment(env)
    resolver = _Resolver(config, env)
    options = resolver.expand_table(OPTIONS_SECTION, config.protocol_options)
    protocol = resolver.resolve_protocol(options)
    services = _resolve_services(resolver, protocol)
    target = services[0] if services else _RESOLVE_TARGET[config.mode](resolver, protocol)
    file_param = resolver.resolve_text("input", "file_param")
    selection = resolver.resolve_selection()
    params = resolver.expand_table(PARAMS_SECTION, config.params)
    scratch = None if config.run.scratch is None else resolver.resolve_text("run", "scratch")
    cluster = _resolve_cluster(resolver)
    reuse = tuple([resolver.expand_path(each) for each in config.run.reuse])
    if len(services) > 1 and cluster is not None:
        resolver.problems.append(
            "Several services cannot be called by the workers of a cluster: choose one of them "
            'with --service NAME, or set on = "none" in [cluster].'
        )
    if resolver.problems:
        raise IncompleteConfig(resolver.format_problems())
    run, source = config.run, resolve_source(config, env)
    return RunSettings(
        mode=config.mode,
        protocol=config.service.protocol,
        protocol_options=options,
        target=target,
        file_param=file_param,
        selection=selection,
        params=params,
        concurrency=run.concurrency,
        rate=run.rate,
        bandwidth=run.bandwidth,
        memory=run.memory,
        max_reply=run.max_reply,
        timeout=run.timeout or defaults.ATTEMPT_TIMEOUT[config.mode],
        first_answer_timeout=max(run.cold_start, run.timeout or 0.0),
        connect_timeout=run.connect_timeout,
        send_timeout=run.send_timeout,
        first_byte_timeout=run.first_byte_timeout,
        max_attempts=run.max_attempts,
        max_failures=run.max_failures,
        cold_start=run.cold_start,
        give_up_after=run.give_up_after,
        deadline=run.deadline,
        hedge=run.hedge,
        stop_after=run.stop_after,
        grace=run.grace,
        scratch=scratch,
        secrets=_collect_secrets(config, env),
        services=services,
        cluster=cluster,
        source=source,
        notices=(
            *(notice for file in config.env_files for notice in file.notices),
            *(
                notice
                for each in services or (target,)
                for notice in iter_endpoint_notices(each.endpoint, verify=each.verify)
            ),
            *iter_endpoint_notices(source.store.endpoint or "", verify=source.store.verify),
        ),
        watch=_resolve_watch(config.watch),
        choice=ItemChoice(config.input.sample, config.input.seed, config.input.order),
        reuse=reuse,
    )


def _resolve_watch(given: WatchSection) -> WatchSettings | None:
    if not given.enabled:
        return None
    return WatchSettings(
        settle=given.settle,
        interval=given.interval,
        events=given.events,
        again_when_changed=given.again_when_changed,
        until_idle=given.until_idle,
    )


_SETTING_LABELS = {
    ("service", "endpoint"): "Endpoint",
    ("service", "token"): "Token",
    ("bucket", "endpoint"): "MINIO URL",
    ("bucket", "name"): "MINIO bucket",
    ("bucket", "access_key"): "MINIO access key",
    ("bucket", "secret_key"): "MINIO secret key",
}
_DASHBOARD_PAGE = "Inference, Serverless (OSCAR), Info of the service"
_TEMPLATE_PLACEHOLDER = "..."
"""What `CONFIG_TEMPLATE` contains where a value has to be filled in."""


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Looks up values and collects problems, so that all are reported at once."""

    config: Config
    env: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def resolve_text(self, section: str, key: str) -> str:
        """The value, expanded and trimmed; "", and a problem, when there is none."""
        given: str | Secret | None = getattr(getattr(self.config, section), key)
        if given is None:
            variable = f"{ENV_PREFIX}{section}_{key}".upper()
            self.add_problem(section, key, f"is missing in the config, and {variable} is not set")
            return ""
        if isinstance(given, Secret) and parse_reference(given.text) is None:
            return given.text
        written = given.text if isinstance(given, Secret) else given
        problem_count = len(self.problems)
        expanded = expand_text(written, self._make_lookup(section, key)).strip()
        if len(self.problems) > problem_count:
            return ""
        if _TEMPLATE_PLACEHOLDER in expanded and (section, key) in _SETTING_LABELS:
            self.add_problem(section, key, "is not filled in yet")
        return expanded

    def resolve_protocol(self, options: Mapping[str, Json]) -> InferenceProtocol | None:
        """The protocol. One that is missing, or lacks the mode, or cannot use its options, is a
        problem; None: it cannot be used.
        """  # noqa: D205 - one thought
        name, mode = self.config.service.protocol, self.config.mode
        if self.problems:  # of the options: something in them is not there
            return None
        try:
            protocol = load_protocol(name, options)
        except BadProtocolOption as error:
            redactor = Redactor(collect_named_secrets(self.config, self.env).values())
            self.problems.append(redactor.redact_text(error.message))
            return None
        except ConfigError as error:
            self.add_problem("service", "protocol", f"cannot be used: {error.message}")
            return None
        if mode not in protocol.modes:
            offered = " or ".join(mode for mode in Mode if mode in protocol.modes)
            self.problems.append(f'The protocol "{name}" has no {mode} mode: use {offered} mode.')
        return protocol

    def resolve_selection(self) -> Selection:
        """Which files are sent. A pattern that cannot be used is a problem."""
        given = self.config.input
        include = [
            *self._expand_patterns("include", given.include),
            *self._expand_patterns("glob", given.glob),
        ]
        exclude = self._expand_patterns("exclude", given.exclude)
        for key, found in (("include", include), ("exclude", exclude)):
            try:
                Selection.of(include=found)
            except SourceError as error:
                self.add_problem("input", key, f"cannot be understood: {error.message}")
        if self.problems:
            return Selection()
        return Selection.of(include, exclude, given.only, given.shard, given.frames)

    def _expand_patterns(self, key: str, given: Sequence[str]) -> list[str]:
        return [
            escape_undecodable(expand_text(each, self._make_lookup("input", key)).strip())
            for each in given
        ]

    def expand_path(self, written: str) -> str:
        """The path of an earlier run."""
        return expand_text(written, self._make_lookup("run", "reuse")).strip()

    def expand_table(self, section: str, table: Mapping[str, Json]) -> Mapping[str, Json]:
        """The values of a section of any keys, expanded."""
        return {
            name: expand(value, self._make_lookup(section, name)) for name, value in table.items()
        }

    def add_problem(self, section: str, key: str, what: str) -> None:
        """Note what is wrong, with the place and the name that the Dashboard shows."""
        where = self.config.origins.get(f"{section}.{key}", f"[{section}] {key}")
        label = _SETTING_LABELS.get((section, key))
        named = f' (on the Dashboard: "{label}")' if label else ""
        self.problems.append(f"{where} {what}{named}")

    def format_problems(self) -> str:
        """All problems, each once, and where to look."""
        lines = list(dict.fromkeys(self.problems))
        if any("on the Dashboard" in problem for problem in lines):
            lines.append(
                f"The Dashboard shows what {self.config.mode} mode needs: {_DASHBOARD_PAGE}."
            )
        return "\n".join(lines)

    def _make_lookup(self, section: str, key: str) -> Callable[[str], str]:
        def lookup(name: str) -> str:
            value = self.env.get(name, "").strip()
            if not value:
                state = "empty" if name in self.env else "not set"
                file = get_env_file_path(self.config.file or Path(DEFAULT_CONFIG_FILE))
                what = (
                    f"needs the environment variable {name}, which is {state}: "
                    f'export {name}="...", or write {name}="..." into {file}'
                )
                self.add_problem(section, key, what)
            return value

        return lookup


def _resolve_service(resolver: _Resolver, protocol: InferenceProtocol | None) -> ServiceSettings:
    has_token = resolver.config.service.token is not None
    needs_token = protocol is None or protocol.needs_token
    return ServiceSettings(
        endpoint=_resolve_endpoint(resolver, "service"),
        token=_resolve_credential(resolver, "service", "token") if has_token or needs_token else "",
        ca_file=_resolve_ca_file(resolver, "service"),
        verify=resolver.config.service.verify,
    )


def _resolve_services(
    resolver: _Resolver, protocol: InferenceProtocol | None
) -> tuple[ServiceSettings, ...]:
    """The services that take part, where several are configured. Problems are noted."""
    config = resolver.config
    names = [str(each.name) for each in config.services]
    for name in config.run.service:
        if name not in names:
            there_is = f"There are {', '.join(names)}" if names else "Only one is configured"
            resolver.problems.append(f'There is no service "{name}". {there_is}.')
    if not config.services:
        return ()
    if config.mode.uses_bucket:
        resolver.problems.append(
            "Several services ([[service]]) are for sync mode; async mode has one [bucket]."
        )
        return ()
    chosen = [
        each
        for each in config.services
        if not config.run.service or each.name in config.run.service
    ]
    return tuple(_resolve_one_of_several(resolver, each, protocol) for each in chosen)


def _resolve_one_of_several(
    resolver: _Resolver, section: ServiceSection, protocol: InferenceProtocol | None
) -> ServiceSettings:
    origins = dict(resolver.config.origins)
    for each in fields(section):
        place = origins.get(f"service.{section.name}.{each.name}")
        origins[f"service.{each.name}"] = place or f'[[service]] "{section.name}" {each.name}'
    config = replace(resolver.config, service=section, origins=origins)
    settings = _resolve_service(replace(resolver, config=config), protocol)
    return replace(settings, name=section.name)


def _resolve_bucket(resolver: _Resolver, _protocol: InferenceProtocol | None) -> BucketSettings:
    name = resolver.resolve_text("bucket", "name")
    if "/" in name or not name.isprintable():
        resolver.add_problem("bucket", "name", "is not a bucket name (no slashes, no URL)")
    return BucketSettings(
        endpoint=_resolve_endpoint(resolver, "bucket"),
        name=name,
        access_key=_resolve_credential(resolver, "bucket", "access_key"),
        secret_key=_resolve_credential(resolver, "bucket", "secret_key"),
        region=resolver.resolve_text("bucket", "region"),
        notifications=resolver.config.bucket.notifications != "off",
        ca_file=_resolve_ca_file(resolver, "bucket"),
        verify=resolver.config.bucket.verify,
    )


_RESOLVE_TARGET: Mapping[
    Mode, Callable[[_Resolver, InferenceProtocol | None], ServiceSettings | BucketSettings]
] = {Mode.SYNC: _resolve_service, Mode.ASYNC: _resolve_bucket}
"""What items of each mode are sent to."""


def _resolve_endpoint(resolver: _Resolver, section: str) -> str:
    url = resolver.resolve_text(section, "endpoint").rstrip("/")
    if url and (problem := _find_url_problem(url)):
        resolver.add_problem(section, "endpoint", problem)
    return url


def _find_url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "is not a URL that begins with https://"
    if parts.username is not None or parts.password is not None:
        return "contains a user name or a password: leave them out"
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        return "is not the plain URL of a service"
    return None


def _resolve_credential(resolver: _Resolver, section: str, key: str) -> str:
    value = resolver.resolve_text(section, key)
    if not value.isascii() or any(
        character.isspace() or not character.isprintable() for character in value
    ):
        resolver.add_problem(section, key, "contains a space or an invalid character (not shown)")
    return value


def _resolve_ca_file(resolver: _Resolver, section: str) -> str | None:
    if getattr(resolver.config, section).ca_file is None:
        return None
    path = resolver.resolve_text(section, "ca_file")
    if path and not Path(path).is_file():
        resolver.add_problem(section, "ca_file", "is not a file")
    return path


def _resolve_cluster(resolver: _Resolver) -> ClusterSettings | None:
    """The cluster; None: attempts are made in this process."""
    given = resolver.config.cluster
    texts = {
        key: resolver.resolve_text("cluster", key)
        for key in _CLUSTER_TEXTS
        if getattr(given, key) is not None
    }
    is_named = bool(given.scheduler or given.scheduler_file or given.workers)
    if given.on == "none" or (given.on is None and not is_named):
        return None
    if given.scheduler and given.scheduler_file:
        resolver.add_problem("cluster", "scheduler", "and scheduler_file both name a cluster")
    if given.workers and (given.scheduler or given.scheduler_file):
        resolver.add_problem(
            "cluster", "workers", "starts workers on this machine: it goes without a scheduler"
        )
    return ClusterSettings(workers=given.workers, lease=given.lease, **texts)


_CLUSTER_TEXTS = ("scheduler", "scheduler_file", "tls_ca_file", "tls_cert", "tls_key")


def _collect_secrets(config: Config, env: Mapping[str, str]) -> tuple[str, ...]:
    found = {*collect_named_secrets(config, env).values(), *find_proxy_passwords(env)}
    return tuple(sorted(found - {""}, key=lambda value: (-len(value), value)))


def collect_named_secrets(config: Config, env: Mapping[str, str]) -> Mapping[str, str]:
    """The value of every secret of the configuration by its setting, or by its variable."""
    tables: Json = [dict(config.params), dict(config.protocol_options)]
    found = {f"${{{name}}}": env.get(name, "").strip() for name in iter_reference_names(tables)}
    for section in SECTIONS:
        for each in fields(SECTIONS[section]):
            match getattr(getattr(config, section), each.name):
                case Secret(text):
                    name = parse_reference(text)
                    value = text if name is None else env.get(name, "").strip()
                    found[f"{section}.{each.name}"] = value
                case _:
                    pass
    for service in config.services:
        match service.token:
            case Secret(text):
                name = parse_reference(text)
                value = text if name is None else env.get(name, "").strip()
                found[f"service.{service.name}.token"] = value
            case None:
                pass
    return {name: value for name, value in found.items() if value}


def find_proxy_passwords(env: Mapping[str, str]) -> Iterator[str]:
    """The passwords in the addresses of proxies, as written and as they are sent."""
    for name, address in env.items():
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            user, separator, _ = address.rpartition("@")
            password = user.rpartition("//")[2].partition(":")[2]
            if separator and password:
                yield from (password, unquote(password))
