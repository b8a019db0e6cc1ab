"""Large bodies, which have the memory of others that were sent before."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import anyio
import pytest

from batchinfer.domain import InputFile, Item, Reply
from support.http_calls import OK, backend_at
from support.servers import Answer, stub


@pytest.mark.usefixtures("carrier")
@pytest.mark.event_loops("asyncio", ("asyncio", {"use_uvloop": True}))
async def test_each_call_sends_its_own_files(tmp_path: Path):
    """Also while those of calls before it are still on their way, or were cut off."""
    contents = [os.urandom(2_500_000 + 1_000 * (number % 3)) for number in range(12)]
    items = iter(enumerate(contents))

    async with stub(Answer(body=OK)) as server, backend_at(server.port) as backend:

        async def send_some() -> None:
            for number, data in items:
                path = tmp_path / f"{number}.png"
                path.write_bytes(data)
                item = Item(str(number), (InputFile("files", str(path)),))
                with anyio.move_on_after(0.03 if number % 4 == 3 else 60) as scope:
                    assert isinstance(await backend.attempt(item, 1), Reply)
                if scope.cancelled_caught:
                    assert isinstance(await backend.attempt(item, 2), Reply)

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(send_some)
    sent = [json.loads(request.body)["oscar-files"] for request in server.requests]
    assert {base64.b64decode(file["data"]) for (file,) in sent} == set(contents)
