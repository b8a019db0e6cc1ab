import asyncio
import json
import subprocess
import sys

import pytest

from batchinfer.domain import Reply
from batchinfer.protocols.ai4os.reply_parser import parse_body
from benchmarks import stub
from support.paths import ROOT

CLIENTS = ["tutorial", "threads", "aiohttp", "batchinfer"]


def bench(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def done():
    pytest.importorskip("requests", reason="the peers are in the group `bench`")
    return bench("--shrink", "5000", "--repetitions", "1", "--only", "1 kB", "--json")


def test_every_client_sends_every_item(done):
    samples = json.loads(done.stdout)["samples"]
    assert list(samples["bodies of 1 kB"]) == CLIENTS
    assert list(samples["a long run, bodies of 1 kB"]) == ["batchinfer"]
    for taken in samples.values():
        for client in taken.values():
            assert [one["items"] for one in client] == [20]
            assert all(one["cpu_seconds"] > 0 and one["peak_mb"] > 1 for one in client)


def test_goals_stand_beside_what_was_reached(done):
    goals = json.loads(done.stdout)["goals"]
    assert [goal["goal"] for goal in goals] == [0.5, 5.0, 150.0]
    assert goals[2]["reached"] == (goals[2]["measured"] < 150)
    for client in CLIENTS:
        assert f"\n  {client} " in done.stderr
    assert "ok" in done.stderr or "MISSED" in done.stderr


def test_the_stub_answers_as_the_platform_does():
    outcome = parse_body(stub.BODY)
    assert isinstance(outcome, Reply)
    assert [[box["name"] for box in image] for image in outcome.prediction] == [["bear", "dog"]]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_stub_answers_each_request_once_however_it_arrives(size):
    head = b"POST /run/x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    requests = b"".join(head % length + b"x" * length for length in (5, 0, 40))
    written: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data):
            written.append(data)

    connection = stub.Stub(0.0)
    connection.connection_made(Transport())
    for start in range(0, len(requests), size):
        connection.data_received(requests[start : start + size])
    assert written == [stub.ANSWER] * 3
