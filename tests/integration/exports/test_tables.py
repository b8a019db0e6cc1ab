"""Rows for pandas, polars and pyarrow: one per detection or class, or one per item."""

import csv
import io
import json
import re
import sys
from datetime import UTC, datetime

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

import batchinfer as bi
from batchinfer.domain import TEXT_MEDIA_TYPE
from batchinfer.exports import ExportOptions, write_export
from batchinfer.exports.flat_rows import FLAT_COLUMNS
from support.books import HOSTILE, book, failed, pending, result, thing
from support.gallery import NASTY, ODD, OUTLINE, PREDICTIONS

MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
FORMULA = "[ \x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u206f]*[=+@\uff1d-]|[\t\r\n]"
SPELLED = [text.replace("\ud800", r"\ud800") for text in HOSTILE]


def written(format, made, *, formulas=False):
    stream = io.BytesIO()
    count = write_export(made, stream, format, ExportOptions(formulas=formulas))
    return count, stream.getvalue()


def as_csv(made, *, formulas=False):
    """The header, and the rows as Python's own reader has them."""
    csv.field_size_limit(sys.maxsize)
    count, data = written("csv-flat", made, formulas=formulas)
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert len(rows) == count
    return rows


def as_parquet(made):
    count, data = written("parquet", made)
    table = parquet.read_table(io.BytesIO(data))
    assert table.num_rows == count
    return table


def cell(value):
    """A value of a typed table as CSV spells it."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    return "" if value is None else str(value)


def formulas(made, **options):
    """What a spreadsheet may take for a formula, wherever it splits cells."""
    cells = [text for row in as_csv(made, **options) for text in row.values()]
    _, data = written("csv-flat", made, **options)
    cells += [text.lstrip('"') for text in re.split("[;\t\r\n]", data.decode())]
    return [text for text in cells if re.match(FORMULA, text)]


@pytest.fixture(scope="module")
def rows(hung):
    return as_csv(hung.book())


def of(rows, key):
    return [row for row in rows if row["key"] == key]


def test_a_row_for_each_detection_with_what_the_item_says(rows, hung):
    bear, dog = of(rows, "site-1/bear.jpg")
    assert list(bear) == list(FLAT_COLUMNS)
    path = hung.paths["site-1/bear.jpg"]
    assert (bear["path"], bear["state"], bear["kind"]) == (path, "succeeded", "detection")
    assert [bear[name] for name in ("number", "label", "score", "unit")] == [
        *("1", "bear", "0.9", "pixels")
    ]
    sides = ("left", "top", "right", "bottom")
    assert [float(bear[side]) for side in sides] == [64, 48, 320, 240]
    assert [dog["number"], dog["label"], dog["score"]] == ["2", "dog", "0.25"]
    (relative,) = of(rows, "site-2/relative.png")
    assert [*map(relative.get, sides), relative["unit"]] == [
        *("0.25", "0.5", "0.75", "1.0", "relative")
    ]
    outline = json.loads(of(rows, "site-2/outlined.png")[0]["outline"])
    assert outline == [list(point) for point in zip(OUTLINE["x"], OUTLINE["y"], strict=True)]


def test_classes_texts_and_data_have_rows_too(rows):
    found = [(row["kind"], row["number"], row["label"], row["score"], row["text"]) for row in rows]
    at = [row["key"] for row in rows].index
    assert found[at("classes.jpg") :][:2] == [
        ("class", "1", "cat", "0.75", ""),
        ("class", "2", "dog", "0.25", ""),
    ]
    assert found[at("nothing.jpg")] == ("none", "", "", "", "")
    assert found[at("caption.jpg")] == ("text", "", "", "", "A bear,\nin the snow")
    kind, *_, text = found[at("data.jpg")]
    assert (kind, json.loads(text)) == ("data", PREDICTIONS["data.jpg"])
    kind, *_, text = found[at("map.jpg")]
    assert (kind, json.loads(text)) == ("features", PREDICTIONS["map.jpg"])
    assert found[at("mask.png")][0] == "file"
    assert found[at("failed.jpg")] == ("", "", "", "", "")
    assert found[at("pending.jpg")] == ("", "", "", "", "")


def test_pandas_and_polars_read_the_csv_with_the_same_values(rows, hung):
    _, data = written("csv-flat", hung.book())
    one = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    two = pl.read_csv(io.BytesIO(data), infer_schema=False).fill_null("")
    assert one.to_dict("records") == two.to_dicts() == rows
    typed = pd.read_csv(io.BytesIO(data))
    assert typed["score"].sum() == sum(float(row["score"] or 0) for row in rows)


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_csv_parquet_and_arrow_have_the_same_rows(format_, hung):
    count, data = written(format_, hung.book())
    read = parquet.read_table if format_ == "parquet" else feather.read_table
    table = read(io.BytesIO(data))
    plain = as_csv(hung.book(), formulas=True)
    assert count == table.num_rows == len(plain)
    assert [{n: cell(v) for n, v in row.items()} for row in table.to_pylist()] == plain


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_columns_have_types_that_pandas_and_polars_agree_about(format_, hung):
    _, data = written(format_, hung.book())
    parquet_ = format_ == "parquet"
    one = (pd.read_parquet if parquet_ else pd.read_feather)(io.BytesIO(data))
    two = (pl.read_parquet if parquet_ else pl.read_ipc)(io.BytesIO(data))
    kinds = {name: str(two.schema[name]) for name in two.columns}
    texts = dict.fromkeys(FLAT_COLUMNS, "String")
    numbers = dict.fromkeys(
        ("score", "left", "top", "right", "bottom", "seconds", "start", "end"), "Float64"
    )
    moments = dict.fromkeys(
        ("started_at", "finished_at"), "Datetime(time_unit='ms', time_zone='UTC')"
    )
    assert kinds == texts | numbers | moments | dict.fromkeys(("number", "attempts"), "Int32")
    bear = two.row(0, named=True)
    assert (bear["key"], bear["label"], bear["left"]) == ("site-1/bear.jpg", "bear", 64.0)
    assert (bear["started_at"], bear["seconds"], bear["attempts"]) == (MOMENT, 0.5, 1)
    assert str(one["started_at"].dtype) == "datetime64[ms, UTC]"
    assert one["started_at"][0].to_pydatetime() == MOMENT
    assert one["score"].dropna().tolist() == two["score"].drop_nulls().to_list()


def test_a_formula_is_a_text_in_csv_and_untouched_in_parquet():
    made = [result(text, [thing(text)], params={text: text}) for text in HOSTILE]
    rows, table = as_csv(book(made)), as_parquet(book(made))
    for name in ("key", "label"):
        assert table[name].to_pylist() == SPELLED
        assert [row[name].replace("'", "") for row in rows] == [
            text.replace("'", "") for text in SPELLED
        ]
    for row, text in zip(rows, SPELLED, strict=True):
        assert json.loads(row["params"]) == {text: text}
    plain = as_csv(book(made), formulas=True)
    assert [row["label"] for row in plain] == SPELLED
    assert formulas(book(made)) == []
    assert len(formulas(book(made), formulas=True)) > 20


def test_texts_of_a_model_and_messages_cannot_become_formulas_either():
    made = [
        result("a", "=1+1", media_type=TEXT_MEDIA_TYPE),
        failed("b", "@SUM(1)"),
        result("c", {"n": ["a;=1"]}),
    ]
    rows = as_csv(book(made))
    assert (rows[0]["text"], rows[1]["message"]) == ("'=1+1", "'@SUM(1)")
    assert rows[2]["text"] == r'{"n":["a;\u003d1"]}'
    assert as_csv(book([result("a", [thing("-5")])]))[0]["label"] == "-5"
    table = as_parquet(book(made))
    assert table["text"].to_pylist()[0] == "=1+1"
    assert table["message"].to_pylist()[1] == "@SUM(1)"


def test_rows_are_gathered_into_groups_that_are_bounded():
    many = [result(f"{n}", [thing("cat")] * 1000) for n in range(120)]
    count, data = written("parquet", book([*many, pending()]))
    meta = parquet.read_metadata(io.BytesIO(data))
    sizes = [meta.row_group(n).num_rows for n in range(meta.num_row_groups)]
    assert (count, sizes) == (120_001, [25_000, 25_000, 25_000, 25_000, 20_001])
    long = [result(f"{n}", [thing("L" * 2**20)]) for n in range(40)]
    meta = parquet.read_metadata(io.BytesIO(written("parquet", book(long))[1]))
    assert max(meta.row_group(n).num_rows for n in range(meta.num_row_groups)) <= 9


def test_no_items_are_a_table_without_rows():
    assert as_csv(book(())) == []
    assert as_parquet(book(())).column_names == list(FLAT_COLUMNS)
    _, data = written("arrow", book(()))
    assert pl.read_ipc(io.BytesIO(data)).shape == (0, len(FLAT_COLUMNS))


def test_a_row_for_each_item_in_python(hung):
    results = bi.results(hung.run)
    table, frame, other = results.to_arrow(), results.to_pandas(), results.to_polars()
    assert isinstance(table, pa.Table)
    keys = [key.replace(ODD, r"odd\xff.jpg") for key in hung.keys]
    assert table["key"].to_pylist() == frame["key"].to_list() == other["key"].to_list() == keys
    said = dict(zip(keys, table["prediction"].to_pylist(), strict=True))
    assert {key: json.loads(said[key]) for key in PREDICTIONS} == PREDICTIONS
    assert said["failed.jpg"] is None
    assert other["started_at"][0] == frame["started_at"][0].to_pydatetime() == MOMENT
    assert [one.key for one in results] == keys
    assert len(bi.results(hung.run, "failed").to_pandas()) == 1


def test_a_row_for_each_detection_in_python(hung, rows):
    results = bi.results(hung.run)
    one, two = results.to_pandas(flat=True), results.to_polars(flat=True)
    assert len(one) == len(two) == len(rows) == results.to_arrow(flat=True).num_rows
    assert NASTY in set(one["label"])
    assert two.filter(pl.col("label") == "bear")["score"].max() == 0.9


def test_fields_said_by_hand_are_heeded_in_python(hung):
    said = bi.results(hung.run, map="label=temperature.unit").to_polars(flat=True)
    (row,) = said.filter(pl.col("key") == "data.jpg").to_dicts()
    assert (row["kind"], row["label"]) == ("class", "K")
