"""Whether the source of a run is away, asked of its files and of its folders."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from batchinfer.domain import Item
from batchinfer.engine import SourceAway
from batchinfer.engine.suspicion import SOURCE_AWAY
from batchinfer.errors import BatchInferError, RunAborted, SourceError
from batchinfer.sources.files import printable
from batchinfer.sources.presence import FEW, SourcePresence
from batchinfer.store.reader import RunReader

LOOK: Final = 20.0
"""Seconds after which a source that is looked at does not answer at all."""


def source_away(run: Path, specs: Sequence[str]) -> SourceAway:
    """What the engine asks when a file of the run cannot be read."""
    presence = SourcePresence(specs)

    def look(item: Item) -> str | None:
        with RunReader(run) as reader:
            others = [file.path for file in reader.some_files(FEW + 1)]
        for file in item.files:
            if why := presence.why_away(file.path, others):
                return why
        return None

    async def ask(item: Item) -> str | None:
        try:
            with anyio.fail_after(LOOK):
                return await anyio.to_thread.run_sync(look, item, abandon_on_cancel=True)
        except TimeoutError:
            return f"the folder of {printable(item.files[0].path)} does not answer (its server?)"
        except (BatchInferError, OSError, RuntimeError):  # too many open files, say
            return None

    return ask


def as_outage(run: Path, error: SourceError) -> RunAborted:
    """The source of a run that has begun cannot be read: that is an outage, and no mistake."""
    return RunAborted(
        SOURCE_AWAY,
        f"{error} This run has begun, and nothing of it was failed for that: bring the source back "
        f"(is its disk mounted?), then continue. If it has moved for good, tell its new place: "
        f"batchinfer resume {shlex.quote(str(run))} --source NEW",
    )
