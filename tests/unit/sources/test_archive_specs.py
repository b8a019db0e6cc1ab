"""Archives among the sources that are named: what is one, what keys begin with."""

from pathlib import Path

import pytest

from batchinfer.errors import SourceError
from batchinfer.sources import Selection, open_source
from batchinfer.sources.archive_specs import make_key_prefixes, to_archive_uri
from support.archives import write_tar, write_zip

CONTENTS = {"a.jpg": b"a", "2024/b.jpg": b"b", "2024/c.png": b"c", "d/.hidden": b"d"}


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_zip(tmp_path / "photos.zip", CONTENTS)
    return tmp_path


def keys(*specs: str, **options) -> list[str]:
    return [item.key for item in open_source(specs, **options)]


def test_an_archive_is_a_source_and_its_files_are_called_after_it(desk):
    expected = ["photos.zip!a.jpg", "photos.zip!2024/b.jpg", "photos.zip!2024/c.png"]
    source = open_source(["photos.zip"])
    assert [item.key for item in source] == expected
    assert source.specs == (f"archive://{desk}/photos.zip",)
    assert keys(*source.specs, is_existing_run=True) == expected
    assert keys(f"{desk}/photos.zip") == expected
    assert source.taken_and_skipped == (3, {"hidden": 1})
    write_tar(desk / "PHOTOS.TGZ", {"a.jpg": b"x"}).rename(desk / "P.TGZ")
    assert keys("P.TGZ") == ["P.TGZ!a.jpg"]


def test_a_selection_is_relative_to_the_archive():
    chosen = Selection.of(include=["2024/*.jpg"])
    assert keys("photos.zip", selection=chosen) == ["photos.zip!2024/b.jpg"]
    assert keys("photos.zip", selection=Selection.of(exclude=["2024/"])) == ["photos.zip!a.jpg"]
    assert keys("photos.zip", selection=Selection.of(include=["A.JPG", ".hidden"])) == [
        "photos.zip!a.jpg",
        "photos.zip!d/.hidden",
    ]


def test_a_folder_or_a_file_of_an_archive_is_one_too():
    assert keys("photos.zip!2024/") == ["photos.zip!2024/b.jpg", "photos.zip!2024/c.png"]
    assert keys("photos.zip!2024/b.jpg") == ["photos.zip!2024/b.jpg/b.jpg"]
    with pytest.raises(SourceError, match="no such file"):
        open_source(["nothing.zip!a.jpg"])


def test_archives_of_one_name_are_told_apart_by_their_folders(desk):
    for folder in ("one", "two"):
        (desk / folder).mkdir()
        write_zip(desk / folder / "photos.zip", {"a.jpg": b"a"})
    assert keys("one/photos.zip", "two/photos.zip") == [
        "one/photos.zip!a.jpg",
        "two/photos.zip!a.jpg",
    ]
    assert keys("one/photos.zip") == ["photos.zip!a.jpg"]
    assert set(make_key_prefixes(["archive:///x.zip", "s3://b/x", "-"])) == {"archive:///x.zip"}


def test_beside_plain_files_and_in_folders_an_archive_is_a_file_as_all(desk):
    (desk / "a.jpg").write_bytes(b"a")
    assert keys("a.jpg", "photos.zip") == ["a.jpg", "photos.zip"]
    assert keys(".") == ["a.jpg", "photos.zip"]
    assert keys("*.zip") == ["photos.zip"]
    assert keys("as-file:photos.zip") == ["photos.zip"]


def test_specs_of_a_run_mean_what_they_meant_when_it_began(desk):
    """Older versions sent two archives as the files that they are."""
    known = [f"{desk}/./photos.zip", f"{desk}/photos.zip"]
    assert keys(*known, is_existing_run=True)[0] == "photos.zip"
    assert keys(known[0], known_specs=known) == ["photos.zip"]


def test_a_file_whose_name_only_looks_like_a_member_is_itself(desk):
    (desk / "odd.zip!a.jpg").write_bytes(b"x")
    assert keys("odd.zip!a.jpg") == ["odd.zip!a.jpg"]
    assert to_archive_uri("odd.zip!a.jpg") is None


def test_manifests_and_lists_name_files_in_archives(desk):
    (desk / "m.csv").write_text("path,size\nphotos.zip!a.jpg,1\nphotos.zip!2024/b.jpg,2\n")
    source = open_source(["m.csv"])
    source.check()
    items = list(source)
    assert [item.key for item in items] == ["photos.zip!a.jpg", "photos.zip!2024/b.jpg"]
    assert items[0].files[0].path == f"archive://{desk}/photos.zip!a.jpg"
    (desk / "l.txt").write_text("photos.zip!a.jpg\nphotos.zip!nothing.jpg\nno.zip!a\n")
    with pytest.raises(SourceError) as raised:
        open_source(["files-from:l.txt"]).check()
    assert "2 mistakes" in str(raised.value)
    assert "photos.zip!nothing.jpg: there is no such file" in str(raised.value)
    open_source(["files-from:l.txt"]).check(may_be_missing=True)


@pytest.mark.parametrize("name", ["wow!.zip", "50%21.zip", "a%2521!b.zip", "ü ?.zip"])
def test_any_name_of_an_archive_is_found_again(desk, name):
    write_zip(desk / name, {"a!b.jpg": b"content", "c%21.jpg": b"d"})
    source = open_source([name])
    source.check()
    assert [item.key for item in source] == [f"{name}!a!b.jpg", f"{name}!c%21.jpg"]
    (desk / "l.txt").write_text("".join(f"{item.files[0].path}\n" for item in source))
    listed = open_source(["files-from:l.txt"])
    listed.check()
    assert [item.files for item in listed] == [item.files for item in source]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.zip", b"", "it is empty"),
        ("a.zip", b"no archive", "no archive that is read here"),
        ("a.zip", b"PK\x03\x04 and no end", "its end is missing"),
        ("a.tar", b"x" * 2000, "it is no tar"),
        ("a.tgz", b"\x1f\x8b and no more", "cut off or damaged"),
    ],
)
def test_what_is_no_archive_is_refused_before_anything_is_sent(desk, name, data, reason):
    (desk / name).write_bytes(data)
    with pytest.raises(SourceError, match=reason) as raised:
        open_source([name]).check()
    assert str(desk / name) in str(raised.value)
