"""A source that is away or elsewhere, a machine that is short: all real, but for the model."""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest

import batchinfer as bi
from support.cli import command, png
from support.servers import Answer, Request, Stub, stub

OK = Answer(
    body=b"2026-11-23 07:35:30.498 6943 INFO deepaas.cmd.cli [-] return: {'label': 'cat'}\n"
)

Do: TypeAlias = Callable[..., Awaitable[subprocess.CompletedProcess[bytes]]]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Stub]:
    async with stub(OK) as server:
        (tmp_path / "batchinfer.toml").write_text(
            f'[service]\nendpoint = "http://127.0.0.1:{server.port}/run/x"\ntoken = "{"0" * 64}"\n'
        )
        photos(tmp_path / "disk", 6)
        yield server


@pytest.fixture
def do(tmp_path: Path, service: Stub) -> Do:
    async def run(*args: object, code: int = 0, before: str = "", **env: str):
        words = [*command(*args)]
        if before:
            words = ["bash", "-c", f'{before}; exec "$@"', "bash", *words]
        done = await anyio.run_process(
            words, cwd=tmp_path, check=False, env={"PATH": "/usr/bin:/bin", **env}
        )
        said = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == code, said
        assert "Traceback" not in said
        return done

    return run


def photos(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir()
    for number in range(first, first + count):
        (folder / f"p{number:04d}.png").write_bytes(png(number))
    return folder


def counts(run: Path) -> tuple[int, int, int]:
    now = bi.status(run).counts
    return now.succeeded, now.failed, now.pending


# The source is away -------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [["resume", "r"], ["run", "disk", "-o", "r", "--no-validate"]])
@pytest.mark.parametrize("what", ["gone", "empty", "another"])
async def test_a_source_that_is_away_fails_nobody(do: Do, tmp_path: Path, line, what: str):
    await do("run", "disk", "-o", "r", "--no-validate", "--limit", 2)
    (tmp_path / "disk").rename(tmp_path / "away")
    if what != "gone":
        (tmp_path / "disk").mkdir()
    if what == "another" and line[0] == "resume":
        (tmp_path / "disk" / "readme.txt").write_text("of another disk")

    events = (await do(*line, "--json", code=3)).stdout.decode().splitlines()
    assert json.loads(events[-2])["code"] == "source_unavailable"
    assert counts(tmp_path / "r") == (2, 0, 4)

    if what != "gone":
        for path in (tmp_path / "disk").iterdir():
            path.unlink()
        (tmp_path / "disk").rmdir()
    (tmp_path / "away").rename(tmp_path / "disk")
    await do(*line)
    assert counts(tmp_path / "r") == (6, 0, 0)


async def test_a_file_that_is_missing_in_a_source_that_is_there(do: Do, tmp_path: Path):
    await do("run", "disk", "-o", "r", "--no-validate", "--limit", 2)
    (tmp_path / "disk" / "p0003.png").unlink()
    await do("resume", "r", code=1)
    assert counts(tmp_path / "r") == (5, 1, 0)
    assert [group.code for group in bi.status(tmp_path / "r").failures] == ["file_missing"]


async def test_a_manifest_whose_disk_is_away(do: Do, tmp_path: Path):
    listed = "path\n" + "".join(f"disk/p{number:04d}.png\n" for number in range(6))
    (tmp_path / "list.csv").write_text(listed)
    await do("run", "list.csv", "-o", "r", "--no-validate", "--limit", 2)
    (tmp_path / "disk").rename(tmp_path / "away")
    await do("resume", "r", code=3)
    assert counts(tmp_path / "r") == (2, 0, 4)
    await do("resume", "r", "--source", "away")
    assert counts(tmp_path / "r") == (6, 0, 0)


# The source is elsewhere --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        ["run", "disk 1", "-o", "r", "--no-validate", "--moved"],
        ["resume", "r", "--source", "disk 1"],
    ],
)
async def test_a_source_that_moved_can_be_told(do: Do, tmp_path: Path, line):
    await do("run", "disk", "-o", "r", "--no-validate", "--limit", 2)
    (tmp_path / "disk").rename(tmp_path / "disk 1")

    said = (await do(*line)).stderr.decode()
    assert "6 files were found there" in said
    assert counts(tmp_path / "r") == (6, 0, 0)
    await do("export", "r", "-o", "r.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert [row["key"] for row in rows] == [f"p{number:04d}.png" for number in range(6)]
    assert {row["path"].rpartition("/")[0] for row in rows} == {str(tmp_path / "disk 1")}
    await do("run", "disk 1", "-o", "r", "--no-validate")


async def test_a_copy_with_other_times_is_the_same_source(do: Do, tmp_path: Path):
    await do("run", "disk", "-o", "r", "--no-validate", "--limit", 2)
    photos(tmp_path / "copy", 6)
    for path in (tmp_path / "disk").iterdir():
        path.unlink()
    await do("resume", "r", "--source", "copy")
    assert counts(tmp_path / "r") == (6, 0, 0)


async def test_a_pattern_moves_with_its_folder(do: Do, tmp_path: Path):
    await do("run", "disk/*.png", "-o", "r", "--no-validate", "--limit", 2)
    (tmp_path / "disk").rename(tmp_path / "new")
    await do("resume", "r", "--source", "new")
    assert counts(tmp_path / "r") == (6, 0, 0)
    await do("run", "new/*.png", "-o", "r", "--no-validate")


@pytest.mark.parametrize("what", ["another size", "others", "nothing"])
async def test_a_place_that_is_not_the_sources_is_refused(do: Do, tmp_path: Path, what: str):
    await do("run", "disk", "-o", "r", "--no-validate", "--limit", 2)
    match what:
        case "another size":
            (photos(tmp_path / "new", 6) / "p0004.png").write_bytes(png(4) + b"more")
        case "others":
            photos(tmp_path / "new", 6, first=5)
        case _:
            pass
    said = (await do("resume", "r", "--source", "new", code=2)).stderr.decode()
    assert "Nothing was changed" in said
    await do("resume", "r")
    assert counts(tmp_path / "r") == (6, 0, 0)


async def test_another_source_is_added_only_when_that_is_said(do: Do, tmp_path: Path):
    await do("run", "disk", "-o", "r", "--no-validate")
    photos(tmp_path / "more", 3, first=100)
    line = ["run", "more", "-o", "r", "--no-validate"]
    said = (await do(*line, code=3)).stderr.decode()
    assert "--moved" in said
    assert "--add" in said
    assert counts(tmp_path / "r") == (6, 0, 0)
    await do(*line, "--add")
    assert counts(tmp_path / "r") == (9, 0, 0)
    await do(*line)
    await do("run", "disk", "-o", "r", "--no-validate")


async def test_the_same_folder_in_another_spelling_is_the_same(do: Do, tmp_path: Path):
    await do("run", "disk", "-o", "r", "--no-validate", "--limit", 2)
    (tmp_path / "link").symlink_to("disk")
    for spelling in ("./disk/", "link/", str(tmp_path / "disk")):
        await do("run", spelling, "-o", "r", "--no-validate", "--limit", 1)
    assert bi.status(tmp_path / "r").counts.total == 6


# This machine -------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize(("files", "concurrency"), [(256, "auto"), (64, "auto"), (64, "100")])
async def test_few_open_files_fail_nobody(do: Do, tmp_path: Path, files: int, concurrency: str):
    photos(tmp_path / "many", 300)
    line = ["run", "many", "-o", "r", "--no-validate", "-n", concurrency]
    await do(*line, before=f"ulimit -n {files}")
    assert counts(tmp_path / "r") == (300, 0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
async def test_more_calls_than_files_may_be_open_are_told(do: Do, tmp_path: Path):
    line = ["run", "disk", "-o", "r", "--no-validate", "-n", 100]
    said = (await do(*line, before="ulimit -n 64")).stderr.decode()
    assert "64 files open: at most 16 calls" in said
    assert "ulimit -n" in said


HOG = """
import asyncio, os, resource, sys
import batchinfer as bi

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    hogged = []

    class Watcher:
        def notify(self, event):
            finished = getattr(event, "progress", None) and event.progress.counts.finished
            if finished and finished > 10 and not hogged:
                try:
                    while True:
                        hogged.append(os.dup(0))
                except OSError:
                    asyncio.get_running_loop().create_task(release())

    async def release():
        await asyncio.sleep(1)
        os.close(hogged.pop())
        os.close(hogged.pop())
        await asyncio.sleep(0.5)
        for handle in hogged:
            os.close(handle)

    summary = await bi.arun("many", "r", concurrency=8, validate=False, observer=Watcher(),
                            config="batchinfer.toml")
    print(len(hogged), summary.counts.succeeded, summary.counts.failed)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
async def test_running_out_of_files_on_the_way_is_waited_out(tmp_path: Path, service: Stub):
    photos(tmp_path / "many", 200)
    async with anyio.create_task_group() as tasks:
        done: list[subprocess.CompletedProcess[bytes]] = []

        async def run() -> None:
            done.append(
                await anyio.run_process([sys.executable, "-c", HOG], cwd=tmp_path, check=False)
            )
            tasks.cancel_scope.cancel()

        async def ask() -> None:
            """What it is asked meanwhile must not end it."""
            while True:
                await anyio.run_process(command("ctl", "r", "status"), cwd=tmp_path, check=False)

        tasks.start_soon(run)
        tasks.start_soon(ask)
    (result,) = done
    assert result.returncode == 0, result.stderr.decode()
    hogged, succeeded, failed = map(int, result.stdout.split())
    assert hogged > 100
    assert (succeeded, failed) == (200, 0)


# Everybody is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 407, 431])
async def test_who_refuses_everybody_fails_nobody(do: Do, tmp_path: Path, service, status: int):
    service.answer = lambda _: Answer(status)
    line = ["run", "disk", "-o", "r", "--no-validate", "--cold-start", "1s"]
    said = (await do(*line, code=3)).stderr.decode()
    assert f"({status})" in said
    assert counts(tmp_path / "r") == (0, 0, 6)
    service.answer = lambda _: OK
    await do("resume", "r")
    assert counts(tmp_path / "r") == (6, 0, 0)


async def test_who_refuses_one_fails_one(do: Do, tmp_path: Path, service: Stub):
    refused = (tmp_path / "disk" / "p0002.png").read_bytes()

    def answer(request: Request) -> Answer:
        files = json.loads(request.body)["oscar-files"]
        return Answer(451) if base64.b64decode(files[0]["data"]) == refused else OK

    service.answer = answer
    await do("run", "disk", "-o", "r", "--no-validate", code=1)
    assert counts(tmp_path / "r") == (5, 1, 0)


# What the environment says ------------------------------------------------------------------------


async def test_a_proxy_that_is_none_is_said_at_once(do: Do, tmp_path: Path, service: Stub):
    text = (tmp_path / "batchinfer.toml").read_text().replace("127.0.0.1", "127.0.0.2")
    (tmp_path / "batchinfer.toml").write_text(text)
    line = ["run", "disk", "-o", "r", "--no-validate"]
    said = await do(*line, code=2, HTTP_PROXY="http://me:s3cr3t@proxy.example:abc")
    assert "HTTP_PROXY is no address of a proxy" in said.stderr.decode()
    assert "s3cr3t" not in said.stderr.decode()
    assert not (tmp_path / "r").exists()
