"""The contract of `inputs.UriScheme`: one suite, run on every plugin (and, opening, on files)."""

import os
import threading
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from batchinfer.archives.archive_uris import make_archive_uri
from batchinfer.inputs import UriScheme, find_uri_scheme, open_input, stat_input
from batchinfer.inputs.source_access import SourceSettings, StoreSettings, open_source_access
from batchinfer.inputs.table_uris import Cell, make_cell_uri
from support import archives, plugins
from support.remote_stores import open_store
from support.tables import picture_table, write_table

NAMES = ["a.jpg", "sub/b b.jpg", "sub/Ünï.jpg"]


@pytest.fixture
def photos(tmp_path, tmp_path_factory, monkeypatch) -> Path:
    for name in NAMES:
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode() * 10_000)
    monkeypatch.setenv("TOY_SHELF", str(tmp_path))
    site = tmp_path_factory.mktemp("site")
    toy = {"group": "batchinfer.sources", "name": "toy", "target": "toy_source:ToySource"}
    with plugins.installed(site, **toy):
        yield tmp_path / "photos"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A real S3 store, whose root is another folder for each test."""
    root = tmp_path_factory.mktemp("stores")
    with open_store(root) as opened:
        yield opened


@pytest.fixture
def bucket(store, photos):
    """The bucket `photos` of a store, as it is configured in two ways."""
    target = store.root / "photos"
    target.symlink_to(photos)
    keys = {"access_key": store.access_key, "secret_key": store.secret_key}
    access = StoreSettings(endpoint=store.endpoint, **keys)
    with open_source_access(SourceSettings(store=access, bucket_store=access)):
        yield "photos"
    target.unlink()


@pytest.fixture
def web(photos):
    """Where a web server offers the photos."""
    handler = partial(_QuietHandler, directory=str(photos))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        pass


REMOTE = ["toy", "s3", "bucket"]


class Place:
    """Where the photos are, for one scheme."""

    def __init__(self, kind: str, photos: Path) -> None:
        self._kind, self._photos = kind, photos
        extension = "parquet" if kind == "table" else kind
        self._container = str(photos.parent / f"photos.{extension}")
        self.listed, self.missing = f"{kind}://photos", f"{kind}://nothing"
        """What is listed, and what cannot be."""
        if kind == "table":
            self.listed, self.missing = f"table://{self._container}", "table:///nothing"
        elif kind in ARCHIVES:
            self.listed = make_archive_uri(self._container)
            self.missing = make_archive_uri(f"{photos.parent}/nothing.zip")
        self.update()

    def get_path(self, name: str) -> str:
        """The path or the URI of an input."""
        if self._kind == "table":
            row = NAMES.index(name) if name in NAMES else 99
            return make_cell_uri(Cell(self._container, "image", row, name))
        if self._kind == "file":
            return str(self._photos / name)
        return f"{self.listed}{'!' if self._kind in ARCHIVES else '/'}{name}"

    def update(self) -> None:
        """Show what is in the folder now."""
        if self._kind == "table":
            contents = {name: (self._photos / name).read_bytes() for name in NAMES}
            write_table(Path(self._container), picture_table(contents), rows=2)
        elif self._kind in ARCHIVES:
            pack = archives.pack_zip if self._kind == "zip" else archives.pack_tar
            pack(Path(self._container), self._photos, NAMES)

    @property
    def scheme(self) -> UriScheme:
        found = find_uri_scheme(self.listed)
        assert found is not None
        return found


class WebPlace(Place):
    """A web server: each file for itself, none of them is listed."""

    def __init__(self, origin: str, photos: Path) -> None:
        self._origin, self._updates = origin, 0
        super().__init__("http", photos)

    def get_path(self, name: str) -> str:
        return f"{self._origin}/{quote(name)}"

    def update(self) -> None:
        """Its server tells times in whole seconds."""
        self._updates += 1
        for name in NAMES:
            os.utime(self._photos / name, (self._updates, self._updates))


ARCHIVES = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"]


@pytest.fixture(params=[*REMOTE, "http", "table", "file", *ARCHIVES])
def anywhere(request, photos) -> Place:
    if request.param in {"s3", "bucket"}:
        request.getfixturevalue("bucket")
    if request.param == "http":
        return WebPlace(request.getfixturevalue("web"), photos)
    return Place(request.param, photos)


@pytest.fixture(params=[*REMOTE, "table", *ARCHIVES])
def place(request, photos) -> Place:
    """A place that can be listed."""
    if request.param in {"s3", "bucket"}:
        request.getfixturevalue("bucket")
    return Place(request.param, photos)


def test_an_input_is_read_whole_and_is_as_large_as_it_says(anywhere, photos):
    for name in NAMES:
        expected = (photos / name).read_bytes()
        seen = stat_input(anywhere.get_path(name))
        assert (seen.size, seen.is_regular) == (len(expected), True)
        with closing(open_input(anywhere.get_path(name))) as file:
            assert (file.size, file.mtime_ns, file.fingerprint, file.is_regular) == seen
            assert not file.has_changed()
            assert file.read(10) + file.read(1 << 20) == expected
            assert file.read(1) == b""


def test_what_is_not_there_is_file_not_found(anywhere):
    with pytest.raises(FileNotFoundError):
        stat_input(anywhere.get_path("nothing.jpg"))
    with pytest.raises(FileNotFoundError):
        open_input(anywhere.get_path("nothing.jpg"))


def test_an_input_that_was_written_again_is_seen_to_be_another(anywhere, photos):
    before = stat_input(anywhere.get_path("a.jpg"))
    assert stat_input(anywhere.get_path("a.jpg")) == before
    (photos / "a.jpg").write_bytes(b"b.jpg" * 10_000)
    anywhere.update()
    assert stat_input(anywhere.get_path("a.jpg")) != before


def test_a_listing_is_complete_and_in_the_same_order_each_time(place):
    listed = list(place.scheme.list_inputs(place.listed))
    assert listed == list(place.scheme.list_inputs(place.listed))
    assert {each.key for each in listed} == set(NAMES)
    assert len({each.uri for each in listed}) == len(NAMES)


def test_what_is_listed_can_be_looked_at_and_opened(place):
    for each in place.scheme.list_inputs(place.listed):
        assert each.stat in {None, stat_input(each.uri)}
        with closing(open_input(each.uri)) as file:
            assert file.read(1)
        with closing(place.scheme.open(each.uri)) as file:
            assert file.read(1)


def test_what_cannot_be_listed_is_an_error_when_it_is_checked(place):
    assert place.scheme.check(place.listed) is None
    with pytest.raises(OSError, match="nothing"):
        place.scheme.check(place.missing)
