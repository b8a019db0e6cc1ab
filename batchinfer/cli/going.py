"""What run, resume, submit and collect share: going at a run, and saying what comes next."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import click

from batchinfer import api
from batchinfer.api.blocking import wait_for
from batchinfer.api.preparing import configured, known
from batchinfer.cli.detach import pipe
from batchinfer.cli.options import Voice
from batchinfer.cli.signals import Attendant, attended, leave
from batchinfer.cli.talk import command, number, say, spelled, unused
from batchinfer.config import DEFAULT_FILE, Resolved, resolve, stored_file
from batchinfer.domain import Json, Mode
from batchinfer.errors import BatchInferError, ConfigError, RunAborted, StoreError
from batchinfer.progress import Display, KeyOf, between, choose, duration
from batchinfer.progress.text import codes
from batchinfer.shell import quote
from batchinfer.store.reader import RunReader

Advice: TypeAlias = Callable[[api.Summary], list[str]]
"""What to do after a go that came to its end."""


def go(job: api.Job, voice: Voice, again: str, advice: Advice, *, estimating: bool = False) -> int:
    """Do a job while a person or a program watches; the exit code.

    `again` is the command line that goes on with it; `estimating`: say how long that would take.
    Raises what `api.do` raises, after telling it to a program that reads JSON.
    """
    began, at, waits = time.monotonic(), time.time(), pipe()
    display = choose(
        sys.stderr,
        sys.stdout,
        json=voice.as_json,
        quiet=voice.quiet,
        verbose=voice.verbose,
        plain=waits is not None,
        key_of=_keys(job.run),
    )
    attendant = Attendant(display, partial(waits.under_way, job.run) if waits else None)
    try:
        job, resolved = ready(job, voice)
        if resolved.mode is Mode.SYNC:
            attendant.patience = resolved.timeout
        summary = wait_for(lambda: attended(job, attendant))
    except BatchInferError as error:
        if voice.as_json:
            _tell_program(error)
        if attendant.has_started or voice.as_json:
            _close(display, job.run, began, error.exit_code)
        raise _with(error, attendant, again) from None
    if summary is None:
        there = _close(display, job.run, began, api.EXIT_INTERRUPTED)
        lines, code = [f"Continue with: {again}"] if there else [], api.EXIT_INTERRUPTED
    else:
        code = summary.exit_code
        if code == api.EXIT_INTERRUPTED:
            lines = [f"Continue with: {again}"]
        else:
            estimate = _estimated(job.run, at, attendant, display, voice) if estimating else []
            lines = [*estimate, *_nothing_sent(job, summary, attendant), *advice(summary)]
        display.close(summary)
    if not voice.quiet:
        say(*lines)
    if summary is None:
        leave()
    return code


def ready(job: api.Job, voice: Voice) -> tuple[api.Job, Resolved]:
    """The job with its configuration read and checked. Raises ConfigError.

    Without -c a new run takes ./batchinfer.toml. A run that goes on and lacks a secret (those that
    stand in a config itself are never kept) takes the config it was started with, else
    ./batchinfer.toml.
    """
    info = known(job.run)
    if job.config is None and info is None and Path(DEFAULT_FILE).exists():
        job = replace(job, config=Path(DEFAULT_FILE))
    elif job.config is None and info is not None and not _suffices(job):
        for file in filter(None, (stored_file(info.config), Path(DEFAULT_FILE))):
            if file.is_file() and _suffices(replace(job, config=file)):
                job = replace(job, config=file)
                if not voice.quiet:
                    say(f"Secrets are taken from {spelled(str(file))}.")
                break
    config = configured(job, info)
    try:
        return replace(job, config=config), resolve(config, job.env)
    except ConfigError as error:
        if job.config is None and info is not None:
            raise ConfigError(
                f"{error}\nA secret that stands in a config file itself is not kept with the run: "
                "name the file with -c."
            ) from None
        raise


def results_of(summary: api.Summary) -> list[str]:
    """What to do when a run has come to its end, or to its --limit."""
    run, counts = summary.run, summary.counts
    lines = []
    if counts.pending or counts.submitted:
        lines.append(f"Go on with the rest: {command('resume', run)}")
    return [*lines, *looks_at(summary)]


def looks_at(summary: api.Summary) -> list[str]:
    """What to do to see what came of a run."""
    run, counts = summary.run, summary.counts
    lines = []
    if counts.failed:
        lines.append(f"Why items failed: {command('status', run)}")
    if counts.finished:
        lines.append(f"A page to look at: {command('report', run)}")
        lines.append(f"Results: {command('export', run, '-o', unused('results.csv'))}")
    return lines


def _nothing_sent(job: api.Job, summary: api.Summary, attendant: Attendant) -> Iterator[str]:
    """What a person should know of a process that sent nothing, if it did not."""
    counts = summary.counts
    is_done = job.half is not api.Half.COLLECT and not (counts.pending or counts.submitted)
    if attendant.has_recorded or not is_done:
        return
    yield "Nothing was sent: all items have an outcome already."
    if job.force:
        folder = unused(str(job.run))
        yield (
            "--force does not predict them again. For predictions with other parameters, use a "
            f"new folder: -o {quote(folder)}"
        )


def exit_with(code: int) -> None:
    """End the command with an exit code."""
    click.get_current_context().exit(code)


def waiting_to_be_submitted(summary: api.Summary) -> str:
    """What async mode's first half still has to do."""
    items = number(summary.counts.pending, "item")
    return f"{items} still to be submitted: {command('submit', '-o', summary.run)}"


def must_be_run(run: Path) -> None:
    """Raises StoreError when there is no run in the directory."""
    if known(run) is None:
        raise StoreError(f"{run} holds no run: start one with `batchinfer run`.")


def _suffices(job: api.Job) -> bool:
    try:
        resolve(configured(job, known(job.run)), job.env)
    except ConfigError:
        return False
    return True


def _close(display: Display, run: Path, began: float, exit_code: int) -> bool:
    """Close the display of a go that did not come to its end; whether there is a run."""
    with suppress(BatchInferError):
        display.close(api.summarize(run, time.monotonic() - began, exit_code))
        return True
    return False


def _tell_program(error: BatchInferError) -> None:
    name = type(error).__name__
    code = error.code if isinstance(error, RunAborted) else re.sub(r"\B([A-Z])", r"_\1", name)
    _tell(event="error", code=code.lower(), message=str(error))


def _tell(**line: Json) -> None:
    with suppress(OSError, ValueError):
        click.echo(json.dumps(line))


def _estimated(
    run: Path, since: float, attendant: Attendant, display: Display, voice: Voice
) -> list[str]:
    """What a person wants to know before the rest is sent; a program is told at once."""
    if attendant.progress is None:
        return []
    found = api.extrapolated(run, since, attendant.progress)
    display.leave()
    if voice.as_json:
        _tell(event="estimate", **found.as_json())
    return list(_estimate(found))


def _estimate(found: api.Extrapolated) -> Iterator[str]:
    failed = f", {sum(found.failures.values()):,} failed: {codes(found.failures)}"
    yield f"Estimate after {number(found.sent, 'item')}{failed if found.failures else ''}."
    if found.serving is not None:
        yield f"About {number(round(found.serving), 'container')} seem to serve."
    rest = f"the other {found.remaining:,}{'' if found.complete else ' of those found so far'}"
    if not found.remaining:
        yield "Nothing is left to be sent."
    elif found.left is None:
        yield f"Too few to say how long {rest} would take: estimate with more."
    else:
        likely = duration(found.left.likely)
        yield f"It would take {between(found.left)} for {rest} (likely {likely})."


def _with(error: BatchInferError, attendant: Attendant, again: str) -> BatchInferError:
    """The error, with what to do next where the run goes on."""
    if not isinstance(error, RunAborted) or not attendant.has_started:
        return error
    return RunAborted(error.code, f"{error}\nEverything recorded is kept. Go on with: {again}")


def _keys(run: Path) -> KeyOf:
    """Keys for the failures that are told. Opened each time: an open reader would keep the writer
    from emptying its log when it closes.
    """  # noqa: D205 - one thought

    def key_of(position: int) -> str:
        with suppress(BatchInferError, IndexError), RunReader(run) as reader:
            return reader.results_at([position])[0].key
        return f"item {position}"

    return key_of
