"""Archives that lie in another source: read at any place where it can, else in one pass."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from batchinfer.archives.archive_scheme import ArchiveScheme
from batchinfer.archives.archive_uris import make_archive_uri
from batchinfer.archives.forward_reader import ForwardReader
from batchinfer.errors import SourceError
from batchinfer.inputs import explain_wait, open_input
from batchinfer.sources import open_source
from support import plugins
from support.archives import write_tar, write_zip

CONTENTS = {f"{number:02}.bin": os.urandom(3_000) for number in range(40)}
KINDS = ["zip", "tar", "tar.gz"]


@pytest.fixture
def shelf(tmp_path, tmp_path_factory, monkeypatch) -> Path:
    monkeypatch.setenv("TOY_SHELF", str(tmp_path))
    for kind in KINDS:
        write = write_zip if kind == "zip" else write_tar
        write(tmp_path / f"a.{kind}", CONTENTS)
    site = tmp_path_factory.mktemp("site")
    toy = {"group": "batchinfer.sources", "name": "toy", "target": "toy_source:ToySource"}
    stream = toy | {"name": "stream", "target": "stream_source:StreamSource"}
    with plugins.installed(site, **toy), plugins.installed(site / "more", **stream):
        yield tmp_path


def read_all(source) -> dict[str, bytes]:
    found = {}
    for item in source:
        with closing(open_input(item.files[0].path)) as file:
            found[item.key.partition("!")[2]] = file.read(file.size)
    return found


@pytest.mark.parametrize("scheme", ["toy", "stream"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_may_be_anywhere(shelf, scheme, kind):
    source = open_source([f"{scheme}://a.{kind}"])
    source.check()
    assert source.specs == (f"archive://{scheme}://a.{kind}",)
    assert next(iter(source)).key == f"a.{kind}!00.bin"
    assert read_all(source) == CONTENTS


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_names_files_in_them(shelf, tmp_path, kind):
    (tmp_path / "m.csv").write_text(f"path\nstream://a.{kind}!07.bin\ntoy://a.{kind}!08.bin\n")
    source = open_source([str(tmp_path / "m.csv")])
    source.check()
    assert read_all(source) == {name: CONTENTS[name] for name in ("07.bin", "08.bin")}


@pytest.mark.parametrize(("kind", "passes"), [("zip", 1), ("tar", 2), ("tar.gz", 2)])
def test_what_can_only_be_read_on_is_opened_once_for_all(shelf, kind, passes):
    scheme, uri = ArchiveScheme(), make_archive_uri(f"stream://a.{kind}")
    for listed in scheme.list_inputs(uri):
        with closing(scheme.open(listed.uri)) as file:
            assert file.read() == CONTENTS[listed.key]
    opened = Counter((shelf / "OPENED").read_text().splitlines())
    # Once for what kind it is, and whether it can be read at any place; one pass for what it holds.
    assert opened[f"stream://a.{kind}"] <= 3 + passes


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_breaks_is_no_fault_of_the_archive(shelf, kind):
    scheme, name = ArchiveScheme(), "39.bin"
    uri = make_archive_uri(f"stream://a.{kind}", name)
    scheme.stat(uri)
    if kind != "zip":  # which was copied
        (shelf / "BREAK").touch()
        with pytest.raises(ConnectionResetError):
            scheme.open(uri)
    with closing(scheme.open(uri)) as file:
        assert file.read() == CONTENTS[name]


def test_what_takes_long_to_get_to_is_waited_for(shelf):
    uri, reader = "stream://a.tar.gz", ForwardReader("stream://a.tar.gz", wait_seconds=0)
    assert reader.explain_wait() is None
    assert explain_wait(make_archive_uri(uri, "00.bin")) is None
    (shelf / "HOLD").touch()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(reader.read_range, 100_000, 10)
        while (reason := reader.explain_wait()) is None:
            assert not reading.done()
        assert "still being unpacked from byte 0 to where the run goes on, byte 100,000" in reason
        (shelf / "HOLD").unlink()
        assert len(reading.result().read()) == 10
    assert reader.explain_wait() is None


def test_an_archive_that_is_away_says_so(shelf):
    (shelf / "AWAY").touch()
    with pytest.raises(SourceError, match="the shelf does not answer"):
        open_source(["toy://a.zip"]).check()
    with pytest.raises(ConnectionError):
        ArchiveScheme().open(make_archive_uri("toy://a.zip", "00.bin"))
