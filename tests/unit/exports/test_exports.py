import csv
import errno
import gzip
import io
import json
import math
import os
import stat
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import TEXT_MEDIA_TYPE, State
from batchinfer.errors import ConfigError, StoreError
from batchinfer.exports import ExportOptions, find_format_by_path, write_export
from batchinfer.exports.item_rows import ITEM_COLUMNS
from support.books import JSONS, book, result

ORDER = [
    "key",
    "state",
    "prediction",
    "media_type",
    "code",
    "message",
    "attempts",
    "seconds",
    "started_at",
    "finished_at",
    "path",
    "params",
    "reused",
]


ROWS = ["jsonl", "csv"]


def failed(key="b.jpg"):
    return result(
        key,
        state=State.FAILED,
        media_type=None,
        code="model_error",
        message="It said: no,\nno",
        params={"imgsz": 640},
    )


def lines(*results):
    stream = io.BytesIO()
    assert write_export(book(results), stream, "jsonl") == len(results)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def table(*results, formulas=False):
    stream = io.BytesIO()
    options = ExportOptions(formulas=formulas)
    assert write_export(book(results), stream, "csv", options) == len(results)
    return list(csv.DictReader(io.StringIO(stream.getvalue().decode(), newline="")))


# Rows -----------------------------------------------------------------------------------------


def test_jsonl_has_one_object_per_item_with_the_fields_in_order():
    first, second = lines(result(prediction=[{"name": "bear"}]), failed())
    assert list(first) == list(second) == ORDER == list(ITEM_COLUMNS)
    assert first["prediction"] == [{"name": "bear"}]
    assert first["code"] is None
    assert second["state"] == "failed"
    assert second["message"] == "It said: no,\nno"
    assert second["params"] == {"imgsz": 640}


def test_csv_has_json_in_prediction_and_params_and_empty_cells_for_none():
    first, second = table(result(prediction=[{"name": 'a "b", c'}]), failed())
    assert list(first) == ORDER
    assert json.loads(first["prediction"]) == [{"name": 'a "b", c'}]
    assert (first["state"], first["code"], first["params"]) == ("succeeded", "", "{}")
    assert (first["attempts"], first["seconds"]) == ("1", "0.25")
    assert second["prediction"] == ""
    assert second["message"] == "It said: no,\nno"
    assert json.loads(second["params"]) == {"imgsz": 640}


def test_csv_is_rfc_4180_to_the_byte():
    stream = io.BytesIO()
    write_export(
        book([result('a "b",\r.jpg', prediction="ü", media_type=TEXT_MEDIA_TYPE)]), stream, "csv"
    )
    head, row, end = stream.getvalue().decode().split("\r\n")
    assert head == ",".join(ORDER)
    assert row.startswith('"a ""b"",\r.jpg",succeeded,"""ü""",text/plain,,,1,0.25,')
    assert end == ""


@pytest.mark.parametrize("format_", ROWS)
def test_no_results_are_a_valid_file(format_):
    stream = io.BytesIO()
    assert write_export(book(), stream, format_) == 0
    assert stream.getvalue().decode() == ("" if format_ == "jsonl" else ",".join(ORDER) + "\r\n")


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (math.nan, "NaN"),
        ([1.5, math.inf, -math.inf], [1.5, "Infinity", "-Infinity"]),
        ({"a": (None, math.nan)}, {"a": [None, "NaN"]}),
        (None, None),
        ([None], [None]),
        ("null", "null"),
        (1 << 70, 1 << 70),
        ({"id": -(1 << 64)}, {"id": -(1 << 64)}),
        ("caf\udce9", r"caf\xe9"),
        ({"k\udc80": "\ud800"}, {r"k\x80": r"\ud800"}),
        (True, True),
        (0.1, 0.1),
        ("\x00\x1f\u2028", "\x00\x1f\u2028"),
    ],
)
def test_json_is_strict_and_exact(value, spelled):
    def refused(constant):
        pytest.fail(f"{constant} is no JSON")

    stream = io.BytesIO()
    write_export(book([result(prediction=value, params={"p": value})]), stream, "jsonl")
    text = stream.getvalue().decode()
    assert text.count("\n") == 1
    row = json.loads(text, parse_constant=refused)
    assert row["prediction"] == spelled
    assert row["params"] == {"p": spelled}
    (cells,) = table(result(prediction=value))
    assert (json.loads(cells["prediction"]) if cells["prediction"] else None) == spelled


def test_names_that_are_not_unicode_are_printable_in_both_formats():
    odd = result("caf\udce9", path="/data/caf\udce9", message="caf\udce9", prediction=1)
    (row,), (cells,) = lines(odd), table(odd)
    for field in ("key", "path", "message"):
        assert row[field].endswith(r"caf\xe9")
        assert cells[field] == row[field]


@pytest.mark.parametrize("depth", [200, 400, 100_000])
def test_deep_nesting_never_stops_an_export(depth):
    deep: list[object] = []
    for _ in range(depth):
        deep = [deep]
    first, second = lines(result(prediction=deep), failed())
    assert first["prediction"]
    assert second["key"] == "b.jpg"
    while deep:  # taken apart by hand: freeing it is recursive too
        deep = deep.pop()  # type: ignore[assignment]


@given(st.lists(st.tuples(st.text(min_size=1), JSONS, st.none() | st.text()), max_size=5))
def test_what_is_exported_reads_back(rows):
    results = [result(key, value, message=message) for key, value, message in rows]
    for (key, value, message), row in zip(rows, lines(*results), strict=True):
        assert (row["key"], row["prediction"], row["message"]) == (key, value, message)
    for (key, value, message), cells in zip(rows, table(*results, formulas=True), strict=True):
        assert (cells["key"], cells["message"]) == (key, message or "")
        assert (json.loads(cells["prediction"]) if cells["prediction"] else None) == value


def test_results_are_written_as_they_come():
    written = []

    class Stream(io.BytesIO):
        def write(self, data):
            written.append(bytes(data))
            return len(data)

    def results():
        for n in range(3):
            yield result(f"{n}")
            assert orjson.loads(written[-1])["key"] == f"{n}"

    assert write_export(book(results()), Stream(), "jsonl") == 3


# Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.b.CSV", "csv"),
        ("a.csv.gz", "csv"),
        ("/x.y/a.jsonl.gz", "jsonl"),
    ],
)
def test_the_extension_names_the_format(name, known):
    assert find_format_by_path(name).name == known


@pytest.mark.parametrize("name", ["a", "a.json", "a.xlsx", "a.gz", "csv", "dir.csv/a", ".csv"])
def test_an_unknown_extension_is_refused_and_the_known_ones_named(name):
    with pytest.raises(ConfigError, match=r"\.jsonl, \.ndjson, \.csv"):
        find_format_by_path(name)


def test_an_unknown_format_is_refused_before_anything_is_touched(tmp_path):
    with pytest.raises(ConfigError, match="'xlsx': choose jsonl or csv or"):
        write_export(book(), tmp_path / "a", "xlsx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path):
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    target.chmod(0o640)
    assert write_export(book([result()]), target, "jsonl") == 1
    assert json.loads(target.read_text())["key"] == "a.jpg"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_has_the_usual_mode(tmp_path):
    (tmp_path / "usual").touch()
    write_export(book(), tmp_path / "out.csv", "csv")
    assert (tmp_path / "out.csv").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_packed_file_holds_the_same_and_the_same_bytes_each_time(tmp_path):
    one, two = tmp_path / "one.csv.gz", tmp_path / "two.csv.gz"
    plain = io.BytesIO()
    write_export(book([result(), failed()]), plain, "csv")
    for target in (one, two):
        write_export(book([result(), failed()]), target, "csv")
    assert gzip.decompress(one.read_bytes()) == plain.getvalue()
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("error", [StoreError("gone"), KeyboardInterrupt(), ValueError("odd")])
@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path, error, name):
    def results():
        yield result()
        raise error

    target = tmp_path / name
    target.write_text("old")
    with pytest.raises(type(error)):
        write_export(book(results()), target, "csv")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path):
    def results():
        yield result()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "out.csv"
    target.write_text("old")
    with pytest.raises(ConfigError, match=r"out\.csv cannot be written: No space left"):
        write_export(book(results()), target, "csv")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_and_a_missing_folder_are_refused(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.csv cannot be written: Is a directory"):
        write_export(book(), tmp_path / "folder.csv", "csv")
    with pytest.raises(ConfigError, match="does not exist: create it first"):
        write_export(book(), tmp_path / "no" / "out.csv", "csv")


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.csv").symlink_to("real.csv")
    write_export(book([result()]), tmp_path / "link.csv", "csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").is_file()


def test_a_device_is_written_to_and_not_replaced(tmp_path):
    device = Path(os.devnull).stat()
    write_export(book([result()]), Path(os.devnull), "csv")
    assert Path(os.devnull).stat().st_ino == device.st_ino


@pytest.mark.parametrize("format_", ROWS)
def test_a_stream_is_left_open_also_after_an_error(format_):
    def results():
        yield result()
        raise StoreError("gone")

    stream = io.BytesIO()
    with pytest.raises(StoreError):
        write_export(book(results()), stream, format_)
    assert stream.getvalue().endswith(b"\n")
