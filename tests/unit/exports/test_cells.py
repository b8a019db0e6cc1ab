"""Cells of somebody who means ill: no spreadsheet takes one for a formula, and values stay."""

import csv
import io
import json
import re
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchinfer.domain import TEXT_MEDIA_TYPE
from batchinfer.exports import ExportOptions, query_output, write_export
from batchinfer.exports.flat_rows import FLAT_COLUMNS
from batchinfer.exports.safe_text import (
    encode_strict_json,
    escape_formula,
    escape_formula_in_json,
    escape_line_ends,
)
from support.books import JSONS, book, result

UNSEEN = " \t\n\r\x00\x0b\x1f\x7f\u200b\u200e\u200f\u202e\u2066\ufeff\xa0\xad"
MARKS = "=+-@\uff1d\uff0b\uff0d\uff20"
FORMULA = re.compile(f"[{re.escape(UNSEEN)}]*[{re.escape(MARKS)}]")
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
NASTY = st.text(st.sampled_from([*UNSEEN, *MARKS, *";,'\"\\a1"]), max_size=12)
FORMATS = ["csv", "csv-flat"]


def formulas(text):
    """What a spreadsheet may find in a cell: in the whole, or in its parts (half of Europe)."""
    _, *parts = re.split("[;\t\r\n]", text)
    seen = [text, *(part.lstrip('"' + UNSEEN) for part in parts)]
    return [cell for cell in seen if FORMULA.match(cell) and not NUMBER.fullmatch(text)]


def table(format_, *results, **options):
    csv.field_size_limit(sys.maxsize)
    stream = io.BytesIO()
    assert write_export(book(results), stream, format_, ExportOptions(**options)) == len(results)
    return list(csv.DictReader(io.StringIO(stream.getvalue().decode(), newline="")))


@settings(deadline=None)
@given(NASTY | st.text())
@example("\n\n=1")
@example('a;"=1')
@example('a; " \u200e=1')
def test_no_part_of_a_cell_is_a_formula_and_only_apostrophes_are_added(text):
    made = escape_formula(text)
    assert made.replace("'", "") == text.replace("'", "")
    assert formulas(made) == []
    assert not made.startswith(("\t", "\r", "\n"))
    assert escape_formula(made) == made


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t'=1"),
        ("\r", "'\r"),
        ("\uff1d1", "'\uff1d1"),
        ("\u200f\u202e=1", "'\u200f\u202e=1"),
        (" \x00=1", "' \x00=1"),
        ("a\r\n=1", "a\r\n'=1"),
        ("a;=1;@b", "a;'=1;'@b"),
        ("-", "'-"),
        ("+49 123", "'+49 123"),
    ],
)
def test_what_begins_like_a_formula_has_an_apostrophe_before_it(text, made):
    assert escape_formula(text) == made


@pytest.mark.parametrize(
    "text", ["", "-5", "+0.5", "-1.5e-7", "a=b", "x-1.jpg", "a;b", "'=1", "you@example.org", "ü\n"]
)
def test_everything_else_stays_as_it_is(text):
    assert escape_formula(text) == text


@settings(deadline=None)
@given(JSONS | NASTY | st.lists(NASTY))
def test_a_cell_of_json_holds_the_same_value(value):
    text = encode_strict_json(value).decode()
    made = escape_formula_in_json(text)
    assert json.loads(made) == json.loads(text)
    assert formulas(made) == []


@pytest.mark.parametrize("format_", FORMATS)
@settings(deadline=None)
@given(text=NASTY, value=JSONS)
def test_tables_are_harmless_and_their_json_reads_back(format_, text, value):
    odd = result(text, {"": value}, message=text, path=text, code=text, params={text: value})
    (row,) = table(format_, odd)
    for name in ("key", "message", "path", "code"):
        assert row[name] == escape_formula(text)
    assert json.loads(row["params"]) == {text: value}
    (plain,) = table(format_, odd, formulas=True)
    assert [plain[name] for name in ("key", "message", "path", "code")] == [text] * 4


@pytest.mark.parametrize("format_", FORMATS)
def test_a_half_character_and_a_nul_break_no_table(format_):
    (row,) = table(
        format_, result("a\ud800\0b", "c\udcff\0", media_type=TEXT_MEDIA_TYPE, message="\0")
    )
    assert (row["key"], row["message"]) == ("a\\ud800\0b", "\0")
    text = row["text"] if format_ == "csv-flat" else json.loads(row["prediction"])
    assert text == "c\\xff\0"


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["L", "\n", "=", ";", "\t ", ' "', ";\n=", "\u200e"])
def test_a_megabyte_of_anything_is_one_cell(sign):
    long = sign * (1_000_000 // len(sign))
    (row,) = table("csv-flat", result(long, long, message=long, params={"p": long}))
    assert row["key"] == row["message"] == escape_formula(long)
    assert json.loads(row["params"]) == {"p": long}


def test_a_label_of_a_megabyte_has_a_row_like_any_other():
    long = result("a", [{"name": "L" * 1_000_000, "confidence": 0.5, "box": [1, 2, 3, 4]}])
    (row,) = table("csv-flat", long)
    assert (len(row["label"]), row["score"], row["right"]) == (1_000_000, "0.5", "3.0")
    assert list(row) == list(FLAT_COLUMNS)


@settings(deadline=None)
@given(st.text(st.sampled_from('a"\\\x85\u2028\u2029\n\u0085')))
def test_a_line_of_json_is_one_line_for_everybody(text):
    line = escape_line_ends(encode_strict_json({text: [text]}))
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == {text: [text]}


def test_rows_of_a_query_are_as_harmless():
    rows = [("=1+1", "a\u2028b"), ("-5", b"\0=1"), (-5, None)]
    stream, lines = io.BytesIO(), io.BytesIO()
    assert query_output.write_csv(("=a", "b"), rows, stream, query_output.QueryOutputOptions()) == 3
    assert stream.getvalue().decode().split("\r\n")[:-1] == [
        *("'=a,b", "'=1+1,a\u2028b", "-5,x'003d31'", "-5,")
    ]
    query_output.write_jsonl(("a", "b"), rows, lines, query_output.QueryOutputOptions())
    assert [list(json.loads(line).values()) for line in lines.getvalue().decode().splitlines()] == [
        *(["=1+1", "a\u2028b"], ["-5", "x'003d31'"], [-5, None])
    ]
