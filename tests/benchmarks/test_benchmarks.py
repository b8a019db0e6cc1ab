import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from xml.etree import ElementTree as ET

import pytest

from batchinfer.domain import Reply
from batchinfer.protocols.ai4os.reply_parser import parse_body
from benchmarks import measuring, stub
from benchmarks.__main__ import JOBS
from benchmarks.comparisons import Comparison, Contender, Job, Setup, fill, run_job
from benchmarks.measuring import ContenderFailed, Runner, Sample
from benchmarks.scale import exponent
from benchmarks.services import stub as running_stub
from benchmarks.table import Goal, Measure
from support.paths import ROOT

RUNNER = Runner(sys.executable, None)
OPTIONAL = {
    "aibrix",
    "aiometer",
    "duckdb",
    "duckdb-extension-sqlite-scanner",
    "httpx",
    "obstore",
    "requests",
    "s5cmd",
}
"""Packages of peers that this environment need not have."""


def bench(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("topic", ["sync", "memory", "payload", "upload", "async", "listing"])
def test_every_row_is_measured(topic):
    check_rows(topic)


@pytest.mark.slow
@pytest.mark.parametrize("topic", ["first call", "manifest", "recorded", "status", "export"])
def test_every_row_of_sources_and_the_store_is_measured(topic):
    check_rows(topic)


@pytest.mark.slow
@pytest.mark.parametrize("topic", ["resume", "start"])
def test_every_row_of_resuming_and_starting_is_measured(topic):
    check_rows(topic)


def check_rows(topic):
    shrunk = ("--shrink", "1000000", "--rounds", "1")
    rows = json.loads(bench("benchmarks", *shrunk, "--only", topic, "--json").stdout)["rows"]
    assert [row["title"] for row in rows] == [job.title for job in JOBS if topic in job.title]
    for row in rows:
        assert not [note for note in row["notes"] if "FAILED" in note]
        skipped = {note.partition(" is not installed")[0] for note in row["notes"]}
        missing = {name for note in skipped for name in note.rpartition("skipped, ")[2].split()}
        assert missing - {"and"} <= OPTIONAL or row["title"].startswith("memory")
        for taken in row["contenders"].values():
            assert taken["cpu"] >= 0
            assert all(sample["seconds"] > 0 for sample in taken["samples"])
        for goal in row["goals"]:
            assert (goal["measured"] is None) == (goal["verdict"] == "not measured")


def test_every_row_of_the_table_is_tested():
    topics = {"sync", "memory", "payload", "upload", "async", "listing", "first call", "manifest"}
    topics |= {"recorded", "status", "export", "resume", "start"}
    assert not [job.title for job in JOBS if not any(topic in job.title for topic in topics)]


@pytest.mark.slow
def test_growth_is_measured_and_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="plots need the group `bench`")
    flags = ("--shrink", "100000", "--plots", str(tmp_path), "--json", str(tmp_path / "cases"))
    lines = bench("benchmarks.scale", *flags).stdout.splitlines()
    assert sum(line.startswith("| sync |") for line in lines) == 3
    cases = json.loads((tmp_path / "cases").read_text())
    kinds = ["sync", "async", "ingest", "status", "jsonl export", "csv export", "resume"]
    assert [case["what"] for case in cases[::3]] == kinds
    assert {file.name for file in tmp_path.glob("*.svg")} == {"scale-sync.svg", "scale-async.svg"}


def test_growth_is_told_as_a_power():
    assert exponent((10, 3.0), (1000, 3.0)) == pytest.approx(0)
    assert exponent((10, 3.0), (1000, 300.0)) == pytest.approx(1)
    assert exponent((10, 1.0), (100, 100.0)) == pytest.approx(2)


# Taking samples ---------------------------------------------------------------------------------


def sample(seconds: float, items: int = 10) -> Sample:
    return Sample(items, seconds, seconds / 2, 50.0)


def run(contenders, goals, tmp_path, rounds=3):
    @contextmanager
    def prepare(_):
        yield Comparison(Measure.RATE, contenders, goals)

    setup = Setup(tmp_path, RUNNER, RUNNER, None, rounds)
    return run_job(Job("a row", prepare), setup)


def test_contenders_take_turns(tmp_path):
    taken = []

    def take(name):
        taken.append(name)
        return sample(1.0)

    contenders = [Contender(name, lambda name=name: take(name)) for name in "AB"]
    run(contenders, [], tmp_path)
    assert taken == list("ABABAB")


def test_a_contender_that_is_not_installed_is_said(tmp_path):
    contenders = [
        Contender("ours", lambda: sample(1.0)),
        Contender("theirs", lambda: sample(1.0), ("no-such-package",)),
    ]
    section, taken = run(contenders, [Goal(Measure.RATE, 1.0, ("theirs",))], tmp_path)
    assert list(taken) == ["ours"]
    assert list(section.notes) == ["theirs: skipped, no-such-package is not installed"]
    assert section.verdicts[0].word == "not measured"


@pytest.mark.parametrize("failing", ["ours", "theirs"])
def test_a_contender_that_fails_is_said_and_compared_with_nothing(tmp_path, failing):
    def take(name):
        if name == failing:
            raise ContenderFailed("7 of 10 items came out well")
        return sample(1.0)

    contenders = [Contender(name, lambda name=name: take(name)) for name in ("ours", "theirs")]
    section, taken = run(contenders, [Goal(Measure.RATE, 1.0, ("theirs",))], tmp_path)
    assert failing not in taken
    assert list(section.notes) == [f"{failing}: FAILED, 7 of 10 items came out well"]
    assert not section.verdicts[0].reached


def test_work_is_measured_in_a_process_of_its_own():
    taken = RUNNER.take_command([sys.executable, "-c", "b'x' * 60_000_000"], 5)
    assert taken.items == 5
    assert taken.peak_mb > 60
    assert taken.cpu_seconds > 0


def test_work_that_fails_or_comes_short_is_no_sample():
    with pytest.raises(ContenderFailed, match="0 of 1 items came out well"):
        RUNNER.take_command(["false"])
    with pytest.raises(ContenderFailed, match="no attribute 'nothing'"):
        RUNNER.take("benchmarks.measuring:nothing", 1)


def test_proxies_and_settings_are_kept_from_contenders(monkeypatch):
    for name in ("HTTPS_PROXY", "no_proxy", "BATCHINFER_SERVICE_TOKEN", "AWS_PROFILE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HOME_OF_BENCHMARKS", "here")
    plain = measuring.plain_environment()
    assert plain["HOME_OF_BENCHMARKS"] == "here"
    assert not {"HTTPS_PROXY", "no_proxy", "BATCHINFER_SERVICE_TOKEN", "AWS_PROFILE"} & set(plain)


def test_files_are_made_once_and_mostly_links(tmp_path):
    setup = Setup(tmp_path, RUNNER, RUNNER, None, divisor=2)
    count = setup.count(1_400)
    folder = setup.folder(count, 10)
    assert setup.folder(count, 10) == folder
    files = sorted(folder.iterdir())
    assert len(files) == 700
    assert files[0].samefile(files[500])
    assert len({file.stat().st_ino for file in files}) == 500
    fill(tmp_path / "few", 3, 10)
    assert len(list((tmp_path / "few").iterdir())) == 3


# The stub ---------------------------------------------------------------------------------------


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

    tally = stub.Tally()
    connection = stub.Stub(stub.ANSWERS["platform"](0), 0.0, tally)
    connection.connection_made(Transport())
    for start in range(0, len(requests), size):
        connection.data_received(requests[start : start + size])
    assert written == [stub.ANSWER] * 3
    assert tally.requests == 3


def test_the_json_of_the_stub_is_as_long_as_its_transcript():
    body = stub.make_json_answer().partition(b"\r\n\r\n")[2]
    assert len(body) == len(stub.BODY)
    assert json.loads(body)["usage"]


def test_the_listing_of_the_stub_has_every_key_once_and_in_order():
    answer, token, keys = stub.make_listing(2_500), "", []
    while token is not None:
        query = f"?list-type=2{f'&continuation-token={token}' if token else ''}"
        head = f"GET /bench{query} HTTP/1.1\r\n\r\n".encode()
        page = ET.fromstring(answer(head).partition(b"\r\n\r\n")[2])
        space = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}
        keys += [each.text for each in page.findall("s3:Contents/s3:Key", space)]
        token = page.findtext("s3:NextContinuationToken", None, space)
        assert page.findtext("s3:IsTruncated", "", space) == ("false" if token is None else "true")
    assert len(keys) == 2_500
    assert keys == sorted(set(keys))


def test_the_stub_tells_what_came_in():
    with running_stub(None) as service:
        assert service.tell().first is None
        # Its own client: a request by hand.
        host, port = service.url.split("/")[2].split(":")
        asyncio.run(post(host, int(port)))
        told = service.tell()
        assert told.requests == 1
        assert told.first is not None
        assert service.tell().requests == 0


async def post(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    await reader.readexactly(len(stub.ANSWER))
    writer.close()
    await writer.wait_closed()
