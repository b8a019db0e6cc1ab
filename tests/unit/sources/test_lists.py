"""Lists of paths, what only looks like a list, and addresses of the net."""

import gzip
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import SourceError
from batchinfer.sources import open_source, path_list
from batchinfer.text_format import escape_undecodable


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    (tmp_path / "p").mkdir()
    for name in ("a.jpg", "b b.jpg"):
        (tmp_path / "p" / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)


def keys(source):
    source.check()
    return [item.key for item in source]


PATHS = b"p/a.jpg\np/b b.jpg\n"


@pytest.mark.parametrize(
    "data",
    [
        PATHS,
        PATHS.rstrip(),
        PATHS.replace(b"\n", b"\r\n"),
        PATHS.replace(b"\n", b"\r"),
        PATHS.replace(b"\n", b"\0"),
        PATHS.replace(b"\n", b"\0").rstrip(b"\0"),
        b"\xef\xbb\xbf" + PATHS,
        PATHS.decode().encode("utf-16"),
        b"\n \n" + PATHS + b"\n\n",
        gzip.compress(PATHS, mtime=0),
        b"./p//a.jpg\np/b b.jpg",
    ],
)
def test_a_list_of_paths_as_programs_write_them(tmp_path, data):
    Path("list").write_bytes(data)
    assert keys(open_source(["files-from:list"])) == ["p/a.jpg", "p/b b.jpg"]
    spooled = open_source(["files-from:-"], spool=tmp_path / "spool", stdin=io.BytesIO(data))
    assert keys(spooled) == ["p/a.jpg", "p/b b.jpg"]


def test_paths_begin_at_the_list_and_on_standard_input_where_it_was_given(tmp_path, monkeypatch):
    Path("p/list.txt").write_text("a.jpg\n../p/b b.jpg\n")
    spooled = open_source(
        ["files-from:-"], spool=tmp_path / "spool", stdin=io.BytesIO(b"p/a.jpg\n")
    )
    listed = open_source(["files-from:p/list.txt"])
    before = list(spooled), list(listed)
    assert [item.files[0].size for item in (*before[0], *before[1])] == [1, 1, 1]
    monkeypatch.chdir("/")
    assert list(open_source(spooled.specs, spool=tmp_path / "spool")) == before[0]
    assert list(open_source(listed.specs)) == before[1]


def test_all_mistakes_of_a_list_are_reported_at_once(tmp_path):
    Path("list.txt").write_text("p/a.jpg\nx.jpg\np\np/a.jpg\nwebdav+x://b/y.jpg\n")
    with pytest.raises(SourceError) as raised:
        open_source(["files-from:list.txt"]).check()
    message = str(raised.value)
    assert message.startswith("4 mistakes")
    assert f"list.txt:2: {tmp_path}/x.jpg: there is no such file" in message
    assert f"list.txt:3: {tmp_path}/p is a folder" in message
    assert "list.txt:4: the key 'p/a.jpg' is already used at list.txt:1" in message
    assert "list.txt:5: webdav+x://b/y.jpg: only files on this machine" in message


def test_an_empty_list_is_refused():
    Path("list").write_bytes(b"\n\n")
    with pytest.raises(SourceError, match="no item"):
        open_source(["files-from:list"]).check()
    with pytest.raises(SourceError, match="no such file"):
        open_source(["files-from:nowhere"])


def test_standard_input_is_read_once(tmp_path):
    with pytest.raises(SourceError, match="only once"):
        open_source(["-", "files-from:-"], spool=tmp_path / "s", stdin=io.BytesIO(b""))


NAME = st.binary(min_size=1, max_size=20).filter(
    lambda name: (
        not {0, 10, 13, 47} & set(name) and name.strip() and name[:1] not in b"\xef\xff\xfe"
    )
)


@given(st.lists(NAME, min_size=1), st.sampled_from([b"\n", b"\r\n", b"\0"]))
def test_every_name_that_a_file_can_have_is_read_back(names, end):
    stream = io.BufferedReader(io.BytesIO(b"".join(name + end for name in names)))
    mistakes = []
    found = list(path_list.read_entries(stream, "files", lambda *mistake: mistakes.append(mistake)))
    assert mistakes == []
    assert [os.fsencode(entry.files[0][1]) for entry in found] == names
    assert all(escape_undecodable(entry.key) == entry.key for entry in found)


# What only looks like a list ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("list.txt", '`"files-from:list.txt"`'),
        ("LIST.TXT", '`"files-from:LIST.TXT"`'),
        ("list.lst", "files-from:"),
        ("list.txt.gz", "files-from:"),
        ("list.json", "jq"),
        ("list.JSON.gz", "jq"),
        ("list.yaml", "save it as CSV"),
        ("list.xls", "save it as CSV"),
        ("list.ods", "save it as CSV"),
        ("photos.7z", "unpack it"),
        ("photos.rar", "unpack it"),
        ("list.avro", "save it as CSV"),
        ("list.parquet.gz", "unpack it"),
        ("list.csv.xz", "end in .gz"),
    ],
)
def test_an_only_source_that_looks_like_a_list_is_asked_about(name, advice):
    Path(name).write_bytes(b"x")
    with pytest.raises(SourceError, match="looks like a list") as raised:
        open_source([name])
    assert advice in str(raised.value)
    assert "as-file:" in str(raised.value)
    (item,) = source = open_source([f"as-file:{name}"])
    assert item.key == name
    assert list(open_source(source.specs, is_existing_run=True)) == [item]
    assert [each.key for each in open_source([name, "p/a.jpg"])] == [name, "p/a.jpg"]


@pytest.mark.parametrize("name", ["scan.nii.gz", "a.jpg", "a.bin", "noending", "a.npy", "a.gz"])
def test_other_files_are_sent_without_a_question(name):
    Path(name).write_bytes(b"x")
    assert [item.key for item in open_source([name])] == [name]


def test_a_run_that_was_made_before_goes_on_without_a_question():
    Path("list.txt").write_bytes(b"x")
    spec = f"{Path.cwd()}/./list.txt"
    assert [item.key for item in open_source([spec], is_existing_run=True)] == ["list.txt"]


def test_in_a_folder_they_are_items_as_all_others():
    for name in ("a.txt", "b.json", "c.zip", "d.csv"):
        (Path("p") / name).write_bytes(b"x")
    assert [item.key for item in open_source(["p"])][:2] == ["a.jpg", "a.txt"]
    assert len(list(open_source(["p"]))) == 6


def test_a_manifest_is_sent_itself_when_that_is_said():
    Path("series.csv").write_text("1,2\n")
    assert keys(open_source(["as-file:series.csv"])) == ["series.csv"]


# Addresses of the net -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "advice"),
    [
        ("gs://bucket/photos", "gcloud storage"),
        ("webdav+x://e.eu/a.jpg", "Fetch it first"),
        ("file:///data/a.jpg", "without file://"),
    ],
)
def test_an_address_of_the_net_gets_an_answer_that_helps(spec, advice):
    with pytest.raises(SourceError) as raised:
        open_source([spec])
    assert advice in str(raised.value)
    Path("m.csv").write_text(f"path\n{spec}\n")
    with pytest.raises(SourceError, match=r"m\.csv:2: ") as raised:
        open_source(["m.csv"]).check()
    assert advice in str(raised.value)
