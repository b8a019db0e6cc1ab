import os
import shutil
import socket
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import SourceError, SourceUnavailable
from batchinfer.sources import Selection, folder_source, glob_patterns, open_source
from batchinfer.sources.input_files import normalize_path, to_nfc
from batchinfer.text_format import escape_undecodable


def plant(top: Path, *names: str) -> Path:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x")
    return top


def keys(*specs: object, **options: object) -> list[str]:
    return [item.key for item in open_source([str(spec) for spec in specs], **options)]


def test_files_come_before_folders_each_sorted(tmp_path):
    plant(tmp_path, "z.jpg", "b/2.jpg", "b/1.jpg", "a/x/9.jpg", "a/y.jpg", "a.jpg")
    assert keys(tmp_path) == ["a.jpg", "z.jpg", "a/y.jpg", "a/x/9.jpg", "b/1.jpg", "b/2.jpg"]


def test_the_same_base_name_in_two_folders_is_two_items(tmp_path):
    assert keys(plant(tmp_path, "one/a.jpg", "two/a.jpg")) == ["one/a.jpg", "two/a.jpg"]


def test_hidden_files_and_folders_are_skipped_but_a_hidden_top_is_not(tmp_path):
    top = plant(tmp_path / ".top", "a.jpg", ".b.jpg", ".cache/c.jpg")
    assert keys(top) == ["a.jpg"]


@pytest.mark.parametrize(
    "name",
    ["with space.jpg", "a.b.c.jpg", 'quote".jpg', "it's.jpg", "new\nline.jpg", "back\\slash"],
)
def test_awkward_names_are_keys_as_they_are(tmp_path, name):
    items = list(open_source([str(plant(tmp_path, name))]))
    assert [item.key for item in items] == [name]
    assert Path(items[0].files[0].path).read_bytes() == b"x"


def test_bytes_that_are_no_utf8_are_printable_in_the_key_and_exact_in_the_path(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    try:
        Path(os.fsdecode(raw)).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system refuses such names")
    (item,) = open_source([str(tmp_path)])
    assert item.key == r"caf\xe9.jpg"
    assert os.fsencode(item.files[0].path) == raw
    (single,) = open_source([os.fsdecode(raw)])
    assert single.key.endswith(r"/caf\xe9.jpg")


def test_an_empty_and_a_huge_sparse_file_are_items_with_their_sizes(tmp_path):
    (tmp_path / "empty").touch()
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    assert [item.files[0].size for item in open_source([str(tmp_path)])] == [0, 1 << 40]


def test_broken_links_and_links_to_themselves_are_items_of_unknown_size(tmp_path):
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    items = list(open_source([str(tmp_path)]))
    assert [item.key for item in items] == ["broken.jpg", "self.jpg"]
    assert {(item.files[0].size, item.files[0].mtime_ns) for item in items} == {(None, None)}


def test_linked_files_and_folders_are_followed(tmp_path):
    plant(tmp_path, "real/a.jpg")
    top = tmp_path / "top"
    top.mkdir()
    (top / "folder").symlink_to(tmp_path / "real")
    (top / "file.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    assert keys(top) == ["file.jpg", "folder/a.jpg"]


def test_a_loop_of_links_ends_and_is_reported(tmp_path):
    plant(tmp_path, "a/b/x.jpg")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    source = open_source([str(tmp_path)])
    assert [item.key for item in source] == ["a/b/x.jpg"]
    (notice,) = source.notices
    assert notice.code == "folder_loop"
    assert "a/b/up" in notice.message


def test_two_links_to_one_folder_are_no_loop(tmp_path):
    plant(tmp_path, "real/x.jpg")
    (tmp_path / "again").symlink_to("real")
    assert keys(tmp_path) == ["again/x.jpg", "real/x.jpg"]


def test_a_folder_that_cannot_be_opened_is_reported_and_the_rest_goes_on(tmp_path):
    plant(tmp_path, "0.jpg", "gone/a.jpg", "stays/b.jpg")
    source = open_source([str(tmp_path)])
    items = iter(source)
    assert next(items).key == "0.jpg"
    shutil.rmtree(tmp_path / "gone")
    assert [item.key for item in items] == ["stays/b.jpg"]
    (notice,) = source.notices
    assert notice.code == "folder_unreadable"
    assert "/gone" in notice.message


def test_nothing_is_left_out_when_the_whole_source_goes_meanwhile(tmp_path):
    source = open_source([str(plant(tmp_path / "disk", "0.jpg", "a/1.jpg", "b/2.jpg"))])
    items = iter(source)
    assert next(items).key == "0.jpg"
    shutil.rmtree(tmp_path / "disk")
    with pytest.raises(SourceUnavailable, match="disk/a: this folder cannot be read"):
        list(items)


READ_WITH_FEW_FILES = """
import os, resource, sys
from batchinfer.errors import SourceUnavailable
from batchinfer.sources import open_source
items = iter(open_source([sys.argv[1]]))
next(items)
free = os.dup(0)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
try:
    keys = [item.key for item in items]
except SourceUnavailable as error:
    sys.exit(0 if "Too many open files" in str(error) else str(error))
sys.exit(f"left out without a word: {keys}")
"""


def test_nothing_is_left_out_when_this_process_may_open_no_more_files(tmp_path):
    plant(tmp_path, "0.jpg", "a/1.jpg")
    command = [sys.executable, "-c", READ_WITH_FEW_FILES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_reported(tmp_path):
    plant(tmp_path, "shut/a.jpg", "b.jpg").joinpath("shut").chmod(0)
    source = open_source([str(tmp_path)])
    assert [item.key for item in source] == ["b.jpg"]
    assert [notice.code for notice in source.notices] == ["folder_unreadable"]
    (tmp_path / "shut").chmod(0o700)


def test_what_is_no_file_is_skipped_and_reported_in_bounded_memory(tmp_path):
    plant(tmp_path, "a.jpg")
    for n in range(folder_source.MAX_NOTICES + 5):
        os.mkfifo(tmp_path / f"pipe{n}")
    source = open_source([str(tmp_path)])
    for _ in range(2):  # reported anew by each reading
        assert [item.key for item in source] == ["a.jpg"]
        assert len(source.notices) == folder_source.MAX_NOTICES + 1
        assert {notice.code for notice in source.notices[:-1]} == {"not_a_file"}
        assert source.notices[-1].message.startswith("5 more")


def test_a_socket_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind("ear")
        source = open_source(["."])
        assert list(source) == []
        assert [notice.code for notice in source.notices] == ["not_a_file"]


@pytest.mark.slow
def test_deeper_than_python_recurses(tmp_path):
    depth = 1200
    handles = [os.open(tmp_path, os.O_RDONLY)]
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=handles[-1])
            handles.append(os.open("d", os.O_RDONLY, dir_fd=handles[-1]))
            os.close(handles.pop(0))
        os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=handles[-1]))
    finally:
        os.close(handles.pop())
    (item,) = open_source([str(tmp_path)])
    assert item.key == "d/" * depth + "x"
    for level in range(depth, 0, -1):  # what clears temporary folders would recurse
        here = tmp_path.joinpath(*["d"] * level)
        (here / "x").unlink(missing_ok=True)
        here.rmdir()


@pytest.mark.slow
def test_a_folder_bigger_than_a_chunk_is_whole_and_always_in_the_same_order(tmp_path):
    names = [f"{n}.jpg" for n in range(folder_source.MAX_CHUNK_ENTRIES + 7)]
    for name in names:
        (tmp_path / name).touch()
    first = keys(tmp_path)
    assert sorted(first) == sorted(names)
    assert first[: folder_source.MAX_CHUNK_ENTRIES] == sorted(
        first[: folder_source.MAX_CHUNK_ENTRIES]
    )
    assert keys(tmp_path) == first


def test_an_entry_is_forgotten_with_its_status_when_it_has_become_an_item(tmp_path):
    count = 1_000
    for number in range(count):
        (tmp_path / f"{number:08}.jpg").touch()
    source = open_source([str(tmp_path)])
    tracemalloc.start()
    try:
        assert sum(1 for _ in source) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / count < 64 + 2 * len(str(tmp_path)) + 400  # 600 more with what `stat` said of it


def test_a_top_that_vanished_is_an_error(tmp_path):
    top = plant(tmp_path / "top", "a.jpg")
    source = open_source([str(top)])
    shutil.rmtree(top)
    with pytest.raises(SourceError, match="top: this folder cannot be read"):
        source.check()
    with pytest.raises(SourceError, match="top: this folder cannot be read"):
        list(source)


# What a spec is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("a.jpg", "a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("sub//b.jpg", "sub/b.jpg"),
        ("sub/../a.jpg", "a.jpg"),
        ("../top/a.jpg", "../top/a.jpg"),
    ],
)
def test_a_single_files_key_is_the_path_as_typed_also_on_resume(tmp_path, monkeypatch, typed, key):
    top = plant(tmp_path / "top", "a.jpg", "sub/b.jpg")
    monkeypatch.chdir(top)
    source = open_source([typed])
    assert [item.key for item in source] == [key]
    assert Path(source.specs[0]).is_absolute()
    monkeypatch.chdir("/")
    assert list(open_source(source.specs)) == list(source)


def test_an_absolute_file_is_its_own_key(tmp_path):
    assert keys(plant(tmp_path, "a.jpg") / "a.jpg") == [str(tmp_path / "a.jpg")]


def test_a_pattern_starts_its_keys_below_its_fixed_part(tmp_path):
    plant(tmp_path, "p/a.jpg", "p/b.png", "p/q/c.jpg", "p/.h/d.jpg")
    assert keys(f"{tmp_path}/p/*.jpg") == ["a.jpg"]
    assert keys(f"{tmp_path}/p/**/*.jpg") == ["a.jpg", "q/c.jpg"]
    assert keys(f"{tmp_path}/*/q/*.jpg") == ["p/q/c.jpg"]
    assert keys(f"{tmp_path}/p/**") == ["a.jpg", "b.png", "q/c.jpg"]


def test_what_exists_is_never_a_pattern(tmp_path):
    plant(tmp_path, "a[1].jpg", "a1.jpg", "data[1]/x.jpg")
    assert keys(tmp_path / "a[1].jpg") == [str(tmp_path / "a[1].jpg")]
    assert keys(tmp_path / "data[1]") == ["x.jpg"]
    assert keys(f"{tmp_path}/data[1]/*.jpg") == ["x.jpg"]


def test_a_pattern_without_folders_below_does_not_walk_them(tmp_path):
    plant(tmp_path, "a.jpg", "sub/b.jpg")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    source = open_source([f"{tmp_path}/*.jpg"])
    assert [item.key for item in source] == ["a.jpg"]
    assert source.notices == ()


@pytest.mark.parametrize("spec", ["nowhere", "no/*/where/x.jpg", "nowhere.csv", ""])
def test_a_spec_that_leads_nowhere_is_an_error_that_names_it(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    if "*" in spec:  # a pattern may match nothing: but its fixed folder must be there
        source = open_source([spec])
        with pytest.raises(SourceError, match="/no: this folder cannot be read"):
            source.check()
    else:
        with pytest.raises(SourceError, match="no such file or folder"):
            open_source([spec])


def test_a_named_broken_link_is_an_item_and_a_named_pipe_an_error(tmp_path):
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (item,) = open_source([str(tmp_path / "broken.jpg")])
    assert item.files[0].size is None
    with pytest.raises(SourceError, match="not a regular file"):
        open_source([str(tmp_path / "pipe")])


def test_no_spec_and_two_standard_inputs_are_errors(tmp_path):
    with pytest.raises(SourceError, match="No source"):
        open_source([])
    with pytest.raises(SourceError, match="only once"):
        open_source(["-", "-"], spool=tmp_path / "spool")


def test_the_file_parameter_is_the_callers(tmp_path):
    plant(tmp_path, "a.jpg")
    specs = [str(tmp_path), str(tmp_path / "a.jpg"), f"{tmp_path}/*.jpg"]
    params = [item.files[0].param for item in open_source(specs, file_param="image")]
    assert params == ["image"] * 3


# Patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "chosen"),
    [
        ("*.jpg", ["A.JPG", "a.jpg", "s/b.jpg", "s/t/c.jpg"]),
        ("./*.jpg", ["A.JPG", "a.jpg"]),
        ("/*.jpg", ["A.JPG", "a.jpg"]),
        ("**/*.jpg", ["A.JPG", "a.jpg", "s/b.jpg", "s/t/c.jpg"]),
        ("s/*.jpg", ["s/b.jpg"]),
        ("s/**/*.jpg", ["s/b.jpg", "s/t/c.jpg"]),
        ("s/**", ["s/b.jpg", "s/t/c.jpg"]),
        ("**/t/*", ["s/t/c.jpg"]),
        ("s/", ["s/b.jpg", "s/t/c.jpg"]),
        ("*.JPG", ["A.JPG", "a.jpg", "s/b.jpg", "s/t/c.jpg"]),
        ("[!a]*.[jp]*", ["p.png", "s/b.jpg", "s/t/c.jpg"]),
        ("?.png", ["p.png"]),
        ("*.tif", []),
    ],
)
def test_an_include_chooses_below_a_folder_in_any_case(tmp_path, glob, chosen):
    plant(tmp_path, "a.jpg", "A.JPG", "p.png", "s/b.jpg", "s/t/c.jpg")
    assert keys(tmp_path, selection=Selection.of([glob])) == chosen


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*", "a/b", False),
        ("[!x]", "/", False),
        ("a[!x]b", "a/b", False),
        ("a**b", "axxb", True),
        ("a**b", "a/b", False),
        ("[]]", "]", True),
        ("[a", "[a", True),
        ("[a-c].x", "b.x", True),
        ("[\\d]", "5", False),
        ("[.^]", "^", True),
        ("a.jpg", "axjpg", False),
        ("*.jpg", "new\nline.jpg", True),
        ("**/a", "a", True),
        ("**/a", "b/c/a", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "ab", False),
    ],
)
def test_what_a_pattern_means(pattern, path, matches):
    assert bool(glob_patterns.compile_pattern(pattern).fullmatch(path)) is matches


def test_a_pattern_without_sense_is_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"pattern '\[z-a\]' cannot be understood"):
        open_source([f"{tmp_path}/[z-a]"])


@given(st.text(st.characters(exclude_characters="/"), min_size=1))
def test_a_name_without_magic_matches_itself_alone(name):
    if not glob_patterns.has_magic(name):
        compiled = glob_patterns.compile_pattern(name)
        assert compiled.fullmatch(to_nfc(escape_undecodable(name)))  # as keys are spelled
        assert not compiled.fullmatch(name + "x")


@given(st.binary())
def test_a_key_is_always_text_that_can_be_written(raw):
    key = escape_undecodable(raw.decode("utf-8", "surrogateescape"))
    assert key.encode().decode() == key
    assert escape_undecodable(key) == key


@given(st.lists(st.sampled_from(["a", ".", "..", "", "b.c", ".h"]), min_size=1))
def test_tidying_twice_changes_nothing(parts):
    once = normalize_path("/".join(parts))
    assert normalize_path(once) == once


def test_a_byte_and_a_text_that_reads_like_it_are_two_keys(tmp_path):
    names = [b"a\xff.jpg", rb"a\xff.jpg", rb"a\\xff.jpg", rb"a\xFF.jpg", rb"a\x.jpg"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    keys = [item.key for item in open_source([str(tmp_path)])]
    assert sorted(keys) == sorted(
        [r"a\xff.jpg", r"a\\xff.jpg", r"a\\\\xff.jpg", r"a\xFF.jpg", r"a\x.jpg"]
    )
