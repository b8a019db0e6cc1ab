"""The contract of `ports.Source`: one suite, run on every implementation."""

import gzip
import io
import json
import zlib
from hashlib import sha256
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest

from batchinfer.domain import InputFile, Item, RemoteFile
from batchinfer.inputs.table_uris import Cell, make_cell_uri
from batchinfer.sources import open_source
from support import archives, plugins
from support.tables import picture_table, write_table

NAMES = ["a.jpg", "b b.jpg", "sub/a.jpg", "sub/v1.2.tar.jpg", "sub/Ünï.jpg"]
CSV = "path\n" + "".join(f"{name}\n" for name in NAMES)
JSONL = "".join(json.dumps({"path": name}) + "\n" for name in NAMES)


@pytest.fixture
def photos(tmp_path, tmp_path_factory, monkeypatch):
    for name in NAMES:
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    monkeypatch.chdir(tmp_path / "photos")
    monkeypatch.setenv("TOY_SHELF", str(tmp_path))
    site = tmp_path_factory.mktemp("site")
    toy = {"group": "batchinfer.sources", "name": "toy", "target": "toy_source:ToySource"}
    with plugins.installed(site, **toy):
        yield tmp_path / "photos"


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


def _uri(_photos):
    return open_source(["toy://photos"])


def _zip(photos):
    return open_source([str(archives.pack_zip(photos.parent / "photos.zip", photos, NAMES))])


def _tar_gz(photos):
    archives.pack_tar(photos.parent / "photos.tar.gz", photos, NAMES)
    return open_source(["../photos.tar.gz"])


def _csv_of_members(photos):
    archives.pack_zip(photos.parent / "photos.zip", photos, NAMES)
    rows = "".join(f"{name},photos.zip!{name}\n" for name in NAMES)
    (photos.parent / "m.csv").write_text(f"key,path\n{rows}")
    return open_source(["../m.csv"])


def _csv_of_uris(photos):
    rows = "".join(f"{name},toy://photos/{name}\n" for name in NAMES)
    (photos.parent / "m.csv").write_text(f"key,path\n{rows}")
    return open_source(["../m.csv"])


def _table(photos, form):
    path = write_table(photos / f"m.{form}", pa.table({"path": NAMES}), rows=2)
    return open_source([path.name])


def _parquet(photos):
    return _table(photos, "parquet")


def _arrow(photos):
    return _table(photos, "arrow")


def _arrow_stream(photos):
    return _table(photos, "arrows")


def _excel(photos):
    book = openpyxl.Workbook()
    for name in ["path", *NAMES]:
        book.active.append([name])
    book.save(photos / "m.xlsx")
    return open_source(["m.xlsx"])


def _coco(photos):
    images = [{"file_name": name} for name in NAMES]
    (photos.parent / "labels.json").write_text(json.dumps({"images": images}))
    return open_source(["coco:../labels.json#photos"])


def _yolo(photos):
    (photos / "data.yaml").write_text("train: .\n")
    return open_source(["yolo:data.yaml"])


def _dataset(photos):
    """Files in a table, of a folder that holds nothing else."""
    contents = {name: (photos / name).read_bytes() for name in NAMES}
    (photos.parent / "ds").mkdir(exist_ok=True)
    write_table(photos.parent / "ds" / "t.parquet", picture_table(contents), rows=2)
    return open_source(["hf:../ds"])


MAKERS = [
    _parquet,
    _arrow,
    _arrow_stream,
    _excel,
    _coco,
    _yolo,
    _dataset,
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
    _uri,
    _csv_of_uris,
    _zip,
    _tar_gz,
    _csv_of_members,
]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__.strip("_"))
def maker(request):
    return request.param


@pytest.fixture
def source(maker, photos):
    return maker(photos)


def _expected(maker, photos: Path, name: str) -> Item:
    seen = (photos / name).stat()
    if maker is _dataset:
        table = photos.parent / "ds" / "t.parquet"
        now = table.stat()
        uri = make_cell_uri(Cell(str(table), "image", NAMES.index(name), name))
        fingerprint = f"{now.st_mtime_ns}-{now.st_size}"
        return Item(name, (RemoteFile("files", uri, None, now.st_mtime_ns, fingerprint),), {})
    if maker in {_uri, _csv_of_uris}:
        digest = sha256((photos / name).read_bytes()).hexdigest()
        uri = f"toy://photos/{name}"
        return Item(name, (RemoteFile("files", uri, seen.st_size, fingerprint=digest),), {})
    if maker is _tar_gz:
        archive = photos.parent / "photos.tar.gz"
        uri, time = f"archive://{archive}!{name}", archive.stat().st_mtime_ns
        return Item(
            f"photos.tar.gz!{name}", (RemoteFile("files", uri, seen.st_size, time, None),), {}
        )
    if maker in {_zip, _csv_of_members}:
        crc = f"crc32:{zlib.crc32((photos / name).read_bytes()):08x}"
        uri = f"archive://{photos.parent / 'photos.zip'}!{name}"
        key = name if maker is _csv_of_members else f"photos.zip!{name}"
        return Item(key, (RemoteFile("files", uri, seen.st_size, None, crc),), {})
    return Item(name, (InputFile("files", str(photos / name), seen.st_size, seen.st_mtime_ns),), {})


def test_check_passes_and_sends_nothing_back(source):
    assert source.check() is None


def test_items_come_in_order_with_key_path_size_and_time(source, maker, photos):
    assert list(source) == [_expected(maker, photos, name) for name in NAMES]


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
    assert next(items).key.endswith(NAMES[0])
    items.close()  # an open handle would be a ResourceWarning, and those are errors


def test_positions_are_the_stores_business(source):
    assert {(item.position, item.attempts) for item in source} == {(-1, 0)}


def test_specs_give_the_same_items_from_any_other_folder(source, photos, tmp_path, monkeypatch):
    before = list(source)
    monkeypatch.chdir(tmp_path)
    assert list(open_source(source.specs, spool=tmp_path / "spool")) == before


def test_a_file_that_vanished_is_still_an_item(source, maker, photos):
    items = iter(source)
    next(items)
    (photos / "sub" / "v1.2.tar.jpg").unlink()
    rest = {item.key: item.files for item in items}
    vanished = rest.get("sub/v1.2.tar.jpg")
    # A folder that is read after it vanished cannot know of it; whoever names it must tell.
    # Remote ones are looked at ahead of their turn: such an item fails when it is read.
    assert vanished is not None or maker in {_folder, _pattern, _uri, _zip, _tar_gz, _yolo}
    # In an archive it is still there.
    is_known = maker in {_csv_of_uris, _dataset} or (
        vanished is not None and "!" in vanished[0].path
    )
    assert vanished is None or vanished[0].size is None or is_known
    assert any(key.endswith("sub/Ünï.jpg") for key in rest)
