"""The contract of export formats: one suite, run on every built-in one and on one of a plugin."""

import gzip
import io
import sqlite3
from dataclasses import fields, replace

import anyio
import pytest
from PIL import Image

import batchinfer as bi
from batchinfer.api.result_export import build_export_source
from batchinfer.errors import ConfigError, RunDamaged
from batchinfer.exports import (
    EXPORT_FORMATS,
    INTERPRETATION_OPTIONS,
    ExportOptions,
    FolderExport,
    find_format,
    find_format_by_path,
    write_export,
)
from support.books import HOSTILE, book, result, thing
from support.plugins import installed
from support.records import failed, item, made, reply

FORMATS = [*EXPORT_FORMATS.names(), "toy"]
KEYS = ("a.jpg", "sub/b.jpg", "c c.jpg", "d.jpg")


@pytest.fixture(scope="module", autouse=True)
def toy(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    target = "toy_export:ToyExport"
    with installed(site, group=EXPORT_FORMATS.group, name="toy", target=target):
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two items that succeeded, one that failed, and one without an outcome yet."""
    folder = tmp_path_factory.mktemp("run")
    Image.new("RGB", (64, 48), "olive").save(picture := folder / "x.png")
    items = [item(key, path=str(picture)) for key in KEYS]
    predictions = [thing("bear", 0.5, 1, 2, 30, 40)], []
    records = [reply(n, prediction=each) for n, each in enumerate(predictions, 1)]
    return anyio.run(made, folder / "run", items, [*records, failed(3)])


@pytest.fixture(params=FORMATS)
def format_(request):
    return find_format(request.param)


def content(path):
    """The bytes of a file, or of each file in a folder."""
    if path.is_file():
        return path.read_bytes()
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_it_says_what_it_is(format_):
    assert EXPORT_FORMATS.get(format_.name) is type(format_)
    assert format_.name == format_.name.lower()
    assert format_.description.split()[1].strip(",") == format_.unit
    assert format_.consumers
    assert format_.options <= INTERPRETATION_OPTIONS | {each.name for each in fields(ExportOptions)}
    for extension in format_.extensions:
        assert extension.startswith(".")
        assert extension == extension.lower()
        assert find_format_by_path(f"x{extension.upper()}").name == format_.name


def test_what_it_writes_is_there_whole_and_nothing_beside_it(run, tmp_path, format_):
    count = bi.export(run, tmp_path / "out", format=format_.name)
    assert count > 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").is_dir() is isinstance(format_, FolderExport)
    assert content(tmp_path / "out")


def test_the_same_run_gives_the_same_bytes(run, tmp_path, format_):
    bi.export(run, tmp_path / "one", format=format_.name)
    bi.export(run, tmp_path / "two", format=format_.name)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_run_without_items_is_a_valid_export(tmp_path, format_):
    assert write_export(book(), tmp_path / "out", format_) == 0
    assert (tmp_path / "out").exists()


def test_an_error_in_the_middle_leaves_what_was_there(run, tmp_path, format_):
    good = build_export_source(run)

    def interrupted(read):
        yield next(read())
        raise ConfigError("interrupted")

    bad = replace(
        good,
        iter_results=lambda: interrupted(good.iter_results),
        iter_details=lambda: interrupted(good.iter_details),
        iter_stored_rows=lambda: interrupted(good.iter_stored_rows),
    )
    if not isinstance(format_, FolderExport):
        (tmp_path / "out").write_bytes(b"older")
    with pytest.raises(ConfigError, match="interrupted"):
        write_export(bad, tmp_path / "out", format_)
    expected = [] if isinstance(format_, FolderExport) else [b"older"]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == expected


def test_a_file_is_replaced_and_a_folder_with_something_in_it_is_not(run, tmp_path, format_):
    target = tmp_path / "out"
    if isinstance(format_, FolderExport):
        target.mkdir()
        (target / "mine").write_bytes(b"mine")
        with pytest.raises(ConfigError, match="is there already, and nothing was written"):
            bi.export(run, target, format=format_.name)
        assert content(target) == {"mine": b"mine"}
    else:
        target.write_bytes(b"older")
        bi.export(run, target, format=format_.name)
        assert content(target) != b"older"


def test_a_path_that_ends_in_gz_is_compressed(run, tmp_path, format_):
    if isinstance(format_, FolderExport):
        with pytest.raises(ConfigError, match=r"name it without \.gz"):
            bi.export(run, tmp_path / "out.gz", format=format_.name)
        assert list(tmp_path.iterdir()) == []
        return
    bi.export(run, tmp_path / "out", format=format_.name)
    bi.export(run, tmp_path / "out.gz", format=format_.name)
    assert gzip.decompress(content(tmp_path / "out.gz")) == content(tmp_path / "out")


def test_a_stream_is_written_to_forwards_only_and_stays_open(run, tmp_path, format_):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation

        tell = seek

    if isinstance(format_, FolderExport):
        with pytest.raises(ConfigError, match="is a folder: name one"):
            bi.export(run, Pipe(), format=format_.name)
        return
    bi.export(run, pipe := Pipe(), format=format_.name)
    bi.export(run, tmp_path / "out", format=format_.name)
    assert pipe.getvalue() == content(tmp_path / "out")


def test_odd_keys_and_values_stay_inside(tmp_path, format_):
    keys = ("../up", "/etc/x", "CON", ".git/config", "ü" * 300, "new\nline", *HOSTILE[:-1])
    values = (None, 1 << 70, float("nan"), "\ud800", {"a": [None]}, [thing("=1", 0.5)])
    results = [result(key, values[n % len(values)]) for n, key in enumerate(keys)]
    (tmp_path / "below").mkdir()
    assert write_export(book(results), tmp_path / "below" / "out", format_) >= 0
    assert [path.name for path in tmp_path.iterdir()] == ["below"]
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["out"]


def test_what_is_damaged_is_left_out_and_said(run, tmp_path, format_):
    copy = tmp_path / "run"
    copy.mkdir()
    with sqlite3.connect(run / "run.db") as database, sqlite3.connect(copy / "run.db") as damaged:
        database.backup(damaged)
        damaged.execute("UPDATE predictions SET prediction = '[1]' WHERE position = 1")
    with pytest.raises(RunDamaged, match=r"the item 'a\.jpg'"):
        bi.export(copy, tmp_path / "out", format=format_.name)
    assert (tmp_path / "out").exists()
