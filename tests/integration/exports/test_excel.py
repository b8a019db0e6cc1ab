"""A CSV for Excel: with the mark by which it knows UTF-8, and only if asked for."""

import codecs
import csv
import gzip
import io
import subprocess
import sys

import pytest

from batchinfer.errors import ConfigError
from batchinfer.exports import ExportOptions, write_export
from support.books import book, result, thing

SWAN = "Höckerschwan é 天鹅 🦢"


def a_run(notices=None, label=SWAN):
    return book([result("a.jpg", [thing(label)])], notices)


def as_excel_opens(data):
    """By a double click: UTF-8 if it begins with the mark, else the machine's code page."""
    marked = data.startswith(codecs.BOM_UTF8)
    text = data.decode("utf-8-sig" if marked else "cp1252", "replace")
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("form", ["csv", "csv-flat"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_with_the_mark_excel_reads_what_was_written(tmp_path, form, ending):
    target = tmp_path / f"f.{ending}"
    notices = []
    write_export(a_run(notices), target, form, ExportOptions(csv_bom=True))
    data = target.read_bytes() if ending == "csv" else gzip.decompress(target.read_bytes())
    head, row = as_excel_opens(data)
    assert head[0] == "key"
    assert SWAN in "".join(row)
    assert data.count(codecs.BOM_UTF8) == 1
    assert notices == []


@pytest.mark.parametrize("form", ["csv", "csv-flat"])
def test_without_it_programs_read_as_ever_and_excel_is_spoken_of(tmp_path, form):
    notices = []
    write_export(a_run(notices), tmp_path / "f.csv", form)
    data = (tmp_path / "f.csv").read_bytes()
    assert data.startswith(b"key,")
    assert SWAN not in str(as_excel_opens(data))
    assert notices == ["For Excel, add --csv-bom: without it, Excel shows ö wrong."]


def test_who_has_no_umlauts_or_pipes_it_on_is_told_nothing(tmp_path):
    notices = []
    write_export(a_run(notices, label="swan"), tmp_path / "f.csv", "csv")
    write_export(a_run(notices), io.BytesIO(), "csv")
    assert notices == []


def test_pandas_takes_the_mark_for_none_of_the_first_name(tmp_path):
    pandas = pytest.importorskip("pandas")
    write_export(a_run(), tmp_path / "f.csv", "csv-flat", ExportOptions(csv_bom=True))
    frame = pandas.read_csv(tmp_path / "f.csv")
    assert list(frame["key"]) == ["a.jpg"]
    assert list(frame["label"]) == [SWAN]


def command(*args):
    line = [sys.executable, "-m", "batchinfer", *map(str, args)]
    return subprocess.run(line, capture_output=True, check=False, timeout=300)


def test_on_the_command_line_it_is_a_switch_of_export_and_query(hung, tmp_path):
    piped = command("export", hung.run, "-o", "-", "--format", "csv", "--csv-bom")
    assert (piped.returncode, piped.stdout[:6]) == (0, codecs.BOM_UTF8 + b"key")
    asked = command("query", hung.run, "select 'é' as x", "-o", tmp_path / "q.csv", "--csv-bom")
    assert asked.returncode == 0
    assert (tmp_path / "q.csv").read_bytes() == codecs.BOM_UTF8 + "x\r\né\r\n".encode()


@pytest.mark.parametrize("form", ["jsonl", "coco", "ro-crate"])
def test_where_it_would_do_harm_it_is_refused(hung, tmp_path, form):
    from batchinfer.api import export as written  # noqa: PLC0415

    with pytest.raises(ConfigError, match=f"`csv_bom=True` goes with .* not with {form}"):
        written(hung.run, tmp_path / "x", format=form, csv_bom=True)
    assert list(tmp_path.iterdir()) == []
