"""`batchinfer watch` as a function."""

from __future__ import annotations

from typing import Unpack

from batchinfer.api.runs import Run, arun
from batchinfer.api.settings import Settings, Sources, StrPath
from batchinfer.api.sync_runner import blocking
from batchinfer.config import Config
from batchinfer.ports import Observer


async def awatch(
    source: Sources,
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    limit: int | None = None,
    force: bool = False,
    progress: bool = False,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> Run:
    """Send what is in `source`, and whatever is added to it, until it is stopped.

    A file is taken once, when it is whole. `resume` goes on watching. All other arguments are those
    of `run`.

    Args:
        source: folders, patterns, or addresses that can be listed; one, or several.
        run: the run directory; it is made if it does not exist.
        config: as in `run`.
        env_file: as in `run`.
        limit: how many items are sent now, at most; None: all.
        force: continue although service, mode or parameters are others now.
        progress: show a progress bar, as in `run`.
        observer: as in `run`.
        settings: override keys of the configuration, see `Settings`; `until_idle="10m"` ends it
            when nothing new has come for so long.

    Returns:
        The run, with `summary` of what this call left.

    Raises:
        BatchInferError: all that `run` raises.
    """
    watching: Settings = {**settings, "watch": True}
    return await arun(
        source,
        run,
        config=config,
        env_file=env_file,
        limit=limit,
        force=force,
        progress=progress,
        observer=observer,
        **watching,
    )


watch = blocking("watch", awatch)
