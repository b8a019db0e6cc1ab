"""Sync mode over real sockets: what every way to answer, and to fail, comes back as."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
import trustme

from batchinfer.backends.http_backend import HttpBackend
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, FailureKind, InputFile, Item, Outcome, Reply
from batchinfer.errors import ConfigError, FatalError
from batchinfer.protocols.http_text import MAX_ERROR_BODY_BYTES
from support.http_calls import ITEM, OK, TOKEN, backend_at
from support.paths import FIXTURES
from support.servers import Answer, Request, Stub, stub, talking

pytestmark = pytest.mark.usefixtures("carrier")

TRANSIENT, PERMANENT, UNAVAILABLE = (
    FailureKind.TRANSIENT,
    FailureKind.PERMANENT,
    FailureKind.UNAVAILABLE,
)


async def outcome_of(
    answer: Answer | Callable[[Request], Answer], item: Item = ITEM, **changed: Any
) -> tuple[Outcome, Stub]:
    async with stub(answer) as server, backend_at(server.port, **changed) as backend:
        return await backend.attempt(item, 1), server


async def failure_of(answer: Answer, **changed: Any) -> Failure:
    outcome, _ = await outcome_of(answer, **changed)
    assert isinstance(outcome, Failure)
    return outcome


# What is sent -----------------------------------------------------------------------------------


async def test_a_call_is_one_post_with_the_token_and_the_payload():
    _, server = await outcome_of(Answer(body=OK), user_agent="batchinfer/1.2")
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/run/ai4papi-1")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "batchinfer/1.2"
    assert json.loads(request.body) == {"size": 1, "text": "hello"}


@pytest.mark.parametrize("size", [10, 70_000, 3_000_000])
async def test_files_of_any_size_arrive_whole(tmp_path: Path, size: int):
    (tmp_path / "a.bin").write_bytes(bytes(range(250)) * (size // 250) + b"x" * (size % 250))
    item = Item("a", (InputFile("files", str(tmp_path / "a.bin")),))
    _, server = await outcome_of(Answer(body=OK), item)
    (request,) = server.requests
    assert request.headers["content-length"] == str(len(request.body))
    assert "transfer-encoding" not in request.headers
    assert request.headers["content-type"] == "application/json"
    assert len(json.loads(request.body)["oscar-files"][0]["data"]) == (size + 2) // 3 * 4


async def test_a_file_that_cannot_be_sent_costs_no_call():
    item = Item("a", (InputFile("files", "/nowhere/a.jpg"),))
    outcome, server = await outcome_of(Answer(body=OK), item)
    assert isinstance(outcome, Failure)
    assert outcome.code == "file_missing"
    assert server.requests == []


async def test_a_netrc_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login nobody password nothing\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    _, server = await outcome_of(Answer(body=OK))
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    async with stub(Answer(body=OK)) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        endpoint = "http://inference.invalid/run/x"
        async with backend_at(0, endpoint=endpoint) as backend:
            assert isinstance(await backend.attempt(ITEM, 1), Reply)
        assert proxy.requests[0].target == endpoint


@pytest.mark.parametrize("host", ["127.0.0.1", "inference.invalid"])
async def test_no_proxy_is_used_for_this_machine_or_where_none_is_wanted(
    host: str, monkeypatch: pytest.MonkeyPatch
):
    async with stub(Answer(body=OK)) as proxy, stub(Answer(body=OK)) as server:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "inference.invalid")
        endpoint = f"http://{host}:{server.port}/run/x"
        async with backend_at(0, endpoint=endpoint) as backend:
            await backend.attempt(ITEM, 1)
        assert proxy.connections == 0


async def test_a_cookie_is_not_sent_back():
    answer = Answer(body=OK, headers={"Set-Cookie": "session=1"})
    async with stub(answer) as server, backend_at(server.port) as backend:
        await backend.attempt(ITEM, 1)
        await backend.attempt(ITEM, 1)
    assert "cookie" not in server.requests[1].headers
    assert server.connections == 1


# What comes back --------------------------------------------------------------------------------


async def test_a_200_is_what_its_body_says():
    outcome, _ = await outcome_of(Answer(body=OK, headers={"X-Duration-Seconds": "1.25"}))
    assert isinstance(outcome, Reply)
    assert outcome.prediction == {"label": "cat", "score": 0.5}
    assert outcome.server_seconds == 1.25
    assert "predict was called" in outcome.log


@pytest.mark.parametrize("header", ["", "soon", "-1", "nan", "inf"])
async def test_a_duration_that_is_none_is_left_out(header: str):
    outcome, _ = await outcome_of(Answer(body=OK, headers={"X-Duration-Seconds": header}))
    assert isinstance(outcome, Reply)
    assert outcome.server_seconds is None


async def test_a_200_may_be_a_failure():
    killed = (FIXTURES / "sync_2.5.2_fail_killed.body").read_bytes()
    failure = await failure_of(Answer(body=killed, headers={"X-Duration-Seconds": "2"}))
    assert failure.code == "model_killed"


async def test_a_large_or_compressed_body_is_read_too():
    body = b"a line of the log\n" * 20_000 + OK
    plain, _ = await outcome_of(Answer(body=body))
    packed = Answer(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    unpacked, _ = await outcome_of(packed)
    assert isinstance(plain, Reply)
    assert plain == unpacked


async def test_a_body_beyond_the_limit_is_not_read():
    bomb = Answer(200, gzip.compress(bytes(5_000_000)), {"Content-Encoding": "gzip"})
    failure = await failure_of(bomb, max_reply=1_000_000)
    assert (failure.code, failure.kind) == ("reply_too_large", PERMANENT)
    assert "1,000,000 bytes" in failure.message
    assert "--max-reply" in failure.message


async def test_of_a_refusal_no_more_than_its_beginning_is_read():
    bomb = Answer(500, gzip.compress(b"why: " * 1_000_000), {"Content-Encoding": "gzip"})
    failure = await failure_of(bomb, max_reply=1_000_000)
    assert (failure.code, failure.kind) == ("http_500", TRANSIENT)
    assert len(failure.log) == MAX_ERROR_BODY_BYTES


async def test_secrets_are_nowhere_in_what_comes_back(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    reply, _ = await outcome_of(Answer(body=f"--token {TOKEN}\n".encode() + OK))
    failure = await failure_of(Answer(403, f"no such token: {TOKEN}".encode()))
    assert isinstance(reply, Reply)
    assert "--token ***" in reply.log
    assert failure.message.endswith("no such token: ***")
    assert TOKEN not in failure.log + caplog.text


# Statuses: a case for every row of docs/platform.md, "Status codes" ------------------------------

NGINX = b"<html><head><title>Gateway</title></head><body><h1>Gateway</h1>nginx</body></html>"


@pytest.mark.parametrize(
    ("answer", "code", "kind", "says"),
    [
        (Answer(400, b"what?"), "http_400", PERMANENT, "what?"),
        (Answer(408, b"Killed process."), "timeout", TRANSIENT, "--mode async"),
        (Answer(413, b"<html>413</html>"), "payload_too_large", PERMANENT, "--mode async"),
        (Answer(429, b""), "http_429", TRANSIENT, "--concurrency"),
        (Answer(500, b"exit status 1\nTraceback\nBoom"), "bad_payload", PERMANENT, ": Boom"),
        (Answer(500, b""), "http_500", TRANSIENT, "(500)"),
        (Answer(502, b""), "cold_start", UNAVAILABLE, "waited for"),
        (Answer(502, b"EOF"), "container_died", TRANSIENT, "memory"),
        (Answer(503, b"pending request queue full"), "http_503", TRANSIENT, "queue is full"),
        (Answer(503, b"context deadline exceeded"), "cold_start", UNAVAILABLE, "starting"),
        (Answer(504, b"request timeout"), "timeout", TRANSIENT, "still be running"),
        (Answer(500, b"something in OSCAR"), "http_500", TRANSIENT, "something in OSCAR"),
        (Answer(502, NGINX), "container_died", TRANSIENT, "memory"),
        (Answer(503, b"upstream connect error"), "cold_start", UNAVAILABLE, "upstream connect"),
        (Answer(503, NGINX), "cold_start", UNAVAILABLE, "starting"),
        (Answer(504, b"activator request timeout"), "timeout", TRANSIENT, "still be running"),
        (Answer(504, NGINX), "timeout", TRANSIENT, "still be running"),
    ],
    ids=lambda value: f"{value.status}-{value.body[:12]!r}" if isinstance(value, Answer) else "",
)
async def test_a_status_becomes_a_failure(answer: Answer, code: str, kind: FailureKind, says: str):
    failure = await failure_of(answer)
    assert (failure.code, failure.kind) == (code, kind)
    assert says in failure.message


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (Answer(201, b""), "bad_endpoint", "Synchronous calls"),
        (Answer(400, b"invalid workload: x"), "invalid_workload", "CPU, memory or GPU"),
        (Answer(400, b"Error getting oidc manager for issuer x"), "unauthorized", "issuer"),
        (Answer(401, b""), "unauthorized", "compare endpoint and token"),
        (Answer(401, b"this user isn't enrrolled on the vo: x"), "not_in_vo", "join it"),
        (Answer(404, b""), "not_found", "does not exist"),
        (Answer(404, b"404 page not found"), "no_serverless", "--mode async"),
        (Answer(502, b"token is malformed"), "token_malformed", "64 characters"),
    ],
    ids=lambda value: f"{value.status}-{value.body[:12]!r}" if isinstance(value, Answer) else "",
)
async def test_a_status_that_no_item_can_pass_is_fatal(answer: Answer, code: str, says: str):
    with pytest.raises(FatalError) as caught:
        await outcome_of(answer)
    assert caught.value.code == code
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0), ("soon", None)]
)
async def test_retry_after_is_obeyed_in_both_forms(header: str, seconds: float | None):
    failure = await failure_of(Answer(429, b"", {"Retry-After": header}))
    assert failure.retry_after == seconds


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_token_does_not_follow_a_redirect(status: int):
    async with stub(Answer(body=OK)) as other:
        where = f"http://127.0.0.1:{other.port}/run/x?code={TOKEN}"
        with pytest.raises(FatalError, match=f"127.0.0.1:{other.port}/run/x;") as caught:
            await outcome_of(Answer(status, b"", {"Location": where}))
        assert caught.value.code == "redirected"
        assert TOKEN not in str(caught.value)
        assert other.connections == 0


@pytest.mark.parametrize("spelled", [str, lambda s: base64.b64encode(s.encode()).decode(),
                                     lambda s: quote(s, safe="")])  # fmt: skip
async def test_a_secret_in_the_path_of_a_redirect_is_masked(spelled: Callable[[str], str]):
    secret = "pa ss/word+0123456789"
    where = f"https://login.example/{spelled(secret)}/x"
    with pytest.raises(FatalError) as caught:
        await outcome_of(Answer(302, b"", {"Location": where}), redactor=Redactor([secret]))
    assert caught.value.code == "redirected"
    assert spelled(secret) not in str(caught.value)
    assert "login.example/" in str(caught.value)
    assert "***" in str(caught.value)


async def test_a_secret_that_is_a_word_does_not_rewrite_what_the_model_returned():
    body = OK.replace(b"cat", b"bear") + b"[*] Final command: deepaas-cli predict --key bear\n"
    outcome, _ = await outcome_of(Answer(body=body), redactor=Redactor(["bear", TOKEN]))
    assert isinstance(outcome, Reply)
    assert outcome.prediction == {"label": "bear", "score": 0.5}
    assert "bear" not in outcome.log


async def test_a_strong_secret_is_masked_in_predictions_and_that_is_told():
    body = OK.replace(b"cat", TOKEN.encode())
    outcome, _ = await outcome_of(Answer(body=body))
    assert isinstance(outcome, Reply)
    assert outcome.prediction == {"label": "***", "score": 0.5}
    assert TOKEN not in outcome.log
    assert "stood in the prediction" in outcome.log


# Connections ------------------------------------------------------------------------------------


async def test_a_refused_connection(free_tcp_port: int):
    async with backend_at(free_tcp_port) as backend:
        failure = await backend.attempt(ITEM, 1)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.kind) == ("unreachable", UNAVAILABLE)
    assert f"no connection to 127.0.0.1:{free_tcp_port} (" in failure.message
    assert "check the endpoint" in failure.message


async def test_a_name_that_does_not_exist():
    async with backend_at(0, endpoint="http://nowhere.invalid/run/x") as backend:
        failure = await backend.attempt(ITEM, 1)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.kind) == ("unreachable", UNAVAILABLE)
    assert "nowhere.invalid cannot be resolved" in failure.message


async def test_no_answer_in_time():
    failure = await failure_of(Answer(never=True), timeout=0.2)
    assert (failure.code, failure.kind) == ("timeout", TRANSIENT)
    assert "no answer within 0.2 s" in failure.message
    assert "may still be running on the service" in failure.message


async def test_no_connection_in_time():
    """Somebody listens, and says nothing to the TLS that it is offered."""
    async with (
        stub(Answer(never=True)) as server,
        backend_at(server.port, "https", connect_timeout=0.2) as backend,
    ):
        failure = await backend.attempt(ITEM, 1)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.kind) == ("unreachable", UNAVAILABLE)
    assert "within 0.2 s" in failure.message


@pytest.mark.parametrize(
    "answer",
    [
        Answer(cut=0),
        Answer(body=OK, cut=10),
        Answer(body=OK, cut=100),
        Answer(body=OK, cut=200),
    ],
    ids=["nothing", "half a head", "a head", "half a body"],
)
async def test_an_answer_that_breaks_off(answer: Answer):
    failure = await failure_of(answer)
    assert (failure.code, failure.kind) == ("connection_lost", TRANSIENT)
    assert "may still be running on the service" in failure.message


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(body=b"no gzip", headers={"Content-Encoding": "gzip"}), "Content-Encoding"),
        (Answer(body=b"unknown", headers={"Content-Encoding": "br"}), "Content-Encoding"),
        (Answer(body=OK, headers={"X-Cookie": "y" * 90_000}), "a header"),
        (Answer(body=OK, headers={"Content-Length": "nonsense"}), "is no HTTP"),
        (Answer(body=OK, headers={"Transfer-Encoding": "chunked"}), "is no HTTP"),
    ],
    ids=["no gzip", "unknown", "long header", "no length", "two lengths"],
)
async def test_an_answer_that_cannot_be_read_is_called_that(answer: Answer, says: str):
    failure = await failure_of(answer)
    assert (failure.code, failure.kind) == ("bad_response", TRANSIENT)
    assert says in failure.message


async def test_a_header_of_20_kb_is_no_trouble():
    outcome, _ = await outcome_of(Answer(body=OK, headers={"X-Cookie": "y" * 20_000}))
    assert isinstance(outcome, Reply)


async def test_an_answer_before_everything_was_sent_is_heard(tmp_path: Path):
    """A gateway refuses a large body by its head, answers, and closes."""
    (tmp_path / "a.bin").write_bytes(bytes(20_000_000))

    async def refuse(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await stream.send_eof()
        async for _ in stream:
            pass

    async with talking(refuse) as port, backend_at(port) as backend:
        file = InputFile("files", str(tmp_path / "a.bin"))
        failure = await backend.attempt(Item("a", (file,)), 1)
    assert isinstance(failure, Failure)
    assert failure.code == "payload_too_large"


async def test_a_cancelled_call_closes_its_connection():
    calling = anyio.CancelScope()

    def answer(_: Request) -> Answer:
        calling.cancel()
        return Answer(never=True)

    async with stub(answer) as server, backend_at(server.port) as backend:
        with calling:
            await backend.attempt(ITEM, 1)
        assert calling.cancelled_caught
        with anyio.fail_after(10):
            await server.gone.wait()


async def test_many_calls_at_once_are_all_under_way():
    """No limit but the caller's: nobody answers before all have asked."""
    everybody = anyio.Event()
    got: list[Outcome] = []

    async def late(stream: anyio.abc.SocketStream) -> None:
        nonlocal waiting
        await stream.receive()
        waiting += 1
        if waiting == 150:
            everybody.set()
        await everybody.wait()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(OK), OK))

    async def call(backend: HttpBackend) -> None:
        got.append(await backend.attempt(ITEM, 1))

    waiting = 0
    async with (
        talking(late) as port,
        backend_at(port) as backend,
        anyio.create_task_group() as calls,
    ):
        for _ in range(150):
            calls.start_soon(call, backend)
    assert [type(outcome) for outcome in got] == [Reply] * 150


# The endpoint, and whom to trust ----------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "inference.example.eu/run/x",
        "ftp://inference.example.eu/run/x",
        "https:///run/x",
        "https://host:port/run/x",
        "https://user:pass@inference.example.eu/run/x",
    ],
)
async def test_an_endpoint_that_cannot_be_called_is_fatal(endpoint: str):
    with pytest.raises(FatalError, match=r"https://\.\.\./run/<service>") as caught:
        async with backend_at(0, endpoint=endpoint):
            pass
    assert caught.value.code == "bad_endpoint"
    assert "pass" not in str(caught.value).replace("passed", "")


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def served_as(ca: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host).configure_cert(context)
    return context


async def over_tls(tls: ssl.SSLContext | None, **changed: Any) -> Outcome:
    async with (
        stub(Answer(body=OK), tls) as server,
        backend_at(server.port, "https", **changed) as backend,
    ):
        return await backend.attempt(ITEM, 1)


async def test_a_certificate_of_a_known_ca_is_trusted(ca: trustme.CA, ca_file: str):
    assert isinstance(await over_tls(served_as(ca, "127.0.0.1"), ca_file=ca_file), Reply)


async def test_anybody_is_trusted_where_nothing_is_verified(ca: trustme.CA):
    assert isinstance(await over_tls(served_as(ca, "example.eu"), verify=False), Reply)


async def test_an_unknown_ca_is_fatal(ca: trustme.CA):
    with pytest.raises(FatalError, match="certificate is not trusted") as caught:
        await over_tls(served_as(ca, "127.0.0.1"))
    assert caught.value.code == "tls"
    assert "ca_file" in str(caught.value)
    assert "verify = false" in str(caught.value)


async def test_a_certificate_for_another_host_is_fatal(ca: trustme.CA, ca_file: str):
    with pytest.raises(FatalError, match="certificate is not valid for") as caught:
        await over_tls(served_as(ca, "example.eu"), ca_file=ca_file)
    assert caught.value.code == "tls"


async def test_https_where_there_is_none_is_fatal():
    async def chatter(stream: anyio.abc.SocketStream) -> None:
        await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await stream.receive()

    async with talking(chatter) as port, backend_at(port, "https") as backend:
        with pytest.raises(FatalError, match="is it https at all") as caught:
            await backend.attempt(ITEM, 1)
    assert caught.value.code == "tls"


async def test_tls_that_is_cut_off_is_waited_for():
    """As when the ingress restarts: nothing a person must settle."""

    async def hang_up(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()

    async with talking(hang_up) as port, backend_at(port, "https") as backend:
        failure = await backend.attempt(ITEM, 1)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.kind) == ("unreachable", UNAVAILABLE)


async def test_a_ca_file_that_cannot_be_used_is_a_mistake_in_the_config(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"ca_file .* cannot be used: No such file"):
        async with backend_at(1, "https", ca_file=str(tmp_path / "none.pem")):
            pass
