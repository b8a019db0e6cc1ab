"""Shards: every item is in one of them, the same everywhere, whatever is added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import SourceError
from batchinfer.sources import Selection, open_source
from batchinfer.sources.shard import Shard


def keys_of(*specs, shard=None, **options):
    return [
        item.key
        for item in open_source(
            list(map(str, specs)), selection=Selection.of(shard=shard), **options
        )
    ]


@given(st.text(min_size=1), st.integers(1, 1_000))
def test_every_key_is_in_one_shard(key, count):
    assert sum(Shard(number, count).holds(key) for number in range(1, count + 1)) == 1


def test_the_shard_of_a_key_never_changes():
    """Runs of older versions and of other machines rely on these very numbers."""
    found = {
        key: next(number for number in range(1, 17) if Shard(number, 16).holds(key))
        for key in ("a.jpg", "photos/a.jpg", "caf\u00e9.jpg", "")
    }
    assert found == {"a.jpg": 11, "photos/a.jpg": 16, "caf\u00e9.jpg": 9, "": 5}


def test_both_spellings_of_a_name_are_in_one_shard():
    assert [Shard(number, 64).holds("caf\u00e9.jpg") for number in range(1, 65)] == [
        Shard(number, 64).holds("cafe\u0301.jpg") for number in range(1, 65)
    ]


def test_shards_are_of_about_one_size():
    shards = [Shard(number, 16) for number in range(1, 17)]
    counts = [sum(shard.holds(f"img_{n:06}.jpg") for n in range(16_000)) for shard in shards]
    assert all(850 < count < 1_150 for count in counts)


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "-1/4", "1/0", "", "1/4/2", "1.5/4"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ValueError, match="3/16"):
        Shard.parse(text)


def test_a_shard_is_read_as_it_is_written():
    assert Shard.parse(" 3 / 16 ") == Shard(3, 16)
    assert str(Shard(3, 16)) == "3/16"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.jpg").write_bytes(b"x")
    return folder


def make_manifest(folder):
    path = folder.with_name("items.csv")
    path.write_text("path\n" + "".join(f"photos/{n}.jpg\n" for n in range(60)))
    return path


def make_list(folder):
    path = folder.with_name("list.txt")
    path.write_text("".join(f"photos/{n}.jpg\n" for n in range(60)))
    return f"files-from:{path}"


@pytest.mark.parametrize("name", [str, lambda folder: f"{folder}/*.jpg", make_manifest, make_list])
def test_shards_share_the_items_of_every_kind_of_source(source, name):
    spec = name(source)
    shards = [keys_of(spec, shard=Shard(number, 4)) for number in range(1, 5)]
    whole = keys_of(spec)
    assert sorted(key for shard in shards for key in shard) == sorted(whole)
    assert len(whole) == 60
    for shard in shards:
        assert shard == [key for key in whole if key in set(shard)]  # in the order of the source


def test_files_that_are_added_move_no_other(source):
    before = keys_of(source, shard=Shard(2, 4))
    for number in range(60, 90):
        (source / f"{number}.jpg").write_bytes(b"x")
    after = keys_of(source, shard=Shard(2, 4))
    assert [key for key in after if int(key[:-4]) < 60] == before
    assert len(after) > len(before)


def test_files_of_other_shards_are_counted_as_skipped(source):
    (source / "notes.txt").write_bytes(b"x")
    opened = open_source([str(source)], selection=Selection.of(["*.jpg"], shard=Shard(1, 4)))
    keys = [item.key for item in opened]
    taken, skipped = opened.taken_and_skipped
    assert taken == len(keys)
    assert skipped == {"of other shards": 60 - len(keys), ".txt": 1}
    assert any("of other shards" in notice.message for notice in opened.notices)


def test_a_pattern_that_is_none_is_still_refused(source):
    with pytest.raises(SourceError):
        open_source([str(source / "none")], selection=Selection.of(shard=Shard(1, 2)))
