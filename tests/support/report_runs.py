"""Runs to make reports of."""

from pathlib import Path

from PIL import Image

from batchinfer.api.result_export import build_export_source
from batchinfer.domain import InputFile, Item, Mode, RunInfo
from batchinfer.report import write_report
from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore

T0 = 1_795_400_000.0
INFO = RunInfo(
    "abc",
    T0,
    Mode.SYNC,
    {
        "service": {
            "endpoint": "https://user:swordfish@example.org/run/birds",
            "token": "${TOKEN}",
        },
        "run": {"mode": "sync"},
        "params": {"conf": 0.4},
    },
    ("/data",),
)


def photograph(path: Path, size=(320, 240), colour=(40, 90, 60), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **more)
    return str(path)


def item(key, path):
    return Item(key, (InputFile("files", str(path)),))


def detection(label, score, place=(10, 20, 110, 120)):
    left, top, right, bottom = place
    box = {"x1": left, "y1": top, "x2": right, "y2": bottom}
    return {"name": label, "confidence": score, "box": box}


async def made(run, items, records, *, complete=True, info=INFO):
    async with SqliteStore.create(run, info) as store:
        await store.add(items)
        await store.commit_records(records)
        if complete:
            await store.mark_source_complete()
    return run


def report(run, target, **more):
    with RunReader(run) as reader:
        return write_report(build_export_source(run), reader, target, **more)
