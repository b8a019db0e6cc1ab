"""A merge that is killed leaves no half run: the same command makes it whole."""

import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

import batchinfer as bi
from batchinfer.store.merge_target import MERGE_FOLDER
from batchinfer.store.verification import verify_run
from support.records import reply
from support.shard_runs import KEYS, make_run, make_shards

MANY = [f"{folder:02}/{number:03}.jpg" for folder in range(20) for number in range(250)]


def many(position, key):
    data = {"data": key.encode(), "media_type": "image/png"} if position % 50 == 1 else {}
    return [reply(position, log="a line of the log\n" * 20, **data)]


def results(run):
    return [(each.key, each.state, each.attempts) for each in bi.results(run)]


def start_merge(runs, target, *options):
    command = [sys.executable, "-m", "batchinfer", "merge", *runs, "-o", target, *options]
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)


def merge_in_process(runs, target):
    """Merge to the end."""
    process = start_merge(runs, target)
    _, said = process.communicate()
    assert process.returncode == 0, said


def signal_when(process, number, reached):
    """Send a signal as soon as the process has come so far; what it says, once it has ended."""
    while process.poll() is None and not reached():
        time.sleep(0.001)
    process.send_signal(number)
    _, said = process.communicate()
    return said


def kill_when(process, reached):
    """Kill the process as soon as it has come so far; whether it was still at work."""
    signal_when(process, signal.SIGKILL, reached)
    return process.returncode == -signal.SIGKILL


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.slow
async def test_a_new_run_appears_whole_or_not_at_all(tmp_path):
    shards = await make_shards(tmp_path, keys=MANY, records=many)
    whole = sum(size_of(shard / "run.db") for shard in shards)
    merged = tmp_path / "merged"
    draws = random.Random(4)
    killed = 0
    for _ in range(6):
        threshold = draws.uniform(0.0, 0.9) * whole
        killed += kill_when(
            start_merge(shards, merged),
            lambda least=threshold: size_of(merged / MERGE_FOLDER / "run.db") > least,
        )
        if (merged / "run.db").exists():
            assert len(results(merged)) == len(MANY)
            shutil.rmtree(merged)
            continue
        with pytest.raises(bi.StoreError):
            bi.status(merged)
    assert killed
    merge_in_process(shards, merged)
    assert [key for key, *_ in results(merged)] == MANY
    assert verify_run(merged) == ()
    assert not (merged / MERGE_FOLDER).exists()


@pytest.mark.slow
async def test_a_run_that_is_there_changes_at_once_or_not_at_all(tmp_path):
    first = await make_run(tmp_path / "first", MANY[:500], records=many)
    rest = await make_run(tmp_path / "rest", MANY[500:], records=many)
    merged = tmp_path / "merged"
    bi.merge(first, merged)
    before = results(merged)
    log = merged / "run.db-wal"
    killed = 0
    for megabytes in (0, 0.1, 1, 2, 3):
        killed += kill_when(
            start_merge([rest], merged), lambda least=megabytes * 1e6: size_of(log) > least
        )
        assert verify_run(merged) == ()
        if len(results(merged)) != len(before):
            break
        assert results(merged) == before
    assert killed
    merge_in_process([rest], merged)
    assert [key for key, *_ in results(merged)] == MANY
    assert verify_run(merged) == ()


async def test_a_kill_just_before_the_end_is_begun_anew(tmp_path):
    """The files were moved out of the folder of the merge already, the run was not."""
    shards = await make_shards(tmp_path)
    merged, calm = tmp_path / "merged", tmp_path / "calm"
    bi.merge(shards, calm)
    bi.merge(shards, merged)
    (merged / MERGE_FOLDER).mkdir()
    (merged / "run.db").rename(merged / MERGE_FOLDER / "run.db")
    (merged / "outputs" / "of-nobody.png").write_bytes(b"x")

    bi.merge(shards, merged)

    assert results(merged) == results(calm)
    assert sorted(path.name for path in (merged / "outputs").iterdir()) == sorted(
        path.name for path in (calm / "outputs").iterdir()
    )
    assert verify_run(merged) == ()


async def test_a_kill_just_after_the_end_leaves_the_run(tmp_path):
    shards = await make_shards(tmp_path)
    merged = tmp_path / "merged"
    bi.merge(shards, merged)
    (merged / MERGE_FOLDER).mkdir()

    assert not bi.merge(shards, merged).has_changed

    assert not (merged / MERGE_FOLDER).exists()
    assert len(results(merged)) == len(KEYS)


async def test_an_interrupted_merge_cleans_up(tmp_path):
    shards = await make_shards(tmp_path, keys=MANY, records=many)
    merged = tmp_path / "merged"
    process = start_merge(shards, merged)
    said = signal_when(
        process, signal.SIGINT, lambda: size_of(merged / MERGE_FOLDER / "run.db") > 0
    )
    assert "Traceback" not in said
    if process.returncode == 130:
        assert not merged.exists()
    else:  # it was done before
        assert process.returncode == 0
        assert len(results(merged)) == len(MANY)
