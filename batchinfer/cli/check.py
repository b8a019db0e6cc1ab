"""`batchinfer check`: see whether all is well before anything is sent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import click

from batchinfer.api.blocking import wait_for
from batchinfer.api.checks import Finding, Order, State
from batchinfer.api.checks import check as check_all
from batchinfer.cli import options
from batchinfer.cli.going import exit_with
from batchinfer.cli.talk import say, spelled, tell
from batchinfer.config import DEFAULT_FILE
from batchinfer.config.values import seconds
from batchinfer.domain import Json
from batchinfer.errors import BatchInferError, ConfigError
from batchinfer.ports import Event, Waiting
from batchinfer.store.database import DATABASE
from batchinfer.store.reader import RunReader

MARKS = {State.GOOD: "✓", State.BAD: "✗", State.NOTE: "-"}
PLAIN = {State.GOOD: "+", State.BAD: "X", State.NOTE: "-"}
"""The same for an output that lacks these signs."""

_RUNS = 200
"""Run directories that are looked at."""
_LINES = 40
"""Lines of a prediction that are shown."""


@click.command(
    epilog=options.examples(
        "batchinfer check",
        "batchinfer check -c sync.toml --wait 10m",
        "batchinfer check --probe photos/a.jpg",
    )
)
@options.config_option
@click.option(
    "--probe",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Send FILE through the service: one real prediction in each mode.",
)
@click.option(
    "--wait", default="30s", metavar="DURATION", help="How long for a cold service. Default: 30s."
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def check(
    *, config: Path | None, env_file: Path | None, probe: Path | None, wait: str, as_json: bool
) -> None:
    """Check configuration, token, endpoint, DEEPaaS, bucket, rights and clocks.

    Every mode that is configured. Sends no prediction without --probe; asks the model for its help,
    and puts one small object into the bucket, outside inputs/, which it deletes. Ends with 0 when
    all is well, 1 with a cross, 2 with one at the configuration.
    """
    default = Path(DEFAULT_FILE)
    found: list[Finding] = []
    order = Order(
        config=config or (default if default.exists() else None),
        env=os.environ,
        env_file=env_file,
        wait=_seconds(wait),
        probe=probe,
        known=frozenset(_known_runs()),
    )

    def note(finding: Finding) -> None:
        found.append(finding)
        if not as_json:
            tell(*_lines(finding))

    code = wait_for(lambda: check_all(order, note, _Talk()))
    if as_json:
        checks: list[Json] = [finding.as_json() for finding in found]
        tell(json.dumps({"checks": checks, "exit_code": code}))
    exit_with(code)


class _Talk:
    """Tells a person that a probe waits."""

    def notify(self, event: Event) -> None:
        """See ports.Observer."""
        if isinstance(event, Waiting):
            say(f"waiting: {spelled(event.message)}")


def _lines(finding: Finding) -> Iterator[str]:
    mark = _marks()[finding.state]
    mode = finding.mode.value if finding.mode else ""
    first, *more = spelled(finding.message).splitlines() or [""]
    yield f"{mark} {mode:<5} {finding.check:<9} {first}"
    yield from (f"{'':18}{line}" for line in more)
    if finding.prediction is not None:
        told = json.dumps(finding.prediction, indent=2, ensure_ascii=False)
        text = finding.prediction if isinstance(finding.prediction, str) else told
        shown = spelled(text).splitlines()
        yield from (f"{'':18}{line[:200]}" for line in shown[:_LINES])
        if len(shown) > _LINES:
            yield f"{'':18}... {len(shown) - _LINES:,} lines more"


def _marks() -> dict[State, str]:
    try:
        "".join(MARKS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return MARKS


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise ConfigError(f"--wait: expected {error}, got {text!r}") from None


def _known_runs() -> Iterator[str]:
    """Ids of the runs in this directory."""
    for path in islice(Path().glob(f"*/{DATABASE}"), _RUNS):
        with suppress(BatchInferError), RunReader(path.parent) as reader:
            yield reader.info.id
