"""What run, resume, submit and collect share: carrying out a job, and suggesting what is next."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from batchinfer import api
from batchinfer.cli.cli_options import Verbosity
from batchinfer.cli.detached_process import open_parent_pipe
from batchinfer.cli.output import (
    echo_message,
    escape_lines,
    format_error,
    next_free_name,
    to_command_line,
)
from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.errors import BatchInferError, ConfigError, IncompleteConfig, RunAborted
from batchinfer.shell import quote_for_shell
from batchinfer.text_format import format_count, format_duration

if TYPE_CHECKING:
    from batchinfer.cli.signal_handler import SignalHandler
    from batchinfer.domain import Json
    from batchinfer.progress import Display

SuggestSteps: TypeAlias = "Callable[[api.Summary], list[str]]"
"""What to do after a job that came to its end."""


def execute(
    job: api.Job,
    verbosity: Verbosity,
    continue_command: str,
    suggest_steps: SuggestSteps,
    *,
    with_estimate: bool = False,
) -> int:
    """Do a job and show its progress; the exit code.

    `continue_command`: the command line that continues it. `with_estimate`: say how long the rest
    would take. Raises what `api.run_job` raises, after writing it as an event in JSON mode.
    """
    from batchinfer.api.sync_runner import run_blocking
    from batchinfer.cli.signal_handler import SignalHandler, exit_now, run_with_signals
    from batchinfer.progress import choose_display

    started_monotonic, started_at, parent_pipe = time.monotonic(), time.time(), open_parent_pipe()
    display = choose_display(
        sys.stderr,
        sys.stdout,
        json=verbosity.as_json,
        quiet=verbosity.quiet,
        verbose=verbosity.verbose,
        plain=parent_pipe is not None,
    )
    handler = SignalHandler(
        display, partial(parent_pipe.report_started, job.run) if parent_pipe else None
    )
    try:
        resolved = resolve_run(job, verbosity)
        handler.set_patience(resolved.settings)
        summary = run_blocking(lambda: run_with_signals(resolved, handler))
    except BatchInferError as error:
        if verbosity.as_json:
            _emit_error(error)
        if handler.has_started or verbosity.as_json:
            _close_display(display, job.run, started_monotonic, error.exit_code)
        raise _with_continue_hint(error, handler, continue_command) from None
    lines = [f"Continue with: {continue_command}"]
    if summary is None:  # interrupted before the engine ran
        if not _close_display(display, job.run, started_monotonic, api.EXIT_INTERRUPTED):
            lines = []
    else:
        if summary.exit_code != api.EXIT_INTERRUPTED:
            lines = [
                *(
                    _report_estimate(job.run, started_at, handler, display, verbosity)
                    if with_estimate
                    else ()
                ),
                *_explain_nothing_sent(job, summary, handler),
                *suggest_steps(summary),
            ]
        display.close(summary)
    if not verbosity.quiet:
        echo_message(*lines)
    return exit_now() if summary is None else summary.exit_code


def resolve_run(job: api.Job, verbosity: Verbosity, *, keep_mode: bool = False) -> api.ResolvedJob:
    """Read the run directory and the configuration, once. Raises ConfigError, StoreError.

    Without -c a new run takes ./batchinfer.toml. A run that is resumed and lacks a secret (secrets
    written in a config file itself are not stored) takes the config it was started with, else
    ./batchinfer.toml. `keep_mode`: whatever the config says, the mode is that of the run.
    """
    from batchinfer.api.job import load_stored_run, resolve_job
    from batchinfer.config import get_stored_path

    stored = load_stored_run(job.run)
    if keep_mode and stored is not None:
        job = replace(job, flags={**job.flags, "run.mode": stored.info.mode.value})
    if job.config is None and stored is None and Path(DEFAULT_CONFIG_FILE).exists():
        job = replace(job, config=Path(DEFAULT_CONFIG_FILE))
    try:
        return resolve_job(job, stored)
    except IncompleteConfig as error:
        if job.config is not None or stored is None:
            raise
        for file in filter(None, (get_stored_path(stored.info.config), Path(DEFAULT_CONFIG_FILE))):
            with suppress(ConfigError):
                if file.is_file():
                    resolved = resolve_job(replace(job, config=file), stored)
                    if not verbosity.quiet:
                        echo_message(f"Secrets are taken from {escape_lines(str(file))}.")
                    return resolved
        raise IncompleteConfig(
            f"{error.message}\nA secret that stands in a config file itself is not kept with the "
            "run: name the file with -c."
        ) from None


def suggest_next_steps(summary: api.Summary) -> list[str]:
    """What to do when a run has ended, or has reached its --limit."""
    run, counts = summary.run, summary.counts
    lines = []
    if counts.pending or counts.submitted:
        lines.append(f"Continue with the rest: {to_command_line('resume', run)}")
    return [*lines, *suggest_result_steps(summary)]


def suggest_result_steps(summary: api.Summary) -> list[str]:
    """What to do to see what came of a run."""
    run, counts = summary.run, summary.counts
    lines = []
    if counts.failed:
        lines.append(f"Why items failed: {to_command_line('status', run)}")
    if counts.finished:
        lines.append(f"Report: {to_command_line('report', run)}")
        lines.append(
            f"Results: {to_command_line('export', run, '-o', next_free_name('results.csv'))}"
        )
    return lines


def _explain_nothing_sent(
    job: api.Job, summary: api.Summary, handler: SignalHandler
) -> Iterator[str]:
    """Says so when the process sent nothing."""
    counts = summary.counts
    is_done = job.phase is not api.AsyncPhase.COLLECT and not (counts.pending or counts.submitted)
    if handler.has_recorded or not is_done:
        return
    yield "Nothing was sent: all items have an outcome already."
    if job.force:
        folder = next_free_name(str(job.run))
        yield (
            "--force does not predict them again. For predictions with other parameters, use a new "
            f"folder: -o {quote_for_shell(folder)}"
        )


def exit_with(code: int) -> None:
    """End the command with an exit code."""
    click.get_current_context().exit(code)


def suggest_submit(summary: api.Summary) -> str:
    """What async mode's first half still has to do."""
    items = format_count(summary.counts.pending, "item")
    return f"{items} still to be submitted: {to_command_line('submit', '-o', summary.run)}"


def _close_display(display: Display, run: Path, started_monotonic: float, exit_code: int) -> bool:
    """Close the display of a job that did not come to its end; whether there is a run."""
    with suppress(BatchInferError):
        display.close(api.summarize(run, time.monotonic() - started_monotonic, exit_code))
        return True
    return False


def _emit_error(error: BatchInferError) -> None:
    # What has a class of its own today was a ConfigError to programs that exist.
    name = (ConfigError if isinstance(error, ConfigError) else type(error)).__name__
    code = error.code if isinstance(error, RunAborted) else re.sub(r"\B([A-Z])", r"_\1", name)
    _emit_json_line(event="error", code=code.lower(), message=format_error(error))


def _emit_json_line(**fields: Json) -> None:
    import json

    with suppress(OSError, ValueError):
        click.echo(json.dumps(fields))


def _report_estimate(
    run: Path, since: float, handler: SignalHandler, display: Display, verbosity: Verbosity
) -> list[str]:
    """Lines about the rest; in JSON mode an event is written at once."""
    if handler.final_progress is None:
        return []
    run_estimate = api.estimate_run(run, since, handler.final_progress)
    display.release_stream()
    if verbosity.as_json:
        _emit_json_line(event="estimate", **run_estimate.as_json())
    return list(_format_estimate(run_estimate))


def _format_estimate(run_estimate: api.RunEstimate) -> Iterator[str]:
    from batchinfer.progress import format_range
    from batchinfer.progress.progress_format import format_codes

    failed = (
        f", {sum(run_estimate.failures.values()):,} failed: {format_codes(run_estimate.failures)}"
    )
    yield (
        "Estimate after "
        f"{format_count(run_estimate.sent, 'item')}{failed if run_estimate.failures else ''}."
    )
    if run_estimate.estimated_servers is not None:
        yield (
            f"About {format_count(round(run_estimate.estimated_servers), 'container')} are busy."
        )
    rest = (
        "the other "
        f"{run_estimate.remaining:,}{'' if run_estimate.complete else ' of those found so far'}"
    )
    if not run_estimate.remaining:
        yield "Nothing is left to be sent."
    elif run_estimate.time_left is None:
        yield f"Too few to say how long {rest} would take: estimate with more."
    else:
        likely_time = format_duration(run_estimate.time_left.likely)
        yield (
            f"It would take {format_range(run_estimate.time_left)} for {rest} (likely "
            f"{likely_time})."
        )


def _with_continue_hint(
    error: BatchInferError, handler: SignalHandler, continue_command: str
) -> BatchInferError:
    """The error, with what to do next where the run goes on."""
    if not isinstance(error, RunAborted) or not handler.has_started:
        return error
    return RunAborted(
        error.code,
        f"{error.message}\nEverything recorded is kept. Continue with: {continue_command}",
    )
