"""`https://` against servers that redirect, refuse, break off, and show pages for pictures."""

import ssl
from functools import partial

import anyio.to_thread
import pytest
import trustme

from batchinfer.inputs import SourceAwayError, find_uri_scheme, open_input, stat_input
from batchinfer.inputs.source_access import SourceSettings, StoreSettings, open_source_access
from support.servers import Answer, stub

TOKEN = "bearer-0123456789"
PICTURE = b"picture" * 20_000
HEADERS = {"ETag": '"one"', "Last-Modified": "Mon, 23 Nov 2026 07:34:05 GMT"}


async def in_thread(function, *args):
    return await anyio.to_thread.run_sync(partial(function, *args))


def read(uri: str) -> tuple[bytes, bool]:
    file = open_input(uri)
    data = file.read(1 << 24)
    changed = file.has_changed()
    file.close()
    return data, changed


def url(server, path: str = "/a%20b.jpg", host: str = "127.0.0.1") -> str:
    return f"http://{host}:{server.port}{path}"


async def test_a_file_is_its_own_source_and_has_the_version_of_its_headers():
    async with stub(Answer(200, PICTURE, HEADERS)) as server:
        (listed,) = await in_thread(list, find_uri_scheme("http://x").list_inputs(url(server)))
        assert listed.key == "a b.jpg"
        assert listed.stat == (len(PICTURE), 1795419245_000000000, "one", True)
        assert await in_thread(read, url(server)) == (PICTURE, False)


async def test_the_token_goes_to_its_own_host_and_nowhere_else():
    async with stub(Answer(200, PICTURE, HEADERS)) as other:

        def answer(request):
            if request.target == "/away.jpg":
                return Answer(302, b"", {"Location": url(other, "/there.jpg")})
            if request.target == "/near.jpg":
                return Answer(307, b"", {"Location": "/here.jpg"})
            return Answer(200, PICTURE, HEADERS)

        async with stub(answer) as named:
            endpoint = StoreSettings(endpoint=url(named, ""))
            with open_source_access(SourceSettings(store=endpoint, token=TOKEN)):
                assert await in_thread(read, url(named, "/near.jpg")) == (PICTURE, False)
                assert await in_thread(read, url(named, "/away.jpg")) == (PICTURE, False)
                assert await in_thread(read, url(other, "/direct.jpg")) == (PICTURE, False)
                assert await in_thread(read, url(named, "/x.jpg", "localhost"))
    sent = {r.target: r.headers.get("authorization") for r in (*named.requests, *other.requests)}
    assert sent == {
        "/near.jpg": f"Bearer {TOKEN}",
        "/here.jpg": f"Bearer {TOKEN}",
        "/away.jpg": f"Bearer {TOKEN}",
        "/there.jpg": None,
        "/direct.jpg": None,
        "/x.jpg": None,
    }


async def test_reading_goes_on_with_and_without_ranges():
    requests = []

    def answer(request):
        requests.append(request)
        wanted = request.headers.get("range")
        if wanted is None:
            return Answer(200, PICTURE, HEADERS, cut=70_000 if len(requests) == 1 else None)
        if request.target == "/plain.jpg":
            return Answer(200, PICTURE, HEADERS)
        begin = int(wanted.removeprefix("bytes=").rstrip("-"))
        whole = f"bytes {begin}-{len(PICTURE) - 1}/{len(PICTURE)}"
        return Answer(206, PICTURE[begin:], {**HEADERS, "Content-Range": whole})

    async with stub(answer) as server:
        for path in ("/ranges.jpg", "/plain.jpg"):
            requests.clear()
            assert await in_thread(read, url(server, path)) == (PICTURE, False)
            assert len(requests) == 2


async def test_another_version_is_not_read_on():
    def answer(request):
        if "range" in request.headers:
            return Answer(200, PICTURE, {"ETag": '"other"'})
        return Answer(200, PICTURE, HEADERS, cut=70_000)

    async with stub(answer) as server:
        data, changed = await in_thread(read, url(server))
    assert changed
    assert len(data) < len(PICTURE)


async def test_a_server_that_refuses_head_is_asked_for_the_file():
    def answer(request):
        return Answer(405) if request.method == "HEAD" else Answer(200, PICTURE, HEADERS)

    async with stub(answer) as server:
        assert (await in_thread(stat_input, url(server))).size == len(PICTURE)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(404), FileNotFoundError, "no such file"),
        (Answer(410), FileNotFoundError, "no such file"),
        (Answer(403), PermissionError, "refuses it (HTTP 403)"),
        (Answer(401), PermissionError, "give [source] token"),
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), PermissionError, "web page"),
        (Answer(200, b"x", {"Content-Encoding": "gzip"}), OSError, "compresses"),
        (Answer(302, b"", {"Location": "ftp://x/y"}), OSError, "no address of a file"),
        (Answer(302, b"", {"Location": "/a%20b.jpg"}), OSError, "more than 5 times"),
        (Answer(500), ConnectionError, "HTTP 500"),
        (Answer(429), ConnectionError, "HTTP 429"),
    ],
)
async def test_an_answer_says_whose_fault_it_is(answer, error, says):
    async with stub(answer) as server:
        for look in (stat_input, open_input):
            with pytest.raises(OSError) as raised:
                await in_thread(look, url(server))
            assert isinstance(raised.value, error)
            assert says in str(raised.value)


async def test_a_token_that_is_refused_is_no_files_fault():
    async with stub(Answer(401)) as server:
        store = StoreSettings(endpoint=url(server, ""))
        with (
            open_source_access(SourceSettings(store=store, token=TOKEN)),
            pytest.raises(SourceAwayError, match=r"refuses \[source\] token") as raised,
        ):
            await in_thread(stat_input, url(server))
    assert TOKEN not in str(raised.value)


async def test_a_certificate_that_is_not_trusted_is_said_and_one_that_is_named_is_trusted(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with stub(Answer(200, PICTURE, HEADERS), context) as server:
        uri = f"https://localhost:{server.port}/a.jpg"
        with pytest.raises(SourceAwayError, match="cannot be trusted"):
            await in_thread(stat_input, uri)
        store = StoreSettings(ca_file=str(tmp_path / "ca.pem"))
        with open_source_access(SourceSettings(store=store)):
            assert await in_thread(read, uri) == (PICTURE, False)
        with open_source_access(SourceSettings(store=StoreSettings(verify=False))):
            assert await in_thread(read, uri) == (PICTURE, False)


async def test_a_proxy_of_the_environment_is_used(monkeypatch):
    async with stub(Answer(200, PICTURE, HEADERS)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:pw@127.0.0.1:{proxy.port}")
        assert await in_thread(read, "http://elsewhere.example/a.jpg") == (PICTURE, False)
    (request,) = proxy.requests
    assert request.target == "http://elsewhere.example/a.jpg"
    assert request.headers["proxy-authorization"].startswith("Basic ")
