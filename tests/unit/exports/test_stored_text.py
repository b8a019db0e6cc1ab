"""The JSON text that a run stores is what JSONL and CSV hold: it is passed on, not made again."""

import csv
import io
import sqlite3

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.api.result_export import build_export_source
from batchinfer.exports import write_export
from batchinfer.exports.export_source import ExportOptions
from batchinfer.exports.item_rows import Utf8Writer, encode_row, iter_rows, make_row, write_csv_rows
from batchinfer.exports.stored_text import encode_csv_line
from batchinfer.store.json_codec import decode_json, encode_json
from support.books import HOSTILE, JSONS
from support.records import failed, item, made, reply, submitted

NUMBERS = {1: 1e-07, "big": 1 << 80, "x": 1e22}
"""A key that is no text: such a value is stored in Python's spelling of numbers."""
PREDICTIONS = (
    [{"name": "bear", "confidence": 0.9, "box": {"x1": 1.5, "y1": 2, "x2": 1e9, "y2": -0.0}}],
    None,
    [None, float("nan"), float("inf")],
    {"deep": [[[[1]]]], "big": 1 << 70, "small": 1e-300},
    "text; =1+1",
    "\u2028 ü \ud800 \x00\x1f\\\"'",
    *HOSTILE[:-1],
)


def output(source, format):
    write_export(source, stream := io.BytesIO(), format)
    return stream.getvalue()


@pytest.fixture
async def run(tmp_path):
    records = [reply(n, prediction=each) for n, each in enumerate(PREDICTIONS, 1)]
    records += [failed(len(records) + 1), submitted(len(records) + 2)]
    items = [
        item(f"{n}.jpg", threshold=n / 3, odd=HOSTILE[n % 18]) for n in range(len(records) + 1)
    ]
    return await made(tmp_path / "run", items, records)


async def test_the_bytes_are_those_of_a_value_that_is_encoded_again(run):
    source = build_export_source(run)
    encoded = list(map(make_row, source.iter_results()))
    assert list(iter_rows(source)) == encoded
    assert output(source, "jsonl") == b"".join(map(encode_row, encoded))


@pytest.mark.parametrize("formulas", [False, True])
async def test_the_csv_of_stored_bytes_is_that_of_the_csv_module(tmp_path, formulas):
    keys = [each.replace("\0", "").encode(errors="ignore").decode() for each in HOSTILE[:-1]]
    items = [item(f"{key}{n}", path=f"/data/{key}\udc80") for n, key in enumerate(keys)]
    records = [reply(n, prediction=each) for n, each in enumerate(HOSTILE, 1) if n < len(items)]
    run = await made(tmp_path / "run", items, [*records, failed(len(items), message=HOSTILE[11])])
    write_csv_rows(
        map(make_row, build_export_source(run).iter_results()),
        Utf8Writer(expected := io.BytesIO()),
        formulas=formulas,
    )
    source, options = build_export_source(run), ExportOptions(formulas=formulas)
    write_export(source, stream := io.BytesIO(), "csv", options)
    assert stream.getvalue() == expected.getvalue()


@given(JSONS | st.floats() | st.text(st.characters(), max_size=3))
def test_decoding_and_encoding_would_change_no_value(value):
    stored = encode_json(value)
    again = encode_json(decode_json(stored))
    assert orjson.loads(stored) == orjson.loads(again)


async def test_even_the_spelling_of_a_number_is_the_stored_one(tmp_path):
    run = await made(tmp_path / "run", [item("a")], [reply(1, prediction=NUMBERS)])
    stored = '{"1":1e-07,"big":1208925819614629174706176,"x":1e+22}'
    source = build_export_source(run)
    assert f'"prediction":{stored},' in output(source, "jsonl").decode()
    (row,) = csv.DictReader(io.StringIO(output(source, "csv").decode(), newline=""))
    assert row["prediction"] == stored


async def test_text_of_an_older_version_without_checksums_is_looked_at(tmp_path):
    run = await made(tmp_path / "run", [item("a"), item("b")], [reply(1), reply(2)])
    with sqlite3.connect(run / "run.db") as database:
        database.execute("UPDATE items SET checksum = NULL")
        database.execute("UPDATE attempts SET checksum = NULL")
        database.execute("UPDATE predictions SET prediction = '[1,' WHERE position = 1")
        database.execute("UPDATE predictions SET prediction = '[1, 2]' WHERE position = 2")
    rows = [orjson.loads(line) for line in output(build_export_source(run), "jsonl").splitlines()]
    assert [(row["key"], row["prediction"]) for row in rows] == [("b", [1, 2])]


@given(st.floats(0, 1e9) | st.floats() | st.floats(1e-5, 1e-2) | st.floats(1e5, 1e7))
def test_seconds_are_spelled_as_python_spells_them(seconds):
    row = (b"k", b"succeeded", None, None, None, None, 1, seconds, None, None, None, b"{}", None)
    assert encode_csv_line(row, False) == b"k,succeeded,,,,,1,%a,,,,{},\r\n" % seconds
