"""Services that are asked where their model is and what it takes, over both carriers."""

import json
import sys

import anyio
import pytest

from batchinfer.backends.http_backend import open_http_backend
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import FailureKind, InputFile, Item, ServiceSignal
from batchinfer.errors import FatalError
from support import plugins
from support.servers import Answer, stub

sys.path.append(str(plugins.PLUGINS))
from toy_protocol import AskedProtocol, ToyProtocol

SECRET = "s3cr3t key/0123456789"
CARRIERS = pytest.mark.parametrize("use_aiohttp", [False, True], ids=["own", "aiohttp"])


def backend_at(port, protocol, use_aiohttp=False, path="", params=None, **more):
    return open_http_backend(
        protocol=protocol,
        endpoint=f"http://127.0.0.1:{port}{path}",
        token="",
        params=params or {},
        timeout=more.pop("timeout", 30.0),
        redactor=Redactor([SECRET]),
        use_aiohttp=use_aiohttp,
        **more,
    )


@pytest.fixture
def item(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG pixels")
    return Item("a", (InputFile("image", str(tmp_path / "a.png")),))


class Service:
    """Answers as such a service; `failures`: what the first calls for its model are answered."""

    def __init__(self, *failures):
        self.failures = list(failures)

    def __call__(self, request):
        if request.target.endswith("/model"):
            return self.failures.pop(0) if self.failures else Answer(200, b'{"id": "bear"}')
        if request.target.endswith("/help"):
            return Answer(200, json.dumps({"params": ["zoom"], "said": SECRET}).encode())
        return Answer(200, b'{"label": "cat"}')


@CARRIERS
async def test_the_model_is_asked_for_once_and_parameters_are_in_the_query(item, use_aiohttp):
    params = {"zoom": [1, "a b&c"], "key": SECRET}
    async with (
        stub(Service()) as server,
        backend_at(server.port, AskedProtocol(), use_aiohttp, "/api", params) as backend,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(5):
            tasks.start_soon(backend.attempt, item, 1)

    asked, *calls = server.requests
    assert (asked.method, asked.target, asked.body) == ("GET", "/api/model", b"")
    assert "content-type" not in asked.headers
    assert "authorization" not in asked.headers
    assert [(call.method, call.body) for call in calls] == [("POST", b"\x89PNG pixels")] * 5
    query = "zoom=%5B1%2C+%27a+b%26c%27%5D&key=s3cr3t+key%2F0123456789"
    assert {call.target for call in calls} == {f"/api/bear/predict?{query}"}
    assert {call.headers["content-type"] for call in calls} == {"application/octet-stream"}


@CARRIERS
async def test_an_address_that_names_the_model_is_not_asked_and_the_help_is_a_get(
    item, use_aiohttp
):
    async with (
        stub(Service()) as server,
        backend_at(server.port, AskedProtocol(), use_aiohttp, "/x/predict") as backend,
    ):
        text = await backend.fetch_help()
        outcome = await backend.attempt(item, 1)

    assert outcome.prediction == {"label": "cat"}
    assert [(call.method, call.target) for call in server.requests] == [
        ("GET", "/x/help"),
        ("POST", "/x/predict"),
    ]
    assert json.loads(text) == {"params": ["zoom"], "said": "***"}


@CARRIERS
async def test_a_service_that_does_not_say_yet_where_its_model_is_is_waited_for(item, use_aiohttp):
    service = Service(Answer(500, b"no"), Answer(200, b"no json"))
    async with (
        stub(service) as server,
        backend_at(server.port, AskedProtocol(), use_aiohttp) as backend,
    ):
        outcomes = [await backend.attempt(item, number) for number in range(1, 4)]

    *failures, reply = outcomes
    assert [failure.code for failure in failures] == ["http_500", "protocol_error"]
    assert {failure.kind for failure in failures} == {FailureKind.UNAVAILABLE}
    assert reply.prediction == {"label": "cat"}


async def test_a_place_where_no_service_is_ends_the_run(item):
    async with (
        stub(Service(Answer(404))) as server,
        backend_at(server.port, AskedProtocol()) as backend,
    ):
        with pytest.raises(FatalError, match="no service of this kind"):
            await backend.attempt(item, 1)


async def test_a_mistake_that_cannot_pass_ends_the_run(item):
    class Broken(AskedProtocol):
        def get_call_path(self, endpoint_path):
            raise ZeroDivisionError(SECRET)

    async with stub(Service()) as server, backend_at(server.port, Broken()) as backend:
        with pytest.raises(FatalError, match="tell whoever maintains it") as raised:
            await backend.attempt(item, 1)

    assert raised.value.code == "protocol_error"
    assert SECRET not in str(raised.value)


@CARRIERS
@pytest.mark.parametrize(
    ("protocol", "hint"), [(AskedProtocol(), "raise --timeout. Restart"), (ToyProtocol(), "")]
)
async def test_a_call_without_answer_says_what_helps_with_such_a_service(
    item, use_aiohttp, protocol, hint
):
    async with (
        stub(Answer(never=True)) as server,
        backend_at(server.port, protocol, use_aiohttp, "/x/predict", {}, timeout=0.2) as backend,
    ):
        outcome = await backend.attempt(item, 1)

    assert (outcome.code, outcome.signal) == ("timeout", ServiceSignal.TIMEOUT)
    assert hint in outcome.message
    assert "async" not in outcome.message
