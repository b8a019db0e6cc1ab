"""A job: one go at a run by one process. What it is; `preparing` and `composing` do it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from batchinfer.config import Config


class AsyncPhase(StrEnum):
    """Which half of async mode a job does."""

    BOTH = "both"
    SUBMIT = "submit"
    COLLECT = "collect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be done."""

    run: Path
    """The run directory."""
    sources: tuple[str, ...] = ()
    """None: go on with what the run has; its source is read on if it was not read whole."""
    config: Config | Path | None = None
    """None: what the run directory keeps."""
    flags: Mapping[str, object] = field(default_factory=dict)
    """Settings that win over every other place, named `section.first_key`; None means not given."""
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    phase: AsyncPhase = AsyncPhase.BOTH
    limit: int | None = None
    """Items sent in this go, at most."""
    force: bool = False
    """Go on although service, mode or parameters are others now; for this go only."""
    clean: bool = False
    """Async mode: delete from the bucket what is on record (`cleaning`)."""
    validate: bool = True
    """Check the parameters against the model's help before anything is sent (`validating`)."""
    stdin: BinaryIO | None = None
    add_sources: bool = False
    """Add the items of sources that the run was not made from; else they are refused."""
    sources_moved: bool = False
    """`sources` are those of the run, at a new place."""
    moved_to: tuple[str, ...] = ()
    """The new places of the run's sources, when the run is resumed without naming `sources`."""
