"""A backend and an engine as a process on another machine opens them: from settings and a store."""

import contextlib

from batchinfer.api.composition import build_engine
from batchinfer.api.deliveries import open_backend
from batchinfer.config import load_config, resolve_run_settings
from batchinfer.domain import Item
from batchinfer.testing import MemoryStore
from support.http_calls import OK, TOKEN
from support.servers import Answer, stub
from support.world import Notebook, reader


async def test_settings_and_a_store_are_enough(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(stub(Answer(body=OK)))
        flags = {
            "service.endpoint": f"http://127.0.0.1:{service.port}/run/x",
            "service.token": TOKEN,
            "run.concurrency": 2,
        }
        settings = resolve_run_settings(load_config(None, {}, flags), {})
        store, notebook = MemoryStore(), Notebook()
        backend, watcher = await stack.enter_async_context(open_backend(settings, "r1", tmp_path))
        items = [Item(f"item {number}", (), {"text": str(number)}) for number in range(5)]
        engine = build_engine(
            settings, store, notebook, backend=backend, watcher=watcher, read_page=reader(items)
        )
        progress = await engine.run()

    assert progress.failed_by_code == {}
    assert (progress.counts.succeeded, progress.counts.total) == (5, 5)
    assert len(service.requests) == 5
    assert list(tmp_path.iterdir()) == []
