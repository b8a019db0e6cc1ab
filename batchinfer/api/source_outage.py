"""Whether the source of a run is away, asked of its files and of its folders."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from batchinfer.domain import Item
from batchinfer.engine import CheckSource
from batchinfer.errors import BatchInferError, RunAborted, SourceError
from batchinfer.failures import SOURCE_UNAVAILABLE
from batchinfer.sources.input_files import escape_undecodable
from batchinfer.sources.source_presence import MIN_MISSING_FILES, SourcePresence
from batchinfer.store.run_reader import RunReader

SOURCE_CHECK_TIMEOUT: Final = 20.0
"""Seconds after which a source that is looked at does not answer at all."""


def make_source_check(run: Path, specs: Sequence[str]) -> CheckSource:
    """What the engine asks when a file of the run cannot be read."""
    presence = SourcePresence(specs)

    def find_cause(item: Item) -> str | None:
        with RunReader(run) as reader:
            others = [file.path for file in reader.sample_files(MIN_MISSING_FILES + 1)]
        for file in item.files:
            if why := presence.explain_absence(file.path, others):
                return why
        return None

    async def check_source(item: Item) -> str | None:
        try:
            with anyio.fail_after(SOURCE_CHECK_TIMEOUT):
                return await anyio.to_thread.run_sync(find_cause, item, abandon_on_cancel=True)
        except TimeoutError:
            return (
                f"the folder of {escape_undecodable(item.files[0].path)} does not answer (its "
                "server?)"
            )
        except (BatchInferError, OSError, RuntimeError):  # too many open files, say
            return None

    return check_source


def to_run_aborted(run: Path, error: SourceError) -> RunAborted:
    """The source of a run that has begun cannot be read: that is an outage, and no mistake."""
    return RunAborted(
        SOURCE_UNAVAILABLE,
        f"{error.message} This run has begun, and none of its items was failed for that: bring the "
        "source back (is its disk mounted?), then continue. If it has moved for good, name its new "
        f"place: batchinfer resume {shlex.quote(str(run))} --source NEW",
    )
