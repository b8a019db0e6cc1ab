"""From a `Config` to what a run is made with: references expanded, defaults settled, all checked.

Only what the mode needs is expanded and demanded: an async run does not ask for the token. The
places to find things are those of the Dashboard (contract, section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from batchinfer.config.loading import PREFIX
from batchinfer.config.noticing import notices_of
from batchinfer.config.references import expand, expand_text, names, reference
from batchinfer.config.sections import SECTIONS, Config
from batchinfer.config.values import Concurrency, MaxFailures, Secret
from batchinfer.domain import Json, Mode
from batchinfer.errors import ConfigError
from batchinfer.ports import Notice


@dataclass(frozen=True, slots=True)
class ServiceAccess:
    """All that a sync call needs."""

    endpoint: str
    token: str = field(repr=False)
    ca_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """All that the bucket's client needs."""

    endpoint: str
    name: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    ca_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a run is made with. Durations in seconds, sizes in bytes, rates per second."""

    mode: Mode
    access: ServiceAccess | BucketAccess
    """The one of `mode`."""
    file_param: str
    glob: str | None
    params: Mapping[str, Json] = field(repr=False)
    concurrency: Concurrency
    rate: float | None
    bandwidth: float | None
    memory: int
    max_reply: int
    timeout: float
    connect_timeout: float
    send_timeout: float
    first_byte_timeout: float | None
    max_attempts: int
    max_failures: MaxFailures | None
    cold_start: float
    give_up_after: float
    deadline: float | None
    hedge: bool
    secrets: tuple[str, ...] = field(repr=False)
    """Every secret value, the longest first, for whoever redacts what the service wrote."""
    notices: tuple[Notice, ...] = ()
    """What a person should know before anything is sent."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is sent, wherever to: as in `Resolved`."""

    mode: Mode
    file_param: str
    glob: str | None
    params: Mapping[str, Json] = field(repr=False)


def resolve_contents(config: Config, env: Mapping[str, str]) -> Contents:
    """As `resolve`, without asking where anything is sent to. Raises ConfigError."""
    desk = _Desk(config, env)
    file_param = desk.text("input", "file_param")
    glob = desk.text("input", "glob") if config.input.glob else None
    params = desk.params()
    if desk.problems:
        raise ConfigError(desk.message())
    return Contents(config.mode, file_param, glob, params)


def resolve(config: Config, env: Mapping[str, str]) -> Resolved:
    """Expand, settle and check. Raises ConfigError: what is missing or wrong, and where to find it.

    No error message holds a secret, or any value that came from `${NAME}`.
    """
    desk = _Desk(config, env)
    sync = config.mode is Mode.SYNC
    access = _service(desk) if sync else _bucket(desk)
    file_param = desk.text("input", "file_param")
    glob = desk.text("input", "glob") if config.input.glob else None
    params = desk.params()
    if desk.problems:
        raise ConfigError(desk.message())
    run = config.run
    return Resolved(
        mode=config.mode,
        access=access,
        file_param=file_param,
        glob=glob,
        params=params,
        concurrency=run.concurrency,
        rate=run.rate,
        bandwidth=run.bandwidth,
        memory=run.memory,
        max_reply=run.max_reply,
        timeout=run.timeout or (600.0 if sync else 3600.0),
        connect_timeout=run.connect_timeout,
        send_timeout=run.send_timeout,
        first_byte_timeout=run.first_byte_timeout,
        max_attempts=run.max_attempts,
        max_failures=run.max_failures,
        cold_start=run.cold_start,
        give_up_after=run.give_up_after,
        deadline=run.deadline,
        hedge=run.hedge,
        secrets=_secrets(config, env),
        notices=tuple(notices_of(access.endpoint, verify=access.verify)),
    )


_LABELS = {
    ("service", "endpoint"): "Endpoint",
    ("service", "token"): "Token",
    ("bucket", "endpoint"): "MINIO URL",
    ("bucket", "name"): "MINIO bucket",
    ("bucket", "access_key"): "MINIO access key",
    ("bucket", "secret_key"): "MINIO secret key",
}
_PAGE = "Inference, Serverless (OSCAR), Info of the service"
_PLACEHOLDER = "..."
"""What `TEMPLATE` holds where a person has to fill something in."""


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where values are looked up and problems laid down, so that a person hears of all at once."""

    config: Config
    env: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def text(self, section: str, key: str) -> str:
        """The value, expanded and trimmed; "", and a problem, when there is none."""
        given: str | Secret | None = getattr(getattr(self.config, section), key)
        if given is None:
            variable = f"{PREFIX}{section}_{key}".upper()
            self.problem(section, key, f"is missing in the config, and {variable} is not set")
            return ""
        if isinstance(given, Secret) and reference(given.text) is None:
            return given.text
        written = given.text if isinstance(given, Secret) else given
        before = len(self.problems)
        found = expand_text(written, self._lookup(section, key)).strip()
        if len(self.problems) > before:
            return ""
        if _PLACEHOLDER in found and (section, key) in _LABELS:
            self.problem(section, key, "is not filled in yet")
        return found

    def params(self) -> Mapping[str, Json]:
        """The parameters, expanded."""
        given = self.config.params.items()
        return {name: expand(value, self._lookup("params", name)) for name, value in given}

    def problem(self, section: str, key: str, what: str) -> None:
        """Lay down what is wrong, with the place and the name it has on the Dashboard."""
        where = self.config.origins.get(f"{section}.{key}", f"[{section}] {key}")
        label = _LABELS.get((section, key))
        named = f' (on the Dashboard: "{label}")' if label else ""
        self.problems.append(f"{where} {what}{named}")

    def message(self) -> str:
        """All problems, each once, and where to look."""
        told = list(dict.fromkeys(self.problems))
        if any("on the Dashboard" in problem for problem in told):
            told.append(f"The Dashboard shows what {self.config.mode} mode needs: {_PAGE}.")
        return "\n".join(told)

    def _lookup(self, section: str, key: str) -> Callable[[str], str]:
        def lookup(name: str) -> str:
            value = self.env.get(name, "").strip()
            if not value:
                state = "empty" if name in self.env else "not set"
                what = (
                    f'needs the environment variable {name}, which is {state}: export {name}="..."'
                )
                self.problem(section, key, what)
            return value

        return lookup


def _service(desk: _Desk) -> ServiceAccess:
    return ServiceAccess(
        endpoint=_endpoint(desk, "service"),
        token=_credential(desk, "service", "token"),
        ca_file=_ca_file(desk, "service"),
        verify=desk.config.service.verify,
    )


def _bucket(desk: _Desk) -> BucketAccess:
    name = desk.text("bucket", "name")
    if "/" in name or not name.isprintable():
        desk.problem("bucket", "name", "is not the name of a bucket: it holds no folder and no URL")
    return BucketAccess(
        endpoint=_endpoint(desk, "bucket"),
        name=name,
        access_key=_credential(desk, "bucket", "access_key"),
        secret_key=_credential(desk, "bucket", "secret_key"),
        region=desk.text("bucket", "region"),
        ca_file=_ca_file(desk, "bucket"),
        verify=desk.config.bucket.verify,
    )


def _endpoint(desk: _Desk, section: str) -> str:
    url = desk.text(section, "endpoint").rstrip("/")
    if url and (fault := _fault(url)):
        desk.problem(section, "endpoint", fault)
    return url


def _fault(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "is not a URL that begins with https://"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or a password, which are of no use to the platform"
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        return "is not the plain URL of a service"
    return None


def _credential(desk: _Desk, section: str, key: str) -> str:
    value = desk.text(section, key)
    if not value.isascii() or any(sign.isspace() or not sign.isprintable() for sign in value):
        desk.problem(section, key, "holds a blank or a sign that no credential has (not shown)")
    return value


def _ca_file(desk: _Desk, section: str) -> str | None:
    if getattr(desk.config, section).ca_file is None:
        return None
    path = desk.text(section, "ca_file")
    if path and not Path(path).is_file():
        desk.problem(section, "ca_file", "is not a file")
    return path


def _secrets(config: Config, env: Mapping[str, str]) -> tuple[str, ...]:
    found = {env.get(name, "").strip() for name in names(config.params)}
    for section in SECTIONS:
        for each in fields(SECTIONS[section]):
            match getattr(getattr(config, section), each.name):
                case Secret(text):
                    name = reference(text)
                    found.add(text if name is None else env.get(name, "").strip())
                case _:
                    pass
    return tuple(sorted(found - {""}, key=lambda value: (-len(value), value)))
