"""A run of its own for each of several services: other models on the same inputs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from batchinfer.api.job import Job
from batchinfer.config import load_config
from batchinfer.errors import ConfigError, option
from batchinfer.store.database import DATABASE_NAME

_FOLDER_NAME: Final = re.compile(r"[\w-][\w .-]{0,99}")


def split_job_by_service(job: Job) -> Sequence[tuple[str, Job]]:
    """A job for each service that takes part, by its name. Its run is the folder of that name in
    the job's, and knows of no other service.

    Raises ConfigError when there are not several, or when one has no name for a folder.
    """  # noqa: D205 - one thought
    config = load_config(job.config, job.env, job.flags)
    chosen = [
        each
        for each in config.services
        if not config.run.service or each.name in config.run.service
    ]
    names = [str(each.name) for each in chosen]
    if unknown := set(config.run.service) - set(names):
        raise ConfigError(f'There is no service "{min(unknown)}" in the configuration.')
    if len(chosen) < 2:  # noqa: PLR2004 - nothing to compare
        raise ConfigError(
            f"{option('compare', 'True')} needs two services or more: write a [[service]] for each."
        )
    if (job.run / DATABASE_NAME).exists():
        raise ConfigError(f"{job.run} is a run itself. Name a folder for several runs.")
    for name in names:
        if not _FOLDER_NAME.fullmatch(name):
            raise ConfigError(
                f'The service "{name}" gives its run no name: use letters and digits.'
            )
    run_section = replace(config.run, service=())
    return [
        (
            name,
            replace(
                job,
                run=job.run / name,
                config=replace(
                    config, service=replace(each, name=None), services=(), run=run_section
                ),
                flags={},
            ),
        )
        for name, each in zip(names, chosen, strict=True)
    ]
