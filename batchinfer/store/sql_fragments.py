"""Parts of the statements of `write_sql` and `read_sql`: an item as JSON, and a page of items."""
# ruff: noqa: S608 - put together from the constants of this file only

from __future__ import annotations

from batchinfer.store.json_codec import MAX_STATEMENT_CHARS

ITEM_JSON = """json_array(items.position, items.key, items.files, items.params, items.attempts,
    items.spared, items.state)"""
STATUS_JSON = """json_array(items.position, items.state, items.attempts, items.spared,
    items.retry_at, items.in_bucket, items.submitted_at, items.finished_at)"""
OPEN_ITEM_JSON = """json_array(items.position, items.state, items.in_bucket, items.submitted_at,
    items.spared, json((
        SELECT json_group_object(number, object) FROM submissions
        WHERE submissions.position = items.position
    )), items.key)"""

_ROW_CHARS = "(length(params) + length(files))"
BOUNDED_PAGE_TEMPLATE = f"""
    SELECT * FROM (
        SELECT *, sum({_ROW_CHARS}) OVER (ORDER BY position) - {_ROW_CHARS} AS before FROM ({{}})
    ) WHERE before < {MAX_STATEMENT_CHARS}"""
"""The first rows of a page of items, until they are large together."""
