"""What changes when something happens to an item: a store decides here, then writes.

=============  =====================================  ============================================
what happened  counts when                            what changes
=============  =====================================  ============================================
a reply        the item is not final                  the record's state; the attempt's row, also of
                                                      an older attempt that was given up before
a failure      not final, and the attempt is newer    the record's state and `retry_at`
               than all recorded ones
a submission   pending, and the attempt is newer      submitted, since when, which attempt. It is
               than all recorded ones                 not an outcome: `attempts` stays
found in the   pending, and it is the next attempt    as a submission
bucket
known again    pending, never tried, and not on its   takes over files and parameters
               way (`maybe_in_flight`)
known again    otherwise, and a file or a parameter   nothing; its key is reported
               differs
requeue        failed                                 pending, due now; attempts so far do not
                                                      count; its files' sizes and times as now
=============  =====================================  ============================================
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from batchinfer.domain import Failure, InputFile, Item, Record, Reply, State, Submitted
from batchinfer.errors import SourceError
from batchinfer.inputs import restat_file
from batchinfer.store.json_codec import equal_as_json, escape_non_utf8, is_valid_utf8

FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED})


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """What is known of an item apart from what it is."""

    state: State = State.PENDING
    attempts: int = 0
    """Highest number of an attempt that has an outcome."""
    uncounted_attempts: int = 0
    retry_at: float | None = None
    """Only of a pending item."""
    submitted_attempt: int = 0
    """Number of the newest attempt that was submitted; 0: none."""
    submitted_at: float | None = None
    finished_at: float | None = None
    """Only of a final item."""


def apply_record(status: ItemStatus, record: Record) -> ItemStatus | None:
    """The item's status after `record`, or None if it came too late to count."""
    attempt, state = record.attempt, record.state
    is_newer = attempt.number > status.attempts
    match attempt.outcome:
        case _ if status.state in FINAL_STATES:
            return None
        case Submitted() if is_newer and status.state is State.PENDING:
            return apply_submission(status, attempt.number, attempt.started_at)
        case Reply():
            pass
        case Failure() if is_newer:
            pass
        case _:
            return None
    return ItemStatus(  # not replace(), which takes thrice as long
        state=state,
        attempts=max(status.attempts, attempt.number),
        uncounted_attempts=status.uncounted_attempts,
        retry_at=record.retry_at if state is State.PENDING else None,
        submitted_attempt=status.submitted_attempt,
        submitted_at=status.submitted_at,
        finished_at=attempt.started_at + attempt.seconds if state in FINAL_STATES else None,
    )


def apply_found_object(status: ItemStatus, number: int, submitted_at: float) -> ItemStatus | None:
    """The status of an item whose attempt `number` was found in the bucket; None: no change."""
    if status.state is not State.PENDING or number != status.attempts + 1:
        return None
    return apply_submission(status, number, submitted_at)


def apply_submission(status: ItemStatus, number: int, submitted_at: float) -> ItemStatus:
    """The status of an item whose attempt `number` was submitted at `submitted_at`."""
    return replace(
        status,
        state=State.SUBMITTED,
        submitted_attempt=number,
        submitted_at=submitted_at,
        retry_at=None,
    )


def reset_for_retry(status: ItemStatus) -> ItemStatus:
    """The status of a failed item that is put back: due now, with all its attempts again."""
    return replace(
        status,
        state=State.PENDING,
        uncounted_attempts=status.attempts,
        retry_at=None,
        finished_at=None,
    )


@dataclass(frozen=True, slots=True)
class MergedPage:
    """What is to be done with a page of items that was added."""

    new: Sequence[Item]
    """In order; positions are yet to be given."""
    updated: Sequence[Item]
    """Never tried: known ones as they are now, positions as known."""
    changed_file_keys: tuple[str, ...]
    """Keys whose files are no longer those that were sent."""
    changed_param_keys: tuple[str, ...]
    """Keys whose parameters are no longer those that were sent."""


def merge_page(
    items: Iterable[Item],
    known_items: Mapping[str, tuple[Item, State]],
    maybe_in_flight: Container[int] = (),
) -> MergedPage:
    """Sort a page into what is new, updated and changed, given those of its keys that are known.

    Raises SourceError when one key stands for two paths, or cannot be written.
    """
    new: dict[str, Item] = {}
    updated: dict[str, Item] = {}
    changed_file_keys: dict[str, None] = {}
    changed_param_keys: dict[str, None] = {}
    for item in items:
        old, state = known_items.get(item.key) or (new.get(item.key), State.PENDING)
        if old is None:
            _check_key(item)
            new[item.key] = item
        elif _get_first_path(old) != _get_first_path(item):
            raise SourceError(
                _duplicate_key_message(item.key, _get_first_path(old), _get_first_path(item))
            )
        elif state is State.PENDING and not old.attempts and old.position not in maybe_in_flight:
            page = new if item.key in new else updated
            if item.key in page or old.files != item.files or not _params_equal(old, item):
                page[item.key] = replace(item, position=old.position)
        else:
            if files_differ(old.files, item.files):
                changed_file_keys[item.key] = None
            if not _params_equal(old, item):
                changed_param_keys[item.key] = None
    return MergedPage(
        tuple(new.values()),
        tuple(updated.values()),
        tuple(changed_file_keys),
        tuple(changed_param_keys),
    )


def restat_files(files: Sequence[InputFile]) -> tuple[InputFile, ...]:
    """The same files with the size and time they have now; unknown where they cannot be seen."""
    return tuple(restat_file(file) for file in files)


def _check_key(item: Item) -> None:
    if "\0" in item.key or not is_valid_utf8(item.key):
        path = _get_first_path(item)
        raise SourceError(
            f"The key {escape_non_utf8(item.key)!r} of {escape_non_utf8(path or 'an item')} holds "
            "characters that no file can keep (NUL, or half a character); give the item another "
            "key."
        )


def _get_first_path(item: Item) -> str | None:
    return item.files[0].path if item.files else None


def _duplicate_key_message(key: str, first_path: str | None, second_path: str | None) -> str:
    first, second = (escape_non_utf8(path or "no file") for path in (first_path, second_path))
    return (
        f"The key {key!r} stands for two inputs: {first} and {second}. Give one of them another "
        "key in a manifest, or put them into two runs."
    )


def files_differ(old: Sequence[InputFile], new: Sequence[InputFile]) -> bool:
    """Whether the files of an item are others than those that were sent, as far as can be seen."""
    if [(file.param, file.path) for file in old] != [(file.param, file.path) for file in new]:
        return True
    return any(
        was.has_changed(now.size, now.mtime_ns, now.fingerprint)
        for was, now in zip(old, new, strict=True)
    )


def _params_equal(old: Item, new: Item) -> bool:
    """Whether their parameters are the same; most items have none."""
    return (not old.params and not new.params) or equal_as_json(old.params, new.params)
