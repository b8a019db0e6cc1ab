"""First replies, to items that wait for one: nearly all records. The hot path of recording.

What `transitions` would decide for them is one statement: no status is read, none is made. The
statement changes only items whose status is as it was guessed; if it changes fewer than it was
given, nothing of the batch is kept, and `transitions` decides for all of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from batchinfer.domain import Record, Reply, State
from batchinfer.store import sql_write
from batchinfer.store.item_counts import CountChanges
from batchinfer.store.row_mapping import write_rows


class UnexpectedStatusError(Exception):
    """Not all items are as they were taken to be."""


def split_first_replies(
    records: Sequence[Record],
) -> tuple[Sequence[Record], Sequence[Record]]:
    """The records that are, most likely, first replies, and the others; each of another item."""
    if len({one.position for one in records}) < len(records):
        return (), records
    replies: list[Record] = []
    others: list[Record] = []
    for one in records:
        is_reply = one.state is State.SUCCEEDED and isinstance(one.attempt.outcome, Reply)
        (replies if is_reply else others).append(one)
    return replies, others


def mark_succeeded(
    db: sqlite3.Connection, replies: Sequence[Record], counts: CountChanges
) -> State | None:
    """Write the new status of items that wait for a reply; the state they had till now.

    What changes in the counts is added to `counts`. Raises UnexpectedStatusError when they are not
    all in one state, tried less often than now; the transaction must not be committed then.
    """
    if not replies:
        return None
    # The parameters of an attempt that was submitted are recorded with its submission.
    before = State.SUBMITTED if replies[0].attempt.params is None else State.PENDING
    rows = [
        (
            one.position,
            one.attempt.number,
            float(one.attempt.started_at + one.attempt.seconds),
            before.value,
        )
        for one in replies
    ]
    if write_rows(db, sql_write.MARK_SUCCEEDED, rows) != len(replies):
        raise UnexpectedStatusError
    counts.add(before, -len(replies))
    counts.add(State.SUCCEEDED, len(replies))
    return before
