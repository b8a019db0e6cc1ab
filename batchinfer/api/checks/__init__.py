"""`batchinfer check`: everything that can be seen before anything is sent, as ticks and crosses.

Rules of the room: each check stands for itself, one that fails hides no other; nothing starts a
prediction, but a probe that was asked for; nothing is left behind; no finding holds a secret.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from batchinfer.api.checks.bucket import check_bucket
from batchinfer.api.checks.findings import Finding, State, Tell
from batchinfer.api.checks.probe import probe
from batchinfer.api.checks.service import check_service, check_token
from batchinfer.backends.redact import Redactor, is_weak
from batchinfer.config import (
    ENV_FILE,
    Bucket,
    BucketAccess,
    Config,
    Resolved,
    ServiceAccess,
    load,
    named_secrets,
    resolve,
)
from batchinfer.domain import Mode
from batchinfer.errors import BatchInferError, ConfigError
from batchinfer.ports import Observer

__all__ = ["Finding", "Order", "State", "check"]

EXIT_GOOD, EXIT_BAD, EXIT_CONFIG = 0, 1, 2

_PLACEHOLDER: Final = "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be checked."""

    config: Path | None
    env: Mapping[str, str] = field(repr=False)
    env_file: Path | None = None
    """With more variables; others are found beside `config`."""
    wait: float = 30.0
    """Seconds that the service is waited for."""
    probe: Path | None = None
    """A file to send through the service, once in each mode."""
    known: Collection[str] = ()
    """Ids of runs whose objects in the bucket are no leftovers."""


async def check(order: Order, tell: Tell, observer: Observer) -> int:
    """Check all that is configured, telling each finding as soon as it is known; the exit code.

    `observer` hears of waiting during a probe.
    """
    desk = _Desk(order, tell)
    try:
        config = load(order.config, order.env, {ENV_FILE: order.env_file})
    except ConfigError as error:
        desk.note(Finding("config", State.BAD, str(error)))
        return EXIT_CONFIG
    ready = list(desk.resolved(config))
    for resolved in ready:
        await desk.look(resolved)
    if order.probe is not None:
        for resolved in ready:
            desk.note(await probe(order.probe, config, order.env, resolved, observer))
    return desk.exit_code


class _Desk:
    """Where findings are noted."""

    def __init__(self, order: Order, tell: Tell) -> None:
        self._order, self._tell = order, tell
        self._redact = Redactor(())
        self.exit_code = EXIT_GOOD

    def note(self, finding: Finding) -> None:
        """Tell a finding, and remember the worst."""
        if finding.state is State.BAD:
            worse = EXIT_CONFIG if finding.check == "config" else EXIT_BAD
            self.exit_code = max(self.exit_code, worse)
        self._tell(replace(finding, message=self._redact.text(finding.message)))

    def resolved(self, config: Config) -> Iterator[Resolved]:
        """Every mode that is configured and complete."""
        for mode in Mode:
            if mode is not config.mode and not _is_begun(config, mode):
                continue
            try:
                found = resolve(
                    replace(config, run=replace(config.run, mode=mode)), self._order.env
                )
            except ConfigError as error:
                self.note(Finding("config", State.BAD, str(error), mode))
                continue
            self._redact = Redactor(found.secrets)
            self.note(Finding("config", State.GOOD, "complete", mode))
            for notice in found.notices:
                self.note(Finding("config", State.NOTE, notice.message, mode))
            for name, secret in named_secrets(config, self._order.env).items():
                if secret in found.secrets and is_weak(secret):
                    self.note(Finding("secrets", State.NOTE, _WEAK.format(name=name), mode))
            yield found

    async def look(self, resolved: Resolved) -> None:
        """Look at one mode."""
        try:
            match resolved.access:
                case ServiceAccess() as service:
                    check_token(service.token, self.note)
                    await check_service(service, self._redact, self.note, self._order.wait)
                case BucketAccess() as bucket:
                    await check_bucket(bucket, self._redact, self.note, self._order.known)
        except BatchInferError as error:
            name = "config" if isinstance(error, ConfigError) else "other"
            self.note(Finding(name, State.BAD, str(error), resolved.mode))


_WEAK = (
    "the secret {name} is short or a plain word: in logs and messages *** replaces every text that"
    " happens to hold it, and in predictions it is not masked. A long random one is better"
)


def _is_begun(config: Config, mode: Mode) -> bool:
    """Whether somebody has begun to fill in what a mode needs."""
    if mode is Mode.SYNC:
        return config.service.endpoint is not None and _PLACEHOLDER not in config.service.endpoint
    named = config.bucket.name or config.bucket.endpoint or ""
    return config.bucket != Bucket() and _PLACEHOLDER not in named
