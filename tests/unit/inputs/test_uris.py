"""Inputs that a plugin opens: what goes wrong with one is a failure of its item, as of a file."""

import errno
import pickle
from pathlib import Path

import pytest

from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.backends.payload_loader import PayloadLoader
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, FailureKind, InputFile, Item, Mode, RemoteFile, ServiceSignal
from batchinfer.errors import SourceError, SourceUnavailable
from batchinfer.inputs import is_local, open_input, open_stream, read_head, restat_file, stat_input
from batchinfer.inputs.opener import InputTooLargeError
from batchinfer.plugins import PluginError
from batchinfer.sources import open_source
from batchinfer.sources.source_presence import SourcePresence
from batchinfer.store.file_relocation import make_folder_move
from batchinfer.store.json_codec import decode_files, encode_files
from support import plugins
from support.protocols import AI4OS

TOKEN = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def odd(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    name = {"group": "batchinfer.sources", "name": "odd", "target": "odd_source:OddSource"}
    with plugins.installed(site, **name):
        yield


async def load(*files: InputFile, read_timeout: float = 60.0) -> LoadedPayload | Failure:
    loader = PayloadLoader(
        AI4OS, {}, Mode.SYNC, redactor=Redactor([TOKEN]), read_timeout=read_timeout
    )
    return await loader.load_within(None, Item("a", files))


@pytest.mark.parametrize(
    ("uri", "code", "kind", "says"),
    [
        ("odd://missing", "file_missing", FailureKind.PERMANENT, "file not found"),
        ("odd://refused", "file_unreadable", FailureKind.PERMANENT, "403 for the key ***"),
        ("odd://reset", "file_unreadable", FailureKind.TRANSIENT, "by the\\nserver"),
        ("odd://slow", "file_unreadable", FailureKind.TRANSIENT, "TimeoutError"),
        ("odd://broken", "file_unreadable", FailureKind.TRANSIENT, "KeyError: 'etag'"),
        ("none://x", "file_unreadable", FailureKind.PERMANENT, "no installed package reads none:"),
    ],
)
async def test_an_input_that_cannot_be_read_is_a_failure_of_its_item(uri, code, kind, says):
    failure = await load(RemoteFile("files", uri))
    assert isinstance(failure, Failure)
    assert (failure.code, failure.kind) == (code, kind)
    assert failure.signal is ServiceSignal.INPUT_UNREADABLE  # so that its source is looked at
    assert uri in failure.message
    assert says in failure.message
    assert TOKEN not in failure.message


async def test_an_input_that_hangs_is_given_up_in_time():
    failure = await load(RemoteFile("files", "odd://hangs", 7), read_timeout=0.2)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.kind) == ("file_unreadable", FailureKind.TRANSIENT)


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (RemoteFile("files", "odd://x", 8), "file_changed"),
        (RemoteFile("files", "odd://x", 7, None, "other"), "file_changed"),
        (RemoteFile("files", "odd://changes"), "file_changed"),
        (RemoteFile("files", "odd://secret"), "file_holds_secret"),
    ],
)
async def test_what_is_never_sent_of_a_file_is_never_sent_of_an_input(file, code):
    failure = await load(file)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.kind) == (code, FailureKind.PERMANENT)


async def test_an_input_that_is_as_it_was_is_sent():
    loaded = await load(RemoteFile("files", "odd://x", 7, None, "same"))
    assert isinstance(loaded, LoadedPayload)
    assert loaded.inputs[0].size == 7


def test_a_plain_path_is_never_taken_for_a_uri(tmp_path: Path):
    path = tmp_path / "odd:" / "x"
    path.parent.mkdir()
    path.write_bytes(b"local")
    assert is_local(f"{tmp_path}/odd://x")
    assert is_local("c:/x")
    assert read_head(f"{tmp_path}/odd://x", 9) == b"local"
    assert read_head("odd://x", 3) == b"con"


def test_a_uri_that_cannot_be_listed_is_refused_before_anything_is_sent():
    for uri, says in (("odd://missing", "is not there"), ("odd://refused", "cannot be read (403")):
        with pytest.raises(SourceUnavailable, match="odd://") as raised:
            open_source([uri]).check()
        assert says in str(raised.value)
    with pytest.raises(SourceError, match="must not hold a password") as refused:
        open_source(["odd://me:secret@x/y"]).check()
    assert "secret" not in str(refused.value)


def test_a_listing_that_breaks_off_is_no_complete_source():
    items = iter(open_source(["odd://reset"]))
    assert next(items).key == "one"
    with pytest.raises(SourceUnavailable, match="odd://reset cannot be read"):
        next(items)


def test_a_scheme_that_nobody_knows_is_refused_as_ever():
    with pytest.raises(SourceError, match="only files on this machine"):
        open_source(["none://x"])


def test_a_plugin_that_cannot_be_loaded_is_named(tmp_path: Path):
    name = {"group": "batchinfer.sources", "name": "bad", "target": "odd_source:Nothing"}
    with plugins.installed(tmp_path, **name):
        with pytest.raises(PluginError, match="batchinfer-test-bad"):
            open_source(["bad://x"])
        with pytest.raises(OSError, match="cannot be loaded"):
            open_input("bad://x")
        why = SourcePresence(["bad://x"]).explain_absence("bad://x/a", [])
    assert why is not None
    assert "batchinfer-test-bad" in why


def test_the_source_of_a_uri_is_away_when_it_cannot_be_listed_or_no_package_reads_it():
    assert SourcePresence(["odd://x"]).explain_absence("odd://x/a", []) is None
    away = SourcePresence(["odd://reset"]).explain_absence("odd://reset/a", [])
    assert away is not None
    assert "odd://reset cannot be read" in away
    unknown = SourcePresence(["none://x"]).explain_absence("none://x/a", [])
    assert unknown is not None
    assert "no installed package reads none://" in unknown
    named_in_a_manifest = SourcePresence(["/m.csv"])
    others = ["odd://missing"] * 3
    assert named_in_a_manifest.explain_absence("odd://x", others) is not None
    assert named_in_a_manifest.explain_absence("odd://x", [*others, "odd://y"]) is None


def test_what_is_shown_of_an_input_is_bounded_in_size_and_time():
    assert open_stream("odd://x").read() == b"content"
    with pytest.raises(InputTooLargeError):
        open_stream("odd://x", max_bytes=6)
    with pytest.raises(TimeoutError):
        open_stream("odd://hangs", timeout=0.1)
    with pytest.raises(OSError, match="403") as refused:
        stat_input("odd://refused")
    assert refused.value.errno is None
    with pytest.raises(OSError, match="KeyError") as broken:
        stat_input("odd://broken")
    assert broken.value.errno == errno.EIO


def test_a_file_is_stored_as_ever_and_a_uri_with_its_fingerprint():
    file, remote = InputFile("a", "/x", 1, 2), RemoteFile("a", "odd://x", 1, None, "f")
    assert encode_files([file]) == '[{"param":"a","path":"/x","size":1,"mtime_ns":2}]'
    assert decode_files(encode_files([file, remote])) == (file, remote)
    assert restat_file(remote) == RemoteFile("a", "odd://x")
    assert pickle.loads(pickle.dumps(remote)) == remote


def test_a_source_may_move_from_a_folder_to_a_uri():
    move = make_folder_move("/photos", "odd://photos")
    assert move(InputFile("a", "/photos/x", 7, 3)) == RemoteFile(
        "a", "odd://photos/x", 7, None, "same"
    )
    assert move(InputFile("a", "/photos/x", 9, 3)) == RemoteFile("a", "odd://photos/x", 9, 3)
