"""The contract of `inputs.UriScheme`: one suite, run on every plugin (and, opening, on files)."""

from contextlib import closing
from pathlib import Path

import pytest

from batchinfer.inputs import find_uri_scheme, open_input, stat_input
from support import plugins

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


@pytest.fixture(params=["toy", "file"])
def base(request, photos) -> str:
    """What the names of the inputs begin with."""
    return "toy://photos" if request.param == "toy" else str(photos)


@pytest.fixture
def scheme(photos):
    found = find_uri_scheme("toy://photos")
    assert found is not None
    return found


def test_an_input_is_read_whole_and_is_as_large_as_it_says(base, photos):
    for name in NAMES:
        expected = (photos / name).read_bytes()
        seen = stat_input(f"{base}/{name}")
        assert (seen.size, seen.is_regular) == (len(expected), True)
        with closing(open_input(f"{base}/{name}")) as file:
            assert (file.size, file.mtime_ns, file.fingerprint, file.is_regular) == seen
            assert not file.has_changed()
            assert file.read(10) + file.read(1 << 20) == expected
            assert file.read(1) == b""


def test_what_is_not_there_is_file_not_found(base):
    with pytest.raises(FileNotFoundError):
        stat_input(f"{base}/nothing.jpg")
    with pytest.raises(FileNotFoundError):
        open_input(f"{base}/nothing.jpg")


def test_an_input_that_was_written_again_is_seen_to_be_another(base, photos):
    before = stat_input(f"{base}/a.jpg")
    assert stat_input(f"{base}/a.jpg") == before
    (photos / "a.jpg").write_bytes(b"b.jpg" * 10_000)
    assert stat_input(f"{base}/a.jpg") != before


def test_a_listing_is_complete_and_in_the_same_order_each_time(scheme):
    listed = list(scheme.list_inputs("toy://photos"))
    assert listed == list(scheme.list_inputs("toy://photos"))
    assert {each.key for each in listed} == set(NAMES)
    assert len({each.uri for each in listed}) == len(NAMES)


def test_what_is_listed_can_be_looked_at_and_opened(scheme):
    for each in scheme.list_inputs("toy://photos"):
        assert each.stat in {None, stat_input(each.uri)}
        with closing(open_input(each.uri)) as file:
            assert file.read(1)


def test_what_cannot_be_listed_is_an_error_when_it_is_checked(scheme):
    assert scheme.check("toy://photos") is None
    with pytest.raises(OSError, match="toy://nothing"):
        scheme.check("toy://nothing")
