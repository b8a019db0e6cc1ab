"""`batchinfer check`: everything that can be checked before anything is sent.

Checks are independent: one that fails hides no other. None starts a prediction but a probe that was
asked for; nothing is left behind; no finding contains a secret.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio

from batchinfer.api.checks.findings import Finding, FindingState, OnFinding
from batchinfer.api.checks.probe_check import run_probe
from batchinfer.api.checks.source_check import check_source_store
from batchinfer.api.deliveries import DELIVERIES
from batchinfer.api.job_sources import run_in_thread
from batchinfer.api.model_agreement import (
    ask_all_services,
    find_disagreements,
    make_disagreement_notice,
)
from batchinfer.backends.redaction import Redactor, is_weak_secret
from batchinfer.config import (
    ENV_FILE_FLAG,
    BucketSection,
    Config,
    RunSettings,
    SourceSection,
    collect_named_secrets,
    load_config,
    resolve_run_settings,
)
from batchinfer.config.source_resolver import resolve_source
from batchinfer.domain import Failure, Mode
from batchinfer.errors import BatchInferError, ConfigError, FatalError
from batchinfer.ports import Observer
from batchinfer.progress import QuietDisplay
from batchinfer.protocols.registry import load_protocol

EXIT_CHECKS_PASSED, EXIT_CHECK_FAILED, EXIT_CONFIG_ERROR = 0, 1, 2

_UNFILLED_VALUE: Final = "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """What is to be checked."""

    config: Path | None
    env: Mapping[str, str] = field(repr=False)
    env_file: Path | None = None
    """With more variables; others are found beside `config`."""
    wait_seconds: float = 30.0
    """Seconds that the service is waited for."""
    services: tuple[str, ...] = ()
    """Of several services those that are looked at, by their names; none: all."""
    probe_file: Path | None = None
    """A file to send through the service, once in each mode."""
    known_run_ids: Collection[str] = ()
    """Ids of runs whose objects in the bucket are no leftovers."""


async def run_checks(request: CheckRequest, on_finding: OnFinding, observer: Observer) -> int:
    """Check all that is configured, reporting each finding as soon as it is known; the exit code.

    `observer` hears of waiting during a probe.
    """
    checker = _Checker(request, on_finding)
    try:
        flags = {ENV_FILE_FLAG: request.env_file, "run.service": request.services}
        config = load_config(request.config, request.env, flags)
    except ConfigError as error:
        checker.report(Finding("config", FindingState.BAD, str(error)))
        return EXIT_CONFIG_ERROR
    complete_modes = list(checker.resolve_modes(config))
    for settings in complete_modes:
        await checker.check_mode(settings)
    if config.source != SourceSection():
        env = config.complete_environment(request.env)
        checker.report(await run_in_thread(check_source_store, resolve_source(config, env)))
    if request.probe_file is not None:
        for settings in complete_modes:
            checker.report(
                await run_probe(request.probe_file, config, request.env, settings, observer)
            )
    return checker.exit_code


class _Checker:
    """Where findings are noted."""

    def __init__(self, request: CheckRequest, on_finding: OnFinding) -> None:
        self._request, self._on_finding = request, on_finding
        self._redactor = Redactor(())
        self.exit_code = EXIT_CHECKS_PASSED

    def report(self, finding: Finding) -> None:
        """Report a finding, and remember the worst."""
        if finding.state is FindingState.BAD:
            exit_code = EXIT_CONFIG_ERROR if finding.check == "config" else EXIT_CHECK_FAILED
            self.exit_code = max(self.exit_code, exit_code)
        self._on_finding(replace(finding, message=self._redactor.redact_text(finding.message)))

    def resolve_modes(self, config: Config) -> Iterator[RunSettings]:
        """Every mode that is configured and complete."""
        for mode in Mode:
            if mode is not config.mode and not _is_partly_configured(config, mode):
                continue
            try:
                settings = resolve_run_settings(
                    replace(config, run=replace(config.run, mode=mode)), self._request.env
                )
            except ConfigError as error:
                self.report(Finding("config", FindingState.BAD, str(error), mode))
                continue
            self._redactor = Redactor(settings.secrets)
            self.report(Finding("config", FindingState.GOOD, "complete", mode))
            for notice in settings.notices:
                self.report(Finding("config", FindingState.NOTE, notice.message, mode))
            for name, secret in collect_named_secrets(config, self._request.env).items():
                if secret in settings.secrets and is_weak_secret(secret):
                    self.report(
                        Finding(
                            "secrets", FindingState.NOTE, _WEAK_KEY_TEXT.format(name=name), mode
                        )
                    )
            yield settings

    async def check_mode(self, settings: RunSettings) -> None:
        """Look at one mode: at each of its services, and whether they have the same model."""
        for each in settings.split_by_service():
            await self._check_service(each)
        if len(settings.services) > 1:
            await self._check_agreement(settings)

    async def _check_agreement(self, settings: RunSettings) -> None:
        delivery, wait_seconds = DELIVERIES[settings.mode], self._request.wait_seconds

        async def ask(each: RunSettings) -> str | Failure:
            try:
                return await delivery.fetch_help(
                    each, QuietDisplay(), cold_start_timeout=wait_seconds
                )
            except FatalError as error:
                return Failure(error.code, error.message)

        answers: Mapping[str, object] = {}
        with anyio.move_on_after(wait_seconds):
            answers = await ask_all_services(settings, ask)
        helps = {name: answer for name, answer in answers.items() if isinstance(answer, str)}
        mode = settings.mode
        if len(helps) < len(settings.services):
            silent = [each.name or "" for each in settings.services if each.name not in helps]
            message = f"not compared: {' and '.join(silent)} did not describe the model"
            self.report(Finding("models", FindingState.NOTE, message, mode))
        if len(helps) < 2:  # noqa: PLR2004 - nothing to compare
            return
        protocol = load_protocol(settings.protocol, settings.protocol_options)
        if sentences := find_disagreements(protocol, helps):
            notice = make_disagreement_notice(sentences)
            self.report(Finding("models", FindingState.BAD, notice.message, mode))
        else:
            message = f"{' and '.join(helps)} describe the same model"
            self.report(Finding("models", FindingState.GOOD, message, mode))

    async def _check_service(self, settings: RunSettings) -> None:
        name = settings.service_name

        def report(finding: Finding) -> None:
            self.report(finding if name is None else replace(finding, service=name))

        try:
            await DELIVERIES[settings.mode].check(
                settings,
                report,
                wait_seconds=self._request.wait_seconds,
                known_run_ids=self._request.known_run_ids,
            )
        except BatchInferError as error:
            kind = "config" if isinstance(error, ConfigError) else "other"
            report(Finding(kind, FindingState.BAD, str(error), settings.mode))


_WEAK_KEY_TEXT = (
    "the secret {name} is short or a plain word: in logs and messages *** replaces every text that"
    " happens to hold it, and in predictions it is not masked. A long random one is better"
)


def _is_partly_configured(config: Config, mode: Mode) -> bool:
    """Whether some of what a mode needs is filled in."""
    if mode is Mode.SYNC:
        return (
            config.service.endpoint is not None and _UNFILLED_VALUE not in config.service.endpoint
        )
    bucket_address = config.bucket.name or config.bucket.endpoint or ""
    return config.bucket != BucketSection() and _UNFILLED_VALUE not in bucket_address
