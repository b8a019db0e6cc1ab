"""`s3://` against a store that breaks off, restarts, refuses, and changes under the reader."""

from functools import partial

import anyio.to_thread
import pytest

from batchinfer.inputs import SourceAwayError, find_uri_scheme, open_input, stat_input
from batchinfer.inputs.source_access import SourceSettings, StoreSettings, open_source_access
from batchinfer.sources import open_source
from support.remote_stores import StubStore, make_refusal
from support.servers import Answer, stub

KEYS = {"access_key": "reader", "secret_key": "secret-0123456789"}
BUSY = make_refusal(503, "SlowDown")


def settings(server, **more) -> SourceSettings:
    endpoint = f"http://127.0.0.1:{server.port}"
    return SourceSettings(store=StoreSettings(endpoint=endpoint, **{**KEYS, **more}))


async def in_thread(function, *args):
    return await anyio.to_thread.run_sync(partial(function, *args))


def list_keys(uri: str) -> list[str]:
    source = open_source([uri])
    source.check()
    return [item.key for item in source]


def read(uri: str) -> tuple[bytes, bool]:
    file = open_input(uri)
    data = file.read(1 << 24)
    changed = file.has_changed()
    file.close()
    return data, changed


@pytest.fixture
def store() -> StubStore:
    return StubStore({f"p/{number}.jpg": b"%d" % number * 100_000 for number in range(5)})


async def test_a_listing_comes_page_by_page_and_survives_a_store_that_restarts(store):
    restarting = Answer(200, b"<ListBucketResult><Contents>", cut=60)
    store.faults = [None, BUSY, None, restarting, Answer(502, b"<html>", {}), None]
    async with stub(store.answer) as server:
        with open_source_access(settings(server)):
            assert await in_thread(list_keys, "s3://b/p") == [f"{n}.jpg" for n in range(5)]
    pages = [r.target for r in server.requests if "max-keys" not in r.target]
    assert any("continuation-token" in page for page in pages)
    assert any("start-after=p%2F1.jpg" in page for page in pages)  # no token outlives a restart


async def test_an_input_is_one_request_and_its_version_is_what_was_read(store):
    async with stub(store.answer) as server:
        with open_source_access(settings(server)):
            assert await in_thread(read, "s3://b/p/1.jpg") == (b"1" * 100_000, False)
            assert [request.method for request in server.requests] == ["GET"]
            seen = await in_thread(stat_input, "s3://b/p/1.jpg")
            listing = find_uri_scheme("s3://b").list_inputs("s3://b/p/1.jpg")
            assert next(iter(await in_thread(list, listing))).stat == seen


async def test_reading_goes_on_where_the_connection_broke(store):
    store.cut_bodies = 2
    async with stub(store.answer) as server:
        with open_source_access(settings(server)):
            assert await in_thread(read, "s3://b/p/2.jpg") == (b"2" * 100_000, False)
    first, *others = server.requests
    assert "range" not in first.headers
    assert len(others) == 2
    assert all(each.headers["if-match"].startswith('"') for each in others)
    assert all(each.headers["range"].startswith("bytes=") for each in others)


async def test_what_changes_while_it_is_read_is_not_read_on(store):
    store.cut_bodies = 1

    def answer(request):
        if "range" in request.headers:
            store.objects["p/3.jpg"] = b"x" * 100_000
        return store.answer(request)

    async with stub(answer) as server:
        with open_source_access(settings(server)):
            data, changed = await in_thread(read, "s3://b/p/3.jpg")
    assert changed
    assert data == b"3" * len(data)
    assert len(data) < 100_000


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (make_refusal(400, "ExpiredToken"), SourceAwayError, "have expired (ExpiredToken)"),
        (make_refusal(403, "InvalidAccessKeyId"), SourceAwayError, "refuses the keys"),
        (make_refusal(404, "NoSuchBucket"), SourceAwayError, "there is no bucket 'b'"),
        (make_refusal(403, "AccessDenied"), PermissionError, "do not permit to read in bucket"),
        (make_refusal(403, "RequestTimeTooSkewed"), SourceAwayError, "clocks"),
        (make_refusal(404, "NoSuchKey"), FileNotFoundError, "no such object"),
        (make_refusal(403, "InvalidObjectState"), PermissionError, "archive"),
    ],
)
async def test_a_refusal_says_whose_fault_it_is(answer, error, says):
    async with stub(answer) as server:
        with open_source_access(settings(server)):
            for look in (stat_input, open_input):
                with pytest.raises(OSError) as raised:
                    await in_thread(look, "s3://b/x.jpg")
                assert isinstance(raised.value, error)
                assert says in str(raised.value)
                assert "secret-0123456789" not in str(raised.value)


async def test_what_may_not_be_listed_is_said_before_anything_is_sent():
    async with stub(make_refusal(403, "AccessDenied")) as server:
        with (
            open_source_access(settings(server)),
            pytest.raises(SourceAwayError, match="do not permit to list in bucket 'b'"),
        ):
            await in_thread(find_uri_scheme("s3://b").check, "s3://b/p")


async def test_the_region_that_a_store_names_is_signed_for(store):
    def answer(request):
        if "/eu-south-1/s3/" not in request.headers["authorization"]:
            wrong = make_refusal(400, "AuthorizationHeaderMalformed")
            return Answer(400, wrong.body, {"x-amz-bucket-region": "eu-south-1"})
        return store.answer(request)

    async with stub(answer) as server:
        with open_source_access(settings(server)):
            assert (await in_thread(read, "s3://b/p/1.jpg"))[0][:1] == b"1"
            await in_thread(read, "s3://b/p/2.jpg")
    assert len(server.requests) == 3  # it is remembered


async def test_keys_of_some_hours_bring_their_token_and_without_keys_nothing_is_signed(
    store, monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with stub(store.answer) as server:
        with open_source_access(settings(server, session_token="for-an-hour")):
            await in_thread(read, "s3://b/p/1.jpg")
        with open_source_access(settings(server, access_key=None, secret_key=None)):
            await in_thread(read, "s3://b/p/1.jpg")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "environment-secret")
        with open_source_access(settings(server, access_key=None, secret_key=None)):
            await in_thread(read, "s3://b/p/1.jpg")
    with_token, unsigned, from_environment = (request.headers for request in server.requests)
    assert with_token["x-amz-security-token"] == "for-an-hour"
    assert "x-amz-security-token" in with_token["authorization"]
    assert "authorization" not in unsigned
    assert "Credential=environment/" in from_environment["authorization"]


async def test_markers_of_folders_are_counted_and_not_sent(store):
    store.objects |= {"p/": b"", "p/sub/": b"", "p/sub_$folder$": b"", "p/sub/x.jpg": b"x"}

    def read_all():
        source = open_source(["s3://b/p"])
        return [item.key for item in source], source.taken_and_skipped

    async with stub(store.answer) as server:
        with open_source_access(settings(server)):
            keys, (taken, skipped) = await in_thread(read_all)
    assert "sub/x.jpg" in keys
    assert (taken, skipped) == (6, {"folder marker": 3})


async def test_an_open_input_can_be_sought_in(store):
    def look() -> tuple[bytes, bytes, int]:
        with find_uri_scheme("s3://b").open_input("s3://b/p/4.jpg") as file:
            file.seek(-3, 2)
            end = file.read()
            file.seek(10)
            return end, file.read(5), file.tell()

    async with stub(store.answer) as server:
        with open_source_access(settings(server)):
            assert await in_thread(look) == (b"444", b"44444", 15)
