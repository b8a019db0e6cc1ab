"""What changes when something happens to an item. Pure: a store decides here, then writes.

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
               way (`begun`)
known again    otherwise, and a file or a parameter   nothing; its key is reported
               differs
requeue        failed                                 pending, due now; attempts so far are spared;
                                                      sizes and times of its files as they are
=============  =====================================  ============================================
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from batchinfer.domain import Failure, InputFile, Item, Record, Reply, State, Submitted
from batchinfer.errors import SourceError
from batchinfer.store.codec import is_unicode, printable, same

FINAL = frozenset({State.SUCCEEDED, State.FAILED})


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of an item apart from what it is."""

    state: State = State.PENDING
    attempts: int = 0
    """Highest number of an attempt that has an outcome."""
    spared: int = 0
    retry_at: float | None = None
    """Only of a pending item."""
    in_bucket: int = 0
    """Number of the newest attempt that was begun in the bucket; 0: none."""
    submitted_at: float | None = None
    finished_at: float | None = None
    """Only of a final item."""


def follow(life: Life, record: Record) -> Life | None:
    """The item's life after `record`, or None if it came too late to count."""
    attempt, state = record.attempt, record.state
    newer = attempt.number > life.attempts
    match attempt.outcome:
        case _ if life.state in FINAL:
            return None
        case Submitted() if newer and life.state is State.PENDING:
            return submit(life, attempt.number, attempt.started_at)
        case Reply():
            pass
        case Failure() if newer:
            pass
        case _:
            return None
    return Life(  # not replace(), which takes thrice as long
        state=state,
        attempts=max(life.attempts, attempt.number),
        spared=life.spared,
        retry_at=record.retry_at if state is State.PENDING else None,
        in_bucket=life.in_bucket,
        submitted_at=life.submitted_at,
        finished_at=attempt.started_at + attempt.seconds if state in FINAL else None,
    )


def adopt(life: Life, number: int, at: float) -> Life | None:
    """The life of an item whose attempt `number` was found in the bucket; None: no news."""
    if life.state is not State.PENDING or number != life.attempts + 1:
        return None
    return submit(life, number, at)


def submit(life: Life, number: int, at: float) -> Life:
    """The life of an item whose attempt `number` is in the bucket since `at`."""
    return replace(life, state=State.SUBMITTED, in_bucket=number, submitted_at=at, retry_at=None)


def revive(life: Life) -> Life:
    """The life of a failed item that is put back: due now, with a fresh budget of attempts."""
    return replace(life, state=State.PENDING, spared=life.attempts, retry_at=None, finished_at=None)


@dataclass(frozen=True, slots=True)
class Settled:
    """What is to be done with a page of items that was added."""

    new: Sequence[Item]
    """In order; positions are yet to be given."""
    renewed: Sequence[Item]
    """Never tried: known ones as they are now, positions as known."""
    changed: tuple[str, ...]
    """Keys whose files are no longer those that were sent."""
    reset: tuple[str, ...]
    """Keys whose parameters are no longer those that were sent."""


def settle(
    items: Iterable[Item], known: Mapping[str, tuple[Item, State]], begun: Container[int] = ()
) -> Settled:
    """Sort a page into what is new, renewed and changed, given those of its keys that are known.

    Raises SourceError when one key stands for two paths, or cannot be written.
    """
    new: dict[str, Item] = {}
    renewed: dict[str, Item] = {}
    changed: dict[str, None] = {}
    reset: dict[str, None] = {}
    for item in items:
        old, state = known.get(item.key) or (new.get(item.key), State.PENDING)
        if old is None:
            _check_key(item)
            new[item.key] = item
        elif _place(old) != _place(item):
            raise SourceError(_two_paths(item.key, _place(old), _place(item)))
        elif state is State.PENDING and not old.attempts and old.position not in begun:
            page = new if item.key in new else renewed
            if item.key in page or old.files != item.files or not _same(old, item):
                page[item.key] = replace(item, position=old.position)
        else:
            if _differ(old.files, item.files):
                changed[item.key] = None
            if not _same(old, item):
                reset[item.key] = None
    return Settled(tuple(new.values()), tuple(renewed.values()), tuple(changed), tuple(reset))


def as_now(files: Sequence[InputFile]) -> tuple[InputFile, ...]:
    """The same files with the size and time they have now; unknown where they cannot be seen."""
    return tuple(_seen(file) for file in files)


def _check_key(item: Item) -> None:
    if "\0" in item.key or not is_unicode(item.key):
        place = _place(item)
        raise SourceError(
            f"The key {printable(item.key)!r} of {printable(place or 'an item')} holds characters "
            "that no file can keep (NUL, or half a character); give the item another key."
        )


def _place(item: Item) -> str | None:
    return item.files[0].path if item.files else None


def _two_paths(key: str, one: str | None, other: str | None) -> str:
    first, second = (printable(place or "no file") for place in (one, other))
    return (
        f"The key {key!r} stands for two inputs: {first} and {second}. "
        "Give one of them another key in a manifest, or put them into two runs."
    )


def _differ(old: Sequence[InputFile], new: Sequence[InputFile]) -> bool:
    if [(file.param, file.path) for file in old] != [(file.param, file.path) for file in new]:
        return True
    return any(was.differs(now.size, now.mtime_ns) for was, now in zip(old, new, strict=True))


def _same(old: Item, new: Item) -> bool:
    """Whether their parameters are the same; most items have none."""
    return (not old.params and not new.params) or same(old.params, new.params)


def _seen(file: InputFile) -> InputFile:
    try:
        stat = Path(file.path).stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return replace(file, size=None, mtime_ns=None)
    return replace(file, size=stat.st_size, mtime_ns=stat.st_mtime_ns)
