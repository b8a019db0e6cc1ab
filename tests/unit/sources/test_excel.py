"""Excel workbooks as manifests: sheets, cells, and what is wrong with them."""

import datetime as dt
import zipfile
from pathlib import Path

import openpyxl
import pytest

from batchinfer.errors import SourceError
from batchinfer.sources import open_source

NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC).replace(tzinfo=None)


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        Path(name).write_bytes(name.encode())
    return tmp_path


def write(name: str = "list.xlsx", **sheets) -> str:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(name)
    return name


def read(*specs: str):
    source = open_source(list(specs))
    source.check()
    return list(source)


def refusal(*specs: str) -> str:
    with pytest.raises(SourceError) as raised:
        read(*specs)
    return str(raised.value)


def set_values(name: str, values: dict[str, str]) -> None:
    """Put what Excel computed beside formulas, as saving in it would."""
    with zipfile.ZipFile(name) as old:
        parts = {each: old.read(each) for each in old.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"].decode()
    for formula, value in values.items():
        for empty in ("<v></v>", "<v />", "<v/>"):
            sheet = sheet.replace(f"<f>{formula}</f>{empty}", f"<f>{formula}</f><v>{value}</v>")
    parts["xl/worksheets/sheet1.xml"] = sheet.encode()
    with zipfile.ZipFile(name, "w") as new:
        for each, data in parts.items():
            new.writestr(each, data)


def test_cells_keep_their_types():
    header = ["path", "key", "n", "x", "flag", "text", "day", "at", "clock", None, "blank"]
    row = ["a.jpg", 7, 3.0, 0.5, True, "007", NOON.date(), NOON, dt.time(8, 30), None, None]
    (item,) = read(write(list=[header, row]))
    assert (item.key, item.files[0].path) == ("7", str(Path("a.jpg").absolute()))
    assert item.params == {
        "n": 3,
        "x": 0.5,
        "flag": True,
        "text": "007",
        "day": "2026-05-01",
        "at": "2026-05-01T12:00:00",
        "clock": "08:30:00",
    }
    assert type(item.params["n"]) is int


def test_blank_rows_are_ignored_and_rows_keep_their_numbers():
    name = write(list=[[None], ["path"], ["a.jpg"], [], [None], ["nowhere.jpg"]])
    assert f"{name}, row 6: " in refusal(name)
    Path("nowhere.jpg").write_bytes(b"x")
    assert [item.key for item in read(name)] == ["a.jpg", "nowhere.jpg"]


def test_a_sheet_is_named_or_the_only_one_that_is_filled():
    name = write(one=[["path"], ["a.jpg"]], empty=[], **{"v1.2 Ü": [["path"], ["b.jpg"]]})
    assert f"has several sheets: one, v1.2 Ü. Name one of them, as {name}#one." in refusal(name)
    source = open_source([f"{name}#v1.2 Ü"])
    assert [item.key for item in source] == ["b.jpg"]
    assert source.specs == (f"{Path.cwd()}/{name}#v1.2 Ü",)
    assert list(open_source(source.specs, is_existing_run=True)) == list(source)
    assert [item.key for item in read(f"xlsx:{name}#ONE")] == ["a.jpg"]
    assert "has no sheet 'once' (did you mean 'one'?)" in refusal(f"{name}#once")
    assert "row 2" in refusal(write(one=[["path"], ["x.jpg"]], two=[["path"]]) + "#one")
    assert [item.key for item in read(write(one=[["path"], ["a.jpg"]], empty=[]))] == ["a.jpg"]


def test_a_formula_is_what_excel_computed():
    name = write(list=[["path", "n"], ["a.jpg", "=1+2"], ["b.jpg", "=2+3"]])
    said = refusal(name)
    assert "row 2: B2 holds a formula that was never computed" in said
    assert "2 mistakes" in said
    set_values(name, {"1+2": "3", "2+3": "5.0"})
    assert [item.params for item in read(name)] == [{"n": 3}, {"n": 5}]


def test_merged_cells_are_refused_where_they_hide_values():
    name = write(list=[["path", "n", None], ["a.jpg", 1], ["b.jpg", None], ["c.jpg", 2]])
    book = openpyxl.load_workbook(name)
    book["list"].merge_cells("B2:B3")
    book["list"].merge_cells("C2:D9")
    book.save(name)
    said = refusal(name)
    assert "row 2: the cells B2:B3 are merged" in said
    assert "row 3: the cells B2:B3 are merged" in said
    assert "2 mistakes" in said


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "there is nothing in it"),
        ([["path"]], "there is no item in it"),
        ([["file"], ["a.jpg"]], "the first row must name the columns"),
        ([["Path"], ["a.jpg"]], "write them in small letters"),
        ([["path", "path"], ["a.jpg", "b.jpg"]], "columns 1 and 2 both mean"),
        ([["path"], [17]], "row 2: A2 holds 17, and 'path' must be text"),
        ([["path", "key"], ["a.jpg", 1.5]], "row 2: B2 holds 1.5, and 'key' must be text"),
        ([["path", "n"], ["a.jpg", 1], [None, 2]], "row 3: neither key nor path"),
        ([["path"], ["a.jpg", 1]], "row 2: B2 holds 1, and its column has no name"),
        ([["path", "n"], ["a.jpg", "#N/A"]], "row 2: B2 is the error #N/A"),
        ([["path", "n"], ["a.jpg", dt.timedelta(1)]], "B2 holds 1 day, 0:00:00, which no"),
        ([["path"], ["a.jpg"], ["a.jpg"]], "row 3: the key 'a.jpg' is already used at"),
    ],
)
def test_what_is_wrong_is_said_of_its_cell(rows, problem):
    assert problem in refusal(write(list=rows))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty (0 bytes)"),
        (b"path\na.jpg\n", "is no Excel workbook, whatever it is called"),
        (b"<html>", "is no Excel workbook"),
        (b"PK\x03\x04 and no more", "is damaged, or no workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "is a workbook of Excel 97-2003"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
            + bytes((1 << 20) - 9)
            + "EncryptedPackage".encode("utf-16-le"),
            "has a password",
        ),
    ],
)
def test_what_is_no_workbook_says_what_it_is(content, problem):
    Path("list.xlsx").write_bytes(content)
    assert problem in refusal("list.xlsx")


def test_a_workbook_that_was_cut_off_is_refused():
    name = write(list=[["path"], *(["a.jpg"] for _ in range(200))])
    whole = Path(name).read_bytes()
    for end in range(0, len(whole), 997):
        Path(name).write_bytes(whole[:end])
        assert f"{name} is " in refusal(name)


def test_a_damaged_sheet_is_refused():
    name = write(list=[["path"], ["a.jpg"]])
    with zipfile.ZipFile(name) as old:
        parts = {each: old.read(each) for each in old.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    for broken in (
        sheet[:-30],
        sheet.replace(b"<row", b"<rwo"),
        b"",
        sheet.replace(b'r="A2"', b'r="?"'),
    ):
        with zipfile.ZipFile(name, "w") as new:
            for each, data in parts.items():
                new.writestr(each, broken if each == "xl/worksheets/sheet1.xml" else data)
        refusal(name)
