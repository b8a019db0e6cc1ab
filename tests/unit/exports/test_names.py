"""Names of files for keys: whatever a key is, its files are its own, and inside the folder."""

import os
import tempfile
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchinfer.exports.filename_allocator import FilenameAllocator, ensure_parent
from batchinfer.exports.safe_text import escape_formula

ENDINGS = (".json", ".log")
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{d}{n}" for d in ("COM", "LPT") for n in range(10))}

ODD = st.sampled_from(
    [
        *("", ".", "..", "...", "a", "A", "a.json", "A.JSON", "a.json.log", "b", " b", "b .", "_"),
        *(
            "CON",
            "con.txt",
            "nul ",
            "aux .x",
            "Lpt1",
            "index.csv",
            "INDEX.CSV",
            ".git",
            "C:",
            "C:\\x",
            "~",
        ),
        *("ä", "a\u0308", "Ä", "ß", "ss", "ẞ", "\u212b", "å", "ﬁ", "fi", "İ", "i\u0307", "\u017f"),
        *(
            "=1+1",
            "-rf",
            "@x",
            "\uff1dx",
            "\u200e=x",
            "a;=b",
            "a\0b",
            "a\nb",
            "a\u202eb",
            "a\udcff",
        ),
        *("x" * 300, "ü" * 150, "\U0001f43b" * 64, "e\u0301" * 90),
    ]
)
KEYS = st.lists(st.text() | st.lists(ODD, max_size=6).map("/".join), max_size=12)


def places(keys, endings=ENDINGS):
    with FilenameAllocator(reserved=("index.csv",)) as names:
        return [names.allocate(key, endings) for key in keys]


def files(keys):
    return [place + ending for place in places(keys) for ending in ENDINGS]


def folders(place):
    return [str(above) for above in PurePosixPath(place).parents][:-1]


def folded(name):
    """As a disk may take it that knows no upper case, and composes signs, or takes them apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


@settings(deadline=None)
@given(KEYS)
@example(["a", "a.json/x", "a.json", "a.json/x.log/y"])
@example(["ä/x", "a\u0308", "a\u0308.json/x", "Ä/X"])
@example(["x" * 300, "x" * 299, "y/" * 400 + "x", "y/" * 400 + "X"])
def test_no_file_meets_another_file_or_a_folder(keys):
    made = [folded(name) for name in files(keys)]
    assert len(set(made)) == len(made)
    assert not set(made) & {folded(above) for name in made for above in folders(name)}
    assert folded("index.csv") not in made


@settings(deadline=None, max_examples=50)
@given(KEYS)
def test_they_can_all_be_made_and_are_inside_the_folder(keys):
    with tempfile.TemporaryDirectory() as folder:
        for name in files(keys):
            path = ensure_parent(Path(folder), name)
            path.open("x").close()
            assert path.resolve().is_relative_to(Path(folder).resolve())


@settings(deadline=None)
@given(KEYS)
@example(["../../etc/passwd", "/etc/passwd", "C:\\x", "\\\\server\\share", "a/../../b", "~/x"])
def test_they_are_safe_on_every_system(keys):
    for name in files(keys):
        path = PureWindowsPath(name)
        assert (path.anchor, path.as_posix()) == ("", name)
        assert PurePosixPath(name).as_posix() == name
        for part in name.split("/"):
            assert part.strip(". ") not in {"", *DEVICES}
            assert part.split(".")[0].rstrip().upper() not in DEVICES
            assert not part.endswith((".", " "))
            assert not part.startswith((".", " ", "-"))
            assert len(part.encode()) <= 255
            assert not any(unicodedata.category(sign) in {"Cc", "Cs"} for sign in part)
            assert not set(part) & set('<>:"|?*\\\u202a\u202b\u202d\u202e\u2066\u2067\u2028\u2029')
        assert len(name.encode()) < 1000


@settings(deadline=None)
@given(KEYS)
@example(["=1+1", "x/=1", "-5", "+5", "a;=b", "\u200b=x", "\uff20x", "-5/x", '=cmd|"/C calc"!A0'])
def test_a_table_can_name_them_and_no_cell_becomes_a_formula(keys):
    for name in files(keys):
        assert escape_formula(name) == name


@settings(deadline=None)
@given(KEYS, KEYS)
def test_the_same_keys_have_the_same_places_whatever_comes_after(keys, more):
    assert places(keys) == places([*keys, *more])[: len(keys)]


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("site-1/IMG 0042.jpg", "site-1/IMG 0042.jpg"),
        ("äöü/\U0001f43b.png", "äöü/\U0001f43b.png"),
        ("a=b-c+d@e.jpg", "a=b-c+d@e.jpg"),
        ("../../etc/passwd", "_/_/etc/passwd"),
        ("/etc//./passwd", "etc/passwd"),
        ("C:\\Windows\\x", "C__Windows_x"),
        ("", "_"),
        ("//", "_"),
        ("con/aux.tar.gz", "_con/_aux.tar.gz"),
        ("index.CSV/x", "_index.CSV/x"),
        (".git/config", "_git/config"),
        ("dots. . / blank", "dots/blank"),
        ("-rf", "_rf"),
        ("=1+1/x", "_1_1/x"),
        ("a\0\n\u202eb", "a___b"),
        ("odd\udcff", "odd_xff"),
        ("x" * 300 + ".jpg", "x" * 176 + ".jpg"),
    ],
)
def test_a_key_is_still_to_be_recognised(key, place):
    assert places([key]) == [place]


def test_the_later_key_gives_way_with_a_mark_of_its_own():
    first, second, third = places(["site/a", "Site/A", "site/a.json/x"])
    assert first == "site/a"
    assert second.startswith("Site/A~")
    assert third.startswith("site_a.json_x~")
    assert places(["Site/A", "site/a"])[0] == "Site/A"


def test_even_the_same_key_again_gets_another_place():
    assert len(set(places(["a"] * 20))) == 20


def test_an_item_without_files_takes_no_name():
    with FilenameAllocator() as names:
        assert names.allocate("a", ()) == names.allocate("a", (".json",)) == "a"


def test_a_deep_path_is_laid_flat():
    (place,) = places(["folder/" * 200 + "x.jpg"])
    assert "/" not in place
    assert len(os.fsencode(place)) < 200
