"""What of a folder is taken, what is skipped, and what is said of it."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import SourceError
from batchinfer.sources import Selection, open_source
from batchinfer.sources.selection import FILE_KINDS
from batchinfer.sources.skip_counts import (
    SkipCounts,
    classify_by_extension,
    describe_skipped,
    sum_skip_counts,
)
from batchinfer.sources.system_files import classify_system_file, classify_system_folder


def plant(top: Path, *names: str) -> Path:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x")
    return top


def read(top, *, include=(), exclude=(), only=()):
    """Keys that are taken, and what is skipped by kind."""
    source = open_source([str(top)], selection=Selection.of(include, exclude, only))
    keys = [item.key for item in source]
    taken, skipped = source.taken_and_skipped
    assert taken == len(keys)
    return keys, dict(skipped)


LITTER = [
    "Thumbs.db",
    "THUMBS.DB",
    "ehthumbs.db",
    "Desktop.ini",
    "picasa.ini",
    "Icon\r",
    ".DS_Store",
    "._a.jpg",
    ".nextcloudsync.log",
    "a.jpg:Zone.Identifier",
    "a.jpg\uf03aZone.Identifier",
    "a.jpg:com.dropbox.attrs",
    "Thumbs.db:encryptable",
    "~$notes.docx",
    "b.jpg.crdownload",
    ":2eDS_Store",
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
    "@EADIR/b.jpg/SYNOPHOTO_THUMB_M.jpg",
    "#recycle/a.jpg",
    "$RECYCLE.BIN/S-1-5/a.jpg",
    "__MACOSX/._b.jpg",
    "System Volume Information/WPSettings.dat",
    "lost+found/x",
    "found.000/FILE0000.CHK",
    ".Spotlight-V100/x",
    ".Trashes/a.jpg",
    ".fseventsd/x",
    ".@__thumb/s800a.jpg",
    "sub/@eaDir/c.jpg/x.jpg",
]


@pytest.mark.parametrize("name", LITTER)
def test_what_a_system_leaves_behind_is_skipped_and_counted(tmp_path, name):
    keys, skipped = read(plant(tmp_path, "a.jpg", name))
    assert keys == ["a.jpg"]
    assert sum(skipped.values()) == 1


@pytest.mark.parametrize(
    "name",
    [
        "thumbs.jpg",
        "my Thumbs.db.png",
        "desktop.inix",
        "eaDir/a.jpg",
        "recycle/a.jpg",
        "MACOSX/a.jpg",
        "lost/found.jpg",
        "notes~$.docx",
        "a:b.jpg",
        "part.tmp",
        "scan.part",
        "10:30.png",
        "found.jpg",
    ],
)
def test_what_only_resembles_it_is_data(tmp_path, name):
    assert read(plant(tmp_path, name)) == ([name], {})


@given(st.sampled_from(LITTER[:-1]), st.randoms())
def test_litter_is_known_in_any_case(name, random):
    first, _, inside = name.partition("/")
    swapped = "".join(random.choice((each.lower(), each.upper())) for each in first)
    assert (classify_system_folder if inside else classify_system_file)(swapped) is not None


def test_litter_that_an_include_names_is_taken(tmp_path):
    plant(tmp_path, "a.jpg", "Thumbs.db", "@eaDir/a.jpg/THUMB.jpg", ".hidden/b.jpg")
    assert read(tmp_path, include=["thumbs.db"])[0] == ["Thumbs.db"]
    assert read(tmp_path, include=["@eaDir/**"])[0] == ["@eaDir/a.jpg/THUMB.jpg"]
    assert read(tmp_path, include=[".hidden/*.jpg"])[0] == [".hidden/b.jpg"]
    assert read(tmp_path, include=["*.db", "*.jpg"])[0] == ["a.jpg"]


def test_includes_and_excludes_add_up(tmp_path):
    plant(tmp_path, "a.jpg", "a_mask.JPG", "b.PNG", "b.xmp", "raw/c.jpg", "raw/thumbs/c.jpg")
    keys, skipped = read(
        tmp_path, include=["*.jpg", "*.png"], exclude=["*_mask.*", "thumbs/", "none"]
    )
    assert keys == ["a.jpg", "b.PNG", "raw/c.jpg"]
    assert skipped == {".jpg": 1, ".xmp": 1, "thumbs/": 1}


@pytest.mark.parametrize(
    ("exclude", "taken"),
    [
        ("raw", ["a.jpg", "s/raw.jpg"]),
        ("raw/", ["a.jpg", "s/raw.jpg"]),
        ("/raw", ["a.jpg", "s/raw.jpg", "s/raw/c.jpg"]),
        ("raw/**", ["a.jpg", "s/raw.jpg", "s/raw/c.jpg"]),
        ("**/raw/**", ["a.jpg", "s/raw.jpg"]),
        ("RAW*", ["a.jpg"]),
        ("s/raw/*.jpg", ["a.jpg", "raw/b.jpg", "s/raw.jpg"]),
        ("*.JPG", []),
    ],
)
def test_an_exclude_leaves_out_files_and_whole_folders(tmp_path, exclude, taken):
    plant(tmp_path, "a.jpg", "raw/b.jpg", "s/raw.jpg", "s/raw/c.jpg")
    assert sorted(read(tmp_path, exclude=[exclude])[0]) == sorted(taken)


def test_only_takes_files_of_a_kind_by_their_endings(tmp_path):
    plant(tmp_path, "a.JPG", "b.nii.gz", "c.tar.gz", "d.wav", "e.MP4", "f", "g.txt", "h.jpg.txt")
    assert read(tmp_path, only=["images"])[0] == ["a.JPG", "b.nii.gz"]
    assert read(tmp_path, only=["audio", "video"])[0] == ["d.wav", "e.MP4"]
    assert read(tmp_path, only=["images"], exclude=["a*"])[1] == {
        ".jpg": 1,
        ".mp4": 1,
        ".tar.gz": 1,
        ".txt": 2,
        ".wav": 1,
        "without an ending": 1,
    }


def test_no_ending_is_of_two_kinds():
    every = [ending for endings in FILE_KINDS.values() for ending in endings]
    assert len(every) == len(set(every))
    assert all(each == each.lower() for each in every)


def test_excludes_and_kinds_hold_for_patterns_and_for_named_files_too(tmp_path, monkeypatch):
    plant(tmp_path, "p/a.jpg", "p/b.txt", "p/c.jpg", "p/Thumbs.db")
    monkeypatch.chdir(tmp_path)
    selection = Selection.of(include=["*.png"], exclude=["c.*"], only=["images"])
    assert [item.key for item in open_source(["p/*"], selection=selection)] == ["a.jpg"]
    named = open_source(["p/Thumbs.db", "p/a.jpg", "p/b.txt", "p/c.jpg"], selection=selection)
    assert [item.key for item in named] == ["p/a.jpg"]
    assert named.taken_and_skipped == (1, {".jpg": 1, ".txt": 1, "Thumbs.db": 1})
    plant(tmp_path, "p/desktop.ini")
    (alone,) = open_source(["p/desktop.ini"])
    assert alone.key == "p/desktop.ini"


def test_what_a_pattern_does_not_match_was_never_asked_for(tmp_path):
    plant(tmp_path, "a.jpg", "b.txt", ".c.jpg")
    source = open_source([f"{tmp_path}/*.jpg"])
    assert [item.key for item in source] == ["a.jpg"]
    assert source.taken_and_skipped == (1, {"hidden": 1})


def test_what_was_skipped_is_reported_when_the_source_has_been_read(tmp_path):
    plant(tmp_path, "a.jpg", "b.xmp", "c.xmp", "Thumbs.db")
    source = open_source([str(tmp_path)], selection=Selection.of(exclude=["*.xmp"]))
    items = iter(source)
    next(items)
    assert source.notices == ()
    assert list(items) == []
    (notice,) = source.notices
    assert notice.code == "skipped"
    assert notice.message == "Taken: 1 file; skipped: 3 (.xmp 2, Thumbs.db 1)."
    list(source)
    assert source.notices == (notice,)


def test_nothing_skipped_is_nothing_to_tell(tmp_path):
    source = open_source([str(plant(tmp_path, "a.jpg"))])
    list(source)
    assert source.notices == ()


def test_kinds_beyond_a_bound_are_counted_together():
    skipped = SkipCounts(taken=1)
    for n in range(5_000):
        skipped.add(f".{n}")
    assert len(skipped.by_kind) <= 1_001
    taken, counts = sum_skip_counts([skipped, SkipCounts(2, {".1": 4})])
    assert (taken, sum(counts.values())) == (3, 5_004)
    assert describe_skipped(taken, counts).startswith("Taken: 3 files; skipped: 5,004 (others 4,")
    assert describe_skipped(taken, counts).count(",") < 12


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.JPG", ".jpg"), ("a.nii.GZ", ".nii.gz"), ("a.gz", ".gz"), ("a", "without an ending")],
)
def test_what_a_file_is_counted_as(name, kind):
    assert classify_by_extension(name) == kind


def test_a_pattern_without_sense_is_an_error():
    with pytest.raises(SourceError, match="cannot be understood"):
        Selection.of(exclude=["[z-a]"])


NAMES = st.text(st.sampled_from("aéÅñ한か\u3099ǖ"), min_size=1, max_size=6)


@given(NAMES, st.sampled_from(["NFC", "NFD"]), st.sampled_from(["NFC", "NFD"]))
def test_a_pattern_matches_a_name_in_either_normal_form(name, typed, stored):
    pattern, path = (unicodedata.normalize(form, name) for form in (typed, stored))
    selection = Selection.of(include=[pattern])
    assert selection.includes(path)
    assert not selection.includes(path + "x")
    assert Selection.of(include=[f"{pattern}/"]).includes(f"{path}/y")
