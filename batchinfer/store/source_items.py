"""Items that a source brought: added in order, or taken over what the source says now."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Final

from batchinfer.domain import Item, State
from batchinfer.errors import SourceError
from batchinfer.ports import AddResult
from batchinfer.store import sql_write as sql
from batchinfer.store import transitions
from batchinfer.store.database import transaction
from batchinfer.store.json_codec import encode_json, parse_rows
from batchinfer.store.row_mapping import item_to_row, row_to_item, write_rows
from batchinfer.store.sessions import RunSession, record_activity

_DOUBLED_BACKSLASHES: Final = re.compile(r"\\{2,}(?=x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})")
"""Backslashes of a name before what a byte is spelled as; older versions did not double them."""


def add_items(
    db: sqlite3.Connection,
    items: Sequence[Item],
    maybe_in_flight: Container[int] = (),
    session: RunSession | None = None,
) -> AddResult:
    """Add a page, in order. Raises SourceError."""
    try:
        return _add_in_transaction(db, items, maybe_in_flight, session)
    except RecursionError:
        raise SourceError(_nesting_error_message(items)) from None
    except sqlite3.DataError:  # what is known of them is more than one text can hold
        if len(items) == 1:
            raise
    half = len(items) // 2
    first = add_items(db, items[:half], maybe_in_flight, session)
    second = add_items(db, items[half:], maybe_in_flight, session)
    return AddResult(
        first.new_count + second.new_count,
        first.changed_file_keys + second.changed_file_keys,
        first.changed_param_keys + second.changed_param_keys,
        first.known_positions + second.known_positions,
    )


def _nesting_error_message(items: Sequence[Item]) -> str:
    for item in items:
        try:
            encode_json(item.params)
        except RecursionError:
            return (
                f"The parameters of {item.key!r} are nested too deeply to be kept; give them as a "
                "JSON text in one parameter."
            )
    return "Parameters are nested too deeply to be kept."


def _add_in_transaction(
    db: sqlite3.Connection,
    items: Sequence[Item],
    maybe_in_flight: Container[int],
    session: RunSession | None,
) -> AddResult:
    with transaction(db):
        items = _keep_legacy_keys(db, items)
        keys = encode_json([item.key for item in items])
        known_rows, last_position = db.execute(sql.SELECT_ITEMS_BY_KEY, (keys,)).fetchone()
        known_items = {row[1]: (row_to_item(row), State(row[6])) for row in parse_rows(known_rows)}
        merged = transitions.merge_page(items, known_items, maybe_in_flight)
        new = (
            item_to_row(item, position)
            for position, item in enumerate(merged.new, last_position + 1)
        )
        write_rows(db, sql.INSERT_ITEMS, new)
        write_rows(
            db,
            sql.UPDATE_ITEM_SOURCES,
            (item_to_row(item, item.position) for item in merged.updated),
        )
        record_activity(db, session)
    known_positions = tuple(sorted(item.position for item, _ in known_items.values()))
    return AddResult(
        len(merged.new), merged.changed_file_keys, merged.changed_param_keys, known_positions
    )


def _keep_legacy_keys(db: sqlite3.Connection, items: Sequence[Item]) -> Sequence[Item]:
    r"""The items; one that an older version added under a key that spells no backslash keeps it."""
    legacy_keys = {
        item.key: _DOUBLED_BACKSLASHES.sub(_halve_backslashes, item.key)
        for item in items
        if "\\\\" in item.key
    }
    if not legacy_keys:
        return items
    (known_rows, _) = db.execute(
        sql.SELECT_ITEMS_BY_KEY, (encode_json(list(legacy_keys.values())),)
    ).fetchone()
    known_files = {found.key: found.files[:1] for found in map(row_to_item, parse_rows(known_rows))}

    def with_legacy_key(item: Item) -> Item:
        key = legacy_keys.get(item.key, item.key)
        known_file = known_files.get(key)
        same_path = known_file and item.files and known_file[0].path == item.files[0].path
        return replace(item, key=key) if same_path else item

    return [with_legacy_key(item) for item in items]


def _halve_backslashes(match: re.Match[str]) -> str:
    return match[0][len(match[0]) // 2 :]
