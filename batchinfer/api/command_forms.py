"""The Python forms of commands that prepare a run, steer it, or change it without sending items."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

from batchinfer.api import bucket_cleanup, model_help, payload_files, run_status
from batchinfer.api.bucket_cleanup import CleanupSummary
from batchinfer.api.checks import CheckRequest, Finding, run_checks
from batchinfer.api.control import parse_command, send_command
from batchinfer.api.job import load_stored_run, require_run, resolve
from batchinfer.api.model_help import ModelDescription
from batchinfer.api.payload_files import PrepareRequest, PrepareSummary
from batchinfer.api.run_directory import RunDirectory
from batchinfer.api.settings import Settings, Sources, StrPath, build_job, load_config, to_texts
from batchinfer.api.sync_runner import blocking, in_thread
from batchinfer.config import Config
from batchinfer.domain import Failure, Item, Mode
from batchinfer.errors import BatchInferError
from batchinfer.ports import Observer
from batchinfer.progress import QuietDisplay
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.lock import RunLock
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore

_MAX_RUN_DIRECTORIES = 200
"""Run directories that are looked at for their ids."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `check` has found."""

    findings: tuple[Finding, ...]
    exit_code: int
    """0: nothing is bad; 1: something is; 2: the configuration is."""


async def acheck(
    config: StrPath | None,
    *,
    env_file: StrPath | None = None,
    wait: float = 30.0,
    probe: StrPath | None = None,
    on_finding: Callable[[Finding], None] | None = None,
) -> CheckResult:
    """See whether all is well before anything is sent: configuration, service, bucket, secrets.

    No prediction is started, unless `probe` asks for one in each mode.

    Args:
        config: the configuration file; None: the environment only.
        env_file: a file of environment variables with the secrets.
        wait: seconds that a cold service is waited for.
        probe: a file to send through the service, once in each mode.
        on_finding: called with each finding as soon as it is known.

    Returns:
        All findings. What is wrong is a finding, not an exception.
    """
    findings: list[Finding] = []

    def collect(finding: Finding) -> None:
        findings.append(finding)
        if on_finding is not None:
            on_finding(finding)

    request = CheckRequest(
        config=None if config is None else Path(config),
        env=os.environ,
        env_file=None if env_file is None else Path(env_file),
        wait_seconds=wait,
        probe_file=None if probe is None else Path(probe),
        known_run_ids=find_run_ids(Path()),
    )
    exit_code = await run_checks(request, collect, QuietDisplay())
    return CheckResult(tuple(findings), exit_code)


async def adescribe(
    run: StrPath | None = None,
    *,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    mode: str | None = None,
    again: bool = False,
    observer: Observer | None = None,
) -> ModelDescription:
    """Ask the service what its model takes: names, types, defaults, choices.

    Args:
        run: a run directory: its service is asked, and the answer is kept there; an answer that is
            kept is returned without asking.
        config: the configuration; None: what the run keeps, or the environment.
        env_file: a file of environment variables with the secrets.
        mode: "sync" asks by a call, "async" by a job through the bucket; None: by a call, if
            [service] is configured.
        again: ask, even if the run keeps the answer.
        observer: an object whose `notify(event)` is called while a cold service is waited for.

    Raises:
        ConfigError: the configuration cannot be used.
        RunAborted: the service returns no help.
        RunLocked: another process works on the run.
        StoreError: there is no run in the directory.
    """
    if run is None:
        loaded = load_config(config, env_file=env_file)
    else:
        require_run(Path(run))
        if not again and (kept := model_help.load_stored_help(Path(run))) is not None:
            return kept
        job = build_job(run, config, env_file)
        loaded = resolve(job).config
    return await model_help.describe(
        loaded,
        os.environ,
        observer or QuietDisplay(),
        run=None if run is None else Path(run),
        mode=None if mode is None else Mode(mode),
        refresh=True,
    )


async def aprepare(
    source: Sources,
    directory: StrPath,
    *,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    force: bool = False,
    on_refused: Callable[[Item, Failure], None] | None = None,
    **settings: Unpack[Settings],
) -> PrepareSummary:
    """Write what would be sent for each item as a JSON file. Nothing is sent.

    Args:
        source: as in `run`.
        directory: where the files and their `index.csv` are written.
        config: the configuration; neither endpoint nor secrets are needed.
        env_file: a file of environment variables.
        force: write into a directory that is not empty.
        on_refused: called with each item that cannot be sent, and why.
        settings: override keys of the configuration, see `Settings`.

    Raises:
        ConfigError: the configuration cannot be used, or the directory cannot be written to.
        SourceError: the source cannot be read, or holds nothing to send.
    """
    job = build_job(directory, config, env_file, settings)
    request = PrepareRequest(
        sources=to_texts(source),
        directory=job.run,
        config=job.config,
        flags=job.flags,
        force=force,
    )
    return await payload_files.prepare(request, on_refused)


async def aretry(
    run: StrPath,
    *,
    code: str | None = None,
    key: str | bytes | None = None,
    reused: bool = False,
) -> int:
    """Put failed items back to pending, with a fresh budget of attempts.

    Their files are taken as they are now. Nothing is sent until the run is resumed.

    Args:
        run: the run directory.
        code: only items that failed with this code.
        key: only the item with this key.
        reused: instead, the items whose results were taken over from an earlier run: the service
            is called for them.

    Returns:
        How many items are pending again.

    Raises:
        UnknownKey: there is no item with this key; the message names the nearest.
        RunLocked: another process works on the run.
        StoreError: there is no run in the directory.
    """
    directory = Path(run)
    require_run(directory)
    stored_key = None if key is None else run_status.find_key(directory, key)
    with RunLock(directory):
        async with SqliteStore.open(directory) as store:
            if reused:
                count = await store.requeue_reused(key=stored_key)
            else:
                count = await store.requeue(code=code, key=stored_key)
    if isinstance(run, RunDirectory):
        run.summary = None
    return count


async def aclean(
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    dry_run: bool = False,
) -> CleanupSummary:
    """Delete from the bucket the objects of this run whose results are recorded.

    Objects of unfinished items stay, and whatever else is in the bucket.

    Args:
        run: the run directory.
        config: a configuration with the secrets.
        env_file: a file of environment variables with the secrets.
        dry_run: only count.

    Raises:
        ConfigError: the run is in sync mode, or secrets are missing.
        RunLocked: another process works on the run.
        RunAborted: the bucket refuses, or does not answer.
        StoreError: there is no run in the directory.
    """
    job = build_job(run, config, env_file)
    require_run(job.run)
    if (stored := load_stored_run(job.run)) is not None:
        job = replace(job, flags={**job.flags, "run.mode": stored.info.mode.value})
    return await bucket_cleanup.clean_bucket(job, dry_run=dry_run)


def ctl(run: StrPath, command: str, value: object = None) -> Mapping[str, Any]:
    """Tell the process that works on the run what to do; it holds for that process only.

    Args:
        run: the run directory.
        command: "pause", "resume", "concurrency", "rate", "stop" or "status".
        value: of "concurrency" (a number, "4-64" or "auto") and of "rate" ("5/s", or "none").

    Returns:
        The answer: `said`, in words, and `status` (docs/reference/scripting.md).

    Raises:
        ConfigError: there is no such command, or the process refuses it.
        StoreError: no process works on the run, or it does not answer.
    """
    return send_command(Path(run), parse_command(command, value))


def find_run_ids(directory: Path) -> list[str]:
    """Ids of the runs directly below a directory; what cannot be read is left out."""
    ids = []
    for path in islice(directory.glob(f"*/{DATABASE_NAME}"), _MAX_RUN_DIRECTORIES):
        with suppress(BatchInferError), RunReader(path.parent) as reader:
            ids.append(reader.info.id)
    return ids


check = blocking("check", acheck)
describe = blocking("describe", adescribe)
prepare = blocking("prepare", aprepare)
retry = blocking("retry", aretry)
clean = blocking("clean", aclean)
actl = in_thread("actl", ctl)


def requeue(run: StrPath, *, code: str | None = None, key: str | bytes | None = None) -> int:
    """Deprecated: the name of older versions for `retry`."""
    warnings.warn("batchinfer.requeue is now called retry", DeprecationWarning, stacklevel=2)
    return retry(run, code=code, key=key)
