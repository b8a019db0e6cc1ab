"""What was acknowledged survives a kill; of what was not, at most the pile under way is there."""

import subprocess
import sys

import pytest

from batchinfer.store.run_reader import RunReader
from batchinfer.store.sqlite import SqliteStore
from support.paths import TESTS
from support.records import INFO, item

pytestmark = pytest.mark.event_loops("asyncio", "trio")

PILE = 7
RECORD = f"""
import sys
from pathlib import Path

import anyio

from batchinfer.store.lock import RunLock
from batchinfer.store.sqlite import SqliteStore
from support.records import reply

async def main(directory):
    with RunLock(directory):
        async with SqliteStore.open(directory) as store:
            while page := await store.fetch_pending(0, {PILE}, 0.0):
                png = dict(prediction=None, data=b"png", media_type="image/png")
                more = [png, *[{{"prediction": item.key}} for item in page[1:]]]
                pile = [reply(item.position, **one) for item, one in zip(page, more)]
                assert all(await store.commit_records(pile))
                print(page[-1].position, flush=True)

anyio.run(main, Path(sys.argv[1]))
"""


@pytest.mark.slow
async def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path):
    directory = tmp_path / "run"
    async with SqliteStore.create(directory, INFO) as store:
        await store.add([item(str(number)) for number in range(1, PILE * 3_000 + 1)])
    recorded = 0
    for piles_before_kill in (1, 2, 5, 11, 17):
        acknowledged = _killed_after(directory, piles_before_kill)
        with RunReader(directory) as reader:
            found = [result.key for result in reader.iter_results("finished")]
            pngs = [one for one in reader.iter_results("finished") if one.media_type == "image/png"]
        assert len(found) in {acknowledged, acknowledged + PILE}
        assert len(found) >= recorded + PILE * piles_before_kill
        assert found == [str(number) for number in range(1, len(found) + 1)]
        assert all((directory / one.prediction).read_bytes() == b"png" for one in pngs)
        assert len(pngs) == len(found) // PILE
        recorded = len(found)


def _killed_after(directory, piles):
    """Let a process record, kill it after so many piles; the last position it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", RECORD, directory], stdout=subprocess.PIPE, text=True, cwd=TESTS
    ) as process:
        lines = [process.stdout.readline() for _ in range(piles)]
        process.kill()
        lines += process.stdout.readlines()
    return int(lines[-1])
