"""The contract of `ports.Source`: one suite, run on every implementation."""

import gzip
import io
import json
from pathlib import Path

import pytest

from batchinfer.domain import InputFile, Item
from batchinfer.sources import open_source

NAMES = ["a.jpg", "b b.jpg", "sub/a.jpg", "sub/v1.2.tar.jpg", "sub/Ünï.jpg"]
CSV = "path\n" + "".join(f"{name}\n" for name in NAMES)
JSONL = "".join(json.dumps({"path": name}) + "\n" for name in NAMES)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    for name in NAMES:
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    monkeypatch.chdir(tmp_path / "photos")
    return tmp_path / "photos"


def _folder(photos):
    return open_source([str(photos)])


def _pattern(_photos):
    return open_source(["**/*.jpg"])


def _files(_photos):
    return open_source(NAMES)


def _csv(photos):
    (photos / "m.csv").write_text(CSV)
    return open_source(["m.csv"])


def _csv_packed(photos):
    (photos / "m.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    return open_source(["m.csv.gz"])


def _jsonl(photos):
    (photos / "m.jsonl").write_text(JSONL)
    return open_source(["m.jsonl"])


def _jsonl_packed(photos):
    (photos / "m.ndjson.gz").write_bytes(gzip.compress(JSONL.encode()))
    return open_source(["m.ndjson.gz"])


def _stdin_csv(photos):
    return open_source(["-"], spool=photos.parent / "spool", stdin=io.BytesIO(CSV.encode()))


def _stdin_jsonl(photos):
    packed = gzip.compress(JSONL.encode())
    return open_source(["-"], spool=photos.parent / "spool", stdin=io.BytesIO(packed))


def _several(_photos):
    return open_source(["a.jpg", "b b.jpg", *NAMES[2:]])


MAKERS = [
    _folder,
    _pattern,
    _files,
    _csv,
    _csv_packed,
    _jsonl,
    _jsonl_packed,
    _stdin_csv,
    _stdin_jsonl,
    _several,
]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__.strip("_"))
def source(request, photos):
    return request.param(photos)


def _expected(photos: Path, name: str) -> Item:
    seen = (photos / name).stat()
    return Item(name, (InputFile("files", str(photos / name), seen.st_size, seen.st_mtime_ns),), {})


def test_check_passes_and_sends_nothing_back(source):
    assert source.check() is None


def test_items_come_in_order_with_key_path_size_and_time(source, photos):
    assert list(source) == [_expected(photos, name) for name in NAMES]


def test_the_same_items_come_again_in_the_same_order(source):
    source.check()
    assert list(source) == list(source)


def test_two_readings_do_not_disturb_each_other(source):
    one, other = iter(source), iter(source)
    pairs = list(zip(one, other, strict=True))
    assert len(pairs) == len(NAMES)
    assert all(left == right for left, right in pairs)


def test_a_reading_that_is_given_up_leaves_nothing_open(source):
    items = iter(source)
    assert next(items).key == NAMES[0]
    items.close()  # an open handle would be a ResourceWarning, and those are errors


def test_positions_are_the_stores_business(source):
    assert {(item.position, item.attempts) for item in source} == {(-1, 0)}


def test_specs_give_the_same_items_from_any_other_folder(source, photos, tmp_path, monkeypatch):
    before = list(source)
    monkeypatch.chdir(tmp_path)
    assert list(open_source(source.specs, spool=tmp_path / "spool")) == before


def test_a_file_that_vanished_is_still_an_item(source, photos):
    items = iter(source)
    next(items)
    (photos / "sub" / "v1.2.tar.jpg").unlink()
    rest = {item.key: item.files for item in items}
    told = rest.get("sub/v1.2.tar.jpg")
    # A folder that is read after it vanished cannot know of it; whoever names it must tell.
    assert told is None or told[0].size is None
    assert "sub/Ünï.jpg" in rest
