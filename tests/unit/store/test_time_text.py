"""Times as text are those of SQLite's `strftime`, which the views of `run.db` use."""

import sqlite3

from hypothesis import example, given
from hypothesis import strategies as st

from batchinfer.store.time_text import format_time

DATABASE = sqlite3.connect(":memory:", check_same_thread=False)
TIMES = st.floats(-1e14, 1e14) | st.floats(0, 2e9) | st.integers(-(10**12), 10**12)


@given(TIMES)
@example(0)
@example(0.9995)
@example(1_795_000_000.9994999)
@example(1_795_000_000.9995)
@example(253_402_300_798.9999)
@example(253_402_300_799.9999)
@example(-0.0001)
def test_they_are_those_of_sqlite(at):
    ((text,),) = DATABASE.execute(
        "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', ?, 'unixepoch')", (float(at),)
    )
    assert format_time(float(at)) == text


def test_no_time_is_none():
    assert format_time(None) is None
