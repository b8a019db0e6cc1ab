"""Deletes from the bucket what a run has put there, once its results are recorded.

An object is deleted only if its name is exactly one that this run directory has recorded (another
copy of the directory may need the others), and its item has a final outcome. Objects are deleted
one by one, because some stores support nothing else (docs/platform.md). Nothing else in the bucket
is listed but keys with the same beginning as this run's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TypeAlias

from batchinfer.api.deliveries import DELIVERIES, get_bucket_protocol
from batchinfer.api.job import Job, ResolvedJob, check_job, require_run, resolve
from batchinfer.backends.bucket_client import BucketClient, Listing, delete_keys
from batchinfer.backends.output_pairs import is_recorded
from batchinfer.config import RunSettings
from batchinfer.domain import Json, OpenItem, RunInfo, State
from batchinfer.errors import FatalError, RunAborted
from batchinfer.protocols.inference_protocol import BucketProtocol
from batchinfer.protocols.object_ids import ObjectName
from batchinfer.store.lock import RunLock
from batchinfer.store.run_reader import RunReader

SubmissionLookup: TypeAlias = Callable[[Collection[int]], Mapping[int, OpenItem]]
"""What items of these positions have in the bucket, as the run directory has recorded it."""


@dataclass(frozen=True, slots=True)
class CleanupSummary:
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
        """The object that `batchinfer clean --json` prints (docs/reference/scripting.md)."""
        return asdict(self)


async def clean_bucket(job: Job | ResolvedJob, *, dry_run: bool = False) -> CleanupSummary:
    """Delete from the bucket what the run of `job` made and has recorded; `dry_run`: only count.

    Raises ConfigError for a run in sync mode (it has nothing in a bucket), RunLocked while another
    process works on the run, RunAborted when the bucket refuses or does not answer.
    """
    require_run(job.run)
    with nullcontext() if dry_run else RunLock(job.run), RunReader(job.run) as reader:
        resolved = resolve(job)
        check_job(resolved)
        return await _connect_and_delete(
            resolved.settings, reader.info, reader.read_submissions, dry_run=dry_run
        )


async def delete_run_objects(settings: RunSettings, info: RunInfo) -> CleanupSummary:
    """Delete everything the run made, recorded or not: a probe is never resumed."""
    return await _connect_and_delete(settings, info, None, dry_run=False)


async def _connect_and_delete(
    settings: RunSettings,
    info: RunInfo,
    find_submissions: SubmissionLookup | None,
    *,
    dry_run: bool,
) -> CleanupSummary:
    try:
        async with DELIVERIES[settings.mode].open_bucket(settings) as bucket:
            names = get_bucket_protocol(settings)
            return await delete_objects(bucket, names, info.id, find_submissions, dry_run=dry_run)
    except FatalError as error:
        raise RunAborted(error.code, error.message) from None
    except OSError as error:
        raise RunAborted("bucket_unreachable", str(error)) from None


async def delete_objects(
    bucket: BucketClient,
    names: BucketProtocol,
    run_id: str,
    find_submissions: SubmissionLookup | None,
    *,
    dry_run: bool = False,
) -> CleanupSummary:
    """Delete the run's objects that are `recorded` and of final items; None: all of them.

    Flat in memory. Raises as the bucket does; what is deleted by then stays deleted.
    """
    summary = CleanupSummary()
    for folder in (names.inputs_prefix, names.outputs_prefix):
        listing = Listing(bucket, f"{folder}{run_id}-")
        while listing.has_more():
            page = await listing.next_page()
            own_objects = [
                (entry, parsed)
                for entry in page
                if (parsed := _parse_object_name(names, run_id, entry.key))
            ]
            items = (
                find_submissions({name.position for _, (_, name) in own_objects})
                if find_submissions
                else {}
            )
            deletable, kept, unrecorded = [], 0, 0
            for entry, (base, name) in own_objects:
                item = items.get(name.position)
                if find_submissions is not None and not _is_recorded(names, item, base, name):
                    unrecorded += 1
                elif item is not None and item.state not in _DELETABLE_STATES:
                    kept += 1
                else:
                    deletable.append(entry)
            if not dry_run:
                await delete_keys(bucket, [entry.key for entry in deletable])
                if deletable:
                    listing.restart_after_last_key()
            is_input = folder == names.inputs_prefix
            summary = CleanupSummary(
                summary.inputs + len(deletable) * is_input,
                summary.outputs + len(deletable) * (not is_input),
                summary.bytes + sum(entry.size for entry in deletable),
                summary.kept + kept,
                summary.unrecorded + unrecorded,
            )
    return summary


_DELETABLE_STATES = frozenset({State.SUCCEEDED, State.FAILED})


def _parse_object_name(
    names: BucketProtocol, run_id: str, key: str
) -> tuple[str, ObjectName] | None:
    """The name of an object of this run, whole and in parts; None for any other."""
    if key.startswith(names.inputs_prefix):
        return names.parse_input_key(run_id, key)
    output = names.parse_output_key(run_id, key)
    return None if output is None else (output.base_name, output.parsed_name)


def _is_recorded(names: BucketProtocol, item: OpenItem | None, base: str, name: ObjectName) -> bool:
    return item is not None and is_recorded(names, item, names.get_output_stem(base), name)
