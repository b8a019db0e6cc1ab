"""A store that is none: the run ends soon, says why, and everything stays to be resumed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread
import pytest

import batchinfer as bi
from batchinfer.domain import Counts
from support.cli import batchinfer, images
from support.servers import ACCESS_KEY, SECRET_KEY, Answer, Request, stub, talking

HTML = b"<html><body>Please sign in</body></html>"
ENTRY = "<Contents><Key>inputs/x</Key><Size>1</Size></Contents>"
TRUNCATED = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"


def config(folder: Path, port: int) -> Path:
    path = folder / "c.toml"
    path.write_text(
        f'[run]\nmode = "async"\ncold_start = "2s"\ngive_up_after = "2s"\n'
        f'[bucket]\nendpoint = "http://127.0.0.1:{port}"\nname = "ai4papi-1"\n'
        f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n'
    )
    return path


async def ended(tmp_path: Path, port: int) -> str:
    """What a run says that the store at `port` brings to its end."""
    photos = images(tmp_path / "photos", 3)
    asked = ("run", photos, "-c", config(tmp_path, port), "-o", tmp_path / "run")
    done = await anyio.to_thread.run_sync(partial(batchinfer, *asked, code=3))
    counts = bi.status(tmp_path / "run").counts
    assert counts in {Counts(), Counts(pending=3)}
    assert "Traceback" not in done.stderr
    assert SECRET_KEY not in done.stderr
    return done.stderr


def listing(inside: str) -> Answer:
    return Answer(body=f"<ListBucketResult>{inside}</ListBucketResult>".encode())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(body=HTML, headers={"Content-Type": "text/html"}), "web page"),
        (Answer(body=HTML), "no ListBucketResult"),
        (listing("<Contents><Size>1</Size></Contents>"), "without Key"),
        (listing("<Contents><Key>inputs/x</Key></Contents>"), "without Size"),
        (listing(ENTRY + TRUNCATED), "does not advance"),
        (Answer(body=b"<ListBucketResult><Cont"), "has not answered"),
    ],
    ids=["page", "page as XML", "no key", "no size", "in circles", "truncated"],
)
async def test_a_store_that_answers_something_else(tmp_path: Path, answer: Answer, says: str):
    async with stub(lambda _: answer) as store:
        assert says in await ended(tmp_path, store.port)


async def test_a_store_that_accepts_and_is_deaf(tmp_path: Path):
    async def deaf(_: anyio.abc.SocketStream) -> None:
        await anyio.sleep_forever()

    async with talking(deaf) as port:
        assert "has not answered" in await ended(tmp_path, port)


async def test_one_that_turns_deaf_when_it_is_to_store(tmp_path: Path):
    def answer(request: Request) -> Answer:
        return Answer(never=True) if request.method in {"PUT", "HEAD"} else listing("")

    async with stub(answer) as store:
        assert "has not answered" in await ended(tmp_path, store.port)
