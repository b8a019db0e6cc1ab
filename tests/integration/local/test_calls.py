"""Calls to the local service, through real sockets (docs/platform.md, "Status codes")."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import anyio
import pytest
from aiohttp import ClientSession

from batchinfer.local import canned_responses
from batchinfer.local.service_options import InjectedFault
from batchinfer.local.service_process import ServiceProcess
from support.local_service import call, payload, service, session, until


@pytest.fixture(scope="module")
def local() -> Iterator[ServiceProcess]:
    with service(model="local_model:predict", payload_limit=200_000) as started:
        yield started


async def post(
    local: ServiceProcess, *, path: str = "/run/local", authorization: str | None
) -> object:
    headers = {} if authorization is None else {"Authorization": authorization}
    url = local.connection.bucket.endpoint + path
    async with ClientSession() as client, client.post(url, headers=headers, data=b"{}") as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (None, (401, "")),
        ("Basic dTpw", (401, "")),
        ("Bearer ", (401, "")),
        ("Bearer " + "0" * 64, (401, "")),
        (
            "Bearer short",
            (502, "token is malformed: token contains an invalid number of segments\n"),
        ),
        ("Bearer a.b.c", (400, "Error getting oidc manager for issuer unknown\n")),
    ],
)
async def test_a_token_is_judged_as_oscar_does(local: ServiceProcess, authorization, expected):
    assert await post(local, authorization=authorization) == expected


async def test_an_unknown_service_is_a_401_too(local: ServiceProcess):
    right = f"Bearer {local.connection.token}"
    assert await post(local, path="/run/other", authorization=right) == (401, "")


async def test_health_is_open(local: ServiceProcess):
    url = local.connection.bucket.endpoint + "/health"
    async with ClientSession() as client, client.get(url) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{}", 200, "return: {'a': 1"),
        (base64.b64encode(b'{"mode": "yolo_current"}'), 200, "return: [[{'name': 'bear'"),
        (b"", 200, "json.decoder.JSONDecodeError"),
        (b"plain words", 200, "json.decoder.JSONDecodeError"),
        (base64.b64encode(b"\xff\xd8\xff\xe0"), 200, "UnicodeDecodeError"),
        (b"[1]", 500, "exit status 1\nTraceback"),
        (b"null", 500, "exit status 1\nTraceback"),
        (b'{"Records": []}', 500, "exit status 1\nTraceback"),
        (b'{"event": 1}', 500, "exit status 1\nTraceback"),
        (b'{"mode": "raise"}', 200, "CRITICAL deepaas-cli [-] Unhandled error: ValueError: boom"),
        (b'{"help": ""}', 200, "usage: deepaas-cli predict"),
        (b'{"model": "%s"}' % (b"x" * 200_000), 413, "<center>nginx</center>"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_body_is_answered_as_the_platform_does(local: ServiceProcess, body, status, said):
    got, text = await call(local.connection, body)
    assert got == status
    assert said in text


async def test_the_content_type_is_echoed_and_the_duration_told(local: ServiceProcess):
    async with (
        session(local.connection) as client,
        client.post(local.connection.endpoint, data=b"{}", headers={"Content-Type": "a/b"}) as got,
    ):
        assert got.headers["Content-Type"] == "a/b"
        assert float(got.headers["X-Duration-Seconds"]) > 0
        assert (await got.text()).startswith("[*] Using DEEPaaS version 2.5.2\n")


async def test_what_threads_print_goes_to_the_answer_it_belongs_to(local: ServiceProcess):
    texts: dict[int, str] = {}

    async def one(number: int) -> None:
        body = payload(mode="echo", rng=number)
        texts[number] = (await call(local.connection, body))[1]

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    for number, text in texts.items():
        assert f"'rng': {number}," in text
        assert text.count("a plain print from the model") == 1
        assert text.count("WARNING minimod.api [-] a log line from the model") == 1


@pytest.mark.parametrize("name", list(canned_responses.FAULT_RESPONSES))
async def test_every_status_of_the_table_can_be_had(name: str):
    expected = canned_responses.FAULT_RESPONSES[name]
    with service(fail_with=(InjectedFault(name, 1.0),), retry_after=7) as local:
        async with (
            session(local.connection) as client,
            client.post(local.connection.endpoint, data=b"{}") as answer,
        ):
            assert answer.status == expected.status
            assert await answer.text() == expected.body
            retry_after = "7" if expected.status in {429, 503} else None
            assert answer.headers.get("Retry-After") == retry_after


async def test_a_cold_service_answers_an_empty_502_until_it_is_warm():
    with service(cold_start=0.3) as local:
        assert await call(local.connection, b"{}") == (502, "")
        with anyio.fail_after(10):
            while (answer := await call(local.connection, b"{}"))[0] != 200:
                assert answer == (502, "")
                await anyio.sleep(0.01)


async def test_an_idle_service_goes_cold_again():
    with service(cold_start=0.05, scale_to_zero=0.05) as local:
        seen = []
        with anyio.fail_after(10):
            while seen != [502, 200, 502]:
                status, _ = await call(local.connection, b"{}")
                seen += [status] if seen[-1:] != [status] else []
                await anyio.sleep(0.02 if status == 502 else 0.1)


async def test_ten_calls_wait_for_a_container_and_the_next_is_turned_away():
    statuses: list[tuple[int, str]] = []
    with service(containers=1, latency=60.0) as local:

        async def one() -> None:
            statuses.append(await call(local.connection, b"{}"))
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(one)
    assert statuses[0] == (503, "pending request queue full\n")


async def test_an_abandoned_call_goes_on_and_holds_its_container(tmp_path):
    journal = tmp_path / "journal.jsonl"
    with service(
        containers=1, model="local_model:predict", request_timeout=0.2, journal=str(journal)
    ) as local:
        assert await call(local.connection, payload(mode="sleep", rng=2)) == (
            504,
            "request timeout",
        )
        assert await call(local.connection, b"{}") == (504, "request timeout")

        async def free_again() -> bool:
            return (await call(local.connection, b"{}"))[0] == 200

        await until(free_again)
        assert [entry["event"] for entry in local.read_journal()][:2] == ["started", "finished"]


async def test_a_slow_call_is_cut_with_504():
    with service(slow_rate=1.0, slow_seconds=30.0, request_timeout=0.1) as local:
        assert await call(local.connection, b"{}") == (504, "request timeout")


@pytest.mark.parametrize("threads", [True, False], ids=["threads", "processes"])
@pytest.mark.parametrize("deepaas", ["2.5.1", "2.5.2", "2.6.0"])
async def test_a_killed_model_leaves_no_result_and_no_error(threads: bool, deepaas: str):
    with service(kill_models=1.0, threads=threads, deepaas=deepaas) as local:
        status, text = await call(local.connection, payload(b"x"))
        assert status == 200
        assert "predict was called." in text
        assert "return" not in text
        assert "rror" not in text
        assert local.read_stats() == {"sync_started": 1, "sync_killed": 1}


async def test_a_journal_counts_the_predictions_that_ran(tmp_path):
    journal = tmp_path / "journal.jsonl"
    with service(journal=str(journal), threads=False) as local:
        await call(local.connection, payload(b"one"))
        await call(local.connection, b"not json")
        assert local.read_stats() == {"sync_started": 1, "sync_finished": 1}
        assert [
            (entry["event"], entry["mode"], entry["sha256"][:6]) for entry in local.read_journal()
        ] == [("started", "sync", "7692c3"), ("finished", "sync", "7692c3")]
