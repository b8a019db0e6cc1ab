"""Parts of the statements of `write_sql` and `read_sql`: an item as JSON, and a page of items."""
# ruff: noqa: S608 - put together from the constants of this file only

from __future__ import annotations

from batchinfer.store.codec import PAGE_SIZE

ITEM = """json_array(items.position, items.key, items.files, items.params, items.attempts,
    items.spared, items.state)"""
LIFE = """json_array(items.position, items.state, items.attempts, items.spared, items.retry_at,
    items.in_bucket, items.submitted_at, items.finished_at)"""
OPEN = """json_array(items.position, items.state, items.in_bucket, items.submitted_at,
    items.spared, json((
        SELECT json_group_object(number, object) FROM submissions
        WHERE submissions.position = items.position
    )))"""

_SIZE = "(length(params) + length(files))"
SOME = f"""
    SELECT * FROM (
        SELECT *, sum({_SIZE}) OVER (ORDER BY position) - {_SIZE} AS before FROM ({{}})
    ) WHERE before < {PAGE_SIZE}"""
"""The first rows of a page of items, until they are large together."""
