"""Items that a source brought: added in order, or taken over what the source says now."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Final

from batchinfer.domain import Item, State
from batchinfer.errors import SourceError
from batchinfer.ports import Added
from batchinfer.store import rules
from batchinfer.store import write_sql as sql
from batchinfer.store.codec import encode, rows
from batchinfer.store.database import transaction
from batchinfer.store.sessions import Session, note_activity
from batchinfer.store.table_rows import as_item, item_row, write_rows

_DOUBLED: Final = re.compile(r"\\{2,}(?=x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})")
"""Backslashes of a name before what a byte is spelled as; older versions did not double them."""


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
        new = (item_row(item, place) for place, item in enumerate(settled.new, last + 1))
        write_rows(db, sql.INSERT, new)
        write_rows(db, sql.RENEW, (item_row(item, item.position) for item in settled.renewed))
        note_activity(db, session)
    positions = tuple(sorted(item.position for item, _ in before.values()))
    return Added(len(settled.new), settled.changed, settled.reset, positions)


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
