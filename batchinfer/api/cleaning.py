"""Deleting from the bucket what a run has put there, once its results are on record.

Rules of the room: an object is deleted only if its name is exactly one that this run makes
(`oscar.names`), and its item has a final outcome; one by one, for some stores know no other way
(contract, section 2). Whatever else is in the bucket (markers, other runs, strangers) is not even
listed, but for keys that begin as this run's do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial

from batchinfer.api.job import Job
from batchinfer.api.preparing import checked, must_be_known
from batchinfer.api.reaching import bucket_of
from batchinfer.backends.objects import Bucket, delete_all
from batchinfer.backends.redact import Redactor
from batchinfer.config import BucketAccess, Resolved
from batchinfer.domain import Json, RunInfo
from batchinfer.errors import ConfigError, FatalError, RunAborted
from batchinfer.oscar.names import INPUTS, OUTPUTS, object_name, parse_name, parse_output
from batchinfer.store.lock import RunLock
from batchinfer.store.reader import RunReader


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was, or would be, deleted; and what of the run stays."""

    inputs: int = 0
    outputs: int = 0
    bytes: int = 0
    kept: int = 0
    """Objects of items that have no final outcome yet."""

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
        return await _swept(resolved, reader.info, reader.final, dry_run=dry_run)


async def forget(resolved: Resolved, info: RunInfo) -> Cleaned:
    """Delete whatever the run made, recorded or not: of a probe, which nobody comes back to."""
    return await _swept(resolved, info, frozenset, dry_run=False)


async def _swept(
    resolved: Resolved,
    info: RunInfo,
    final: Callable[[Collection[int]], Collection[int]],
    *,
    dry_run: bool,
) -> Cleaned:
    access = resolved.access
    if not isinstance(access, BucketAccess):
        raise ConfigError("A run in sync mode has nothing in a bucket: there is nothing to clean.")
    try:
        async with bucket_of(access, Redactor(resolved.secrets)) as bucket:
            return await sweep(bucket, info.id, final, dry_run=dry_run)
    except FatalError as error:
        raise RunAborted(error.code, str(error)) from None
    except OSError as error:
        raise RunAborted("bucket_unreachable", str(error)) from None


async def sweep(
    bucket: Bucket,
    run_id: str,
    final: Callable[[Collection[int]], Collection[int]],
    *,
    dry_run: bool = False,
) -> Cleaned:
    """Delete the run's objects of those positions that are `final`; flat in memory.

    Raises as the bucket does; what is deleted by then stays deleted.
    """
    found = [
        await _sweep(bucket, f"{folder}{run_id}-", position_of, final, dry_run=dry_run)
        for folder, position_of in (
            (INPUTS, partial(_position_of_input, run_id)),
            (OUTPUTS, partial(_position_of_output, run_id)),
        )
    ]
    (inputs, *_), (outputs, *_) = found
    return Cleaned(inputs, outputs, sum(each[1] for each in found), sum(each[2] for each in found))


async def _sweep(
    bucket: Bucket,
    prefix: str,
    position_of: Callable[[str], int | None],
    final: Callable[[Collection[int]], Collection[int]],
    *,
    dry_run: bool,
) -> tuple[int, int, int]:
    """Sweep one folder: how many objects and bytes were deleted, how many objects were kept."""
    count = size = kept = 0
    after, token = "", None
    while True:
        page = await bucket.page(prefix, start_after=after, token=token)
        ours = [(entry, at) for entry in page.entries if (at := position_of(entry.key))]
        done = final({at for _, at in ours})
        doomed = [entry for entry, at in ours if at in done]
        if not dry_run:
            await delete_all(bucket, [entry.key for entry in doomed])
        count += len(doomed)
        size += sum(entry.size for entry in doomed)
        kept += len(ours) - len(doomed)
        if page.token is None:
            return count, size, kept
        # By key: a token need not survive what was deleted meanwhile.
        after, token = (page.entries[-1].key, None) if page.entries else (after, page.token)


def _position_of_input(run_id: str, key: str) -> int | None:
    """The item that an input object belongs to; None when its name is not one that we make."""
    name = parse_name(run_id, key.removeprefix(INPUTS).removesuffix(".json"))
    if name is None or key != f"{INPUTS}{object_name(run_id, *name)}.json":
        return None
    return name[0]


def _position_of_output(run_id: str, key: str) -> int | None:
    """The same of an output object."""
    output = parse_output(run_id, key)
    return None if output is None else output.position
