"""The public functions that send items, and `Run`, the object they return."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Self, Unpack

from batchinfer.api import command_forms
from batchinfer.api.job import AsyncPhase, Job, require_run
from batchinfer.api.job_runner import run_job, show_progress
from batchinfer.api.run_directory import RunDirectory
from batchinfer.api.settings import Settings, Sources, StrPath, build_job
from batchinfer.api.sync_runner import blocking
from batchinfer.config import Config
from batchinfer.ports import Observer


async def arun(
    source: Sources,
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    limit: int | None = None,
    force: bool = False,
    moved: bool = False,
    add: bool = False,
    validate: bool = True,
    clean: bool = False,
    progress: bool = False,
    observer: Observer | None = None,
    client: object = None,
    **settings: Unpack[Settings],
) -> Run:
    """Send every item of `source` and record what comes back in the directory `run`.

    A run that is there already is continued; items that have an outcome are not sent again.

    Args:
        source: folders, patterns, files or manifests; one, or several.
        run: the run directory; it is made if it does not exist.
        config: the configuration, as a file or as read before; None: what the run keeps, or what
            the environment says.
        env_file: a file of environment variables with the secrets.
        limit: how many items are sent now, at most; None: all.
        force: continue although service, mode or parameters are others now.
        moved: `source` is the run's own, at a new place.
        add: add the items of another source to a run that has begun.
        validate: check all parameters against the model's help before anything is sent.
        clean: async mode: delete from the bucket what is recorded.
        progress: show a progress bar on standard error (lines, if that is no terminal or notebook).
        observer: an object whose `notify(event)` is called with each event, on the event loop.
        client: a `distributed.Client`: the workers of its Dask cluster make the attempts; None:
            this process, or what the configuration names.
        settings: override keys of the configuration, see `Settings`.

    Returns:
        The run, with `summary` of what this call left. Items that fail raise nothing.

    Raises:
        ConfigError: the configuration or an argument cannot be used; nothing was sent.
        SourceError: the source cannot be read, or holds nothing to send.
        RunMismatch: the run was started with other settings (see `force`).
        RunLocked: another process works on the run.
        RunAborted: an error that would fail every item ended the run; what is recorded is kept.
        StoreError: the run directory cannot be used.
    """
    return await _run(
        build_job(
            run,
            config,
            env_file,
            settings,
            sources=source,
            limit=limit,
            force=force,
            moved=moved,
            add=add,
            validate=validate,
            clean=clean,
            client=client,
        ),
        run,
        observer,
        progress=progress,
    )


async def aresume(
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    source: Sources = (),
    limit: int | None = None,
    force: bool = False,
    clean: bool = False,
    progress: bool = False,
    observer: Observer | None = None,
    client: object = None,
    **settings: Unpack[Settings],
) -> Run:
    """Continue a run from wherever it stands.

    All that is needed is kept in the run, but for secrets: they come from the environment, from
    `config`, or from the config that the run was started with.

    Args:
        run: the run directory.
        config: another configuration with the secrets.
        env_file: a file of environment variables with the secrets.
        source: where the run's source is now, if it has moved; of several, each in its order.
        limit: how many items are sent now, at most; None: all.
        force: continue although service, mode or parameters are others now.
        clean: async mode: delete from the bucket what is recorded.
        progress: show a progress bar, as in `run`.
        observer: as in `run`.
        client: as in `run`.
        settings: override keys of the configuration, see `Settings`.

    Returns:
        The run, with `summary` of what this call left.

    Raises:
        StoreError: there is no run in the directory.
        BatchInferError: all that `run` raises.
    """
    require_run(Path(run))
    job = build_job(
        run,
        config,
        env_file,
        settings,
        moved_to=source,
        limit=limit,
        force=force,
        clean=clean,
        client=client,
    )
    return await _run(job, run, observer, progress=progress)


async def asubmit(
    source: Sources,
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    limit: int | None = None,
    force: bool = False,
    moved: bool = False,
    add: bool = False,
    validate: bool = True,
    progress: bool = False,
    observer: Observer | None = None,
    client: object = None,
    **settings: Unpack[Settings],
) -> Run:
    """Async mode, first half: put the items of `source` into the bucket, and return.

    As many as `concurrency` allows (default: 1,000 submitted and not yet collected); the next
    `submit` puts more. `collect` fetches the outputs. All arguments are those of `run`; as a
    `source`, `()` continues with what the run has.

    Returns:
        The run, with `summary` of what this call left.

    Raises:
        ConfigError: also when the run is in sync mode.
        BatchInferError: all that `run` raises.
    """
    if source == ():
        require_run(Path(run))
    job = build_job(
        run,
        config,
        env_file,
        settings,
        sources=source,
        limit=limit,
        force=force,
        moved=moved,
        add=add,
        validate=validate,
        phase=AsyncPhase.SUBMIT,
        client=client,
    )
    return await _run(job, run, observer, progress=progress)


async def acollect(
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    clean: bool = False,
    progress: bool = False,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> Run:
    """Async mode, second half: fetch outputs until nothing submitted is left.

    Items that have to be tried again wait for the next `submit`. All arguments are those of
    `resume`.

    Returns:
        The run, with `summary` of what this call left.

    Raises:
        ConfigError: also when the run is in sync mode.
        BatchInferError: all that `run` raises.
    """
    require_run(Path(run))
    job = build_job(run, config, env_file, settings, clean=clean, phase=AsyncPhase.COLLECT)
    return await _run(job, run, observer, progress=progress)


async def _run(job: Job, run: StrPath, observer: Observer | None, *, progress: bool) -> Run:
    with show_progress(job.run, observer) if progress else nullcontext(observer) as chosen:
        summary = await run_job(job, chosen)
    finished = run if isinstance(run, Run) else Run(run)
    finished.summary = summary
    return finished


run = blocking("run", arun)
resume = blocking("resume", aresume)
submit = blocking("submit", asubmit)
collect = blocking("collect", acollect)


class Run(RunDirectory):
    """A run: look at it, and continue it.

    ::

        run = bi.Run("my-run")
        run.status().counts.failed
        run.retry(code="timeout")
        run.resume(progress=True)
        run.to_pandas()

    Reading needs no lock and works at any time, also while a process works on the run; what changes
    the run needs its lock. Every method has an async form whose name begins with `a`.
    """

    # These functions take the run directory first, as a path; a Run is one.
    resume, aresume = resume, aresume
    collect, acollect = collect, acollect
    retry, aretry = command_forms.retry, command_forms.aretry
    clean, aclean = command_forms.clean, command_forms.aclean
    describe, adescribe = command_forms.describe, command_forms.adescribe
    ctl, actl = command_forms.ctl, command_forms.actl

    async def asubmit(
        self,
        *,
        config: StrPath | Config | None = None,
        env_file: StrPath | None = None,
        limit: int | None = None,
        force: bool = False,
        progress: bool = False,
        observer: Observer | None = None,
        client: object = None,
        **settings: Unpack[Settings],
    ) -> Self:
        """Async mode: put what is still pending into the bucket. See `batchinfer.submit`."""
        await asubmit(
            (),
            self,
            config=config,
            env_file=env_file,
            limit=limit,
            force=force,
            progress=progress,
            observer=observer,
            client=client,
            **settings,
        )
        return self

    submit = blocking("submit", asubmit)
