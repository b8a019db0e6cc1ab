"""Deleting from the bucket what a run has put there, once its results are on record.

Rules of the room: an object is deleted only if its name is exactly one that this run directory has
recorded (another copy of the directory may need the others), and its item has a final outcome; one
by one, for some stores know no other way (contract, section 2). Whatever else is in the bucket
(markers, other runs, strangers) is not even listed, but for keys that begin as this run's do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TypeAlias

from batchinfer.api.job import Job
from batchinfer.api.preparing import checked, must_be_known
from batchinfer.api.reaching import bucket_of
from batchinfer.backends.objects import Bucket, Listing, delete_all
from batchinfer.backends.redact import Redactor
from batchinfer.config import BucketAccess, Resolved
from batchinfer.domain import Json, Open, RunInfo, State
from batchinfer.errors import ConfigError, FatalError, RunAborted
from batchinfer.oscar.names import INPUTS, OUTPUTS, ObjectName, parse_input, parse_output
from batchinfer.store.lock import RunLock
from batchinfer.store.reader import RunReader

Recorded: TypeAlias = Callable[[Collection[int]], Mapping[int, Open]]
"""What items of these positions have in the bucket, as the run directory has recorded it."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was, or would be, deleted; and what of the run stays."""

    inputs: int = 0
    outputs: int = 0
    bytes: int = 0
    kept: int = 0
    """Objects of items that have no final outcome yet."""
    unrecorded: int = 0
    """Objects with names of this run that this directory has not recorded: another copy of it has,
    or a process was killed before it could. They stay, too."""

    @property
    def objects(self) -> int:
        """How many objects were, or would be, deleted."""
        return self.inputs + self.outputs

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer clean --json` prints (docs/scripting.md)."""
        return asdict(self)


async def clean(job: Job, *, dry_run: bool = False) -> Cleaned:
    """Delete from the bucket what the run of `job` made and has recorded; `dry_run`: only count.

    Raises ConfigError for a run in sync mode (it has nothing in a bucket), RunLocked while another
    process works on the run, RunAborted when the bucket refuses or does not answer.
    """
    must_be_known(job.run)
    with nullcontext() if dry_run else RunLock(job.run), RunReader(job.run) as reader:
        _, resolved = checked(job, reader.info)
        return await _swept(resolved, reader.info, reader.submissions, dry_run=dry_run)


async def forget(resolved: Resolved, info: RunInfo) -> Cleaned:
    """Delete whatever the run made, recorded or not: of a probe, which nobody comes back to."""
    return await _swept(resolved, info, None, dry_run=False)


async def _swept(
    resolved: Resolved, info: RunInfo, recorded: Recorded | None, *, dry_run: bool
) -> Cleaned:
    access = resolved.access
    if not isinstance(access, BucketAccess):
        raise ConfigError("A run in sync mode has nothing in a bucket: there is nothing to clean.")
    try:
        async with bucket_of(access, Redactor(resolved.secrets)) as bucket:
            return await sweep(bucket, info.id, recorded, dry_run=dry_run)
    except FatalError as error:
        raise RunAborted(error.code, str(error)) from None
    except OSError as error:
        raise RunAborted("bucket_unreachable", str(error)) from None


async def sweep(
    bucket: Bucket, run_id: str, recorded: Recorded | None, *, dry_run: bool = False
) -> Cleaned:
    """Delete the run's objects that are `recorded` and of final items; None: all of them.

    Flat in memory. Raises as the bucket does; what is deleted by then stays deleted.
    """
    done = Cleaned()
    for folder in (INPUTS, OUTPUTS):
        listing = Listing(bucket, f"{folder}{run_id}-")
        while listing.has_more():
            page = await listing.page()
            named = [(entry, found) for entry in page if (found := _name(run_id, entry.key))]
            items = recorded({name.position for _, (_, name) in named}) if recorded else {}
            doomed, kept, unrecorded = [], 0, 0
            for entry, (base, name) in named:
                item = items.get(name.position)
                if recorded is not None and not _is_recorded(item, base, name):
                    unrecorded += 1
                elif item is not None and item.state not in _FINAL:
                    kept += 1
                else:
                    doomed.append(entry)
            if not dry_run:
                await delete_all(bucket, [entry.key for entry in doomed])
                if doomed:
                    listing.restart()
            is_input = folder == INPUTS
            done = Cleaned(
                done.inputs + len(doomed) * is_input,
                done.outputs + len(doomed) * (not is_input),
                done.bytes + sum(entry.size for entry in doomed),
                done.kept + kept,
                done.unrecorded + unrecorded,
            )
    return done


_FINAL = frozenset({State.SUCCEEDED, State.FAILED})


def _name(run_id: str, key: str) -> tuple[str, ObjectName] | None:
    """The name of an object of this run, whole and in parts; None for any other."""
    if key.startswith(INPUTS):
        return parse_input(run_id, key)
    output = parse_output(run_id, key)
    return None if output is None else (output.base, output.name)


def _is_recorded(item: Open | None, base: str, name: ObjectName) -> bool:
    return item is not None and item.has_submitted(name.attempt, base, tagged=bool(name.tag))
