"""The contract of `inputs.UriScheme`: one suite, run on every plugin (and, opening, on files)."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from batchinfer.inputs import find_uri_scheme, open_input, stat_input
from batchinfer.inputs.table_uris import Cell, make_cell_uri
from support import plugins
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


class Kind(NamedTuple):
    """How the inputs of one scheme are named, and written again."""

    root: str
    """What is listed."""
    name: Callable[[str], str]
    rewrite: Callable[[str, bytes], object]


def make_kind(kind: str, photos: Path) -> Kind:
    if kind == "table":
        table = photos.parent / "t.parquet"
        contents = {name: (photos / name).read_bytes() for name in NAMES}
        write_table(table, picture_table(contents), rows=2)
        return Kind(
            f"table://{table}",
            lambda name: make_cell_uri(
                Cell(str(table), "image", NAMES.index(name) if name in NAMES else 99, name)
            ),
            lambda name, data: write_table(table, picture_table({**contents, name: data})),
        )
    base = "toy://photos" if kind == "toy" else str(photos)
    return Kind(
        base, lambda name: f"{base}/{name}", lambda name, data: (photos / name).write_bytes(data)
    )


@pytest.fixture(params=["toy", "table", "file"])
def kind(request, photos) -> Kind:
    return make_kind(request.param, photos)


@pytest.fixture(params=["toy", "table"])
def root(request, photos) -> str:
    """What can be listed."""
    return make_kind(request.param, photos).root


@pytest.fixture
def scheme(root):
    found = find_uri_scheme(root)
    assert found is not None
    return found


def test_an_input_is_read_whole_and_is_as_large_as_it_says(kind, photos):
    for name in NAMES:
        expected = (photos / name).read_bytes()
        seen = stat_input(kind.name(name))
        assert (seen.size, seen.is_regular) == (len(expected), True)
        with closing(open_input(kind.name(name))) as file:
            assert (file.size, file.mtime_ns, file.fingerprint, file.is_regular) == seen
            assert not file.has_changed()
            assert file.read(10) + file.read(1 << 20) == expected
            assert file.read(1) == b""


def test_what_is_not_there_is_file_not_found(kind):
    with pytest.raises(FileNotFoundError):
        stat_input(kind.name("nothing.jpg"))
    with pytest.raises(FileNotFoundError):
        open_input(kind.name("nothing.jpg"))


def test_an_input_that_was_written_again_is_seen_to_be_another(kind):
    before = stat_input(kind.name("a.jpg"))
    assert stat_input(kind.name("a.jpg")) == before
    kind.rewrite("a.jpg", b"b.jpg" * 10_000)
    assert stat_input(kind.name("a.jpg")) != before


def test_a_listing_is_complete_and_in_the_same_order_each_time(scheme, root):
    listed = list(scheme.list_inputs(root))
    assert listed == list(scheme.list_inputs(root))
    assert {each.key for each in listed} == set(NAMES)
    assert len({each.uri for each in listed}) == len(NAMES)


def test_what_is_listed_can_be_looked_at_and_opened(scheme, root):
    for each in scheme.list_inputs(root):
        assert each.stat in {None, stat_input(each.uri)}
        with closing(open_input(each.uri)) as file:
            assert file.read(1)


def test_what_cannot_be_listed_is_an_error_when_it_is_checked(scheme, root):
    assert scheme.check(root) is None
    with pytest.raises(OSError, match="nothing"):
        scheme.check(f"{root.partition(':')[0]}:///nothing")
