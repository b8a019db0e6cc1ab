"""`batchinfer check`: see whether all is well before anything is sent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from batchinfer.api.checks.findings import Finding, FindingState
from batchinfer.cli import cli_options
from batchinfer.cli.execution import exit_with
from batchinfer.cli.output import echo_data, echo_message, escape_lines
from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.domain import Json
from batchinfer.errors import ConfigError
from batchinfer.ports import Event, OutageOngoing

FINDING_SYMBOLS = {FindingState.GOOD: "✓", FindingState.BAD: "✗", FindingState.NOTE: "-"}
ASCII_FINDING_SYMBOLS = {FindingState.GOOD: "+", FindingState.BAD: "X", FindingState.NOTE: "-"}
"""The same for an output that lacks these signs."""

_MAX_RUN_DIRECTORIES = 200
"""Run directories that are looked at."""
_MAX_PREDICTION_LINES = 40
"""Lines of a prediction that are shown."""


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer check",
        "batchinfer check -c sync.toml --wait 10m",
        "batchinfer check --probe photos/a.jpg",
    )
)
@cli_options.config_option
@click.option(
    "--probe",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Send FILE through the service: one real prediction in each mode.",
)
@click.option(
    "--wait", default="30s", metavar="DURATION", help="How long for a cold service. Default: 30s."
)
@cli_options.service_option
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def check(
    *,
    config: Path | None,
    env_file: Path | None,
    probe: Path | None,
    wait: str,
    service: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check configuration, token, endpoint, DEEPaaS, bucket, rights and clocks.

    Every mode that is configured. Sends no prediction without --probe; asks the model for its help,
    and puts one small object into the bucket, outside inputs/, which it deletes. Ends with 0 when
    all is well, 1 with a cross, 2 with one at the configuration.
    """
    from batchinfer.api.checks import CheckRequest, run_checks
    from batchinfer.api.command_forms import find_run_ids
    from batchinfer.api.sync_runner import run_blocking

    default = Path(DEFAULT_CONFIG_FILE)
    findings: list[Finding] = []
    request = CheckRequest(
        config=config or (default if default.exists() else None),
        env=os.environ,
        env_file=env_file,
        wait_seconds=_parse_wait(wait),
        probe_file=probe,
        services=service,
        known_run_ids=find_run_ids(Path()),
    )

    def on_finding(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            echo_data(*_format_finding(finding))

    code = run_blocking(lambda: run_checks(request, on_finding, _WaitMessages()))
    if as_json:
        checks: list[Json] = [finding.as_json() for finding in findings]
        echo_data(json.dumps({"checks": checks, "exit_code": code}))
    exit_with(code)


class _WaitMessages:
    """Reports that a probe waits."""

    def notify(self, event: Event) -> None:
        """See ports.Observer."""
        if isinstance(event, OutageOngoing):
            echo_message(f"waiting: {escape_lines(event.message)}")


def _format_finding(finding: Finding) -> Iterator[str]:
    symbol = _choose_symbols()[finding.state]
    mode = finding.mode.value if finding.mode else ""
    message = (
        finding.message if finding.service is None else f"{finding.service}: {finding.message}"
    )
    first, *more = escape_lines(message).splitlines() or [""]
    yield f"{symbol} {mode:<5} {finding.check:<9} {first}"
    yield from (f"{'':18}{line}" for line in more)
    if finding.prediction is not None:
        json_text = json.dumps(finding.prediction, indent=2, ensure_ascii=False)
        text = finding.prediction if isinstance(finding.prediction, str) else json_text
        lines = escape_lines(text).splitlines()
        yield from (f"{'':18}{line[:200]}" for line in lines[:_MAX_PREDICTION_LINES])
        if len(lines) > _MAX_PREDICTION_LINES:
            yield f"{'':18}... {len(lines) - _MAX_PREDICTION_LINES:,} lines more"


def _choose_symbols() -> dict[FindingState, str]:
    try:
        "".join(FINDING_SYMBOLS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII_FINDING_SYMBOLS
    return FINDING_SYMBOLS


def _parse_wait(text: str) -> float:
    from batchinfer.config.value_parsers import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--wait: expected {error}, got {text!r}") from None
