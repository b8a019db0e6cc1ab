"""The verbs of `ports.Store` on an open database: each one transaction, run in a worker thread.

Rules: a verb reads what it needs as one JSON text, lets `rules.py` decide, and writes a whole pile
with a few statements a table (`codec.py` says why).
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeAlias
from zlib import crc32

from batchinfer._version import __version__
from batchinfer.domain import (
    Attempt,
    Counts,
    Digest,
    Failure,
    Item,
    Json,
    Open,
    Record,
    Reply,
    State,
    Submitted,
)
from batchinfer.errors import SourceError
from batchinfer.ports import Added, Adjusted, Placed, TooLarge
from batchinfer.store import checksums, rules
from batchinfer.store import statements as sql
from batchinfer.store.codec import (
    decode,
    decode_files,
    encode,
    encode_files,
    pages,
    printable,
    rows,
)
from batchinfer.store.database import transaction
from batchinfer.store.outputs import output_name, write_outputs
from batchinfer.store.rules import Life
from batchinfer.store.sessions import Session, changed

Sent: TypeAlias = tuple[int | None, str | None]
"""The session and the parameters (JSON) of an attempt."""

_PAGE: Final = 1_000
_DOUBLED: Final = re.compile(r"\\{2,}(?=x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})")
"""Backslashes of a name before what a byte is spelled as; older versions did not double them."""
"""How the sources spell it in a key, where it would read as a byte."""
_BESIDE: Final = 1_000
"""Bytes that stand in a row beside its large text."""


# Adding -------------------------------------------------------------------------------------------


def add(
    db: sqlite3.Connection,
    items: Sequence[Item],
    begun: Container[int] = (),
    session: Session | None = None,
) -> Added:
    """Add a page, in order. Raises SourceError."""
    try:
        return _add(db, items, begun, session)
    except RecursionError:
        raise SourceError(_too_deep(items)) from None
    except sqlite3.DataError:  # what is known of them is more than one text can hold
        if len(items) == 1:
            raise
    half = len(items) // 2
    first = add(db, items[:half], begun, session)
    other = add(db, items[half:], begun, session)
    return Added(
        first.new + other.new,
        first.changed + other.changed,
        first.reset + other.reset,
        first.known + other.known,
    )


def _too_deep(items: Sequence[Item]) -> str:
    for item in items:
        try:
            encode(item.params)
        except RecursionError:
            return (
                f"The parameters of {item.key!r} are nested too deeply to be kept; give them as a "
                "JSON text in one parameter."
            )
    return "Parameters are nested too deeply to be kept."


def _add(
    db: sqlite3.Connection,
    items: Sequence[Item],
    begun: Container[int],
    session: Session | None,
) -> Added:
    with transaction(db):
        items = _under_old_keys(db, items)
        keys = encode([item.key for item in items])
        known, last = db.execute(sql.KNOWN, (keys,)).fetchone()
        before = {row[1]: (as_item(row), State(row[6])) for row in rows(known)}
        settled = rules.settle(items, before, begun)
        new = (_item_row(item, place) for place, item in enumerate(settled.new, last + 1))
        _write(db, sql.INSERT, new)
        _write(db, sql.RENEW, (_item_row(item, item.position) for item in settled.renewed))
        _note_activity(db, session)
    positions = tuple(sorted(item.position for item, _ in before.values()))
    return Added(len(settled.new), settled.changed, settled.reset, positions)


def forget_future(db: sqlite3.Connection, now: float) -> None:
    """Bring submissions and retries that lie in the future back to `now`."""
    with transaction(db):
        db.execute(sql.SUBMITTED_BY_NOW, {"now": now})
        db.execute(sql.DUE_BY_NOW, {"now": now})


def _under_old_keys(db: sqlite3.Connection, items: Sequence[Item]) -> Sequence[Item]:
    r"""The items; one that an older version added under a key that spells no backslash keeps it."""
    old = {item.key: _DOUBLED.sub(_halved, item.key) for item in items if "\\\\" in item.key}
    if not old:
        return items
    (known, _) = db.execute(sql.KNOWN, (encode(list(old.values())),)).fetchone()
    places = {found.key: found.files[:1] for found in map(as_item, rows(known))}

    def keyed(item: Item) -> Item:
        key = old.get(item.key, item.key)
        was = places.get(key)
        same_path = was and item.files and was[0].path == item.files[0].path
        return replace(item, key=key) if same_path else item

    return [keyed(item) for item in items]


def _halved(found: re.Match[str]) -> str:
    return found[0][len(found[0]) // 2 :]


def source_read(db: sqlite3.Connection) -> None:
    """Note that the source has been read to its end."""
    with transaction(db):
        db.execute(sql.SOURCE_READ)


def keep_help(db: sqlite3.Connection, text: str) -> None:
    """Keep the model's help with the run."""
    with transaction(db):
        db.execute(sql.KEEP_HELP, (text,))
        db.execute(sql.SEAL_RUN, (checksums.of_run(*db.execute(sql.RUN).fetchone()),))


def note(db: sqlite3.Connection, adjusted: Sequence[Adjusted]) -> None:
    """Keep how the limit moved."""
    with transaction(db):
        _write(db, sql.NOTE, [(a.at, a.was, a.value, a.reason) for a in adjusted])


# Recording ----------------------------------------------------------------------------------------


def record(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    session: Session | None = None,
) -> Sequence[State | None]:
    """Commit a pile, in order; for each record the state before, None if it came too late.

    Raises TooLarge.
    """
    try:
        return _record(db, directory, records, session)
    except (sqlite3.DataError, OverflowError, MemoryError, RecursionError):
        most = db.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
        if large := [one.position for one in records if not _fits(one, most)]:
            raise TooLarge(large) from None
        raise


def _fits(record: Record, most: int) -> bool:
    """Whether the row of its attempt and that of its prediction can be held."""
    outcome = record.attempt.outcome
    try:
        prediction = encode(outcome.prediction) if isinstance(outcome, Reply) else ""
        log = "" if isinstance(outcome, Submitted) else printable(outcome.log)
        return max(_bytes(prediction), _bytes(log)) < most - _BESIDE
    except (MemoryError, RecursionError, OverflowError):
        return False


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _record(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    session: Session | None,
) -> Sequence[State | None]:
    with transaction(db):
        lives = _lives(db, [one.position for one in records])
        counted: list[Record] = []
        told: list[State | None] = []
        for one in records:
            before = lives[one.position]
            after = rules.follow(before, one)
            told.append(before.state if after else None)
            if after:
                lives[one.position] = after
                counted.append(one)
        _keep(db, directory, counted, lives, session)
        _live_on(db, lives, {one.position for one in counted})
        _note_activity(db, session)
    return told


def adopt(
    db: sqlite3.Connection, placed: Sequence[Placed], at: float, session: Session | None = None
) -> int:
    """Mark as submitted what was found in the bucket; how many items."""
    with transaction(db):
        lives = _lives(db, [one.position for one in placed])
        adopted: dict[int, Placed] = {}
        for one in placed:
            if one.position in lives:
                life = rules.adopt(lives[one.position], one.attempt, at)
                if life:
                    lives[one.position] = life
                    adopted[one.position] = one
        _live_on(db, lives, adopted)
        _write(db, sql.SUBMISSION, _adopted(db, adopted, session and session.earlier))
        _note_activity(db, session)
    return len(adopted)


def _lives(db: sqlite3.Connection, positions: Iterable[int]) -> dict[int, Life]:
    (found,) = db.execute(sql.LIVES, (encode(list(set(positions))),)).fetchone()
    return {row[0]: Life(State(row[1]), *row[2:]) for row in rows(found)}


def _live_on(db: sqlite3.Connection, lives: Mapping[int, Life], positions: Iterable[int]) -> None:
    _write(db, sql.LIVE_ON, (_life_row(position, lives[position]) for position in positions))


def _adopted(
    db: sqlite3.Connection, placed: Mapping[int, Placed], session: Session | None
) -> Iterator[tuple[Any, ...]]:
    """The rows of submissions that an earlier session made and was killed before recording."""
    if not placed:
        return
    for position, params in _page(db, sql.PARAMS_OF, (encode(list(placed)),)):
        one = placed[position]
        sent = session.sent(decode(params)) if session else None
        yield (position, one.attempt, one.name, session and session.number, sent)


def _keep(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    lives: Mapping[int, Life],
    session: Session | None,
) -> None:
    """Write what attempts brought; bytes become files first."""
    attempts = {}
    submissions = []
    predictions: dict[tuple[int, int], tuple[str, str, int | None]] = {}
    outputs = []
    sent = []
    for one in records:
        number, files = one.attempt.number, one.attempt.outcome.inputs
        sent += [_input_row(one.position, number, file) for file in files]
        match one.attempt.outcome:
            case Submitted(name):
                submissions.append((one.position, number, name, *_sent(one.attempt, session)))
                continue
            case Reply() as reply:
                kept, of_file = reply.prediction, None
                if reply.data is not None:
                    kept = output_name(one.position, number, reply.media_type)
                    outputs.append((kept, reply.data))
                    of_file = crc32(reply.data)
                predictions[one.position, number] = (reply.media_type, encode(kept), of_file)
            case Failure():
                pass
        # A reply may follow the failure of the same attempt within one pile.
        attempts[one.position, number] = one.attempt
    write_outputs(directory, outputs)
    _write(db, sql.SUBMISSION, submissions)
    sent_before = _sent_before(db, [key for key, made in attempts.items() if made.params is None])
    _write(
        db,
        sql.ATTEMPT,
        (
            _attempt_row(
                key[0],
                made,
                sent_before.get(key) or _sent(made, session),
                predictions.get(key),
                lives[key[0]].attempts,
            )
            for key, made in attempts.items()
        ),
    )
    _write(db, sql.PREDICTION, ((*key, *brought) for key, brought in predictions.items()))
    _write(db, sql.SENT, sent)


def _sent(attempt: Attempt, session: Session | None) -> Sent:
    """Session and parameters of an attempt that this process made."""
    if attempt.params is None:
        return None, None
    if session is None:
        return None, encode(attempt.params)
    return session.number, session.sent(attempt.params)


def _sent_before(
    db: sqlite3.Connection, attempts: Sequence[tuple[int, int]]
) -> Mapping[tuple[int, int], Sent]:
    """The same of attempts that were submitted, by position and number."""
    if not attempts:
        return {}
    found = _page(db, sql.SUBMITTED_WITH, (encode(attempts),))
    return {(position, number): (session, params) for position, number, session, params in found}


def _note_activity(db: sqlite3.Connection, session: Session | None) -> None:
    """Note that this session is at work."""
    if session is not None:
        db.execute(sql.ACTIVE, (time.time(), session.number))


# Sessions -----------------------------------------------------------------------------------------


def _emptied(db: sqlite3.Connection) -> bool:
    """Whether all of the log could be moved into the file; readers are not waited for."""
    (patience,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute("PRAGMA busy_timeout = 100")
    try:
        (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {patience}")
    return not busy


def begin(db: sqlite3.Connection, params: Mapping[str, Json]) -> Session:
    """Begin a session that sends these of the config's parameters."""
    with transaction(db):
        (text,) = db.execute(sql.RUN_PARAMS).fetchone()
        run = {} if text is None else decode(text)
        before = db.execute(sql.SESSIONS).fetchall()
        number, at, sent = (before[-1][0] if before else 0) + 1, time.time(), encode(params)
        asked = {"number": number, "version": __version__, "at": at, "params": sent}
        asked["checksum"] = checksums.of_session(number, __version__, at, sent)
        db.execute(sql.BEGIN, asked)
    if _emptied(db):  # whatever the log will hold belongs to a file that knows this session
        with transaction(db):
            db.execute(sql.SEAL, (number,))
    earlier = Session(before[-1][0], changed(decode(before[-1][4]), run)) if before else None
    others = [row[0] for row in before if changed(decode(row[4]), params)]
    if now := changed(params, run):
        others.append(0)  # results of versions that knew no sessions
    count, example = db.execute(sql.OTHERS, (encode(others),)).fetchone() if others else (0, None)
    return Session(number, now, earlier, count, example)


# Putting back -------------------------------------------------------------------------------------


def requeue(db: sqlite3.Connection, code: str | None, key: str | None) -> int:
    """Put failed items back to pending; how many."""
    count = after = 0
    with transaction(db):
        while True:
            asked = {"after": after, "code": code, "key": key, "limit": _PAGE}
            found = [as_item(row) for row in _page(db, sql.FAILED, asked)]
            if not found:
                return count
            now = [replace(item, files=rules.as_now(item.files)) for item in found]
            _write(db, sql.RENEW, (_item_row(item, item.position) for item in now))
            positions = [item.position for item in found]
            lives = _lives(db, positions)
            _live_on(db, {place: rules.revive(life) for place, life in lives.items()}, positions)
            count += len(found)
            after = positions[-1]


# Asking -------------------------------------------------------------------------------------------


def pending(db: sqlite3.Connection, after: int, limit: int, due: float) -> Sequence[Item]:
    """Pending items that are due, a page of them."""
    return [as_item(row) for row in _page(db, sql.PENDING, (after, due, limit))]


def next_due(db: sqlite3.Connection, after: float) -> float | None:
    """When the next item is due that backs off beyond `after`."""
    due: float | None = db.execute(sql.NEXT_DUE, (after,)).fetchone()[0]
    return due


def unfinished(db: sqlite3.Connection, positions: Collection[int]) -> Mapping[int, Open]:
    """Those of `positions` without a final outcome."""
    found = _page(db, sql.UNFINISHED, (encode(list(set(positions))),))
    return {row[0]: _open(row) for row in found}


def submissions(db: sqlite3.Connection, positions: Collection[int]) -> Mapping[int, Open]:
    """The same of all of `positions`, whatever their state."""
    found = _page(db, sql.SUBMITTED_AT, (encode(list(set(positions))),))
    return {row[0]: _open(row) for row in found}


def lowest_unfinished(db: sqlite3.Connection) -> int | None:
    """Where outputs may still turn up, at the lowest."""
    position: int | None = db.execute(sql.LOWEST_UNFINISHED).fetchone()[0]
    return position


def overdue(db: sqlite3.Connection, submitted_before: float, limit: int) -> Sequence[Open]:
    """Items submitted too long ago, oldest first."""
    return [_open(row) for row in _page(db, sql.OVERDUE, (submitted_before, limit))]


def counts(db: sqlite3.Connection) -> Counts:
    """Items by state: positions have no gaps, so that those that succeeded need no counting."""
    waiting, submitted, failed, total = db.execute(sql.COUNTS).fetchone()
    return Counts(waiting, submitted, total - waiting - submitted - failed, failed)


# Rows ---------------------------------------------------------------------------------------------


def _page(db: sqlite3.Connection, statement: str, asked: Any) -> list[list[Any]]:
    (text,) = db.execute(statement, asked).fetchone()
    return rows(text)


def _write(db: sqlite3.Connection, statement: str, new: Iterable[Sequence[Any]]) -> None:
    for page in pages(new):
        whole = sql.filled(statement, len(page), len(page[0]))
        db.execute(whole, list(chain.from_iterable(page)))


def as_item(row: Sequence[Any]) -> Item:
    """A row that `statements.ITEM` made."""
    position, key, files, params, attempts, spared, _ = row
    return Item(key, decode_files(files), decode(params), position, attempts, spared)


def _item_row(item: Item, position: int) -> tuple[Any, ...]:
    path = printable(item.files[0].path) if item.files else None
    row = (position, item.key, path, encode_files(item.files), encode(item.params))
    return (*row, checksums.of_item(*row))


def _open(row: Sequence[Any]) -> Open:
    position, state, attempt, submitted_at, spared, objects = row
    names = {int(number): name for number, name in objects.items()}
    return Open(position, State(state), attempt, submitted_at, spared, names)


def _life_row(position: int, life: Life) -> tuple[Any, ...]:
    return (
        position,
        life.state.value,
        life.attempts,
        life.spared,
        life.retry_at,
        life.in_bucket,
        life.submitted_at,
        life.finished_at,
    )


def _input_row(position: int, number: int, sent: Digest) -> tuple[Any, ...]:
    row = (position, number, sent.param, sent.size, sent.sha256)
    return (*row, checksums.of_input(*row))


def _attempt_row(
    position: int,
    attempt: Attempt,
    sent: Sent,
    brought: Sequence[Any] | None,
    attempts: int,
) -> tuple[Any, ...]:
    """`brought`: what stands in `predictions`; `attempts`: the item's, now that this one counts."""
    start = (position, attempt.number, float(attempt.started_at), float(attempt.seconds))
    told: tuple[Any, ...]
    count = attempt.number
    match attempt.outcome:
        case Reply(log=log, server_seconds=seconds):
            told = (None, None, None, None, printable(log), _real(seconds))
            count = attempts
        case Failure(code, message, kind, retry_after, log):
            told = (code, printable(message), kind.value, _real(retry_after), printable(log), None)
        case Submitted():
            raise AssertionError("a submission is no outcome")
    whole = checksums.of_attempt((*start, *told[:4], told[5], *sent), brought, count)
    return (*start, *told, *sent, whole, checksums.of_text(told[4]))


def _real(number: float | None) -> float | None:
    """As SQLite keeps it."""
    return None if number is None else float(number)
